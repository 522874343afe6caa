/* A layer below SQLite that gives each page of a database file a checksum and verifies it whenever the page is read
 * from the file, so that a flipped or misplaced page is an error (SQLITE_IOERR_DATA, -EUCLEAN) and never served as
 * good.
 *
 *   page (4096 bytes)   contents … 4088 | checksum 8, little-endian, over contents and the page's offset
 *
 * The 8 bytes are SQLite's reserved bytes: byte 20 of the file's header says how many there are, and files without them
 * are passed through. Frames of the write-ahead log have SQLite's own checksums, verified when the log is recovered. */
#include "common/db_internal.h"
#include "common/mem.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_SIZE = 100, RESERVED_AT = 20, PAGE_MIN = 512, PAGE_MAX = 65536 };

struct checked_file {
    sqlite3_file base;
    bool checked;        /* the header says that pages carry checksums */
    char *page;          /* PAGE_MAX bytes, for a page on its way out */
    sqlite3_file *lower; /* lies behind this struct */
};

static sqlite3_file *lower_of(sqlite3_file *file)
{
    return ((struct checked_file *)file)->lower;
}

static sqlite3_vfs *lower_vfs(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static uint64_t checksum(const char *page, size_t len, sqlite3_int64 offset)
{
    uint64_t lanes[4] = {(uint64_t)offset, 1, 2, 3};
    const size_t words = (len - DB_CHECKSUM_SIZE) / sizeof(uint64_t);
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, page + i * sizeof(word), sizeof(word));
        uint64_t *lane = &lanes[i % 4];
        *lane = (*lane ^ le64toh(word)) * UINT64_C(0x9e3779b97f4a7c15);
        *lane ^= *lane >> 29;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum = (sum ^ lanes[i]) * UINT64_C(0xff51afd7ed558ccd) ^ sum >> 32;
    return htole64(sum ^ sum >> 31);
}

static bool is_page(const struct checked_file *file, int len, sqlite3_int64 offset)
{
    return file->checked && len >= PAGE_MIN && len <= PAGE_MAX && (len & (len - 1)) == 0 && offset % len == 0;
}

static void read_header(struct checked_file *file, const char *data, int len, sqlite3_int64 offset)
{
    if (offset == 0 && len >= HEADER_SIZE)
        file->checked = data[RESERVED_AT] == DB_CHECKSUM_SIZE;
}

static int checked_read(sqlite3_file *base, void *data, int len, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)base;
    int rc = file->lower->pMethods->xRead(file->lower, data, len, offset);
    if (rc != SQLITE_OK)
        return rc;
    read_header(file, data, len, offset);
    if (!is_page(file, len, offset))
        return SQLITE_OK;
    uint64_t sum = checksum(data, (size_t)len, offset);
    if (memcmp((char *)data + len - DB_CHECKSUM_SIZE, &sum, sizeof(sum)) == 0)
        return SQLITE_OK;
    sqlite3_log(SQLITE_IOERR_DATA, "page %lld: its checksum does not match its contents", offset / len + 1);
    return SQLITE_IOERR_DATA;
}

static int checked_write(sqlite3_file *base, const void *data, int len, sqlite3_int64 offset)
{
    struct checked_file *file = (struct checked_file *)base;
    read_header(file, data, len, offset);
    if (!is_page(file, len, offset))
        return file->lower->pMethods->xWrite(file->lower, data, len, offset);
    uint64_t sum = checksum(data, (size_t)len, offset);
    memcpy(file->page, data, (size_t)len - DB_CHECKSUM_SIZE);
    memcpy(file->page + len - DB_CHECKSUM_SIZE, &sum, sizeof(sum));
    return file->lower->pMethods->xWrite(file->lower, file->page, len, offset);
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

static int down_control(sqlite3_file *file, int op, void *arg)
{
    return lower_of(file)->pMethods->xFileControl(lower_of(file), op, arg);
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
    .xFileControl = down_control,
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
        return lower_vfs(vfs)->xOpen(lower_vfs(vfs), name, base, flags, ret_flags);
    struct checked_file *file = (struct checked_file *)base;
    *file = (struct checked_file){.lower = (sqlite3_file *)(file + 1)};
    int rc = lower_vfs(vfs)->xOpen(lower_vfs(vfs), name, file->lower, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->page = xmalloc(PAGE_MAX);
    file->base.pMethods = &checked_methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    return lower_vfs(vfs)->xDelete(lower_vfs(vfs), name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return lower_vfs(vfs)->xAccess(lower_vfs(vfs), name, flags, ret);
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int cap, char *ret)
{
    return lower_vfs(vfs)->xFullPathname(lower_vfs(vfs), name, cap, ret);
}

static int vfs_random(sqlite3_vfs *vfs, int len, char *ret)
{
    return lower_vfs(vfs)->xRandomness(lower_vfs(vfs), len, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    return lower_vfs(vfs)->xSleep(lower_vfs(vfs), us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret)
{
    return lower_vfs(vfs)->xCurrentTime(lower_vfs(vfs), ret);
}

static int vfs_error(sqlite3_vfs *vfs, int cap, char *ret)
{
    return lower_vfs(vfs)->xGetLastError(lower_vfs(vfs), cap, ret);
}

void db_checksum_register(const char *below)
{
    /* SQLite keeps its address: registered once, for the life of the process. */
    static sqlite3_vfs vfs = {.iVersion = 1,
                              .mxPathname = 512,
                              .zName = DB_CHECKSUM_VFS,
                              .xOpen = vfs_open,
                              .xDelete = vfs_delete,
                              .xAccess = vfs_access,
                              .xFullPathname = vfs_path,
                              .xRandomness = vfs_random,
                              .xSleep = vfs_sleep,
                              .xCurrentTime = vfs_time,
                              .xGetLastError = vfs_error};
    sqlite3_vfs *lower = sqlite3_vfs_find(below);
    vfs.pAppData = lower;
    vfs.mxPathname = lower->mxPathname;
    vfs.szOsFile = (int)sizeof(struct checked_file) + lower->szOsFile;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        abort();
}
