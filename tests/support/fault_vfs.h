/* A VFS over the default one whose n-th write or sync from now on fails, and all after it while `repeat`. Register it
 * once per process; one program may include this in one file. */
#ifndef TAI_TESTS_FAULT_VFS_H
#define TAI_TESTS_FAULT_VFS_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

struct fault {
    atomic_int countdown; /* calls that still succeed; -1: never fails */
    atomic_bool repeat;
    int code; /* what SQLite is told */
};

static struct fault fault_write = {.countdown = -1, .code = SQLITE_FULL};
static struct fault fault_sync = {.countdown = -1, .code = SQLITE_IOERR_FSYNC};

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static bool fault_hits(struct fault *fault)
{
    int left = atomic_load(&fault->countdown);
    if (left < 0)
        return false;
    if (left > 0) {
        atomic_store(&fault->countdown, left - 1);
        return false;
    }
    if (!atomic_load(&fault->repeat))
        atomic_store(&fault->countdown, -1);
    return true;
}

#define FAULT_REAL(file)              (((struct fault_file *)(file))->real)
#define FAULT_PASS(file, method, ...) FAULT_REAL(file)->pMethods->method(FAULT_REAL(file), ##__VA_ARGS__)

static int fault_close(sqlite3_file *file)
{
    return FAULT_PASS(file, xClose);
}
static int fault_read_at(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    return FAULT_PASS(file, xRead, data, len, offset);
}
static int fault_write_at(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    return fault_hits(&fault_write) ? fault_write.code : FAULT_PASS(file, xWrite, data, len, offset);
}
static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return FAULT_PASS(file, xTruncate, size);
}
static int fault_sync_file(sqlite3_file *file, int flags)
{
    return fault_hits(&fault_sync) ? fault_sync.code : FAULT_PASS(file, xSync, flags);
}
static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return FAULT_PASS(file, xFileSize, size);
}
static int fault_lock(sqlite3_file *file, int level)
{
    return FAULT_PASS(file, xLock, level);
}
static int fault_unlock(sqlite3_file *file, int level)
{
    return FAULT_PASS(file, xUnlock, level);
}
static int fault_reserved(sqlite3_file *file, int *ret)
{
    return FAULT_PASS(file, xCheckReservedLock, ret);
}
static int fault_control(sqlite3_file *file, int op, void *arg)
{
    return FAULT_PASS(file, xFileControl, op, arg);
}
static int fault_sector(sqlite3_file *file)
{
    return FAULT_PASS(file, xSectorSize);
}
static int fault_device(sqlite3_file *file)
{
    return FAULT_PASS(file, xDeviceCharacteristics);
}
static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return FAULT_PASS(file, xShmMap, page, size, extend, ret);
}
static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return FAULT_PASS(file, xShmLock, offset, n, flags);
}
static void fault_shm_barrier(sqlite3_file *file)
{
    FAULT_PASS(file, xShmBarrier);
}
static int fault_shm_unmap(sqlite3_file *file, int remove)
{
    return FAULT_PASS(file, xShmUnmap, remove);
}

static const sqlite3_io_methods fault_methods = {
    2,
    fault_close,
    fault_read_at,
    fault_write_at,
    fault_truncate,
    fault_sync_file,
    fault_size,
    fault_lock,
    fault_unlock,
    fault_reserved,
    fault_control,
    fault_sector,
    fault_device,
    fault_shm_map,
    fault_shm_lock,
    fault_shm_barrier,
    fault_shm_unmap,
    NULL,
    NULL,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct fault_file *self = (struct fault_file *)file;
    sqlite3_vfs *real = vfs->pAppData;
    self->real = (sqlite3_file *)(self + 1);
    self->base.pMethods = NULL;
    int rc = real->xOpen(real, name, self->real, flags, ret_flags);
    if (self->real->pMethods)
        self->base.pMethods = &fault_methods;
    return rc;
}

static inline void fault_vfs_register(void)
{
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.zName = "fault";
    vfs.pAppData = real;
    vfs.szOsFile = (int)sizeof(struct fault_file) + real->szOsFile;
    vfs.xOpen = fault_open;
    sqlite3_vfs_register(&vfs, 0);
}

static inline void fault_arm(struct fault *fault, int after, bool repeat)
{
    atomic_store(&fault->repeat, repeat);
    atomic_store(&fault->countdown, after);
}

#endif
