#!/usr/bin/python3
"""The command line against a real `tai run`, and against stand-ins for servers that are busy, broken or not ours.

Usage: cli.py PATH-OF-TAI. Exit code 0, or 1 and what failed. Python's standard library only."""
import hashlib
import hmac
import http.server
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from tai import on_terminal  # noqa: E402

TAI = os.path.abspath(sys.argv[1])
WORK = tempfile.mkdtemp(prefix="tai-cli-")
ENV = {k: v for k, v in os.environ.items() if not k.startswith("TAI_") and "proxy" not in k.lower() and k != "PORT"}
failures = []


def check(what, good, seen=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}\n        {str(seen)[:1500]}", flush=True)


def path(name, text=None):
    name = os.path.join(WORK, name)
    if text is not None:
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    return name


class Result:
    def __init__(self, done):
        self.code, self.raw = done.returncode, done.stdout
        self.out = done.stdout.decode("utf-8", "replace")
        self.err = done.stderr.decode("utf-8", "replace")

    def __repr__(self):
        return f"code {self.code}\n-- stdout: {self.out}\n-- stderr: {self.err}"

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def tai(*args, stdin="", env=None, timeout=90):
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run([TAI, *args], input=data, capture_output=True, env={**ENV, **(env or {})}, timeout=timeout,
                          check=False)
    return Result(done)


class Run:
    """A `tai run` on free ports."""

    def __init__(self, name, *args):
        self.err = open(path(name + ".err"), "wb")
        self.process = subprocess.Popen(
            [TAI, "run", "--data", path(name), "--listen", "127.0.0.1:0", "--andon-listen", "127.0.0.1:0", *args],
            stdout=subprocess.PIPE, stderr=self.err, env=ENV, bufsize=0)
        found = {}
        deadline = time.time() + 30
        while time.time() < deadline and len(found) < 2:
            if not select.select([self.process.stdout], [], [], 1)[0]:
                continue
            line = self.process.stdout.readline().decode()
            if not line:
                break
            match = re.match(r"(signals|andon) +(http://[^/]*)/", line)
            if match:
                found[match[1]] = match[2]
        if len(found) < 2:
            self.stop()
            print(open(path(name + ".err")).read()[-2000:])
            sys.exit("FAILED: tai run did not become ready")
        self.ingress, self.andon = found["signals"], found["andon"]
        self.env = {"TAI_SERVER": self.andon, "TAI_INGRESS": self.ingress}

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.err.close()


class Fake:
    """An HTTP server that answers by a function (method, path, headers, body) -> (status, headers, body) or None: no answer."""

    def __init__(self, answer):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_all(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.path, dict(self.headers), body, time.monotonic()))
                result = answer(self.command, self.path, self.headers, body)
                if result is None:
                    self.close_connection = True
                    return
                status, headers, data = result
                if not isinstance(data, bytes):
                    data = json.dumps(data).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_all

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def accept_all(body):
    signals = json.loads(body)
    if isinstance(signals, dict):
        return 202, {}, {"status": "accepted", "signal_id": signals.get("id", "?")}
    return 202, {}, {"results": [{"index": i, "status": 202, "signal_id": s.get("id", "?")} for i, s in enumerate(signals)]}


def problem(status, detail):
    return {"type": "about:blank", "title": "x", "status": status, "detail": detail}


def wait_until(what, test, seconds=20):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if test():
            return
        time.sleep(0.05)
    check(what, False, "did not happen in time")


# --- the command line itself ----------------------------------------------------------------------------------------------

VERBS = ["run", "status", "signal send", "signal show", "governor list", "governor show", "governor halt",
         "governor resume", "governor activate", "governor reset-quota", "deadletter list", "deadletter show",
         "deadletter requeue", "deadletter discard", "command list", "command show", "partition list", "receipt list", "receipt show", "receipt export", "receipt verify",
         "config check", "config show", "config reference", "version"]


def test_help():
    whole = tai("help")
    check("help ends with 0", whole.code == 0, whole)
    for verb in VERBS:
        check(f"help lists {verb}", f"tai {verb} " in whole.out, whole)
        one = tai(*verb.split(), "--help")
        check(f"{verb} --help", one.code == 0 and one.out.startswith(f"Usage: tai {verb}") and not one.err, one)
        same = tai("help", *verb.split())
        check(f"help {verb} is {verb} --help", same.out == one.out and same.code == 0, same)
        check(f"help of {verb} fits 120 columns", max(map(len, one.out.splitlines())) <= 120, one.out)
    check("--help is help", tai("--help").out == whole.out and tai("-h").out == whole.out)
    nothing = tai()
    check("no verb: the list on stderr, exit 2", nothing.code == 2 and not nothing.out and "signal send" in nothing.err, nothing)


