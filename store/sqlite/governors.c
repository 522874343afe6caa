/* Rows of governors. What statements ask for stands in columns; the other numbers of the record are packed (pack.c),
 * signed, in the order of numbers_put; fields to come go behind them. The pending action is a JSON object, few have
 * one:
 *   {"action":"…","action_id":"…","attempt":1,"deadline_ms":…,"policy":"…","probe":false,"redrive":0,"signal_id":"…"}
 * Database thread only. */
#include "common/json/json.h"
#include "store/sqlite/internal.h"

#include <stdlib.h>

enum { PENDING_MAX = 4096, NUMBERS = 17, NUMBERS_MAX = NUMBERS * VARINT_MAX, GOVERNOR_PARAMETERS = 10 };

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

static size_t numbers_put(const struct governor_record *record, uint8_t ret[NUMBERS_MAX])
{
    const int64_t numbers[NUMBERS] = {record->entitlement,
                                      record->opened_by,
                                      record->refund_open,
                                      record->failures,
                                      record->quota_limit,
                                      record->quota_used,
                                      record->quota_period,
                                      record->period_start,
                                      record->boot_due,
                                      record->breaker_due,
                                      record->last_entitlement_event_at,
                                      record->last_refund_event_at,
                                      record->halt_alert_at,
                                      record->halt_alert_count,
                                      record->last_signal_at,
                                      record->created_at,
                                      record->updated_at};
    uint8_t *at = ret;
    for (int i = 0; i < NUMBERS; i++)
        at = put_i64(at, numbers[i]);
    return (size_t)(at - ret);
}

