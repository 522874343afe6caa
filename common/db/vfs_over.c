/* What every VFS that stands over another has in common: all but opening goes down as it came. No state. */
#include "common/db/internal.h"

static int down_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    return db_vfs_below(vfs)->xDelete(db_vfs_below(vfs), name, sync);
}

static int down_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    return db_vfs_below(vfs)->xAccess(db_vfs_below(vfs), name, flags, ret);
}

static int down_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    return db_vfs_below(vfs)->xFullPathname(db_vfs_below(vfs), name, size, ret);
}

static int down_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
    return db_vfs_below(vfs)->xRandomness(db_vfs_below(vfs), size, ret);
}

static int down_sleep(sqlite3_vfs *vfs, int us)
{
    return db_vfs_below(vfs)->xSleep(db_vfs_below(vfs), us);
}

static int down_time(sqlite3_vfs *vfs, double *ret)
{
    return db_vfs_below(vfs)->xCurrentTime(db_vfs_below(vfs), ret);
}

static int down_last_error(sqlite3_vfs *vfs, int size, char *ret)
{
    return db_vfs_below(vfs)->xGetLastError(db_vfs_below(vfs), size, ret);
}

sqlite3_vfs db_vfs_over(sqlite3_vfs *below, const char *name, size_t file_size, db_vfs_open *open)
{
    return (sqlite3_vfs){.iVersion = 1,
                         .szOsFile = (int)file_size,
                         .mxPathname = below->mxPathname,
                         .zName = name,
                         .pAppData = below,
                         .xOpen = open,
                         .xDelete = down_delete,
                         .xAccess = down_access,
                         .xFullPathname = down_full_path,
                         .xRandomness = down_randomness,
                         .xSleep = down_sleep,
                         .xCurrentTime = down_time,
                         .xGetLastError = down_last_error};
}
