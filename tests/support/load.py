"""Clients that post without pause and record every attempt in a history (tests/chaos/history.py)."""
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import history as checker  # noqa: E402

import ledger  # noqa: E402


class Client(threading.Thread):
    """One connection, one request after another until told to stop; a broken connection is `info` and a new one."""

    def __init__(self, number, tai, history, sizes=(1, 1, 1, 7, 60), pad=200, tenants=3, entitlements=5, pause=0.0):
        super().__init__(daemon=True)
        self.number, self.tai, self.history = number, tai, history
        self.sizes, self.pad, self.tenants, self.entitlements, self.pause = sizes, pad, tenants, entitlements, pause
        self.random, self.stopping = random.Random(number), threading.Event()
        self.connection, self.sent = None, 0
        self.statuses = {}      # status -> how many signals got it
        self.careless = []      # (status, headers): 429 or 503 without Retry-After

    def signal(self):
        self.sent += 1
        return {"id": f"c{self.number}-{self.sent}", "tenant_id": f"t{self.random.randrange(self.tenants)}",
                "entitlement_id": f"e{self.random.randrange(self.entitlements)}", "type": "usage",
                "data": {"cost": "0.01", "pad": "x" * self.random.randrange(self.pad)}}

    def run(self):
        while not self.stopping.is_set():
            signals = [self.signal() for _ in range(self.random.choice(self.sizes))]
            texts = [json.dumps(signal) for signal in signals]
            identities = [(s["tenant_id"], s["entitlement_id"], s["id"]) for s in signals]
            now = time.monotonic()
            for identity, text in zip(identities, texts):
                self.history.invoke(identity, hashlib.sha256(text.encode()).hexdigest(), now)
            statuses = self.post(texts)
            now = time.monotonic()
            for identity, status in zip(identities, statuses):
                self.statuses[status] = self.statuses.get(status, 0) + 1
                self.history.complete(identity, self.outcome(status), now)
            if self.pause:
                self.stopping.wait(self.pause)

    def post(self, texts):
        """The status of each signal; 0 where no answer came."""
        body = texts[0] if len(texts) == 1 else "[" + ",".join(texts) + "]"
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.tai.port, timeout=30)
            self.connection.request("POST", "/v1/signals", body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.connection = None
            self.stopping.wait(0.01)
            return [0] * len(texts)
        statuses = [response.status] * len(texts)
        if len(texts) > 1 and response.status in (202, 207):
            statuses = [item["status"] for item in answer["results"]]
        if {429, 503} & set(statuses) and not response.getheader("Retry-After"):
            self.careless.append((response.status, response.getheaders()))
        return statuses

    @staticmethod
    def outcome(status):
        return "ok" if status == 202 else "info" if status >= 500 or status == 0 else "fail"


class Load:
    """Some clients and their common history; use as a context manager, they stop at its end."""

    def __init__(self, tai, clients=4, history=None, first=0, **options):
        self.history = history or checker.History()
        self.clients = [Client(first + i, tai, self.history, **options) for i in range(clients)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.join()

    def statuses(self):
        total = {}
        for client in self.clients:
            for status, count in client.statuses.copy().items():
                total[status] = total.get(status, 0) + count
        return total

    def accepted(self):
        return self.statuses().get(202, 0)

    def check(self, t, tai):
        """Everything the clients saw against the receipts of a service at rest."""
        t.equal("violations of the history", checker.check(self.history, ledger.receipts(tai, shard=0)), [])
        t.true("some signals were accepted", self.accepted() > 0, self.statuses())
        t.equal("429 and 503 without Retry-After", [c for client in self.clients for c in client.careless], [])
