#!/usr/bin/python3
"""Damaged files: said, never served as good, never overwritten. corruption.py TAI [TEST…]

A database at rest is damaged page by page and row by row; its log after a kill; the signer's memory and the keys. Twice
over: `config check --data` must find and name it, and the service must."""
import atexit
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import damage  # noqa: E402
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


# --- every table ------------------------------------------------------------------------------------------------------

BLOCKED = damage.CONFIG + "deadletters:\n  max: 1\nshutdown:\n  timeout: 1s\n"


MADE = {}


def rich(t):
    """A data directory at rest with rows in every table, frames in the queue among them; kept as `good`."""
    if not MADE:
        MADE["known"], MADE["parent"] = make(t), tempfile.mkdtemp(prefix="tai-rich-")
        MADE["good"] = shutil.move(os.path.join(t.dir, "data"), os.path.join(MADE["parent"], "good"))
        atexit.register(shutil.rmtree, MADE["parent"], True)
    data = os.path.join(t.dir, "data")
    shutil.copytree(MADE["good"], data)
    code, problems, _, said = damage.check(t.binary, data)
    t.equal("a good one", (code, problems), (0, []))
    t.true("rows and receipts were looked at", said["rows"] > 500 and said["receipts"] > 256, said)
    return data, MADE["good"], MADE["known"]


def make(t):
    with t.tai(damage.CONFIG) as tai:
        tai.log_path = os.path.join(t.dir, "log")
        damage.fill(tai)
        known = {"command": tai.get("/v1/commands?limit=1")[1]["commands"][0]["command_id"]}
    with t.tai(BLOCKED) as tai:  # too many dead letters: what comes now stays in the queue
        tai.log_path = os.path.join(t.dir, "log")
        t.equal("status", post(tai, "queued", 60), 202)
    return known


