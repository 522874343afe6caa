#!/usr/bin/python3
"""Proofs over HTTP and on the command line: what they answer, what they refuse; a stored tree that is damaged, missing or
half there. proofs.py TAI [TEST…]

That the proofs are right is what other people's verifiers say: tests/peers."""
import json
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ledger  # noqa: E402
import pages  # noqa: E402
from checks import main, wait_for  # noqa: E402

COUNT = 700


def post(tai, name, count=COUNT):
    tai.post([{"id": f"{name}-{i}", "tenant_id": f"t{i % 3}", "sku_id": "k", "type": "usage"} for i in range(count)])
    tai.settle()
    size = len(ledger.items(tai, shard=0))
    wait_for("a checkpoint over all", lambda: tai.export_size() == size)
    return size


def receipt_id(tai, index):
    return ledger.items(tai, shard=0)[index]["receipt"]["receipt_id"]


def rows(path):
    db = sqlite3.connect(path)
    try:
        tiled = db.execute("SELECT tiled FROM shards WHERE shard = 0").fetchone()[0]
        return tiled, db.execute("SELECT id, hashes FROM tiles ORDER BY id").fetchall()
    finally:
        db.close()


def test_requests(t):
    with t.tai() as tai:
        wait_for("a checkpoint of the empty log", lambda: tai.get("/checkpoint")[0] == 200)
        empty = tai.get("/v1/ledger/consistency?shard=0&old=1")
        t.equal("nothing is proved of an empty log", empty[0], 400)
        size = post(tai, "a")
        some = receipt_id(tai, 300)
        for path, status in ((f"/v1/receipts/{some}/proof", 200), (f"/v1/receipts/{some}/proof?size=301", 200),
                             (f"/v1/receipts/{some}/proof?size=300", 400), (f"/v1/receipts/{some}/proof?size=0", 400),
                             (f"/v1/receipts/{some}/proof?size={size + 1}", 400), (f"/v1/receipts/{some}/proof?sise=1", 400),
                             ("/v1/receipts/x/proof", 400), ("/v1/receipts/x/jws", 400),
                             ("/v1/receipts/00000000-0000-5000-8000-000000000000/proof", 404),
                             ("/v1/receipts/00000000-0000-5000-8000-000000000000/jws", 404),
                             ("/v1/ledger/consistency", 400), ("/v1/ledger/consistency?old=0", 400),
                             ("/v1/ledger/consistency?old=9&new=8", 400), (f"/v1/ledger/consistency?old={size + 1}", 400),
                             ("/v1/ledger/consistency?old=1&shard=1", 400), (f"/v1/ledger/consistency?old={size}", 200)):
            seen = tai.get(path)
            t.equal(f"status of {path}", seen[0], status)
            t.true(f"{path} says what to mend", status == 200 or seen[1].get("detail"), seen)
        proof = tai.get(f"/v1/receipts/{some}/proof")[1]
        t.equal("the checkpoint stands in it", proof["checkpoint"], tai.get("/checkpoint")[1])
        status, text, headers = tai.get(f"/v1/receipts/{some}/tlog-proof")
        t.equal("the tlog-proof", (status, headers["Content-Type"], text),
                (200, "text/plain; charset=utf-8", "c2sp.org/tlog-proof@v1\nindex 300\n" + "".join(
                    hash_ + "\n" for hash_ in proof["hashes"]) + "\n" + proof["checkpoint"]))
        t.equal("type of a JWS", tai.get(f"/v1/receipts/{some}/jws")[2]["Content-Type"], "application/jose")


def test_command_line(t):
    with t.tai() as tai:
        post(tai, "a")
        vkey = tai.get("/v1/ledger/vkey")[1].strip()
        some, other = receipt_id(tai, 500), receipt_id(tai, 3)
        files = {form: t.file(form, tai.cli("receipt", "show", some, "--" + form).stdout) for form in ("raw", "proof", "jws")}
        first = os.path.join(t.dir, "first")
        t.equal("exit of a first ledger verify", tai.cli("ledger", "verify", "-k", vkey, "-o", first).returncode, 0)
        post(tai, "b", 50)
        bundles = {name: t.file(name, tai.cli("receipt", "export", *arguments).stdout) for name, arguments in
                   {"named": (some, other), "tenant": ("--tenant", "t1"), "time": ("--since", "2020-01-01")}.items()}
        whole = os.path.join(t.dir, "whole")
        tai.cli("receipt", "export", "-o", whole)
        second = tai.cli("ledger", "verify", "-k", vkey, "-c", first, "-o", os.path.join(t.dir, "second"))
        t.equal("exit of the second", (second.returncode, second.stderr), (0, ""))
        t.equal("two of three forms at once", tai.cli("receipt", "show", some, "--raw", "--jws").returncode, 2)
    # The service is gone: the rest needs the key alone.
    good = [("receipt", files["raw"], "--proof", files["proof"]), ("receipt", files["jws"]), ("ledger", whole),
            ("ledger", whole, "-c", first, "-c", os.path.join(t.dir, "second")), ("receipt", whole)]
    good += [("receipt", bundle) for bundle in bundles.values()]
    for noun, *arguments in good:
        seen = tai.cli(noun, "verify", *arguments, "-k", vkey)
        t.equal(f"{noun} verify {arguments}", (seen.returncode, seen.stderr), (0, ""))
    named = [line for line in open(bundles["named"], encoding="utf-8") if line.startswith("p ")]
    t.equal("order of the receipts named", [line.split()[1] for line in named], ["3", "500"])
    changed = t.file("changed", open(bundles["tenant"], encoding="utf-8").read().replace('"seq":7,', '"seq":8,', 1))
    seen = json.loads(tai.cli("receipt", "verify", changed, "-k", vkey, "--json").stdout)
    t.equal("the changed one is named", (seen["verified"], seen["bad_index"] > 0, len(seen["bad_receipt"])), (False, True, 36))
    bad = [("receipt", files["raw"], "--proof", files["jws"]), ("receipt", files["raw"]),
           ("receipt", t.file("other", open(files["raw"], encoding="utf-8").read().replace("t", "u")), "--proof", files["proof"]),
           ("ledger", bundles["named"])]
    for noun, *arguments in bad:
        t.equal(f"{noun} verify {arguments}", tai.cli(noun, "verify", *arguments, "-k", vkey).returncode, 5)
    t.equal("without a key", tai.cli("ledger", "verify", whole).returncode, 2)


