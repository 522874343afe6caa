/* Leases of partitions and shards: one heartbeat in two flavours.
 *
 * Who owns what stands in the file, until when does not: terms and live workers are TEMP tables, which never touch the
 * disk, so a heartbeat that changes no owner costs no fsync. They are transactional all the same. Only one process ever
 * has the file open, hence an owner without a term died without giving back, and terms may count monotonic time: the
 * wall clock can jump without breaking a lease. Database thread only. */
#include "common/clock.h"
#include "store/sqlite/internal.h"

struct heartbeat { /* what lease and shards have in common */
    struct store_request *request;
    const struct lease_sql *sql;
    const char *worker;
    uint32_t slots;
    int64_t now_ms, ttl_ms;
    const uint32_t *release;
    uint32_t release_count;
    bool leaving;
    bool *claimed; /* out, per slot */
    uint32_t share;
};

struct lease_sql {
    const char *slots, *add, *release, *release_all, *renew, *held, *vacant, *take, *term;
    const char *beat, *bury, *leave, *workers;
};

#define TERM(role, key) "EXISTS(SELECT 1 FROM lease_terms WHERE role = '" role "' AND slot = " key
#define LEASE_SQL(role, table, key)                                                                                    \
    {                                                                                                                  \
        .slots = "SELECT count(*) FROM " table " WHERE " key " < ?1",                                                  \
        .add = "INSERT INTO " table "(" key ") VALUES(?1) ON CONFLICT DO NOTHING",                                     \
        .release = "UPDATE " table " SET owner = NULL WHERE " key " = ?2 AND owner = ?1 AND " TERM(role, key) ")",     \
        .release_all = "UPDATE " table " SET owner = NULL WHERE owner = ?1 AND " TERM(role, key) ")",                  \
        .renew = "UPDATE lease_terms SET until = ?2 WHERE role = '" role "' AND slot IN"                               \
                 " (SELECT " key " FROM " table " WHERE owner = ?1)",                                                  \
        .held = "SELECT count(*) FROM " table " WHERE owner = ?1 AND " TERM(role, key) ")",                            \
        .vacant = "SELECT " key " FROM " table " WHERE " key                                                           \
                  " < ?1 AND (owner IS NULL OR NOT " TERM(role, key) " AND until > ?2)) ORDER BY " key,                \
        .take = "UPDATE " table " SET crashes = crashes + (owner IS NOT NULL), epoch = epoch + 1, owner = ?2"          \
                " WHERE " key " = ?1",                                                                                 \
        .term = "INSERT INTO lease_terms(role, slot, until) VALUES('" role "', ?1, ?2)"                                \
                " ON CONFLICT DO UPDATE SET until = excluded.until",                                                   \
        .beat = "INSERT INTO lease_workers(role, worker, until) VALUES('" role "', ?1, ?2)"                            \
                " ON CONFLICT DO UPDATE SET until = excluded.until",                                                   \
        .bury = "DELETE FROM lease_workers WHERE role = '" role "' AND until <= ?1",                                   \
        .leave = "DELETE FROM lease_workers WHERE role = '" role "' AND worker = ?1",                                  \
        .workers = "SELECT count(*) FROM lease_workers WHERE role = '" role "'",                                       \
    }

static const struct lease_sql partition_sql = LEASE_SQL("partition", "partitions", "partition");
static const struct lease_sql shard_sql = LEASE_SQL("shard", "shards", "shard");

int leases_forget(struct db_conn *conn)
{
    static const char *const sql[] = {
        "CREATE TEMP TABLE IF NOT EXISTS lease_terms("
        " role TEXT NOT NULL, slot INTEGER NOT NULL, until INTEGER NOT NULL, PRIMARY KEY(role, slot)) WITHOUT ROWID",
        "CREATE TEMP TABLE IF NOT EXISTS lease_workers("
        " role TEXT NOT NULL, worker TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY(role, worker)) WITHOUT ROWID",
        "DELETE FROM temp.lease_terms", "DELETE FROM temp.lease_workers"};
    for (size_t i = 0; i < sizeof(sql) / sizeof(*sql); i++) {
        int rc = db_run(db_stmt(conn, sql[i]));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int run_worker(struct db_conn *conn, const char *sql, const char *worker, int64_t value)
{
    sqlite3_stmt *stmt = db_stmt(conn, sql);
    bind_span(stmt, 1, span_of(worker));
    if (sqlite3_bind_parameter_count(stmt) > 1)
        sqlite3_bind_int64(stmt, 2, value);
    return db_run(stmt);
}

static int add_slots(struct db_conn *conn, const struct heartbeat *beat)
{
    sqlite3_stmt *count = db_stmt(conn, beat->sql->slots);
    sqlite3_bind_int64(count, 1, beat->slots);
    int64_t known;
    int rc = stmt_number(count, beat->request, &known);
    if (rc < 0 || known == beat->slots)
        return rc;
    sqlite3_stmt *add = db_stmt(conn, beat->sql->add);
    for (uint32_t i = 0; rc == 0 && i < beat->slots; i++) {
        sqlite3_bind_int64(add, 1, i);
        rc = db_run(add);
    }
    return rc;
}

static int count_share(struct db_conn *conn, struct heartbeat *beat)
{
    sqlite3_stmt *bury = db_stmt(conn, beat->sql->bury);
    sqlite3_bind_int64(bury, 1, beat->now_ms);
    int64_t workers;
    int rc = db_run(bury);
    if (rc == 0)
        rc = run_worker(conn, beat->sql->beat, beat->worker, beat->now_ms + beat->ttl_ms);
    if (rc == 0)
        rc = stmt_number(db_stmt(conn, beat->sql->workers), beat->request, &workers);
    if (rc == 0)
        beat->share = (uint32_t)((beat->slots + workers - 1) / workers);
    return rc;
}

static bool releases(const struct heartbeat *beat, int64_t slot)
{
    for (uint32_t i = 0; i < beat->release_count; i++)
        if (beat->release[i] == slot)
            return true;
    return false;
}

static int release(struct db_conn *conn, const struct heartbeat *beat)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < beat->release_count; i++)
        rc = run_worker(conn, beat->sql->release, beat->worker, beat->release[i]);
    return rc;
}

