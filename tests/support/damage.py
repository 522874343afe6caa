"""A data directory with something in every table, and single flipped bits in it. Standard library only."""
import json
import os
import subprocess

from checks import wait_for
from triage import deadletters, give, govern

CONFIG = "entitlements:\n  auto_activate: false\ngovernor:\n  max_waiting: 3\n"
TENANTS, KINDS = 5, 10


def signals(name, count):
    return json.dumps([{"id": f"{name}-{i}", "tenant_id": f"t{i % TENANTS}", "sku_id": f"k{i % KINDS}", "type": "usage",
                        "data": "x" * 150} for i in range(count)])


def fill(tai):
    """Executed, waiting and dead signals, dead letters requeued and discarded, commands applied and rejected; tai runs
    under CONFIG."""
    for number in range(3):
        tai.post(signals(f"first{number}", 100))
    for i in range(KINDS):
        if i % 4:
            govern(tai, "activate", tenant=f"t{i % TENANTS}", entitlement=f"k{i}")
    for number in range(3):
        tai.post(signals(f"then{number}", 100))
    govern(tai, "halt", tenant="t1", entitlement="k1")
    govern(tai, "resume", tenant="nobody", entitlement="nothing")
    tai.post(signals("halted", 20))
    found = wait_for("dead letters", lambda: deadletters(tai))
    give(tai, f"/v1/deadletters/{found[0]['id']}/requeue")
    give(tai, f"/v1/deadletters/{found[1]['id']}/discard", {"reason": "drill"})
    tai.settle()


def check(binary, data, config=None):
    """(exit code, problems, notes, summary) of `config check --data`."""
    done = subprocess.run([binary, "config", "check"] + ([config] if config else []) + ["--data", data, "--json"],
                          capture_output=True, text=True, timeout=120, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return (done.returncode, [line["problem"] for line in lines if "problem" in line],
            [line["note"]["text"] for line in lines if "note" in line], lines[-1] if lines else done.stderr)


def flip(path, at, bit=4):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))


def files(data):
    """What can be damaged: names and sizes."""
    return {name: os.path.getsize(os.path.join(data, name)) for name in sorted(os.listdir(data))
            if name not in ("lock", "test.log", "tai.db-shm")}
