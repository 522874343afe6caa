/* A layer below SQLite that gives each page of a database file a checksum and verifies it whenever the page is read
 * from the file, so that a flipped, misplaced or missing page is an error (SQLITE_CORRUPT, -EUCLEAN) and never served
 * as good.
 *
 *   page   contents … | checksum 8, little-endian, over contents and the page's offset
 *
 * The 8 bytes are SQLite's reserved bytes. Every file opened through this layer has them: whether a page is verified
 * does not depend on what the file says. Not seen: an older contents of the page at its own place (a lost write).
 * Frames of the write-ahead log have SQLite's own checksums, verified when the log is recovered (wal.c). */
#include "common/db/internal.h"
#include "common/mem.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MIN = 512, PAGE_MAX = 65536 };

struct db_checksum {
    sqlite3_vfs vfs; /* pAppData: the one below */
    char name[40];
};

struct checked_file {
    sqlite3_file base;
    struct db_bad bad;   /* since it was asked for */
    char *page;          /* PAGE_MAX bytes, for a page on its way out */
    sqlite3_file *lower; /* lies behind this struct */
};

static sqlite3_file *lower_of(sqlite3_file *file)
{
    return ((struct checked_file *)file)->lower;
}

/* Written out by hand: an indexed array of lanes stays in memory, where each word waits for the one before. */
static uint64_t stir(uint64_t lane, const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    lane = (lane ^ le64toh(word)) * UINT64_C(0x9e3779b97f4a7c15);
    return lane ^ lane >> 29;
}

/* Four lanes take the words in turn; a page has 3 more than a multiple of 4. */
static uint64_t checksum(const char *page, size_t len, sqlite3_int64 offset)
{
    uint64_t a = (uint64_t)offset, b = 1, c = 2, d = 3;
    const char *at = page, *end = page + len - 4 * sizeof(uint64_t);
    for (; at < end; at += 4 * sizeof(uint64_t)) {
        a = stir(a, at);
        b = stir(b, at + 8);
        c = stir(c, at + 16);
        d = stir(d, at + 24);
    }
    const uint64_t lanes[4] = {stir(a, at), stir(b, at + 8), stir(c, at + 16), d};
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum = (sum ^ lanes[i]) * UINT64_C(0xff51afd7ed558ccd) ^ sum >> 32;
    return htole64(sum ^ sum >> 31);
}

static bool is_page(int len, sqlite3_int64 offset)
{
    return len >= PAGE_MIN && len <= PAGE_MAX && (len & (len - 1)) == 0 && offset % len == 0;
}

bool db_page_valid(const char *page, size_t len, int64_t offset)
{
    uint64_t sum = checksum(page, len, offset);
    return memcmp(page + len - DB_CHECKSUM_SIZE, &sum, sizeof(sum)) == 0;
}

static int checked_read(sqlite3_file *base, void *data, int len, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)base;
    int rc = file->lower->pMethods->xRead(file->lower, data, len, offset);
    if (!is_page(len, offset) || (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ))
        return rc;
    if (rc == SQLITE_OK && db_page_valid(data, (size_t)len, offset))
        return SQLITE_OK;
    /* Not SQLITE_IOERR: for that SQLite would roll back what others have done in the same transaction. */
    file->bad.page = offset / len + 1;
    return SQLITE_CORRUPT;
}

static int checked_write(sqlite3_file *base, const void *data, int len, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)base;
    if (!is_page(len, offset))
        return file->lower->pMethods->xWrite(file->lower, data, len, offset);
    uint64_t sum = checksum(data, (size_t)len, offset);
    memcpy(file->page, data, (size_t)len - DB_CHECKSUM_SIZE);
    memcpy(file->page + len - DB_CHECKSUM_SIZE, &sum, sizeof(sum));
    return file->lower->pMethods->xWrite(file->lower, file->page, len, offset);
}

static int checked_control(sqlite3_file *base, int op, void *arg)
{
    struct checked_file *file = (struct checked_file *)base;
    switch (op) {
    case DB_FCNTL_BAD:
        *(struct db_bad *)arg = file->bad;
        file->bad = (struct db_bad){0};
        return SQLITE_OK;
    case DB_FCNTL_BLAME:
        file->bad.stmt = arg;
        return SQLITE_OK;
    default:
        return file->lower->pMethods->xFileControl(file->lower, op, arg);
    }
}

