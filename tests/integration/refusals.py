#!/usr/bin/python3
"""Receipts of what ingress refuses: refusals.py TAI [TEST…]."""
import collections
import hashlib
import hmac
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import history as checker  # noqa: E402

import ledger  # noqa: E402
from checks import ended, main, wait_for  # noqa: E402

SECRETS = {"acme-1": b"acme's secret, long enough", "all": b"everybody's secret, long enough"}
SINGLES_PER_S = 64
SIGNED = "".join(f"  - id: {key}\n    tenant: '{tenant}'\n    role: publisher\n" for key, tenant in
                 (("acme-1", "acme"), ("all", "*")))
SECRETS_ENV = {"TAI_KEYS_ACME_1_SECRET": SECRETS["acme-1"].decode(), "TAI_KEYS_ALL_SECRET": SECRETS["all"].decode()}


def keyed(t, more=""):
    return t.tai("keys:\n" + SIGNED + more, env=SECRETS_ENV)


def send(tai, body, key):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = hmac.new(SECRETS[key], body, hashlib.sha256).hexdigest()
    return body, tai.post(body, {"X-Signature": signature, "X-Key-Id": key})[0]


def refusals(tai, chain, kind="refusal"):
    return [r for r in ledger.receipts_of(tai, chain) if r["type"] == kind and "ending" not in r]


def summed(tai, chain):
    counts = collections.Counter()
    for receipt in refusals(tai, chain, "refusal_summary"):
        counts[receipt["reason"]] += receipt["body"]["count"]
    return dict(counts)


def untouched(t, tai, ended_signals):
    signals = tai.totals()["signals"]
    t.equal("signals taken, ended, waiting", [signals[name] for name in ("taken", "ended", "waiting")],
            [ended_signals, ended_signals, 0])
    t.true("the service finds nothing missing", not any(tai.totals()["conservation"].values()), tai.totals())


def test_signed(t):
    """Each of an authenticated sender's refusals is a receipt in its tenant's chain; nobody else's says anything of it."""
    with keyed(t) as tai:
        invalid, status = send(tai, {"id": "bad", "tenant_id": "acme", "entitlement_id": "e", "typ": "usage"}, "acme-1")
        t.equal("status without a type", status, 400)
        foreign, status = send(tai, {"id": "f", "tenant_id": "globex", "sku_id": "s", "type": "usage"}, "acme-1")
        t.equal("status for another tenant", status, 403)
        t.equal("status of what is no JSON", send(tai, b"{", "acme-1")[1], 400)
        t.equal("status of a bad signal of any tenant", send(tai, {"id": "i", "tenant_id": "initech", "type": "-"}, "all")[1], 400)
        t.equal("status of a bad signal of no tenant", send(tai, {"id": "i", "type": "usage"}, "all")[1], 400)
        for _ in range(3):
            t.equal("status unsigned", tai.post({"id": "u", "tenant_id": "acme", "type": "usage"})[0], 401)
        t.equal("status of a good one", send(tai, {"id": "g", "tenant_id": "acme", "sku_id": "s", "type": "usage"}, "acme-1")[1], 202)
        wait_for("the receipts", lambda: len(refusals(tai, "acme")) == 3 and refusals(tai, "initech") and
                 refusals(tai, "_system") and summed(tai, "_system") == {"unauthenticated": 3}, 20)
        found = refusals(tai, "acme")
        t.equal("reasons", [r["reason"] for r in found], ["invalid", "forbidden", "invalid"])
        t.equal("what the first says", {name: found[0].get(name) for name in
                                        ("signal_id", "entitlement_id", "tenant_id", "signal_sha256", "redrive")},
                {"signal_id": "bad", "entitlement_id": "e", "tenant_id": "acme", "redrive": 0,
                 "signal_sha256": hashlib.sha256(invalid).hexdigest()})
        t.equal("its body", {**found[0]["body"], "detail": "typ" in found[0]["body"]["detail"]},
                {"detail": True, "key_id": "acme-1", "status": 400})
        t.equal("the hash of the second", found[1]["signal_sha256"], hashlib.sha256(foreign).hexdigest())
        t.true("nothing is known of what is no JSON", not {"signal_id", "signal_sha256"} & set(found[2]), found[2])
        t.equal("of any tenant", [r["signal_id"] for r in refusals(tai, "initech")], ["i"])
        t.equal("of no tenant", [r["body"]["key_id"] for r in refusals(tai, "_system")], ["all"])
        t.equal("in the other tenant's chain", refusals(tai, "globex"), [])
        ended(tai, "g", "acme", "s")
        untouched(t, tai, 1)
        tai.settle()
        ledger.check_ledger(t, tai)


