"""What the chaos scripts share: a service whose processes die precisely, clients that record a history, faults between them,
and the end: heal, drain, dump, check. Standard library only."""
import base64
import concurrent.futures
import ctypes
import dataclasses
import datetime
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import damage  # noqa: E402
import history as checker  # noqa: E402
import operators  # noqa: E402
from tai import Tai  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
SUPERVISED_CRASHES = 2      # the supervisor pauses longer after each and gives up after five in a minute
REFUND, REFUNDED = "tai.entitlement.refund_started", "tai.entitlement.refund_completed"
STATUSES = ("waiting", "acting", "executed", "failed", "denied", "refused", "deadlettered")


def adopt_orphans():
    """Orphaned workers become children of this process, which can then wait for their very end."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(pid, timeout=20):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:   # its supervisor reaped it, or still has it
            if not os.path.exists(f"/proc/{pid}"):
                return
        time.sleep(0.002)
    raise RuntimeError(f"process {pid} did not end within {timeout} s")


def thread_of(pid, name, last=False):
    """The thread of a process with that kernel name; last: the youngest of them."""
    found = None
    for tid in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name and (last or found is None):
                found = int(tid)
    return found


def utc():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


class Service(Tai):
    """A `tai run` to be hurt. crashes: of the worker under the present supervisor."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.crashes = 0

    def start(self, timeout=30):
        super().start(timeout)
        self.crashes = 0
        return self

    def restart(self, timeout=30):
        """After its end: start anew, on the same ports."""
        self.process.stdout.close()
        return self.start(timeout)

    def worker(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid = self.worker_pid() if self.process.poll() is None else None
            if pid:
                return pid
            time.sleep(0.002)
        raise RuntimeError(f"no worker after {timeout} s:\n" + self.log())

    def kill_worker(self, stopped=False):
        worker = self.worker()
        if stopped:
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.02)
        os.kill(worker, signal.SIGKILL)
        self.crashes += 1
        while os.path.exists(f"/proc/{worker}"):
            time.sleep(0.002)

    at_rest = None  # called between a kill and the start after it

    def kill_supervisor(self, with_worker):
        """The worker goes with it, or by its lifeline."""
        worker = self.worker_pid()
        self.process.send_signal(signal.SIGSTOP)
        if with_worker and worker:
            os.kill(worker, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if worker:
            reap(worker)
        if self.at_rest:
            self.at_rest()
        self.restart()

    def kill(self):
        worker = self.worker_pid()
        self.process.kill()
        self.process.wait()
        if worker:
            reap(worker)

    def stall(self, seconds):
        worker = self.worker()
        os.kill(worker, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(worker, signal.SIGCONT)

    def serving(self, timeout=20):
        """Waits until it serves; the instant."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz", self.port, timeout=2)[0] == 200:
                    return time.monotonic()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise RuntimeError(f"not serving after {timeout} s:\n" + self.log())


@dataclasses.dataclass
class Load:
    """What clients send. New entitlements keep coming: one set every `renew` signals of a client."""
    clients: int = 4
    operators: int = 1
    tenants: int = 3
    entitlements: int = 5
    sizes: tuple = (1, 1, 1, 1, 5, 30)
    pad: int = 200
    renew: int = 500
    pause: float = 0.01
    resend: float = 0.05    # probability that a request repeats earlier signals
    refund: float = 0.01    # … that it opens and closes a refund, so that signals wait meanwhile


class Client(threading.Thread):
    """Posts one request after another until told to stop. A broken connection is `info` and a new one; a refused one is
    `fail`, because nothing was sent."""

    def __init__(self, number, service, history, load, seed):
        super().__init__(daemon=True)
        self.number, self.service, self.history, self.load = number, service, history, load
        self.random = random.Random(seed * 1000 + number)
        self.stopping = threading.Event()
        self.connection, self.sent, self.refused_in_a_row = None, 0, 0
        self.past = []      # (identity, text, event) of some earlier signals
        self.careless = []  # 429 or 503 without Retry-After

    def identity(self, event=None):
        """Events carry their own time: those of a governor are taken in its order."""
        self.sent += 1
        return {**({"time": utc()} if event else {}), "id": f"c{self.number}-{self.sent}", "tenant_id": f"t{self.random.randrange(self.load.tenants)}",
                "entitlement_id": f"e{self.random.randrange(self.load.entitlements)}-{self.sent // self.load.renew}",
                "type": event or "usage"}

    def pack(self, fields):
        return ((fields["tenant_id"], fields["entitlement_id"], fields["id"]), json.dumps(fields),
                fields["type"] != "usage")

    def signal(self):
        pad = "x" * self.random.randrange(self.load.pad)
        return self.pack({**self.identity(), "data": {"cost": "0.01", "pad": pad}})

    def requests(self):
        """The next requests, each a list of (identity, text, event)."""
        kind = self.random.random()
        if kind < self.load.resend and self.past:
            return [self.random.sample(self.past, min(len(self.past), self.random.choice((1, 3))))]
        if kind < self.load.resend + self.load.refund:
            opened, closed = self.identity(REFUND), self.identity(REFUNDED)
            return [[self.pack(opened)], [self.signal() for _ in range(5)],
                    [self.pack({**opened, **{name: closed[name] for name in ("id", "type", "time")}})]]
        return [[self.signal() for _ in range(self.random.choice(self.load.sizes))]]

    def run(self):
        while not self.stopping.is_set():
            for request in self.requests():
                self.attempt(request)
                self.stopping.wait(self.load.pause)

    def attempt(self, request):
        now = time.monotonic()
        for identity, text, event in request:
            self.history.invoke(identity, hashlib.sha256(text.encode()).hexdigest(), now, event)
        outcomes = self.post([text for _, text, _ in request])
        now = time.monotonic()
        for (identity, _, _), outcome in zip(request, outcomes):
            self.history.complete(identity, outcome, now)
        self.past = (self.past + request)[-50:]

    def connect(self):
        """False: refused."""
        if self.connection:
            return True
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=20)
        try:
            connection.connect()
        except ConnectionRefusedError:
            self.refused_in_a_row += 1
            self.stopping.wait(min(0.1, 0.01 * self.refused_in_a_row))
            return False
        self.connection, self.refused_in_a_row = connection, 0
        return True

    def post(self, texts):
        body = texts[0] if len(texts) == 1 else "[" + ",".join(texts) + "]"
        try:
            if not self.connect():
                return ["fail"] * len(texts)
            self.connection.request("POST", "/v1/signals", body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection = None
            self.stopping.wait(0.005)
            return ["info"] * len(texts)
        statuses = [response.status] * len(texts)
        if len(texts) > 1 and response.status in (202, 207):
            statuses = [item["status"] for item in answer["results"]]
        if {429, 503} & set(statuses) and not response.getheader("Retry-After"):
            self.careless.append(response.status)
        return ["ok" if s == 202 else "info" if s >= 500 else "fail" for s in statuses]


class Crew:
    """Some clients, an operator if wanted, and the watcher of checkpoints; a context manager."""

    def __init__(self, service, history, load, seed):
        self.service, self.history = service, history
        self.stopping = threading.Event()
        self.clients = [Client(i, service, history, load, seed) for i in range(load.clients)]
        self.operators = [operators.Operator(i, service, history, seed) for i in range(load.operators)]
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.stopping.wait(0.03):
            self.look()

    def look(self):
        try:
            status, text, _ = self.service.get("/checkpoint", timeout=5)
        except (OSError, http.client.HTTPException):
            return
        if status == 200 and isinstance(text, str):
            _, size, root = text.split("\n")[:3]
            self.history.saw_checkpoint(int(size), base64.b64decode(root))

    def __enter__(self):
        for thread in self.clients + self.operators + [self.watcher]:
            thread.start()
        return self

    def __exit__(self, *exception):
        for thread in self.clients + self.operators:
            thread.stopping.set()
        for thread in self.clients + self.operators:
            thread.join()
        self.stopping.set()
        self.watcher.join()

    def careless(self):
        return [status for client in self.clients for status in client.careless]


HOUR, DAY = 3600 * 1000, 24 * 3600 * 1000
YEAR = 365 * DAY
# Of both signs, past the 7 days of retention, past leap years, further than anybody's clock should be.
OFFSETS = (HOUR, -HOUR, 2 * YEAR, 0, -3 * YEAR, 40 * DAY, -8 * DAY, 30 * YEAR, -20 * YEAR, 6 * DAY)
AGED = ("too_old", "wait_expired")  # endings that a jump could cause


class Clock:
    """How far the wall clock of a tai-chaos is off, in milliseconds (shim/clock.c)."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "clock")
        with open(self.path, "wb") as out:
            out.write(struct.pack("=q", 0))
        self.env = {"TAI_CHAOS_CLOCK": self.path}

    def set(self, offset):
        with open(self.path, "r+b") as out:
            out.write(struct.pack("=q", offset))


KINDS = ("supervisor", "both", "both", "term", "stall", "worker", "worker", "stopped")


def hurt(service, rng, kinds):
    """One random fault; returns (its name, seconds until it served again)."""
    began = time.monotonic()
    kind = rng.choice(kinds)
    if kind in ("worker", "stopped") and service.crashes >= SUPERVISED_CRASHES:
        kind = "both"
    if kind == "jump":
        pass    # the clock has been set
    elif kind in ("worker", "stopped"):
        service.kill_worker(kind == "stopped")
    elif kind == "stall":
        service.stall(rng.uniform(0.01, 0.3))
    elif kind == "term":
        code = service.stop(20)
        if code:
            raise RuntimeError(f"exit code {code} after SIGTERM:\n{service.log()}")
        service.restart()
    else:
        service.kill_supervisor(kind == "both")
    return kind, service.serving() - began


def say(text):
    """A line at once, whole, also from several threads."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def two_at_a_time(tasks):
    """Runs (function, argument…) after another, two at once, because each mostly waits; what they returned."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(*task) for task in tasks]]


# --- the end ----------------------------------------------------------------------------------------------------------

def governors_of(service):
    found, after = [], ""
    while True:
        _, page, _ = service.get("/v1/governors?limit=1000" + after)
        found += page["governors"]
        if "next" not in page:
            return found
        after = "&after=" + page["next"]


def close_refunds(service, history, deadline):
    """What waits for the end of a refund goes on."""
    number = 0
    while time.monotonic() < deadline:
        waiting = [g for g in governors_of(service) if g["refund_open"]]
        if not waiting and not service.totals()["signals"]["waiting"] and not queued(service):
            return
        client = Client(99, service, history, Load(), 0)
        for governor in waiting:
            number += 1
            client.attempt([client.pack({"id": f"end-{number}", "time": utc(), "tenant_id": governor["tenant_id"],
                                         "entitlement_id": governor["entitlement_id"], "type": REFUNDED})])
        time.sleep(0.05)


def queued(service):
    return service.metric("tai_kanban_depth_signals") > 0


def drained(service, deadline):
    """Nothing queued, waiting, acting or without its receipt, and a checkpoint over all of it."""
    calm = 0
    while time.monotonic() < deadline:
        totals = service.totals()
        signals = totals["signals"]
        busy = (queued(service) or totals["outcomes_open"] or signals["waiting"] or signals["acting"] or
                any(shard["size"] != shard["checkpoint_size"] for shard in totals["ledger"]) or
                totals["receipts"] != sum(shard["size"] for shard in totals["ledger"]))
        calm = 0 if busy else calm + 1
        if calm == 3:
            return True
        time.sleep(0.03)
    return False


def read_rows(path, bad):
    """(tenant, entitlement, id, redrive) -> status of every ended signal that came first under its identity."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                bad(f"integrity_check: {line}")
        rows = connection.execute("SELECT tenant, entitlement, id, redrive, status FROM signals"
                                  " WHERE conflict = x'' AND status > 1")
        return {row[:4]: STATUSES[row[4]] for row in rows}
    finally:
        connection.close()


def dump(service, history, bad, deadline):
    """Heals, drains, dumps and stops: what the checker wants to know."""
    export = os.path.join(service.data, "export.tai")
    service.serving(max(1.0, deadline - time.monotonic()))
    commands = operators.commands_ended(service, history, deadline)
    close_refunds(service, history, deadline)
    if not drained(service, deadline):
        bad(f"not drained: {json.dumps(service.totals())}")
    found = {"totals": service.totals(), "governors": governors_of(service), "commands": commands,
             "letters": operators.letters_open(service)}
    vkey = service.get("/v1/ledger/vkey")[1].strip()
    done = service.cli("receipt", "export", "-o", export)
    verified = service.cli("receipt", "verify", export, "--vkey", vkey)
    if done.returncode or verified.returncode:
        bad(f"export or verify failed: {done.stderr} {verified.stdout} {verified.stderr}")
    code = service.stop(30)
    if code:
        bad(f"exit code {code} after SIGTERM")
    found["rows"] = read_rows(os.path.join(service.data, "tai.db"), bad)
    return found, checker.read_export(export) if not done.returncode else []


def check(service, history, violations, quota_limit=None, timeout=60):
    """Everything; the service has ended afterwards. From one that does not come up there is nothing to be had."""
    found, receipts = {}, []
    try:
        found, receipts = dump(service, history, violations.add, time.monotonic() + timeout)
    except (OSError, RuntimeError, ValueError, KeyError, http.client.HTTPException, sqlite3.Error,
            subprocess.TimeoutExpired) as error:
        violations.add(f"the end was not reached: {error!r}")
    if service.process and service.process.poll() is None:
        service.kill()
    return checker.check(history, receipts, violations, **found, quota_limit=quota_limit)


@dataclasses.dataclass
class Trial:
    """One data set under load and faults, then checked."""
    binary: str
    seed: int
    cycles: int
    env: dict = dataclasses.field(default_factory=dict)
    config: str = "governor:\n  quota_limit: 150\n"
    quota_limit: int = 150
    load: Load = dataclasses.field(default_factory=Load)
    between: tuple = (0.02, 0.3)    # seconds of load before each fault
    timeout: float = 60             # to heal and drain
    show: int = 20                  # violations printed
    kinds: tuple = KINDS
    check_data: bool = False        # `config check --data` after every fourth kill and at the end
    jumps: bool = False             # with every fault the wall clock jumps; of a tai-chaos
    fault: object = None            # fault(trial) instead of one of the kinds

    def run(self):
        """Fills violations, faults, slowest, outcomes, checkpoints."""
        rng, self.history = random.Random(self.seed), checker.History()
        self.violations, self.faults, self.slowest = checker.Violations(self.show), {}, 0.0
        self.data = tempfile.mkdtemp(prefix="tai-chaos-")
        self.clock = Clock(self.data)
        self.service = Service(self.binary, data=self.data, config=os.path.join(self.data, "config.yaml"),
                               env={**self.env, **(self.clock.env if self.jumps else {})})
        self.configure("10s")
        try:
            self.hurt(rng)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            self.violations.add(f"a cycle failed: {error}")
        check(self.service, self.history, self.violations, self.quota_limit, self.timeout)
        if self.check_data:
            self.checks = 0
            self.check_at_rest()
        for reason in AGED:
            if self.violations.endings[reason]:
                self.violations.add(f"{self.violations.endings[reason]} signals ended as {reason}")
        self.outcomes, self.checkpoints = self.history.outcomes(), len(self.history.checkpoints)
        return self

    def check_at_rest(self):
        """Whatever a kill leaves must be in order."""
        self.checks += 1
        if self.checks % 4 == 1:
            code, problems, _, said = damage.check(self.binary, self.data)
            if code:
                self.violations.add(f"config check --data after a kill: {code} {problems[:3] or said}")

    def configure(self, shutdown):
        """For the next start. A short time to drain leaves frames for the start after it."""
        with open(self.service.config, "w", encoding="utf-8") as out:
            out.write(self.config + ("" if "shutdown:" in self.config else f"shutdown:\n  timeout: {shutdown}\n"))

    def hurt(self, rng):
        self.checks = 0
        if self.check_data:
            self.service.at_rest = self.check_at_rest
        self.service.start()
        crew = Crew(self.service, self.history, self.load, self.seed)
        with crew:
            for _ in range(self.cycles):
                time.sleep(rng.uniform(*self.between))
                self.configure(rng.choice(("10s", "1s", "100ms")))
                if self.jumps:
                    self.clock.set(rng.choice(OFFSETS) + rng.randrange(HOUR))
                kind, took = self.fault(self) if self.fault else hurt(self.service, rng, self.kinds)
                self.faults[kind] = self.faults.get(kind, 0) + 1
                self.slowest = max(self.slowest, took)
            time.sleep(self.between[1])
        for status in crew.careless():
            self.violations.add(f"an answer {status} without Retry-After")

    def forget(self):
        shutil.rmtree(self.data, ignore_errors=True)

    def summary(self):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(self.violations.endings.items()))
        given = ", ".join(f"{count} {command}" for command, count in sorted(self.violations.operations.items()))
        return (f"seed {self.seed}: {sum(self.faults.values())} faults ({kinds}), {self.outcomes['ok']} accepted, "
                f"{self.outcomes['info']} unknown, {self.outcomes['fail']} refused, ended {endings}, "
                f"operators: {given or 'none'}, "
                f"{self.checkpoints} checkpoints seen, serving again after at most {self.slowest:.2f} s, "
                f"{len(self.violations)} violations")
