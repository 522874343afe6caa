/* What the API needs of whoever can copy the data set while it is used. Implemented by apps. */
#ifndef TAI_ANDON_BACKUP_H
#define TAI_ANDON_BACKUP_H

#include "common/error.h"

#include <stdint.h>

enum backup_state { BACKUP_NONE, BACKUP_RUNNING, BACKUP_DONE, BACKUP_FAILED, BACKUP_STATE_COUNT };

enum { BACKUP_PATH_MAX = 4000 };

struct andon_backup_status {
    enum backup_state state; /* of the last one since the start */
    char directory[BACKUP_PATH_MAX + 1];
    uint64_t pages, total;            /* of the database, copied so far */
    int64_t began_ms, ended_ms;       /* wall; 0: not yet */
    int64_t slice_us_max, cpu_us_max; /* the longest the database was held up: by the wall clock, and in CPU time */
    char error[sizeof(((struct error *)0)->text)]; /* failed: why */
};

struct andon_backup {
    /* Begins one into a new directory (absolute path); any thread. -EBUSY: one is under way; -EEXIST, -EINVAL, -ENOSPC
     * and what mkdir says. */
    int (*start)(void *ctx, const char *directory, struct error *err);
    void (*status)(void *ctx, struct andon_backup_status *ret); /* any thread */
    void *ctx;
};

#endif
