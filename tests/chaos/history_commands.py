"""The part of the history checker that is about operators: commands, dead letters, redrives.

Each command given has the best outcome of its attempts, as signals have. One that was answered 202 ends applied or
rejected; one applied has exactly one operator receipt, one rejected none."""
import collections

RESOLVE = ("requeue", "discard")


class Desk:
    """What a replay of the log knows of operators: its receipts, the dead letters that came, what each became."""

    def __init__(self, bad):
        self.bad = bad
        self.receipts = collections.defaultdict(list)   # command_id -> [(position, receipt)]
        self.letters = {}                               # id -> (position, identity with redrive, sha256)
        self.resolved = {}                              # id -> (position, receipt)

    def add(self, position, receipt):
        if receipt.get("ending") in ("deadlettered", "failed"):
            self.letters[receipt["receipt_id"]] = (position, identity_of(receipt), receipt["signal_sha256"])
        if receipt["type"] == "operator":
            self.receipts[receipt["body"]["command_id"]].append((position, receipt))
            if receipt["body"]["command"] in RESOLVE:
                self.resolve(position, receipt)

    def resolve(self, position, receipt):
        letter = receipt["body"]["deadletter_id"]
        found = self.letters.get(letter)
        if not found or found[1:] != (identity_of(receipt), receipt["signal_sha256"]):
            self.bad(f"{receipt['body']['command_id']} resolves {letter}, which is no dead letter of {identity_of(receipt)}")
        if letter in self.resolved:
            self.bad(f"dead letter {letter} was resolved twice")
        self.resolved[letter] = (position, receipt)


def identity_of(receipt):
    return tuple(receipt.get(name) for name in ("tenant_id", "entitlement_id", "signal_id")) + (receipt.get("redrive", 0),)


def check_commands(history, desk, shown, bad):
    """shown: command_id -> status as the service tells it, for those it knows."""
    for command_id, command in history.commands.items():
        receipts, status = desk.receipts.get(command_id, []), shown.get(command_id)
        name = f"command {command_id} ({command['command']})"
        if command["outcome"] == "ok" and not status:
            bad(f"{name}: answered 202, but is not there")
        if command["outcome"] == "fail" and (status or receipts):
            bad(f"{name}: refused, yet {status}")
        if status == "pending":
            bad(f"{name}: still pending")
        if len(receipts) != (status == "applied"):
            bad(f"{name}: {status}, with {len(receipts)} operator receipts")
        for _, receipt in receipts:
            said = (receipt["body"]["command"], receipt["body"]["operator"], receipt.get("tenant_id"),
                    receipt.get("entitlement_id"), receipt["body"].get("deadletter_id"))
            if said != tuple(command[part] for part in ("command", "operator", "tenant", "entitlement", "deadletter")):
                bad(f"{name}: its receipt says {said}")
            if command["command"] == "halt" and receipt.get("state_after") != "halted":
                bad(f"{name}: state {receipt.get('state_after')} afterwards")
    for command_id in desk.receipts:
        if command_id not in history.commands:
            bad(f"command {command_id} has a receipt, but nobody gave it")


def check_redrives(history, desk, endings, bad):
    """A requeue gives its signal exactly one more ending, with the bytes it was requeued with; nothing else does."""
    requeued = {}
    for letter, (position, receipt) in desk.resolved.items():
        if receipt["body"]["command"] != "requeue":
            continue
        identity = identity_of(receipt)
        following = (*identity[:3], identity[3] + 1)
        requeued[following] = letter
        found = endings.get(following, [])
        if len(found) != 1:
            bad(f"{identity}: requeued, then {len(found)} endings" if found else f"{identity}: requeued, no ending")
        edited = receipt["body"].get("edited_sha256")
        sent = history.commands.get(receipt["body"]["command_id"], {}).get("edited")
        if edited != sent:
            bad(f"{identity}: its receipt says edited to {edited}, what was sent hashes to {sent}")
        for at, _, digest, _ in found:
            if at < position or digest != (edited or receipt["signal_sha256"]):
                bad(f"{following}: ended before its requeue or with other bytes")
    for identity in endings:
        if identity[3] and identity not in requeued:
            bad(f"{identity}: ended, but nobody requeued it")


def check_letters(desk, shown, bad):
    """shown: the ids listed as open."""
    open_now = desk.letters.keys() - desk.resolved.keys()
    for letter in sorted(open_now - shown):
        bad(f"dead letter {letter} of {desk.letters[letter][1]} is not open, though nobody resolved it")
    for letter in sorted(shown - open_now):
        bad(f"dead letter {letter} is open, though it was {'resolved' if letter in desk.resolved else 'never one'}")
