/* The offline check of a store: every row of every table through the decoders of the service. Runs in the command line,
 * on a database nobody has open. Failure: a problem of the row or table; the rest is checked all the same. */
#include "store/sqlite/check_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 400 };

void scan_bad_key(struct scan *scan, const char *key, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    check_problem(scan->check, scan->table, *key == ' ' ? key + 1 : key, CHECK_RESTORE, "%s", text);
}

void scan_bad(struct scan *scan, const struct row *row, const char *format, ...)
{
    char text[TEXT_MAX], keys[ROW_KEYS_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    row_keys(row, keys, sizeof(keys));
    scan_bad_key(scan, keys, "%s", text);
}

bool scan_good(struct scan *scan, const struct row *row)
{
    if (row->bad)
        scan_bad(scan, row, "column %s cannot be true", sqlite3_column_name(row->stmt, row->bad - 1));
    return !row->bad;
}

void scan_rows(struct scan *scan, const char *table, sqlite3_stmt *stmt, scan_row *each)
{
    char doing[64];
    uint64_t rows = 0;
    int rc;
    scan->table = table;
    snprintf(doing, sizeof(doing), "rows of %s", table);
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, &scan->request.arena);
        each(scan, &row);
        arena_reset(&scan->request.arena);
        scan->request.error = NULL;
        scan->table = table;
        scan->check->rows++;
        if (++rows % 64 == 0)
            check_step(scan->check, doing, rows, 0);
    }
    if (rc < 0)
        scan_bad_key(scan, "", "%s; the rows behind it could not be checked", db_reader_damage(scan->reader));
}

bool scan_number(struct scan *scan, sqlite3_stmt *stmt, int64_t *ret)
{
    int rc = db_step(stmt);
    if (rc == 1)
        *ret = sqlite3_column_int64(stmt, 0);
    else
        scan_bad_key(scan, "", "%s", rc ? db_reader_damage(scan->reader) : "no row where one is due");
    sqlite3_reset(stmt);
    return rc == 1;
}

bool scan_partition(const struct scan *scan, struct span tenant_id, struct span entitlement_id, uint32_t partition)
{
    if (partition >= scan->partitions)
        return false;
    return span_is(tenant_id, "_system") || hash_bucket(tenant_id, entitlement_id, scan->partitions) == partition;
}

/* --- dataset ----------------------------------------------------------------------------------------------------- */

static void fixed(struct scan *scan, struct row *row)
{
    struct span name = row_text(row, STORE_ID_MAX);
    bool partitions = span_is(name, "kanban.partitions"), shards = span_is(name, "ledger.shards");
    int64_t value = row_int(row, 1, partitions ? STORE_PARTITIONS_MAX : shards ? STORE_SHARDS_MAX : INT64_MAX);
    if (!scan_good(scan, row))
        return;
    if (partitions)
        scan->partitions = (uint32_t)value;
    else if (shards)
        scan->shards = (uint32_t)value;
    else
        scan_bad(scan, row, "nothing of that name is fixed for a data set");
}

/* Whether anything was ever stored. */
static bool in_use(struct scan *scan)
{
    int64_t any = 0;
    scan->table = "partitions";
    return scan_number(scan,
                       db_stmt(scan->conn, "SELECT EXISTS(SELECT 1 FROM partitions) OR EXISTS(SELECT 1 FROM shards)"),
                       &any) &&
           any;
}

void store_sqlite_check(struct db_reader *reader, struct store_check *options)
{
    size_t numbers = (size_t)STORE_PARTITIONS_MAX * STORE_SHARDS_MAX;
    struct scan scan = {.reader = reader,
                        .conn = db_reader_conn(reader),
                        .options = options,
                        .check = options->check,
                        .hasher = hasher_new(),
                        .tallies = xcalloc(STORE_PARTITIONS_MAX, sizeof(struct tally)),
                        .next = xcalloc(numbers, sizeof(uint64_t)),
                        .receipted = xcalloc(numbers, sizeof(uint64_t))};
    scan_rows(&scan, "dataset", db_stmt(scan.conn, "SELECT name, value FROM dataset"), fixed);
    options->partitions = scan.partitions;
    options->shards = scan.shards;
    scan.table = "dataset";
    if (scan.partitions && scan.shards) {
        check_numbers(&scan);
        check_signals(&scan);
        check_governors(&scan);
        check_triage(&scan);
        check_partitions(&scan);
        check_ledger(&scan);
    } else if (scan.partitions || scan.shards || in_use(&scan)) {
        scan.table = "dataset";
        scan_bad_key(&scan, "", "kanban.partitions or ledger.shards is missing: the other tables could not be checked");
    }
    arena_done(&scan.request.arena);
    hasher_free(scan.hasher);
    free(scan.tallies);
    free(scan.next);
    free(scan.receipted);
}
