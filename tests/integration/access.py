#!/usr/bin/python3
"""Tokens of andon, keys and their files, and what SIGHUP takes over: access.py TAI [TEST…]."""
import hashlib
import hmac
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from checks import ended, main, wait_for  # noqa: E402

DENIED = 7


def key_new(t, *arguments):
    return subprocess.run([t.binary, "key", "new", *arguments], capture_output=True, text=True, timeout=60, check=False,
                          cwd=t.dir)


def new_token(t, name, role, tenant):
    """(the token, its lines for the token file)"""
    made = key_new(t, "token", "--name", name, "--role", role, "--tenant", tenant)
    token = re.search(r"\btai_[0-9a-f]{64}\b", made.stdout).group(0)
    return token, made.stdout.split("tokens:\n")[1]


def token_file(t, *items, mode=0o600):
    return t.file("tokens.yaml", "tokens:\n" + "".join(lines for _, lines in items), mode)


def events(tai, event):
    with open(tai.log_path, encoding="utf-8") as log:
        return [json.loads(line) for line in log
                if line.startswith("{") and line.endswith("\n") and json.loads(line)["event"] == event]


def reload(tai, event="reloaded"):
    """SIGHUP, and the line that tells how it went."""
    before = len(events(tai, event))
    tai.process.send_signal(signal.SIGHUP)
    return wait_for(event, lambda: events(tai, event)[before:])[0]


def test_tokens(t):
    alice = new_token(t, "alice", "operator", "acme")
    root = new_token(t, "root", "viewer", "*")
    path = token_file(t, alice, root)
    with t.tai(f"andon:\n  tokens_file: {path}\n") as tai:
        held = t.file("alice.token", alice[0] + "\n", 0o600)
        tai.post({"id": "s1", "tenant_id": "acme", "sku_id": "s", "type": "usage"})
        t.equal("without a token", tai.get("/v1/governors")[0], 401)
        t.equal("health", tai.get("/health")[0], 200)
        asked = tai.cli("governor", "list")
        t.equal("exit code without a token", asked.returncode, DENIED)
        t.contains("it says how to give one", asked.stderr, "--token-file")
        wait_for("the governor", lambda: "active" in tai.cli("governor", "list", "--token-file", held).stdout)
        halted = tai.cli("governor", "halt", "acme", "s", "--token-file", held)
        t.equal("halt", halted.returncode, 0)
        other = tai.cli("governor", "halt", "globex", "s", "--token-file", held)
        t.equal("another tenant", (other.returncode, "bound to tenant acme" in other.stderr), (DENIED, True))
        tai.env["TAI_TOKEN"] = root[0]
        t.equal("a viewer may not", tai.cli("governor", "resume", "acme", "s").returncode, DENIED)
        t.equal("status", tai.cli("status").returncode, 0)
        receipts = tai.cli("receipt", "list", "--tenant", "acme", "--type", "operator", "--json").stdout
        t.contains("the receipt names the token", receipts, '"operator":"alice"')
        tai.env["TAI_TOKEN"] = "no token at all"
        t.equal("no word", tai.cli("status").returncode, 2)
        said = tai.log()
        t.true("no token is in the log", alice[0] not in said and root[0] not in said)
    t.file("tokens.yaml", "tokens:\n" + alice[1], 0o620)
    code, said = t.refused_start("--config", os.path.join(t.dir, "config.yaml"))
    t.equal("a file others can write", (code, "chmod go-w" in said), (2, True))


