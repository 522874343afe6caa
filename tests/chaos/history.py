"""The history checker: what clients saw against what the receipts, rows and counters say.

Clients record every attempt: `ok` (202), `fail` (a definite refusal before the queue) or `info` (time-out, reset, 503 or any
other 5xx: it may appear zero or one time). A signal that was sent again has the best of its outcomes. A receipt with `ending`
is terminal."""
import collections
import hashlib
import json
import threading

import history_commands

ATTEMPTS = {"fail": 0, "info": 1, "ok": 2}


class History:
    """Append-only, on the recorder's monotonic clock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.signals = {}       # (tenant, entitlement, id) -> {"sha256", "outcome", "invoked", "completed", "event", "open"}
        self.identities = []    # the keys of signals
        self.commands = {}      # command_id -> what was ordered, "outcome"
        self.checkpoints = []   # (size, root) as seen, oldest first

    def invoke(self, identity, sha256, now, event=False):
        with self.lock:
            if identity not in self.signals:
                self.identities.append(identity)
            signal = self.signals.setdefault(identity, {"sha256": sha256, "outcome": "fail", "invoked": now,
                                                        "completed": None, "event": event, "open": 0})
            signal["open"] += 1     # attempts without an answer yet

    def complete(self, identity, outcome, now):
        with self.lock:
            signal = self.signals[identity]
            signal["open"] -= 1
            signal["outcome"] = max(signal["outcome"], outcome, key=ATTEMPTS.get)
            signal["refused"] = signal.get("refused") or outcome != "ok"
            if outcome == "ok" and signal["completed"] is None:
                signal["completed"] = now

    def some_identity(self, rng):
        """One of the latest that were sent, or None."""
        with self.lock:
            return rng.choice(self.identities[-200:]) if self.identities else None

    def order(self, command_id, command):
        with self.lock:
            self.commands[command_id] = {**command, "outcome": "fail"}

    def answered(self, command_id, outcome):
        with self.lock:
            command = self.commands[command_id]
            command["outcome"] = max(command["outcome"], outcome, key=ATTEMPTS.get)

    def saw_checkpoint(self, size, root):
        with self.lock:
            if not self.checkpoints or self.checkpoints[-1] != (size, root):
                self.checkpoints.append((size, root))

    def outcomes(self):
        with self.lock:
            return collections.Counter(outcome_of(signal) for signal in self.signals.values())


def outcome_of(signal):
    return "info" if signal.get("open") and signal["outcome"] == "fail" else signal["outcome"]


def read_export(path):
    """The receipts of an export in log order, one by one: (parsed, exact bytes)."""
    with open(path, "rb") as lines:
        for line in lines:
            if line.startswith(b"r "):
                raw = line[2:].rstrip(b"\n")
                yield json.loads(raw), raw


def sha256(data):
    return hashlib.sha256(data).digest()


class Tree:
    """RFC 6962, leaf by leaf."""

    def __init__(self):
        self.size, self.frontier = 0, []    # (height, root) of the perfect subtrees, largest first

    def append(self, raw):
        height, node = 0, sha256(b"\x00" + raw)
        while self.frontier and self.frontier[-1][0] == height:
            node = sha256(b"\x01" + self.frontier.pop()[1] + node)
            height += 1
        self.frontier.append((height, node))
        self.size += 1

    def root(self):
        if not self.frontier:
            return sha256(b"")
        node = self.frontier[-1][1]
        for _, left in reversed(self.frontier[:-1]):
            node = sha256(b"\x01" + left + node)
        return node


class Replay:
    """Reads the log once, in order: chains, endings, governors rebuilt from their receipts, their quota, what operators did,
    roots at the sizes that were published."""

    def __init__(self, bad, published=(), quota_limit=None):
        self.bad, self.quota_limit = bad, quota_limit
        self.desk = history_commands.Desk(bad)
        self.used = collections.Counter()               # by governor, since its quota was last reset
        self.heads = {}                                 # chain -> (seq, hash)
        self.endings = collections.defaultdict(list)    # (*identity, redrive) -> [(position, ending, sha256, reason)]
        self.refusals = []                              # by ingress: (*identity, sha256), where it is told
        self.governors = collections.defaultdict(dict)  # (tenant, entitlement) -> fields
        self.ids = set()
        self.tree, self.sizes = Tree(), collections.Counter(size for size, _ in published)
        self.roots = {0: self.tree.root()}

    def add(self, receipt, raw):
        self.check_chain(receipt, raw)
        if receipt["receipt_id"] in self.ids:
            self.bad(f"receipt {receipt['receipt_id']} stands in the log twice")
        self.ids.add(receipt["receipt_id"])
        key = (receipt.get("tenant_id"), receipt.get("entitlement_id"))
        if "ending" in receipt:
            self.endings[history_commands.identity_of(receipt)].append(
                (self.tree.size, receipt["ending"], receipt["signal_sha256"], receipt.get("reason")))
        elif receipt["type"] == "refusal" and "signal_sha256" in receipt:
            self.refusals.append((*key, receipt.get("signal_id"), receipt["signal_sha256"]))
        self.desk.add(self.tree.size, receipt)
        self.check_state(key, self.governors[key], receipt)
        self.check_quota(key, receipt)
        self.tree.append(raw)
        if self.tree.size in self.sizes:
            self.roots[self.tree.size] = self.tree.root()

    def check_state(self, key, governor, receipt):
        """Each receipt begins where the one before left the governor."""
        before = receipt.get("state_before")
        if before and governor.get("state", before) != before:
            self.bad(f"governor {key}: {receipt['receipt_id']} begins in state {before}, but it was {governor['state']}")
        if receipt.get("reason") == "governor_halted" and governor.get("state") != "halted":
            self.bad(f"{history_commands.identity_of(receipt)}: governor_halted, but it was {governor.get('state')}")
        if "state_after" in receipt:
            governor["state"] = receipt["state_after"]
        governor.update((receipt.get("body") or {}).get("governor") or {})

    def check_quota(self, key, receipt):
        """No governor allows more than its quota, which only operators reset here. Events cost nothing."""
        if (receipt.get("body") or {}).get("command") == "reset-quota":
            self.used[key] = 0
        if receipt["type"] == "action_success":
            self.used[key] += 1
            if self.quota_limit is not None and self.used[key] > self.quota_limit:
                self.bad(f"governor {key}: {self.used[key]} executed, its quota is {self.quota_limit}")

    def check_chain(self, receipt, raw):
        chain = receipt["chain"]
        seq, previous = self.heads.get(chain, (0, "0" * 64))
        if receipt["seq"] != seq + 1:
            self.bad(f"chain {chain}: seq {receipt['seq']} after {seq}")
        if receipt["previous_hash"] != previous:
            self.bad(f"chain {chain} seq {receipt['seq']}: previous_hash is not the hash of the one before")
        if chain != receipt.get("tenant_id", "_system"):
            self.bad(f"receipt {receipt['receipt_id']} of tenant {receipt.get('tenant_id')} is in chain {chain}")
        self.heads[chain] = (receipt["seq"], hashlib.sha256(raw).hexdigest())


def check_endings(history, endings, bad):
    """No loss, no invention, one ending per identity and hash."""
    for identity, signal in history.signals.items():
        found, outcome = endings.get((*identity, 0), []), outcome_of(signal)
        if outcome == "ok" and not found:
            bad(f"{identity}: answered 202, no ending")
        if outcome == "fail" and found:
            bad(f"{identity}: refused, yet ended {found[0][1]}")
        if len(found) > 1:
            bad(f"{identity}: {len(found)} endings")
        for _, ending, digest, _ in found:
            if digest != signal["sha256"]:
                bad(f"{identity}: ended {ending} with another body's hash")
    for identity in endings:
        if identity[:3] not in history.signals:
            bad(f"{identity}: ended, but nobody sent it")


def check_refusals(history, refusals, bad):
    """What ingress says it refused was sent, with those bytes, and was answered so at least once (or not at all)."""
    for *identity, digest in refusals:
        signal = history.signals.get(tuple(identity))
        if None in identity or signal is None:
            continue    # sent by nobody who keeps a history, or without a name that was taken down
        if digest != signal["sha256"]:
            bad(f"{tuple(identity)}: refused with another body's hash")
        elif not signal.get("refused") and not signal["open"]:
            bad(f"{tuple(identity)}: a receipt says it was refused, its sender was never told so")


def decided(ending):
    return ending[1] != "deadlettered" or ending[3] == "governor_halted"


def check_order(history, endings, bad):
    """a's 202 before b's POST, same governor: a decided before b. Events apart: they may overtake waiting signals; and so do
    dead letters that no governor decides, such as poison after two crashes."""
    governors = collections.defaultdict(list)
    for identity, signal in history.signals.items():
        found = endings.get((*identity, 0))
        if signal["outcome"] == "ok" and found and decided(found[0]):
            governors[(*identity[:2], signal["event"])].append(
                (signal["invoked"], signal["completed"], found[0][0], identity))
    for signals in governors.values():
        by_completion = iter(sorted(signals, key=lambda s: s[1]))
        done, latest = next(by_completion, None), (-1, None)
        for invoked, _, position, identity in sorted(signals):
            while done and done[1] < invoked:
                latest = max(latest, (done[2], done[3]), key=lambda s: s[0])
                done = next(by_completion, None)
            if position < latest[0]:
                bad(f"{identity} was posted after {latest[1]} was accepted, but decided before it")


def check_checkpoints(history, replay, bad):
    """Every checkpoint anyone saw is a prefix of the log, and no later one is shorter."""
    last = 0
    for size, root in history.checkpoints:
        if size > replay.tree.size:
            bad(f"a checkpoint of size {size} was published, the log has {replay.tree.size}")
        elif replay.roots.get(size) != root:
            bad(f"the checkpoint of size {size} is not a prefix of the log")
        if size < last:
            bad(f"a checkpoint of size {size} was published after one of size {last}")
        last = max(last, size)


def check_governors(replay, governors, bad):
    """The governors as the service shows them are those their receipts lead to."""
    shown = {(g["tenant_id"], g["entitlement_id"]): g for g in governors}
    for key, fields in replay.governors.items():
        if "state" not in fields:
            continue
        governor = shown.get(key)
        if not governor:
            bad(f"governor {key} has receipts, but is not there")
            continue
        for name in ("state", "quota_used", "entitlement", "refund_open", "quota_limit"):
            if name in fields and fields[name] != governor[name]:
                bad(f"governor {key}: {name} is {governor[name]!r}, its receipts say {fields[name]!r}")
    for key in shown:
        if key not in replay.governors:
            bad(f"governor {key} is there without a receipt")


def check_rows(replay, rows, bad):
    """rows: (tenant, entitlement, id, redrive) -> status of ended signals; each is the row of an ending, and each ending has one.
    Further bodies under an identity end as well, in rows of their own."""
    for identity, found in replay.endings.items():
        if identity not in rows:
            bad(f"{identity}: ended, but has no row")
        elif rows[identity] not in {ending[1] for ending in found}:
            bad(f"{identity}: its row says {rows[identity]}, its receipt {found[-1][1]}")
    for identity, status in rows.items():
        if identity not in replay.endings:
            bad(f"{identity}: its row says {status}, but it has no receipt")


def check_totals(replay, totals, bad):
    """The counters conserve: what was taken has ended, was a duplicate, or is there."""
    signals = totals["signals"]
    taken = signals["taken"] + signals["requeued"]
    found = signals["ended"] + signals["duplicates"] + signals["waiting"] + signals["acting"]
    endings = sum(len(found) for found in replay.endings.values())
    if taken != found:
        bad(f"taken and requeued are {taken}; ended, duplicates, waiting and acting {found}")
    if signals["ended"] != endings:
        bad(f"{signals['ended']} counted as ended, {endings} endings in the log")
    for name, value in totals.get("conservation", {}).items():
        if value:
            bad(f"the service itself finds a conservation {name} of {value}")
    if totals["deadletters"]["open"] != len(replay.desk.letters) - len(replay.desk.resolved):
        bad(f"{totals['deadletters']['open']} dead letters counted as open, {len(replay.desk.letters)} came and "
            f"{len(replay.desk.resolved)} were resolved")
    if totals["receipts"] != replay.tree.size:
        bad(f"{totals['receipts']} receipts counted, {replay.tree.size} in the log")


class Violations(list):
    """What does not hold; says the first few at once."""

    def __init__(self, show=20):
        super().__init__()
        self.show, self.endings, self.operations = show, collections.Counter(), collections.Counter()

    def add(self, text):
        self.append(text)
        if len(self) <= self.show:
            print("violation:", text, flush=True)
        elif len(self) == self.show + 1 and self.show:
            print("…", flush=True)


def check(history, receipts, violations=None, totals=None, governors=None, rows=None, commands=None, letters=None,
          quota_limit=None):
    """All invariants that what is given allows to check; returns the list of violations (empty: all hold), which also
    counts the endings."""
    violations = Violations() if violations is None else violations
    replay = Replay(violations.add, history.checkpoints, quota_limit)
    for receipt, raw in receipts:
        replay.add(receipt, raw)
    violations.endings = collections.Counter(ending[1] if ending[1] != "deadlettered" else ending[3]
                                             for found in replay.endings.values() for ending in found)
    violations.operations = collections.Counter(receipt["body"]["command"] for found in replay.desk.receipts.values()
                                                for _, receipt in found)
    check_endings(history, replay.endings, violations.add)
    check_refusals(history, replay.refusals, violations.add)
    check_order(history, replay.endings, violations.add)
    check_checkpoints(history, replay, violations.add)
    history_commands.check_redrives(history, replay.desk, replay.endings, violations.add)
    if commands is not None:
        history_commands.check_commands(history, replay.desk, commands, violations.add)
    if letters is not None:
        history_commands.check_letters(replay.desk, letters, violations.add)
    if totals is not None:
        check_totals(replay, totals, violations.add)
    if governors is not None:
        check_governors(replay, governors, violations.add)
    if rows is not None:
        check_rows(replay, rows, violations.add)
    return violations
