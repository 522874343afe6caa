#!/usr/bin/python3
"""Quotas, policies, entitlement events and waiting signals over HTTP: governors.py TAI [TEST…]."""
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
import pages  # noqa: E402
from checks import ended, governor, main, signal_of, wait_for  # noqa: E402

HOUR_MS = 3600 * 1000


def usage(identity, **more):
    return {"id": identity, "tenant_id": "acme", "entitlement_id": "e", "type": "usage", **more}


def event(name, identity, **more):
    return usage(identity, type="tai.entitlement." + name, **more)


def send(t, tai, signal):
    """Posts one signal and returns how it ended."""
    t.equal(f"answer to {signal['id']}", tai.post(signal)[0], 202)
    return ended(tai, signal["id"], signal["tenant_id"], signal["entitlement_id"])


def outcome(signal):
    return signal["status"], signal.get("reason")


def waiting(tai, count):
    wait_for(f"{count} waiting signals", lambda: tai.totals()["signals"]["waiting"] == count)


def endings(tai):
    """(id, ending, reason) in the order of the ledger."""
    return [(r["signal_id"], r["ending"], r.get("reason")) for r in ledger.receipts_of(tai, "acme") if "ending" in r]


def alerts(tai):
    return [a["name"] for r in ledger.receipts_of(tai, "acme") for a in r["body"].get("alerts", [])]


def numbers_of(blob):
    """Zigzag LEB128, as store/sqlite/pack.c has them."""
    numbers, value, shift = [], 0, 0
    for byte in blob:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value >> 1 ^ -(value & 1))
            value = shift = 0
    return numbers


def blob_of(numbers):
    blob = bytearray()
    for number in numbers:
        value = number << 1 if number >= 0 else (-number << 1) - 1
        while value >= 0x80:
            blob.append(value & 0x7F | 0x80)
            value >>= 7
        blob.append(value)
    return bytes(blob)


def let_period_pass(data, record, ms):
    """As if that much time had passed while nothing ran: the quota period of the governor began earlier."""
    began, key = record["period_start"], (record["tenant_id"], record["entitlement_id"])
    with sqlite3.connect(os.path.join(data, "tai.db")) as db:
        blob = db.execute("SELECT numbers FROM governors WHERE (tenant, entitlement) = (?, ?)", key).fetchone()[0]
        numbers = [number - ms if number == began else number for number in numbers_of(blob)]
        db.execute("UPDATE governors SET numbers = ?, quota_due = quota_due - ? WHERE (tenant, entitlement) = (?, ?)",
                   (blob_of(numbers), ms, *key))
    db.close()
    pages.write_checksums(os.path.join(data, "tai.db"))


def test_quota(t):
    tai = t.tai("governor:\n  quota_limit: 3\n  quota_period: hour\n").start()
    t.equal("within the quota", [outcome(send(t, tai, usage(f"q{i}")))[0] for i in range(3)], ["executed"] * 3)
    t.equal("beyond it", outcome(send(t, tai, usage("q3"))), ("refused", "quota_exceeded"))
    t.equal("a critical one", outcome(send(t, tai, usage("q4", severity="critical"))), ("refused", "quota_exceeded"))
    record = governor(tai, "acme", "e")
    t.equal("the governor", [record[k] for k in ("state", "quota_limit", "quota_used", "quota_period")],
            ["suspended", 3, 3, "hour"])
    t.equal("alerts", alerts(tai), ["quota_exceeded"])
    t.equal("another entitlement", outcome(send(t, tai, usage("q5", entitlement_id="f")))[0], "executed")
    t.equal("exit", tai.stop(), 0)
    let_period_pass(tai.data, record, HOUR_MS)
    tai.port = tai.andon_port = 0
    with tai:
        wait_for("the roll-over", lambda: governor(tai, "acme", "e")["state"] == "active")
        t.equal("quota used in the new period", governor(tai, "acme", "e")["quota_used"], 0)
        t.equal("a signal in the new period", outcome(send(t, tai, usage("q6")))[0], "executed")
        tai.settle()
        resets = [r for r in ledger.receipts_of(tai, "acme") if r.get("reason") == "quota_reset"]
        t.equal("receipts of roll-overs", [(r["type"], r["entitlement_id"], r["state_after"]) for r in resets],
                [("state_change", "e", "active")])
        ledger.check_ledger(t, tai)


def test_quota_zero(t):
    with t.tai("governor:\n  quota_limit: 0\n") as tai:
        t.equal("with quota 0", outcome(send(t, tai, usage("z"))), ("refused", "quota_exceeded"))


