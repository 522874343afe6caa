/* Rows of governors: plain columns, except the pending action, which is a JSON object because few have one:
 *   {"action":"…","action_id":"…","attempt":1,"deadline_ms":…,"policy":"…","probe":false,"redrive":0,"signal_id":"…"}
 * Database thread only. */
#include "common/json.h"
#include "store/sqlite/internal.h"

#include <stdlib.h>

enum { PENDING_MAX = 4096 };

static bool pending_text(const struct json_doc *doc, const char *name, char *ret, size_t size)
{
    struct buf out;
    buf_init(&out, size - 1);
    const struct json_node *node = json_get(doc, doc->nodes, name);
    bool good = node && json_string(doc, node, &out) == 0 && !out.failed;
    if (good) {
        if (out.len)
            memcpy(ret, out.data, out.len);
        ret[out.len] = '\0';
    }
    buf_done(&out);
    return good;
}

static bool pending_int(const struct json_doc *doc, const char *name, int64_t max, int64_t *ret)
{
    const struct json_node *node = json_get(doc, doc->nodes, name);
    return node && json_int(doc, node, INT64_MIN, max, ret) == 0;
}

static bool pending_parse(struct span text, struct governor_pending *ret)
{
    struct json_doc doc;
    json_init(&doc);
    int64_t attempt = 0, redrive = 0;
    bool good = json_parse(&doc, text, NULL) == 0 && doc.nodes->type == JSON_OBJECT &&
                pending_text(&doc, "action", ret->action, sizeof(ret->action)) &&
                pending_text(&doc, "action_id", ret->action_id, sizeof(ret->action_id)) &&
                pending_text(&doc, "policy", ret->policy, sizeof(ret->policy)) &&
                pending_text(&doc, "signal_id", ret->signal_id, sizeof(ret->signal_id)) &&
                pending_int(&doc, "attempt", UINT32_MAX, &attempt) && attempt >= 0 &&
                pending_int(&doc, "redrive", UINT32_MAX, &redrive) && redrive >= 0 &&
                pending_int(&doc, "deadline_ms", INT64_MAX, &ret->deadline_ms);
    const struct json_node *probe = good ? json_get(&doc, doc.nodes, "probe") : NULL;
    good = probe && (probe->type == JSON_TRUE || probe->type == JSON_FALSE);
    if (good) {
        ret->attempt = (uint32_t)attempt;
        ret->redrive = (uint32_t)redrive;
        ret->probe = probe->type == JSON_TRUE;
    }
    json_done(&doc);
    return good;
}

static void pending_write(const struct governor_pending *pending, struct buf *out)
{
    buf_add_char(out, '{');
    json_add_member(out, "action", span_of(pending->action));
    json_add_member(out, "action_id", span_of(pending->action_id));
    json_add_member_u64(out, "attempt", pending->attempt);
    json_add_key(out, "deadline_ms");
    buf_add_i64(out, pending->deadline_ms);
    json_add_member(out, "policy", span_of(pending->policy));
    json_add_member_raw(out, "probe", pending->probe ? SPAN("true") : SPAN("false"));
    json_add_member_u64(out, "redrive", pending->redrive);
    json_add_member(out, "signal_id", span_of(pending->signal_id));
    buf_add_char(out, '}');
}

static char *read_owned(struct row *row, size_t max)
{
    if (sqlite3_column_type(row->stmt, row->column) == SQLITE_NULL) {
        row->column++;
        return NULL;
    }
    struct span text = row_borrow(row, max);
    return row->bad ? NULL : xstrndup(text.ptr, text.len);
}

static struct governor_pending *read_pending(struct row *row, enum governor_state state)
{
    if (sqlite3_column_type(row->stmt, row->column) == SQLITE_NULL) {
        row->column++;
        if (state == GOVERNOR_ACTION_PENDING)
            row_spoil(row);
        return NULL;
    }
    struct span text = row_borrow(row, PENDING_MAX);
    if (row->bad)
        return NULL;
    struct governor_pending *pending = xcalloc(1, sizeof(*pending));
    if (state == GOVERNOR_ACTION_PENDING && pending_parse(text, pending))
        return pending;
    row_spoil(row);
    free(pending);
    return NULL;
}

static void read_numbers(struct row *row, struct governor_record *ret)
{
    ret->state = (enum governor_state)row_int(row, 0, GOVERNOR_STATE_COUNT - 1);
    ret->entitlement = (enum entitlement)row_int(row, 0, ENTITLEMENT_COUNT - 1);
    ret->opened_by = (enum breaker_opener)row_int(row, 0, OPENED_BY_OPERATOR);
    ret->refund_open = row_int(row, 0, 1) == 1;
    ret->failures = (uint32_t)row_int(row, 0, UINT32_MAX);
    ret->quota_limit = row_int_or(row, 0, INT64_MAX, QUOTA_NONE);
    ret->quota_used = row_int(row, 0, INT64_MAX);
    ret->quota_period = (enum quota_period)row_int(row, 0, PERIOD_COUNT - 1);
    ret->period_start = row_int(row, INT64_MIN, INT64_MAX);
    ret->boot_due = row_int(row, 0, INT64_MAX);
    ret->breaker_due = row_int(row, 0, INT64_MAX);
    ret->last_entitlement_event_at = row_int(row, INT64_MIN, INT64_MAX);
    ret->last_refund_event_at = row_int(row, INT64_MIN, INT64_MAX);
    ret->halt_alert_at = row_int(row, INT64_MIN, INT64_MAX);
    ret->halt_alert_count = (uint32_t)row_int(row, 0, UINT32_MAX);
    ret->last_signal_at = row_int(row, INT64_MIN, INT64_MAX);
    ret->created_at = row_int(row, INT64_MIN, INT64_MAX);
    ret->updated_at = row_int(row, INT64_MIN, INT64_MAX);
}