def test_unknown():
    for args, said in [(["statsu"], "tai status"), (["signal", "sned"], "tai signal send"), (["recepit", "list"], "tai receipt list"),
                       (["governer", "show"], "tai governor show"), (["stat"], "tai status"), (["signall"], "tai signal"),
                       (["help", "verison"], "tai version")]:
        seen = tai(*args)
        check(f"{args}: suggests {said}", seen.code == 2 and f"`{said}`" in seen.err and not seen.out, seen)
    far = tai("frobnicate")
    check("nothing near: no suggestion", far.code == 2 and "did you mean" not in far.err and "tai help" in far.err, far)
    group = tai("receipt")
    check("a group lists its verbs", group.code == 2 and "receipt verify" in group.err and "governor" not in group.err, group)
    for args, said in [(["receipt", "list", "--tenent", "x"], "--tenant"), (["receipt", "list", "--limit=x"], "whole number"),
                       (["receipt", "list", "--limit", "-1"], "at least 0"), (["receipt", "list", "--tenant"], "takes a value"),
                       (["receipt", "list", "--json=1"], "takes no value"), (["receipt", "list", "-z"], "'-z'"),
                       (["receipt", "list", "extra"], "'extra'"), (["receipt", "show"], "RECEIPT_ID"),
                       (["receipt", "list", "--limit", "99999999999999999999"], "at least 0"),
                       (["receipt", "list", "--shard", "4294967296"], "from 0 to 4294967295"),
                       (["receipt", "list", "--tenant", "a", "--shard", "0"], "one of them"),
                       (["signal", "show", "x"], "--tenant"), (["receipt", "verify", "x"], "--vkey"),
                       (["governor", "list", "--server", "ftp://x"], "http://"), (["governor", "list", "--server", ""], "empty"),
                       (["governor", "list", "--server", "http://u:p@localhost"], "password"),
                       (["governor", "list", "--server", "http://localhost/?a"], "'?'"),
                       (["governor", "list", "--server", "http://localhost:99999"], "wrong"),
                       (["signal", "send", "--key-id", "k"], "--key-file")]:
        seen = tai(*args)
        check(f"{args}: exit 2 and {said}", seen.code == 2 and said in seen.err and not seen.out, seen)


def test_version_and_config():
    plain, machine = tai("version"), tai("version", "--json")
    check("version", plain.code == 0 and plain.out.startswith("tai "), plain)
    check("version --json", "version" in machine.lines()[0] and plain.out.split()[1] == machine.lines()[0]["version"], machine)
    check("--version", tai("--version").out == plain.out)
    good = tai("config", "check", path("good.yaml", "kanban:\n  partitions: 4\n"))
    check("config check: good", good.code == 0 and "no problems" in good.out, good)
    bad_file = path("bad.yaml", "ingress:\n  max_hedaer: 1\nkanban:\n  partitions: many\n")
    bad = tai("config", "check", bad_file)
    check("config check: all problems, exit 2", bad.code == 2 and ":2:" in bad.out and ":4:" in bad.out and "max_header" in bad.out, bad)
    machine = tai("config", "check", "--json", bad_file)
    check("config check --json", machine.code == 2 and len(machine.lines()) == 2 and all("problem" in x for x in machine.lines()), machine)
    check("config check: environment", tai("config", "check", env={"TAI_KANBAN_PARTITIONS": "x"}).code == 2)
    seen = tai("config", "check", env={"TAI_SERVER": "http://x", "TAI_INGRESS": "http://y"})
    check("config check: the command line's own variables are no options", seen.code == 0 and "warning" not in seen.out, seen)
    check("config check: no such file", tai("config", "check", path("nowhere")).code == 2)
    shown = tai("config", "show", "--config", path("good.yaml"))
    check("config show", shown.code == 0 and re.search(r"partitions: 4\b", shown.out), shown)
    machine = tai("config", "show", "--json", env={"TAI_KANBAN_PARTITIONS": "7"})
    check("config show --json", machine.code == 0 and json.loads(machine.out)["kanban"]["partitions"] == 7, machine)
    check("config show: bad file", tai("config", "show", "--config", bad_file).code == 2)
    reference = tai("config", "reference")
    check("config reference", reference.code == 0 and "partitions" in reference.out, reference)


def test_unreachable():
    with open(path("one.jsonl", '{"tenant_id":"a","sku_id":"b","type":"c"}\n')):
        pass
    nowhere = "http://127.0.0.1:1"
    for args in [["status"], ["signal", "show", "x", "--tenant", "a"], ["governor", "list"], ["governor", "show", "a", "b"],
                 ["receipt", "list"], ["receipt", "show", "00000000-0000-5000-8000-000000000000"], ["receipt", "export"]]:
        seen = tai(*args, env={"TAI_SERVER": nowhere, "TAI_INGRESS": nowhere})
        said = seen.out if args == ["status"] else seen.err
        check(f"{args}: exit 3, URL and what to start", seen.code == 3 and nowhere in said and "tai run" in said, seen)
    seen = tai("signal", "send", path("one.jsonl"), "--server", nowhere)
    check("signal send: exit 3", seen.code == 3 and nowhere in seen.err and "tai run" in seen.err and not seen.out, seen)
    seen = tai("governor", "list", "--server", "http://no-such-host.invalid")
    check("unknown host: exit 3", seen.code == 3 and "no-such-host.invalid" in seen.err, seen)
    seen = tai("receipt", "export", "-o", path("never.txt"), "--server", nowhere)
    check("no file without an export", seen.code == 3 and not os.path.exists(path("never.txt")) and
          not os.path.exists(path("never.txt.part")), seen)