def test_cost_deny(t):
    with t.tai("policies:\n  - type: cost_governance\n    budget: 1.00\n    window: day\n") as tai:
        t.equal("within the budget", outcome(send(t, tai, usage("c1", data={"cost": "0.70"})))[0], "executed")
        t.equal("over it", outcome(send(t, tai, usage("c2", data={"cost": 0.31}))),
                ("denied", "policy_denied:cost_governance:over_budget"))
        t.equal("what was denied does not count", outcome(send(t, tai, usage("c3", data={"cost": 0.1})))[0], "executed")
        t.equal("exactly the budget", outcome(send(t, tai, usage("c4", data={"cost": "0.2"})))[0], "executed")
        t.equal("a millionth more", outcome(send(t, tai, usage("c5", data={"cost": "0.000001"})))[0], "denied")
        t.equal("no cost", outcome(send(t, tai, usage("c6")))[0], "executed")
        t.equal("a negative cost", outcome(send(t, tai, usage("c7", data={"cost": -1}))),
                ("denied", "policy_denied:cost_governance:bad_cost"))
        t.equal("another governor's budget",
                outcome(send(t, tai, usage("c8", entitlement_id="f", data={"cost": 1})))[0], "executed")
        t.equal("alerts", alerts(tai), ["cost_budget_warning"] * 2)
        denied = ledger.receipts_of(tai, "acme", "c2")[0]
        t.equal("receipt", (denied["type"], denied["policy"], denied["ending"]), ("refusal", "cost_governance", "denied"))
        tai.settle()
        ledger.check_ledger(t, tai)


def test_cost_action(t):
    config = ("actions:\n  - name: throttle\n    type: none\n"
              "policies:\n  - type: cost_governance\n    name: spend\n    budget: 1\n    on_exceeded: action\n"
              "    action: throttle\n")
    with t.tai(config) as tai:
        t.equal("within the budget", outcome(send(t, tai, usage("a1", data={"cost": 1})))[0], "executed")
        signal = send(t, tai, usage("a2", data={"cost": 1}))
        t.equal("over it", signal["status"], "executed")
        wait_for("both receipts", lambda: len(signal_of(tai, "a2", "acme")[1]["receipts"]) == 2)
        receipts = ledger.receipts_of(tai, "acme", "a2")
        t.equal("receipts", [r["type"] for r in receipts], ["action_intent", "action_success"])
        t.equal("endings on them", [r.get("ending") for r in receipts], [None, "executed"])
        t.equal("policy and action of the intent", (receipts[0]["policy"], receipts[0]["body"]["action"]),
                ("spend", "throttle"))
        t.true("one action_id on both", receipts[0]["action_id"] == receipts[1]["action_id"], receipts)
        t.equal("moves", [(r["state_before"], r["state_after"]) for r in receipts],
                [("active", "action_pending"), ("action_pending", "active")])
        t.equal("batch", tai.post([usage(f"b{i}", data={"cost": 1}) for i in range(50)])[0], 202)
        tai.settle()
        t.equal("order behind actions", [e[:2] for e in endings(tai)[2:]], [(f"b{i}", "executed") for i in range(50)])
        t.equal("the governor", [governor(tai, "acme", "e")[k] for k in ("state", "waiting")], ["active", 0])
        t.equal("pending", governor(tai, "acme", "e").get("pending"), None)
        ledger.check_ledger(t, tai)


def test_entitlement(t):
    with t.tai() as tai:
        grant = event("activated", "v1", data={"quota_limit": 2, "quota_period": "month", "sku_id": "gold"})
        t.equal("activated", outcome(send(t, tai, grant)), ("executed", "recorded"))
        record = governor(tai, "acme", "e")
        t.equal("what it carried", [record.get(k) for k in ("state", "quota_limit", "quota_period", "sku_id")],
                ["active", 2, "month", "gold"])
        send(t, tai, usage("s1"))
        send(t, tai, usage("s2"))
        t.equal("the third", outcome(send(t, tai, usage("s3"))), ("refused", "quota_exceeded"))
        grant = event("activated", "v2", data={"quota_limit": 4})
        t.equal("activated with more", outcome(send(t, tai, grant)), ("executed", "applied"))
        t.equal("state", governor(tai, "acme", "e")["state"], "active")
        t.equal("suspended", outcome(send(t, tai, event("suspended", "v3"))), ("executed", "applied"))
        t.equal("suspended again", outcome(send(t, tai, event("suspended", "v4"))), ("executed", "recorded"))
        t.equal("a signal while degraded", outcome(send(t, tai, usage("s4"))), ("refused", "degraded"))
        t.equal("a critical one", outcome(send(t, tai, usage("s5", severity="critical")))[0], "executed")
        t.equal("cancelled", outcome(send(t, tai, event("cancelled", "v5"))), ("executed", "recorded"))
        t.equal("a critical one then", outcome(send(t, tai, usage("s6", severity="critical"))),
                ("refused", "entitlement_cancelled"))
        old = event("activated", "v6", time="2001-01-01T00:00:00Z")
        t.equal("an activation from the past", outcome(send(t, tai, old)), ("executed", "ignored"))
        t.equal("state", governor(tai, "acme", "e")["state"], "degraded")
        t.equal("activated", outcome(send(t, tai, event("activated", "v7"))), ("executed", "applied"))
        t.equal("a signal", outcome(send(t, tai, usage("s7")))[0], "executed")
        t.equal("the quota, used by it", outcome(send(t, tai, usage("s8"))), ("refused", "quota_exceeded"))
        t.equal("no limit", outcome(send(t, tai, event("activated", "v8", data={"quota_limit": None}))),
                ("executed", "applied"))
        t.equal("a signal", outcome(send(t, tai, usage("s9")))[0], "executed")
        tai.settle()
        ledger.check_ledger(t, tai)


