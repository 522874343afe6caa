/* Open dead letters: opened and closed by commits, listed a slice of the table at a time. A dead letter's identity is
 * that of its signal's row, which holds everything else of it. Database thread only. */
#include "store/sqlite/internal.h"

enum { SCAN_MAX = 5000 };

/* --- in a commit ------------------------------------------------------------------------------------------------- */

static int count(struct db_conn *conn, uint32_t partition, enum deadletter_class class, int change)
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO deadletter_counts(partition, class, open) VALUES(?1, ?2, ?3)"
                                       " ON CONFLICT DO UPDATE SET open = open + ?3");
    sqlite3_bind_int64(stmt, 1, partition);
    sqlite3_bind_int64(stmt, 2, class);
    sqlite3_bind_int64(stmt, 3, change);
    return db_run(stmt);
}

static int open_one(struct db_conn *conn, struct store_commit *request, const struct signal_change *change)
{
    const struct deadletter_change *deadletter = change->deadletter;
    const struct signal_row *row = &change->row;
    uint8_t id[16];
    if (!receipt_id_parse(deadletter->id, id))
        return op_error(&request->req, -EINVAL, "%s is no id of a dead letter", deadletter->id);
    sqlite3_stmt *stmt =
        db_stmt(conn, "INSERT OR FAIL INTO deadletters(receipt, partition, class, state, cause, ended_at, tenant, id,"
                      " entitlement, redrive, conflict) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    bind_blob(stmt, 1, id, sizeof(id));
    sqlite3_bind_int64(stmt, 2, request->partition);
    sqlite3_bind_int64(stmt, 3, deadletter->class);
    bind_or_null(stmt, 4, deadletter->state, GOVERNOR_STATE_COUNT);
    bind_span(stmt, 5, row->reason);
    sqlite3_bind_int64(stmt, 6, row->changed_at_ms);
    bind_span(stmt, 7, row->identity.tenant_id);
    bind_span(stmt, 8, row->identity.id);
    bind_span(stmt, 9, row->identity.entitlement_id);
    sqlite3_bind_int64(stmt, 10, row->identity.redrive);
    bind_blob(stmt, 11, row->sha256, row->conflict ? SHA256_SIZE : 0);
    int rc = db_run(stmt);
    return rc < 0 ? rc : count(conn, request->partition, deadletter->class, 1);
}

int deadletters_write(struct db_conn *conn, struct store_commit *request)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->signal_count; i++)
        if (request->signals[i].deadletter)
            rc = open_one(conn, request, &request->signals[i]);
    return rc;
}

static int drop_bytes(struct db_conn *conn, const uint8_t id[16])
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "UPDATE signals SET envelope = NULL, bytes = NULL"
                      " WHERE (id, tenant, entitlement, redrive, conflict) ="
                      " (SELECT id, tenant, entitlement, redrive, conflict FROM deadletters WHERE receipt = ?1)");
    bind_blob(stmt, 1, id, 16);
    int rc = db_run(stmt);
    if (rc < 0)
        return rc;
    return sqlite3_changes(db_handle(conn)) == 1 ? 0 : -ENOENT;
}

int deadletter_close(struct db_conn *conn, struct store_commit *request, const char *text)
{
    uint8_t id[16];
    int64_t class;
    if (!receipt_id_parse(text, id))
        return op_error(&request->req, -EINVAL, "%s is no id of a dead letter", text);
    sqlite3_stmt *find =
        db_stmt(conn, "SELECT coalesce(max(class), -1) FROM deadletters WHERE receipt = ?1 AND partition = ?2");
    bind_blob(find, 1, id, sizeof(id));
    sqlite3_bind_int64(find, 2, request->partition);
    int rc = stmt_number(find, &request->req, &class);
    if (rc < 0)
        return rc;
    if (class < 0 || class >= CLASS_COUNT)
        return op_error(&request->req, -ENOENT, "no dead letter %s is open in partition %u", text, request->partition);
    rc = drop_bytes(conn, id);
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM deadletters WHERE receipt = ?1");
    bind_blob(stmt, 1, id, sizeof(id));
    if (rc == 0)
        rc = db_run(stmt);
    return rc < 0 ? rc : count(conn, request->partition, (enum deadletter_class) class, -1);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

void deadletter_read(struct row *row, struct deadletter *ret)
{
    uint8_t id[16];
    *ret = (struct deadletter){.order = (uint64_t)row_int(row, 1, INT64_MAX)};
    row_bytes(row, id, sizeof(id));
    receipt_id_format(id, ret->id);
    ret->partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    ret->class = (enum deadletter_class)row_int(row, 0, CLASS_COUNT - 1);
    ret->state = (enum governor_state)row_int_or(row, 0, GOVERNOR_STATE_COUNT - 1, GOVERNOR_STATE_COUNT);
    signal_row_read(row, &ret->row);
    if (ret->row.status != SIGNAL_DEADLETTERED && ret->row.status != SIGNAL_FAILED)
        row_spoil(row);
}

int deadletter_find(struct db_conn *conn, struct store_request *request, const uint8_t id[16], struct deadletter *ret)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT " DEADLETTER_COLUMNS ", envelope, bytes" DEADLETTER_ROWS " WHERE d.receipt = ?1");
    bind_blob(stmt, 1, id, 16);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, &request->arena);
    deadletter_read(&row, ret);
    signal_read_bytes(&row, &ret->row);
    if (!ret->row.envelope.ptr || !ret->row.bytes.ptr)
        row_spoil(&row);
    rc = row_check(&row, request);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 1;
}