static int take(struct db_conn *conn, struct heartbeat *beat, int64_t slot)
{
    sqlite3_stmt *owner = db_stmt(conn, beat->sql->take);
    sqlite3_bind_int64(owner, 1, slot);
    bind_span(owner, 2, span_of(beat->worker));
    int rc = db_run(owner);
    if (rc < 0)
        return rc;
    sqlite3_stmt *term = db_stmt(conn, beat->sql->term);
    sqlite3_bind_int64(term, 1, slot);
    sqlite3_bind_int64(term, 2, beat->now_ms + beat->ttl_ms);
    beat->claimed[slot] = true;
    return db_run(term);
}

/* Takes vacant slots up to the share. They are listed first: taking changes the table that is read. */
static int take_vacant(struct db_conn *conn, struct heartbeat *beat)
{
    sqlite3_stmt *held = db_stmt(conn, beat->sql->held);
    bind_span(held, 1, span_of(beat->worker));
    int64_t count;
    int rc = stmt_number(held, beat->request, &count);
    if (rc < 0 || count >= beat->share)
        return rc;
    sqlite3_stmt *stmt = db_stmt(conn, beat->sql->vacant);
    sqlite3_bind_int64(stmt, 1, beat->slots);
    sqlite3_bind_int64(stmt, 2, beat->now_ms);
    struct list vacant = {0};
    while (count + (int64_t)vacant.count < beat->share && (rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        int64_t slot = row_int(&row, 0, beat->slots - 1);
        if ((rc = row_check(&row, beat->request)) < 0)
            return rc;
        if (!releases(beat, slot))
            *(int64_t *)list_add(&vacant, &beat->request->arena, sizeof(slot)) = slot;
    }
    sqlite3_reset(stmt);
    for (size_t i = 0; rc >= 0 && i < vacant.count; i++)
        rc = take(conn, beat, ((int64_t *)vacant.items)[i]);
    return rc < 0 ? rc : 0;
}

static int heartbeat(struct db_conn *conn, struct heartbeat *beat)
{
    beat->now_ms = clock_mono_ms(&clock_system);
    beat->claimed = arena_alloc(&beat->request->arena, beat->slots * sizeof(bool));
    memset(beat->claimed, 0, beat->slots * sizeof(bool));
    if (beat->leaving) {
        int rc = run_worker(conn, beat->sql->release_all, beat->worker, 0);
        return rc < 0 ? rc : run_worker(conn, beat->sql->leave, beat->worker, 0);
    }
    int rc = add_slots(conn, beat);
    if (rc == 0)
        rc = count_share(conn, beat);
    if (rc == 0)
        rc = release(conn, beat);
    if (rc == 0)
        rc = run_worker(conn, beat->sql->renew, beat->worker, beat->now_ms + beat->ttl_ms);
    return rc < 0 ? rc : take_vacant(conn, beat);
}

void partition_read(struct row *row, struct lease *ret)
{
    ret->partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    ret->epoch = row_count(row);
    ret->batch = row_count(row);
    ret->crashes = (uint32_t)row_int(row, 0, UINT32_MAX);
    ret->clock_ms = row_int(row, 0, INT64_MAX);
    ret->next_line = (uint64_t)row_int(row, 1, INT64_MAX);
    ret->taken = row_count(row);
    ret->requeued = row_count(row);
    ret->ended = row_count(row);
    ret->duplicates = row_count(row);
    ret->waiting = row_count(row);
    ret->acting = row_count(row);
    ret->governors = row_count(row);
    ret->wall.day = row_int_or(row, INT64_MIN, INT64_MAX, INT64_MIN);
    ret->wall.low_ms = row_int_or(row, INT64_MIN, INT64_MAX, INT64_MIN);
    ret->wall.before_ms = row_int_or(row, INT64_MIN, INT64_MAX, INT64_MIN);
}

static int read_lease(sqlite3_stmt *stmt, struct heartbeat *beat, struct lease *ret)
{
    struct row row = row_of(stmt, NULL);
    partition_read(&row, ret);
    ret->outcomes_open = row_count(&row);
    ret->commands = row_int(&row, 0, 1);
    int rc = row_check(&row, beat->request);
    ret->claimed = rc == 0 && ret->partition < beat->slots && beat->claimed[ret->partition];
    return rc;
}

static struct lease *lease_of(struct store_lease *request, uint32_t partition)
{
    for (uint32_t i = 0; i < request->lease_count; i++)
        if (request->leases[i].partition == partition)
            return &request->leases[i];
    return NULL;
}

static int count_missing(struct db_conn *conn, struct store_lease *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT partition, " MISSING_FRAMES " AS missing FROM " INTAKE_BOOTS
                                       " GROUP BY partition HAVING missing > 0");
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        struct lease *lease = lease_of(request, (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1));
        uint64_t missing = row_count(&row);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
        if (lease)
            lease->missing = missing;
    }
    return rc;
}