def test_an_auditor_exports_and_verifies(t):
    auditor, viewer = new_token(t, "auditor", "auditor", "acme"), new_token(t, "root", "viewer", "*")
    with t.tai(f"andon:\n  tokens_file: {token_file(t, auditor, viewer)}\n") as tai:
        for i in range(30):
            tai.post({"id": f"s{i}", "tenant_id": ("acme", "globex")[i % 2], "sku_id": "s", "type": "usage"})
        tai.token = viewer[0]
        tai.settle()
        tai.env["TAI_TOKEN"] = auditor[0]
        whole = tai.cli("receipt", "export")
        t.equal("the whole log is not for a tenant's auditor", (whole.returncode, "--tenant" in whole.stderr), (DENIED, True))
        exported = tai.cli("receipt", "export", "--tenant", "acme", "--whole-log")
        t.equal("exit code", (exported.returncode, exported.stderr), (0, ""))
        t.true("acme's receipts stand in it, globex's do not", exported.stdout.count("\nr {") >= 15 and
               "globex" not in exported.stdout and exported.stdout.count("\nh ") >= 15, exported.stdout[:2000])
        vkey = tai.get("/v1/ledger/vkey")[1].strip()
        verified = tai.cli("receipt", "verify", t.file("export", exported.stdout), "--vkey", vkey)
        t.equal("it verifies", verified.returncode, 0)
        bundle = tai.cli("receipt", "export", "--tenant", "acme")
        t.true("the same with a proof each", bundle.returncode == 0 and bundle.stdout.count("\nr {") >= 15 and
               "globex" not in bundle.stdout and bundle.stdout.count("\nr ") == bundle.stdout.count("\np "), bundle)
        t.equal("which verifies", tai.cli("receipt", "verify", t.file("bundle", bundle.stdout), "--vkey", vkey).returncode, 0)
        t.equal("globex", tai.cli("receipt", "export", "--tenant", "globex").returncode, DENIED)


def test_beyond_loopback(t):
    code, said = t.refused_start("--andon-listen", "0.0.0.0:0")
    t.equal("without tokens", (code, "no tokens" in said), (2, True))
    alice = new_token(t, "alice", "viewer", "acme")
    path = token_file(t, alice)
    tai = t.tai(f"andon:\n  tokens_file: {path}\n")
    tai.andon_host = "0.0.0.0"
    with tai:
        t.equal("without a token", tai.get("/v1/governors")[0], 401)
        tai.token = alice[0]
        t.equal("with one", tai.get("/v1/governors")[0], 200)
        t.file("config.yaml", "andon: {listen: '127.0.0.1:1'}\n")
        refused = reload(tai, "reload_refused")
        t.contains("tokens cannot be taken away", refused["problem"], "tokens")
        t.equal("they still hold", tai.get("/v1/governors")[0], 200)


def test_reload(t):
    alice, bob = new_token(t, "alice", "viewer", "acme"), new_token(t, "bob", "viewer", "acme")
    config = f"andon:\n  tokens_file: {token_file(t, alice)}\n"
    with t.tai(config) as tai:
        worker = tai.worker_pid()
        tai.token = bob[0]
        t.equal("bob, not yet", tai.get("/v1/governors")[0], 401)
        token_file(t, alice, bob)
        t.equal("what changed", reload(tai)["changed"], "tokens")
        t.equal("bob", tai.get("/v1/governors")[0], 200)
        t.file("tokens.yaml", "tokens:\n  - name: x\n", 0o600)
        t.contains("the file and the line", reload(tai, "reload_refused")["problem"], "tokens.yaml:2: tokens[0].")
        t.equal("bob still", tai.get("/v1/governors")[0], 200)
        token_file(t, bob)
        t.file("config.yaml", config + "log: {level: warn}\nkanban: {prefetch: 7}\ningress: {rate: 1}\n")
        t.equal("what waits", reload(tai, "restart_needed")["options"], "kanban.prefetch")
        t.equal("no line of info", len(events(tai, "reloaded")), 1)
        posted = [tai.post({"tenant_id": "acme", "sku_id": "s", "type": "usage"})[0] for _ in range(8)]
        t.true("the rate holds", 202 in posted and 429 in posted, posted)
        tai.token = alice[0]
        t.equal("alice is gone", tai.get("/v1/governors")[0], 401)
        t.file("config.yaml", config + "log: {level: info}\n")
        t.equal("back again", reload(tai)["changed"], "ingress.rate, ingress.rate_burst, log.level")
        t.equal("nothing", reload(tai)["changed"], "nothing")
        t.equal("the same worker", tai.worker_pid(), worker)
        os.kill(worker, signal.SIGKILL)
        wait_for("a new worker", lambda: tai.worker_pid() not in (None, worker))
        wait_for("it serves", lambda: events(tai, "ready")[1:])
        t.equal("and takes SIGHUP", reload(tai)["changed"], "nothing")
        t.equal("exit code", tai.stop(), 0)


