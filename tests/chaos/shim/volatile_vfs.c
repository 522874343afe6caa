/* A default VFS under which a kill -9 costs what a power cut costs: writes of the database and its log reach the file
 * only with the sync after them. The whole content is held in memory and answers reads; what was written since the last
 * sync is a list of ranges. A clean close writes through. The log's index is shared memory of the real VFS and dies
 * with its users anyway. One thread: the database's, after the opening one. */
#include "shim.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct range {
    sqlite3_int64 offset;
    int len; /* -1: truncated to offset */
};

struct image {
    char *data;
    sqlite3_int64 size, cap;
    struct range *ranges;
    size_t range_count, range_cap;
};

struct vfile {
    sqlite3_file base;
    struct image *image; /* NULL: passed through */
    sqlite3_file *real;
};

static struct vfile *vfile(sqlite3_file *file)
{
    return (struct vfile *)file;
}

#define REAL(file)              (vfile(file)->real)
#define PASS(file, method, ...) (REAL(file)->pMethods->method(REAL(file), ##__VA_ARGS__))

static void grow(struct image *image, sqlite3_int64 size)
{
    if (size > image->cap) {
        sqlite3_int64 cap = size * 2;
        image->data = realloc(image->data, (size_t)cap);
        if (!image->data)
            abort();
        image->cap = cap;
    }
    if (size > image->size) {
        memset(image->data + image->size, 0, (size_t)(size - image->size));
        image->size = size;
    }
}

static void note_range(struct image *image, sqlite3_int64 offset, int len)
{
    if (image->range_count == image->range_cap) {
        image->range_cap = image->range_cap ? image->range_cap * 2 : 64;
        image->ranges = realloc(image->ranges, image->range_cap * sizeof(*image->ranges));
        if (!image->ranges)
            abort();
    }
    image->ranges[image->range_count++] = (struct range){offset, len};
}

/* Bytes that a later truncation took away are written as zeros and cut off again. */
static int write_range(sqlite3_file *file, struct range range)
{
    struct image *image = vfile(file)->image;
    if (range.len < 0)
        return PASS(file, xTruncate, range.offset);
    sqlite3_int64 left = image->size - range.offset;
    int len = left < range.len ? (int)(left > 0 ? left : 0) : range.len;
    return len ? PASS(file, xWrite, image->data + range.offset, len, range.offset) : SQLITE_OK;
}

static int write_through(sqlite3_file *file)
{
    struct image *image = vfile(file)->image;
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < image->range_count; i++)
        rc = write_range(file, image->ranges[i]);
    if (rc == SQLITE_OK)
        image->range_count = 0;
    return rc;
}

static int v_close(sqlite3_file *file)
{
    struct image *image = vfile(file)->image;
    if (image) {
        (void)write_through(file);
        free(image->data);
        free(image->ranges);
        free(image);
    }
    return PASS(file, xClose);
}

static int v_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    struct image *image = vfile(file)->image;
    if (!image)
        return PASS(file, xRead, data, len, offset);
    sqlite3_int64 left = image->size - offset;
    int have = left < 0 ? 0 : left < len ? (int)left : len;
    if (have)
        memcpy(data, image->data + offset, (size_t)have);
    memset((char *)data + have, 0, (size_t)(len - have));
    return have == len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int v_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct image *image = vfile(file)->image;
    if (!image)
        return PASS(file, xWrite, data, len, offset);
    if (shim_disk_full())
        return SQLITE_FULL;
    grow(image, offset + len);
    memcpy(image->data + offset, data, (size_t)len);
    note_range(image, offset, len);
    int64_t writeback = shim_number("TAI_CHAOS_WRITEBACK", 0);
    if (writeback && shim_sometimes((unsigned)writeback))
        return PASS(file, xWrite, data, len, offset);
    return SQLITE_OK;
}

static int v_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct image *image = vfile(file)->image;
    if (!image)
        return PASS(file, xTruncate, size);
    if (size < image->size)
        image->size = size;
    note_range(image, size, -1);
    return SQLITE_OK;
}

static int v_sync(sqlite3_file *file, int flags)
{
    if (vfile(file)->image && shim_skips_sync())
        return SQLITE_OK;
    int rc = vfile(file)->image ? write_through(file) : SQLITE_OK;
    return rc == SQLITE_OK ? PASS(file, xSync, flags) : rc;
}

static int v_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct image *image = vfile(file)->image;
    if (!image)
        return PASS(file, xFileSize, size);
    *size = image->size;
    return SQLITE_OK;
}

static int v_lock(sqlite3_file *file, int level)
{
    return PASS(file, xLock, level);
}
static int v_unlock(sqlite3_file *file, int level)
{
    return PASS(file, xUnlock, level);
}
static int v_reserved(sqlite3_file *file, int *ret)
{
    return PASS(file, xCheckReservedLock, ret);
}
static int v_control(sqlite3_file *file, int op, void *arg)
{
    return PASS(file, xFileControl, op, arg);
}
static int v_sector(sqlite3_file *file)
{
    return PASS(file, xSectorSize);
}
static int v_device(sqlite3_file *file)
{
    return PASS(file, xDeviceCharacteristics);
}
static int v_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return PASS(file, xShmMap, page, size, extend, ret);
}
static int v_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return PASS(file, xShmLock, offset, n, flags);
}
static void v_shm_barrier(sqlite3_file *file)
{
    PASS(file, xShmBarrier);
}
static int v_shm_unmap(sqlite3_file *file, int remove)
{
    return PASS(file, xShmUnmap, remove);
}

static const sqlite3_io_methods methods = {
    2,         v_close,  v_read,   v_write,   v_truncate, v_sync,        v_size,      v_lock, v_unlock, v_reserved,
    v_control, v_sector, v_device, v_shm_map, v_shm_lock, v_shm_barrier, v_shm_unmap, NULL,   NULL,
};

static int load_image(struct vfile *self)
{
    struct image *image = calloc(1, sizeof(*image));
    sqlite3_int64 size = 0;
    if (!image)
        abort();
    self->image = image;
    int rc = self->real->pMethods->xFileSize(self->real, &size);
    if (rc != SQLITE_OK || size == 0)
        return rc;
    grow(image, size);
    return self->real->pMethods->xRead(self->real, image->data, (int)size, 0);
}

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    struct vfile *self = vfile(file);
    sqlite3_vfs *real = vfs->pAppData;
    *self = (struct vfile){.real = (sqlite3_file *)(self + 1)};
    int rc = real->xOpen(real, name, self->real, flags, ret_flags);
    if (self->real->pMethods)
        self->base.pMethods = &methods;
    if (rc == SQLITE_OK && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))
        rc = load_image(self);
    return rc;
}

__attribute__((constructor)) static void register_vfs(void)
{
    static sqlite3_vfs vfs;
    const char *wanted = getenv("TAI_CHAOS_VFS");
    if (!wanted || strcmp(wanted, "volatile") != 0)
        return;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.zName = "volatile";
    vfs.pAppData = real;
    vfs.szOsFile = (int)sizeof(struct vfile) + real->szOsFile;
    vfs.xOpen = v_open;
    sqlite3_vfs_register(&vfs, 1);
}