# --- signal send ----------------------------------------------------------------------------------------------------------

def test_send(run):
    one = tai("signal", "send", "--tenant", "acme", stdin='{"id":"one","sku_id":"demo","type":"usage"}', env=run.env)
    check("one signal on stdin", one.code == 0 and one.out.startswith("1 accepted, 0 duplicate, 0 refused\n"), one)
    check("how to go on is said", "tai signal show one --tenant acme" in one.out, one)
    check("no bar and no noise without a terminal", one.err == "", one)
    again = tai("signal", "send", "-", "--tenant", "acme", stdin='{"id":"one","sku_id":"demo","type":"usage"}', env=run.env)
    check("a duplicate", again.code == 0 and again.out.startswith("0 accepted, 1 duplicate, 0 refused"), again)

    mixed = path("mixed.jsonl", '{"id":"m1","tenant_id":"acme","sku_id":"demo","type":"usage"}\n'
                 '\n'
                 'not json\n'
                 '{"id":"m2","tenant_id":"acme","sku_id":"demo","type":"usage","dta":1}\n'
                 '[1]\r\n'
                 '{"id":"m3","sku_id":"demo","type":"usage"}\n'
                 '{"id":"m4","tenant_id":"acme","sku_id":"demo","type":"usage"}')
    seen = tai("signal", "send", mixed, env=run.env)
    check("the bad refused, the rest sent", seen.code == 1 and "2 accepted, 0 duplicate, 4 refused" in seen.out, seen)
    for line, said in [(3, "byte"), (4, '"dta"'), (5, "object"), (6, "tenant_id")]:
        check(f"line {line} is named", any(f"line {line} refused" in x and said in x for x in seen.err.splitlines()), seen)
    column = '{"id":"m2","tenant_id":"acme","sku_id":"demo","type":"usage","dta":1}'.index('"dta"')
    at = re.search(r"line 4 refused: byte (\d+):", seen.err)
    check("the byte is one of the line", at and abs(int(at[1]) - column) <= 6, seen)
    machine = tai("signal", "send", "--json", mixed, env=run.env)
    items = {x["line"]: x for x in machine.lines() if "line" in x}
    check("--json: one object a signal", machine.code == 1 and set(items) == {1, 3, 4, 5, 6, 7}, machine)
    check("--json: duplicates", items[1]["status"] == 202 and items[1]["duplicate"] is True and items[1]["signal_id"] == "m1", machine)
    check("--json: problems", items[4]["problem"]["status"] == items[4]["status"] == 400, machine)
    check("--json: sums last", machine.lines()[-1] == {"accepted": 0, "duplicate": 2, "refused": 4}, machine)

    for what, text in [("an array", '[{"id":"r1","tenant_id":"acme","sku_id":"demo","type":"x"},\n\n {"id":"r2","type":"x"}]'),
                       ("one object over several lines", '{\n "id":"p1",\n "tenant_id":"acme",\n "sku_id":"demo",\n "type":"x"}\n')]:
        seen = tai("signal", "send", stdin=text, env=run.env)
        good = "1 accepted, 0 duplicate, 1 refused" if what == "an array" else "1 accepted, 0 duplicate, 0 refused"
        check(f"{what}", good in seen.out and seen.code == (1 if what == "an array" else 0), seen)
        check(f"{what}: lines", what != "an array" or "line 3 refused" in seen.err, seen)
    for text in ["", "\n \n", "[]"]:
        seen = tai("signal", "send", stdin=text, env=run.env)
        check(f"nothing to send {text!r}", seen.code == 0 and seen.out == "0 accepted, 0 duplicate, 0 refused\n", seen)
    seen = tai("signal", "send", stdin='[{"type":"x"},\n{]', env=run.env)
    check("a broken array: line named, nothing sent", seen.code == 1 and "line 2" in seen.err and "nothing was sent" in seen.err, seen)
    seen = tai("signal", "send", stdin=b'{"type":"x\xff"}\n{"id":"u\\u0000","tenant_id":"a","sku_id":"b","type":"c"}\n', env=run.env)
    check("invalid UTF-8 and NUL", seen.code == 1 and "0 accepted, 0 duplicate, 2 refused" in seen.out, seen)
    seen = tai("signal", "send", path("nowhere.jsonl"), env=run.env)
    check("no such file", seen.code == 1 and "nowhere.jsonl" in seen.err and not seen.out, seen)
    seen = tai("signal", "send", WORK, env=run.env)
    check("a directory", seen.code == 1 and "directory" in seen.err, seen)


