"""The history checker: what clients saw against what the receipts say.

Clients record every attempt: `ok` (202), `fail` (a definite refusal before the queue) or `info` (time-out, reset, 503 or any
other 5xx: it may appear zero or one time). A receipt with `ending` is terminal."""
import collections
import hashlib
import json
import threading


class History:
    """Append-only, on the recorder's monotonic clock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.signals = {}       # (tenant, entitlement, id) -> {"sha256", "outcome", "invoked", "completed"}
        self.checkpoints = []   # (size, root) as seen, oldest first

    def invoke(self, identity, sha256, now):
        with self.lock:
            self.signals[identity] = {"sha256": sha256, "outcome": "info", "invoked": now, "completed": None}

    def complete(self, identity, outcome, now):
        with self.lock:
            self.signals[identity].update(outcome=outcome, completed=now)

    def saw_checkpoint(self, size, root):
        with self.lock:
            self.checkpoints.append((size, root))


def read_export(path):
    """The receipts of an export in log order: (parsed, exact bytes)."""
    receipts = []
    with open(path, "rb") as lines:
        for line in lines:
            if line.startswith(b"r "):
                raw = line[2:].rstrip(b"\n")
                receipts.append((json.loads(raw), raw))
    return receipts


def leaf(raw):
    return hashlib.sha256(b"\x00" + raw).digest()


def root_of(leaves):
    """RFC 6962."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def check_chains(receipts, bad):
    heads = {}
    for receipt, raw in receipts:
        seq, previous = heads.get(receipt["chain"], (0, "0" * 64))
        if receipt["seq"] != seq + 1:
            bad(f"chain {receipt['chain']}: seq {receipt['seq']} after {seq}")
        if receipt["previous_hash"] != previous:
            bad(f"chain {receipt['chain']} seq {receipt['seq']}: previous_hash is not the hash of the one before")
        if receipt["chain"] != receipt.get("tenant_id", "_system"):
            bad(f"receipt {receipt['receipt_id']} of tenant {receipt.get('tenant_id')} is in chain {receipt['chain']}")
        heads[receipt["chain"]] = (receipt["seq"], hashlib.sha256(raw).hexdigest())


def endings_of(receipts):
    endings = collections.defaultdict(list)
    for position, (receipt, _) in enumerate(receipts):
        if "ending" in receipt:
            endings[(receipt["tenant_id"], receipt["entitlement_id"], receipt["signal_id"])].append((position, receipt))
    return endings


def check_endings(history, endings, bad):
    """No loss, no invention, one ending per identity and hash."""
    for identity, signal in history.signals.items():
        found = endings.get(identity, [])
        if signal["outcome"] == "ok" and len(found) != 1:
            bad(f"{identity}: answered 202, {len(found)} endings")
        if signal["outcome"] == "fail" and found:
            bad(f"{identity}: refused, yet ended {found[0][1]['ending']}")
        if len(found) > 1:
            bad(f"{identity}: {len(found)} endings")
        for _, receipt in found:
            if receipt["signal_sha256"] != signal["sha256"]:
                bad(f"{identity}: ended with another body's hash")
    for identity in endings:
        if identity not in history.signals:
            bad(f"{identity}: ended, but nobody sent it")


def check_order(history, endings, bad):
    """a's 202 before b's POST, same governor: a decided before b."""
    governors = collections.defaultdict(list)
    for identity, signal in history.signals.items():
        if signal["outcome"] == "ok" and endings.get(identity):
            governors[identity[:2]].append((signal["invoked"], signal["completed"], endings[identity][0][0], identity))
    for signals in governors.values():
        signals.sort(key=lambda s: s[1])
        by_completion = iter(signals)
        done, latest = next(by_completion, None), (-1, None)
        for invoked, _, position, identity in sorted(signals):
            while done and done[1] < invoked:
                latest = max(latest, (done[2], done[3]), key=lambda s: s[0])
                done = next(by_completion, None)
            if position < latest[0]:
                bad(f"{identity} was posted after {latest[1]} was accepted, but decided before it")


def check_checkpoints(history, receipts, bad):
    """Every checkpoint anyone saw is a prefix of the log."""
    leaves = [leaf(raw) for _, raw in receipts]
    for size, root in sorted(set(history.checkpoints)):
        if size > len(leaves):
            bad(f"a checkpoint of size {size} was published, the log has {len(leaves)}")
        elif root_of(leaves[:size]) != root:
            bad(f"the checkpoint of size {size} is not a prefix of the log")


def check(history, receipts, show=20):
    """All invariants; returns the list of violations (empty: all hold)."""
    violations = []
    endings = endings_of(receipts)
    check_chains(receipts, violations.append)
    check_endings(history, endings, violations.append)
    check_order(history, endings, violations.append)
    check_checkpoints(history, receipts, violations.append)
    for violation in violations[:show]:
        print("violation:", violation)
    if len(violations) > show:
        print(f"… and {len(violations) - show} more")
    return violations
