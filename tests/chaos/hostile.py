#!/usr/bin/python3
"""Hostile load: hostile.py TAI BENCH_LOAD CORPORA [--soak SECONDS] [--junk N] [--seed S]

10,000 idle connections; a slow-loris of 500; one tenant that floods while 1,000 others are served; a queue at its limit; junk
from mutated fuzz corpora. The service keeps answering and its memory stays flat. --soak runs all of it at once."""
import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import attackers  # noqa: E402
import harness  # noqa: E402

IDLE, LORIS, DEADLINE_S = 10000, 500, 3
TENANT_RATE = 50                # signals a second that one tenant may send
FLOOD = ("--tenants", 1, "--entitlements", 1, "--connections", 128)
BATCHES = (*FLOOD, "--batch", 100)
BEARABLE = 50                   # batches a second, where nothing but its share of the queue limits a tenant
TENANT_DEPTH = 2000             # the default of ingress.tenant_depth
VICTIMS = ("--rate", 500, "--tenants", 1000, "--entitlements", 1, "--connections", 64)
NOISE_US = 10000                # below it the scheduler of a few shared cores decides, not the service
MIB = 1024                      # in KiB
LIMITED = (f"ingress:\n  tenant_rate: {TENANT_RATE}\n  request_deadline: {DEADLINE_S}s\n")


