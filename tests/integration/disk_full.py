#!/usr/bin/python3
"""A full disk: 503 and never 202, still answering, and going on by itself once there is room. disk_full.py TAI [TEST…]

On a small tmpfs where mounting is allowed, and with a limit on the size of files (RLIMIT_FSIZE) everywhere."""
import contextlib
import hashlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, main, wait_for  # noqa: E402
from load import Load  # noqa: E402

MIB = 1024 * 1024
DISK, BALLAST = 24 * MIB, 12 * MIB


def usage(identity):
    return {"id": identity, "tenant_id": "acme", "sku_id": "s", "type": "usage", "data": "x" * 500}


@contextlib.contextmanager
def small_disk(path):
    os.makedirs(path)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", path], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        print(f"SKIP small tmpfs: {done.stderr.strip()}")
        yield None
        return
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(path, leave=0):
    """Writes until the disk is full, but for `leave` bytes."""
    with open(path, "wb", buffering=0) as out:
        free = os.statvfs(path)
        left = free.f_bavail * free.f_frsize - leave
        with contextlib.suppress(OSError):
            while left > 0:
                left -= out.write(bytes(min(left, MIB)))


def post(tai, history, identity):
    """Posts one signal for the history to know."""
    body = json.dumps(usage(identity))
    history.invoke(("acme", "s", identity), hashlib.sha256(body.encode()).hexdigest(), time.monotonic())
    status, answer, headers = tai.post(body)
    history.complete(("acme", "s", identity), "ok" if status == 202 else "fail", time.monotonic())
    return status, answer, headers


def check_full(t, tai, history):
    """Nothing is accepted and everything else is answered."""
    statuses = set()
    for i in range(30):
        status, answer, headers = post(tai, history, f"full-{i}")
        statuses.add(status)
        if status == 503:
            t.equal("type", headers.get("Content-Type"), "application/problem+json")
            t.true("Retry-After", int(headers.get("Retry-After", 0)) >= 1, headers)
            t.equal("status in the problem", answer["status"], 503)
    t.equal("statuses while the disk is full", statuses, {503})
    for path, port in (("/livez", tai.port), ("/metrics", tai.port), ("/livez", tai.andon_port),
                       ("/v1/governors", tai.andon_port), ("/v1/receipts?limit=10", tai.andon_port)):
        t.equal(f"status of {path} meanwhile", tai.get(path, port)[0], 200)
    t.true("/health says so", tai.get("/health", tai.port)[1]["status"] in ("warn", "fail"))
    t.equal("status of /readyz", tai.get("/readyz", tai.port)[0], 503)


def check_recovered(t, tai, history):
    worker, tried = tai.worker_pid(), []

    def accepted():
        tried.append(f"again-{len(tried)}")
        return post(tai, history, tried[-1])[0] == 202
    wait_for("a signal to be accepted again", accepted, 30, 0.2)
    t.equal("the ending of the next signal", ended(tai, tried[-1], "acme")["status"], "executed")
    t.equal("the worker, which was not restarted", tai.worker_pid(), worker)
    wait_for("/readyz", lambda: tai.get("/readyz", tai.port)[0] == 200)


def check_at_rest(t, tai, load):
    tai.settle()
    load.check(t, tai)
    ledger.check_ledger(t, tai)
    t.equal("exit", tai.stop(), 0)
    with sqlite3.connect(os.path.join(tai.data, "tai.db")) as db:
        t.equal("integrity_check", db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
    db.close()


def full_and_free(t, tai, make_full, make_room):
    with Load(tai, clients=3, pad=2000) as first:
        wait_for("some accepted signals", lambda: first.accepted() > 300)
        make_full()
        wait_for("refusals", lambda: first.statuses().get(503, 0) > 50, 60)
    t.equal("statuses other than 202 and 503", set(first.statuses()) - {202, 503}, set())
    check_full(t, tai, first.history)
    time.sleep(1)  # retries under way meet it too
    t.equal("status a second later", post(tai, first.history, "full-later")[0], 503)
    make_room()
    check_recovered(t, tai, first.history)
    with Load(tai, clients=3, first=10, history=first.history) as second:
        wait_for("more to be accepted", lambda: second.accepted() > 500)
    check_at_rest(t, tai, second)


def test_small_disk(t):
    with small_disk(os.path.join(t.dir, "disk")) as disk:
        if not disk:
            return
        ballast = os.path.join(disk, "ballast")
        with t.tai(data=os.path.join(disk, "data")) as tai:
            tai.log_path = os.path.join(t.dir, "log")
            full_and_free(t, tai, lambda: fill(ballast), lambda: os.remove(ballast))


def test_file_size_limit(t):
    tai = t.tai()

    def limit(size):
        resource.prlimit(tai.worker_pid(), resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with tai:
        full_and_free(t, tai, lambda: limit(0), lambda: limit(resource.RLIM_INFINITY))


def test_killed_on_a_full_disk(t):
    """Dead in the worst moment: starts again once there is room, and before that says why it cannot."""
    with small_disk(os.path.join(t.dir, "disk")) as disk:
        if not disk:
            return
        ballast = os.path.join(disk, "ballast")
        tai = t.tai(data=os.path.join(disk, "data"))
        tai.log_path = os.path.join(t.dir, "log")
        tai.start()
        with Load(tai, clients=3) as load:
            wait_for("some accepted signals", lambda: load.accepted() > 300)
            fill(ballast)
            wait_for("refusals", lambda: load.statuses().get(503, 0) > 50, 60)
            tai.kill()
        os.remove(ballast)
        tai.port = tai.andon_port = 0
        with tai:
            tai.settle()
            load.check(t, tai)
            ledger.check_ledger(t, tai)
            t.equal("exit", tai.stop(), 0)


def test_start_on_a_full_disk(t):
    with small_disk(os.path.join(t.dir, "disk")) as disk:
        if not disk:
            return
        ballast, data = os.path.join(disk, "ballast"), os.path.join(disk, "data")
        fill(ballast)
        code, said = t.refused_start(data=data)
        t.equal("exit code of a start on a full disk", code, 1)
        t.contains("message", said, "full")
        os.remove(ballast)
        with t.tai(data=data) as tai:
            t.equal("once there is room", tai.post(usage("1"))[0], 202)


if __name__ == "__main__":
    main(globals())