def test_flood(t):
    """What is more than 64 a second is summed; nothing is lost when nothing is killed, nor written twice when killed between."""
    tai = keyed(t).start()
    refused, began = 0, time.monotonic()
    while refused < 5000:
        body, status = send(tai, [{"id": f"x{refused + i}", "tenant_id": "acme"} for i in range(500)], "acme-1")
        t.equal("status of a batch", status, 207)
        refused += 500
    t.equal("unsigned", tai.post([{}])[0], 401)
    wait_for("the first receipts", lambda: refusals(tai, "acme"), 20)
    took = time.monotonic() - began
    t.equal("exit code", tai.stop(30), 0)
    with tai:
        for kill in (False, True):
            if kill:
                tai.kill()
                tai.start()
            singles, sums = refusals(tai, "acme"), summed(tai, "acme")
            t.true("receipts of their own are at most 64 a second", 0 < len(singles) <= SINGLES_PER_S * (took + 2), len(singles))
            t.equal("refusals in all", len(singles) + sums.get("invalid", 0), refused)
            t.equal("reasons summed", (set(sums), summed(tai, "_system")), ({"invalid"}, {"unauthenticated": 1}))
        untouched(t, tai, 0)


def test_killed(t):
    """kill -9 at any moment: what was not published may be missing, nothing is there twice."""
    tai, sent, history = keyed(t).start(), 0, checker.History()

    def more():
        nonlocal sent
        body = json.dumps({"id": f"k{sent}", "tenant_id": "acme", "entitlement_id": "e"}).encode()
        history.invoke(("acme", "e", f"k{sent}"), hashlib.sha256(body).hexdigest(), time.monotonic())
        t.equal("status", send(tai, body, "acme-1")[1], 400)
        history.complete(("acme", "e", f"k{sent}"), "fail", time.monotonic())
        sent += 1
        return tai.metric("tai_kanban_settled_frames_total") > 0
    for _ in range(2):
        wait_for("refusals to be taken", more, 20, 0.01)
        tai.kill()
        tai.start()
    t.equal("exit code", tai.stop(30), 0)
    with tai:
        ids = [r["signal_id"] for r in refusals(tai, "acme")]
        t.equal("receipts of one refusal", len(ids), len(set(ids)))
        t.true("of what was sent", set(ids) <= {f"k{i}" for i in range(sent)} and len(ids) + summed(tai, "acme").get(
            "invalid", 0) <= sent, ids)
        violations = checker.Violations()
        checker.check(history, ledger.receipts(tai, shard=0), violations)
        t.equal("violations of the history", violations, [])
        t.equal("what the checker has seen", len(ids) > 0, True)
        liar = checker.Violations(show=0)
        history.signals[("acme", "e", ids[0])]["sha256"] = "0" * 64
        checker.check(history, ledger.receipts(tai, shard=0), liar)
        t.equal("violations where other bytes were sent", len(liar), 1)


def test_unsigned(t):
    """Without keys nobody is authenticated: a sum a second and reason, in the chain of no tenant."""
    with t.tai("ingress:\n  tenant_rate: 1\n") as tai:
        for _ in range(50):
            t.equal("status", tai.post({"id": "a", "tenant_id": "acme"})[0], 400)
        answers = collections.Counter(tai.post({"id": f"r{i}", "tenant_id": "acme", "sku_id": "s", "type": "usage"})[0]
                                      for i in range(5))
        wait_for("the sums", lambda: summed(tai, "_system") == {"invalid": 50, "limited": answers[429]}, 20)
        sums = refusals(tai, "_system", "refusal_summary")
        t.true("few of them", len(sums) <= 12, len(sums))
        t.true("from when to when", all(s["body"]["from"] <= s["body"]["to"] == s["timestamp"] for s in sums), sums)
        t.equal("single ones", refusals(tai, "_system") + refusals(tai, "acme"), [])
        metrics = tai.get("/metrics", tai.port)[1]
        t.contains("metrics", metrics, f'tai_ingress_refusals_total{{form="summed"}} {50 + answers[429]}\n')


if __name__ == "__main__":
    main(globals())
