/* A consistent copy of the database into a new file while the database thread goes on: read in slices between other
 * jobs, what is committed meanwhile is carried over, so that the copy is the database as of the end. */
#ifndef TAI_COMMON_DB_BACKUP_H
#define TAI_COMMON_DB_BACKUP_H

#include "common/db/db.h"

struct db_backup_progress {
    uint64_t pages, total; /* copied, of the database as it is now */
    uint64_t slices;
    uint64_t restarts;    /* a roll-back makes it begin again */
    int64_t slice_us_max; /* the longest the database thread was held up, by the clock on the wall */
    int64_t cpu_us_max;   /* the most CPU time a slice took: the rest it stood in line for a core */
};

struct db_backup_options {
    const char *path; /* must not exist; mode 0600 */
    const char *vfs;  /* of the copy; NULL but in tests */
    /* After each slice, on the calling thread; -errno, with err, gives up. */
    int (*step)(void *ctx, const struct db_backup_progress *progress, struct error *err);
    void *ctx;
};

/* Returns when the copy is on disk (its directory entry is the caller's to sync). Blocks; not on the database thread.
 * -EUCLEAN: the database is damaged, -ENOSPC, -EIO; then the file is left for the caller to remove. */
must_check int db_backup(struct db *db, const struct db_backup_options *options, struct error *err);

#endif
