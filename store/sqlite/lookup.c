/* What a batch asks before it steps, and what the owner of a partition asks after a claim. Database thread only. */
#include "store/sqlite/internal.h"

enum { LOOKUP_PARAMETERS = 5 };

/* The row of one key, if there is one: conflict NULL for the body that came first. */
static int find_row(struct db_conn *conn, struct store_request *request, const struct identity *identity,
                    uint32_t redrive, const uint8_t *conflict, bool *ret_found, enum signal_status *ret_status)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT status FROM signals WHERE tenant = ?1 AND id = ?2 AND entitlement = ?3"
                                       " AND redrive = ?4 AND conflict = ?5");
    bind_span(stmt, 1, identity->tenant_id);
    bind_span(stmt, 2, identity->id);
    bind_span(stmt, 3, identity->entitlement_id);
    sqlite3_bind_int64(stmt, 4, redrive);
    bind_blob(stmt, 5, conflict, conflict ? SHA256_SIZE : 0);
    int rc = db_step(stmt);
    *ret_found = rc == 1;
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, NULL);
    *ret_status = (enum signal_status)row_int(&row, 0, SIGNAL_STATUS_COUNT - 1);
    return row_check(&row, request);
}

static int read_found(sqlite3_stmt *stmt, struct store_request *request, struct lookup_signal *signals, size_t count)
{
    struct row row = row_of(stmt, NULL);
    uint8_t sha256[SHA256_SIZE];
    struct lookup_signal *signal = &signals[row_int(&row, 0, (int64_t)count - 1)];
    row_bytes(&row, sha256, SHA256_SIZE);
    signal->found = true;
    signal->same_hash = memcmp(sha256, signal->sha256, SHA256_SIZE) == 0;
    signal->status = (enum signal_status)row_int(&row, 0, SIGNAL_STATUS_COUNT - 1);
    return row_check(&row, request);
}

/* Up to ROWS identities at once; nearly all are unknown and cost no row. */
static int lookup_some(sqlite3_stmt *stmt, struct store_request *request, struct lookup_signal *signals, size_t count)
{
    for (int i = 0; i < (int)count; i++) {
        int at = i * LOOKUP_PARAMETERS;
        const struct identity *identity = &signals[i].identity;
        bind_span(stmt, at + 1, identity->id);
        bind_span(stmt, at + 2, identity->tenant_id);
        bind_span(stmt, at + 3, identity->entitlement_id);
        sqlite3_bind_int64(stmt, at + 4, identity->redrive);
        sqlite3_bind_int64(stmt, at + 5, i);
    }
    bind_padding(stmt, (int)count, LOOKUP_PARAMETERS);
    int rc;
    while ((rc = db_step(stmt)) == 1)
        if ((rc = read_found(stmt, request, signals, count)) < 0)
            return rc;
    sqlite3_reset(stmt);
    return rc;
}

/* The rare questions: a known conflict, the ending before a redrive. */
static int lookup_more(struct db_conn *conn, struct store_request *request, struct lookup_signal *signal)
{
    const struct identity *identity = &signal->identity;
    int rc = 0;
    if (signal->found && !signal->same_hash) {
        rc = find_row(conn, request, identity, identity->redrive, signal->sha256, &signal->conflict_known,
                      &signal->status);
        signal->same_hash = signal->conflict_known;
    }
    if (rc < 0 || identity->redrive == 0)
        return rc;
    enum signal_status before = SIGNAL_WAITING;
    bool found;
    rc = find_row(conn, request, identity, identity->redrive - 1, NULL, &found, &before);
    signal->redrivable = found && (before == SIGNAL_DEADLETTERED || before == SIGNAL_FAILED);
    return rc;
}

static int lookup_signals(struct db_conn *conn, struct store_lookup *request)
{
    for (size_t i = 0; i < request->signal_count; i++) {
        struct lookup_signal *signal = &request->signals[i];
        signal->found = signal->same_hash = signal->conflict_known = signal->redrivable = false;
        signal->attempts = 0;
    }
    sqlite3_stmt *stmt = db_stmt(
        conn, "WITH v(id, tenant, entitlement, redrive, i) AS (VALUES " X16(
                  "(?,?,?,?,?)") ")"
                                 " SELECT v.i, s.sha256, s.status FROM v CROSS JOIN signals s ON s.id = v.id AND "
                                 "s.tenant = v.tenant"
                                 " AND s.entitlement = v.entitlement AND s.redrive = v.redrive AND s.conflict = x''");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->signal_count; i += ROWS) {
        size_t left = request->signal_count - i;
        rc = lookup_some(stmt, &request->req, &request->signals[i], left < ROWS ? left : ROWS);
    }
    for (size_t i = 0; rc == 0 && i < request->signal_count; i++)
        if (request->signals[i].found || request->signals[i].identity.redrive)
            rc = lookup_more(conn, &request->req, &request->signals[i]);
    return rc == 0 && request->attempts ? attempts_read(conn, request) : rc;
}

static int lookup_governor(struct db_conn *conn, sqlite3_stmt *stmt, struct store_request *request,
                           struct lookup_governor *governor)
{
    governor->tenant_governors = 0;
    bind_key(stmt, 1, governor->tenant_id, governor->entitlement_id);
    int rc = db_step(stmt);
    if (rc == 1) {
        struct row row = row_of(stmt, NULL);
        governor_read(&row, &governor->record);
        rc = row_check(&row, request);
        governor->found = rc == 0;
        sqlite3_reset(stmt);
        return rc;
    }
    sqlite3_reset(stmt);
    if (rc < 0)
        return rc;
    sqlite3_stmt *count = db_stmt(conn, "SELECT coalesce(sum(governors), 0) FROM tenants WHERE tenant = ?1");
    bind_span(count, 1, governor->tenant_id);
    return stmt_number(count, request, (int64_t *)&governor->tenant_governors);
}

