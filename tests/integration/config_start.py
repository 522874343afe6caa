#!/usr/bin/python3
"""Configurations and data that `tai run` refuses, and how it says so: config_start.py TAI [TEST…]."""
import os
import shutil
import socket
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
import pages  # noqa: E402
from checks import NOBODY, ended, main, wait_for  # noqa: E402

USAGE, BUSY = 2, 6  # exit codes


def usage(identity):
    return {"id": identity, "tenant_id": "acme", "sku_id": "s", "type": "usage"}


def filled(t, config=None):
    """A data set with one signal, nothing running; its directory."""
    tai = t.tai(config)
    with tai:
        tai.post(usage("1"))
        ended(tai, "1", "acme")
    return tai.data


def bytes_of(path):
    with open(path, "rb") as data:
        return data.read()


BAD = [
    ("ingres:\n  listen: 127.0.0.1:0\n", 1, ["ingres", "ingress"]),
    ("log:\n  level: info\ningress:\n  lisen: 127.0.0.1:0\n", 4, ["lisen", "listen"]),
    ("ingress:\n  max_body: lots\n", 2, ["ingress.max_body", "lots"]),
    ("ingress:\n  max_batch: 1001\n", 2, ["ingress.max_batch", "1000"]),
    ("ingress:\n  max_batch: 0\n", 2, ["ingress.max_batch", "1"]),
    ("ingress:\n  listen: localhost\n", 2, ["ingress.listen", "PORT"]),
    ("ingress:\n  request_deadline: 10\n", 2, ["ingress.request_deadline"]),
    ("kanban:\n  partitions: 16\n  partitions: 8\n", 3, ["partitions", "2"]),
    ("entitlements:\n  auto_activate: yes\n", 2, ["auto_activate", "true"]),
    ("kanban:\n  backend: rabbit\n", 2, ["sqlite", "memory"]),
    ("log: verbose\n", 1, ["log"]),
    ("log:\n  level: [info]\n", 2, ["log.level"]),
    ("log:\n\tlevel: info\n", 2, []),
    ("log:\n  level: &x info\n", 2, []),
    ("log:\n  level: info\n---\nlog:\n  level: info\n", 3, []),
    ("governor:\n  quota_limit: -1\n", 2, ["governor.quota_limit"]),
    ("policies:\n  - type: cost_governance\n", 2, ["budget"]),
    ("policies:\n  - type: cost_governance\n    budget: 1\n    on_exceeded: action\n    action: stop\n", 5, ["stop"]),
    ("actions:\n  - name: a\n    type: lua\n", 3, ["none"]),
]


def test_bad_configuration(t):
    for text, line, parts in BAD:
        path = t.file("bad.yaml", text)
        code, said = t.refused_start("--config", path)
        t.equal(f"exit code with {text!r}", code, USAGE)
        t.contains(f"message about {text!r}", said, f"bad.yaml:{line}:")
        for part in parts:
            t.contains(f"message about {text!r}", said, part)
    t.true("nothing was made", not os.path.exists(os.path.join(t.dir, "data")))
    code, said = t.refused_start("--config", os.path.join(t.dir, "absent.yaml"))
    t.equal("exit code with a missing file", code, USAGE)
    t.contains("message", said, "absent.yaml")
    code, said = t.refused_start(env={"TAI_INGRESS_LISEN": "x"})
    t.equal("exit code with a misspelt variable", code, USAGE)
    t.contains("message", said, "TAI_INGRESS_LISTEN")
    code, said = t.refused_start("--listen", "nowhere")
    t.equal("exit code with a bad address", code, USAGE)
    code, said = t.refused_start("--colour")
    t.equal("exit code with an unknown option", code, USAGE)
    t.contains("message", said, "tai run --help")
    code, said = t.refused_start("extra")
    t.equal("exit code with an argument", code, USAGE)


