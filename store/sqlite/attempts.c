/* Attempts at signals that may end the process: begun in a commit of their own, finished by the commit that carries the
 * signal out, forgotten once the partition's owners do not crash any more. Database thread only. */
#include "store/sqlite/internal.h"

static void bind_identity(sqlite3_stmt *stmt, const struct identity *identity)
{
    bind_span(stmt, 1, identity->id);
    bind_span(stmt, 2, identity->tenant_id);
    bind_span(stmt, 3, identity->entitlement_id);
    sqlite3_bind_int64(stmt, 4, identity->redrive);
}

static int begin(struct db_conn *conn, const struct store_commit *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO attempts(id, tenant, entitlement, redrive, partition, count)"
                                       " VALUES(?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT DO UPDATE SET count = count + 1");
    bind_identity(stmt, request->attempt_begins);
    sqlite3_bind_int64(stmt, 5, request->partition);
    return db_run(stmt);
}

static int finish(struct db_conn *conn, const struct store_commit *request)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "DELETE FROM attempts WHERE id = ?1 AND tenant = ?2 AND entitlement = ?3 AND redrive = ?4");
    bind_identity(stmt, request->attempt_finishes);
    return db_run(stmt);
}

static int forget(struct db_conn *conn, const struct store_commit *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM attempts WHERE partition = ?1");
    sqlite3_bind_int64(stmt, 1, request->partition);
    return db_run(stmt);
}

int attempts_write(struct db_conn *conn, const struct store_commit *request)
{
    int rc = request->settles ? forget(conn, request) : 0;
    if (rc == 0 && request->attempt_finishes)
        rc = finish(conn, request);
    if (rc == 0 && request->attempt_begins)
        rc = begin(conn, request);
    return rc;
}

int attempts_read(struct db_conn *conn, struct store_lookup *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT coalesce(max(count), 0) FROM attempts"
                                       " WHERE id = ?1 AND tenant = ?2 AND entitlement = ?3 AND redrive = ?4");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->signal_count; i++) {
        int64_t attempts = 0;
        bind_identity(stmt, &request->signals[i].identity);
        rc = stmt_number(stmt, &request->req, &attempts);
        request->signals[i].attempts = attempts < UINT32_MAX ? (uint32_t)attempts : UINT32_MAX;
    }
    return rc;
}
