#!/usr/bin/python3
"""The history checker is itself checked: planted.py TAI-CHAOS [--seed S] [BUG…]

Each planted bug runs in real processes under load and faults, until the checker says so; one that it does not notice within
ROUNDS data sets fails the test, and so does a run without a bug that is said to have one."""
import argparse
import dataclasses
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

ROUNDS = 6


@dataclasses.dataclass
class Bug:
    """What must be said of it; how it is provoked."""
    says: str
    cycles: int = 4
    env: dict = dataclasses.field(default_factory=dict)
    load: dict = dataclasses.field(default_factory=dict)
    between: tuple = (0.02, 0.3)
    kinds: tuple = harness.KINDS
    jumps: bool = False


FULL = {"TAI_CHAOS_VFS": "volatile", "TAI_CHAOS_FULL": "150"}
KILLS = ("both", "worker", "stopped")
LONGER = (0.7, 1.0)     # the disk is full for the first time after 450 ms
ORDERS = {"operators": 3, "tenants": 1, "entitlements": 3}
BUGS = {
    "early_202": Bug("answered 202, no ending", cycles=6, kinds=KILLS),
    "publish_lost": Bug("answered 202, no ending", cycles=1),
    "nack_as_ack": Bug("answered 202, no ending", cycles=2, env=FULL, between=LONGER),
    "tenant_swapped": Bug("nobody sent it", cycles=1),
    "frames_reordered": Bug("decided before it", cycles=1, load={"entitlements": 1, "tenants": 1, "pause": 0.002}),
    "settle_early": Bug("answered 202, no ending", kinds=KILLS),
    "drain_forgets": Bug("answered 202, no ending", kinds=("term",), env={"TAI_CHAOS_SLOW": "60"}),
    "dedupe_skipped": Bug("2 endings", cycles=1),
    "commit_rolled_back": Bug("answered 202, no ending", cycles=1),
    "outcome_dropped": Bug("no ending|no receipt", cycles=1),
    "outcomes_swapped": Bug("not drained|nobody sent it|is in chain", cycles=1),
    "row_dropped": Bug("has no row", cycles=1),
    "governor_lost": Bug("its receipts say"),
    "counter_wrong": Bug("taken and requeued", cycles=1),
    "quota_ignored": Bug("its quota is", cycles=1, load={"entitlements": 1, "tenants": 2, "renew": 100000}),
    "receipt_twice": Bug("stands in the log twice|2 endings", cycles=1),
    "previous_foreign": Bug("previous_hash is not", cycles=1),
    "seq_skipped": Bug(r"seq \d+ after|not drained", cycles=1),
    "command_lost": Bug("answered 202, but is not there", cycles=1, load=ORDERS),
    "command_twice": Bug("2 operator receipts|still pending|resolved twice", cycles=2, load=ORDERS),
    "requeue_lost": Bug("requeued, no ending", cycles=2, load=ORDERS),
    "discard_unreceipted": Bug("applied, with 0 operator receipts", cycles=1, load=ORDERS),
    "letter_lost": Bug("is not open, though nobody resolved it", cycles=1, load=ORDERS),
    "wall_trusted": Bug("signals ended as too_old", cycles=8, kinds=KILLS, jumps=True),
    "checkpoint_early": Bug("a checkpoint of size|the checkpoint of size|not drained", kinds=KILLS),
}


def trial(binary, seed, bug=None, plan=Bug("")):
    env = {**plan.env, **({"TAI_CHAOS_BUG": bug} if bug else {})}
    load = harness.Load(**{"clients": 4, "pause": 0.004, "sizes": (1, 1, 5, 30), "refund": 0.005, **plan.load})
    run = harness.Trial(binary, seed, plan.cycles, env=env, load=load, between=plan.between, kinds=plan.kinds,
                        jumps=plan.jumps)
    if bug:     # what does not come to rest need not be waited for long
        run.config += "shutdown:\n  timeout: 500ms\n"
        run.timeout, run.show = 2, 0
    return run.run()


def caught(binary, seed, bug, plan):
    """In which round and by what, or None."""
    others = []
    for number in range(1, ROUNDS + 1):
        run = trial(binary, seed + number, bug, plan)
        run.forget()
        for text in run.violations:
            if re.search(plan.says, text):
                return number, text, len(run.violations)
        others += run.violations[:3]
    harness.say(f"  {bug}: said instead: {others}")
    return None


CONTROLS = {"no bug": Bug(""), "no bug, disk full now and then": Bug("", env=FULL, between=LONGER)}


def control(options, name, plan):
    run = trial(options.tai_chaos, options.seed, plan=plan)
    harness.say(f"{'FAILED' if run.violations else 'ok    '} {name}: {run.summary()}")
    run.forget()
    return not run.violations


def planted(options, bug, plan):
    began = time.monotonic()
    found = caught(options.tai_chaos, options.seed, bug, plan)
    took = time.monotonic() - began
    if found:
        harness.say(f"ok     {bug}: caught in round {found[0]} ({found[2]} violations, {took:.1f} s), as: {found[1]}")
    else:
        harness.say(f"FAILED {bug}: not caught in {ROUNDS} rounds ({took:.1f} s)")
    return bool(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai_chaos")
    parser.add_argument("bugs", nargs="*")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    harness.adopt_orphans()
    harness.say(f"seed {options.seed}")
    tasks = [(control, options, name, plan) for name, plan in CONTROLS.items()]
    tasks += [(planted, options, bug, BUGS[bug]) for bug in options.bugs or BUGS]
    return 0 if all(harness.two_at_a_time(tasks)) else 1


if __name__ == "__main__":
    sys.exit(main())
