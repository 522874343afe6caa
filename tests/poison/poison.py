#!/usr/bin/python3
"""A signal that ends its worker, restarted by the real supervisor: poison.py TAI-POISON [TEST…]."""
import http.client
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, main, signal_of, wait_for  # noqa: E402


def usage(identity, entitlement="e", **more):
    return {"id": identity, "tenant_id": "acme", "entitlement_id": entitlement, "type": "usage", **more}


def post(tai, body):
    """As a publisher does: again until it is answered 202. The worker may die before it can answer."""
    def attempt():
        try:
            return tai.post(body)[0] == 202
        except (OSError, http.client.HTTPException):
            return False
    wait_for("a 202", attempt, 60)


def settled(t, tai, identities, entitlement="e"):
    for identity in identities:
        signal = ended(tai, identity, "acme", entitlement, timeout=60)
        t.equal(f"ending of {identity}", (signal["status"], signal.get("reason")), ("executed", None))


def open_deadletters(tai):
    return tai.get("/v1/deadletters")[1]["deadletters"]


def poisoned(tai, count=1):
    """Whatever the worker is doing, andon answers again."""
    def look():
        try:
            found = [d for d in open_deadletters(tai) if d["reason"] == "poison"]
            return found if len(found) == count else None
        except OSError:
            return None
    return wait_for("the dead letter", look, 90)


def test_alone(t):
    """The poison comes in one POST with its neighbours, to many partitions; only it is put aside."""
    with t.tai() as tai:
        first = tai.worker_pid()
        batch = [usage(f"a{i}", f"e{i % 8}") for i in range(40)]
        batch += [usage("poison", data=["arsenic"])]
        batch += [usage(f"b{i}", f"e{i % 8}") for i in range(40)] + [usage("same", data="honey")]
        post(tai, batch)
        letter = poisoned(tai)[0]
        t.equal("the dead letter", [letter[k] for k in ("class", "status", "signal_id", "redrive")],
                ["poison", "deadlettered", "poison", 0])
        t.true("the worker was restarted", tai.worker_pid() != first)
        for i in range(40):
            settled(t, tai, [f"a{i}", f"b{i}"], f"e{i % 8}")
        settled(t, tai, ["same"])
        tai.settle()
        t.equal("dead letters", len(open_deadletters(tai)), 1)
        status = tai.totals()
        t.equal("conservation", status["conservation"], {"gap": 0, "balance": 0})
        t.equal("taken but once", status["signals"]["taken"] - status["signals"]["duplicates"], 82)
        endings = [r["signal_id"] for r in ledger.receipts_of(tai, "acme") if "ending" in r]
        t.equal("endings", sorted(endings), sorted(s["id"] for s in batch))
        ledger.check_ledger(t, tai)


def test_requeued(t):
    """Requeued as it is it kills again, and is put aside again; edited it runs."""
    with t.tai() as tai:
        post(tai, usage("poison", data={"dose": "arsenic"}))
        letter = poisoned(tai)[0]
        tai.stop()  # so that the restarts are counted anew
        tai.start()
        done = tai.cli("deadletter", "requeue", letter["id"], "--no-wait", "--operator", "ann")
        t.equal("requeue", done.returncode, 0)
        again = wait_for("it again", lambda: [d for d in poisoned(tai) if d["redrive"] == 1], 90)[0]
        tai.stop()
        tai.start()
        edited = t.file("edited.json", '{"id":"poison","tenant_id":"acme","entitlement_id":"e","type":"usage","data":0}')
        done = tai.cli("deadletter", "requeue", again["id"], "--edit", edited, "--yes", "--because", "diluted")
        t.equal("edited", done.returncode, 0)
        t.contains("the difference", done.stdout, '-  "data": {')
        signal = signal_of(tai, "poison", "acme", "e")[1]
        t.equal("the signal", (signal["status"], signal["redrive"]), ("executed", 2))
        tai.settle()
        t.equal("conservation", tai.totals()["conservation"], {"gap": 0, "balance": 0})
        ledger.check_ledger(t, tai)


main(globals())
