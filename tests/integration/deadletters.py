#!/usr/bin/python3
"""Dead letters end to end: every reason, requeue, edit, discard, bulk, back-pressure, kill -9 between: deadletters.py TAI [TEST…]."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
import pages  # noqa: E402
from checks import ended, governor, main, signal_of, wait_for  # noqa: E402
from triage import command_of, deadletter_of, deadletters, end_of, give, govern, post  # noqa: E402
from tai import on_terminal  # noqa: E402

DAY_MS = 24 * 3600 * 1000
NOT_OPEN = "the dead letter is not open"


def usage(identity, entitlement="e", **more):
    return {"id": identity, "tenant_id": "acme", "entitlement_id": entitlement, "type": "usage", **more}


def halted(t, tai, count=1):
    """count dead letters b0, b1, … behind an operator's halt."""
    t.equal("a first signal", tai.post(usage("first"))[0], 202)
    ended(tai, "first", "acme", "e")
    t.equal("halt", govern(tai, "halt", {"reason": "drill"})["status"], "applied")
    t.equal("more", tai.post([usage(f"b{i}", data={"n": i}) for i in range(count)])[0], 202)
    wait_for("dead letters", lambda: len(deadletters(tai)) == count)


def whole(t, tai):
    """Nothing is lost, nothing counted twice, and the ledger says so."""
    tai.settle()
    status = tai.totals()
    t.equal("conservation", status["conservation"], {"gap": 0, "balance": 0})
    t.equal("open, by the list and by the counter", status["deadletters"]["open"], len(deadletters(tai)))
    return ledger.check_ledger(t, tai)


def kinds(tai):
    return sorted((d["class"], d["reason"], d["signal_id"], d.get("state")) for d in deadletters(tai))


def test_reasons(t):
    tai = t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  max_waiting: 1\n  max_wait: 2s\n"
                "signals:\n  retention: 2d\ndeadletters:\n  max: 4\nshutdown:\n  timeout: 2s\n").start()
    t.equal("to wait", tai.post(usage("waits"))[0], 202)
    t.equal("too many", tai.post(usage("too-many"))[0], 202)
    t.equal("another body", tai.post(usage("waits", data=1))[0], 202)
    wait_for("two", lambda: len(deadletters(tai)) == 2)
    wait_for("the wait to expire", lambda: len(deadletters(tai)) == 3)
    t.equal("activated", govern(tai, "activate")["status"], "applied")
    t.equal("halted", govern(tai, "halt")["status"], "applied")
    t.equal("to a halted one", tai.post(usage("stopped"))[0], 202)
    wait_for("four", lambda: len(deadletters(tai)) == 4)
    # Full: what comes now stays in the queue. There it gets old, and something unreadable comes in between.
    t.equal("to get old", tai.post(usage("old", "f"))[0], 202)
    t.equal("to be damaged", tai.post(usage("damaged", "f"))[0], 202)
    t.equal("exit", tai.stop(), 0)
    path = os.path.join(tai.data, "tai.db")
    now = f'"accepted_at":{int(time.time() * 1000)}'[:-9]  # the digits that did not change
    then = f'"accepted_at":{int(time.time() * 1000) - 3 * DAY_MS}'[:-9]
    aged = [(now, then), (now.replace('"accepted_at"', '"a"'), then.replace('"accepted_at"', '"a"'))]
    for before, after in aged:
        t.true("frames made old", pages.edit(path, "UPDATE kanban_frames SET body = CAST(replace(body, ?, ?) AS BLOB)",
                                             before, after) >= 2)
    t.equal("damaged", pages.edit(path, "UPDATE kanban_frames SET body = CAST('{' || substr(body, 3) AS BLOB)"
                                  " WHERE instr(CAST(body AS TEXT), '\"damaged\"')"), 1)
    tai.port = tai.andon_port = 0
    with tai:
        t.equal("nothing was taken", len(deadletters(tai)), 4)
        letter = deadletter_of(tai, "too-many")
        t.equal("room", give(tai, f"/v1/deadletters/{letter['id']}/discard", {"reason": "room"})["status"], "applied")
        wait_for("the old one", lambda: len(deadletters(tai)) >= 4)
        letter = next(d for d in deadletters(tai) if d["reason"] == "id_conflict")
        end = give(tai, f"/v1/deadletters/{letter['id']}/requeue")
        t.equal("a conflict", (end["status"], end["reason"][:14]), ("rejected", "a further body"))
        t.equal("is not offered", letter["requeuable"], False)
        for letter in (letter, deadletter_of(tai, "stopped")):
            give(tai, f"/v1/deadletters/{letter['id']}/discard", {"reason": "room"})
        wait_for("the damaged one", lambda: any(d["reason"] == "unparseable" for d in deadletters(tai)))
        t.equal("what is left", [k[:2] + k[3:] for k in kinds(tai)],
                [("pipeline", "too_old", None), ("pipeline", "unparseable", None), ("tenant", "wait_expired", "boot")])
        letter = next(d for d in deadletters(tai) if d["reason"] == "unparseable")
        t.equal("its owner", (letter["tenant_id"], letter["entitlement_id"]), ("_system", "_frame"))
        shown = tai.get(f"/v1/deadletters/{letter['id']}")[1]
        t.true("its bytes", len(shown["bytes_base64"]) > 100 and "signal" not in shown)
        t.equal("requeue", give(tai, f"/v1/deadletters/{letter['id']}/requeue")["status"], "rejected")
        t.equal("discard", give(tai, f"/v1/deadletters/{letter['id']}/discard", {"reason": "lost"})["status"], "applied")
        letter = deadletter_of(tai, "old")
        t.equal("requeued it is young", give(tai, f"/v1/deadletters/{letter['id']}/requeue")["status"], "applied")
        status = wait_for("it to wait", lambda: (s := signal_of(tai, "old", "acme", "f")[1])["redrive"] == 1 and s)
        t.equal("it waits", status["status"], "waiting")
        tai.settle()
        totals = tai.totals()
        t.equal("balance", totals["conservation"]["balance"], 0)
        t.equal("the frame nobody could read shows as a gap", totals["conservation"]["gap"], 1)
        ledger.check_ledger(t, tai)


