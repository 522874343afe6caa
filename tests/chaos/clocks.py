#!/usr/bin/python3
"""The wall clock jumps: clocks.py TAI-CHAOS [--seed S]

Real processes whose wall clock (shim/clock.c) is moved by hours to years, forwards and back, while they run and between a
kill -9 or a stop and the next start; their monotonic clock goes on. Under load the history checker must find nothing, and
no signal may end for its age. Beside it, one governor after the other: timers and waits do not move, quota periods do."""
import argparse
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from checks import ended, wait_for  # noqa: E402

DAY, YEAR = harness.DAY, harness.YEAR


def under_load(binary, seed, report):
    """Jumps, some of them between an end and a start, under the load and the operator of the kill cycles."""
    trial = harness.Trial(binary, seed, 12, load=harness.Load(renew=200), between=(0.1, 0.25), jumps=True,
                          kinds=("jump", "jump", "jump", "worker", "both", "term")).run()
    report(trial.violations, "jumps under load: " + trial.summary())
    trial.forget()


class Story:
    """Some governors and a clock; what should be is written down as violations where it is not."""

    def __init__(self, binary, seed):
        self.data = tempfile.mkdtemp(prefix="tai-clocks-")
        self.clock, self.history = harness.Clock(self.data), harness.checker.History()
        self.violations = harness.checker.Violations()
        config = os.path.join(self.data, "config.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("entitlements:\n  auto_activate: false\ngovernor:\n  boot_timeout: 4s\n  max_wait: 24h\n")
        self.service = harness.Service(binary, data=self.data, config=config, env={"TAI_CHAOS_CLOCK": self.clock.path})
        self.client = harness.Client(0, self.service, self.history, harness.Load(), seed)
        self.service.start()

    def equal(self, what, got, want):
        if got != want:
            self.violations.add(f"{what}: {got!r}, not {want!r}")

    def send(self, identity, entitlement, kind="usage", **more):
        self.client.attempt([self.client.pack({"id": identity, "tenant_id": "acme", "entitlement_id": entitlement,
                                               "type": kind, **more})])

    def ends(self, identity, entitlement, **more):
        """How a signal ends."""
        self.send(identity, entitlement, **more)
        answer = ended(self.service, identity, "acme", entitlement)
        return answer["status"]

    def state(self, entitlement):
        return self.service.get(f"/v1/governors/acme/{entitlement}")[1].get("state")

    def becomes(self, what, entitlement, state):
        try:
            wait_for(what, lambda: self.state(entitlement) == state, 10)
        except RuntimeError as error:
            self.violations.add(f"{error}; it is {self.state(entitlement)}")

    def activate(self, entitlement, **data):
        self.send("activate-" + entitlement, entitlement, "tai.entitlement.activated", data=data)
        ended(self.service, "activate-" + entitlement, "acme", entitlement)


def quota(story):
    """Two a day: the next day opens it again, a day that comes back does not forget what was used."""
    story.activate("daily", quota_limit=2, quota_period="day")
    story.equal("two a day", [story.ends(f"today-{i}", "daily") for i in range(3)], ["executed", "executed", "refused"])
    story.clock.set(DAY)
    story.becomes("the next day", "daily", "active")
    story.equal("the next day's", [story.ends(f"next-{i}", "daily") for i in range(3)], ["executed", "executed", "refused"])
    story.clock.set(-2 * YEAR)
    story.equal("two years back", story.ends("back", "daily"), "refused")
    time.sleep(1.2)     # a second, in which timers are looked at
    story.equal("still", story.state("daily"), "suspended")
    story.clock.set(-2 * YEAR + DAY)
    story.becomes("a day later", "daily", "active")
    story.equal("used again", [story.ends(f"again-{i}", "daily") for i in range(3)], ["executed", "executed", "refused"])
    story.service.kill()
    story.clock.set(5 * YEAR)
    story.service.restart()
    story.client.connection = None
    story.becomes("a restart years ahead", "daily", "active")
    story.equal("there", story.ends("there", "daily"), "executed")


def waits(story):
    """Neither a wait nor a timer is shortened or stretched by the jumps made meanwhile."""
    story.activate("held")
    story.send("refund", "held", "tai.entitlement.refund_started")
    story.send("held-1", "held")
    story.send("boots", "boot")
    began = time.monotonic()
    return began


def waited(story, began):
    story.becomes("boot times out", "boot", "degraded")
    took = time.monotonic() - began
    story.equal("it did not before its time", took >= 3.9, True)
    status = story.service.get("/v1/signals/held-1?tenant_id=acme&entitlement_id=held")[1]["status"]
    story.equal("it still waits", status, "waiting")
    story.send("refunded", "held", "tai.entitlement.refund_completed")
    story.equal("released", ended(story.service, "held-1", "acme", "held")["status"], "executed")


def told(binary, seed, report):
    story = Story(binary, seed)
    try:
        began = waits(story)
        quota(story)
        waited(story, began)
    except (RuntimeError, OSError) as error:
        story.violations.add(f"the story broke off: {error}")
    harness.check(story.service, story.history, story.violations, timeout=20)
    report(story.violations, f"governors through jumps: {sum(story.violations.endings.values())} endings, "
           f"{len(story.violations)} violations")
    harness.shutil.rmtree(story.data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai_chaos")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    harness.adopt_orphans()
    harness.say(f"seed {options.seed}")
    done = []

    def report(violations, text):
        harness.say(f"{'FAILED' if violations else 'ok    '} {text}")
        done.append(not violations)

    threads = [threading.Thread(target=part, args=(options.tai_chaos, options.seed, report))
               for part in (under_load, told)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0 if done == [True, True] else 1


if __name__ == "__main__":
    sys.exit(main())
