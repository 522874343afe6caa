#!/usr/bin/python3
"""Damaged files: said, never served as good, never overwritten. corruption.py TAI [TEST…]

A database at rest is damaged page by page; its log after a kill; the signer's memory and the key."""
import json
import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages  # noqa: E402
from checks import main, wait_for  # noqa: E402

FRAME, WAL_HEADER = 24 + pages.PAGE, 32


def post(tai, name, count=200):
    batch = [{"id": f"{name}-{i}", "tenant_id": f"t{i % 5}", "sku_id": f"k{i % 20}", "type": "usage", "data": "x" * 200}
             for i in range(count)]
    return tai.post(json.dumps(batch))[0]


def filled(t):
    """A data directory at rest; kept as `good`."""
    with t.tai() as tai:
        for number in range(4):
            t.equal("status", post(tai, f"s{number}"), 202)
        tai.settle()
    data, good = os.path.join(t.dir, "data"), os.path.join(t.dir, "good")
    shutil.copytree(data, good)
    return data, good


def afresh(data, good):
    shutil.rmtree(data)
    shutil.copytree(good, data)
    return os.path.join(data, "tai.db")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def refused(t, what, path):
    before = bytes_of(path)
    code, said = t.refused_start()
    t.equal(f"exit code with {what}", code, 1)
    t.true(f"the message with {what} says so", "damaged" in said, said)
    t.true(f"{what}: nothing overwritten", bytes_of(path) == before)


def test_start(t):
    """What every start reads."""
    data, good = filled(t)
    where = pages.pages_of(os.path.join(good, "tai.db"))
    for table in ("sqlite_schema", "dataset", "kanban_frames"):
        path = afresh(data, good)
        flip(path, (where[table][0] - 1) * pages.PAGE + 3000)
        refused(t, f"a flipped bit in {table}", path)
    path = afresh(data, good)
    flip(path, 20)  # the header's number of reserved bytes
    refused(t, "a flipped bit in the header", path)
    path = afresh(data, good)
    os.truncate(path, pages.PAGE * (pages.pages_in(path) - 1))
    refused(t, "the last page cut off", path)
    path = afresh(data, good)
    pages.edit(path, "UPDATE dataset SET value = value + 1 WHERE name = 'kanban.partitions'", sealed=False)
    refused(t, "a row edited with the sqlite3 module", path)


def test_api(t):
    """Met while it serves: 500 naming the table, not ready, counted; it neither ends nor restarts."""
    data, good = filled(t)
    where = pages.pages_of(os.path.join(good, "tai.db"))
    for table, request in (("governors", "/v1/governors?limit=1000"), ("receipts", "/v1/receipts?limit=1000")):
        path = afresh(data, good)
        for number in where[table]:
            flip(path, (number - 1) * pages.PAGE + 2000)
        with t.tai(data=data) as tai:
            tai.log_path = os.path.join(t.dir, f"{table}.log")
            worker = tai.worker_pid()
            status, problem, _ = tai.get(request)
            t.equal(f"status of {request}", status, 500)
            t.contains("detail", problem["detail"], f"table {table}")
            t.equal("/readyz", tai.get("/readyz")[0], 503)
            t.equal("check", tai.get("/health")[1]["checks"]["store:corruptions"][0]["status"], "fail")
            t.true("tai_store_corruptions_total", tai.metric("tai_store_corruptions_total") > 0)
            t.equal("the worker, which was not restarted", tai.worker_pid(), worker)


def commits(path):
    """Numbers, from 1, of the log's frames that end a transaction."""
    log = bytes_of(path)
    found = []
    for number in range(1, (len(log) - WAL_HEADER) // FRAME + 1):
        at = WAL_HEADER + (number - 1) * FRAME
        if log[at + 8:at + 16] == log[16:24] and struct.unpack(">I", log[at + 4:at + 8])[0]:
            found.append(number)
    return found


def test_log(t):
    """After a kill the log holds what was committed last: damage in front of later commits is no torn end."""
    tai = t.tai().start()
    for number in range(6):
        t.equal("status", post(tai, f"s{number}", 50), 202)
    wait_for("the log", lambda: len(commits(os.path.join(tai.data, "tai.db-wal"))) > 5)
    tai.kill()
    log = os.path.join(tai.data, "tai.db-wal")
    ends = commits(log)
    at = WAL_HEADER + ends[1] * FRAME  # the first frame of the third transaction
    flip(log, at + 24 + 100)
    refused(t, "a flipped bit within the log", log)
    flip(log, at + 24 + 100)
    flip(log, 17)
    refused(t, "a flipped bit in the log's header", log)
    flip(log, 17)
    with t.tai(data=tai.data) as again:
        again.settle()
        t.equal("signals after the log was mended", again.totals()["signals"]["ended"], 300)


def test_signer(t):
    data, good = filled(t)
    memory = next(name for name in os.listdir(good) if ".checkpoint-" in name)
    afresh(data, good)
    with open(os.path.join(data, memory), "r+b") as file:
        file.write(b"?" * 20000)
    code, said = t.refused_start()
    t.equal("exit code with a damaged memory", code, 1)
    t.contains("message", said, "damaged")


if __name__ == "__main__":
    main(globals())