static int lookup_refusals(struct db_conn *conn, struct lookup_refusals *refusals)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT 1 FROM intake WHERE partition = ?1 AND boot = ?2 AND first <= ?3"
                                       " AND last >= ?3");
    sqlite3_bind_int64(stmt, 1, INTAKE_REFUSALS);
    bind_span(stmt, 2, span_of(refusals->boot));
    bind_u64(stmt, 3, refusals->sequence);
    int rc = db_step(stmt);
    refusals->taken = rc == 1;
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int lookup_run(struct db_conn *conn, struct op *op)
{
    struct store_lookup *request = (struct store_lookup *)op->request;
    for (size_t i = 0; i < request->governor_count; i++)
        request->governors[i].found = false;
    int rc = lookup_signals(conn, request);
    sqlite3_stmt *stmt =
        request->governor_count
            ? db_stmt(conn, "SELECT " GOVERNOR_COLUMNS " FROM governors WHERE tenant = ?1 AND entitlement = ?2")
            : NULL;
    for (size_t i = 0; rc == 0 && i < request->governor_count; i++)
        rc = lookup_governor(conn, stmt, &request->req, &request->governors[i]);
    for (size_t i = 0; rc == 0 && i < request->refusal_count; i++)
        rc = lookup_refusals(conn, &request->refusals[i]);
    int64_t total = 0;
    if (rc == 0)
        rc = stmt_number(db_stmt(conn, "SELECT coalesce(sum(governors), 0) FROM partitions"), &request->req, &total);
    request->governors_total = (uint64_t)total;
    for (size_t i = 0; rc < 0 && i < request->governor_count; i++)
        if (request->governors[i].found) {
            governor_record_done(&request->governors[i].record);
            request->governors[i].found = false;
        }
    return rc;
}

static int load_waiting(struct db_conn *conn, struct store_load *request)
{
    sqlite3_stmt *stmt = db_stmt(
        conn, "SELECT tenant, entitlement, count(*), (SELECT max(d.due) FROM signals d INDEXED BY signals_deferred"
              " WHERE d.partition = ?1 AND d.tenant = s.tenant AND d.entitlement = s.entitlement"
              " AND d.deferrals > 0 AND d.reason = '" WAITING_DEFERRED "') FROM signals s INDEXED BY signals_line"
              " WHERE partition = ?1 AND status = 0 AND line IS NOT NULL GROUP BY tenant, entitlement");
    sqlite3_bind_int64(stmt, 1, request->partition);
    struct list list = {0};
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct waiting_count *item = list_add(&list, &request->req.arena, sizeof(*item));
        struct row row = row_of(stmt, &request->req.arena);
        item->tenant_id = row_text(&row, STORE_ID_MAX);
        item->entitlement_id = row_text(&row, STORE_ID_MAX);
        item->count = row_count(&row);
        item->deferred_until = row_int_or(&row, 1, INT64_MAX, 0);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    request->waiting = list.items;
    request->waiting_count = list.count;
    return rc;
}

static int load_acting(struct db_conn *conn, struct store_load *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " SIGNAL_COLUMNS ", envelope, bytes FROM signals INDEXED BY signals_line"
                                       " WHERE partition = ?1 AND status = 1 AND line IS NOT NULL"
                                       " ORDER BY tenant, entitlement, line");
    sqlite3_bind_int64(stmt, 1, request->partition);
    struct list list = {0};
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct signal_row *item = list_add(&list, &request->req.arena, sizeof(*item));
        struct row row = row_of(stmt, &request->req.arena);
        signal_row_read(&row, item);
        signal_read_bytes(&row, item);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    request->acting = list.items;
    request->acting_count = list.count;
    return rc;
}

static int earliest(struct db_conn *conn, const char *sql, struct store_load *request, int64_t *ret)
{
    sqlite3_stmt *stmt = db_stmt(conn, sql);
    sqlite3_bind_int64(stmt, 1, request->partition);
    sqlite3_bind_int64(stmt, 2, INT64_MAX);
    return stmt_number(stmt, &request->req, ret);
}

int load_run(struct db_conn *conn, struct op *op)
{
    struct store_load *request = (struct store_load *)op->request;
    request->next_due = request->row_due = request->quota_due = INT64_MAX;
    int rc = load_waiting(conn, request);
    if (rc == 0)
        rc = load_acting(conn, request);
    if (rc == 0)
        rc = earliest(conn,
                      "SELECT coalesce(min(next_due), ?2) FROM governors WHERE partition = ?1 AND next_due NOTNULL",
                      request, &request->next_due);
    if (rc == 0)
        rc = earliest(conn, "SELECT coalesce(min(due), ?2) FROM signals WHERE partition = ?1 AND due NOTNULL", request,
                      &request->row_due);
    if (rc == 0)
        rc = earliest(conn,
                      "SELECT coalesce(min(quota_due), ?2) FROM governors WHERE partition = ?1 AND quota_due NOTNULL",
                      request, &request->quota_due);
    return rc;
}

int outcome_numbers_run(struct db_conn *conn, struct op *op)
{
    struct store_outcome_numbers *request = (struct store_outcome_numbers *)op->request;
    request->next = arena_alloc(&request->req.arena, request->shards * sizeof(*request->next));
    for (uint32_t i = 0; i < request->shards; i++)
        request->next[i] = 1;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT shard, next FROM outcome_numbers WHERE partition = ?1");
    sqlite3_bind_int64(stmt, 1, request->partition);
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        uint32_t shard = (uint32_t)row_int(&row, 0, request->shards - 1);
        request->next[shard] = (uint64_t)row_int(&row, 1, INT64_MAX);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    return rc;
}
