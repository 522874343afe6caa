#!/usr/bin/python3
"""Operators' commands end to end: every state that can be reached over HTTP, restarts and kill -9 between: commands.py TAI [TEST…]."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, governor, main, wait_for  # noqa: E402
from triage import command_of, deadletters, end_of, govern, post  # noqa: E402

WORDS = ("halt", "resume", "activate", "reset-quota")


def usage(identity, entitlement="e", **more):
    return {"id": identity, "tenant_id": "acme", "entitlement_id": entitlement, "type": "usage", **more}


def event(name, identity, entitlement="e", **more):
    return usage(identity, entitlement, type="tai.entitlement." + name, **more)


def state(tai, entitlement):
    return governor(tai, "acme", entitlement).get("state")


def operators(tai):
    return [r for r in ledger.receipts_of(tai, "acme") if r["type"] == "operator"]


# What each command makes of each state (docs/governor.md); action_pending and testing are triage_governors_test's.
TABLE = {
    "boot": ("halted", "boot", "active", "boot"),
    "active": ("halted", "active", "active", "active"),
    "suspended": ("halted", "suspended", "suspended", "active"),
    "complying": ("halted", "complying", "complying", "complying"),
    "degraded": ("halted", "degraded", "active", "degraded"),
    "halted": ("halted", "active", "halted", "halted"),
}


def reach(t, tai, wanted, entitlement):
    """A governor in that state."""
    tai.post(usage("first-" + entitlement, entitlement))
    wait_for("a governor", lambda: state(tai, entitlement))
    if wanted != "boot":
        t.equal("activate", govern(tai, "activate", {"quota_limit": 1 if wanted == "suspended" else 9},
                                   entitlement=entitlement)["status"], "applied")
        ended(tai, "first-" + entitlement, "acme", entitlement)
    if wanted in ("complying", "degraded"):
        tai.post(event("refund_started" if wanted == "complying" else "suspended", "event-" + entitlement, entitlement))
    if wanted == "suspended":
        tai.post(usage("second-" + entitlement, entitlement))
    if wanted == "halted":
        govern(tai, "halt", entitlement=entitlement)
    wait_for(wanted, lambda: state(tai, entitlement) == wanted)


def test_table(t):
    with t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 1h\n") as tai:
        for wanted, after in TABLE.items():
            for word, then in zip(WORDS, after):
                entitlement = f"{wanted}-{word}"
                reach(t, tai, wanted, entitlement)
                end = govern(tai, word, {"reason": f"{word} it"}, entitlement=entitlement, X_Operator="dee")
                t.equal(f"{word} in {wanted}", (end["status"], end["operator"]), ("applied", "dee"))
                t.equal(f"then {entitlement}", state(tai, entitlement), then)
        tai.settle()
        mine = [r for r in operators(tai) if r["body"]["operator"] == "dee"]
        t.equal("a receipt each", sorted((r["entitlement_id"], r["reason"]) for r in mine),
                sorted((f"{s}-{w}", f"{w} it") for s in TABLE for w in WORDS))
        t.equal("what they say", {(r["state_before"], r["state_after"]) for r in mine},
                {(s, then) for s, after in TABLE.items() for then in after})
        ledger.check_ledger(t, tai)


def test_activate(t):
    with t.tai("entitlements:\n  auto_activate: false\n") as tai:
        for word in ("halt", "resume", "reset-quota"):
            end = govern(tai, word, entitlement="nobody")
            t.equal(word, (end["status"], end["reason"]),
                    ("rejected", "there is no governor for this tenant and entitlement"))
        t.equal("none was made", tai.totals()["governors"], 0)
        govern(tai, "activate", {"quota_limit": 2, "quota_period": "day", "sku_id": "gold"})
        record = governor(tai, "acme", "e")
        t.equal("activated", [record[k] for k in ("state", "quota_limit", "quota_period", "sku_id")],
                ["active", 2, "day", "gold"])
        govern(tai, "activate", {"quota_limit": None})
        record = governor(tai, "acme", "e")
        t.equal("no limit any more", (record["quota_limit"], record["quota_period"]), (None, "day"))
        for body, said in [({"quota_limit": -1}, "quota_limit"), ({"quota_limit": 1.5}, "quota_limit"),
                           ({"quota_period": "week"}, "quota_period"), ({"sku_id": "a b"}, "\"sku_id\" must"),
                           ({"quota_limt": 1}, "did you mean \"quota_limit\"")]:
            status, answer, _ = post(tai, "/v1/governors/acme/e/activate", body)
            t.true(f"{body}: 400 and {said}", status == 400 and said in answer["detail"], answer)
        for path in ("/v1/governors/_system/e/activate", "/v1/governors/a%20b/e/activate", "/v1/governors/acme/a%22b/halt"):
            t.equal(path, post(tai, path)[0], 400)
        t.equal("an id with a slash", govern(tai, "activate", entitlement="a%2Fb")["status"], "applied")
        t.equal("an unknown word", post(tai, "/v1/governors/acme/e/explode")[0], 404)
        t.equal("quota_limit of a halt", post(tai, "/v1/governors/acme/e/halt", {"quota_limit": 1})[0], 400)


def test_reset_quota(t):
    with t.tai("governor:\n  quota_limit: 2\n  quota_period: month\n") as tai:
        for i in range(3):
            tai.post(usage(f"q{i}"))
        t.equal("beyond the quota", ended(tai, "q2", "acme")["reason"], "quota_exceeded")
        govern(tai, "reset-quota", {"reason": "a gift"})
        record = governor(tai, "acme", "e")
        t.equal("again", (record["state"], record["quota_used"]), ("active", 0))
        tai.post(usage("q3"))
        t.equal("within it", ended(tai, "q3", "acme")["status"], "executed")


def test_waiting_first(t):
    """A command is carried out ahead of signals that wait; a halt makes dead letters of them."""
    with t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 1h\n") as tai:
        tai.post([usage(f"w{i}") for i in range(50)])
        wait_for("waiting signals", lambda: tai.totals()["signals"]["waiting"] == 50)
        t.equal("halt", govern(tai, "halt")["status"], "applied")
        wait_for("dead letters", lambda: len(deadletters(tai)) == 50)
        t.equal("whose", {d["class"] for d in deadletters(tai)}, {"policy"})
        t.equal("none waits", tai.totals()["signals"]["waiting"], 0)


def test_restarts(t):
    """Commands that nobody could carry out any more are carried out by the next, in their order, each once."""
    tai = t.tai().start()
    tai.post(usage("first"))
    ended(tai, "first", "acme")
    given = []
    for i in range(8):
        word = "halt" if i % 2 else "resume"
        for k in range(3):
            status, answer, _ = post(tai, f"/v1/governors/acme/e/{word}", {"command_id": f"r-{i}-{k}"})
            t.equal("given", status, 202)
            given.append(answer["command_id"])
        time.sleep(i * 0.0006)
        tai.kill()
        tai.start()
    for command_id in given:
        t.equal(command_id, end_of(tai, command_id)["status"], "applied")
    t.equal("the last one holds", state(tai, "e"), "halted")
    tai.settle()
    t.equal("in order, once", [r["body"]["command_id"] for r in operators(tai)], given)
    ledger.check_ledger(t, tai)
    t.equal("exit", tai.stop(), 0)
    tai.port = tai.andon_port = 0
    with tai:
        t.equal("still halted", state(tai, "e"), "halted")
        t.equal("still known", command_of(tai, given[0])["status"], "applied")


def test_timers(t):
    """A wait that expires and a boot that times out, over a restart that takes longer than both."""
    tai = t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 4s\n  max_wait: 3s\n").start()
    tai.post(usage("w", "a"))
    wait_for("it to wait", lambda: tai.totals()["signals"]["waiting"] == 1)
    time.sleep(1.2)
    tai.kill()
    time.sleep(5)  # the partition clock stands still
    began = time.monotonic()
    with tai:
        t.equal("nothing is due yet", (tai.totals()["signals"]["waiting"], state(tai, "a")), (1, "boot"))
        ended(tai, "w", "acme", "a")
        t.true("it waited on", time.monotonic() - began > 1, time.monotonic() - began)
        wait_for("the boot to time out", lambda: state(tai, "a") == "degraded")


main(globals())
