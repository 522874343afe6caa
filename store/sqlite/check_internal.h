/* What the files of the offline check share: a scan of tables, and what is counted on the way to be held against other
 * tables. One thread; memory does not grow with the rows. */
#ifndef TAI_STORE_SQLITE_CHECK_INTERNAL_H
#define TAI_STORE_SQLITE_CHECK_INTERNAL_H

#include "store/sqlite/internal.h"

struct tally { /* of a partition: rows found */
    uint64_t waiting, acting, ended, governors;
    uint64_t kept;                 /* ended signals with their bytes */
    uint64_t letters[CLASS_COUNT]; /* open dead letters */
    uint64_t line;                 /* the highest */
};

struct scan {
    struct db_reader *reader;
    struct db_conn *conn;
    const struct store_check *options;
    struct check *check;
    struct hasher *hasher;
    struct store_request request; /* arena and error of the row under way */
    const char *table;
    uint32_t partitions, shards;
    struct tally *tallies; /* STORE_PARTITIONS_MAX */
    uint64_t *next;        /* by partition and shard: the next outcome number */
    uint64_t *receipted;   /* the same: the last one receipted */
};

typedef void scan_row(struct scan *scan, struct row *row);
/* Calls each for every row of stmt; damage that ends the scan is a problem of the table. */
void scan_rows(struct scan *scan, const char *table, sqlite3_stmt *stmt, scan_row *each);
/* Whether the row was decoded; a problem of it if not. */
bool scan_good(struct scan *scan, const struct row *row);
void scan_bad(struct scan *scan, const struct row *row, const char *format, ...) __attribute__((format(printf, 3, 4)));
void scan_bad_key(struct scan *scan, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A number that a statement tells; a problem of the table, and false, if it cannot. */
bool scan_number(struct scan *scan, sqlite3_stmt *stmt, int64_t *ret);

/* Whether partition is that of the governor. What could not be read at all is _system's, in the partition it came to.
 */
bool scan_partition(const struct scan *scan, struct span tenant_id, struct span entitlement_id, uint32_t partition);

static inline uint64_t *numbers_at(uint64_t *numbers, uint32_t partition, uint32_t shard)
{
    return &numbers[(size_t)partition * STORE_SHARDS_MAX + shard];
}

void check_numbers(struct scan *scan); /* check_ledger.c: outcome_numbers, outcome_cursors */
void check_ledger(struct scan *scan);  /* outcomes, shards, receipts and what finds them, chains */
void check_governors(struct scan *scan);
void check_signals(struct scan *scan);
void check_triage(struct scan *scan);     /* check_triage.c: dead letters, commands, attempts */
void check_partitions(struct scan *scan); /* check_signals.c: last, when all is counted */

#endif