def test_several_problems(t):
    path = t.file("bad.yaml", "ingress:\n  max_body: lots\n  lisen: x\nlog:\n  level: loud\n")
    done = subprocess.run([t.binary, "config", "check", path], capture_output=True, text=True, timeout=30, check=False)
    t.equal("exit code of config check", done.returncode, USAGE)
    for line in (2, 3, 5):
        t.contains("what config check says", done.stdout + done.stderr, f"bad.yaml:{line}:")
    done = subprocess.run([t.binary, "config", "check", t.file("good.yaml", "log:\n  level: warn\n")],
                          capture_output=True, text=True, timeout=30, check=False)
    t.equal("exit code with a good file", done.returncode, 0)


def test_fixed_for_a_data_set(t):
    filled(t)
    for name, text, was in (("kanban.partitions", "kanban:\n  partitions: 8\n", 4),
                            ("ledger.shards", "ledger:\n  shards: 2\n", 1)):
        code, said = t.refused_start("--config", t.file("other.yaml", text))
        t.equal(f"exit code with other {name}", code, USAGE)
        for part in (name, str(was), "set it back", "another run.data"):
            t.contains(f"message about {name}", said, part)
    tai = t.tai("kanban:\n  partitions: 4\nledger:\n  shards: 1\n")
    with tai:
        t.equal("the data set as it was", ended(tai, "1", "acme")["status"], "executed")


def test_partitions_left_to_the_data_set(t):
    with t.tai("kanban:\n  partitions: 16\n") as tai:
        t.equal("POST", tai.post(usage("1"))[0], 202)
        ended(tai, "1", "acme")
    with t.tai() as tai:
        t.equal("the data set as it was", ended(tai, "1", "acme")["status"], "executed")
        t.equal("partitions in use", len(tai.get("/v1/partitions?limit=100", tai.andon_port)[1]["partitions"]), 16)


def test_second_run(t):
    with t.tai() as tai:
        code, said = t.refused_start()
        t.equal("exit code of a second run on the same data", code, BUSY)
        for part in (tai.data, f"pid {tai.worker_pid()}", str(tai.port)):
            t.contains("message", said, part)
        t.equal("the first one", tai.post(usage("1"))[0], 202)


def test_port_in_use(t):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("--listen", "--andon-listen"):
            code, said = t.refused_start(option, f"127.0.0.1:{port}")
            t.equal(f"exit code with {option} in use", code, BUSY)
            t.contains("message", said, str(port))
            t.contains("message", said, "in use")


def test_data_directory(t):
    path = t.file("file", "")
    code, said = t.refused_start(data=path)
    t.equal("exit code when the data directory is a file", code, 1)
    t.contains("message", said, path)
    code, said = t.refused_start(data=os.path.join(t.dir, "no", "such", "parent"))
    t.equal("exit code without a parent", code, 1)
    t.contains("message", said, "No such file or directory")
    closed = os.path.join(t.dir, "closed")
    os.mkdir(closed, 0o555)
    code, said = t.refused_start(data=closed, nobody=True)
    t.equal("exit code with a read-only data directory", code, 1)
    t.contains("message", said, closed)
    t.contains("message", said, "Permission denied")
    data = filled(t)
    for name in os.listdir(data) + ["."]:
        os.chown(os.path.join(data, name), NOBODY if os.geteuid() == 0 else -1, -1)
    os.chmod(os.path.join(data, "tai.db"), 0o400)
    code, said = t.refused_start(nobody=True)
    t.equal("exit code with a read-only database", code, 1)
    t.contains("message", said, "tai.db")


