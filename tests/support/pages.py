"""The pages of a tai.db from outside: their checksums as common/db/checksum.c has them, and which table each belongs to.

For tests that damage a file, or edit one as if it had always been so. Standard library only."""
import os
import sqlite3
import struct

PAGE, SUM = 8192, 8  # of new files (common/db/db.h)
MASK = (1 << 64) - 1


def checksum(page, offset):
    lanes = [offset, 1, 2, 3]
    for i, word in enumerate(struct.unpack(f"<{(PAGE - SUM) // 8}Q", page[:PAGE - SUM])):
        lane = ((lanes[i % 4] ^ word) * 0x9e3779b97f4a7c15) & MASK
        lanes[i % 4] = lane ^ (lane >> 29)
    total = 0
    for lane in lanes:
        total = (((total ^ lane) * 0xff51afd7ed558ccd) & MASK) ^ (total >> 32)
    return struct.pack("<Q", total ^ (total >> 31))


def read_page(path, number):
    with open(path, "rb") as data:
        data.seek((number - 1) * PAGE)
        return data.read(PAGE)


def write_page(path, number, page):
    with open(path, "r+b") as data:
        data.seek((number - 1) * PAGE)
        data.write(page)


def pages_in(path):
    return os.path.getsize(path) // PAGE


def bad_pages(path):
    """Numbers, from 1, of the pages whose checksum is wrong."""
    return [number for number in range(1, pages_in(path) + 1)
            if (page := read_page(path, number))[-SUM:] != checksum(page, (number - 1) * PAGE)]


def write_checksums(path, good=b""):
    """Makes every page's checksum match its contents; good: the file when they all did."""
    for number in range(1, pages_in(path) + 1):
        page, at = read_page(path, number), (number - 1) * PAGE
        if page != good[at:at + PAGE]:
            write_page(path, number, page[:-SUM] + checksum(page, at))


def edit(path, sql, *values, sealed=True):
    """One statement by the sqlite3 module on a database at rest; sealed: its pages get right checksums afterwards."""
    with open(path, "rb") as data:
        good = data.read()
    db = sqlite3.connect(path)
    try:
        with db:
            count = db.execute(sql, values).rowcount
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    if sealed:
        write_checksums(path, good)
    return count


def pages_of(path):
    """{table or index: [page numbers]} of a database at rest."""
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        found = {}
        for name, number in db.execute("SELECT name, pageno FROM dbstat ORDER BY pageno"):
            found.setdefault(name, []).append(number)
        return found
    finally:
        db.close()
