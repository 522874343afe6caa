#!/usr/bin/python3
"""`tai backup` under load: what was answered 202 before it began ends exactly once in a restored copy.

backup.py TAI [TEST…]"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
import pages  # noqa: E402
from checks import main, wait_for  # noqa: E402
from load import Load  # noqa: E402

SLICE_CPU_US = 5000


def restored(t, directory):
    tai = t.tai(data=directory)
    tai.log_path = os.path.join(t.dir, "restored.log")
    return tai


def test_under_load(t):
    copy = os.path.join(t.dir, "copy")
    with t.tai() as tai:
        with Load(tai, clients=3) as load:
            wait_for("some accepted signals", lambda: load.accepted() > 1500)
            with load.history.lock:
                before = {identity for identity, signal in load.history.signals.items() if signal["outcome"] == "ok"}
            done = tai.cli("backup", copy, "--json")
            t.equal("exit of tai backup", done.returncode, 0)
        answer = json.loads(done.stdout or "{}")
        t.equal("state", answer.get("state"), "done")
        t.true("CPU time of the longest slice", answer["longest_slice_cpu_us"] < SLICE_CPU_US, answer)
        tai.settle()
        load.check(t, tai)
    t.equal("mode of the directory", os.stat(copy).st_mode & 0o777, 0o700)
    t.equal("sha256sum -c", subprocess.run(["sha256sum", "-c", "MANIFEST"], cwd=copy, capture_output=True,
                                           check=False).returncode, 0)
    t.equal("pages with wrong checksums", pages.bad_pages(os.path.join(copy, "tai.db")), [])
    with restored(t, copy) as again:
        again.settle()
        t.equal("ready", again.get("/readyz")[0], 200)
        listed = ledger.check_ledger(t, again)
        endings = {}
        for item in listed:
            receipt = item["receipt"]
            if "ending" in receipt:
                key = (receipt["tenant_id"], receipt["entitlement_id"], receipt["signal_id"])
                endings[key] = endings.get(key, 0) + 1
        t.equal("signals that ended twice", [key for key, count in endings.items() if count != 1], [])
        t.equal("signals lost", sorted(before - set(endings))[:5], [])
        t.true("some signals were looked for", len(before) > 500, len(before))


def test_refused(t):
    with t.tai() as tai:
        for path, status in ((t.dir, 409), ("relative", 400), ("/nonexistent/dir/x", 400), (None, 400)):
            body = {"directory": path} if path else {}
            got = tai.request("POST", "/v1/backup", body, {"Content-Type": "application/json"}, tai.andon_port, 30)
            t.equal(f"status for {path}", got[0], status)
        t.equal("state", tai.get("/v1/backup")[1]["state"], "none")
        t.equal("exit for a directory that exists", tai.cli("backup", t.dir).returncode, 1)


if __name__ == "__main__":
    main(globals())
