#!/usr/bin/python3
"""From a POST to a receipt anyone can check: pipeline.py TAI [TEST…]. Foreign verification: python3-cryptography."""
import base64
import hashlib
import http.client
import json
import os
import re
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, main, signal_of, wait_for  # noqa: E402

RECEIPT_FIELDS = {"receipt_id", "type", "reason", "timestamp", "chain", "seq", "tenant_id", "entitlement_id",
                  "signal_id", "redrive", "signal_sha256", "action_id", "policy", "config_sha256", "state_before",
                  "state_after", "ending", "body", "previous_hash"}


def usage(identity, tenant="acme", entitlement="e", **more):
    return {"id": identity, "tenant_id": tenant, "entitlement_id": entitlement, "type": "usage", **more}


def raw_get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read(), dict(response.getheaders())


def test_one_signal(t):
    body = b' {"id":"evt:1/a=b~c", "tenant_id":"acme","sku_id":"sku-1","type":"usage.report","data":{"cost":"1.25"}}\n'
    with t.tai() as tai:
        status, answer, headers = tai.post(body)
        t.equal("the answer", (status, answer), (202, {"status": "accepted", "signal_id": "evt:1/a=b~c"}))
        t.equal("X-Signal-Id", headers.get("X-Signal-Id"), "evt:1/a=b~c")
        location = headers.get("Location", "")
        base = f"http://127.0.0.1:{tai.andon_port}/"
        t.true(f"Location begins with {base}", location.startswith(base), location)
        ended(tai, "evt:1/a=b~c", "acme")
        status, signal, _ = tai.get(location[len(base) - 1:])
        t.equal("status behind Location", status, 200)
        t.equal("identity and ending there",
                {k: signal.get(k) for k in ("status", "signal_id", "tenant_id", "entitlement_id", "redrive")},
                {"status": "executed", "signal_id": "evt:1/a=b~c", "tenant_id": "acme", "entitlement_id": "sku-1",
                 "redrive": 0})
        t.equal("number of its receipts", len(signal["receipts"]), 1)
        status, raw, headers = raw_get(tai.andon_port, "/v1/receipts/" + signal["receipts"][0])
        t.equal("status of the receipt", status, 200)
        digest = hashlib.sha256(raw).hexdigest()
        t.equal("X-Receipt-Hash", headers.get("X-Receipt-Hash"), digest)
        receipt = json.loads(raw)
        t.equal("the receipt's bytes, which are canonical", raw, ledger.canonical(receipt))
        t.true("the receipt has only documented fields", set(receipt) <= RECEIPT_FIELDS, set(receipt) - RECEIPT_FIELDS)
        t.equal("ending and type", (receipt.get("ending"), receipt["type"]), ("executed", "action_success"))
        t.equal("signal_sha256", receipt["signal_sha256"], hashlib.sha256(body).hexdigest())
        tai.post(usage("evt-2", entitlement="sku-1"))
        second = ended(tai, "evt-2", "acme")
        after = json.loads(raw_get(tai.andon_port, "/v1/receipts/" + second["receipts"][0])[1])
        t.equal("previous_hash of the next receipt", after["previous_hash"], digest)
        t.equal("its seq", after["seq"], receipt["seq"] + 1)
        t.equal("SIGTERM", tai.stop(), 0)


def test_defaults(t):
    with t.tai() as tai:
        status, answer, headers = tai.post({"tenant_id": "acme", "sku_id": "s", "type": "usage"})
        identity = answer["signal_id"]
        t.equal("status", status, 202)
        t.true("the new id is a UUIDv7", re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                                                      r"[0-9a-f]{12}", identity), identity)
        t.equal("X-Signal-Id", headers.get("X-Signal-Id"), identity)
        t.equal("entitlement", ended(tai, identity, "acme")["entitlement_id"], "s")
        again = tai.post({"tenant_id": "acme", "sku_id": "s", "type": "usage"})[1]
        t.true("the same body without id is a new signal", again["signal_id"] != identity, again)
        status, problem, headers = signal_of(tai, "unheard-of", "acme")
        t.equal("status of an unknown signal", (status, headers.get("Content-Type")), (404, "application/problem+json"))
        t.equal("status without tenant_id", tai.get("/v1/signals/" + identity)[0], 400)
        ended(tai, again["signal_id"], "acme")
        for text, part in ((None, "tai_http_requests_total"), (None, "tai_build_info")):
            for port in (tai.port, tai.andon_port):
                t.contains(f"/metrics of port {port}", tai.get("/metrics", port)[1], part)
        for port in (tai.port, tai.andon_port):
            t.equal("/livez /readyz /health", [tai.get(p, port)[0] for p in ("/livez", "/readyz", "/health")], [200] * 3)
            t.equal("status in /health", tai.get("/health", port)[1]["status"], "pass")