def test_refund(t):
    with t.tai() as tai:
        send(t, tai, usage("r0"))
        t.equal("refund started", outcome(send(t, tai, event("refund_started", "v1"))), ("executed", "applied"))
        t.equal("state", governor(tai, "acme", "e")["state"], "complying")
        for i in range(1, 6):
            tai.post(usage(f"r{i}", severity="critical" if i == 3 else "info"))
        waiting(tai, 5)
        t.equal("status of a waiting one", signal_of(tai, "r3", "acme")[1]["status"], "waiting")
        t.equal("waiting in the governor", governor(tai, "acme", "e")["waiting"], 5)
        t.equal("exit", tai.stop(), 0)
        tai.port = tai.andon_port = 0
        tai.start()
        t.equal("waiting after a restart", governor(tai, "acme", "e")["waiting"], 5)
        tai.post(usage("r6"))
        waiting(tai, 6)
        t.equal("refund completed", outcome(send(t, tai, event("refund_completed", "v2"))), ("executed", "applied"))
        tai.settle()
        waiting(tai, 0)
        t.equal("endings in order", [e[:2] for e in endings(tai) if e[0][0] == "r"],
                [(f"r{i}", "executed") for i in range(7)])
        ledger.check_ledger(t, tai)


def test_waits_for_activation(t):
    with t.tai("entitlements:\n  auto_activate: false\n") as tai:
        t.equal("batch", tai.post([usage(f"w{i}") for i in range(300)])[0], 202)
        waiting(tai, 300)
        t.equal("state", governor(tai, "acme", "e")["state"], "boot")
        t.equal("endings before", endings(tai), [])
        t.equal("activated", outcome(send(t, tai, event("activated", "v", data={"quota_limit": 250}))),
                ("executed", "applied"))
        waiting(tai, 0)
        tai.settle()
        wanted = [(f"w{i}", "executed" if i < 250 else "refused") for i in range(300)]
        t.equal("endings in order", [e[:2] for e in endings(tai) if e[0] != "v"], wanted)
        ledger.check_ledger(t, tai)


def test_boot_timeout(t):
    with t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 1s\n") as tai:
        began = time.monotonic()
        tai.post([usage("x1"), usage("x2")])
        t.equal("the waiting one", outcome(ended(tai, "x1", "acme")), ("refused", "degraded"))
        took = time.monotonic() - began
        t.true("this takes about the boot_timeout of 1 s", 0.8 < took < 10, took)
        t.equal("state", governor(tai, "acme", "e")["state"], "degraded")
        t.equal("alerts", alerts(tai), ["bootstrap_timeout"])
        t.equal("activated", outcome(send(t, tai, event("activated", "v"))), ("executed", "applied"))
        t.equal("a signal", outcome(send(t, tai, usage("x3")))[0], "executed")
        tai.settle()
        ledger.check_ledger(t, tai)


def test_caps(t):
    config = ("entitlements:\n  auto_activate: false\ngovernor:\n  max_waiting: 3\n"
              "governors:\n  max_per_tenant: 2\n")
    with t.tai(config) as tai:
        t.equal("batch", tai.post([usage(f"o{i}") for i in range(5)])[0], 202)
        t.equal("beyond max_waiting", [outcome(ended(tai, i, "acme")) for i in ("o3", "o4")],
                [("deadlettered", "overflow")] * 2)
        t.equal("within it", [signal_of(tai, i, "acme")[1]["status"] for i in ("o0", "o2")], ["waiting"] * 2)
        tai.post(usage("l1", entitlement_id="f"))
        waiting(tai, 4)
        t.equal("beyond max_per_tenant", outcome(send(t, tai, usage("l2", entitlement_id="g"))),
                ("refused", "governor_limit"))
        t.equal("its governor", tai.get("/v1/governors/acme/g")[0], 404)
        listed = tai.get("/v1/governors?tenant_id=acme")[1]["governors"]
        t.equal("governors", sorted(g["entitlement_id"] for g in listed), ["e", "f"])


if __name__ == "__main__":
    main(globals())
