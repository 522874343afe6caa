/* The store suite against SQLite, and what only SQLite can be asked: the intake ranges it keeps, a file damaged below
 * the tables. */
#include "../contract/store_suite.c"
#include "store/sqlite/sqlite.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct files {
    char dir[64];
    char path[80];
    struct db *db;
};

static void remove_files(struct files *files)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char path[100];
        snprintf(path, sizeof(path), "%s%s", files->path, suffixes[i]);
        unlink(path);
    }
}

static struct store_backend *open_store(void *ctx, bool fresh)
{
    struct files *files = ctx;
    struct store_backend *backend = NULL;
    struct error err;
    if (fresh)
        remove_files(files);
    const struct db_options options = {.path = files->path, .schema = store_sqlite_schema};
    if (db_open(&options, &files->db, &err) < 0 || store_sqlite_new(files->db, &backend, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return backend;
}

static void close_store(void *ctx, struct store_backend *backend)
{
    struct files *files = ctx;
    store_backend_free(backend);
    db_close(files->db);
}

struct script {
    struct db_job job;
    const char *sql;
    int status;
};

static int script_run(struct db_conn *conn, struct db_job *job)
{
    const struct script *script = (const struct script *)job;
    CHECK_INT(sqlite3_exec(db_handle(conn), script->sql, NULL, NULL, NULL), SQLITE_OK);
    CHECK(sqlite3_changes(db_handle(conn)) > 0);
    return 0;
}

static void script_done(struct db_job *job, int status)
{
    ((struct script *)job)->status = status;
}

/* Through the database thread, so that the pages it changes are whole pages. */
static void execute(struct files *files, const char *sql)
{
    struct error err;
    struct db *db;
    struct db_port *port;
    const struct db_options options = {.path = files->path, .schema = store_sqlite_schema};
    CHECK_INT(db_open(&options, &db, &err), 0);
    CHECK_INT(db_port_open(db, &port, &err), 0);
    struct script script = {.job = {.run = script_run, .done = script_done}, .sql = sql, .status = 1};
    db_submit(port, &script.job);
    while (script.status == 1) {
        struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
        poll(&fd, 1, -1);
        db_port_dispatch(port);
    }
    CHECK_INT(script.status, 0);
    db_port_close(port);
    db_close(db);
}

static void damage(void *ctx, enum store_damage what)
{
    static const char *const sql[DAMAGE_COUNT] = {
        [DAMAGE_SIGNAL_STATUS] = "UPDATE signals SET status = 99",
        [DAMAGE_SIGNAL_HASH] = "UPDATE signals SET sha256 = x'0102'",
        [DAMAGE_SIGNAL_OUTCOMES] = "UPDATE signals SET outcomes = x'0500'",
        [DAMAGE_WAITING_BYTES] = "UPDATE signals SET bytes = NULL WHERE id = 'waits'",
        [DAMAGE_GOVERNOR_STATE] = "UPDATE governors SET state = 99",
        [DAMAGE_GOVERNOR_NUMBERS] = "UPDATE governors SET numbers = substr(numbers, 1, length(numbers) - 1)",
        [DAMAGE_GOVERNOR_PENDING] = "UPDATE governors SET pending = '[1]' WHERE state = 2",
        [DAMAGE_GOVERNOR_NO_ACTION] = "UPDATE governors SET pending = NULL WHERE state = 2",
        [DAMAGE_OUTCOMES] = "UPDATE outcomes SET pack = substr(pack, 1, length(pack) - 1)",
        [DAMAGE_FRONTIER] = "UPDATE shards SET frontier = x'00'",
        [DAMAGE_CHAIN_HASH] = "UPDATE chains SET hash = x'00'",
        [DAMAGE_CHAIN_ORDER] = "UPDATE chain_receipts SET ids = CAST(substr(ids, 9) || substr(ids, 1, 8) AS BLOB)",
        [DAMAGE_RECEIPT_HASH] = "UPDATE receipts SET hash = x'00'",
        [DAMAGE_LEASE_NUMBERS] = "UPDATE partitions SET taken = -1",
        [DAMAGE_DEADLETTER_CLASS] = "UPDATE deadletters SET class = 99",
        [DAMAGE_DEADLETTER_ROW] = "DELETE FROM signals WHERE status = 6",
        [DAMAGE_COMMAND_KIND] = "UPDATE commands SET kind = 99",
    };
    execute(ctx, sql[what]);
}

static void answered(struct store_request *request, int status)
{
    *(int *)request->ctx = status;
}

static int wait_for(struct store *store, const int *status)
{
    while (*status == 1) {
        struct pollfd fd = {.fd = store_poll_fd(store), .events = POLLIN};
        poll(&fd, 1, -1);
        store_dispatch(store);
    }
    return *status;
}

/* Sequences arrive in order, again, with holes, and between two runs: one row for each contiguous run. */
static void commit_ranges(struct files *files, struct intake_range *ranges, size_t count)
{
    struct store_backend *backend = open_store(files, true);
    struct store *store;
    struct error err;
    CHECK_INT(store_open(backend, &store, &err), 0);
    int status = 1;
    struct store_lease lease = {
        .req = {.done = answered, .ctx = &status}, .worker = "a", .partitions = 1, .ttl_ms = 9999};
    store_lease(store, &lease);
    CHECK_INT(wait_for(store, &status), 0);
    for (size_t i = 0; i < count; i++) {
        struct store_commit commit = {.req = {.done = answered, .ctx = &status},
                                      .epoch = 1,
                                      .batch = i,
                                      .next_line = 1,
                                      .intake = &ranges[i],
                                      .intake_count = 1};
        status = 1;
        store_commit(store, &commit);
        CHECK_INT(wait_for(store, &status), 0);
        arena_done(&commit.req.arena);
    }
    arena_done(&lease.req.arena);
    store_close(store);
    close_store(files, backend);
}

static void check_intake(struct files *files, const char *expected)
{
    sqlite3 *handle;
    sqlite3_stmt *stmt = NULL;
    CHECK_INT(sqlite3_open(files->path, &handle), SQLITE_OK);
    sqlite3_prepare_v2(
        handle,
        "SELECT group_concat(run, ' ') FROM (SELECT boot || ':' || first || '-' || last || '<' || confirmed"
        " AS run FROM intake ORDER BY boot, first)",
        -1, &stmt, NULL);
    CHECK_INT(sqlite3_step(stmt), SQLITE_ROW);
    const char *got = (const char *)sqlite3_column_text(stmt, 0);
    CHECK(got && strcmp(got, expected) == 0);
    if (got && strcmp(got, expected) != 0)
        fprintf(stderr, "intake is %s\n     not %s\n", got, expected);
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
}

static void intake(struct files *files)
{
    struct intake_range in_order[] = {{"a", 1, 3, 0}, {"a", 4, 4, 3}, {"b", 1, 1, 1}, {"a", 5, 9, 4}};
    commit_ranges(files, in_order, 4);
    check_intake(files, "a:1-9<4 b:1-1<1");
    struct intake_range holes[] = {{"a", 1, 2, 1}, {"a", 6, 7, 5}, {"a", 10, 10, 9}, {"a", 6, 6, 0}};
    commit_ranges(files, holes, 4);
    check_intake(files, "a:1-2<1 a:6-7<5 a:10-10<9");
    struct intake_range bridge[] = {{"a", 1, 2, 1}, {"a", 6, 7, 5}, {"a", 10, 10, 9}, {"a", 3, 11, 2}};
    commit_ranges(files, bridge, 4);
    check_intake(files, "a:1-11<9");
    struct intake_range before[] = {{"a", 5, 6, 1}, {"a", 2, 4, 5}, {"a", 8, 8, 9}, {"a", 7, 7, 9}};
    commit_ranges(files, before, 4);
    check_intake(files, "a:2-8<9");
}

/* A second store over the same connection begins like a process that starts: whoever held a lease is gone. */
static void opened_again(struct files *files)
{
    struct store_backend *backends[2] = {open_store(files, true)};
    struct error err;
    for (int i = 0; i < 2; i++) {
        struct store *store;
        if (i)
            CHECK_INT(store_sqlite_new(files->db, &backends[i], &err), 0);
        CHECK_INT(store_open(backends[i], &store, &err), 0);
        int status = 1;
        struct store_lease lease = {
            .req = {.done = answered, .ctx = &status}, .worker = i ? "b" : "a", .partitions = 2, .ttl_ms = 600000};
        store_lease(store, &lease);
        CHECK_INT(wait_for(store, &status), 0);
        CHECK_INT(lease.lease_count, 2);
        CHECK(lease.lease_count && lease.leases[0].crashes == (uint32_t)i);
        arena_done(&lease.req.arena);
        store_close(store);
    }
    store_backend_free(backends[0]);
    close_store(files, backends[1]);
}

/* Pages overwritten with rubbish: every request is answered, damage as -EUCLEAN. */
static void torn_pages(struct files *files)
{
    struct intake_range none = {"a", 1, 1, 1};
    commit_ranges(files, &none, 1);
    FILE *file = fopen(files->path, "r+b");
    CHECK(file != NULL);
    if (!file)
        return;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    for (long at = 2 * DB_PAGE_SIZE; at < size;
         at += DB_PAGE_SIZE) { /* the first page holds the schema, the second its rest */
        fseek(file, at, SEEK_SET);
        for (int i = 0; i < DB_PAGE_SIZE; i++)
            fputc(0xa5, file);
    }
    fclose(file);
    struct error err;
    struct db *db = NULL;
    struct store_backend *backend = NULL;
    const struct db_options options = {.path = files->path, .schema = store_sqlite_schema};
    if (db_open(&options, &db, &err) < 0) {
        CHECK(err.text[0] != '\0');
        return;
    }
    int status = store_sqlite_new(db, &backend, &err);
    CHECK(status == 0 || status == -EUCLEAN);
    struct store *store;
    if (status == 0 && store_open(backend, &store, &err) == 0) {
        status = 1;
        struct store_lease lease = {
            .req = {.done = answered, .ctx = &status}, .worker = "a", .partitions = 1, .ttl_ms = 9999};
        store_lease(store, &lease);
        CHECK_INT(wait_for(store, &status), -EUCLEAN);
        CHECK(lease.req.error != NULL);
        arena_done(&lease.req.arena);
        store_close(store);
    }
    store_backend_free(backend);
    db_close(db);
}

int main(void)
{
    struct files files = {.dir = "/tmp/tai-store-XXXXXX"};
    if (!mkdtemp(files.dir))
        return 1;
    snprintf(files.path, sizeof(files.path), "%s/store.db", files.dir);
    const struct store_suite suite = {
        .name = "sqlite", .ctx = &files, .open = open_store, .close = close_store, .damage = damage};
    int failed = store_suite_run(&suite);
    intake(&files);
    opened_again(&files);
    torn_pages(&files);
    remove_files(&files);
    rmdir(files.dir);
    return failed || atomic_load(&check_failures) ? 1 : 0;
}
