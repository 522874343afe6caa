#!/usr/bin/python3
"""Verifiers nobody here wrote agree with the ledger, across a rotation of its key: Go's sumdb/note and sumdb/tlog on
checkpoints and proofs, Python's jwcrypto on receipts as JWS (and then npm's jose: jose.py), Python's cryptography on a
whole export.

peers.py TAI DIRECTORY KEPT [TEST…]   DIRECTORY: where the Go program is kept between runs; KEPT: file for jose.py"""
import base64
import fcntl
import hashlib
import json
import os
import random
import subprocess
import sys

from jwcrypto import jwk, jws

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import ledger  # noqa: E402
from checks import main, wait_for  # noqa: E402

BUILT, KEPT = os.path.abspath(sys.argv.pop(2)), os.path.abspath(sys.argv.pop(2))
GO = "/usr/bin/go"  # Debian's, with Debian's golang.org/x/mod below /usr/share/gocode


def run(arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def go_program():
    program = os.path.join(BUILT, "verify-go")
    source = os.path.join(HERE, "verify.go")
    if not os.path.exists(program) or os.stat(program).st_mtime < os.stat(source).st_mtime:
        env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOROOT": "",
               "GOCACHE": os.path.join(BUILT, "go-cache"), "CGO_ENABLED": "0"}
        run([GO, "build", "-o", program, source], env=env)
    return program