def memory(service):
    """PSS of the worker in KiB."""
    with open(f"/proc/{service.worker()}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


class Sampler(threading.Thread):
    """The worker's memory every tenth of a second; how long a signal takes meanwhile."""

    def __init__(self, service, period=0.1):
        super().__init__(daemon=True)
        self.service, self.period, self.stopping = service, period, threading.Event()
        self.memory, self.latency, self.failed = [], [], []

    def run(self):
        number = 0
        while not self.stopping.wait(self.period):
            number += 1
            began = time.monotonic()
            try:
                status = self.service.post({"id": f"probe-{id(self)}-{number}", "tenant_id": f"probe-{number % 50}",
                                            "sku_id": "s", "type": "usage"}, timeout=10)[0]
                self.memory.append(memory(self.service))
            except OSError as error:
                status = repr(error)
            self.latency.append(time.monotonic() - began)
            if status != 202:
                self.failed.append(status)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        self.join()


class Depths(threading.Thread):
    """How deep the queue is."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.service, self.stopping, self.seen = service, threading.Event(), [0]

    def run(self):
        while not self.stopping.wait(0.05):
            self.seen.append(self.service.metric("tai_kanban_depth_signals"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        self.join()


class Report:
    """instrumented: a sanitizer's build, whose memory and speed say nothing."""

    def __init__(self, instrumented):
        self.bad, self.instrumented = 0, instrumented

    def line(self, good, name, text):
        self.bad += not good
        print(f"{'ok    ' if good else 'FAILED'} {name}: {text}", flush=True)

    def served(self, name, before, sampler, text, grown_mib, slowest_s=2.0):
        """Every probe was accepted in time, and memory grew by no more than that."""
        grown = (max(sampler.memory) - before) / MIB if sampler.memory else -1.0
        slowest = max(sampler.latency, default=-1)
        good = not sampler.failed and len(sampler.memory) > 2
        good = good and (self.instrumented or (grown <= grown_mib and slowest <= slowest_s))
        failed = f", {len(sampler.failed)} probes failed: {sampler.failed[:3]}" if sampler.failed else ""
        self.line(good, name, f"{text}; {len(sampler.latency)} probes, slowest {slowest * 1000:.0f} ms{failed}; "
                  f"PSS {before / MIB:.1f} MiB, at most {grown:+.1f} (allowed {grown_mib:+d})")


def start(binary, config):
    data = tempfile.mkdtemp(prefix="tai-hostile-")
    path = os.path.join(data, "config.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(config)
    service = harness.Service(binary, data=data, config=path).start()
    for i in range(200):    # what a first request allocates is no growth
        service.post({"id": f"warm-{i}", "tenant_id": f"probe-{i % 50}", "sku_id": "s", "type": "usage"})
    return service


def finish(report, service, name):
    """It drains, says a whole ledger, and ends with 0: nothing that was accepted is lost in sum."""
    worker, violations = service.worker(), harness.checker.Violations()
    if service.crashes or "was killed" in service.log():
        violations.add("the worker crashed")
    found, receipts = harness.dump(service, harness.checker.History(), violations.add, time.monotonic() + 60)
    replay = harness.checker.Replay(violations.add)
    for receipt, raw in receipts:
        replay.add(receipt, raw)
    harness.checker.check_totals(replay, found["totals"], violations.add)
    harness.checker.check_rows(replay, found["rows"], violations.add)
    if violations:
        print(f"data kept in {service.data}, worker {worker}\n{service.log()}")
    else:
        shutil.rmtree(service.data)
    report.line(not violations, f"after {name}", f"{replay.tree.size} receipts, {len(violations)} violations")


def test_idle(report, service, count):
    before = memory(service)
    with attackers.Attacker(attackers.idle, service.port, count) as idle:
        opened = idle.wait(60).get("open", 0)
        with Sampler(service, 0.05) as sampler:
            time.sleep(2)
        held = int(service.metric("tai_http_connections"))
    report.served(f"{count} idle connections", before, sampler, f"{opened} opened, {held} held", 40)
    report.line(held >= count, "idle connections are kept", f"{held} of {count}")


def test_loris(report, service):
    before = memory(service)
    with attackers.Attacker(attackers.loris, service.port, LORIS) as loris, Sampler(service, 0.05) as sampler:
        time.sleep(2 * DEADLINE_S + 2)
    seen = loris.seen
    longest = seen.pop("longest", -1)
    report.served(f"slow-loris of {LORIS}", before, sampler, f"answers {seen}, longest {longest:.1f} s", 40)
    report.line(seen.get(408, 0) >= LORIS and longest < DEADLINE_S + 2, "slow requests are ended",
                f"{seen.get(408, 0)} times 408, longest {longest:.1f} s (deadline {DEADLINE_S} s)")


def test_junk(report, service, options):
    before = memory(service)
    with Sampler(service, 0.05) as sampler, attackers.Attacker(
            attackers.junk, [service.port, service.andon_port], options.corpora, options.junk, options.seed) as junk:
        junk.wait(600)
    check_junk(report, service, before, sampler, junk.seen)


def check_junk(report, service, before, sampler, seen):
    wrong = {status: count for status, count in seen.items() if status < 0 or status in (500, 502, 504)}
    report.served("junk", before, sampler, f"{sum(seen.values())} requests answered {dict(sorted(seen.items()))}", 40)
    report.line(not wrong and len(seen) > 5, "junk is answered as it should be", f"wrong answers: {wrong}")


# --- one tenant floods ------------------------------------------------------------------------------------------------

class Generator:
    """The load generator of bench/, a process of its own."""

    def __init__(self, options, service, *arguments):
        self.process = subprocess.Popen([options.load, "--port", str(service.port), *map(str, arguments)],
                                        stdout=subprocess.PIPE, text=True)

    def result(self):
        return json.loads(self.process.communicate(timeout=900)[0])

    def stop(self):
        self.process.kill()
        self.process.communicate()


def window(options, service, flood=None):
    """(p99 of the victims in µs, their answers, the flood's); flood: its arguments."""
    flood = Generator(options, service, *flood, "--duration", 4) if flood else None
    if flood:
        time.sleep(0.3)
    victims = Generator(options, service, *VICTIMS, "--duration", 3, "--warmup", 0.5).result()
    return victims["latency_us"]["p99"], victims["statuses"], flood.result() if flood else None


def test_flood(report, service, options):
    """Windows in turn; the best of each, because what else the machine does only ever adds."""
    quiet, flooded, refused, sent, limited = [], [], 0, 0, 0
    before = memory(service)
    while len(quiet) < 2 or (len(quiet) < 6 and min(flooded) > 2 * max(min(quiet), NOISE_US)):
        quiet.append(window(options, service)[0])
        p99, statuses, flood = window(options, service, (*FLOOD, "--rate", options.flood))
        flooded.append(p99)
        refused += sum(count for status, count in statuses.items() if status != "202")
        sent, limited = sent + flood["answered"], limited + flood["statuses"].get("429", 0)
    base, under = min(quiet), min(flooded)
    grown = (memory(service) - before) / MIB
    report.line(under <= 2 * max(base, NOISE_US) and grown < 60, "1,000 tenants beside one that floods",
                f"p99 of the others {base} µs, flooded {under} µs: {under / base:.1f} times (windows {quiet}, {flooded}); "
                f"{sent} flooding requests, {limited} of them 429; {refused} of the others' refused; PSS {grown:+.1f} MiB")
    report.line(refused <= 50 and limited > sent * 0.8, "the flood is refused, the others are not",
                "the flooding tenant is one of the 1,000")


def test_share(report, options):
    """Without a rate: a flood the machine can bear beside the others, then one without pause, which has its share of the
    queue and no more."""
    service, quiet, flooded = start(options.tai, ""), [], []
    while not quiet or (len(quiet) < 5 and min(flooded) > 2 * max(min(quiet), NOISE_US)):
        quiet.append(window(options, service)[0])
        flooded.append(window(options, service, (*BATCHES, "--rate", BEARABLE))[0])
    base, under = min(quiet), min(flooded)
    report.line(under <= 2 * max(base, NOISE_US), f"1,000 tenants beside {100 * BEARABLE} signals a second of one, no rate set",
                f"p99 {base} µs, flooded {under} µs: {under / base:.1f} times (windows {quiet}, {flooded})")
    with Depths(service) as depths:
        p99, statuses, flood = window(options, service, (*BATCHES, "--rate", 0))
    told = {status: count for status, count in statuses.items() if status not in ("202", "429")}
    report.line(not told and statuses.get("429", 0) <= 50 and max(depths.seen) <= 2 * TENANT_DEPTH,
                "one tenant without pause, no rate set", f"depth at most {max(depths.seen):.0f}; the others {statuses}, p99 {p99} µs; "
                f"the flood {flood['statuses']}")
    finish(report, service, "a flood without a rate")


# --- a queue at its limit ---------------------------------------------------------------------------------------------

def test_full_queue(report, options):
    """Publishers who never pause; everything accepted is decided once, in order, and the rest is told when to come again."""
    trial = harness.Trial(options.tai, options.seed, 0, config="ingress:\n  tenant_depth: 10000\nkanban:\n  max_depth: 400\ngovernor:\n  quota_limit: 150\n",
                          load=harness.Load(clients=6, sizes=(150, 250), pause=0.0, refund=0.0), between=(6, 6))
    peak = []

    def watch():
        while getattr(trial, "service", None) is None or trial.service.process is None or not trial.service.andon_port:
            time.sleep(0.05)
        while trial.service.process.poll() is None:
            try:
                peak.append((memory(trial.service), trial.service.metric("tai_kanban_depth_signals")))
            except (OSError, RuntimeError, StopIteration):
                pass
            time.sleep(0.1)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    trial.run()
    watcher.join()
    trial.forget()
    depth, pss = max(d for _, d in peak), max(m for m, _ in peak) / MIB
    report.line(not trial.violations and trial.outcomes["info"] > 1000 and depth <= 400 and
                (pss < 100 or report.instrumented),
                "a queue at its limit", f"{trial.outcomes['ok']} accepted, {trial.outcomes['info']} told 503 with Retry-After, "
                f"depth at most {depth:.0f}, PSS at most {pss:.1f} MiB, {len(trial.violations)} violations")


# --- all at once ------------------------------------------------------------------------------------------------------

def soak(report, options, count):
    service = start(options.tai, LIMITED)
    worker, samples = service.worker(), []
    seconds = options.soak
    with attackers.Attacker(attackers.idle, service.port, count), \
            attackers.Attacker(attackers.loris, service.port, LORIS) as loris, \
            attackers.Attacker(attackers.junk, [service.port, service.andon_port], options.corpora, options.junk,
                               options.seed) as junk, Sampler(service, 0.5) as sampler:
        flood = Generator(options, service, *FLOOD, "--rate", options.flood, "--duration", seconds)
        victims = Generator(options, service, *VICTIMS, "--duration", seconds, "--warmup", 5)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(10)
            samples.append(memory(service))
            print(f"  {seconds - (until - time.monotonic()):.0f} s: PSS {samples[-1] / MIB:.1f} MiB, depth "
                  f"{service.metric('tai_kanban_depth_signals'):.0f}, {service.metric('tai_http_connections'):.0f} connections",
                  flush=True)
        seen, flooded, junk_answers = victims.result(), flood.result(), junk.wait(60)
    third = max(1, len(samples) // 3)
    early, late = max(samples[third:2 * third]), max(samples[-third:])
    accepted = seen["statuses"].get("202", 0)
    report.line(service.worker() == worker, "soak", "the worker is the same")
    report.line(late <= early + 20 * MIB, "soak: memory", f"PSS {samples[0] / MIB:.1f} MiB after 10 s, at most "
                f"{early / MIB:.1f} in the second third, {late / MIB:.1f} in the last")
    report.line(accepted >= 0.99 * seen["requests"], "soak: 1,000 tenants", f"{json.dumps(seen)}")
    report.line(True, "soak: the flood", f"{json.dumps(flooded)}")
    report.line(sampler.failed == [], "soak: probes", f"{len(sampler.latency)}, slowest {max(sampler.latency):.2f} s, failed "
                f"{sampler.failed[:3]}")
    report.line(loris.seen.get(408, 0) > LORIS, "soak: slow-loris", f"{loris.seen}")
    check_junk(report, service, samples[0], sampler, junk_answers or junk.seen)
    finish(report, service, "the soak")


def idle_count():
    """10,000, or what the descriptors here allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE, hard - 1000)
    if count < IDLE:
        print(f"SKIP {IDLE - count} of {IDLE} idle connections: at most {hard} descriptors (soft {soft})")
    return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tai")
    parser.add_argument("load")
    parser.add_argument("corpora")
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--junk", type=int, default=20000)
    parser.add_argument("--flood", type=int, default=0, help="its requests a second; 0: as fast as they are answered")
    parser.add_argument("--only", help="the one test of that name")
    parser.add_argument("--instrumented", action="store_true", help="nothing that is measured")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    harness.adopt_orphans()
    report, count = Report(options.instrumented), idle_count()
    print(f"seed {options.seed}", flush=True)
    if options.soak:
        soak(report, options, count)
        return 1 if report.bad else 0
    service = start(options.tai, LIMITED)
    tests = {"idle": lambda: test_idle(report, service, count), "loris": lambda: test_loris(report, service),
             "junk": lambda: test_junk(report, service, options), "flood": lambda: test_flood(report, service, options),
             "rest": lambda: finish(report, service, "all of it"), "share": lambda: test_share(report, options),
             "full": lambda: test_full_queue(report, options)}
    for name, test in tests.items():
        if options.only in (None, name) and not (options.instrumented and name in ("flood", "share")):
            test()
    if service.process.poll() is None:
        service.kill()
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
