#!/usr/bin/python3
"""Crash and error points one by one: sweeps.py TAI [--full] [--points N] [--seconds S] [--only SWEEP] [--seed S]

A fixed small workload runs while strace kills the process at, or fails, the N-th call of one kind in one thread, for
N = 1 … until the workload passes untouched. After each: restart without strace, drain, and everything is checked
(harness.py), with integrity_check. Without --full at most N points, spread evenly over all of them, for at most S seconds."""
import argparse
import dataclasses
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

KILL, EIO, ENOSPC, FULL = "signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=ENOSPC, and on"
QUIET = harness.Load(refund=0.15, resend=0.1, pause=0.0, renew=15)
REQUESTS, BIG = 10, 64     # big ones are 1 MB each
WEIGHT = 60                 # of a sweep at most, when not all points are run
MEMORY = "tai.local_ledger.checkpoint-0.new"    # of the signer, before it has its name


@dataclasses.dataclass
class Sweep:
    """One call, one fault. thread: the kernel's name of it, or None for all of a start under strace."""
    thread: str
    call: str
    fault: str
    path: str = None    # only calls on that file of the data directory
    big: bool = False   # enough for a checkpoint of the log under load
    start: str = None   # "first" or "again": the start itself is traced

    def name(self):
        where = f"start ({self.start})" if self.start else self.thread
        where += ", signer's memory" if self.path == MEMORY else ", checkpoint" if self.big else ""
        return f"{where}: {self.call} {self.fault}"

    def place(self):
        """Sweeps of one place share a dry run."""
        return self.thread, self.path, self.big, self.start

    def options(self, data, when):
        """when 0: nothing is injected, all calls of interest are traced."""
        fault, _, rest = self.fault.partition(",")
        inject = f"inject={self.call}:{fault}:when={when}{'+' if rest else ''}"
        path = ["-P", os.path.join(data, self.path)] if self.path else []
        calls = self.call if when else ",".join({sweep.call for sweep in SWEEPS if sweep.place() == self.place()})
        return ["strace", "-qq", "-o", os.path.join(data, "strace.log"), *path, "-e", f"trace={calls}",
                *(["-e", inject] if when else [])]


SWEEPS = [
    *[Sweep("database", call, KILL) for call in ("pwrite64", "fdatasync", "write", "ftruncate")],
    *[Sweep("database", "pwrite64", fault) for fault in (EIO, ENOSPC, FULL)],
    *[Sweep("database", call, EIO) for call in ("fdatasync", "ftruncate")],
    *[Sweep("signing", call, fault) for call in ("pwrite64", "fdatasync") for fault in (KILL, EIO)],
    Sweep("signing", "pwrite64", ENOSPC),
    *[Sweep(None, call, fault, MEMORY, start="first")
      for call in ("openat", "ftruncate", "pwrite64", "fdatasync", "fsync", "rename") for fault in (KILL, EIO)],
    *[Sweep(None, call, ENOSPC, MEMORY, start="first") for call in ("openat", "pwrite64")],
    *[Sweep("database", "pwrite64", fault, "tai.db", True) for fault in (KILL, EIO, ENOSPC)],
    *[Sweep("database", "fdatasync", fault, "tai.db", True) for fault in (KILL, EIO)],
    *[Sweep(None, call, KILL, start=start) for start in ("first", "again")
      for call in ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "write", "unlink")],
    *[Sweep(None, call, EIO, start="first") for call in ("pwrite64", "fdatasync", "fsync")],
    *[Sweep(None, call, EIO, start="again") for call in ("pread64", "pwrite64", "fdatasync")],
]


def can_trace():
    """Why not, or None."""
    try:
        done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "trace=none", "true"], capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        return "strace is not installed"
    return None if done.returncode == 0 else done.stderr.strip()


def log_of(data):
    try:
        with open(os.path.join(data, "strace.log"), encoding="utf-8", errors="replace") as log:
            return log.read()
    except FileNotFoundError:
        return ""


def was_hit(data):
    log = log_of(data)
    return "(INJECTED)" in log or "+++ killed by SIGKILL" in log


class Workload:
    """The same requests each time; big ones fill the log until it is checkpointed."""

    def __init__(self, service, history, seed, big):
        self.client = harness.Client(0, service, history, QUIET, seed)
        self.big = big

    def run(self, count=REQUESTS):
        for _ in range(count):
            for request in self.client.requests():
                self.client.attempt(request)

    def fill(self):
        for _ in range(BIG if self.big else 0):
            fields = [{**self.client.identity(), "data": "x" * 60000} for _ in range(16)]
            self.client.attempt([self.client.pack(f) for f in fields])


class Tracer:
    """strace on one thread of a running service."""

    def __init__(self, sweep, service, when):
        thread = harness.thread_of(service.worker(), sweep.thread)
        self.process = subprocess.Popen([*sweep.options(service.data, when), "-p", str(thread)], stderr=subprocess.PIPE,
                                        text=True)
        deadline = time.monotonic() + 10
        while f"TracerPid:\t{self.process.pid}" not in status_of(thread):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"strace did not attach: {self.process.stderr.read()}")
            time.sleep(0.001)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        self.process.stderr.close()


def status_of(thread):
    try:
        with open(f"/proc/{thread}/status", encoding="ascii") as status:
            return status.read()
    except FileNotFoundError:
        return ""


def hurt_running(sweep, service, workload, when):
    """The workload and the drain under strace; a persistent fault ends before the drain. Whether it was hit."""
    service.start()
    tracer = Tracer(sweep, service, when)
    workload.run()
    workload.fill()
    if "," in sweep.fault:
        tracer.end()
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(30)
    tracer.end()
    return was_hit(service.data)