def test_corrupt(t):
    """What is kept of a waiting signal cannot be read any more: it is put aside, and runs once it has been rewritten."""
    tai = t.tai("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 1h\n").start()
    tai.post(usage("spoiled"))
    wait_for("it to wait", lambda: tai.totals()["signals"]["waiting"] == 1)
    t.equal("exit", tai.stop(), 0)
    t.equal("spoiled", pages.edit(os.path.join(tai.data, "tai.db"),
                                  "UPDATE signals SET envelope = CAST('{}' AS BLOB) WHERE status = 0"), 1)
    tai.port = tai.andon_port = 0
    with tai:
        govern(tai, "activate")
        letter = deadletter_of(tai, "spoiled")
        t.equal("it", (letter["class"], letter["reason"]), ("pipeline", "corrupt"))
        end = give(tai, f"/v1/deadletters/{letter['id']}/requeue")
        t.equal("as it is", (end["status"], end["reason"][:29]), ("rejected", "what is kept of the signal ca"))
        t.equal("its bytes are there", tai.get(f"/v1/deadletters/{letter['id']}")[1]["signal"], usage("spoiled"))
        end = give(tai, f"/v1/deadletters/{letter['id']}/requeue", {"signal": usage("spoiled", data=1)})
        t.equal("rewritten", end["status"], "applied")
        t.equal("it ran", ended(tai, "spoiled", "acme", "e")["status"], "executed")
        whole(t, tai)


def test_requeue(t):
    with t.tai() as tai:
        halted(t, tai, 3)
        letter = deadletter_of(tai, "b0")
        shown = tai.get(f"/v1/deadletters/{letter['id']}")[1]
        t.equal("the signal", shown["signal"], usage("b0", data={"n": 0}))
        t.equal("its receipts", shown["receipts"], [letter["id"]])
        t.equal("its governor", shown["governor"]["state"], "halted")
        t.equal("while halted", give(tai, f"/v1/deadletters/{letter['id']}/requeue")["status"], "applied")
        again = deadletter_of(tai, "b0")
        t.equal("a new one", (again["redrive"], again["id"] != letter["id"]), (1, True))
        status, answer, _ = post(tai, f"/v1/deadletters/{letter['id']}/requeue")
        t.equal("the old one", (status, NOT_OPEN in answer["detail"] or "no dead letter" in answer["detail"]), (404, True))
        govern(tai, "resume")
        end = give(tai, f"/v1/deadletters/{again['id']}/requeue", {"reason": "mended"}, X_Operator="ann")
        t.equal("the command", [end[k] for k in ("command", "status", "operator", "deadletter_id", "args")],
                ["requeue", "applied", "ann", again["id"], {"reason": "mended"}])
        signal = ended(tai, "b0", "acme", "e")
        t.equal("the signal", (signal["status"], signal["redrive"]), ("executed", 2))
        t.equal("a copy of the first is a duplicate", tai.post(usage("b0", data={"n": 0}))[0], 202)
        listed = whole(t, tai)
        operator = [i["receipt"] for i in listed if i["receipt"]["type"] == "operator"]
        t.equal("operators' receipts", [(r["body"]["command"], r["body"]["operator"], r["reason"]) for r in operator],
                [("halt", "local", "drill"), ("requeue", "local", "requeued"), ("resume", "local", "applied"),
                 ("requeue", "ann", "mended")])
        t.equal("they name the dead letter", [r["body"].get("deadletter_id") for r in operator][1::2],
                [letter["id"], again["id"]])
        t.equal("duplicates", tai.totals()["signals"]["duplicates"], 1)


