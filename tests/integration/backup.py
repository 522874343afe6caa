#!/usr/bin/python3
"""`tai backup` under load: what was answered 202 before it began ends exactly once in a restored copy.

backup.py TAI [TEST…]"""
import json
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import damage  # noqa: E402
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
    t.equal("config check --data of the copy", damage.check(t.binary, copy)[:2], (0, []))
    remembered = memory_of(copy)
    with restored(t, copy) as again:
        again.settle()
        t.equal("ready", again.get("/readyz")[0], 200)
        t.true("the ledger goes on from what the signer remembers", again.export_size() >= remembered > 0, remembered)
        size = again.export_size()
        t.equal("a signal to the copy", again.post(json.dumps(
            [{"id": f"behind-{i}", "tenant_id": "t0", "sku_id": "k0", "type": "usage"} for i in range(50)]))[0], 202)
        again.settle()
        t.true("it was receipted and signed", again.export_size() >= size + 50, (size, again.export_size()))
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
    t.true("the memory went on", memory_of(copy) >= size + 50, memory_of(copy))
    t.equal("config check --data of what became of it", damage.check(t.binary, copy)[:2], (0, []))


def memory_of(directory):
    """The size of the last tree its signer remembers."""
    path = next(os.path.join(directory, name) for name in os.listdir(directory) if ".checkpoint-" in name)
    with open(path, "rb") as file:
        slots = file.read(8192), file.read(8192)
    return max(int(slot.split(b" ")[5]) for slot in slots if slot.startswith(b"tai-signer/1"))


def some_data(t, tai, signals=3000):
    for number in range(signals // 500):
        t.equal("status", tai.post(json.dumps([{"id": f"s{number}-{i}", "tenant_id": f"t{i % 7}", "sku_id": "k", "type": "usage",
                                                "data": "x" * 800} for i in range(500)]))[0], 202)
    tai.settle()


def begin(tai, directory):
    return tai.request("POST", "/v1/backup", {"directory": directory}, {"Content-Type": "application/json"},
                       tai.andon_port, 30)[0]


def ended(tai):
    return wait_for("the backup to end", lambda: (s := tai.get("/v1/backup")[1])["state"] in ("done", "failed") and s)


def unharmed(t, tai, name):
    t.equal(f"a signal after {name}", tai.post(json.dumps({"id": name, "tenant_id": "t0", "sku_id": "k",
                                                           "type": "usage"}))[0], 202)
    tai.settle()
    ledger.check_ledger(t, tai)
    t.equal(f"/readyz after {name}", tai.get("/readyz")[0], 200)


def test_disk_runs_full(t):
    """The copy meets the end of the disk (here: of what a file may be): said, removed, and nobody else is harmed."""
    copy = os.path.join(t.dir, "copy")
    with t.tai() as tai:
        some_data(t, tai)
        worker, size = tai.worker_pid(), os.path.getsize(os.path.join(tai.data, "tai.db"))
        tai.stop()
        tai.start()  # the log is in the database now: that is as large as the copy would be
        worker, size = tai.worker_pid(), os.path.getsize(os.path.join(tai.data, "tai.db"))
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        done = tai.cli("backup", copy)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        t.equal("exit of tai backup", done.returncode, 1)
        t.contains("what it says", done.stderr, "No space left")
        t.true("nothing is left that looks like a backup", not os.path.exists(copy))
        t.equal("the worker, which was not restarted", tai.worker_pid(), worker)
        unharmed(t, tai, "full")
        t.equal("another try", tai.cli("backup", copy).returncode, 0)


def test_destination_goes(t):
    with t.tai() as tai:
        some_data(t, tai)
        for number in range(50):  # until it is removed in time
            copy = os.path.join(t.dir, f"copy{number}")
            t.equal("begun", begin(tai, copy), 202)
            shutil.rmtree(copy, ignore_errors=True)
            state = ended(tai)
            if state["state"] == "failed":
                break
            shutil.rmtree(copy, ignore_errors=True)
        t.equal("state", state["state"], "failed")
        t.contains("what it says", state["error"], copy)
        unharmed(t, tai, "gone")


def test_killed_within(t):
    """What a kill leaves of a backup is known for what it is."""
    tai = t.tai().start()
    some_data(t, tai)
    for number in range(50):  # until the kill is in time
        copy = os.path.join(t.dir, f"copy{number}")
        t.equal("begun", begin(tai, copy), 202)
        wait_for("its first file", lambda c=copy: os.path.exists(os.path.join(c, "tai.db"))
                 or os.path.exists(os.path.join(c, "MANIFEST")), 10, 0.0005)
        tai.kill()
        if not os.path.exists(os.path.join(copy, "MANIFEST")):
            break
        tai.port = tai.andon_port = 0
        tai.start()
    t.true("the kill was in time", os.path.exists(os.path.join(copy, "MANIFEST.part")), os.listdir(copy))
    code, said = t.refused_start(data=copy)
    t.equal("exit code of a start on it", code, 1)
    t.contains("what it says", said, "not finished")
    code, problems, _, _ = damage.check(t.binary, copy)
    t.equal("config check --data", code, 5)
    t.equal("the first problem", problems[0]["table"], "MANIFEST")
    tai.port = tai.andon_port = 0
    with tai:
        unharmed(t, tai, "killed")


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
