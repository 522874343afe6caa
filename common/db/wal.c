/* The log's format (https://www.sqlite.org/fileformat2.html#walformat), numbers big-endian:
 *
 *   header 32   magic 4 | version 4 | page size 4 | sequence 4 | salt 8 | checksum 8, over the 24 bytes before it
 *   frame       page number 4 | pages in the database after a commit, else 0: 4 | salt 8 | checksum 8 | page
 *
 * A frame's checksum covers its first 8 bytes and the page, and begins with the checksum of the frame before. Frames of
 * an earlier use of the file have another salt. Blocking; any thread. */
#include "common/db/wal.h"
#include "common/db/db.h"
#include "common/mem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER = 32,
    FRAME_HEADER = 24,
    SALT = 8,
    VERSION = 3007000,
    PAGE_MIN = 512,
    PAGE_MAX = 65536,
    OLDER_PAGE = 4096
};
enum { MAGIC = 0x377f0682 }; /* and the same + 1, where checksums take the data as big-endian words */

struct wal {
    int fd;
    bool big; /* words of the checksums */
    uint32_t page;
    uint64_t frames; /* the file has room for */
    char salt[SALT];
    char *frame; /* FRAME_HEADER + page */
};

static uint32_t word(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return be32toh(value);
}

/* Goes on from sum over len bytes, a multiple of 8. */
static void add_sum(const struct wal *wal, uint32_t sum[2], const char *data, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint32_t pair[2];
        memcpy(pair, data + i, sizeof(pair));
        sum[0] += (wal->big ? be32toh(pair[0]) : le32toh(pair[0])) + sum[1];
        sum[1] += (wal->big ? be32toh(pair[1]) : le32toh(pair[1])) + sum[0];
    }
}

static bool sum_is(const uint32_t sum[2], const char *stated)
{
    return sum[0] == word(stated) && sum[1] == word(stated + 4);
}

static void stated_sum(const char *stated, uint32_t ret[2])
{
    ret[0] = word(stated);
    ret[1] = word(stated + 4);
}

static bool read_frame(struct wal *wal, uint64_t number)
{
    size_t len = FRAME_HEADER + wal->page;
    return pread(wal->fd, wal->frame, len, (off_t)(HEADER + (number - 1) * len)) == (ssize_t)len;
}

/* Whether the frame that was read goes on from `before`. */
static bool follows(const struct wal *wal, const uint32_t before[2])
{
    uint32_t sum[2] = {before[0], before[1]};
    add_sum(wal, sum, wal->frame, 8);
    add_sum(wal, sum, wal->frame + FRAME_HEADER, wal->page);
    return word(wal->frame) != 0 && memcmp(wal->frame + 8, wal->salt, SALT) == 0 && sum_is(sum, wal->frame + 16);
}

static bool commits(const struct wal *wal)
{
    return word(wal->frame + 4) != 0;
}

/* How many commits stand behind the frame `bad`, the first that does not go on from the one before it; 0 unless one
 * was there before the last of them was begun. */
static uint64_t commits_behind(struct wal *wal, uint64_t bad)
{
    uint32_t before[2];
    bool settled = false, damaged = false;
    uint64_t count = 0;
    if (!read_frame(wal, bad))
        return 0;
    /* Itself the end of a transaction, as far as it can be read: then a whole transaction must follow. */
    bool ends = memcmp(wal->frame + 8, wal->salt, SALT) == 0 && commits(wal);
    stated_sum(wal->frame + 16, before);
    for (uint64_t i = bad + 1; i <= wal->frames && read_frame(wal, i); i++) {
        if (follows(wal, before)) {
            damaged |= settled || (ends && commits(wal));
            settled |= commits(wal);
            count += commits(wal);
        }
        stated_sum(wal->frame + 16, before);
    }
    return damaged ? count + ends : 0;
}