def test_ledger(t):
    with t.tai() as tai:
        tenants = ("acme", "globex", "initech")
        for batch in range(4):
            answer = tai.post([usage(f"s{batch}-{i}", tenants[i % 3], f"e{i % 7}") for i in range(100)])
            t.equal("status of a batch", answer[0], 202)
        tai.settle()
        listed = ledger.check_ledger(t, tai)
        endings = [r["receipt"] for r in listed if "ending" in r["receipt"]]
        t.equal("number of endings", len(endings), 400)
        t.equal("endings other than executed", [r for r in endings if r["ending"] != "executed"], [])
        t.equal("chains", {r["receipt"]["chain"] for r in listed}, set(tenants))
        for tenant in tenants:
            own = ledger.items(tai, tenant_id=tenant)
            t.equal(f"{tenant}'s chain by itself", own, [r for r in listed if r["receipt"]["chain"] == tenant])
        pages, after = [], {}
        while True:
            page = tai.get("/v1/receipts?limit=97" + (f"&after={after}" if after else ""))[1]
            pages.append(page["receipts"])
            after = page.get("next")
            if not after:
                break
        t.equal("the log in pages of 97", sum(pages, []), listed)
        t.equal("size of the first page", len(pages[0]), 97)
        one = listed[123]
        status, raw, headers = raw_get(tai.andon_port, "/v1/receipts/" + one["receipt"]["receipt_id"])
        t.equal("a receipt by its id", (status, json.loads(raw)), (200, one["receipt"]))
        t.equal("X-Ledger-Index", headers.get("X-Ledger-Index"), "123")
        t.equal("unknown receipt", tai.get("/v1/receipts/00000000-0000-5000-8000-000000000000")[0], 404)