def test_edit(t):
    with t.tai() as tai:
        halted(t, tai, 2)
        govern(tai, "resume")
        letter = deadletter_of(tai, "b0")
        path = f"/v1/deadletters/{letter['id']}/requeue"
        for what, signal, said in [("another id", usage("other"), "must stay \"b0\""),
                                   ("another tenant", {**usage("b0"), "tenant_id": "x"}, "tenant_id"),
                                   ("another entitlement", usage("b0", "x"), "entitlement_id"),
                                   ("a wrong field", {**usage("b0"), "dta": 1}, "did you mean \"data\""),
                                   ("no type", {k: v for k, v in usage("b0").items() if k != "type"}, "type is missing"),
                                   ("no signal", [1], "\"signal\" must be a signal")]:
            status, answer, _ = post(tai, path, {"signal": signal})
            t.true(f"{what}: 400 and {said}", status == 400 and said in answer["detail"], answer)
        status, answer, _ = post(tai, path, {"signal": usage("b0", data="x" * 70000)})
        t.equal("too large", status, 413)
        new = json.dumps(usage("b0", type="usage.fixed", data={"n": 99}))
        end = give(tai, path, '{"signal": ' + new + "}")
        t.equal("edited", end["status"], "applied")
        signal = ended(tai, "b0", "acme", "e")
        t.equal("the signal", (signal["status"], signal["redrive"]), ("executed", 1))
        receipts = ledger.receipts_of(tai, "acme", "b0")
        hashes = [r["signal_sha256"] for r in receipts]
        t.equal("the new bytes are hashed", hashes[-1], end["args"]["signal_sha256"])
        t.equal("the receipt says what runs instead", receipts[1]["body"]["edited_sha256"], hashes[-1])
        t.equal("and of what", hashes[1], hashes[0])
        # A signal without an id of its own keeps the one it was given; so does an edit without one.
        sent = tai.post({"tenant_id": "acme", "entitlement_id": "g", "type": "usage"})[1]["signal_id"]
        ended(tai, sent, "acme", "g")
        govern(tai, "halt", entitlement="g")
        named = tai.post({"tenant_id": "acme", "entitlement_id": "g", "type": "usage"})[1]["signal_id"]
        letter = deadletter_of(tai, named)
        govern(tai, "resume", entitlement="g")
        end = give(tai, f"/v1/deadletters/{letter['id']}/requeue",
                   {"signal": {"entitlement_id": "g", "type": "usage", "data": 7}})
        t.equal("edited without id and tenant", end["status"], "applied")
        t.equal("it runs under them", ended(tai, named, "acme", "g")["status"], "executed")
        whole(t, tai)


def test_lists(t):
    with t.tai() as tai:
        halted(t, tai, 20)
        tai.post(usage("first", data=1))
        wait_for("a conflict", lambda: len(deadletters(tai)) == 21)
        t.equal("in order, each once", [d["signal_id"] for d in deadletters(tai)][:20], [f"b{i}" for i in range(20)])
        t.equal("by class", len(deadletters(tai, "&class=tenant")), 1)
        t.equal("by reason", len(deadletters(tai, "&reason=governor_halted")), 20)
        t.equal("by tenant", (len(deadletters(tai, "&tenant_id=acme")), len(deadletters(tai, "&tenant_id=x"))), (21, 0))
        t.equal("by entitlement", len(deadletters(tai, "&entitlement_id=e")), 21)
        t.equal("before", (len(deadletters(tai, "&before=2020-01-01T00:00:00Z")), len(deadletters(tai, "&before=99999999999999"))),
                (0, 21))
        for query, said in [("class=x", "poison"), ("before=soon", "RFC 3339"), ("limit=0", "limit"), ("after=x", "next"),
                            ("clas=tenant", "class")]:
            status, answer, _ = tai.get("/v1/deadletters?" + query)
            t.true(f"{query}: 400 and {said}", status == 400 and said in answer["detail"], answer)
        after = tai.get("/v1/deadletters?limit=2&class=policy")[1]["next"]
        t.equal("a cursor of another list", tai.get(f"/v1/deadletters?after={after}")[0], 400)
        for name in ("nothing", "00000000-0000-5000-8000-000000000000", "G" * 36):
            t.equal(f"show {name}", tai.get(f"/v1/deadletters/{name}")[0], 404)