def test_send_sizes(run):
    long = '{"id":"big%s","tenant_id":"acme","sku_id":"demo","type":"x","data":"%s"}'
    text = "\n".join([long % ("1", "a" * 70000), long % ("2", "a" * (2 << 20)), long % ("3", "a" * 60000),
                      "x" * (3 << 20), long % ("4", "b")]) + "\n"
    seen = tai("signal", "send", stdin=text, env=run.env)
    check("too long ones are refused alone", seen.code == 1 and "2 accepted, 0 duplicate, 3 refused" in seen.out, seen)
    check("with their lines", all(f"line {n} refused" in seen.err for n in (1, 2, 4)), seen)
    deep = '{"id":"deep%d","tenant_id":"acme","sku_id":"demo","type":"x","data":%s}'
    nested = "[" * 15 + "]" * 15
    text = "\n".join([deep % (1, "1"), deep % (2, nested), deep % (3, "[" + nested + "]"), deep % (4, "2")])
    seen = tai("signal", "send", stdin=text, env=run.env)
    check("nested as deep as allowed passes in a batch", "3 accepted, 0 duplicate, 1 refused" in seen.out and "line 3" in seen.err, seen)
    many = path("many.jsonl", "".join(
        f'{{"id":"n{i}","tenant_id":"tenant-{i % 7}","sku_id":"sku-{i % 3}","type":"usage"}}\n' for i in range(2500)))
    seen = tai("signal", "send", many, env=run.env)
    check("2,500 signals", seen.code == 0 and "2500 accepted, 0 duplicate, 0 refused" in seen.out, seen)
    wide = path("wide.jsonl", "".join(
        f'{{"id":"w{i}","tenant_id":"wide","sku_id":"s","type":"usage","data":"{"x" * 50000}"}}\n' for i in range(60)))
    seen = tai("signal", "send", wide, env=run.env)
    check("3 MB in POSTs of at most 1 MiB", seen.code == 0 and "60 accepted" in seen.out, seen)


def test_send_stream(run):
    process = subprocess.Popen([TAI, "signal", "send", "--json", "--tenant", "acme"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**ENV, **run.env})
    process.stdin.write(b'{"id":"stream1","sku_id":"demo","type":"usage"}\n')
    process.stdin.flush()
    deadline = time.time() + 15
    while time.time() < deadline:
        if tai("signal", "show", "stream1", "--tenant", "acme", env=run.env).code == 0:
            break
        time.sleep(0.1)
    check("a pipe that stays open is not waited for", time.time() < deadline and process.poll() is None)
    out, _ = process.communicate(timeout=20)
    check("and its end ends it", process.returncode == 0 and json.loads(out.splitlines()[-1])["accepted"] == 1, out)


def test_send_progress(run):
    _, out, seen = on_terminal([TAI, "signal", "send", path("many.jsonl")], {**ENV, **run.env})
    check("a bar on a terminal, erased at the end", "sending [" in seen and "%" in seen and seen.endswith("\r\x1b[K"), seen)
    check("nothing of it on stdout", out == "0 accepted, 2500 duplicate, 0 refused\n", out)


def test_send_retry():
    state = {"calls": 0}

    def busy(_method, _path, _headers, body):
        state["calls"] += 1
        signals = json.loads(body)
        if state["calls"] == 1:
            return 503, {"Retry-After": "1", "Content-Type": "application/problem+json"}, problem(503, "draining")
        if state["calls"] == 2:
            results = [{"index": i, "status": 202, "signal_id": s["id"]} if i % 2 == 0 else
                       {"index": i, "status": 429, "problem": problem(429, "too fast")} for i, s in enumerate(signals)]
            return 207, {"Retry-After": "1"}, {"results": results}
        return accept_all(body)

    fake = Fake(busy)
    text = "".join(f'{{"tenant_id":"a","sku_id":"b","type":"c","n{i}":1}}\n' for i in range(4))
    seen = tai("signal", "send", "--server", fake.url, "--json", stdin=text)
    check("503 and 429 are tried again", seen.code == 0 and seen.lines()[-1] == {"accepted": 4, "duplicate": 0, "refused": 0}, seen)
    times = [r[3] for r in fake.requests]
    check("honouring Retry-After", len(times) == 3 and all(b - a >= 0.95 for a, b in zip(times, times[1:])), times)
    bodies = [json.loads(r[2]) for r in fake.requests]
    check("the same ids again, only what was put off", [s["id"] for s in bodies[0]] == [s["id"] for s in bodies[1]] and
          [s["id"] for s in bodies[2]] == [s["id"] for s in bodies[1]][1::2], bodies)
    check("ids were added as UUIDv7", all(re.match(r"[0-9a-f]{8}-[0-9a-f]{4}-7", s["id"]) for s in bodies[0]), bodies)
    fake.stop()

    fake = Fake(lambda *_: (429, {"Retry-After": "3600"}, problem(429, "too fast")))
    begun = time.monotonic()
    seen = tai("signal", "send", "--server", fake.url, "--retry-for", "2", stdin=text)
    check("a cap on waiting", seen.code == 1 and "too fast" in seen.err and "0 accepted, 0 duplicate, 4 refused" in seen.out and time.monotonic() - begun < 10, seen)
    fake.stop()

    state["calls"] = 0

    def breaks(_method, _path, _headers, body):
        state["calls"] += 1
        return None if state["calls"] == 1 else accept_all(body)

    fake = Fake(breaks)
    seen = tai("signal", "send", "--server", fake.url, stdin=text)
    check("a lost answer is asked for again", seen.code == 0 and "4 accepted" in seen.out and fake.requests[0][2] == fake.requests[1][2], seen)
    fake.stop()

    state["calls"] = 0

    def dies(_method, _path, _headers, body):
        state["calls"] += 1
        return accept_all(body) if state["calls"] == 1 else None

    fake = Fake(dies)
    text = "".join(f'{{"tenant_id":"a","sku_id":"b","type":"c","n{i}":1}}\n' for i in range(1500))
    seen = tai("signal", "send", "--server", fake.url, "--retry-for", "1", stdin=text)
    check("a server that dies: exit 3, and from where to go on", seen.code == 3 and "line 1001" in seen.err and
          seen.out == "1000 accepted, 0 duplicate, 0 refused\n", seen)
    fake.stop()