def test_keys_of_the_ledger(t):
    tai = t.tai().start()
    tai.post(usage("1"))
    ended(tai, "1", "acme")
    tai.settle()
    note, vkey = tai.get("/checkpoint")[1], tai.get("/v1/ledger/vkey")[1]
    key = ledger.Key(vkey)
    t.equal("algorithm byte of the vkey", key.algorithm, 1)
    t.true("the vkey's hash is SHA-256 of name, newline, algorithm and key", key.hash_is_right, vkey)
    t.equal("origin, size", ledger.open_note(note, key)[:2], ("tai.local/ledger", 2))
    for at in (0, len("tai.local/ledger\n"), len("tai.local/ledger\n2\n") + 5):
        changed = note[:at] + ("x" if note[at] != "x" else "y") + note[at + 1:]
        try:
            ledger.open_note(changed, key)
            t.true(f"a checkpoint changed at byte {at} does not verify", False, changed)
        except ValueError:
            t.true("refused", True)
    status, jwks, headers = tai.get("/.well-known/jwks.json")
    t.equal("type of the JWKS", headers.get("Content-Type"), "application/jwk-set+json")
    jwk = jwks["keys"][0]
    t.equal("JWK", {k: jwk.get(k) for k in ("kty", "crv", "alg", "use")},
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"})
    t.equal("x of the JWK", base64.urlsafe_b64decode(jwk["x"] + "="), key.public)
    t.true("x is unpadded", "=" not in jwk["x"], jwk["x"])
    t.equal("exit", tai.stop(), 0)
    tai.port = tai.andon_port = 0
    with tai:
        t.equal("the key after a restart", tai.get("/v1/ledger/vkey")[1], vkey)
        wait_for("a checkpoint", lambda: tai.get("/checkpoint")[0] == 200)
        t.equal("the log after a restart", ledger.open_note(tai.get("/checkpoint")[1], key)[1:],
                ledger.open_note(note, key)[1:])
    t.equal("mode of ledger.key", oct(os.stat(os.path.join(t.dir, "data", "ledger.key")).st_mode & 0o777), "0o600")


def test_duplicates(t):
    tai = t.tai().start()
    t.true("the first one is not marked", "duplicate" not in tai.post(usage("d"))[1])
    first = ended(tai, "d", "acme")
    status, answer, _ = tai.post(usage("d"))
    t.equal("the second one", (status, answer), (202, {"status": "accepted", "signal_id": "d", "duplicate": True}))
    status, answer, _ = tai.post([usage("d"), usage("d2"), usage("d2")])
    t.equal("duplicates in a batch", [r.get("duplicate", False) for r in answer["results"]], [True, False, True])
    ended(tai, "d2", "acme")
    t.equal("exit", tai.stop(), 0)
    tai.port = tai.andon_port = 0
    with tai:
        t.equal("a duplicate after a restart", tai.post(usage("d"))[0], 202)
        wait_for("four duplicates", lambda: tai.totals()["signals"]["duplicates"] >= 4)
        tai.settle()
        totals = tai.totals()["signals"]
        t.equal("counters", totals, {"taken": 6, "requeued": 0, "ended": 2, "duplicates": 4, "waiting": 0, "acting": 0})
        t.equal("the signal", signal_of(tai, "d", "acme")[1], first)
        endings = [r["signal_id"] for r in ledger.receipts_of(tai, "acme") if "ending" in r]
        t.equal("endings", sorted(endings), ["d", "d2"])


def test_id_conflict(t):
    other = json.dumps(usage("c", data=2))
    with t.tai() as tai:
        tai.post(usage("c", data=1))
        first = ended(tai, "c", "acme")
        t.equal("the other body", tai.post(other)[0], 202)
        wait_for("the dead letter", lambda: len(ledger.receipts_of(tai, "acme", "c")) > 1)
        receipts = ledger.receipts_of(tai, "acme", "c")
        t.equal("its receipt", {k: receipts[1].get(k) for k in ("type", "ending", "reason", "signal_sha256")},
                {"type": "deadletter", "ending": "deadlettered", "reason": "id_conflict",
                 "signal_sha256": hashlib.sha256(other.encode()).hexdigest()})
        tai.post(other)
        wait_for("a duplicate", lambda: tai.totals()["signals"]["duplicates"] == 1)
        tai.settle()
        t.equal("receipts after a further copy", ledger.receipts_of(tai, "acme", "c"), receipts)
        t.equal("the first one", signal_of(tai, "c", "acme")[1], first)
        tai.post(usage("c", entitlement="other", data=3))
        t.equal("the same id under another entitlement", ended(tai, "c", "acme", "other")["status"], "executed")
        both = signal_of(tai, "c", "acme")[1]
        t.equal("entitlement and also_under", {both["entitlement_id"], *both.get("also_under", [])}, {"e", "other"})
        tai.post(usage("c", tenant="globex", data=4))
        t.equal("the same id of another tenant", ended(tai, "c", "globex")["status"], "executed")


def test_batch(t):
    with t.tai() as tai:
        status, answer, headers = tai.post([usage(f"b{i}") for i in range(50)])
        t.equal("status", status, 202)
        t.equal("results", answer, {"results": [{"index": i, "status": 202, "signal_id": f"b{i}"} for i in range(50)]})
        items = [usage("g0"), usage("g1", colour="red"), usage("g2"), 7, usage("g4", type="NOT A TYPE"), usage("g5")]
        body = json.dumps(items)
        status, answer, _ = tai.post(body)
        t.equal("status with bad items", status, 207)
        t.equal("status of each", [r["status"] for r in answer["results"]], [202, 400, 202, 400, 400, 202])
        t.equal("indexes", [r["index"] for r in answer["results"]], [0, 1, 2, 3, 4, 5])
        problem = answer["results"][1]["problem"]
        t.equal("status in the problem", problem["status"], 400)
        t.contains("the problem", problem["detail"], '"colour"')
        t.contains("the problem", problem["detail"], f'byte {body.index("colour")}:')
        t.contains("the problem of item 3", answer["results"][3]["problem"]["detail"], "must be a JSON object")
        t.contains("the problem of item 4", answer["results"][4]["problem"]["detail"], "type")
        t.equal("the good ones", [ended(tai, i, "acme")["status"] for i in ("g0", "g2", "g5")], ["executed"] * 3)
        t.equal("the bad one", signal_of(tai, "g1", "acme")[0], 404)
        t.equal("[]", tai.post("[]")[:2], (202, {"results": []}))
        status, problem, _ = tai.post([usage(f"m{i}") for i in range(1001)])
        t.equal("status of 1,001 items", (status, problem["status"]), (413, 413))
        t.contains("detail", problem["detail"], "1001")
        status, answer, _ = tai.post([usage(f"m{i}", entitlement=f"e{i % 40}") for i in range(1000)])
        t.equal("status of 1,000 items", (status, {r["status"] for r in answer["results"]}), (202, {202}))
        tai.settle()
        t.equal("signals taken", tai.totals()["signals"]["taken"], 50 + 3 + 1000)
        ledger.check_ledger(t, tai)


def test_item_hash(t):
    item = '{ "id":"x1",\t"tenant_id":"acme", "sku_id":"\\u0065", "type":"usage", "data": [1.0, "\\u00e9", {}] }'
    with t.tai() as tai:
        tai.post("[ " + item + " , " + item.replace("x1", "x2") + "]")
        ended(tai, "x2", "acme")
        receipt = ledger.receipts_of(tai, "acme", "x1")[0]
        t.equal("signal_sha256 of an item", receipt["signal_sha256"], hashlib.sha256(item.encode()).hexdigest())
        t.equal("an escaped sku", receipt["entitlement_id"], "e")


SHAPES = {"one partition": "kanban:\n  partitions: 1\n", "1,024 partitions": "kanban:\n  partitions: 1024\n",
          "the memory queue": "kanban:\n  backend: memory\n", "one frame at a time": "kanban:\n  prefetch: 1\n",
          "three shards": "ledger:\n  shards: 3\n"}


def test_shapes(t):
    for number, (name, config) in enumerate(SHAPES.items()):
        tai = t.tai(config, data=os.path.join(t.dir, str(number)))
        tenants = [f"t{i}" for i in range(7)]
        with tai:
            for batch in range(3):
                answer = tai.post([usage(f"{batch}-{i}", tenants[i % 7], f"e{i % 40}") for i in range(200)])
                t.equal(f"status with {name}", answer[0], 202)
            tai.settle()
            logs = [ledger.check_ledger(t, tai, shard) for shard in range(3 if name == "three shards" else 1)]
            endings = [i["receipt"] for i in sum(logs, []) if "ending" in i["receipt"]]
            t.equal(f"endings with {name}", (len(endings), {r["ending"] for r in endings}), (600, {"executed"}))
            for tenant in tenants:
                ids = [r["signal_id"] for r in ledger.receipts_of(tai, tenant, entitlement_id="e0") if "ending" in r]
                t.equal(f"order with {name}", ids, sorted(ids, key=lambda i: [int(n) for n in i.split("-")]))
            t.equal(f"conservation gap with {name}", tai.metric("tai_conservation_gap_signals"), 0)
            t.equal(f"exit with {name}", tai.stop(), 0)


def test_names_in_urls(t):
    name = "a/b:c@d+e=f~g-h._"
    with t.tai() as tai:
        _, _, headers = tai.post(usage(name, entitlement=name))
        ended(tai, name, "acme", name)
        location = headers["Location"].split("/", 3)[3]
        t.equal("entitlement behind Location", tai.get("/" + location)[1].get("entitlement_id"), name)
        quoted = urllib.parse.quote(name, safe="")
        t.equal("its governor", tai.get(f"/v1/governors/acme/{quoted}")[1].get("entitlement_id"), name)
        t.equal("its receipts", len(ledger.receipts_of(tai, "acme", name, entitlement_id=name)), 1)


def in_threads(count, function):
    results, barrier = [None] * count, threading.Barrier(count)

    def work(i):
        barrier.wait()
        results[i] = function(i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_concurrent_same_id(t):
    with t.tai() as tai:
        answers = in_threads(20, lambda i: tai.post(usage("same")))
        t.equal("statuses of one body from 20 threads", {a[0] for a in answers}, {202})
        t.equal("not marked as duplicate", len([a for a in answers if "duplicate" not in a[1]]), 1)
        answers = in_threads(20, lambda i: tai.post(usage("differs", data=i)))
        t.equal("statuses of 20 bodies", {a[0] for a in answers}, {202})
        wait_for("all to be taken", lambda: tai.totals()["signals"]["taken"] == 40)
        tai.settle()
        t.equal("endings of one body", [r["ending"] for r in ledger.receipts_of(tai, "acme", "same")], ["executed"])
        receipts = ledger.receipts_of(tai, "acme", "differs")
        t.equal("endings of 20 bodies", sorted(r["ending"] for r in receipts), ["deadlettered"] * 19 + ["executed"])
        t.equal("which comes first", receipts[0]["ending"], "executed")
        t.equal("bodies named", len({r["signal_sha256"] for r in receipts}), 20)


if __name__ == "__main__":
    main(globals())
