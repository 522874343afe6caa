#!/usr/bin/python3
"""The control: control.py TAI-CHAOS [--cycles N] [--seed S]

kill -9 keeps the page cache. Here what is not synced dies with the process (shim/volatile_….c), as in a power cut: with
fsync kept nothing may be lost, also when some unsynced writes reached the disk; with fsync skipped the checker must see
the loss, or the kill cycles prove nothing."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

VOLATILE = {"TAI_CHAOS_VFS": "volatile", "TAI_CHAOS_FILES": "volatile"}
KEPT = {"fsync kept": {}, "fsync kept, every other unsynced write survives": {"TAI_CHAOS_WRITEBACK": "2"},
        "fsync kept, one unsynced write in 20 survives": {"TAI_CHAOS_WRITEBACK": "20"}}
SKIPPED = {"fsync skipped": {"TAI_CHAOS_NOSYNC": "0"},
           "fsync skipped, every other write survives": {"TAI_CHAOS_NOSYNC": "0", "TAI_CHAOS_WRITEBACK": "2"},
           "fsync skipped from the first 200 ms on": {"TAI_CHAOS_NOSYNC": "200"},
           "fsync skipped for the database alone": {"TAI_CHAOS_NOSYNC": "0", "TAI_CHAOS_FILES": ""}}


def kept(options, name, env):
    run = harness.Trial(options.tai_chaos, options.seed, options.cycles, env={**VOLATILE, **env}).run()
    harness.say(f"{'FAILED' if run.violations else 'ok    '} {name}: {run.summary()}")
    if run.violations:
        harness.say(f"data kept in {run.data}\n{run.service.log()}")
        return False
    run.forget()
    return True


def skipped(options, name, env):
    """kill -9 under load, then the loss must be said."""
    run = harness.Trial(options.tai_chaos, options.seed, 3, env={**VOLATILE, **env}, timeout=3, show=0,
                        kinds=("both",), between=(0.3, 0.5))
    run.config += "shutdown:\n  timeout: 500ms\n"
    run.run()
    run.forget()
    lost = [text for text in run.violations if "answered 202, no ending" in text]
    others = [text for text in run.violations if text not in lost]
    harness.say(f"{'ok    ' if lost else 'FAILED'} {name}: {len(lost)} of {run.outcomes['ok']} accepted signals said to be lost; "
                f"also: {others[0].strip().splitlines()[-1][:300] if others else 'nothing'}")
    return bool(lost)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai_chaos")
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    harness.adopt_orphans()
    harness.say(f"seed {options.seed}, {options.cycles} cycles")
    tasks = [(kept, options, name, env) for name, env in KEPT.items()]
    tasks += [(skipped, options, name, env) for name, env in SKIPPED.items()]
    return 0 if all(harness.two_at_a_time(tasks)) else 1


if __name__ == "__main__":
    sys.exit(main())