FIRST = " WHERE rowid = (SELECT min(rowid) FROM {table})"
ROWS = [  # table, what makes a row of it wrong under right checksums
    ("kanban_frames", "UPDATE {table} SET body = CAST(substr(body, 1, length(body) - 9) AS BLOB)" + FIRST),
    ("kanban_frames", "UPDATE {table} SET body = CAST(replace(body, 'xxxx', 'xxyx') AS BLOB)" + FIRST),
    ("kanban_frames", "UPDATE {table} SET partition = partition + 1" + FIRST),
    ("kanban_frames", "UPDATE {table} SET count = count - 1" + FIRST),
    ("governors", "UPDATE {table} SET numbers = CAST(substr(numbers, 2) AS BLOB)" + FIRST),
    ("governors", "UPDATE {table} SET state = 6 WHERE rowid = (SELECT min(rowid) FROM {table} WHERE state <> 6)"),
    ("governors", "UPDATE {table} SET next_due = 12345" + FIRST),
    ("tenants", "DELETE FROM governors WHERE rowid = 1"),
    ("tenants", "UPDATE {table} SET governors = governors + 1 WHERE tenant = 't1'"),
    ("signals", "UPDATE {table} SET bytes = CAST(substr(bytes, 2) AS BLOB) WHERE status = 0"),
    ("signals", "UPDATE {table} SET sha256 = zeroblob(32) WHERE status = 0"),
    ("signals", "UPDATE {table} SET outcomes = x'ffff' WHERE status = 2"),
    ("signals", "UPDATE {table} SET status = 9 WHERE status = 2"),
    ("signals", "UPDATE {table} SET envelope = CAST(substr(envelope, 1, 20) AS BLOB) WHERE status = 6 AND bytes NOTNULL"),
    ("deadletters", "UPDATE {table} SET cause = 'another'" + FIRST),
    ("deadletters", "UPDATE {table} SET receipt = zeroblob(16)" + FIRST),
    ("deadletters", "UPDATE {table} SET id = 'nobody'" + FIRST),
    ("deadletters", "DELETE FROM {table}" + FIRST),
    ("deadletter_counts", "UPDATE {table} SET open = open + 1"),
    ("commands", "UPDATE {table} SET args = '{{'" + FIRST),
    ("commands", "UPDATE {table} SET kind = 5" + FIRST),
    ("commands", "UPDATE {table} SET partition = (partition + 1) % 4" + FIRST),
    ("attempts", "INSERT INTO {table} VALUES('t0', 'i', 'e', 0, 1000, 1, 'w')"),
    ("intake", "UPDATE {table} SET last = 0"),
    ("partitions", "UPDATE {table} SET taken = taken + 1" + FIRST),
    ("partitions", "UPDATE {table} SET waiting = waiting + 1, taken = taken + 1" + FIRST),
    ("outcome_numbers", "UPDATE {table} SET next = 0"),
    ("outcomes", "UPDATE outcome_numbers SET next = next + 1"),
    ("outcomes", "INSERT INTO {table} VALUES(9, 0, 99999, 1, x'0000')"),
    ("receipts", "UPDATE outcome_cursors SET receipted = receipted - 1"),
    ("receipts", "UPDATE {table} SET body = replace(body, '\"timestamp\":1', '\"timestamp\":2') WHERE id = 17"),
    ("receipts", "UPDATE {table} SET body = substr(body, 1, 100) WHERE id = 18"),
    ("receipts", "UPDATE {table} SET hash = zeroblob(32) WHERE id = 19"),
    ("receipts", "UPDATE {table} SET seq = seq + 1 WHERE id = 20"),
    ("receipts", "DELETE FROM {table} WHERE id = 21"),
    ("receipts", "DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})"),
    ("receipt_ids", "UPDATE {table} SET prefixes = CAST(substr(prefixes, 1, 400) AS BLOB)"),
    ("chain_receipts", "UPDATE {table} SET ids = CAST(substr(ids, 9) AS BLOB) WHERE block = 0 AND chain = 't2'"),
    ("chains", "UPDATE {table} SET seq = seq + 1 WHERE chain = 't2'"),
    ("chains", "UPDATE {table} SET hash = zeroblob(32) WHERE chain = 't2'"),
    ("shards", "UPDATE {table} SET size = size - 1"),
    ("shards", "UPDATE {table} SET frontier = CAST(zeroblob(32) || substr(frontier, 33) AS BLOB)"),
    ("tiles", "UPDATE {table} SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)" + FIRST),
    ("tiles", "UPDATE {table} SET hashes = CAST(substr(hashes, 33) AS BLOB)" + FIRST),
    ("signals", "UPDATE dataset SET value = value + 1 WHERE name = 'kanban.partitions'"),
    ("dataset", "DELETE FROM dataset WHERE name = 'ledger.shards'"),
]


def test_rows(t):
    """Rows that cannot be true although their pages' checksums are right."""
    data, good, _ = rich(t)
    for table, sql in ROWS:
        path = afresh(data, good)
        count = pages.edit(path, sql.format(table=table))
        t.true(f"something edited: {sql}", count > 0)
        code, problems, _, _ = damage.check(t.binary, data)
        t.equal(f"exit code after {sql}", code, 5)
        t.true(f"{table} is named after {sql}", any(p["table"] == table for p in problems), problems[:3])


REQUESTS = {
    "governors": "/v1/governors?limit=1000", "signals": "/v1/signals/first0-1?tenant_id=t1",
    "deadletters": "/v1/deadletters?limit=1000", "commands": "/v1/commands/{command}", "receipts": "/v1/receipts?limit=1000",
    "chain_receipts": "/v1/receipts?tenant_id=t2&limit=1000",
}
# Read at the start, or by what runs from then on: looked for at rest only.
UNASKED = ("partitions", "shards", "chains", "outcome_cursors", "outcome_numbers", "deadletter_counts", "intake", "tenants",
           "receipt_ids", "tiles")


