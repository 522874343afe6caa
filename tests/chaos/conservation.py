#!/usr/bin/python3
"""What is lost inside shows itself: conservation.py TAI-CHAOS

Three services at once: one whose queue forgets frames, one whose counters are wrong, one without a bug. The first two must
say so in the metric, in the status and in the log, each in its own way; the third must stay at 0."""
import argparse
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from checks import wait_for  # noqa: E402

GAP, BALANCE = "tai_conservation_gap_signals", "tai_conservation_balance"
CASES = {  # bug: (metric that shows it, member of the status, what `tai status` says)
    "frame_lost": (GAP, "gap", "accepted frames that never came"),
    "counter_wrong": (BALANCE, "balance", "signals more taken than accounted for"),
    "": (None, None, "all that was taken is accounted for"),
}


def look(binary, bug, bad):
    metric, member, said = CASES[bug]
    with harness.Service(binary, env={"TAI_CHAOS_BUG": bug}) as service:
        def post(number):
            status = service.post({"id": f"s{number}", "tenant_id": "acme", "entitlement_id": "e", "type": "usage"})[0]
            if status != 202:
                bad(f"{bug}: answered {status}")
            return number

        sent = [post(i) for i in range(60)]
        if metric:
            wait_for(f"the status under {bug}", lambda: service.totals()["conservation"][member])
            wait_for(f"{metric} under {bug}", lambda: service.metric(metric) == service.totals()["conservation"][member])
            wait_for(f"the log under {bug}", lambda: '"event":"conservation_broken"' in service.log())
        else:
            wait_for("all to end", lambda: service.totals()["signals"]["ended"] == len(sent))
        values = service.totals()["conservation"]
        shown = service.cli("status").stdout
        if any(value for name, value in values.items() if name != member):
            bad(f"{bug or 'no bug'}: {values}")
        if not any(line.startswith("conservation") and said in line for line in shown.splitlines()):
            bad(f"{bug or 'no bug'}: tai status says\n{shown}")
        service.kill()  # what is lost would not be drained
        harness.say(f"{bug or 'no bug'}: {values}: {next((x for x in shown.splitlines() if x.startswith('conserv')), '')}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai_chaos")
    options = parser.parse_args()
    found = []

    def run(bug):
        try:
            look(options.tai_chaos, bug, found.append)
        except (RuntimeError, OSError) as error:
            found.append(str(error))

    threads = [threading.Thread(target=run, args=(bug,)) for bug in CASES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in found:
        print("FAILED", text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