def test_send_odd_servers():
    text = "".join(f'{{"id":"i{i}","tenant_id":"a","sku_id":"b","type":"c"}}\n' for i in range(8))

    def small(_method, _path, _headers, body):
        signals = json.loads(body)
        if isinstance(signals, list) and len(signals) > 2:
            return 413, {}, problem(413, "at most 2")
        return accept_all(body)

    fake = Fake(small)
    seen = tai("signal", "send", "--server", fake.url, stdin=text)
    check("413: sent in halves", seen.code == 0 and "8 accepted" in seen.out, seen)
    fake.stop()
    fake = Fake(lambda *_: (401, {}, problem(401, "X-Signature does not match\x1b[31m")))
    seen = tai("signal", "send", "--server", fake.url, stdin=text)
    check("401: said once, with the line, and stopped", seen.code == 1 and len(fake.requests) == 1 and
          "X-Signature does not match" in seen.err and "stopped at line 1" in seen.err, seen)
    check("no control characters reach the terminal", "\x1b" not in seen.err, repr(seen.err))
    fake.stop()
    for answer in [(200, {}, b"<html>hello"), (202, {}, {"results": []}), (202, {}, b"{"), (404, {}, b"")]:
        fake = Fake(lambda *_, answer=answer: answer)
        seen = tai("signal", "send", "--server", fake.url, stdin=text)
        check(f"not an ingress: {answer}", seen.code == 1 and fake.url in seen.err, seen)
        fake.stop()


def test_send_key():
    seen_by = []

    def server(_method, _path, headers, body):
        seen_by.append((headers, body))
        return accept_all(body)

    fake = Fake(server)
    key = path("acme.key", "0123456789abcdef-secret\n")
    text = '{"id":"k1","tenant_id":"acme","sku_id":"b","type":"c"}\n{"id":"k2","tenant_id":"acme","sku_id":"b","type":"c"}\n'
    seen = tai("signal", "send", "--server", fake.url, "--key-file", key, "--key-id", "acme-1", stdin=text)
    headers, body = seen_by[0]
    wanted = hmac.new(b"0123456789abcdef-secret", body, hashlib.sha256).hexdigest()
    check("signed with the file's secret", seen.code == 0 and headers["X-Signature"] == wanted and headers["X-Key-Id"] == "acme-1", headers)
    check("bytes of signed signals are not touched", json.loads(body) == [json.loads(x) for x in text.splitlines()] and
          body == ("[" + ",".join(text.splitlines()) + "]").encode(), body)
    fake.stop()
    for name, what in [(path("empty.key", "\n"), "empty"), (path("none.key"), "none.key"), (WORK, "directory"),
                       (path("long.key", "x" * 5000), "longer")]:
        seen = tai("signal", "send", "--server", "http://127.0.0.1:1", "--key-file", name, stdin=text)
        check(f"key file: {what}", seen.code == 2 and what in seen.err.lower(), seen)
    config = path("keys.yaml", f"ingress:\n  source: x\nkeys:\n  - id: acme-1\n    tenant: acme\n    secret_file: {key}\n")
    probe = tai("config", "check", config)
    if probe.code:
        check("the configuration of the key test", False, probe)
        return
    run = Run("keyed", "--config", config)
    try:
        seen = tai("signal", "send", "--key-file", key, stdin=text, env=run.env)
        check("a real server takes the signature", seen.code == 0 and "2 accepted" in seen.out, seen)
        seen = tai("signal", "send", "--key-file", path("wrong.key", "another-secret-of-24-byte"), stdin=text, env=run.env)
        check("and refuses a wrong one", seen.code == 1 and "0 accepted" not in seen.out, seen)
        seen = tai("signal", "send", "--key-file", key, stdin='{"sku_id":"b","type":"c"}', env=run.env)
        check("a signed signal without an id is refused", seen.code == 1 and "id" in seen.err, seen)
    finally:
        run.stop()