def test_bad_posts(t):
    with t.tai() as tai:
        halted(t, tai, 1)
        path = f"/v1/deadletters/{deadletter_of(tai, 'b0')['id']}"
        for what, to, body, headers, wanted, said in [
                ("no reason", "/discard", {}, {}, 400, "\"reason\" is required"),
                ("an unknown field", "/discard", {"reson": "x"}, {}, 400, "did you mean \"reason\""),
                ("an edit", "/discard", {"reason": "x", "signal": {}}, {}, 400, "unknown field"),
                ("a number", "/discard", {"reason": 1}, {}, 400, "a text of"),
                ("a long reason", "/discard", {"reason": "x" * 501}, {}, 400, "1 to 500"),
                ("a control character", "/discard", {"reason": "a\u0007b"}, {}, 400, "control"),
                ("twice the same name", "/discard", '{"reason":"a","reason":"b"}', {}, 400, "not JSON"),
                ("an array", "/discard", "[]", {}, 400, "object"),
                ("a form", "/discard", "reason=x", {"Content_Type": "text/plain"}, 415, "application/json"),
                ("a space in the id", "/requeue", {"command_id": "a b"}, {}, 400, "without spaces"),
                ("a long id", "/requeue", {"command_id": "a" * 65}, {}, 400, "1 to 64"),
                ("a long operator", "/requeue", {}, {"X_Operator": "a" * 65}, 400, "X-Operator"),
                ("a web page", "/requeue", {}, {"Origin": "http://evil.example"}, 403, "Origin"),
                ("another host", "/requeue", {}, {"Host": "evil.example"}, 403, "Host")]:
            status, answer, _ = post(tai, path + to, body, **headers)
            t.true(f"{what}: {wanted} and {said}", status == wanted and said in answer["detail"], (status, answer))
        t.equal("GET", tai.get(path + "/requeue")[0], 405)
        t.equal("an unknown command", tai.get("/v1/commands/nothing")[0], 404)
        first = post(tai, path + "/discard", {"command_id": "mine", "reason": "x"})
        t.equal("with an id", (first[0], first[1], first[2]["Location"]), (202, {"command_id": "mine"}, "/v1/commands/mine"))
        end_of(tai, "mine")
        again = post(tai, path + "/discard", {"command_id": "mine", "reason": "x"})
        t.equal("again", again[:2], (202, {"command_id": "mine"}))
        t.equal("the same id for another", post(tai, "/v1/governors/acme/e/halt", {"command_id": "mine"})[0], 422)
        tai.settle()
        discards = [r for r in ledger.receipts_of(tai, "acme", "b0") if r["type"] == "operator"]
        t.equal("discarded once", len(discards), 1)


