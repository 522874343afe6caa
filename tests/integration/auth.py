#!/usr/bin/python3
"""Signed signals, keys bound to tenant and role, rate limits: auth.py TAI [TEST…]."""
import hashlib
import hmac
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
from checks import ended, governor, main, signal_of  # noqa: E402

SECRETS = {"acme-1": b"acme's secret, long enough", "globex-1": b"globex's secret, long enough",
           "market": b"the marketplace's secret", "all": b"\x00\xff binary secrets are fine \n."}


def config_of(t, *keys, more=""):
    """keys: (id, tenant, role)."""
    lines = ["keys:"]
    for key, tenant, role in keys:
        path = os.path.join(t.dir, key + ".key")
        with open(path, "wb") as out:
            out.write(SECRETS[key] + b"\n")
        lines += [f"  - id: {key}", f"    secret_file: {path}", f'    tenant: "{tenant}"', f"    role: {role}"]
    return "\n".join(lines) + "\n" + more


def signature(key, body):
    return hmac.new(SECRETS[key], body, hashlib.sha256).hexdigest()


def send(tai, signal, key, name_key=True, **headers):
    body = json.dumps(signal).encode()
    signed = {"X-Signature": signature(key, body), **({"X-Key-Id": key} if name_key else {})}
    signed.update({name.replace("_", "-"): value for name, value in headers.items()})
    return tai.post(body, {name: value for name, value in signed.items() if value is not None})


def usage(identity, tenant="acme", **more):
    return {"id": identity, "tenant_id": tenant, "sku_id": "s", "type": "usage", **more}


def test_signatures(t):
    config = config_of(t, ("acme-1", "acme", "publisher"), ("globex-1", "globex", "publisher"),
                       ("all", "*", "publisher"))
    with t.tai(config) as tai:
        body = json.dumps(usage("s1")).encode()
        good = signature("acme-1", body)
        cases = [("plain", good, 202), ("sha256=", "sha256=" + good, 202), ("upper case", good.upper(), 202),
                 ("none", None, 401), ("empty", "", 401), ("SHA256= misspelt", "sha1=" + good, 401),
                 ("one digit wrong", ("0" if good[0] != "0" else "1") + good[1:], 401), ("short", good[:-1], 401),
                 ("long", good + "0", 401), ("no hex", "z" * 64, 401), ("another key's", signature("all", body), 401),
                 ("of another body", signature("acme-1", body + b" "), 401)]
        for name, value, status in cases:
            headers = {"X-Key-Id": "acme-1", **({} if value is None else {"X-Signature": value})}
            got, answer, got_headers = tai.post(body, headers)
            t.equal(f"status with signature {name}", got, status)
            if status == 401:
                t.contains(f"detail with signature {name}", answer["detail"], "X-Signature")
                t.true("the right signature is not told", good not in json.dumps(answer), answer)
                t.equal("WWW-Authenticate", got_headers.get("WWW-Authenticate"), "X-Signature")
        t.equal("binary secret", send(tai, usage("s2", "any"), "all")[0], 202)
        status, answer, _ = send(tai, usage("s3"), "acme-1", X_Key_Id="nobody")
        t.equal("status with an unknown key", status, 401)
        t.contains("detail", answer["detail"], "X-Key-Id")
        t.equal("key found by the tenant", send(tai, usage("s4"), "acme-1", name_key=False)[0], 202)
        t.equal("no key for the tenant", send(tai, usage("s5", "initech"), "all", name_key=False)[0], 401)
        t.equal("unsigned", tai.post(usage("s6"))[0], 401)
        t.equal("unsigned and not JSON", tai.post("{")[0], 401)
        tai.settle()
        taken = sorted(r["signal_id"] for r in ledger.receipts_of(tai, "acme") if "ending" in r)
        t.equal("acme's signals", taken, ["s1", "s4"])
        t.equal("a web page may post when it signs",
                send(tai, usage("s7"), "acme-1", Origin="http://app.example", Host="ingress.example")[0], 202)
        source = tai.get("/v1/signals/s4?tenant_id=acme")
        t.equal("status of s4", source[0], 200)


def test_one_key(t):
    with t.tai(config_of(t, ("acme-1", "acme", "publisher"))) as tai:
        signal = {"id": "o1", "sku_id": "s", "type": "usage"}
        status, answer, _ = send(tai, signal, "acme-1", name_key=False)
        t.equal("the only key, its tenant left out", status, 202)
        t.equal("tenant", ended(tai, "o1", "acme")["tenant_id"], "acme")
        status, answer, _ = send(tai, {"sku_id": "s", "type": "usage"}, "acme-1")
        t.equal("status without id", status, 400)
        t.contains("detail", answer["detail"], "id is missing")


