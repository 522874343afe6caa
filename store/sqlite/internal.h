/* What the files of the SQLite store share. A request is one job on the database thread (two for an append, several for
 * a long listing); its run function reads the caller's request and fills it, allocating only from the request's arena.
 */
#ifndef TAI_STORE_SQLITE_INTERNAL_H
#define TAI_STORE_SQLITE_INTERNAL_H

#include "store/sqlite/sqlite.h"

#include <errno.h>

enum { OUTCOMES_CHANNEL = 31, COMMANDS_CHANNEL = 30, ORDER_BITS = 48, RECEIPT_BLOCK = 1000, CHAIN_BLOCK = 100 };

/* A statement costs more than a row: hot ones take ROWS rows at once. X16("(?,?)") are their parameters. The last rows
 * of a batch go through a second form, which leaves out those with NULL first; padding it is cheaper than one by one.
 */
enum { ROWS = 16 };
#define X4(row)        row "," row "," row "," row
#define X16(row)       X4(row) "," X4(row) "," X4(row) "," X4(row)
#define FULL_ROWS(row) " VALUES " X16(row)
#define SOME_ROWS(row) " SELECT * FROM (VALUES " X16(row) ") WHERE column1 NOTNULL"

static inline int64_t order_of(uint32_t shard, uint64_t at)
{
    return (int64_t)((uint64_t)shard << ORDER_BITS | at);
}

/* Where the sweep goes on; the database thread's. */
struct sweep_at {
    char tenant[STORE_ID_MAX], id[STORE_ID_MAX], entitlement[STORE_ID_MAX];
    size_t tenant_len, id_len, entitlement_len;
    int64_t redrive;
    uint8_t conflict[SHA256_SIZE];
    size_t conflict_len;
};

struct sqlite_store {
    struct store_backend base;
    struct db *db;
    struct sweep_at sweep;
};

struct op;
/* 0 or -errno, in the database thread. It may set op->then: what runs next, as a read, after the COMMIT of this. */
typedef int op_run(struct db_conn *conn, struct op *op);

struct op {
    struct db_job job;
    struct store_link *link;
    struct store_request *request;
    op_run *run;
    op_run *then;
    void *state; /* of a request that runs several times; in its arena */
    struct op *next, *prev;
};

struct store_link {
    struct sqlite_store *store;
    struct db_port *port;
    struct op *in_flight;
    struct op *spare;
};