class Peers:
    def __init__(self):
        os.makedirs(BUILT, exist_ok=True)
        with open(os.path.join(BUILT, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the stages of a test run share what is built here
            self.go = go_program()
        self.jws = []

    def ask_go(self, question):
        return run([self.go], input=json.dumps(question)).strip()

    def ask_jwcrypto(self, jwks, tokens):
        """The verified payloads, in base64, and headers; or the error."""
        self.jws.append({"jwks": jwks, "tokens": tokens, "payloads": []})
        keys, results = jwk.JWKSet.from_json(json.dumps(jwks)), []
        for token in tokens:
            try:
                verified = jws.JWS()
                verified.deserialize(token)
                verified.verify(keys.get_key(verified.jose_header["kid"]), alg="EdDSA")
                results.append({"payload": text(verified.payload), "header": verified.jose_header})
            except jws.InvalidJWSSignature as refused:
                results.append({"error": str(refused)})
        self.jws[-1]["payloads"] = [result.get("payload") for result in results]
        return results

    def keep(self):
        """For jose.py: what was shown to jwcrypto, and what it made of it."""
        with open(KEPT, "w", encoding="utf-8") as file:
            json.dump(self.jws, file)


def text(data):
    return base64.b64encode(data).decode()


def feed(tai, count, name):
    signals = [{"id": f"{name}-{i}", "tenant_id": f"tenant-{i % 3}", "sku_id": "s", "type": "usage"} for i in range(count)]
    status, _, _ = tai.post(signals)
    if status != 202:
        raise RuntimeError(f"posting answered {status}")
    tai.settle()


def covered(tai):
    size = len(ledger.items(tai, shard=0))
    wait_for("a checkpoint over all", lambda: tai.export_size() == size)
    return size


def sizes_of(total, rng):
    edges = [n for n in (1, 2, 3, 255, 256, 257, 511, 512, 513, total - 1, total) if 0 < n <= total]
    return sorted(set(edges + [rng.randint(1, total) for _ in range(25)]))


def proofs(t, tai, records, rng):
    """Proofs of many receipts in trees of many sizes, and between trees, as Go's program wants them."""
    inclusion, consistency = [], []
    total = len(records)
    sizes = sizes_of(total, rng)
    for size in sizes:
        index = rng.choice([0, size - 1, rng.randrange(size)])
        receipt_id = json.loads(records[index])["receipt_id"]
        status, proof, _ = tai.get(f"/v1/receipts/{receipt_id}/proof?size={size}")
        if status != 200 or (proof["index"], proof["size"]) != (index, size):
            t.equal(f"the proof of {index} in {size}", (status, proof), (200, "index and size"))
        inclusion.append({"Index": index, "Size": size, "Hashes": proof["hashes"]})
        old = rng.randint(1, size)
        status, proof, _ = tai.get(f"/v1/ledger/consistency?shard=0&old={old}&new={size}")
        if status != 200 or (proof["old"], proof["new"]) != (old, size):
            t.equal(f"the proof from {old} to {size}", (status, proof), (200, "old and new"))
        consistency.append({"Old": old, "New": size, "Hashes": proof["hashes"]})
    return inclusion, consistency


def check_export(t, path, vkeys):
    """The whole export with hashlib and cryptography alone, as docs/receipts.md tells."""
    lines = open(path, "rb").read().split(b"\n")
    t.equal("the first line", lines[0], b"tai-export/1")
    note = b"\n".join(line[2:] for line in lines if line.startswith(b"c ")).decode() + "\n"
    leaves, heads = [line[2:] for line in lines if line.startswith(b"r ")], {}
    for leaf in leaves:
        receipt = json.loads(leaf)
        seq, previous = heads.get(receipt["chain"], (0, "0" * 64))
        if (receipt["seq"], receipt["previous_hash"]) != (seq + 1, previous) or ledger.canonical(receipt) != leaf:
            t.equal(f"seq and previous_hash of {receipt['receipt_id']}", (receipt["seq"], receipt["previous_hash"]),
                    (seq + 1, previous))
        heads[receipt["chain"]] = (seq + 1, hashlib.sha256(leaf).hexdigest())
    t.equal("chains", len(heads), 3)
    for vkey in vkeys:
        _, size, root = ledger.open_note(note, ledger.Key(vkey))
        t.equal("size and root by Python", (size, root.hex()), (len(leaves), ledger.merkle_root(leaves).hex()))


def check_all(t, tai, peers, vkeys, seed):
    """Every verifier on everything the ledger holds now; vkeys: the keys that must have signed."""
    rng = random.Random(seed)
    total = covered(tai)
    records = [data for _, data in ledger.receipts(tai, shard=0)]
    inclusion, consistency = proofs(t, tai, records, rng)
    note = tai.get("/checkpoint")[1]
    question = {"Records": [text(record) for record in records], "Inclusion": inclusion, "Consistency": consistency,
                "Checkpoints": [{"Note": note, "Vkeys": vkeys}]}
    t.equal("Go's verdict", peers.ask_go(question),
            f"1 checkpoints {len(inclusion)} inclusion {len(consistency)} consistency")
    inclusion[-1]["Hashes"] = inclusion[-1]["Hashes"][:-1] + [text(b"\0" * 32)]
    try:
        t.true("Go refuses a false proof", False, peers.ask_go(question))
    except RuntimeError as refused:
        t.contains("Go's refusal", str(refused), "record")
    chosen = rng.sample(records, 8)
    tokens = [tai.get(f"/v1/receipts/{json.loads(record)['receipt_id']}/jws")[1] for record in chosen]
    results = peers.ask_jwcrypto(tai.get("/.well-known/jwks.json")[1], tokens)
    t.equal("the payloads jwcrypto verified", [result.get("payload") for result in results], [text(data) for data in chosen])
    t.equal("headers", {json.dumps(result.get("header"), sort_keys=True) for result in results},
            {json.dumps({"alg": "EdDSA", "kid": vkeys[0].split("+")[1], "typ": "tai-receipt+jws"}, sort_keys=True)})
    path = os.path.join(t.dir, "export")
    t.equal("exit of the export", tai.cli("receipt", "export", "-o", path).returncode, 0)
    check_export(t, path, vkeys)
    for vkey in vkeys:
        verified = tai.cli("ledger", "verify", path, "--vkey", vkey)
        t.equal("exit of ledger verify", (verified.returncode, verified.stderr), (0, ""))
    return total, tokens, note


def spoiled(token):
    header, payload, signature = token.split(".")
    other = payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
    return f"{header}.{other}.{signature}"


def new_key(t, tai, name):
    path = os.path.join(t.dir, name)
    made = tai.cli("key", "new", "ledger", "--out", path)
    t.equal("exit of key new ledger", (made.returncode, made.stderr), (0, ""))
    return path


def test_agreement_across_a_rotation(t):
    peers = Peers()
    with t.tai() as tai:
        feed(tai, 900, "first")
        first = tai.get("/v1/ledger/vkey")[1].strip()
        _, old_tokens, old_note = check_all(t, tai, peers, [first], 1)
        bad = peers.ask_jwcrypto(tai.get("/.well-known/jwks.json")[1], [spoiled(old_tokens[0])])
        t.contains("jwcrypto on a changed receipt", bad[0].get("error", ""), "failed")
        path = new_key(t, tai, "second.key")
    kept = t.file("kept", old_note)
    both = f"ledger:\n  key_file: {path}\n  previous_key_file: {t.dir}/data/ledger.key\n"
    with t.tai(both) as tai:
        feed(tai, 300, "second")
        keys = tai.get("/v1/ledger/vkey")[1].split()
        t.equal("published: the new key, then the old one", (len(keys), keys[-1]), (2, first))
        _, tokens, _ = check_all(t, tai, peers, [keys[0], first], 2)
        results = peers.ask_jwcrypto(tai.get("/.well-known/jwks.json")[1], old_tokens + tokens)
        t.equal("jwcrypto takes both keys' receipts", [result.get("error") for result in results], [None] * 16)
        for vkey in keys:
            now = tai.cli("ledger", "verify", "--vkey", vkey, "--vkey", first, "--checkpoint", kept)
            t.equal("the log extends the checkpoint kept", (now.returncode, now.stderr), (0, ""))
    with t.tai(f"ledger:\n  key_file: {path}\n") as tai:
        feed(tai, 30, "third")
        t.equal("both are published still", tai.get("/v1/ledger/vkey")[1].split(), keys)
        check_all(t, tai, peers, [keys[0]], 3)
        results = peers.ask_jwcrypto(tai.get("/.well-known/jwks.json")[1], old_tokens)
        t.equal("jwcrypto takes old receipts", [result.get("error") for result in results], [None] * 8)
        export = tai.cli("receipt", "export").stdout
        seen = tai.cli("ledger", "verify", t.file("third", export), "--vkey", first)
        t.equal("the old key alone no longer does", (seen.returncode, "not signed by the key" in seen.stderr), (5, True))
    peers.keep()


main(globals())
