/* Waiting rows of a governor, and what is due in a partition. Database thread only. */
#include "store/sqlite/internal.h"

int waiting_run(struct db_conn *conn, struct op *op)
{
    struct store_waiting *request = (struct store_waiting *)op->request;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " SIGNAL_COLUMNS ", envelope, bytes FROM signals INDEXED BY signals_line"
                                       " WHERE partition = ?1 AND status = 0 AND tenant = ?2 AND entitlement = ?3"
                                       " AND line > ?4 ORDER BY line LIMIT ?5");
    sqlite3_bind_int64(stmt, 1, request->partition);
    bind_key(stmt, 2, request->tenant_id, request->entitlement_id);
    bind_u64(stmt, 4, request->after_line);
    sqlite3_bind_int64(stmt, 5, request->limit);
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
    request->rows = list.items;
    request->row_count = list.count;
    return rc;
}

/* Governors in order of a timer, up to `now` and the limit; *ret_next: the first one that is left. */
static int due_governors(sqlite3_stmt *stmt, struct store_due *request, int64_t now, struct list *list,
                         int64_t *ret_next)
{
    *ret_next = INT64_MAX;
    sqlite3_bind_int64(stmt, 1, request->partition);
    sqlite3_bind_int64(stmt, 2, (int64_t)request->limit + 1);
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, &request->req.arena);
        int64_t due = row_int(&row, INT64_MIN, INT64_MAX);
        if (due > now || list->count == request->limit) {
            *ret_next = due;
            return row_check(&row, &request->req);
        }
        struct governor_key *key = list_add(list, &request->req.arena, sizeof(*key));
        key->tenant_id = row_text(&row, STORE_ID_MAX);
        key->entitlement_id = row_text(&row, STORE_ID_MAX);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    return rc;
}

static int due_rows(struct db_conn *conn, struct store_due *request, struct list *list, int64_t *ret_next)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " SIGNAL_COLUMNS " FROM signals INDEXED BY signals_due"
                                       " WHERE partition = ?1 AND due NOTNULL ORDER BY due LIMIT ?2");
    *ret_next = INT64_MAX;
    sqlite3_bind_int64(stmt, 1, request->partition);
    sqlite3_bind_int64(stmt, 2, (int64_t)request->limit + 1);
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, &request->req.arena);
        struct signal_row item;
        signal_row_read(&row, &item);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
        if (item.due_ms > request->clock_ms || list->count == request->limit) {
            *ret_next = item.due_ms;
            return 0;
        }
        *(struct signal_row *)list_add(list, &request->req.arena, sizeof(item)) = item;
    }
    return rc;
}

int due_run(struct db_conn *conn, struct op *op)
{
    struct store_due *request = (struct store_due *)op->request;
    struct list governors = {0}, rows = {0};
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT next_due, tenant, entitlement FROM governors INDEXED BY governors_due"
                                       " WHERE partition = ?1 AND next_due NOTNULL ORDER BY next_due LIMIT ?2");
    int rc = due_governors(stmt, request, request->clock_ms, &governors, &request->next_due);
    if (rc < 0)
        return rc;
    /* One that is due by both timers has been listed, or counts in next_due. */
    stmt = db_stmt(conn, "SELECT quota_due, tenant, entitlement FROM governors INDEXED BY governors_quota_due"
                         " WHERE partition = ?1 AND quota_due NOTNULL AND (next_due IS NULL OR next_due > ?3)"
                         " ORDER BY quota_due LIMIT ?2");
    sqlite3_bind_int64(stmt, 3, request->clock_ms);
    rc = due_governors(stmt, request, request->wall_ms, &governors, &request->quota_due);
    if (rc == 0)
        rc = due_rows(conn, request, &rows, &request->row_due);
    if (rc < 0)
        return rc;
    request->governors = governors.items;
    request->governor_count = governors.count;
    request->rows = rows.items;
    request->row_count = rows.count;
    return 0;
}
