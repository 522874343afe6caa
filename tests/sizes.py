#!/usr/bin/python3
"""Function and file length: fails on what is over the limits, prints the distribution.

A function is what clang-format leaves of it: a line in column 0 that opens with `{` up to the next `}` in column 0."""
import argparse
import statistics
import sys


def functions(path):
    start, name, previous = None, "", ""
    with open(path, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            if line.startswith("{"):
                start, name = number, previous
            elif line.startswith("}") and start:
                yield name.strip(), start, number - start - 1
                start = None
            if line.strip():
                previous = line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--function", type=int, required=True)
    parser.add_argument("--file", type=int, required=True)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    bad, lengths, sizes = 0, [], []
    for path in options.files:
        with open(path, encoding="utf-8") as source:
            size = sum(1 for _ in source)
        sizes.append(size)
        if size > options.file:
            print(f"{path}: {size} lines, the limit is {options.file}")
            bad += 1
        for name, line, length in functions(path):
            lengths.append(length)
            if length > options.function:
                print(f"{path}:{line}: {length} lines in {name}, the limit is {options.function}")
                bad += 1
    if lengths:
        lengths.sort()
        print(f"{len(lengths)} functions: median {statistics.median(lengths):.0f}, p90 {lengths[len(lengths) * 9 // 10]}, "
              f"longest {lengths[-1]}; {len(sizes)} files: median {statistics.median(sizes):.0f}, longest {max(sizes)} lines")
    return 1 if bad else 0


sys.exit(main())