static void scan_frames(struct wal *wal, uint32_t sum[2], struct wal_scan *ret)
{
    uint64_t next = 1;
    for (; next <= wal->frames && read_frame(wal, next) && follows(wal, sum); next++) {
        stated_sum(wal->frame + 16, sum);
        if (commits(wal))
            ret->frames = next;
    }
    if (next <= wal->frames && (ret->lost = commits_behind(wal, next)) > 0)
        ret->bad = next;
    for (uint64_t i = ret->frames + 1; i <= wal->frames && read_frame(wal, i); i++)
        ret->torn += memcmp(wal->frame + 8, wal->salt, SALT) == 0;
    ret->end = (int64_t)(HEADER + ret->frames * (FRAME_HEADER + wal->page));
}

/* Frames that belong together behind a header that cannot be read. */
static bool frames_without_header(struct wal *wal, bool big)
{
    uint32_t before[2];
    wal->big = big;
    if (wal->frames < 2 || !read_frame(wal, 1))
        return false;
    stated_sum(wal->frame + 16, before);
    memcpy(wal->salt, wal->frame + 8, SALT);
    return read_frame(wal, 2) && follows(wal, before);
}

static void use_page(struct wal *wal, off_t size, uint32_t page)
{
    wal->page = page;
    wal->frames = (uint64_t)(size - HEADER) / (FRAME_HEADER + page);
}

static bool frames_of_page(struct wal *wal, off_t size, uint32_t page)
{
    use_page(wal, size, page);
    return frames_without_header(wal, false) || frames_without_header(wal, true);
}

static bool header_valid(struct wal *wal, const char header[HEADER], uint32_t sum[2])
{
    uint32_t magic = word(header), page = word(header + 8);
    wal->big = magic & 1;
    add_sum(wal, sum, header, HEADER - 8);
    if ((magic & ~1u) != MAGIC || word(header + 4) != VERSION || page < PAGE_MIN || page > PAGE_MAX ||
        (page & (page - 1)) || !sum_is(sum, header + 24))
        return false;
    wal->page = page;
    memcpy(wal->salt, header + 16, SALT);
    return true;
}

static void scan(struct wal *wal, off_t size, void (*visit)(void *ctx, uint32_t page), void *ctx, struct wal_scan *ret)
{
    char header[HEADER];
    uint32_t sum[2] = {0, 0};
    if (size <= HEADER || pread(wal->fd, header, HEADER, 0) != HEADER)
        return;
    bool valid = header_valid(wal, header, sum);
    wal->frame = xmalloc(FRAME_HEADER + (size_t)PAGE_MAX);
    if (valid) {
        use_page(wal, size, wal->page);
        scan_frames(wal, sum, ret);
    } else {
        ret->bad_header = frames_of_page(wal, size, DB_PAGE_SIZE) || frames_of_page(wal, size, OLDER_PAGE);
    }
    ret->page = wal->page;
    for (uint64_t i = 1; visit && i <= ret->frames && read_frame(wal, i); i++)
        visit(ctx, word(wal->frame));
}

int wal_scan(const char *db_path, void (*visit)(void *ctx, uint32_t page), void *ctx, struct wal_scan *ret,
             struct error *err)
{
    char path[4096];
    *ret = (struct wal_scan){0};
    if (snprintf(path, sizeof(path), "%s-wal", db_path) >= (int)sizeof(path))
        return error_set(err, -ENAMETOOLONG, "%s: the path is too long", db_path);
    struct wal wal = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (wal.fd < 0)
        return errno == ENOENT ? 0 : error_set(err, -errno, "cannot open %s: %s", path, error_text(-errno));
    off_t size = lseek(wal.fd, 0, SEEK_END);
    scan(&wal, size, visit, ctx, ret);
    mem_free_pointer(&wal.frame);
    close(wal.fd);
    return 0;
}

int wal_verdict(const char *db_path, const struct wal_scan *scan, struct error *err)
{
    if (scan->bad_header)
        return error_set(err, -EUCLEAN,
                         "%s-wal: the log's header is damaged: all that was committed lately would be lost. Restore a "
                         "backup; to accept the loss instead, move that file away",
                         db_path);
    if (scan->bad)
        return error_set(err, -EUCLEAN,
                         "%s-wal: frame %" PRIu64 " of the log is damaged, and %" PRIu64
                         " transactions committed behind it would be lost. Restore a backup; to accept the loss "
                         "instead: truncate -s %" PRId64 " %s-wal",
                         db_path, scan->bad, scan->lost, scan->end, db_path);
    return 0;
}