# --- asking andon ---------------------------------------------------------------------------------------------------------

def test_show(run):
    wait_until("the signal ends", lambda: '"executed"' in tai("signal", "show", "n2499", "--tenant", "tenant-0", "--json", env=run.env).out)
    seen = tai("signal", "show", "one", "--tenant", "acme", env=run.env)
    check("signal show", seen.code == 0 and re.search(r"^status +executed$", seen.out, re.M) and "RECEIPT" in seen.out, seen)
    machine = tai("signal", "show", "one", "--tenant", "acme", "--json", env=run.env)
    check("signal show --json", machine.code == 0 and machine.lines()[0]["signal_id"] == "one", machine)
    check("signal show --entitlement", tai("signal", "show", "one", "--tenant", "acme", "--entitlement", "demo", env=run.env).code == 0)
    seen = tai("signal", "show", "nope", "--tenant", "acme", env=run.env)
    check("signal show: exit 4", seen.code == 4 and "no such signal" in seen.err and not seen.out, seen)
    for odd, code in [("..", 4), ("a/b", 4), ("a?b=c", 2), ("%2F", 2)]:
        seen = tai("signal", "show", odd, "--tenant", "acme", env=run.env)
        check(f"signal show {odd}: an id, not a path", seen.code == code and "is no andon" not in seen.err, seen)

    seen = tai("governor", "list", env=run.env)
    check("governor list", seen.code == 0 and seen.out.startswith("TENANT ") and re.search(r"^acme +demo +active", seen.out, re.M), seen)
    columns = [line.index("active") for line in seen.out.splitlines()[1:]]
    check("columns are aligned", len(set(columns)) == 1, seen)
    every = tai("governor", "list", "--json", "--limit", "0", env=run.env).lines()
    check("governor list --json", len(every) == 7 * 3 + 2 and all("entitlement_id" in g for g in every), len(every))
    few = tai("governor", "list", "--json", "--limit", "5", env=run.env)
    check("--limit, and that there are more", len(few.lines()) == 5 and "--limit 0" in few.err, few)
    check("--limit of all there are", "--limit 0" not in tai("governor", "list", "--limit", str(len(every)), env=run.env).err)
    mine = tai("governor", "list", "--json", "--tenant", "acme", "--state", "active", env=run.env).lines()
    check("governor list filters", [g["tenant_id"] for g in mine] == ["acme"], mine)
    none = tai("governor", "list", "--state", "halted", env=run.env)
    check("governor list: none", none.code == 0 and not none.out and "none" in none.err, none)
    bad = tai("governor", "list", "--state", "asleep", env=run.env)
    check("governor list: a wrong state is explained", bad.code == 2 and "halted" in bad.err, bad)
    seen = tai("governor", "show", "acme", "demo", env=run.env)
    check("governor show", seen.code == 0 and re.search(r"^state +active$", seen.out, re.M), seen)
    check("governor show --json", tai("governor", "show", "acme", "demo", "--json", env=run.env).lines()[0]["state"] == "active")
    check("governor show: exit 4", tai("governor", "show", "acme", "nope", env=run.env).code == 4)

    seen = tai("receipt", "list", "--tenant", "acme", env=run.env)
    check("receipt list", seen.code == 0 and "action_success" in seen.out and " acme " in seen.out, seen)
    chain = tai("receipt", "list", "--tenant", "tenant-1", "--json", "--limit", "0", env=run.env).lines()
    check("receipt list: the whole chain, in order", [r["receipt"]["seq"] for r in chain] == list(range(1, len(chain) + 1)) and
          len(chain) >= 357, len(chain))
    one = tai("receipt", "list", "--tenant", "acme", "--signal", "one", "--json", env=run.env).lines()
    check("receipt list --signal", len(one) == 1 and one[0]["receipt"]["signal_id"] == "one", one)
    kinds = tai("receipt", "list", "--type", "state_change", "--json", "--limit", "0", env=run.env).lines()
    check("receipt list --type over pages", len(kinds) == len(every) and all(r["receipt"]["type"] == "state_change" for r in kinds), len(kinds))
    receipt_id, digest = one[0]["receipt"]["receipt_id"], one[0]["receipt_hash"]
    raw = tai("receipt", "show", receipt_id, "--raw", env=run.env)
    check("receipt show --raw: exactly the hashed bytes", hashlib.sha256(raw.raw).hexdigest() == digest, raw)
    check("receipt show --json: those and a line feed", tai("receipt", "show", receipt_id, "--json", env=run.env).raw == raw.raw + b"\n")
    seen = tai("receipt", "show", receipt_id, env=run.env)
    check("receipt show", seen.code == 0 and digest in seen.out and re.search(r"^ending +executed$", seen.out, re.M), seen)
    check("receipt show: exit 4", tai("receipt", "show", "00000000-0000-5000-8000-000000000000", env=run.env).code == 4)

    wrong = tai("governor", "list", "--server", run.ingress)
    check("the wrong listener is recognised", wrong.code == 1 and run.ingress in wrong.err and "--server" in wrong.err, wrong)