/* Those of the partitions held, by class; and all together. */
static int count_deadletters(struct db_conn *conn, struct store_lease *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT partition, class, open FROM deadletter_counts");
    int rc;
    request->deadletters = 0;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        uint32_t partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
        int64_t class = row_int(&row, 0, CLASS_COUNT - 1);
        uint64_t open = row_count(&row);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
        request->deadletters += open;
        struct lease *lease = lease_of(request, partition);
        if (lease)
            lease->deadletters[class] = open;
    }
    return rc;
}

int lease_run(struct db_conn *conn, struct op *op)
{
    struct store_lease *request = (struct store_lease *)op->request;
    struct heartbeat beat = {.request = &request->req,
                             .sql = &partition_sql,
                             .worker = request->worker,
                             .slots = request->partitions,
                             .ttl_ms = request->ttl_ms,
                             .release = request->release,
                             .release_count = request->release_count,
                             .leaving = request->leaving};
    request->leases = NULL;
    request->lease_count = request->share = 0;
    int rc = heartbeat(conn, &beat);
    if (rc == 0)
        rc = attempts_withdraw(conn, beat.worker);
    if (rc < 0 || beat.leaving)
        return rc;
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT " PARTITION_COLUMNS
                      ", (SELECT coalesce(sum(n.next - 1 - coalesce(c.receipted, 0)), 0) FROM outcome_numbers n"
                      " LEFT JOIN outcome_cursors c ON c.shard = n.shard AND c.partition = n.partition"
                      " WHERE n.partition = p.partition),"
                      " EXISTS(SELECT 1 FROM commands c WHERE c.partition = p.partition AND c.status = 0)"
                      " FROM partitions p WHERE owner = ?1 AND partition < ?2"
                      " AND " TERM("partition", "partition") ") ORDER BY partition");
    bind_span(stmt, 1, span_of(beat.worker));
    sqlite3_bind_int64(stmt, 2, beat.slots);
    struct list leases = {0};
    while ((rc = db_step(stmt)) == 1)
        if ((rc = read_lease(stmt, &beat, list_add(&leases, &request->req.arena, sizeof(struct lease)))) < 0)
            return rc;
    request->leases = leases.items;
    request->lease_count = (uint32_t)leases.count;
    request->share = beat.share;
    if (rc == 0)
        rc = count_missing(conn, request);
    return rc < 0 ? rc : count_deadletters(conn, request);
}

int shards_run(struct db_conn *conn, struct op *op)
{
    struct store_shards *request = (struct store_shards *)op->request;
    struct heartbeat beat = {.request = &request->req,
                             .sql = &shard_sql,
                             .worker = request->worker,
                             .slots = request->shards,
                             .ttl_ms = request->ttl_ms,
                             .release = request->release,
                             .release_count = request->release_count,
                             .leaving = request->leaving};
    request->heads = NULL;
    request->head_count = request->share = 0;
    int rc = heartbeat(conn, &beat);
    if (rc < 0 || beat.leaving)
        return rc;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " HEAD_COLUMNS " FROM shards WHERE owner = ?1"
                                       " AND shard < ?2 AND " TERM("shard", "shard") ") ORDER BY shard");
    bind_span(stmt, 1, span_of(beat.worker));
    sqlite3_bind_int64(stmt, 2, beat.slots);
    struct list heads = {0};
    while ((rc = db_step(stmt)) == 1) {
        struct shard_head *head = list_add(&heads, &request->req.arena, sizeof(*head));
        if ((rc = shard_head_read(stmt, &request->req, head)) < 0)
            return rc;
        head->claimed = head->shard < beat.slots && beat.claimed[head->shard];
    }
    request->heads = heads.items;
    request->head_count = (uint32_t)heads.count;
    request->share = beat.share;
    return rc;
}