def test_secret_rotation(t):
    secrets = {}
    for name in ("old", "new"):
        made = json.loads(key_new(t, "signing", "--name", "k", "--tenant", "acme", "--out", name, "--json").stdout)
        with open(os.path.join(t.dir, name), "rb") as held:
            secrets[name] = held.read().strip()
        t.equal("what was made", (made["id"], made["role"], made["tenant"]), ("k", "publisher", "acme"))

    def config(now, previous=None):
        lines = f"keys:\n  - id: k\n    tenant: acme\n    secret_file: {t.dir}/{now}\n"
        return lines + (f"    previous_secret_file: {t.dir}/{previous}\n" if previous else "")

    answers, number, name, done = [], [0], ["old"], threading.Event()

    def post(with_secret):
        number[0] += 1
        body = json.dumps({"id": f"s{number[0]}", "sku_id": "s", "type": "usage"}).encode()
        return tai.post(body, {"X-Signature": hmac.new(secrets[with_secret], body, hashlib.sha256).hexdigest()})[0]

    def publish():
        while not done.is_set():
            answers.append(post(name[0]))

    with t.tai(config("old")) as tai:
        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            def some_more():
                count = len(answers)
                wait_for("more answers", lambda: len(answers) > count + 20)
            some_more()
            t.file("config.yaml", config("new", "old"))
            t.equal("both are taken", reload(tai)["changed"], "keys")
            some_more()
            name[0] = "new"
            some_more()
            t.file("config.yaml", config("new"))
            t.equal("the new one alone", reload(tai)["changed"], "keys")
            some_more()
        finally:
            done.set()
            publisher.join()
        t.equal("all were accepted", set(answers), {202})
        t.equal("the old secret", post("old"), 401)
        ended(tai, f"s{len(answers)}", "acme", timeout=60)
        said = tai.log()
        t.true("no secret is in the log", not any(secret.decode() in said for secret in secrets.values()))


def test_key_files(t):
    signing = ("signing", "--name", "k", "--tenant", "acme", "--out", "signing")
    for arguments in (signing, ("token", "--name", "a", "--role", "viewer", "--tenant", "*", "--out", "token"),
                      ("ledger", "--out", "ledger")):
        path = os.path.join(t.dir, arguments[-1])
        made = key_new(t, *arguments)
        t.equal(f"{arguments[0]}: exit code", made.returncode, 0)
        t.equal(f"{arguments[0]}: mode", stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as held:
            before = held.read()
        t.true("it is not shown", before.split("\n")[0] not in made.stdout, made.stdout)
        again = key_new(t, *arguments)
        t.equal(f"{arguments[0]}: never overwritten", (again.returncode, "exists" in again.stderr), (1, True))
        with open(path, encoding="ascii") as held:
            t.equal("its contents", held.read(), before)
    vkey = re.search(r"tai\.local/ledger\+\S+", made.stdout).group(0)
    with t.tai(f"ledger: {{key_file: {t.dir}/ledger}}\n") as tai:
        t.equal("the ledger's key", tai.get("/v1/ledger/vkey")[1].strip(), vkey)
    wrong = {"no kind": ("secret",), "no name": ("token", "--role", "viewer", "--tenant", "*"),
             "no role": ("token", "--name", "a", "--tenant", "*"),
             "a key's role": ("token", "--name", "a", "--role", "marketplace", "--tenant", "*"),
             "a tenant": ("signing", "--name", "a", "--tenant", "_x"), "no file": ("ledger",),
             "past": ("token", "--name", "a", "--role", "viewer", "--tenant", "*", "--expires", "2020-01-01T00:00:00Z"),
             "no time": ("token", "--name", "a", "--role", "viewer", "--tenant", "*", "--expires", "soon")}
    for what, arguments in wrong.items():
        t.equal(what, key_new(t, *arguments).returncode, 2)
    shown = json.loads(key_new(t, "token", "--name", "a", "--role", "viewer", "--tenant", "*", "--expires", "90d",
                               "--json").stdout)
    t.equal("the hash", shown["sha256"], hashlib.sha256(shown["token"].encode()).hexdigest())


if __name__ == "__main__":
    main(globals())