void governor_read(struct row *row, struct governor_record *ret)
{
    *ret = (struct governor_record){0};
    read_numbers(row, ret);
    ret->sku_id = read_owned(row, STORE_ID_MAX);
    ret->pending = read_pending(row, ret->state);
    ret->policy_state = read_owned(row, POLICY_STATE_MAX);
    if (ret->policy_state && ret->policy_state[0] != '{')
        row_spoil(row);
    if (row->bad)
        governor_record_done(ret);
}

static void bind_record(sqlite3_stmt *stmt, const struct governor_record *record, struct buf *pending)
{
    sqlite3_bind_int64(stmt, 4, record->state);
    sqlite3_bind_int64(stmt, 5, record->entitlement);
    sqlite3_bind_int64(stmt, 6, record->opened_by);
    sqlite3_bind_int64(stmt, 7, record->refund_open);
    sqlite3_bind_int64(stmt, 8, record->failures);
    bind_or_null(stmt, 9, record->quota_limit, QUOTA_NONE);
    sqlite3_bind_int64(stmt, 10, record->quota_used);
    sqlite3_bind_int64(stmt, 11, record->quota_period);
    sqlite3_bind_int64(stmt, 12, record->period_start);
    sqlite3_bind_int64(stmt, 13, record->boot_due);
    sqlite3_bind_int64(stmt, 14, record->breaker_due);
    sqlite3_bind_int64(stmt, 15, record->last_entitlement_event_at);
    sqlite3_bind_int64(stmt, 16, record->last_refund_event_at);
    sqlite3_bind_int64(stmt, 17, record->halt_alert_at);
    sqlite3_bind_int64(stmt, 18, record->halt_alert_count);
    sqlite3_bind_int64(stmt, 19, record->last_signal_at);
    sqlite3_bind_int64(stmt, 20, record->created_at);
    sqlite3_bind_int64(stmt, 21, record->updated_at);
    bind_or_null(stmt, 22, governor_next_due(record), INT64_MAX);
    bind_or_null(stmt, 23, governor_quota_due(record), INT64_MAX);
    sqlite3_bind_text(stmt, 24, record->sku_id, -1, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_text(stmt, 26, record->policy_state, -1, SQLITE_STATIC);
    if (!record->pending) {
        sqlite3_bind_null(stmt, 25);
        return;
    }
    buf_clear(pending);
    pending_write(record->pending, pending);
    bind_span(stmt, 25, buf_span(pending));
}

static const char insert_sql[] =
    "INSERT INTO governors(tenant, entitlement, partition, state, entitled, opened_by, refund_open, failures,"
    " quota_limit, quota_used, quota_period, period_start, boot_due, breaker_due, entitlement_event_at,"
    " refund_event_at, halt_alert_at, halt_alerts, last_signal_at, created_at, updated_at, next_due, quota_due, sku,"
    " pending, policy_state) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,"
    "?23,?24,?25,?26)";
static const char update_sql[] =
    "UPDATE governors SET state = ?4, entitled = ?5, opened_by = ?6, refund_open = ?7, failures = ?8,"
    " quota_limit = ?9, quota_used = ?10, quota_period = ?11, period_start = ?12, boot_due = ?13, breaker_due = ?14,"
    " entitlement_event_at = ?15, refund_event_at = ?16, halt_alert_at = ?17, halt_alerts = ?18,"
    " last_signal_at = ?19, created_at = ?20, updated_at = ?21, next_due = ?22, quota_due = ?23, sku = ?24,"
    " pending = ?25, policy_state = ?26 WHERE tenant = ?1 AND entitlement = ?2 AND partition = ?3";

static int count_tenant(struct db_conn *conn, const struct store_commit *request, struct span tenant_id)
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO tenants(tenant, partition, governors) VALUES(?1, ?2, 1)"
                                       " ON CONFLICT DO UPDATE SET governors = governors + 1");
    bind_span(stmt, 1, tenant_id);
    sqlite3_bind_int64(stmt, 2, request->partition);
    return db_run(stmt);
}

static int write_one(struct db_conn *conn, struct store_commit *request, const struct governor_change *change,
                     sqlite3_stmt *stmt, struct buf *pending)
{
    bind_key(stmt, 1, change->tenant_id, change->entitlement_id);
    sqlite3_bind_int64(stmt, 3, request->partition);
    bind_record(stmt, change->record, pending);
    int rc = db_run(stmt);
    if (rc == 0 && change->insert)
        return count_tenant(conn, request, change->tenant_id);
    const char *what = NULL;
    if (rc == -EEXIST)
        what = "has a row already";
    else if (rc == 0 && sqlite3_changes(db_handle(conn)) != 1)
        what = "has no row in this partition";
    if (!what)
        return rc;
    return op_error(&request->req, rc ? rc : -ENOENT, "governor %.*s of %.*s %s", (int)change->entitlement_id.len,
                    change->entitlement_id.ptr, (int)change->tenant_id.len, change->tenant_id.ptr, what);
}

int governors_write(struct db_conn *conn, struct store_commit *request)
{
    struct buf pending;
    buf_init(&pending, PENDING_MAX);
    sqlite3_stmt *insert = NULL, *update = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->governor_count; i++) {
        sqlite3_stmt **stmt = request->governors[i].insert ? &insert : &update;
        if (!*stmt)
            *stmt = db_stmt(conn, request->governors[i].insert ? insert_sql : update_sql);
        rc = write_one(conn, request, &request->governors[i], *stmt, &pending);
    }
    buf_done(&pending);
    return rc;
}
