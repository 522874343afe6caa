/* The gathering VFS. A file is the database thread's; the VFS itself is only read. */
#include "common/db/vfs.h"
#include "common/db/internal.h"
#include "common/mem.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_MAX = 0x1ffff /* SQLite's own VFS writes at most so much at once */ };

struct db_vfs {
    sqlite3_vfs base;
    char name[40];
};

struct gather_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
    char *data;         /* gathered, not yet written */
    size_t len;
    sqlite3_int64 offset; /* where data begins */
    int failed;           /* of a flush whose caller may not give up for it: reported by the next sync */
};

static struct gather_file *gather(sqlite3_file *file)
{
    return (struct gather_file *)file;
}

#define PASS(file, method, ...) gather(file)->real->pMethods->method(gather(file)->real, ##__VA_ARGS__)

/* Writes out what is gathered; a failure forgets it (vfs.h says why). */
static int flush(struct gather_file *file)
{
    if (!file->len)
        return SQLITE_OK;
    int len = (int)file->len;
    file->len = 0;
    return file->real->pMethods->xWrite(file->real, file->data, len, file->offset);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *file)
{
    int flushed = flush(gather(file));
    int closed = PASS(file, xClose);
    free(gather(file)->data);
    gather(file)->data = NULL;
    return flushed ? flushed : closed;
}

/* What SQLite reads was one write of its own: it lies within what is gathered, or apart from it. */
static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    struct gather_file *self = gather(file);
    sqlite3_int64 end = self->offset + (sqlite3_int64)self->len;
    if (!self->len || offset >= end || offset + len <= self->offset)
        return PASS(file, xRead, data, len, offset);
    if (offset >= self->offset && offset + len <= end) {
        memcpy(data, self->data + (offset - self->offset), (size_t)len);
        return SQLITE_OK;
    }
    int rc = flush(self);
    if (rc)
        self->failed = rc;
    return rc ? rc : PASS(file, xRead, data, len, offset);
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct gather_file *self = gather(file);
    bool adjoins = self->len && offset == self->offset + (sqlite3_int64)self->len;
    if (!adjoins || self->len + (size_t)len > GATHER_MAX) {
        int rc = flush(self);
        if (rc || len > GATHER_MAX)
            return rc ? rc : PASS(file, xWrite, data, len, offset);
        self->offset = offset;
    }
    if (!self->data)
        self->data = xmalloc(GATHER_MAX);
    memcpy(self->data + self->len, data, (size_t)len);
    self->len += (size_t)len;
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = flush(gather(file));
    return rc ? rc : PASS(file, xTruncate, size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct gather_file *self = gather(file);
    int rc = flush(self);
    if (self->failed)
        rc = self->failed;
    self->failed = SQLITE_OK;
    return rc ? rc : PASS(file, xSync, flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    const struct gather_file *self = gather(file);
    sqlite3_int64 end = self->offset + (sqlite3_int64)self->len;
    int rc = PASS(file, xFileSize, ret);
    if (rc == SQLITE_OK && self->len && *ret < end)
        *ret = end;
    return rc;
}

static int file_lock(sqlite3_file *file, int level)
{
    return PASS(file, xLock, level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return PASS(file, xUnlock, level);
}

static int file_reserved(sqlite3_file *file, int *ret)
{
    return PASS(file, xCheckReservedLock, ret);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    return PASS(file, xFileControl, op, arg);
}

static int file_sector_size(sqlite3_file *file)
{
    return PASS(file, xSectorSize);
}

static int file_characteristics(sqlite3_file *file)
{
    return PASS(file, xDeviceCharacteristics);
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1, /* without shared memory and mapped pages */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* --- the VFS ----------------------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct gather_file *self = gather(file);
    *self = (struct gather_file){.real = (sqlite3_file *)(self + 1)};
    self->real->pMethods = NULL;
    int rc = db_vfs_below(vfs)->xOpen(db_vfs_below(vfs), name, self->real, flags, ret_flags);
    if (self->real->pMethods)
        self->base.pMethods = &file_methods;
    return rc;
}

int db_vfs_new(const char *name, struct db_vfs **ret)
{
    sqlite3_vfs *found = sqlite3_vfs_find(name);
    if (!found)
        return -ENOENT;
    struct db_vfs *vfs = xcalloc(1, sizeof(*vfs));
    snprintf(vfs->name, sizeof(vfs->name), "gather-%p", (void *)vfs);
    vfs->base = db_vfs_over(found, vfs->name, sizeof(struct gather_file) + (size_t)found->szOsFile, vfs_open);
    if (sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
        free(vfs);
        return -ENOMEM;
    }
    *ret = vfs;
    return 0;
}

const char *db_vfs_name(const struct db_vfs *vfs)
{
    return vfs->name;
}

void db_vfs_free(struct db_vfs *vfs)
{
    if (!vfs)
        return;
    sqlite3_vfs_unregister(&vfs->base);
    free(vfs);
}
