#!/usr/bin/python3
"""kill -9 under load: kill_cycles.py TAI [--cycles N] [--seed S]

Clients post singles and batches without pause while the worker, or the supervisor, or both are killed at random instants.
Afterwards every 202 must have exactly one ending, every chain be whole, every published checkpoint a prefix of the log, and
the export must verify offline."""
import argparse
import base64
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import history as checker  # noqa: E402
from tai import Tai  # noqa: E402

CLIENTS, TENANTS, ENTITLEMENTS = 4, 3, 5


class Client(threading.Thread):
    """Posts one request after another until told to stop; a broken connection is `info` and a new connection."""

    def __init__(self, number, tai, history, seed):
        super().__init__(daemon=True)
        self.number, self.tai, self.history = number, tai, history
        self.random = random.Random(seed * 1000 + number)
        self.stopping = threading.Event()
        self.connection, self.sent = None, 0

    def signal(self):
        self.sent += 1
        return {"id": f"c{self.number}-{self.sent}", "tenant_id": f"t{self.random.randrange(TENANTS)}",
                "entitlement_id": f"e{self.random.randrange(ENTITLEMENTS)}", "type": "usage",
                "data": {"cost": "0.01", "pad": "x" * self.random.randrange(200)}}

    def run(self):
        while not self.stopping.is_set():
            signals = [self.signal() for _ in range(self.random.choice([1, 1, 1, 7, 60]))]
            texts = [json.dumps(s) for s in signals]
            identities = [(s["tenant_id"], s["entitlement_id"], s["id"]) for s in signals]
            now = time.monotonic()
            for identity, text in zip(identities, texts):
                self.history.invoke(identity, hashlib.sha256(text.encode()).hexdigest(), now)
            outcomes = self.post(texts)
            now = time.monotonic()
            for identity, outcome in zip(identities, outcomes):
                self.history.complete(identity, outcome, now)

    def post(self, texts):
        body = texts[0] if len(texts) == 1 else "[" + ",".join(texts) + "]"
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.tai.port, timeout=20)
            self.connection.request("POST", "/v1/signals", body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection = None
            self.stopping.wait(0.01)
            return ["info"] * len(texts)
        if len(texts) > 1 and response.status in (202, 207):
            return [self.outcome(item["status"]) for item in answer["results"]]
        return [self.outcome(response.status)] * len(texts)

    @staticmethod
    def outcome(status):
        return "ok" if status == 202 else "info" if status >= 500 else "fail"


def watch_checkpoints(tai, history, stopping):
    while not stopping.wait(0.02):
        try:
            status, text, _ = tai.get("/checkpoint", timeout=5)
        except (OSError, http.client.HTTPException):
            continue
        if status == 200 and isinstance(text, str):
            _, size, root = text.split("\n")[:3]
            history.saw_checkpoint(int(size), base64.b64decode(root))


def wait_serving(tai, timeout=20):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if tai.get("/readyz", tai.port, timeout=2)[0] == 200:
                return time.monotonic()
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.005)
    raise RuntimeError("not serving again:\n" + tai.log())


def kill_once(tai, rng):
    """Returns how long it took until it served again."""
    began = time.monotonic()
    worker = tai.worker_pid()
    # The supervisor gives up after five crashes in a minute: it is replaced every few cycles anyway.
    if worker and rng.random() < 0.2:
        os.kill(worker, signal.SIGKILL)
    else:
        tai.kill()
        tai.start()
    return wait_serving(tai) - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai")
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    rng, history, stopping = random.Random(options.seed), checker.History(), threading.Event()
    print(f"seed {options.seed}, {options.cycles} cycles")
    data = tempfile.mkdtemp(prefix="tai-kill-")
    tai = Tai(options.tai, data=data).start()
    clients = [Client(i, tai, history, options.seed) for i in range(CLIENTS)]
    watcher = threading.Thread(target=watch_checkpoints, args=(tai, history, stopping), daemon=True)
    for thread in clients + [watcher]:
        thread.start()
    slowest = 0
    for _ in range(options.cycles):
        time.sleep(rng.uniform(0.02, 0.4))
        slowest = max(slowest, kill_once(tai, rng))
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join()
    stopping.set()
    watcher.join()
    return finish(tai, history, options, slowest, data)


def finish(tai, history, options, slowest, data):
    wait_serving(tai)
    tai.settle()
    export, vkey = os.path.join(data, "export.tai"), tai.get("/v1/ledger/vkey")[1].strip()
    done = tai.cli("receipt", "export", "-o", export)
    verified = tai.cli("receipt", "verify", export, "--vkey", vkey)
    violations = checker.check(history, checker.read_export(export))
    if done.returncode or verified.returncode:
        violations.append("export or verify failed")
        print(done.stderr, verified.stdout, verified.stderr)
    outcomes = [s["outcome"] for s in history.signals.values()]
    code = tai.stop()
    if code:
        violations.append(f"exit code {code} after SIGTERM")
    print(f"{options.cycles} kills, {outcomes.count('ok')} accepted, {outcomes.count('info')} unknown, "
          f"{outcomes.count('fail')} refused, {len(history.checkpoints)} checkpoints seen, "
          f"serving again after at most {slowest:.2f} s, {len(violations)} violations, seed {options.seed}")
    if violations or not outcomes.count("ok"):
        print(f"data kept in {data}\n{tai.log()}")
        return 1
    shutil.rmtree(data)
    return 0


sys.exit(main())
