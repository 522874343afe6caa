/* The partitions as operators see them: owner, lease, counters, what is open. Database thread only. */
#include "common/clock.h"
#include "store/sqlite/internal.h"

#define PARTITION_ITEM                                                                                                 \
    "SELECT p.partition, iif(t.until IS NULL, '', coalesce(p.owner, '')), coalesce(t.until, 0), p.epoch, p.batch,"     \
    " p.crashes, p.taken, p.requeued, p.ended, p.duplicates, p.waiting, p.acting, p.governors,"                        \
    " (SELECT coalesce(sum(n.next - 1 - coalesce(c.receipted, 0)), 0) FROM outcome_numbers n"                          \
    " LEFT JOIN outcome_cursors c ON c.shard = n.shard AND c.partition = n.partition"                                  \
    " WHERE n.partition = p.partition),"                                                                               \
    " (SELECT " MISSING_FRAMES " FROM (SELECT partition, boot, max(confirmed) AS confirmed, count(*) AS ranges,"       \
    " max(first) AS first, max(last) AS last FROM intake WHERE partition = p.partition GROUP BY boot) b),"             \
    " (SELECT coalesce(sum(open), 0) FROM deadletter_counts d WHERE d.partition = p.partition),"                       \
    " (SELECT count(*) FROM commands c INDEXED BY commands_pending WHERE c.partition = p.partition AND c.status = 0)"  \
    " FROM partitions p LEFT JOIN temp.lease_terms t ON t.role = 'partition' AND t.slot = p.partition"

static int read_partition(sqlite3_stmt *stmt, struct store_partitions *request, int64_t now_ms,
                          struct partition_item *ret)
{
    struct row row = row_of(stmt, &request->req.arena);
    ret->partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
    ret->owner = row_text(&row, STORE_ID_MAX);
    int64_t until_ms = row_int(&row, 0, INT64_MAX);
    ret->lease_ms = ret->owner.len && until_ms > now_ms ? until_ms - now_ms : 0;
    ret->epoch = row_count(&row);
    ret->batch = row_count(&row);
    ret->crashes = (uint32_t)row_int(&row, 0, UINT32_MAX);
    ret->taken = row_count(&row);
    ret->requeued = row_count(&row);
    ret->ended = row_count(&row);
    ret->duplicates = row_count(&row);
    ret->waiting = row_count(&row);
    ret->acting = row_count(&row);
    ret->governors = row_count(&row);
    ret->outcomes_open = row_count(&row);
    ret->missing = row_count(&row);
    ret->deadletters = row_count(&row);
    ret->commands = row_count(&row);
    return row_check(&row, &request->req);
}

int partitions_run(struct db_conn *conn, struct op *op)
{
    struct store_partitions *request = (struct store_partitions *)op->request;
    sqlite3_stmt *stmt =
        request->descending ? db_stmt(conn, PARTITION_ITEM " WHERE p.partition < ?1 ORDER BY p.partition DESC LIMIT ?2")
                            : db_stmt(conn, PARTITION_ITEM " WHERE p.partition > ?1 ORDER BY p.partition LIMIT ?2");
    sqlite3_bind_int64(stmt, 1, request->descending && request->after < 0 ? STORE_PARTITIONS_MAX : request->after);
    sqlite3_bind_int64(stmt, 2, (int64_t)request->limit + 1);
    int64_t now_ms = clock_mono_ms(&clock_system);
    struct list items = {0};
    int rc;
    request->more = false;
    while ((rc = db_step(stmt)) == 1) {
        if ((request->more = items.count == request->limit))
            break;
        rc =
            read_partition(stmt, request, now_ms, list_add(&items, &request->req.arena, sizeof(struct partition_item)));
        if (rc < 0)
            return rc;
    }
    sqlite3_reset(stmt);
    request->partitions = items.items;
    request->partition_count = items.count;
    return rc < 0 ? rc : 0;
}
