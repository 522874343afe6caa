"""Reads the ledger over HTTP and checks it with nothing of ours: hashes, chains, Merkle root and signature as
RFC 8785, RFC 6962, C2SP signed-note and RFC 8032 have them."""
import base64
import hashlib
import json
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def canonical(value):
    """RFC 8785 for what receipts hold: integers, and member names in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def items(tai, **query):
    """All items of GET /v1/receipts, every page, as the list has them."""
    found, query = [], {"limit": 1000, **query}
    while True:
        status, page, _ = tai.get("/v1/receipts?" + urllib.parse.urlencode(query))
        if status != 200:
            raise RuntimeError(f"GET /v1/receipts answered {status}: {page}")
        found += page["receipts"]
        if "next" not in page:
            return found
        query["after"] = page["next"]


def receipts(tai, **query):
    """(parsed, exact bytes) in order; the bytes come from the canonical form, so check_receipts compares their hash."""
    return [(item["receipt"], canonical(item["receipt"])) for item in items(tai, **query)]


def receipts_of(tai, tenant, signal_id=None, **query):
    wanted = {"tenant_id": tenant, **({"signal_id": signal_id} if signal_id else {}), **query}
    return [item["receipt"] for item in items(tai, **wanted)]


def merkle_root(leaves):
    """RFC 6962, 2.1, as it is written there."""
    def root(first, count):
        if count == 1:
            return hashlib.sha256(b"\x00" + leaves[first]).digest()
        split = 1 << ((count - 1).bit_length() - 1)
        return hashlib.sha256(b"\x01" + root(first, split) + root(first + split, count - split)).digest()
    return root(0, len(leaves)) if leaves else hashlib.sha256(b"").digest()


class Key:
    """A verifier key `name+hash+base64`."""

    def __init__(self, text):
        self.name, self.hash, encoded = text.strip().split("+", 2)
        decoded = base64.b64decode(encoded, validate=True)
        self.algorithm, self.public = decoded[0], decoded[1:]
        self.hash_is_right = hashlib.sha256(self.name.encode() + b"\n" + decoded).hexdigest()[:8] == self.hash


def open_note(note, key):
    """(origin, size, root) of a checkpoint that this key signed; raises ValueError otherwise."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        if dash != "\u2014" or name != key.name or raw[:4].hex() != key.hash:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
        except InvalidSignature as error:
            raise ValueError("the signature does not match the text") from error
        origin, size, root = text.splitlines()[:3]
        return origin, int(size), base64.b64decode(root, validate=True)
    raise ValueError(f"no signature of {key.name} in {note!r}")


def check_receipts(t, listed):
    """Hashes and chains of the items of a whole log."""
    heads = {}
    for item in listed:
        receipt = item["receipt"]
        where = f"receipt {receipt['receipt_id']} (index {item['index']})"
        got = hashlib.sha256(canonical(receipt)).hexdigest()
        if item["receipt_hash"] != got:
            t.equal(f"receipt_hash of {where}", item["receipt_hash"], got)
        seq, previous = heads.get(receipt["chain"], (0, "0" * 64))
        if (receipt["seq"], receipt["previous_hash"]) != (seq + 1, previous):
            t.equal(f"(seq, previous_hash) of {where}", (receipt["seq"], receipt["previous_hash"]), (seq + 1, previous))
        if receipt["chain"] != receipt.get("tenant_id", "_system"):
            t.equal(f"chain of {where}", receipt["chain"], receipt.get("tenant_id", "_system"))
        heads[receipt["chain"]] = (receipt["seq"], got)
    t.equal("indexes of the log", [item["index"] for item in listed], list(range(len(listed))))
    return heads


def check_ledger(t, tai, shard=0):
    """The whole log of a shard of a service at rest; returns its items."""
    listed = items(tai, shard=shard)
    check_receipts(t, listed)
    key = Key(tai.get("/v1/ledger/vkey")[1])
    origin, size, root = open_note(tai.get(f"/checkpoint?shard={shard}")[1], key)
    t.equal("origin of the checkpoint", origin, key.name + (f"/{shard}" if shard else ""))
    t.equal("size of the checkpoint", size, len(listed))
    t.equal("root of the checkpoint", root.hex(),
            merkle_root([canonical(item["receipt"]) for item in listed]).hex())
    return listed
