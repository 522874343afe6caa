#!/usr/bin/python3
"""Runs scripts that mostly wait at the same time: together.py BINARY SCRIPT…

Each gets BINARY as its argument; what it prints follows when it has ended. Fails if one fails."""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    binary, names = sys.argv[1], sys.argv[2:]
    began, bad = time.monotonic(), 0
    running = {name: subprocess.Popen([sys.executable, os.path.join(HERE, name + ".py"), binary], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True) for name in names}
    for name, process in running.items():
        said, _ = process.communicate()
        bad += process.returncode != 0
        print(f"=== {name}: exit code {process.returncode} after at most {time.monotonic() - began:.1f} s\n{said}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
