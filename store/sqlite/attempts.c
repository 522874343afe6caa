/* Attempts at signals that may end the process: begun in a commit of their own, finished by the commit that carries the
 * signal out, forgotten once the partition's owners do not crash any more. One is kept for each lease (epoch) under
 * which the signal was begun, with the worker's name: a worker that is heard of again did not die of what it had begun
 * under a lease it no longer has. Database thread only. */
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
    sqlite3_stmt *stmt =
        db_stmt(conn, "INSERT INTO attempts(id, tenant, entitlement, redrive, partition, epoch, worker)"
                      " SELECT ?1, ?2, ?3, ?4, partition, epoch, owner FROM partitions WHERE partition = ?5"
                      " ON CONFLICT DO NOTHING");
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

int attempts_withdraw(struct db_conn *conn, const char *worker)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "DELETE FROM attempts WHERE worker = ?1 AND NOT EXISTS(SELECT 1 FROM partitions p"
                      " WHERE p.partition = attempts.partition AND p.epoch = attempts.epoch AND p.owner = ?1)");
    bind_span(stmt, 1, span_of(worker));
    return db_run(stmt);
}

int attempts_read(struct db_conn *conn, struct store_lookup *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT count(*) FROM attempts"
                                       " WHERE id = ?1 AND tenant = ?2 AND entitlement = ?3 AND redrive = ?4"
                                       " AND epoch < (SELECT epoch FROM partitions WHERE partition = ?5)");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->signal_count; i++) {
        int64_t attempts = 0;
        bind_identity(stmt, &request->signals[i].identity);
        sqlite3_bind_int64(stmt, 5, request->partition);
        rc = stmt_number(stmt, &request->req, &attempts);
        request->signals[i].attempts = attempts < UINT32_MAX ? (uint32_t)attempts : UINT32_MAX;
    }
    return rc;
}
