/* SQLite's write-ahead log, looked at before SQLite recovers from it: recovery ends at the first frame that is not
 * whole, taking it for the torn end of the log, and would drop everything behind a damaged one without a word. */
#ifndef TAI_COMMON_DB_WAL_H
#define TAI_COMMON_DB_WAL_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct wal_scan {
    uint64_t frames; /* whole, up to the last commit: what recovery will use */
    uint64_t bad;    /* the frame, from 1, that is damaged though commits stand behind it; 0: none */
    uint64_t lost;   /* commits behind it that recovery would drop */
    uint64_t
        torn; /* frames of this log behind the last commit that recovery drops: a transaction cut off, or damaged */
    bool bad_header; /* the log's header is damaged though frames stand behind it */
    uint32_t page;   /* bytes */
    int64_t end;     /* bytes of the file up to the last commit before the damage */
};

/* The log of the database at db_path; all zero if there is none. A frame is known to be damaged, not torn by a crash,
 * when a later transaction stands behind its own: each is on disk before the next is written. visit (may be NULL) is
 * called with the number of each page recovery will find in the log. */
must_check int wal_scan(const char *db_path, void (*visit)(void *ctx, uint32_t page), void *ctx, struct wal_scan *ret,
                        struct error *err);
/* What is wrong, in words: -EUCLEAN, or 0. */
must_check int wal_verdict(const char *db_path, const struct wal_scan *scan, struct error *err);

#endif
