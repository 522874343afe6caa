/* The files of a database at rest, page by page and frame by frame. Memory: one bit a page. */
#include "common/db/internal.h"
#include "common/db/reader.h"
#include "common/db/wal.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, NAMED_MAX = 20, PAGE_MIN = 512, PAGE_MAX = 65536 };

/* A pass over the file. */
struct pages {
    struct check *check;
    size_t size;    /* of a page */
    uint64_t count; /* pages the database says it is made of; 0: unknown */
    uint64_t bad;
};

/* Pages the log holds newer contents of: those of the file are not read any more, and may be half written. */
struct in_log {
    uint8_t *bits;
    size_t size;
};

static void mark(void *ctx, uint32_t page)
{
    struct in_log *log = ctx;
    size_t need = page / 8 + 1, old = log->size;
    if (need > old) {
        mem_grow(&log->bits, &log->size, need, 1);
        memset(log->bits + old, 0, log->size - old);
    }
    log->bits[page / 8] |= (uint8_t)(1u << page % 8);
}

static bool in_log(const struct in_log *log, uint64_t page)
{
    return page / 8 < log->size && (log->bits[page / 8] >> page % 8 & 1);
}

/* A page that was never written is a hole; whether anything needs it, the structure tells. */
static bool all_zero(const char *page, size_t len)
{
    static const char zero[64];
    for (size_t i = 0; i < len; i += sizeof(zero))
        if (memcmp(page + i, zero, sizeof(zero)) != 0)
            return false;
    return true;
}

static void bad_page(struct pages *pages, uint64_t page, const char *what)
{
    char row[32];
    snprintf(row, sizeof(row), "page %" PRIu64, page);
    if (pages->bad++ < NAMED_MAX) /* the tables they belong to are named behind them */
        check_problem(pages->check, "(file)", row, CHECK_RESTORE, "%s", what);
}

static void check_chunk(struct pages *pages, const struct in_log *log, const char *data, size_t len, uint64_t first)
{
    for (size_t at = 0; at + pages->size <= len; at += pages->size) {
        uint64_t page = first + at / pages->size;
        pages->check->pages++;
        if (!in_log(log, page) && !all_zero(data + at, pages->size) &&
            !db_page_valid(data + at, pages->size, (int64_t)((page - 1) * pages->size)))
            bad_page(pages, page, "its contents are not what was written");
    }
}

static void check_all(int fd, struct pages *pages, const struct in_log *log)
{
    _cleanup_free_ char *data = xmalloc(CHUNK);
    off_t size = lseek(fd, 0, SEEK_END);
    uint64_t whole = size > 0 ? (uint64_t)size / pages->size : 0, last = pages->count ? pages->count : whole;
    ssize_t n = 0;
    for (uint64_t page = 1; page <= last && page <= whole; page += (uint64_t)n / pages->size) {
        uint64_t left = ((last < whole ? last : whole) - page + 1) * pages->size;
        n = pread(fd, data, left < CHUNK ? (size_t)left : CHUNK, (off_t)((page - 1) * pages->size));
        if (n < (ssize_t)pages->size) {
            bad_page(pages, page, n < 0 ? error_text(-errno) : "it cannot be read whole");
            return;
        }
        check_chunk(pages, log, data, (size_t)n, page);
        check_step(pages->check, "pages", page, last);
    }
    for (uint64_t page = whole + 1; page <= last; page++)
        if (!in_log(log, page)) {
            bad_page(pages, page, "the file ends before it");
            return;
        }
}

static uint64_t number_of(sqlite3_stmt *stmt)
{
    return stmt && db_step(stmt) == 1 ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
}

/* As the database says, else as the file's first bytes do (https://www.sqlite.org/fileformat2.html#page_size). */
static void measure(struct pages *pages, struct db_reader *reader, int fd)
{
    uint8_t header[18] = {0};
    if (reader) {
        pages->count = number_of(db_stmt(db_reader_conn(reader), "PRAGMA page_count"));
        pages->size = number_of(db_stmt(db_reader_conn(reader), "PRAGMA page_size"));
    } else if (pread(fd, header, sizeof(header), 0) == sizeof(header)) {
        pages->size = header[17] == 1 ? PAGE_MAX : (size_t)header[16] << 8;
    }
    if (pages->size < PAGE_MIN || pages->size > PAGE_MAX || (pages->size & (pages->size - 1)))
        pages->size = DB_PAGE_SIZE;
}

void db_check_pages(const char *path, struct db_reader *reader, struct check *check)
{
    struct pages pages = {.check = check};
    struct in_log log = {0};
    struct wal_scan scan;
    struct error err;
    if (wal_scan(path, mark, &log, &scan, &err))
        log.size = 0; /* db_check_log says so */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        check_problem(check, "(file)", "", CHECK_RESTORE, "cannot open %s: %s", path, error_text(-errno));
    } else {
        measure(&pages, reader, fd);
        check_all(fd, &pages, &log);
    }
    if (pages.bad > NAMED_MAX)
        check_problem(check, "(file)", "", CHECK_RESTORE, "%" PRIu64 " more pages are damaged", pages.bad - NAMED_MAX);
    if (fd >= 0)
        close(fd);
    mem_free_pointer(&log.bits);
}

void db_check_log(const char *path, struct check *check)
{
    struct wal_scan scan;
    struct error err;
    int status = wal_scan(path, NULL, NULL, &scan, &err);
    if (!status)
        status = wal_verdict(path, &scan, &err);
    if (status) {
        check_problem(check, "(log)", "", "as it says", "%s", err.text);
        return;
    }
    if (scan.frames)
        check_note(check, "the log %s-wal holds %" PRIu64 " frames, which the next start takes over", path,
                   scan.frames);
    if (scan.torn)
        check_note(check,
                   "the log %s-wal ends within a transaction (%" PRIu64 " frames), which the next start drops: usual "
                   "after a crash, when nobody was told that it was done",
                   path, scan.torn);
}