def test_status(run):
    seen = tai("status", env=run.env)
    check("status", seen.code == 0 and re.search(r"^ingress +pass at http", seen.out, re.M) and re.search(r"^andon +pass", seen.out, re.M), seen)
    for label in ["queue", "signals", "in flight", "ended", "governors", "receipts", "ledger", "public key"]:
        check(f"status shows {label}", re.search(f"^{label} +\\S", seen.out, re.M), seen)
    check("status: the checkpoint's age", re.search(r"checkpoint over \d+, signed \d+ \w+ ago", seen.out), seen)
    check("status: endings by kind", re.search(r"ended +\d+ \(since the start: .*\d+ executed", seen.out), seen)
    machine = tai("status", "--json", env=run.env)
    value = machine.lines()[0]
    check("status --json", value["ingress"]["health"]["status"] == "pass" and value["status"]["signals"]["taken"] >= 2500 and
          len(machine.lines()) == 1, machine)
    seen = tai("status", "--server", run.ingress, "--ingress", run.ingress)
    check("status: not andon", seen.code == 1 and "--server" in seen.err, seen)
    half = tai("status", "--ingress", "http://127.0.0.1:1", env=run.env)
    check("status: one of them down", half.code == 3 and "no answer" in half.out and re.search(r"^ledger", half.out, re.M), half)


# --- export and verify ----------------------------------------------------------------------------------------------------

def test_export(run):
    vkey = tai("status", "--json", env=run.env).lines()[0]["status"]["vkey"]
    whole = path("ledger.txt")
    seen = tai("receipt", "export", "-o", whole, env=run.env)
    check("receipt export -o", seen.code == 0 and re.match(r".*ledger.txt: \d+ receipts from shard 0", seen.out) and not seen.err, seen)
    lines = open(whole, encoding="utf-8").read().split("\n")
    check("the form of an export", lines[:3] == ["tai-export/1", f"vkey {vkey}", "shard 0"] and lines[-1] == "" and
          lines[-2].startswith("c \u2014 "), lines[:3] + lines[-3:])
    receipts = [x for x in lines if x.startswith("r ")]
    check("over several pages", len(receipts) > 2500 and f"c {len(receipts)}" in lines, len(receipts))
    check("no .part is left", not os.path.exists(whole + ".part"))
    good = tai("receipt", "verify", whole, "--vkey", vkey)
    check("receipt verify", good.code == 0 and f"{len(receipts)} in" in good.out and "genuine" in good.out, good)
    machine = tai("receipt", "verify", whole, "--vkey", "@" + path("ledger.vkey", vkey + "\n"), "--json")
    check("receipt verify --json, the key from a file", machine.code == 0 and machine.lines()[0]["verified"] is True and
          machine.lines()[0]["receipts"] == len(receipts), machine)
    piped = tai("receipt", "verify", "-", "--vkey", vkey, stdin=tai("receipt", "export", env=run.env).raw)
    check("through a pipe", piped.code == 0, piped)

    part = path("acme.txt")
    seen = tai("receipt", "export", "--tenant", "acme", "-o", part, env=run.env)
    text = open(part, encoding="utf-8").read()
    check("export --tenant", seen.code == 0 and " of acme " in seen.out, seen)
    check("nothing of others in it", "tenant-1" not in text and '"wide"' not in text and
          text.count("\nr ") == text.count("\np ") > 0 and text.startswith("tai-bundle/1\n"), text[:300])
    good = tai("receipt", "verify", part, "--vkey", vkey)
    check("and it verifies", good.code == 0 and "in the log" in good.out, good)
    check("export: an unknown tenant", tai("receipt", "export", "--tenant", "nobody", env=run.env).code == 4)
    seen = tai("receipt", "export", "--shard", "7", env=run.env)
    check("export: no such shard", seen.code == 1 and "shard" in seen.err and not seen.out, seen)
    seen = tai("receipt", "export", "-o", path("no/such/dir.txt"), env=run.env)
    check("export: nowhere to write", seen.code == 1 and "no/such" in seen.err, seen)
    seen = tai("receipt", "export", "-o", WORK, env=run.env)
    check("export: onto a directory", seen.code == 1 and os.path.isdir(WORK), seen)
    tai("receipt", "export", "-o", "/dev/null", env=run.env)
    check("export: /dev/null stays what it is", not os.path.isfile("/dev/null"))
    if os.path.exists("/dev/full"):
        for args in (["-o", "/dev/full"], []):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([TAI, "receipt", "export", *args], stdout=full, stderr=subprocess.PIPE,
                                      env={**ENV, **run.env}, check=False)
            check(f"export: a full disk {args}", done.returncode == 1 and b"No space left" in done.stderr, done)
    test_tampered(lines, vkey)