static bool numbers_take(struct pack pack, struct governor_record *ret)
{
    static const struct {
        int64_t min, max;
    } bounds[NUMBERS] = {{0, ENTITLEMENT_COUNT - 1},
                         {0, OPENED_BY_OPERATOR},
                         {0, 1},
                         {0, UINT32_MAX},
                         {QUOTA_NONE, INT64_MAX},
                         {0, INT64_MAX},
                         {0, PERIOD_COUNT - 1},
                         {INT64_MIN, INT64_MAX},
                         {0, INT64_MAX},
                         {0, INT64_MAX},
                         {INT64_MIN, INT64_MAX},
                         {INT64_MIN, INT64_MAX},
                         {INT64_MIN, INT64_MAX},
                         {0, UINT32_MAX},
                         {INT64_MIN, INT64_MAX},
                         {INT64_MIN, INT64_MAX},
                         {INT64_MIN, INT64_MAX}};
    int64_t numbers[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        if (!take_i64(&pack, bounds[i].min, bounds[i].max, &numbers[i]))
            return false;
    ret->entitlement = (enum entitlement)numbers[0];
    ret->opened_by = (enum breaker_opener)numbers[1];
    ret->refund_open = numbers[2] == 1;
    ret->failures = (uint32_t)numbers[3];
    ret->quota_limit = numbers[4];
    ret->quota_used = numbers[5];
    ret->quota_period = (enum quota_period)numbers[6];
    ret->period_start = numbers[7];
    ret->boot_due = numbers[8];
    ret->breaker_due = numbers[9];
    ret->last_entitlement_event_at = numbers[10];
    ret->last_refund_event_at = numbers[11];
    ret->halt_alert_at = numbers[12];
    ret->halt_alert_count = (uint32_t)numbers[13];
    ret->last_signal_at = numbers[14];
    ret->created_at = numbers[15];
    ret->updated_at = numbers[16];
    return pack.at == pack.end;
}

static void read_numbers(struct row *row, struct governor_record *ret)
{
    int column = row->column++;
    const uint8_t *data = sqlite3_column_blob(row->stmt, column);
    if (!data || sqlite3_column_type(row->stmt, column) != SQLITE_BLOB ||
        !numbers_take((struct pack){data, data + sqlite3_column_bytes(row->stmt, column)}, ret))
        row_spoil(row);
}

void governor_read(struct row *row, struct governor_record *ret)
{
    *ret = (struct governor_record){.state = (enum governor_state)row_int(row, 0, GOVERNOR_STATE_COUNT - 1)};
    read_numbers(row, ret);
    ret->sku_id = read_owned(row, STORE_ID_MAX);
    ret->pending = read_pending(row, ret->state);
    ret->policy_state = read_owned(row, POLICY_STATE_MAX);
    if (ret->policy_state && ret->policy_state[0] != '{')
        row_spoil(row);
    if (row->bad)
        governor_record_done(ret);
}

static void bind_pending(sqlite3_stmt *stmt, int index, const struct governor_pending *pending)
{
    if (!pending) {
        sqlite3_bind_null(stmt, index);
        return;
    }
    struct buf out;
    buf_init(&out, PENDING_MAX);
    pending_write(pending, &out);
    sqlite3_bind_text(stmt, index, out.data, (int)out.len, SQLITE_TRANSIENT);
    buf_done(&out);
}

static void bind_change(sqlite3_stmt *stmt, int at, uint32_t partition, const struct governor_change *change,
                        uint8_t numbers[NUMBERS_MAX])
{
    const struct governor_record *record = change->record;
    bind_key(stmt, at + 1, change->tenant_id, change->entitlement_id);
    sqlite3_bind_int64(stmt, at + 3, partition);
    sqlite3_bind_int64(stmt, at + 4, record->state);
    bind_or_null(stmt, at + 5, governor_next_due(record), INT64_MAX);
    bind_or_null(stmt, at + 6, governor_quota_due(record), INT64_MAX);
    bind_blob(stmt, at + 7, numbers, numbers_put(record, numbers));
    sqlite3_bind_text(stmt, at + 8, record->sku_id, -1, SQLITE_STATIC); /* NULL binds NULL */
    bind_pending(stmt, at + 9, record->pending);
    sqlite3_bind_text(stmt, at + 10, record->policy_state, -1, SQLITE_STATIC);
}

#define INSERT                                                                                                         \
    "INSERT OR FAIL INTO governors(tenant, entitlement, partition, state, next_due, quota_due, numbers, sku, pending," \
    " policy_state)"
#define ROW "(?,?,?,?,?,?,?,?,?,?)"
#define UPDATE                                                                                                         \
    " ON CONFLICT(tenant, entitlement) DO UPDATE SET state = excluded.state, next_due = excluded.next_due,"            \
    " quota_due = excluded.quota_due, numbers = excluded.numbers, sku = excluded.sku, pending = excluded.pending,"     \
    " policy_state = excluded.policy_state WHERE partition = excluded.partition"

static sqlite3_stmt *statement(struct db_conn *conn, bool insert, bool full)
{
    if (insert)
        return full ? db_stmt(conn, INSERT FULL_ROWS(ROW)) : db_stmt(conn, INSERT SOME_ROWS(ROW));
    return full ? db_stmt(conn, INSERT FULL_ROWS(ROW) UPDATE) : db_stmt(conn, INSERT SOME_ROWS(ROW) UPDATE);
}

static int count_tenant(struct db_conn *conn, const struct store_commit *request, struct span tenant_id)
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO tenants(tenant, partition, governors) VALUES(?1, ?2, 1)"
                                       " ON CONFLICT DO UPDATE SET governors = governors + 1");
    bind_span(stmt, 1, tenant_id);
    sqlite3_bind_int64(stmt, 2, request->partition);
    return db_run(stmt);
}

/* The next changes of one kind from *at on, up to ROWS of them. */
static int collect(const struct store_commit *request, bool insert, size_t *at, const struct governor_change *ret[ROWS])
{
    int rows = 0;
    for (; *at < request->governor_count && rows < ROWS; (*at)++)
        if (request->governors[*at].insert == insert)
            ret[rows++] = &request->governors[*at];
    return rows;
}

static int write_kind(struct db_conn *conn, struct store_commit *request, bool insert)
{
    const struct governor_change *changes[ROWS];
    uint8_t numbers[ROWS][NUMBERS_MAX];
    size_t at = 0;
    int rows, rc = 0;
    while (rc == 0 && (rows = collect(request, insert, &at, changes)) > 0) {
        sqlite3_stmt *stmt = statement(conn, insert, rows == ROWS);
        for (int i = 0; i < rows; i++)
            bind_change(stmt, i * GOVERNOR_PARAMETERS, request->partition, changes[i], numbers[i]);
        rc = insert ? db_run(stmt) : run_updates(conn, stmt, rows);
        for (int i = 0; rc == 0 && insert && i < rows; i++)
            rc = count_tenant(conn, request, changes[i]->tenant_id);
    }
    if (rc == -ENOENT)
        return op_error(&request->req, rc, "a governor of this commit has no row in partition %u", request->partition);
    return rc;
}

int governors_write(struct db_conn *conn, struct store_commit *request)
{
    int rc = write_kind(conn, request, true);
    return rc < 0 ? rc : write_kind(conn, request, false);
}