static int checked_close(sqlite3_file *base)
{
    struct checked_file *file = (struct checked_file *)base;
    int rc = file->lower->pMethods->xClose(file->lower);
    free(file->page);
    file->page = NULL;
    return rc;
}

/* --- handed down as they are ----------------------------------------------------------------------------------- */

static int down_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return lower_of(file)->pMethods->xTruncate(lower_of(file), size);
}

static int down_sync(sqlite3_file *file, int flags)
{
    return lower_of(file)->pMethods->xSync(lower_of(file), flags);
}

static int down_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    return lower_of(file)->pMethods->xFileSize(lower_of(file), ret);
}

static int down_lock(sqlite3_file *file, int lock)
{
    return lower_of(file)->pMethods->xLock(lower_of(file), lock);
}

static int down_unlock(sqlite3_file *file, int lock)
{
    return lower_of(file)->pMethods->xUnlock(lower_of(file), lock);
}

static int down_reserved(sqlite3_file *file, int *ret)
{
    return lower_of(file)->pMethods->xCheckReservedLock(lower_of(file), ret);
}

static int down_sector(sqlite3_file *file)
{
    return lower_of(file)->pMethods->xSectorSize(lower_of(file));
}

static int down_traits(sqlite3_file *file)
{
    return lower_of(file)->pMethods->xDeviceCharacteristics(lower_of(file));
}

static int down_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
    return lower_of(file)->pMethods->xShmMap(lower_of(file), region, size, extend, ret);
}

static int down_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return lower_of(file)->pMethods->xShmLock(lower_of(file), offset, n, flags);
}

static void down_shm_barrier(sqlite3_file *file)
{
    lower_of(file)->pMethods->xShmBarrier(lower_of(file));
}

static int down_shm_unmap(sqlite3_file *file, int delete)
{
    return lower_of(file)->pMethods->xShmUnmap(lower_of(file), delete);
}

static const sqlite3_io_methods checked_methods = {
    .iVersion = 2,
    .xClose = checked_close,
    .xRead = checked_read,
    .xWrite = checked_write,
    .xTruncate = down_truncate,
    .xSync = down_sync,
    .xFileSize = down_size,
    .xLock = down_lock,
    .xUnlock = down_unlock,
    .xCheckReservedLock = down_reserved,
    .xFileControl = checked_control,
    .xSectorSize = down_sector,
    .xDeviceCharacteristics = down_traits,
    .xShmMap = down_shm_map,
    .xShmLock = down_shm_lock,
    .xShmBarrier = down_shm_barrier,
    .xShmUnmap = down_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
    if (!(flags & SQLITE_OPEN_MAIN_DB))
        return db_vfs_below(vfs)->xOpen(db_vfs_below(vfs), name, base, flags, ret_flags);
    struct checked_file *file = (struct checked_file *)base;
    *file = (struct checked_file){.lower = (sqlite3_file *)(file + 1)};
    int rc = db_vfs_below(vfs)->xOpen(db_vfs_below(vfs), name, file->lower, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->page = xmalloc(PAGE_MAX);
    file->base.pMethods = &checked_methods;
    return SQLITE_OK;
}

int db_checksum_new(const char *below, const char *name, struct db_checksum **ret)
{
    sqlite3_vfs *lower = sqlite3_vfs_find(below);
    if (!lower)
        return -ENOENT;
    struct db_checksum *checksums = xcalloc(1, sizeof(*checksums));
    if (name)
        snprintf(checksums->name, sizeof(checksums->name), "%s", name);
    else
        snprintf(checksums->name, sizeof(checksums->name), "checksum-%p", (void *)checksums);
    checksums->vfs =
        db_vfs_over(lower, checksums->name, sizeof(struct checked_file) + (size_t)lower->szOsFile, vfs_open);
    if (sqlite3_vfs_register(&checksums->vfs, 0) != SQLITE_OK) {
        free(checksums);
        return -ENOMEM;
    }
    *ret = checksums;
    return 0;
}

const char *db_checksum_name(const struct db_checksum *checksums)
{
    return checksums->name;
}

void db_checksum_free(struct db_checksum *checksums)
{
    if (!checksums)
        return;
    sqlite3_vfs_unregister(&checksums->vfs);
    free(checksums);
}