def run_traced_start(sweep, service, when):
    """A start under strace, until it serves, ends or is hit; then all of it is killed. Whether it was hit."""
    command = [*sweep.options(service.data, when), "-f", service.binary, "run", "--data", service.data,
               "--listen", "127.0.0.1:0", "--andon-listen", "127.0.0.1:0"]
    with open(service.log_path, "ab") as log:
        tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, bufsize=0)
    os.set_blocking(tracer.stdout.fileno(), False)
    deadline, said = time.monotonic() + 20, b""
    while tracer.poll() is None and time.monotonic() < deadline:
        said += tracer.stdout.read() or b""
        if b"andon " in said:   # the signer's memory is made at about this time
            deadline = min(deadline, time.monotonic() + 0.05)
        if was_hit(service.data) and "signal" in sweep.fault:
            break
        time.sleep(0.003)
    hit = was_hit(service.data)
    kill_tree(tracer)
    tracer.stdout.close()
    return hit


def kill_tree(tracer):
    """The supervisor; its worker and strace follow."""
    try:
        with open(f"/proc/{tracer.pid}/task/{tracer.pid}/children", encoding="ascii") as children:
            supervisors = [int(pid) for pid in children.read().split()]
    except FileNotFoundError:
        supervisors = []
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)
    tracer.wait(20)
    while True:     # orphans: the worker, if it was in the middle of something
        try:
            if os.waitpid(-1, 0)[0] == 0:
                break
        except ChildProcessError:
            break


def hurt_start(sweep, service, workload, when):
    """again: over a data set that was killed under load, with frames queued and a log to recover."""
    if sweep.start == "again":
        service.start()
        workload.run()
        worker = service.worker()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        harness.reap(worker)
        service.process.stdout.close()
    return run_traced_start(sweep, service, when)


def run_point(options, sweep, when):
    """(hit, violations, calls seen by name) of one point."""
    violations, history = harness.checker.Violations(), harness.checker.History()
    data = tempfile.mkdtemp(prefix="tai-sweep-")
    service = harness.Service(options.tai, data=data)
    workload = Workload(service, history, options.seed, sweep.big)
    hit = False
    try:
        hit = (hurt_start if sweep.start else hurt_running)(sweep, service, workload, when)
        if service.process:
            service.process.stdout.close()
        service.start()
        workload.run(3)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        violations.add(f"{sweep.name()} {when}: {error}")
    calls = calls_in(data)
    harness.check(service, history, violations, timeout=30)
    if violations:
        harness.say(f"FAILED {sweep.name()} at call {when}; data kept in {data}\n{service.log()}")
    else:
        shutil.rmtree(data)
    return hit, violations, calls


def calls_in(data):
    """The most calls of each name in one thread."""
    counts, most = {}, {}
    for line in log_of(data).splitlines():
        match = re.match(r"(\d+ +)?(\w+)\(", line)
        if match:
            counts[match.groups()] = counts.get(match.groups(), 0) + 1
            most[match[2]] = max(most.get(match[2], 0), counts[match.groups()])
    return most


def plan(options, rng):
    """For each sweep its points: all of them, or an even share."""
    sweeps = [sweep for sweep in SWEEPS if not options.only or options.only in sweep.name()]
    seen, points, bad = {}, [], 0
    for sweep in sweeps:
        if sweep.place() not in seen:
            _, violations, seen[sweep.place()] = run_point(options, sweep, 0)
            bad += bool(violations)
        points.append((sweep, list(range(1, seen[sweep.place()].get(sweep.call, 0) + 1))))
    total = sum(len(numbers) for _, numbers in points)
    print(f"{total} points in {len(points)} sweeps", flush=True)
    weights = sum(min(len(numbers), WEIGHT) for _, numbers in points)
    for sweep, numbers in points if not options.full and total > options.points else []:
        # The first, the last, and what is between; big ones take seconds each.
        share = 2 if sweep.big else max(2, round(min(len(numbers), WEIGHT) * options.points / weights))
        if len(numbers) > share:
            numbers[:] = sorted({numbers[0], numbers[-1], *rng.sample(numbers[1:-1], share - 2)})
    return points, bad


def until_clean(options, sweep, numbers):
    """--full: further calls that a longer run made."""
    yield from numbers
    when = (numbers[-1] if numbers else 0) + 1
    while options.full and when <= len(numbers) + 50:
        yield when
        when += 1


def run_sweep(options, sweep, numbers, deadline):
    hits, bad, done = 0, 0, 0
    for when in until_clean(options, sweep, numbers):
        if time.monotonic() > deadline:
            break
        hit, violations, _ = run_point(options, sweep, when)
        done, hits, bad = done + 1, hits + hit, bad + bool(violations)
        if not hit and when > len(numbers):
            break
    harness.say(f"{'FAILED' if bad else 'ok    '} {sweep.name()}: {done} points, {hits} hit, {bad} with violations")
    return done, hits, bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--only", help="sweeps whose name contains this")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    reason = can_trace()
    if reason:
        print(f"SKIP: processes cannot be traced here: {reason}")
        return 0
    harness.adopt_orphans()
    began = time.monotonic()
    print(f"seed {options.seed}", flush=True)
    points, bad = plan(options, random.Random(options.seed))
    deadline = float("inf") if options.full else began + options.seconds
    results = harness.two_at_a_time([(run_sweep, options, *point, deadline) for point in points])
    done, hits = sum(result[0] for result in results), sum(result[1] for result in results)
    bad += sum(result[2] for result in results)
    print(f"{done} points, {hits} hit, {bad} with violations, {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 1 if bad or not hits else 0


if __name__ == "__main__":
    sys.exit(main())