def test_pages_of_every_table(t):
    """Every page of a table flipped: found at rest, by name; and by the service, which serves nothing of it."""
    data, good, known = rich(t)
    where = pages.pages_of(os.path.join(good, "tai.db"))
    t.equal("tables without pages of their own", set(REQUESTS) - set(where), set())
    for table in list(REQUESTS) + [name for name in UNASKED if name in where]:
        path = afresh(data, good)
        for number in where[table]:
            flip(path, (number - 1) * pages.PAGE + 2000)
        code, problems, _, _ = damage.check(t.binary, data)
        t.equal(f"exit code for {table}", code, 5)
        t.true(f"{table} is named", any(p["table"] == table for p in problems), problems[:3])
        if table in REQUESTS:
            serves_nothing_of(t, table, REQUESTS[table].format(**known))


def serves_nothing_of(t, table, request):
    tai = t.tai(damage.CONFIG)
    tai.log_path = os.path.join(t.dir, f"{table}.log")
    tai.start()
    status, problem, _ = tai.get(request)
    t.equal(f"status of {request}", status, 500)
    t.contains("detail", problem["detail"], f"table {table}")
    t.equal(f"/readyz with {table} damaged", tai.get("/readyz")[0], 503)
    t.equal("/health", tai.get("/health")[1]["checks"]["store:corruptions"][0]["status"], "fail")
    tai.kill()  # it would try to work off what it cannot read
    with open(tai.log_path, encoding="utf-8") as log:
        t.contains("the log", log.read(), "database_damaged")


def test_files(t):
    """The signer's memory, the keys, the file's length."""
    data, good, _ = rich(t)
    names = os.listdir(good)
    memory = next(name for name in names if ".checkpoint-" in name)
    keys = next(name for name in names if name.endswith(".keys"))
    key = "ledger.key"

    def found(what, name):
        code, problems, _, _ = damage.check(t.binary, data)
        t.equal(f"exit code with {what}", code, 5)
        t.true(f"{name} is named with {what}", any(p["table"] == name for p in problems), problems[:3])
        afresh(data, good)

    afresh(data, good)
    for slot in (0, 8192):
        flip(os.path.join(data, memory), slot + 40)
        found("one record of the memory", memory)
    os.truncate(os.path.join(data, memory), 100)
    found("a short memory", memory)
    flip(os.path.join(data, key), 60)
    found("a flipped bit in the key", memory if readable(os.path.join(data, key)) else key)
    os.truncate(os.path.join(data, key), 50)
    found("a short key", key)
    os.remove(os.path.join(data, key))
    found("no key", key)
    flip(os.path.join(data, keys), 30)
    found("a flipped bit in the public keys", keys)
    path = os.path.join(data, "tai.db")
    os.truncate(path, pages.PAGE * (pages.pages_in(path) - 1))
    found("the last page cut off", "(file)")
    os.truncate(path, 0)
    found("an empty file", "(schema)")
    shutil.copy(os.path.join(data, key), path)
    found("a file that is no database", "(file)")


def readable(path):
    return subprocess.run(["openssl", "pkey", "-in", path, "-noout"], capture_output=True, check=False).returncode == 0


def test_check_changes_nothing(t):
    """Also with a log, in a directory that may not be written; and refuses while the service runs."""
    tai = t.tai(damage.CONFIG).start()
    for number in range(4):
        t.equal("status", post(tai, f"s{number}", 50), 202)
    code, _, _, said = damage.check(t.binary, tai.data)
    t.equal("exit code while it runs", code, 6)
    tai.kill()
    before = {name: bytes_of(os.path.join(tai.data, name)) for name in os.listdir(tai.data)}
    t.true("there is a log", "tai.db-wal" in before, sorted(before))
    os.chmod(tai.data, 0o555)
    code, problems, notes, said = damage.check(t.binary, tai.data)
    os.chmod(tai.data, 0o755)
    t.equal("after a kill", (code, problems), (0, []))
    t.true("the log is told of", any("tai.db-wal" in note for note in notes), notes)
    t.true("its rows were seen", said["rows"] > 100, said)
    after = {name: bytes_of(os.path.join(tai.data, name)) for name in os.listdir(tai.data)}
    t.true("nothing was changed or made", before == after, sorted(after))
    code, _, _, said = damage.check(t.binary, os.path.join(t.dir, "nowhere"))
    t.equal("exit code for no directory", code, 4)


if __name__ == "__main__":
    main(globals())
