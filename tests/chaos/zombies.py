#!/usr/bin/python3
"""A worker that is stopped and not dead: zombies.py TAI-CHAOS [--rounds N] [--seed S]

Under load the worker is stopped in the middle of what it does and its supervisor killed: whoever starts on the same data
must be told that it is in use, and with the data lock defeated (planted lock_ignored) the database must still keep it out.
Then the zombie goes on, finds its lifeline gone and ends, and a new service goes on where it was: the history checker must
find nothing."""
import argparse
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

BUSY = 6    # exit code of a start on data that is in use


def second(service, bug):
    """Starts another service on the data of the first; how that ended: (exit code, what it said)."""
    other = harness.Service(service.binary, data=service.data, env={**service.env, "TAI_CHAOS_BUG": bug})
    other.log_path = os.path.join(service.data, "second.log")
    open(other.log_path, "w", encoding="utf-8").close()
    try:
        other.start(20)
    except RuntimeError:
        return other.process.wait(20), other.log()
    other.kill()
    return 0, "it served"


def zombie(trial):
    service, violations = trial.service, trial.violations
    worker = service.worker()
    os.kill(worker, signal.SIGSTOP)
    service.process.kill()
    service.process.wait()
    for bug, wanted in (("", "is in use by another tai run"), ("lock_ignored", "another process has the database open")):
        code, said = second(service, bug)
        if code != BUSY or wanted not in said:
            violations.add(f"a second service beside a zombie{' without the data lock' if bug else ''}: exit code {code}, {said}")
    os.kill(worker, signal.SIGCONT)
    harness.reap(worker)
    began = time.monotonic()
    service.restart()
    return "zombie", service.serving() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai_chaos")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    harness.adopt_orphans()
    print(f"seed {options.seed}", flush=True)
    trial = harness.Trial(options.tai_chaos, options.seed, options.rounds, fault=zombie).run()
    print(f"{'FAILED' if trial.violations else 'ok    '} {trial.summary()}")
    if not trial.violations:
        trial.forget()
    return 1 if trial.violations else 0


if __name__ == "__main__":
    sys.exit(main())
