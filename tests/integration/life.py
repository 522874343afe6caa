#!/usr/bin/python3
"""Stopping, draining, crashing and coming back: life.py TAI [TEST…]."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, main, wait_for  # noqa: E402
from load import Load  # noqa: E402
from raw import Connection, post  # noqa: E402

DRAIN_S = 10.5  # 10 s, and a moment to measure it


def usage(identity):
    return {"id": identity, "tenant_id": "acme", "sku_id": "s", "type": "usage"}


def stop(t, tai, what, within=DRAIN_S, by=signal.SIGTERM):
    began = time.monotonic()
    if by:
        tai.process.send_signal(by)
    try:
        code = tai.process.wait(60)
    except subprocess.TimeoutExpired:
        code = "none, it runs on"
    took = time.monotonic() - began
    t.equal(f"exit code {what}", code, 0)
    t.true(f"{what} it exits within {within} s", took < within, took)


def again(tai):
    """To be started on other ports: somebody may have taken the old ones meanwhile."""
    tai.port = tai.andon_port = 0
    return tai


def test_idle(t):
    for by in (signal.SIGTERM, signal.SIGINT):
        tai = t.tai().start()
        stop(t, tai, f"after {by.name} while idle", 3, by)
    again(tai).start()
    with Connection(tai.port), Connection(tai.andon_port) as other:
        other.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        t.equal("status", other.answer().status, 200)
        stop(t, tai, "with idle connections", 3)


def test_hung(t):
    """A worker that does not end is killed once its own time for that, and a moment, is over."""
    tai = t.tai("shutdown:\n  timeout: 100ms\n").start()
    os.kill(tai.worker_pid(), signal.SIGSTOP)
    began = time.monotonic()
    tai.process.send_signal(signal.SIGTERM)
    t.equal("exit code after its worker was killed", tai.process.wait(30), 1)
    t.true("it was waited for 2.1 s", 2 < time.monotonic() - began < 8, time.monotonic() - began)


def test_half_a_request(t):
    """What was begun is finished; what never comes does not hold the exit up."""
    tai = t.tai().start()
    with Connection(tai.port) as half, Connection(tai.port) as never:
        data = post(usage("half"))
        half.send(data[:-5])
        never.send(data[:-5])
        time.sleep(0.2)
        tai.process.send_signal(signal.SIGTERM)
        wait_for("the drain to begin", lambda: "draining" in tai.log())
        half.send(data[-5:])
        answer = half.answer()
        t.equal("status of a request finished while draining", answer.status, 202)
        t.equal("its connection", answer.headers.get("connection"), "close")
        stop(t, tai, "with a request that never ends", by=None)
    with again(tai):
        t.equal("what was accepted while draining", ended(tai, "half", "acme")["status"], "executed")


def test_drain_under_load(t):
    tai = t.tai().start()
    with Load(tai) as load:
        wait_for("1,000 accepted signals", lambda: load.accepted() >= 1000)
        stop(t, tai, "under load")
    again(tai).start()
    tai.settle()
    load.check(t, tai)
    ledger.check_ledger(t, tai)
    t.equal("second exit", tai.stop(), 0)


def test_drain_with_backlog(t):
    tai = t.tai().start()
    for batch in range(10):
        t.equal("status", tai.post([usage(f"b{batch}-{i}") for i in range(1000)])[0], 202)
    stop(t, tai, "with a backlog")
    with again(tai):
        tai.settle()
        totals = tai.totals()["signals"]
        t.equal("signals taken and ended", (totals["taken"], totals["ended"]), (10000, 10000))
        t.true("no conservation gap", tai.metric("tai_conservation_gap_signals") == 0)


def test_supervisor_killed(t):
    tai = t.tai().start()
    worker = tai.worker_pid()
    with Load(tai, clients=2) as load:
        wait_for("some accepted signals", lambda: load.accepted() >= 100)
        tai.process.kill()
        tai.process.wait()
        wait_for("the worker to follow its supervisor", lambda: not os.path.exists(f"/proc/{worker}"), 10)
    again(tai).start()
    tai.settle()
    load.check(t, tai)
    t.equal("exit", tai.stop(), 0)


def test_worker_killed(t):
    with t.tai() as tai:
        ports, worker = (tai.port, tai.andon_port), tai.worker_pid()
        tai.post(usage("before"))
        os.kill(worker, signal.SIGKILL)
        wait_for("another worker", lambda: tai.worker_pid() not in (None, worker), 10)

        def answered():
            try:
                return tai.post(usage("after"))[0] == 202
            except OSError:
                return False
        wait_for("an answer on the same port", answered, 20)
        t.equal("ports", (tai.port, tai.andon_port), ports)
        t.equal("a signal from before", ended(tai, "before", "acme")["status"], "executed")
        t.equal("a signal from after", ended(tai, "after", "acme")["status"], "executed")
        t.contains("the log", tai.log(), "killed by signal 9")
        tai.settle()
        ledger.check_ledger(t, tai)
        stop(t, tai, "after a restart of the worker")


def test_gives_up(t):
    tai = t.tai().start()
    last = None
    for crash in range(6):
        last = wait_for(f"worker {crash}", lambda: tai.worker_pid() if tai.worker_pid() != last else None, 20)
        os.kill(last, signal.SIGKILL)
    t.equal("exit code after five restarts and one more crash", tai.process.wait(20), 1)
    t.contains("the log", tai.log(), "giving up after 5 restarts in 60 s")
    with again(tai):
        t.equal("a fresh start", tai.post(usage("1"))[0], 202)


def test_stopped_between_restarts(t):
    tai = t.tai().start()
    for _ in range(4):
        worker = wait_for("a worker", tai.worker_pid, 10)
        os.kill(worker, signal.SIGKILL)
        wait_for("its end", lambda pid=worker: tai.worker_pid() != pid, 10)
    stop(t, tai, "during the pause before a restart")


if __name__ == "__main__":
    main(globals())
