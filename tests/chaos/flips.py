#!/usr/bin/python3
"""Random single-bit flips of a data directory, one at a time: `config check --data` must find each.

flips.py TAI [--flips 60] [--seed 1]: half of them in a directory at rest, half in one whose service was killed (with a
log). Half of each fall on tai.db or its log by size, half on a file chosen at random. A flip that is not found is
looked at: whether it fell on a byte that carries nothing (free space, an old record, PEM's line breaks), or on the end of
the log, which looks as a crash leaves it (a note says so). Anything else is a miss; exit code 1."""
import argparse
import collections
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import damage  # noqa: E402
import pages  # noqa: E402
from tai import Tai  # noqa: E402

SLOT, FRAME, WAL_HEADER = 8192, 24 + pages.PAGE, 32


def make(binary, work):
    """A directory at rest and one after a kill."""
    rest, killed = os.path.join(work, "rest"), os.path.join(work, "killed")
    os.mkdir(rest)
    config = os.path.join(work, "config.yaml")
    with open(config, "w", encoding="utf-8") as out:
        out.write(damage.CONFIG)
    tai = Tai(binary, data=rest, config=config)
    tai.log_path = os.path.join(work, "log")
    tai.start()
    damage.fill(tai)
    tai.stop()
    shutil.copytree(rest, killed)
    tai = Tai(binary, data=killed, config=config)
    tai.log_path = os.path.join(work, "log")
    tai.start()
    for number in range(10):
        tai.post(damage.signals(f"late{number}", 40))
    tai.settle()
    tai.kill()
    return config, {"at rest": rest, "killed": killed}


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def public_key(path):
    return subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], capture_output=True, check=False).stdout


def last_commit(log):
    """Where the log's last whole transaction begins and ends, as bytes; frames of an earlier use lie behind."""
    begin, end = WAL_HEADER, WAL_HEADER
    for at in range(WAL_HEADER, len(log) - FRAME + 1, FRAME):
        if log[at + 8:at + 16] != log[16:24]:
            break
        if struct.unpack(">I", log[at + 4:at + 8])[0]:
            begin, end = end, at + FRAME
    return begin, end


def harmless(path, at, good, keys):
    """Why a flip there changes nothing that is kept, or None. good: the file without it."""
    name = os.path.basename(path)
    if name == "ledger.key":
        return "PEM without meaning" if public_key(path) == keys else None
    if ".checkpoint-" in name:
        line = good.find(b"\n", at // SLOT * SLOT, at // SLOT * SLOT + SLOT)
        return "behind a record" if line < 0 or at > line else None
    if name == "tai.db-wal":
        begin, end = last_commit(good)
        if at >= end:
            return "frames of an earlier use"
        return "last transaction" if at >= begin else None
    if name == "tai.db":
        page = at // pages.PAGE
        whole = good[page * pages.PAGE:(page + 1) * pages.PAGE]
        return "a page never written" if not any(whole) else None
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--flips", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    binary, rng = os.path.abspath(options.binary), random.Random(options.seed)
    work = tempfile.mkdtemp(prefix="tai-flips-")
    config, directories = make(binary, work)
    found, missed, false = collections.Counter(), [], []
    in_log = {}
    for label, data in directories.items():
        code, problems, _, _ = damage.check(binary, data, config)
        if code:
            false.append((label, problems[:3]))
        log = os.path.join(data, "tai.db-wal")
        in_log[label] = log_pages(bytes_of(log)) if os.path.exists(log) else set()
    for number in range(options.flips):
        label = list(directories)[number % 2]
        data = directories[label]
        sizes = damage.files(data)
        name = rng.choice(list(sizes)) if number % 4 < 2 else rng.choices(list(sizes), list(sizes.values()))[0]
        path, at, bit = os.path.join(data, name), rng.randrange(max(sizes[name], 1)), rng.randrange(8)
        good, keys = bytes_of(path), public_key(os.path.join(data, "ledger.key"))
        damage.flip(path, at, bit)
        code, _, notes, _ = damage.check(binary, data, config)
        why = None if code == 5 else harmless(path, at, good, keys)
        if name == "tai.db" and code == 0 and at // pages.PAGE + 1 in in_log[label]:
            why = "a page the log has newer"
        damage.flip(path, at, bit)
        if code == 5:
            found[label, name] += 1
        elif why == "last transaction" and any("ends within a transaction" in note for note in notes):
            found["noted", why] += 1
        elif why and why != "last transaction":
            found["harmless", why] += 1
        else:
            missed.append((label, name, at, bit, code, why))
    for (label, name), count in sorted(found.items()):
        print(f"{label:10} {name:32} {count}")
    print(f"seed {options.seed}: {options.flips} flips, {sum(found.values())} accounted for, {len(missed)} missed")
    for miss in missed[:10] + false:
        print("MISSED", miss)
    shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if missed or false else 0)


def log_pages(log):
    _, end = last_commit(log)
    return {struct.unpack(">I", log[at:at + 4])[0] for at in range(WAL_HEADER, end, FRAME)}


if __name__ == "__main__":
    main()