def test_bulk(t):
    with t.tai() as tai:
        halted(t, tai, 30)
        govern(tai, "resume")
        path = "/v1/deadletters/bulk"
        for body, said in [({}, "action"), ({"action": "requeue"}, "filter"), ({"action": "mend", "filter": {}}, "requeue"),
                           ({"action": "discard", "filter": {}}, "reason"),
                           ({"action": "requeue", "filter": {"clas": "x"}}, "did you mean \"class\""),
                           ({"action": "requeue", "filter": {}, "limit": 1001}, "limit"),
                           ({"action": "requeue", "filter": {}, "dry_run": "yes"}, "true or false"),
                           ({"action": "requeue", "filter": {}, "after": "x"}, "next")]:
            status, answer, _ = post(tai, path, body)
            t.true(f"{body}: 400 and {said}", status == 400 and said in answer["detail"], answer)
        status, answer, _ = post(tai, path, {"action": "requeue", "filter": {"class": "policy"}, "dry_run": True, "limit": 25})
        t.equal("dry run", (status, answer["matched"], answer["more"], len(answer["sample"])), (200, 25, True, 10))
        t.equal("did nothing", len(deadletters(tai)), 30)
        status, answer, _ = post(tai, path, {"action": "requeue", "filter": {"class": "policy"}, "limit": 10}, X_Operator="bo")
        t.equal("ten", (status, answer["commands"], answer["refused"], len(answer["items"])), (202, 10, 0, 10))
        ends = [end_of(tai, item["command_id"]) for item in answer["items"]]
        t.equal("each is applied", {e["status"] for e in ends}, {"applied"})
        t.equal("twenty are left", len(deadletters(tai)), 20)
        rest = wait_for("its turn", lambda: (a := post(tai, path, {
            "action": "discard", "filter": {"class": "policy"}, "limit": 1000, "reason": "old"}))[0] == 202 and a[1])
        t.equal("the rest", rest["matched"], 20)
        status, answer, headers = post(tai, path, {"action": "discard", "filter": {}, "reason": "x"})
        t.true("not so fast", status == 202 or (status == 429 and int(headers["Retry-After"]) >= 1), (status, answer))
        for item in rest["items"]:
            end_of(tai, item["command_id"])
        t.equal("none is left", deadletters(tai), [])
        whole(t, tai)
        reasons = [r["reason"] for r in ledger.receipts_of(tai, "acme") if r["type"] == "operator"]
        t.equal("receipts of discards", reasons.count("old"), 20)


def test_full(t):
    """Nothing is dropped: ingress takes what the queue holds, then 503; triage makes room."""
    tai = t.tai("deadletters:\n  max: 5\nkanban:\n  max_depth: 50\ningress:\n  tenant_depth: 51\n").start()
    halted(t, tai, 5)
    statuses = []
    for i in range(60):
        statuses.append(tai.post(usage(f"c{i}", "other"))[0])
    t.true("accepted until the queue is full", statuses[0] == 202 and statuses[-1] == 503, statuses)
    accepted = statuses.count(202)
    metrics = tai.get("/metrics")[1].splitlines()
    t.true("metrics", {"tai_deadletters_full 1", 'tai_deadletters_open{class="policy"} 5'} <= set(metrics) and
           any(m.startswith("tai_deadletters_predicted_full_seconds ") for m in metrics), [m for m in metrics if "deadletters" in m][:20])
    t.contains("the log", tai.log(), "deadletters_full")
    tai.kill()
    with tai:
        t.equal("nothing was taken", tai.totals()["deadletters"]["open"], 5)
        letter = deadletters(tai)[0]
        give(tai, f"/v1/deadletters/{letter['id']}/discard", {"reason": "room"})
        for i in range(accepted):
            t.equal(f"c{i}", ended(tai, f"c{i}", "acme", "other")["status"], "executed")
        whole(t, tai)


def test_killed(t):
    """kill -9 at any moment around a command: it is carried out, once."""
    tai = t.tai().start()
    halted(t, tai, 8)
    govern(tai, "resume")
    for i in range(8):
        letter = deadletter_of(tai, f"b{i}")
        status, answer, _ = post(tai, f"/v1/deadletters/{letter['id']}/requeue", {"command_id": f"cmd-{i}"})
        t.equal("given", (status, answer), (202, {"command_id": f"cmd-{i}"}))
        time.sleep(i * 0.0006)
        tai.kill()
        tai.start()
        status, answer, _ = post(tai, f"/v1/deadletters/{letter['id']}/requeue", {"command_id": f"cmd-{i}"})
        t.equal("a repeat", (status, answer), (202, {"command_id": f"cmd-{i}"}))
        t.equal("its end", end_of(tai, f"cmd-{i}")["status"], "applied")
    with_restart = [ended(tai, f"b{i}", "acme", "e") for i in range(8)]
    t.equal("each was run once more", [(s["status"], s["redrive"]) for s in with_restart], [("executed", 1)] * 8)
    t.equal("none is left", deadletters(tai), [])
    t.equal("commands are remembered", command_of(tai, "cmd-0")["status"], "applied")
    t.equal("requeued", tai.totals()["signals"]["requeued"], 8)
    whole(t, tai)
    operator = [r["body"]["command_id"] for r in ledger.receipts_of(tai, "acme") if r["type"] == "operator"]
    t.equal("one receipt each", sorted(c for c in operator if c.startswith("cmd-")), sorted(f"cmd-{i}" for i in range(8)))
    t.equal("exit", tai.stop(), 0)