def test_tenants_and_roles(t):
    config = config_of(t, ("acme-1", "acme", "publisher"), ("globex-1", "globex", "publisher"),
                       ("market", "*", "marketplace"))
    with t.tai(config) as tai:
        status, answer, _ = send(tai, usage("x1", "globex"), "acme-1")
        t.equal("another tenant", status, 403)
        t.contains("detail", answer["detail"], "globex")
        status, answer, _ = send(tai, [usage("x2"), usage("x3", "globex"), usage("x4")], "acme-1")
        t.equal("in a batch", (status, [r["status"] for r in answer["results"]]), (207, [202, 403, 202]))
        t.equal("nothing came to globex", (signal_of(tai, "x1", "globex")[0], signal_of(tai, "x3", "globex")[0]),
                (404, 404))
        event = usage("v1", type="tai.entitlement.suspended")
        status, answer, _ = send(tai, event, "acme-1")
        t.equal("an event of a publisher", status, 403)
        t.contains("detail", answer["detail"], "marketplace")
        ended(tai, "x4", "acme")
        t.equal("state", governor(tai, "acme", "s")["state"], "active")
        t.equal("of the marketplace", send(tai, event, "market")[0], 202)
        ended(tai, "v1", "acme")
        t.equal("state", governor(tai, "acme", "s")["state"], "degraded")
        other = usage("v2", type="tai.entitlement.unheard_of")
        t.equal("what only looks like an event is a signal", send(tai, other, "acme-1")[0], 202)
        t.equal("its ending", ended(tai, "v2", "acme")["status"], "refused")


def test_key_files(t):
    def start(text, **options):
        return t.refused_start("--config", t.file("bad.yaml", text), **options)

    key = "keys:\n  - id: k\n    tenant: acme\n    role: publisher\n"
    path = os.path.join(t.dir, "absent.key")
    code, said = start(key + f"    secret_file: {path}\n")
    t.equal("exit code with a missing key file", code, 2)
    for part in ("bad.yaml:5:", path, "No such file"):
        t.contains("what it says", said, part)
    code, said = start(key + f"    secret_file: {t.file('closed.key', 'x' * 32, 0)}\n", nobody=True)
    t.equal("exit code with an unreadable key file", code, 2)
    t.contains("what it says", said, "bad.yaml:5:")
    t.contains("what it says", said, "Permission denied")
    code, said = start(key + f"    secret_file: {t.dir}\n")
    t.equal("exit code with a directory for a key file", code, 2)
    t.contains("what it says", said, "bad.yaml:5:")
    code, said = start(key + f"    secret_file: {t.file('short.key', 'x' * 15)}\n")
    t.equal("exit code with a short secret", code, 2)
    t.contains("what it says", said, "15 bytes, fewer than 16")
    code, said = start(key + "    secret: 0123456789abcdef0123456789abcdef\n")
    t.equal("exit code with a secret in the file", code, 2)
    t.contains("what it says", said, "bad.yaml:5:")
    t.true("the secret is not repeated", "0123456789abcdef" not in said, said)
    code, said = start(key)
    t.equal("exit code without a secret", code, 2)
    t.contains("what it says", said, "TAI_KEYS_")
    t.true("nothing was made", not os.path.exists(os.path.join(t.dir, "data", "tai.db")))


def test_secret_from_environment(t):
    config = "keys:\n  - id: acme-1\n    tenant: acme\n    role: publisher\n"
    with t.tai(config, env={"TAI_KEYS_ACME_1_SECRET": SECRETS["acme-1"].decode()}) as tai:
        t.equal("signed", send(tai, usage("e1"), "acme-1")[0], 202)
        with open(f"/proc/{tai.worker_pid()}/cmdline", "rb") as line:
            t.true("no secret on the command line", SECRETS["acme-1"] not in line.read())
        t.true("no secret in the log", SECRETS["acme-1"].decode() not in tai.log(), tai.log())


def test_open_without_keys(t):
    code, said = t.refused_start("--listen", "0.0.0.0:0")
    t.equal("exit code when open to others without keys", code, 2)
    t.contains("what it says", said, "keys")
    code, said = t.refused_start("--andon-listen", "0.0.0.0:0")
    t.equal("exit code when andon is open to others", code, 2)
    t.contains("what it says", said, "andon.listen")


def test_rates(t):
    with t.tai("ingress:\n  rate: 1\n  rate_burst: 5\n") as tai:
        status, answer, headers = tai.post([usage(f"r{i}") for i in range(8)])
        t.equal("a batch beyond the burst", status, 207)
        t.equal("takes what there is", [r["status"] for r in answer["results"]], [202] * 5 + [429] * 3)
        t.true("Retry-After is a number of seconds from 1", int(headers.get("Retry-After", 0)) >= 1, headers)
        problem = answer["results"][5]["problem"]
        t.true("retry_after in the problem of an item", problem.get("retry_after", 0) >= 1, problem)
        status, answer, headers = tai.post(usage("r8"))
        t.equal("a single one", (status, headers.get("Content-Type")), (429, "application/problem+json"))
        pause = int(headers.get("Retry-After", 0))
        t.true("Retry-After is 1 s at 1 a second", pause == 1, headers)
        time.sleep(pause)
        t.equal("after Retry-After", tai.post(usage("r8"))[0], 202)
        t.equal("a refused one is unknown", signal_of(tai, "r6", "acme")[0], 404)
        t.true("counted as limited", 'result="limited"} 4' in tai.get("/metrics", tai.port)[1])


def test_tenant_rates(t):
    with t.tai("ingress:\n  tenant_rate: 1\n  tenant_burst: 2\n") as tai:
        status, answer, _ = tai.post([usage(f"a{i}") for i in range(3)] + [usage(f"g{i}", "globex") for i in range(2)])
        t.equal("one tenant beyond, the other not", [r["status"] for r in answer["results"]], [202, 202, 429, 202, 202])
        t.equal("the first tenant still waits", tai.post(usage("a4"))[0], 429)
        t.equal("a third one is not concerned", tai.post(usage("i1", "initech"))[0], 202)


if __name__ == "__main__":
    main(globals())
