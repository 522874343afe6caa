/* A VFS for files nobody writes: opens read-only, locks nothing, deletes nothing, and has a log that is not there look
 * like an empty one, so that a database in WAL mode can be read without making one. The connection must be in
 * locking_mode EXCLUSIVE: the log's index is then in memory. */
#include "common/db/internal.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct db_rest {
    sqlite3_vfs vfs; /* over the default one, for names and time */
    char name[40];
};

struct rest_file {
    sqlite3_file base;
    int fd; /* -1: empty */
};

static int fd_of(sqlite3_file *file)
{
    return ((struct rest_file *)file)->fd;
}

static int rest_close(sqlite3_file *file)
{
    if (fd_of(file) >= 0)
        close(fd_of(file));
    return SQLITE_OK;
}

static int rest_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    int done = 0;
    while (fd_of(file) >= 0 && done < len) {
        ssize_t n = pread(fd_of(file), (char *)data + done, (size_t)(len - done), offset + done);
        if (n < 0 && errno != EINTR)
            return SQLITE_IOERR_READ;
        if (n == 0)
            break;
        done += n > 0 ? (int)n : 0;
    }
    if (done == len)
        return SQLITE_OK;
    memset((char *)data + done, 0, (size_t)(len - done));
    return SQLITE_IOERR_SHORT_READ;
}

static int rest_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    (void)file, (void)data, (void)len, (void)offset;
    return SQLITE_READONLY;
}

static int rest_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)file, (void)size;
    return SQLITE_READONLY;
}

static int rest_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct stat info = {0};
    if (fd_of(file) >= 0 && fstat(fd_of(file), &info) < 0)
        return SQLITE_IOERR_FSTAT;
    *ret = info.st_size;
    return SQLITE_OK;
}

static int rest_any(sqlite3_file *file, int value)
{
    (void)file, (void)value;
    return SQLITE_OK;
}

static int rest_reserved(sqlite3_file *file, int *ret)
{
    (void)file;
    *ret = 0;
    return SQLITE_OK;
}

static int rest_control(sqlite3_file *file, int op, void *arg)
{
    (void)file, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int rest_none(sqlite3_file *file)
{
    (void)file;
    return 0;
}

static const sqlite3_io_methods rest_methods = {
    .iVersion = 1, /* without shared memory and mapped pages */
    .xClose = rest_close,
    .xRead = rest_read,
    .xWrite = rest_write,
    .xTruncate = rest_truncate,
    .xSync = rest_any,
    .xFileSize = rest_size,
    .xLock = rest_any,
    .xUnlock = rest_any,
    .xCheckReservedLock = rest_reserved,
    .xFileControl = rest_control,
    .xSectorSize = rest_none,
    .xDeviceCharacteristics = rest_none,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
    struct rest_file *file = (struct rest_file *)base;
    (void)vfs;
    *file = (struct rest_file){.fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1};
    if (file->fd < 0 && (!name || errno != ENOENT || !(flags & SQLITE_OPEN_WAL)))
        return SQLITE_CANTOPEN;
    file->base.pMethods = &rest_methods;
    if (ret_flags)
        *ret_flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs, (void)name, (void)sync;
    return SQLITE_READONLY;
}

int db_rest_new(struct db_rest **ret)
{
    (void)db_default_vfs(); /* SQLite is configured before its first use */
    sqlite3_vfs *found = sqlite3_vfs_find(NULL);
    if (!found)
        return -ENOENT;
    struct db_rest *rest = xcalloc(1, sizeof(*rest));
    snprintf(rest->name, sizeof(rest->name), "rest-%p", (void *)rest);
    rest->vfs = db_vfs_over(found, rest->name, sizeof(struct rest_file), vfs_open);
    rest->vfs.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&rest->vfs, 0) != SQLITE_OK) {
        free(rest);
        return -ENOMEM;
    }
    *ret = rest;
    return 0;
}

const char *db_rest_name(const struct db_rest *rest)
{
    return rest->name;
}

void db_rest_free(struct db_rest *rest)
{
    if (!rest)
        return;
    sqlite3_vfs_unregister(&rest->vfs);
    free(rest);
}
