/* What concerns the data set as a whole: fixed values, retention. Database thread only. */
#include "store/sqlite/internal.h"

int fix_run(struct db_conn *conn, struct op *op)
{
    struct store_fix *request = (struct store_fix *)op->request;
    sqlite3_stmt *add = db_stmt(conn, "INSERT INTO dataset(name, value) VALUES(?1, ?2) ON CONFLICT DO NOTHING");
    bind_span(add, 1, span_of(request->name));
    bind_u64(add, 2, request->value);
    int rc = db_run(add);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT value FROM dataset WHERE name = ?1");
    bind_span(stmt, 1, span_of(request->name));
    return stmt_number(stmt, &request->req, (int64_t *)&request->stored);
}

static void bind_at(sqlite3_stmt *stmt, int index, const struct sweep_at *at)
{
    bind_span(stmt, index, (struct span){at->id, at->id_len});
    bind_span(stmt, index + 1, (struct span){at->tenant, at->tenant_len});
    bind_span(stmt, index + 2, (struct span){at->entitlement, at->entitlement_len});
    sqlite3_bind_int64(stmt, index + 3, at->redrive);
    bind_blob(stmt, index + 4, at->conflict, at->conflict_len);
}

static size_t keep(char *ret, struct span text)
{
    memcpy(ret, text.ptr, text.len);
    return text.len;
}

/* The last key of the slice behind `from`: 1, or 0 when fewer than limit rows are left. */
static int slice_end(struct db_conn *conn, struct store_sweep *request, const struct sweep_at *from,
                     struct sweep_at *ret)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT id, tenant, entitlement, redrive, conflict FROM signals WHERE"
                                       " (id, tenant, entitlement, redrive, conflict) > (?1, ?2, ?3, ?4, ?5)"
                                       " ORDER BY id, tenant, entitlement, redrive, conflict LIMIT 1 OFFSET ?6");
    bind_at(stmt, 1, from);
    sqlite3_bind_int64(stmt, 6, (int64_t)request->limit - 1);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, NULL);
    ret->id_len = keep(ret->id, row_borrow(&row, STORE_ID_MAX));
    ret->tenant_len = keep(ret->tenant, row_borrow(&row, STORE_ID_MAX));
    ret->entitlement_len = keep(ret->entitlement, row_borrow(&row, STORE_ID_MAX));
    ret->redrive = row_int(&row, 0, UINT32_MAX);
    ret->conflict_len = sqlite3_column_bytes(stmt, row.column) ? SHA256_SIZE : 0;
    if (ret->conflict_len)
        row_bytes(&row, ret->conflict, SHA256_SIZE);
    rc = row_check(&row, &request->req);
    return rc < 0 ? rc : 1;
}

/* Ended by 2 executed, 4 denied, 5 refused; by 3 failed, 6 deadlettered once its bytes are gone: with them it is an
 * open dead letter. The first body under an identity stays as long as any other: without it they would be unknown too.
 */
#define EXPIRED                                                                                                        \
    "since < (SELECT clock FROM partitions p WHERE p.partition = signals.partition) - ?11 AND (status IN (2, 4, 5) "   \
    "OR status IN (3, 6) AND bytes IS NULL) AND (conflict <> x'' OR"                                                   \
    " NOT EXISTS(SELECT 1 FROM signals o WHERE o.id = signals.id AND o.tenant = signals.tenant"                        \
    " AND o.entitlement = signals.entitlement AND o.redrive = signals.redrive AND o.conflict > x''))"

int sweep_run(struct db_conn *conn, struct op *op)
{
    struct store_sweep *request = (struct store_sweep *)op->request;
    struct sweep_at *at = &op->link->store->sweep;
    struct sweep_at end = {0};
    int rc = slice_end(conn, request, at, &end);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt =
        rc ? db_stmt(conn,
                     "DELETE FROM signals WHERE (id, tenant, entitlement, redrive, conflict) > (?1, ?2, ?3, ?4, ?5)"
                     " AND (id, tenant, entitlement, redrive, conflict) <= (?6, ?7, ?8, ?9, ?10) AND " EXPIRED)
           : db_stmt(conn,
                     "DELETE FROM signals WHERE (id, tenant, entitlement, redrive, conflict) > (?1, ?2, ?3, ?4, ?5)"
                     " AND " EXPIRED);
    bind_at(stmt, 1, at);
    if (rc)
        bind_at(stmt, 6, &end);
    sqlite3_bind_int64(stmt, 11, request->retention_ms);
    rc = db_run(stmt);
    if (rc < 0)
        return rc;
    request->deleted = (uint64_t)sqlite3_changes(db_handle(conn));
    sqlite3_stmt *commands =
        db_stmt(conn, "DELETE FROM commands WHERE number IN (SELECT c.number FROM partitions p CROSS JOIN commands c"
                      " INDEXED BY commands_ended ON c.partition = p.partition AND c.status <> 0"
                      " AND c.since < p.clock - ?1 LIMIT ?2)");
    sqlite3_bind_int64(commands, 1, request->retention_ms);
    sqlite3_bind_int64(commands, 2, request->limit);
    rc = db_run(commands);
    if (rc == 0)
        *at = end; /* empty behind the last row: from the first again */
    return rc;
}