def test_tampered(lines, vkey):
    def verdict(changed, key=vkey):
        return tai("receipt", "verify", path("changed.txt", "\n".join(changed)), "--vkey", key)

    at = 100
    receipt = json.loads(lines[at][2:])
    changed = list(lines)
    changed[at] = lines[at].replace('"timestamp":', '"timestamp":1', 1)
    seen = verdict(changed)
    check("a changed receipt: exit 5, named", seen.code == 5 and receipt["receipt_id"] in seen.err and not seen.out, seen)
    machine = tai("receipt", "verify", path("changed.txt"), "--vkey", vkey, "--json")
    check("--json names it too", machine.code == 5 and machine.lines()[0]["verified"] is False and
          machine.lines()[0]["bad_receipt"] == receipt["receipt_id"] and machine.lines()[0]["bad_index"] == at - 3, machine)
    check("a receipt left out", verdict(lines[:at] + lines[at + 1:]).code == 5)
    check("cut off", verdict(lines[:at]).code == 5)
    check("no checkpoint", verdict([x for x in lines if not x.startswith("c ")]).code == 5)
    check("an empty file", verdict([""]).code == 5)
    other = vkey[:-6] + ("AAAAA=" if vkey.endswith("=") else "AAAAAA")
    seen = verdict(lines, other)
    check("another key never verifies", seen.code in (2, 5), seen)
    seen = verdict(lines, "nonsense")
    check("no key at all: exit 2", seen.code == 2 and "vkey" in seen.err, seen)
    check("no such key file", tai("receipt", "verify", path("changed.txt"), "--vkey", "@" + path("no.vkey")).code == 2)
    seen = tai("receipt", "verify", path("no-export.txt"), "--vkey", vkey)
    check("no such export", seen.code == 1 and "no-export.txt" in seen.err, seen)
    check("a directory", tai("receipt", "verify", WORK, "--vkey", vkey).code == 1)


def test_odd_andons():
    answers = {"html": (200, {}, b"<html>"), "array": (200, {}, b"[]"), "error": (500, {}, b"oops"), "empty": (200, {}, {}),
               "twice": (200, {}, b'{"governors":[],"governors":[]}')}
    for what, answer in answers.items():
        fake = Fake(lambda *_, answer=answer: answer)
        seen = tai("governor", "list", "--server", fake.url)
        check(f"not an andon ({what}): exit 1 and its URL", seen.code == 1 and fake.url in seen.err and not seen.out, seen)
        fake.stop()
    state = {"calls": 0}

    def once_busy(*_):
        state["calls"] += 1
        return (503, {"Retry-After": "1"}, problem(503, "busy")) if state["calls"] == 1 else (200, {}, {"governors": []})

    fake = Fake(once_busy)
    check("a 503 is waited for", tai("governor", "list", "--server", fake.url).code == 0 and state["calls"] == 2)
    fake.stop()
    evil = {"governors": [{"tenant_id": "a\x1b[2Jb\n", "entitlement_id": "\u009b31m", "state": "active"}]}
    fake = Fake(lambda *_: (200, {}, evil))
    seen = tai("governor", "list", "--server", fake.url)
    check("control characters of a server are not printed", seen.code == 0 and "\x1b" not in seen.out and "\u009b" not in seen.out and
          len(seen.out.splitlines()) == 2, repr(seen.out))
    fake.stop()
    item = {"index": 0, "receipt": {"chain": "a"}, "receipt_hash": "x"}
    note = b"origin\n2\nAAAA\n\n\xe2\x80\x94 k sig\n"

    def short_log(_method, url, *_):
        if url.startswith("/checkpoint"):
            return 200, {}, note
        if url.startswith("/v1/ledger/vkey"):
            return 200, {}, b"k+00000000+AAAA\n"
        return 200, {}, {"shard": 0, "receipts": [item]}

    fake = Fake(short_log)
    target = path("short.txt", "what was there before")
    seen = tai("receipt", "export", "-o", target, "--server", fake.url)
    check("a log shorter than its checkpoint: nothing is replaced", seen.code == 1 and "missing" in seen.err and
          open(target).read() == "what was there before" and not os.path.exists(target + ".part"), seen)
    fake.stop()


def main():
    test_help()
    test_unknown()
    test_version_and_config()
    test_unreachable()
    test_send_retry()
    test_send_odd_servers()
    test_odd_andons()
    run = Run("data")
    try:
        test_send(run)
        test_send_sizes(run)
        test_send_stream(run)
        test_send_progress(run)
        test_show(run)
        test_status(run)
        test_export(run)
    finally:
        run.stop()
    test_send_key()


try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
print("FAILED: %d checks" % len(failures) if failures else "all checks passed")
sys.exit(1 if failures else 0)
