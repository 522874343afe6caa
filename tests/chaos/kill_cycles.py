#!/usr/bin/python3
"""kill -9 under load: kill_cycles.py TAI [--cycles N] [--seed S] [--per-data-set M]

Clients post singles and batches without pause, repeat some, open and close refunds, while worker and supervisor are killed,
stalled and stopped at random instants. Afterwards every 202 must have exactly one ending, decided in order, every chain be
whole, every published checkpoint a prefix of the log, governors and rows be what the receipts lead to, the counters
conserve, and the export verify offline; `config check --data` finds nothing after a kill or at the end."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--per-data-set", type=int, default=250, help="cycles before a new data set is begun")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    harness.adopt_orphans()
    print(f"seed {options.seed}, {options.cycles} cycles", flush=True)
    left, number, bad = options.cycles, 0, 0
    while left > 0:
        trial = harness.Trial(options.tai, options.seed + number, min(left, options.per_data_set),
                              check_data=True).run()
        print(trial.summary(), flush=True)
        if trial.violations or not trial.outcomes["ok"]:
            bad += 1
            print(f"data kept in {trial.data}\n{trial.service.log()}")
        else:
            trial.forget()
        left, number = left - trial.cycles, number + 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