def test_cli(t):
    with t.tai() as tai:
        halted(t, tai, 6)
        listed = tai.cli("deadletter", "list", "--class", "policy")
        t.true("list", listed.returncode == 0 and len(listed.stdout.splitlines()) == 7, listed.stdout)
        ids = [json.loads(line)["id"] for line in tai.cli("deadletter", "list", "--json").stdout.splitlines()]
        t.equal("list --json", len(ids), 6)
        t.equal("list --limit 2", len(tai.cli("deadletter", "list", "--json", "--limit", "2").stdout.splitlines()), 2)
        shown = tai.cli("deadletter", "show", ids[0])
        for part in ("policy", "governor_halted", "halted", '"n": 0'):
            t.contains("show", shown.stdout, part)
        t.equal("show: not found", tai.cli("deadletter", "show", "00000000-0000-5000-8000-000000000000").returncode, 4)
        raw = tai.cli("deadletter", "show", ids[0], "--raw").stdout
        t.equal("show --raw", json.loads(raw), usage("b0", data={"n": 0}))
        resumed = tai.cli("governor", "resume", "acme", "e", "--because", "over", "--operator", "cy")
        t.true("resume", resumed.returncode == 0 and "active" in resumed.stdout, resumed)
        for arguments, said in [([], "which ones"), ([ids[0], "--all"], "not both"), (["--all"], "--yes"),
                                ([ids[0], ids[1], "--editor"], "one dead letter"), (["x"], "a UUID"), ([ids[0], "--rate", "0"], "--rate"),
                                (["--calss", "x"], "--class")]:
            wrong = tai.cli("deadletter", "requeue", *arguments, stdin=-3)
            t.true(f"requeue {arguments}: 2 and {said}", wrong.returncode == 2 and said in wrong.stderr, wrong)
        wrong = tai.cli("deadletter", "discard", ids[0])
        t.true("discard: why?", wrong.returncode == 2 and "--because" in wrong.stderr, wrong)
        dry = tai.cli("deadletter", "requeue", "--all", "--dry-run")
        t.true("dry run", dry.returncode == 0 and "would requeue 6" in dry.stdout, dry)
        edited = t.file("edited.json", raw.replace('"n": 0', '"n": 7'))
        refused = tai.cli("deadletter", "requeue", ids[0], "--edit", t.file("bad.json", raw.replace("b0", "b9")), "--yes")
        t.true("an edit of the id", refused.returncode == 1 and "must stay" in refused.stderr, refused)
        same = tai.cli("deadletter", "requeue", ids[0], "--edit", t.file("same.json", raw), "--yes")
        t.true("no edit", same.returncode == 1 and "not changed" in same.stderr, same)
        done = tai.cli("deadletter", "requeue", ids[0], "--edit", edited, "--yes")
        t.true("an edit", done.returncode == 0 and '-    "n": 0' in done.stdout and '+    "n": 7' in done.stdout, done)
        tai.env["EDITOR"] = "sed -i s/usage/usage.edited/"
        done = tai.cli("deadletter", "requeue", ids[1], "--editor", "--yes")
        t.true("an editor", done.returncode == 0 and "usage.edited" in done.stdout, done)
        failing = tai.cli("deadletter", "requeue", ids[0], ids[2], "--json")
        lines = [json.loads(line) for line in failing.stdout.splitlines()]
        t.equal("one failed", (failing.returncode, [line["status"] for line in lines]), (1, ["rejected", "applied"]))
        began = time.monotonic()
        code, out, seen = on_terminal([tai.binary, "deadletter", "requeue", "--tenant", "acme", "--yes", "--rate", "2"],
                                      tai.cli_env())
        t.true("by filter", code == 0 and "3 requeued, 0 failed" in out, out)
        t.true("a bar meanwhile, gone in the end", "%  1 of 3" in seen and seen.endswith("\r\x1b[K"), seen)
        t.true("no faster than told", time.monotonic() - began >= 0.95)
        done = tai.cli("deadletter", "discard", "--all", "--yes", "--because", "none")
        t.true("none is left", done.returncode == 0 and "0 discarded" in done.stdout, done)
        tai.settle()
        shown = tai.cli("status").stdout
        t.true("status", "0 open" in shown and "gap 0, balance 0" in shown, shown)
        names = {r["body"]["operator"] for r in ledger.receipts_of(tai, "acme") if r["type"] == "operator"}
        t.true("operators", "cy" in names, names)
        t.equal("the governor", governor(tai, "acme", "e")["state"], "active")


main(globals())
