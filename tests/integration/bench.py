#!/usr/bin/python3
"""`tai bench` against a running server: bench.py TAI [TEST…]."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from checks import main  # noqa: E402

SECRET = "a-secret-of-32-characters-0123456"


def bench(t, tai, *arguments):
    return subprocess.run([t.binary, "bench", "--ingress", f"http://127.0.0.1:{tai.port}", "--server",
                           f"http://127.0.0.1:{tai.andon_port}", *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def test_counts(t):
    with t.tai() as tai:
        done = bench(t, tai, "--requests", "20", "--batch", "5", "--follow", "2", "--tenants", "3", "--json")
        t.equal("exit code", done.returncode, 0)
        result = json.loads(done.stdout)
        t.equal("requests, answered, accepted",
                [result[name] for name in ("requests", "answered", "signals_accepted")], [20, 20, 100])
        t.equal("statuses", result["statuses"], {"202": 20})
        t.equal("followed to a receipt", (result["receipt_us"]["count"], result["lost"]), (10, 0))
        t.contains("conditions", result["conditions"], "5 signals of 300 bytes a POST, 3 tenants")
        tai.settle()
        t.equal("signals ended", tai.totals()["signals"]["ended"], 100)


def test_rate(t):
    with t.tai() as tai:
        done = bench(t, tai, "--rate", "50", "--duration", "0.5", "--tenants", "1", "--tenant", "only", "--follow", "0")
        t.equal("exit code", done.returncode, 0)
        t.true("25 POSTs at 50 a second for half a second", re.search(r"accepted +25 signals of 25", done.stdout),
               done.stdout)
        tai.settle()
        t.equal("entitlements of the one tenant", len(tai.get("/v1/governors?tenant_id=only")[1]["governors"]), 10)


def test_keys(t):
    key = t.file("key", SECRET)
    os.chmod(key, 0o600)
    with t.tai(f"keys:\n  - id: k\n    secret_file: {key}\n    tenant: only\n") as tai:
        one = ("--requests", "5", "--tenants", "1", "--tenant", "only", "--follow", "0")
        done = bench(t, tai, *one)
        t.equal("exit code without a key", done.returncode, 1)
        t.contains("what it says", done.stdout, "5 × 401")
        t.equal("exit code with a key", bench(t, tai, *one, "--key-file", key, "--key-id", "k").returncode, 0)


def test_refused(t):
    for arguments, code, said in ((("--ingress", "http://192.0.2.1"), 2, "--yes"),
                                  (("--ingress", "https://127.0.0.1"), 2, "http://HOST:PORT"),
                                  (("--duration", "soon"), 2, "--duration"), (("--tenant", "_system"), 2, "--tenant"),
                                  (("--ingress", "http://127.0.0.1:1"), 3, "tai run")):
        done = subprocess.run([t.binary, "bench", *arguments], capture_output=True, text=True, timeout=30, check=False)
        t.equal(f"exit code of {arguments}", done.returncode, code)
        t.contains(f"message of {arguments}", done.stderr, said)


if __name__ == "__main__":
    main(globals())