def test_damaged_database(t):
    data = filled(t)
    path = os.path.join(data, "tai.db")
    good = bytes_of(path)
    t.true("the database is in one file after a stop", not os.path.exists(path + "-wal"), os.listdir(data))
    for name, damaged in (("text", b"this is not a database\n" * 100), ("its second half missing", good[:len(good) // 2]),
                          ("a zeroed first page", bytes(pages.PAGE) + good[pages.PAGE:]),
                          ("noise in the schema", good[:100] + os.urandom(3000) + good[3100:])):
        with open(path, "wb") as out:
            out.write(damaged)
        code, said = t.refused_start()
        t.equal(f"exit code with a database of {name}", code, 1)
        t.contains(f"message with {name}", said, "tai.db")
        t.true(f"message with {name} says it is damaged", "damaged" in said or "corrupt" in said, said)
        t.true(f"{name}: nothing overwritten", bytes_of(path) == damaged)
        for rest in ("-wal", "-shm"):
            if os.path.exists(path + rest):
                os.remove(path + rest)
    with open(path, "wb") as out:
        out.write(good)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    pages.write_checksums(path)
    code, said = t.refused_start()
    t.equal("exit code with the database of a later version", code, 1)
    t.contains("message", said, "99")
    with open(path, "wb") as out:
        out.write(good)
    with t.tai() as tai:
        t.equal("the good one", ended(tai, "1", "acme")["status"], "executed")


def test_foreign_database(t):
    data = os.path.join(t.dir, "data")
    os.mkdir(data)
    with sqlite3.connect(os.path.join(data, "tai.db")) as db:
        db.execute("CREATE TABLE signals(colour TEXT)")
    db.close()
    before = bytes_of(os.path.join(data, "tai.db"))
    code, said = t.refused_start()
    t.equal("exit code with somebody else's database", code, 1)
    t.contains("message", said, "tai.db")
    t.true("nothing overwritten", bytes_of(os.path.join(data, "tai.db")) == before)


def test_ledger_key(t):
    data = filled(t)
    path = os.path.join(data, "ledger.key")
    good = bytes_of(path)
    with open(path, "wb") as out:
        out.write(b"no key\n")
    code, said = t.refused_start()
    t.true("exit code with a damaged ledger key is not 0", code not in (0, None), code)
    t.contains("message", said, "ledger.key")
    t.equal("the file", bytes_of(path), b"no key\n")
    with open(path, "wb") as out:
        out.write(good)
    with t.tai() as tai:
        t.equal("the good one", tai.post(usage("2"))[0], 202)


def test_ledger_rolled_back(t):
    """The signer remembers what it signed: on an older database it signs nothing."""
    data = filled(t)
    old = os.path.join(t.dir, "old.db")
    shutil.copy(os.path.join(data, "tai.db"), old)
    with t.tai() as tai:
        tai.post(usage("2"))
        ended(tai, "2", "acme")
    shutil.copy(old, os.path.join(data, "tai.db"))
    with t.tai() as tai:
        trouble = wait_for("the trouble to show", lambda: tai.totals().get("trouble"))
        t.contains("the trouble", trouble, "signed")
        t.equal("a signal is taken all the same", tai.post(usage("3"))[0], 202)
        wait_for("health to fail", lambda: tai.get("/health")[1]["status"] == "fail")
        t.equal("status of /checkpoint", tai.get("/checkpoint")[0], 503)


def test_ipv6(t):
    command = [t.binary, "run", "--data", os.path.join(t.dir, "with space"), "--listen", "[::1]:0", "--andon-listen", "[::1]:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        said = [process.stdout.readline() for _ in range(3)]
        address = said[1].split("//")[1].split("/")[0]
        t.true("the address it prints is [::1]:PORT", address.startswith("[::1]:"), said)
        with socket.create_connection(("::1", int(address.rsplit(":", 1)[1])), 10) as client:
            body = b'{"tenant_id":"acme","sku_id":"s","type":"usage"}'
            client.sendall(b"POST /v1/signals HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (address.encode(), len(body), body))
            answer = client.recv(4096).decode()
        t.contains("the answer", answer, "HTTP/1.1 202 ")
        t.contains("the answer", answer, "Location: http://[::1]:")
        process.terminate()
        t.equal("exit", process.wait(20), 0)


def test_port_zero_and_defaults(t):
    with t.tai() as tai:
        t.true("free ports are picked and printed", tai.port and tai.andon_port and tai.port != tai.andon_port)
        mode = os.stat(os.path.join(tai.data, "tai.db")).st_mode & 0o777
        t.equal("mode of the database", oct(mode), "0o600")
        ended_one = tai.post(usage("1"))[0]
        t.equal("status", ended_one, 202)
        ended(tai, "1", "acme")
        tai.settle()
        ledger.check_ledger(t, tai)


if __name__ == "__main__":
    main(globals())
