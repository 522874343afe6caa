#!/usr/bin/python3
"""More than the pipeline takes: 503 with Retry-After, memory flat, everything accepted ends once. backpressure.py TAI [TEST…]"""
import hashlib
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, main, wait_for  # noqa: E402
from load import Load  # noqa: E402
from raw import Connection  # noqa: E402

LOAD_S = 4
GROWTH_KIB = 24 * 1024


def usage(identity, entitlement="e"):
    return {"id": identity, "tenant_id": "acme", "entitlement_id": entitlement, "type": "usage"}


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def memory_is_telling(binary):
    """A sanitizer keeps what was freed."""
    with open(binary, "rb") as program:
        text = program.read()
    return b"__asan_init" not in text and b"__tsan_init" not in text


def watch_memory(t, tai, seconds, serving):
    """The growth between the first third and the end; meanwhile the service must answer."""
    samples, began = [], time.monotonic()
    while time.monotonic() - began < seconds:
        samples.append(resident_kib(tai.worker_pid()))
        serving()
        time.sleep(0.1)
    early, late = max(samples[:len(samples) // 3 + 1]), max(samples)
    if memory_is_telling(tai.binary):
        t.true(f"memory grows by less than {GROWTH_KIB} KiB", late - early < GROWTH_KIB, samples)
    else:
        print("SKIP memory under a sanitizer")


def test_one_batch(t):
    with t.tai("kanban:\n  max_depth: 300\ningress:\n  tenant_depth: 10000\n") as tai:
        pending, rounds, refused = {f"b{i}": usage(f"b{i}") for i in range(1000)}, 0, 0
        while pending and rounds < 200:
            status, answer, headers = tai.post(list(pending.values()))
            rounds += 1
            results = answer["results"]
            statuses = {r["status"] for r in results}
            t.true("each item is 202 or 503", statuses <= {202, 503}, statuses)
            if 503 in statuses:
                refused += 1
                t.equal("status of the whole", status, 207)
                t.true("Retry-After", int(headers.get("Retry-After", 0)) >= 1, headers)
                problem = next(r["problem"] for r in results if r["status"] == 503)
                t.contains("the problem", problem["detail"], "full")
                t.true("its retry_after", problem.get("retry_after", 0) >= 1, problem)
            pending = {k: pending[k] for k, r in zip(list(pending), results) if r["status"] != 202}
            time.sleep(0.05)
        t.true("1,000 signals at once are refused in part at a depth of 300", refused > 0, rounds)
        t.equal("signals refused in 200 rounds", len(pending), 0)
        tai.settle()
        endings = [r["signal_id"] for r in ledger.receipts_of(tai, "acme") if "ending" in r]
        t.equal("endings", sorted(endings), sorted(f"b{i}" for i in range(1000)))


def test_single(t):
    """A queue of one: singles are refused as plain 503."""
    with t.tai("kanban:\n  max_depth: 1\ningress:\n  tenant_depth: 2\n") as tai:
        answers, stopping = [], threading.Event()

        def client(number):
            for i in range(200):
                if stopping.is_set():
                    break
                answers.append(tai.post(usage(f"c{number}-{i}")))
                if answers[-1][0] == 503:
                    stopping.set()
        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [a for a in answers if a[0] == 503]
        t.true("a queue of one refuses one of 8 clients", refused, len(answers))
        for status, problem, headers in refused:
            t.equal("type", headers.get("Content-Type"), "application/problem+json")
            t.equal("status in the problem", problem["status"], status)
            t.true("Retry-After", int(headers.get("Retry-After", 0)) >= 1, headers)
        tai.settle()
        t.equal("endings", tai.totals()["signals"]["ended"], len([a for a in answers if a[0] == 202]))


def test_overload(t):
    with t.tai("kanban:\n  max_depth: 400\ningress:\n  tenant_depth: 10000\n") as tai:
        with Load(tai, clients=6, sizes=(200, 300), entitlements=20) as load:
            watch_memory(t, tai, LOAD_S, lambda: t.equal("/livez", tai.get("/livez", tai.port)[0], 200))
        statuses = load.statuses()
        t.true("some were accepted, some refused", statuses.get(202) and statuses.get(503), statuses)
        t.equal("other statuses", set(statuses) - {202, 503}, set())
        began = time.monotonic()
        tai.settle()
        t.true("the queue is worked off within 20 s", time.monotonic() - began < 20, time.monotonic() - began)
        load.check(t, tai)
        t.equal("/readyz afterwards", tai.get("/readyz", tai.port)[0], 200)
        t.equal("a signal afterwards", tai.post(usage("after"))[0], 202)
        ended(tai, "after", "acme")


def test_one_tenant(t):
    """One that floods has its share of the queue and no more: the others never meet a full one."""
    with t.tai("kanban:\n  max_depth: 2000\ningress:\n  tenant_depth: 300\n") as tai:
        others = 0
        with Load(tai, clients=5, sizes=(200, 300), entitlements=20, tenants=1) as load:
            until = time.monotonic() + 2
            while time.monotonic() < until or not load.statuses().get(429):
                identity = ("other", "s", f"o{others}")
                text = json.dumps({"id": f"o{others}", "tenant_id": "other", "sku_id": "s", "type": "usage"})
                load.history.invoke(identity, hashlib.sha256(text.encode()).hexdigest(), time.monotonic())
                status = tai.post(text)[0]
                load.history.complete(identity, "ok" if status == 202 else "fail", time.monotonic())
                t.equal("status of another tenant's signal", status, 202)
                others += 1
        statuses = load.statuses()
        t.true("the flood is accepted in part", statuses.get(202) and statuses.get(429), statuses)
        t.equal("other statuses", set(statuses) - {202, 429}, set())
        tai.settle()
        load.check(t, tai)
        tai.kill()
    with tai:
        ended(tai, f"o{others - 1}", "other", "s")
        t.equal("a signal after a restart", tai.post(usage("after"))[0], 202)


def test_ledger_behind(t):
    """The smallest lag there is: workers stop for the ledger and go on."""
    with t.tai("ledger:\n  max_lag: 1000\nkanban:\n  max_depth: 5000\n") as tai:
        with Load(tai, clients=4, sizes=(500, 900), entitlements=2, tenants=1) as load:
            time.sleep(2)
        tai.settle()
        load.check(t, tai)


def test_reader_that_never_reads(t):
    """Answers nobody takes pile up to a bound, then nothing more is read."""
    with t.tai("ingress:\n  idle_timeout: 1s\n") as tai:
        get = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        connections = [Connection(tai.port, 0.2) for _ in range(10)]
        blocked = 0
        for connection in connections:
            try:
                for _ in range(2000):
                    connection.socket.sendall(get)
            except OSError:
                blocked += 1
        t.equal("clients that cannot send on because they do not read", blocked, len(connections))
        watch_memory(t, tai, 1.5, lambda: t.equal("/livez", tai.get("/livez", tai.port)[0], 200))

        def open_connections():
            return tai.metric('tai_http_connections')
        wait_for("the slow readers to be closed", lambda: open_connections() <= 4, 20)
        if memory_is_telling(tai.binary):
            t.true("memory is below 200 MiB", resident_kib(tai.worker_pid()) < 200 * 1024,
                   resident_kib(tai.worker_pid()))
        t.equal("SIGTERM", tai.stop(), 0)


if __name__ == "__main__":
    main(globals())
