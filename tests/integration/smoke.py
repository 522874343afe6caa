#!/usr/bin/python3
"""The whole pipeline once, quickly enough for ThreadSanitizer: 2,000 signals from 4 threads. smoke.py TAI [TEST…]"""
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import main, signal_of  # noqa: E402
from raw import Connection, post  # noqa: E402

THREADS, BATCHES, BATCH, SINGLES = 4, 8, 50, 100


def usage(identity):
    return {"id": identity, "tenant_id": f"t{len(identity) % 3}", "entitlement_id": f"e{sum(identity.encode()) % 5}",
            "type": "usage", "data": {"cost": "0.01"}}


def client(tai, number, sent, bad):
    """Batches and singles in turn on one connection; every answer must be 202."""
    with Connection(tai.port, 60) as connection:
        for turn in range(SINGLES):
            bodies = [usage(f"s{number}-{turn}")]
            if turn < BATCHES:
                bodies.append([usage(f"b{number}-{turn}-{i}") for i in range(BATCH)])
            for body in bodies:
                connection.send(post(body))
                answer = connection.answer()
                if answer.status != 202:
                    bad.append((answer.status, answer.body))
                sent.extend(body if isinstance(body, list) else [body])


def test_smoke(t):
    with t.tai() as tai:
        sent, bad = [], []
        threads = [threading.Thread(target=client, args=(tai, n, sent, bad)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            t.equal("/v1/status meanwhile", tai.get("/v1/status")[0], 200)
            t.equal("/metrics meanwhile", tai.get("/metrics", tai.port)[0], 200)
            tai.get("/v1/receipts?limit=50")
            tai.get("/v1/governors")
            threads[0].join(0.2)
        t.equal("answers other than 202", bad, [])
        t.equal("signals sent", len(sent), THREADS * (SINGLES + BATCHES * BATCH))
        t.equal("duplicates", tai.post(json.dumps(sent[0]))[1].get("duplicate"), True)
        tai.settle()
        listed = ledger.check_ledger(t, tai)
        endings = sorted((r["receipt"]["signal_id"], r["receipt"]["ending"]) for r in listed if "ending" in r["receipt"])
        t.equal("endings", endings, sorted((s["id"], "executed") for s in sent))
        t.equal("one of them", signal_of(tai, sent[7]["id"], sent[7]["tenant_id"])[1]["status"], "executed")
        t.equal("exit code after SIGTERM", tai.stop(60), 0)
        t.true("no report of a sanitizer", "Sanitizer" not in tai.log(), tai.log())
    tai.port = tai.andon_port = 0
    with tai:
        tai.settle()
        t.equal("the log after a restart", len(ledger.check_ledger(t, tai)), len(listed))
        t.equal("exit code", tai.stop(60), 0)


if __name__ == "__main__":
    main(globals())