int deadletter_run(struct db_conn *conn, struct op *op)
{
    struct store_deadletter *request = (struct store_deadletter *)op->request;
    uint8_t id[16];
    request->found = false;
    if (!memchr(request->id, '\0', sizeof(request->id)) || !receipt_id_parse(request->id, id))
        return 0;
    int rc = deadletter_find(conn, &request->req, id, &request->deadletter);
    request->found = rc == 1;
    return rc < 0 ? rc : 0;
}

struct page {
    struct list items;
    uint64_t last; /* looked at */
};

static bool is(struct span filter, sqlite3_stmt *stmt, int column)
{
    const char *text = filter.len ? (const char *)sqlite3_column_text(stmt, column) : NULL;
    return !filter.len || (text && span_eq(filter, (struct span){text, (size_t)sqlite3_column_bytes(stmt, column)}));
}

static bool wanted(const struct store_deadletters *request, sqlite3_stmt *stmt)
{
    return (request->class < 0 || sqlite3_column_int(stmt, 1) == request->class) &&
           sqlite3_column_int64(stmt, 2) >= request->since_ms &&
           (!request->before_ms || sqlite3_column_int64(stmt, 2) < request->before_ms) &&
           is(request->reason, stmt, 3) && is(request->tenant_id, stmt, 4) && is(request->entitlement_id, stmt, 5);
}

static int add_item(struct db_conn *conn, struct store_deadletters *request, struct page *page)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " DEADLETTER_COLUMNS DEADLETTER_ROWS " WHERE d.number = ?1");
    bind_u64(stmt, 1, page->last);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc < 0 ? rc : -EUCLEAN;
    struct row row = row_of(stmt, &request->req.arena);
    deadletter_read(&row, list_add(&page->items, &request->req.arena, sizeof(struct deadletter)));
    rc = row_check(&row, &request->req);
    sqlite3_reset(stmt);
    return rc;
}

static int deadletters_go_on(struct db_conn *conn, struct op *op)
{
    struct store_deadletters *request = (struct store_deadletters *)op->request;
    struct page *page = op->state;
#define FILTER_COLUMNS "SELECT number, class, ended_at, cause, tenant, entitlement FROM deadletters"
    sqlite3_stmt *stmt = request->descending ? db_stmt(conn, FILTER_COLUMNS " WHERE number < ?1 ORDER BY number DESC")
                                             : db_stmt(conn, FILTER_COLUMNS " WHERE number > ?1 ORDER BY number");
    bind_u64(stmt, 1, page->last);
    int rc, scanned = 0;
    while ((rc = db_step(stmt)) == 1) {
        bool fits = wanted(request, stmt);
        request->more = fits && page->items.count == request->limit;
        if (!request->more && scanned++ == SCAN_MAX)
            op->then = deadletters_go_on; /* others first */
        if (request->more || op->then) {
            rc = 0;
            break;
        }
        page->last = (uint64_t)sqlite3_column_int64(stmt, 0);
        if (fits && (rc = add_item(conn, request, page)) < 0)
            break;
    }
    sqlite3_reset(stmt);
    request->deadletters = page->items.items;
    request->deadletter_count = page->items.count;
    return rc;
}

int deadletters_run(struct db_conn *conn, struct op *op)
{
    struct store_deadletters *request = (struct store_deadletters *)op->request;
    request->deadletters = NULL;
    request->deadletter_count = 0;
    request->more = false;
    struct page *page = arena_alloc(&request->req.arena, sizeof(*page));
    *page = (struct page){.last = request->descending && !request->after ? INT64_MAX : request->after};
    op->state = page;
    return deadletters_go_on(conn, op);
}
