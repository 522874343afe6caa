/* The one transaction of a batch. Its first statement fences: nothing of it is in the store unless the partition is
 * still held under this epoch and this batch has not been committed. Database thread only. */
#include "store/sqlite/internal.h"

static int fence(struct db_conn *conn, const struct store_commit *request)
{
    int64_t inserted = 0;
    for (size_t i = 0; i < request->governor_count; i++)
        inserted += request->governors[i].insert;
    sqlite3_stmt *stmt =
        db_stmt(conn, "UPDATE partitions SET batch = batch + 1, clock = max(clock, ?4), crashes = iif(?5, 0, crashes),"
                      " taken = taken + ?6, requeued = requeued + ?7, ended = ended + ?8, duplicates = duplicates + ?9,"
                      " waiting = waiting + ?10, acting = acting + ?11, next_line = ?12, governors = governors + ?13,"
                      " wall_day = ?14, wall_low = ?15, wall_before = ?16"
                      " WHERE partition = ?1 AND epoch = ?2 AND batch = ?3 AND owner IS NOT NULL");
    sqlite3_bind_int64(stmt, 1, request->partition);
    bind_u64(stmt, 2, request->epoch);
    bind_u64(stmt, 3, request->batch);
    sqlite3_bind_int64(stmt, 4, request->clock_ms);
    sqlite3_bind_int64(stmt, 5, request->settles);
    sqlite3_bind_int64(stmt, 6, request->taken);
    sqlite3_bind_int64(stmt, 7, request->requeued);
    sqlite3_bind_int64(stmt, 8, request->ended);
    sqlite3_bind_int64(stmt, 9, request->duplicates);
    sqlite3_bind_int64(stmt, 10, request->waiting);
    sqlite3_bind_int64(stmt, 11, request->acting);
    bind_u64(stmt, 12, request->next_line);
    sqlite3_bind_int64(stmt, 13, inserted);
    sqlite3_bind_int64(stmt, 14, request->wall.day);
    sqlite3_bind_int64(stmt, 15, request->wall.low_ms);
    sqlite3_bind_int64(stmt, 16, request->wall.before_ms);
    int rc = db_run(stmt);
    if (rc < 0)
        return rc;
    return sqlite3_changes(db_handle(conn)) == 1 ? 0 : -ESTALE;
}

static int64_t intake_slot(const struct store_commit *request, const struct intake_range *range)
{
    return range->refusals ? INTAKE_REFUSALS : request->partition;
}

static int delete_run(struct db_conn *conn, int64_t slot, const char *boot, int64_t first)
{
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM intake WHERE partition = ?1 AND boot = ?2 AND first = ?3");
    sqlite3_bind_int64(stmt, 1, slot);
    bind_span(stmt, 2, span_of(boot));
    sqlite3_bind_int64(stmt, 3, first);
    return db_run(stmt);
}

/* Absorbs the stored run that overlaps or touches the range, if there is one: 1; else 0. */
static int absorb_run(struct db_conn *conn, struct store_commit *request, struct intake_range *range)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT first, last, confirmed FROM intake WHERE partition = ?1 AND boot = ?2"
                                       " AND first <= ?3 ORDER BY first DESC LIMIT 1");
    sqlite3_bind_int64(stmt, 1, intake_slot(request, range));
    bind_span(stmt, 2, span_of(range->boot));
    bind_u64(stmt, 3, range->last + 1);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, NULL);
    uint64_t first = row_count(&row), last = row_count(&row), confirmed = row_count(&row);
    rc = row_check(&row, &request->req);
    if (rc < 0 || last + 1 < range->first)
        return rc;
    sqlite3_reset(stmt);
    range->last = last > range->last ? last : range->last;
    range->confirmed = confirmed > range->confirmed ? confirmed : range->confirmed;
    if (first >= range->first) {
        rc = delete_run(conn, intake_slot(request, range), range->boot, (int64_t)first);
        return rc < 0 ? rc : 1;
    }
    range->first = first; /* goes on from there, in place */
    return 0;
}

static int intake_write(struct db_conn *conn, struct store_commit *request)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->intake_count; i++) {
        struct intake_range range = request->intake[i];
        while ((rc = absorb_run(conn, request, &range)) == 1)
            ;
        if (rc < 0)
            break;
        sqlite3_stmt *stmt =
            db_stmt(conn, "INSERT INTO intake(partition, boot, first, last, confirmed) VALUES(?1, ?2, ?3, ?4, ?5)"
                          " ON CONFLICT DO UPDATE SET last = excluded.last, confirmed = excluded.confirmed");
        sqlite3_bind_int64(stmt, 1, intake_slot(request, &range));
        bind_span(stmt, 2, span_of(range.boot));
        bind_u64(stmt, 3, range.first);
        bind_u64(stmt, 4, range.last);
        bind_u64(stmt, 5, range.confirmed);
        rc = db_run(stmt);
    }
    return rc;
}

int commit_run(struct db_conn *conn, struct op *op)
{
    struct store_commit *request = (struct store_commit *)op->request;
    int rc = fence(conn, request);
    if (rc == 0)
        rc = governors_write(conn, request);
    if (rc == 0)
        rc = signals_write(conn, request);
    if (rc == 0)
        rc = outcomes_write(conn, request);
    if (rc == 0)
        rc = intake_write(conn, request);
    if (rc == 0)
        rc = deadletters_write(conn, request);
    if (rc == 0 && request->command_count)
        rc = commands_write(conn, request);
    if (rc == 0 && (request->attempt_begins || request->attempt_finishes || request->settles))
        rc = attempts_write(conn, request);
    return rc;
}
