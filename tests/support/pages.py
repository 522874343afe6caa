"""The page checksums of a database file (common/db_checksum.c), for tests that edit one as if it had always been so."""
PAGE, SUM, WORD = 4096, 8, (1 << 64) - 1


def checksum(page, offset):
    lanes = [offset, 1, 2, 3]
    for i in range((PAGE - SUM) // 8):
        lane = ((lanes[i % 4] ^ int.from_bytes(page[8 * i:8 * i + 8], "little")) * 0x9E3779B97F4A7C15) & WORD
        lanes[i % 4] = lane ^ lane >> 29
    total = 0
    for lane in lanes:
        total = ((total ^ lane) * 0xFF51AFD7ED558CCD) & WORD ^ total >> 32
    return (total ^ total >> 31).to_bytes(SUM, "little")


def write_checksums(path):
    """Makes every page's checksum match its contents."""
    with open(path, "r+b") as file:
        offset = 0
        while len(page := file.read(PAGE)) == PAGE:
            good = checksum(page, offset)
            if page[-SUM:] != good:
                file.seek(offset + PAGE - SUM)
                file.write(good)
            offset += PAGE
            file.seek(offset)