def test_a_log_that_was_rewritten(t):
    """The signer's memory and the database set back together: signed again, and seen by who kept a checkpoint."""
    kept, data, old = os.path.join(t.dir, "kept"), os.path.join(t.dir, "data"), os.path.join(t.dir, "old")
    with t.tai() as tai:
        post(tai, "a", 100)
    shutil.copytree(data, old)
    with t.tai() as tai:
        post(tai, "b", 100)
        vkey = tai.get("/v1/ledger/vkey")[1].strip()
        t.equal("exit", tai.cli("ledger", "verify", "-k", vkey, "-o", kept).returncode, 0)
    shutil.rmtree(data)
    shutil.copytree(old, data)
    with t.tai() as tai:
        post(tai, "c", 200)
        seen = tai.cli("ledger", "verify", "-k", vkey, "-c", kept)
        t.equal("the running log", (seen.returncode, "rewritten" in seen.stderr), (5, True))
        whole = t.file("whole", tai.cli("receipt", "export").stdout)
    t.equal("its export by itself", tai.cli("ledger", "verify", whole, "-k", vkey).returncode, 0)
    seen = tai.cli("ledger", "verify", whole, "-k", vkey, "-c", kept)
    t.equal("its export beside the checkpoint kept", (seen.returncode, "rewritten" in seen.stderr), (5, True))


def test_damaged_tiles(t):
    """A tile that says something else although its page's checksum is right: nothing it is part of is served."""
    with t.tai() as tai:
        post(tai, "a")
        low, high, late = receipt_id(tai, 10), receipt_id(tai, 300), receipt_id(tai, 600)
    path = os.path.join(t.dir, "data", "tai.db")
    t.equal("tiles of level 0 and 1", [len(row[1]) for row in rows(path)[1]], [8192, 8192, 64])
    pages.edit(path, "UPDATE tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE id = 0")
    with t.tai() as tai:
        tai.settle()
        status, problem, _ = tai.get(f"/v1/receipts/{low}/proof")
        t.equal("status of its proof", status, 500)
        t.contains("detail", problem.get("detail"), "tiles")
        t.equal("of its receipt", tai.get(f"/v1/receipts/{low}")[0], 200)
        for name, other in (("another tile's", high), ("a receipt behind the tiles", late)):
            t.equal(f"proof of {name}", tai.get(f"/v1/receipts/{other}/proof")[0], 200)
        t.equal("/health", tai.get("/health")[1]["checks"]["store:corruptions"][0]["status"], "fail")
    pages.edit(path, "UPDATE tiles SET hashes = CAST(substr(hashes, 33) AS BLOB) WHERE id = 0")
    with t.tai() as tai:
        tai.settle()
        status, problem, _ = tai.get(f"/v1/receipts/{low}/proof")
        t.equal("a tile that is short", (status, "tiles" in problem.get("detail", "")), (500, True))


def test_a_log_without_tiles(t):
    """As written before there were any, and with the work begun: made again, hash for hash."""
    with t.tai() as tai:
        post(tai, "a", 1000)
        post(tai, "b", 600)
        some = receipt_id(tai, 5)
    path = os.path.join(t.dir, "data", "tai.db")
    before = rows(path)
    t.equal("leaves in tiles", before[0], 1536)
    for tiled, level_1 in ((0, 0), (512, 2)):
        pages.edit(path, f"DELETE FROM tiles WHERE id >= {tiled // 256} AND id < 1 << 40")
        pages.edit(path, f"UPDATE tiles SET hashes = CAST(substr(hashes, 1, {32 * level_1}) AS BLOB) WHERE id = 1 << 40")
        if not level_1:
            pages.edit(path, "DELETE FROM tiles")
        pages.edit(path, f"UPDATE shards SET tiled = {tiled}")
        with t.tai() as tai:
            tai.settle()
            t.equal("a proof", tai.get(f"/v1/receipts/{some}/proof")[0], 200)
        t.true(f"the tiles are those of before, from {tiled}", rows(path) == before)


main(globals())