/* sqlite.c */
void op_submit(struct store_link *link, struct store_request *request, op_run *run, bool read);
/* Sets the request's error text; returns code. */
int op_error(struct store_request *request, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* row.c: binding and reading. Readers go column by column; one that cannot be decoded spoils the row, row_check says
 * so. */
struct row {
    sqlite3_stmt *stmt;
    struct arena *arena; /* texts and blobs are copied here */
    int column;          /* the next one */
    int bad;             /* 1 + the first column that could not be decoded; 0: none */
};
static inline struct row row_of(sqlite3_stmt *stmt, struct arena *arena)
{
    return (struct row){.stmt = stmt, .arena = arena};
}
int64_t row_int(struct row *row, int64_t min, int64_t max);
int64_t row_int_or(struct row *row, int64_t min, int64_t max, int64_t null); /* null stands for NULL */
uint64_t row_count(struct row *row);                                         /* 0..INT64_MAX */
struct span row_text(struct row *row, size_t max);
struct span row_borrow(struct row *row, size_t max);       /* text, valid until the next step */
struct span row_text_or_null(struct row *row, size_t max); /* ptr NULL for NULL */
struct span row_blob_or_null(struct row *row, size_t max);
void row_bytes(struct row *row, void *ret, size_t len); /* a blob of exactly len bytes */
void row_spoil(struct row *row);                        /* the column just read makes no sense */
enum { ROW_KEYS_MAX = 256 };
void row_keys(const struct row *row, char *ret, size_t size); /* what tells it from others: " tenant=acme id=evt-1" */
must_check int row_check(const struct row *row, struct store_request *request);

static inline void bind_span(sqlite3_stmt *stmt, int index, struct span span)
{
    sqlite3_bind_text(stmt, index, span.len ? span.ptr : "", (int)span.len, SQLITE_STATIC);
}
static inline void bind_blob(sqlite3_stmt *stmt, int index, const void *data, size_t len)
{
    sqlite3_bind_blob(stmt, index, len ? data : "", (int)len, SQLITE_STATIC);
}
static inline void bind_u64(sqlite3_stmt *stmt, int index, uint64_t value)
{
    sqlite3_bind_int64(stmt, index, (int64_t)value);
}
/* NULL for `none`. */
static inline void bind_or_null(sqlite3_stmt *stmt, int index, int64_t value, int64_t none)
{
    if (value == none)
        sqlite3_bind_null(stmt, index);
    else
        sqlite3_bind_int64(stmt, index, value);
}
static inline void bind_key(sqlite3_stmt *stmt, int index, struct span tenant_id, struct span entitlement_id)
{
    bind_span(stmt, index, tenant_id);
    bind_span(stmt, index + 1, entitlement_id);
}
/* NULL for the rows from `rows` on, of `parameters` each. */
static inline void bind_padding(sqlite3_stmt *stmt, int rows, int parameters)
{
    for (; rows < ROWS; rows++)
        sqlite3_bind_null(stmt, rows * parameters + 1);
}
/* Runs an upsert of rows that all exist; -ENOENT if one does not. For tables with a rowid. */
must_check int run_updates(struct db_conn *conn, sqlite3_stmt *stmt, int rows);
/* Runs stmt, which returns one row with one number. */
must_check int stmt_number(sqlite3_stmt *stmt, struct store_request *request, int64_t *ret);

/* An array that grows in an arena. */
struct list {
    void *items;
    size_t count, cap;
};
void *list_add(struct list *list, struct arena *arena, size_t size); /* a zeroed item */

/* pack.c: numbers and texts within blobs. put_: room for VARINT_MAX bytes, or that and the text. take_: false at the
 * end or if malformed. */
enum { VARINT_MAX = 10 };
struct pack {
    const uint8_t *at, *end;
};
uint8_t *put_u64(uint8_t *at, uint64_t value);
uint8_t *put_i64(uint8_t *at, int64_t value);
uint8_t *put_span(uint8_t *at, struct span span);
bool take_u64(struct pack *pack, uint64_t *ret);
bool take_i64(struct pack *pack, int64_t min, int64_t max, int64_t *ret);
bool take_span(struct pack *pack, size_t max, struct span *ret); /* borrowed */

/* signals.c: rows of signals */
#define SIGNAL_COLUMNS                                                                                                 \
    "tenant, id, entitlement, redrive, conflict, sha256, status, reason, accepted_at, changed_at, outcomes, line, "    \
    "due,"                                                                                                             \
    " since, deferrals"
void signal_row_read(struct row *row, struct signal_row *ret);   /* reads SIGNAL_COLUMNS */
void signal_read_bytes(struct row *row, struct signal_row *ret); /* reads "envelope, bytes" */
must_check int signals_write(struct db_conn *conn, struct store_commit *request);

/* governors.c: rows of governors */
#define GOVERNOR_COLUMNS "state, numbers, sku, pending, policy_state"
/* Reads GOVERNOR_COLUMNS; ret is heap-owned, and empty when the row is spoiled. */
void governor_read(struct row *row, struct governor_record *ret);
must_check int governors_write(struct db_conn *conn, struct store_commit *request);

/* intake.partition of what was taken from the queue of refusals. */
#define INTAKE_REFUSALS INT64_C(0xffffffff)

/* Frames of a boot at or below `confirmed` that no range accounts for; summed over FROM INTAKE_BOOTS, b. Nearly every
 * boot has one range, which needs no second look. */
#define INTAKE_BOOTS                                                                                                   \
    "(SELECT partition, boot, max(confirmed) AS confirmed, count(*) AS ranges, max(first) AS first, max(last) AS last" \
    " FROM intake GROUP BY partition, boot) b"
#define MISSING_FRAMES                                                                                                 \
    "coalesce(sum(b.confirmed - iif(b.ranges = 1, max(min(b.last, b.confirmed) - b.first + 1, 0),"                     \
    " (SELECT coalesce(sum(min(i.last, b.confirmed) - i.first + 1), 0) FROM intake i"                                  \
    " WHERE i.partition = b.partition AND i.boot = b.boot AND i.first <= b.confirmed))), 0)"

/* lease.c: reads PARTITION_COLUMNS. */
#define PARTITION_COLUMNS                                                                                              \
    "partition, epoch, batch, crashes, clock, next_line, taken, requeued, ended, duplicates, waiting, acting,"         \
    " governors, wall_day, wall_low, wall_before"
void partition_read(struct row *row, struct lease *ret);

/* the requests */
op_run lease_run, shards_run;                       /* lease.c */
must_check int leases_forget(struct db_conn *conn); /* nobody holds a lease any more: whoever did died with it */
op_run commit_run;                                  /* commit.c */
op_run lookup_run, load_run, outcome_numbers_run;   /* lookup.c */
op_run waiting_run, due_run;                        /* waiting.c */
op_run outcomes_run, chains_run, append_run;        /* ledger.c */
#define HEAD_COLUMNS "shard, epoch, batch, size, frontier, tiled"
/* ledger.c: reads HEAD_COLUMNS. */
must_check int shard_head_read(sqlite3_stmt *stmt, struct store_request *request, struct shard_head *ret);
op_run receipt_run, receipts_run; /* receipts.c */
op_run tiles_run;                 /* tiles.c */
must_check int tiles_write(struct db_conn *conn, struct store_append *request);
int64_t tile_id(uint32_t shard, uint32_t level, uint64_t number);
#define RECEIPT_COLUMNS                                                                                                \
    "id, chain, seq, receipt_id, partition, number, hash, tenant, entitlement, signal, type, timestamp, body"
must_check int receipt_read(sqlite3_stmt *stmt, struct store_request *request, struct receipt *ret,
                            uint32_t *ret_shard);
bool receipt_id_parse(const char text[UUID_TEXT + 1], uint8_t ret[16]);
/* outcomes.c: the part of a commit, and of an append. */
must_check int outcomes_write(struct db_conn *conn, struct store_commit *request);
must_check int outcomes_consume(struct db_conn *conn, struct store_append *request);
/* Reads "partition, first, count, receipted, pack": adds up to the request's limit of those behind receipted. */
must_check int outcomes_unpack(struct row *row, struct store_outcomes *request, struct list *list);
/* triage.c */
op_run deadletter_run, deadletters_run;
must_check int deadletters_write(struct db_conn *conn, struct store_commit *request);
/* The open dead letter of that id, with its bytes: 1, or 0 if there is none. */
must_check int deadletter_find(struct db_conn *conn, struct store_request *request, const uint8_t id[16],
                               struct deadletter *ret);
/* The row of an open dead letter and of its signal; the key comes from deadletters, so that a signal's row that is gone
 * shows: its hash is NULL. */
#define DEADLETTER_COLUMNS "number, receipt, d.partition, class, state, " SIGNAL_COLUMNS
#define DEADLETTER_ROWS    " FROM deadletters d LEFT JOIN signals USING(id, tenant, entitlement, redrive, conflict)"
void deadletter_read(struct row *row, struct deadletter *ret); /* reads DEADLETTER_COLUMNS */
must_check int deadletter_close(struct db_conn *conn, struct store_commit *request, const char *id);
void receipt_id_format(const uint8_t uuid[16], char ret[UUID_TEXT + 1]);
/* commands.c */
op_run command_add_run, command_run, command_list_run, commands_run;
#define COMMAND_COLUMNS                                                                                                \
    "number, command, kind, partition, tenant, entitlement, deadletter, args, operator, created_at, status, reason"
void command_read(struct row *row, struct command *ret, uint8_t ret_deadletter[16]); /* reads COMMAND_COLUMNS */
must_check int commands_write(struct db_conn *conn, struct store_commit *request);
/* attempts.c */
must_check int attempts_write(struct db_conn *conn, const struct store_commit *request);
must_check int attempts_read(struct db_conn *conn, struct store_lookup *request);
/* A heartbeat of the worker: it lives, so what it had begun under leases that it does not hold any more was no crash.
 */
must_check int attempts_withdraw(struct db_conn *conn, const char *worker);
op_run signal_run, governors_run, totals_run; /* query.c */
op_run partitions_run;                        /* partitions.c */
op_run fix_run, sweep_run;                    /* dataset.c */

#endif
