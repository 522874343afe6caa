/* The queue to andon. What a commit adds to a shard is one row: the partition, the first number, how many, and a pack
 * of tenant id and text for each, every one a length (LEB128) and its bytes, in order of the numbers. One row instead
 * of hundreds, because it is written, read once and deleted. A row that andon has consumed in part stays until the rest
 * is; the cursor of (shard, partition) tells how far. Database thread only. */
#include "store/sqlite/internal.h"

#include <inttypes.h>

/* What a commit adds to one shard. */
struct addition {
    uint64_t first, next; /* numbers; 0: the shard has not occurred yet */
    size_t size;          /* upper bound of the pack */
    uint8_t *pack, *end;
};

static int next_number(struct db_conn *conn, struct store_commit *request, uint32_t shard, uint64_t *ret)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT coalesce(max(next), 1) FROM outcome_numbers WHERE partition = ?1 AND shard = ?2");
    sqlite3_bind_int64(stmt, 1, request->partition);
    sqlite3_bind_int64(stmt, 2, shard);
    return stmt_number(stmt, &request->req, (int64_t *)ret);
}

/* Numbers must go on without gaps; sums up the packs. */
static int measure(struct db_conn *conn, struct store_commit *request, struct addition *additions)
{
    for (size_t i = 0; i < request->outcome_count; i++) {
        const struct outcome *outcome = &request->outcomes[i];
        struct addition *addition = &additions[request->outcome_shards[i]];
        int rc = addition->first ? 0 : next_number(conn, request, request->outcome_shards[i], &addition->first);
        if (rc < 0)
            return rc;
        if (!addition->next)
            addition->next = addition->first;
        if (outcome->number != addition->next)
            return op_error(&request->req, -EINVAL, "outcome %u/%u/%" PRIu64 " is not the next, %" PRIu64 " is",
                            request->partition, request->outcome_shards[i], outcome->number, addition->next);
        addition->next++;
        addition->size += 2 * (size_t)VARINT_MAX + outcome->tenant_id.len + outcome->text.len;
    }
    return 0;
}

static void fill(struct store_commit *request, struct addition *additions)
{
    for (size_t i = 0; i < request->outcome_count; i++) {
        const struct outcome *outcome = &request->outcomes[i];
        struct addition *addition = &additions[request->outcome_shards[i]];
        if (!addition->pack)
            addition->pack = addition->end = arena_alloc(&request->req.arena, addition->size);
        addition->end = put_span(addition->end, outcome->tenant_id);
        addition->end = put_span(addition->end, outcome->text);
    }
}

static int store(struct db_conn *conn, const struct store_commit *request, uint32_t shard,
                 const struct addition *addition)
{
    sqlite3_stmt *row = db_stmt(conn, "INSERT INTO outcomes(id, partition, first, count, pack) VALUES("
                                      "(SELECT coalesce(max(id), ?1) + 1 FROM outcomes WHERE id >= ?1 AND id < ?2),"
                                      " ?3, ?4, ?5, ?6)");
    sqlite3_bind_int64(row, 1, order_of(shard, 0));
    sqlite3_bind_int64(row, 2, order_of(shard + 1, 0));
    sqlite3_bind_int64(row, 3, request->partition);
    bind_u64(row, 4, addition->first);
    bind_u64(row, 5, addition->next - addition->first);
    bind_blob(row, 6, addition->pack, (size_t)(addition->end - addition->pack));
    int rc = db_run(row);
    if (rc < 0)
        return rc;
    sqlite3_stmt *next = db_stmt(conn, "INSERT INTO outcome_numbers(partition, shard, next) VALUES(?1, ?2, ?3)"
                                       " ON CONFLICT DO UPDATE SET next = excluded.next");
    sqlite3_bind_int64(next, 1, request->partition);
    sqlite3_bind_int64(next, 2, shard);
    bind_u64(next, 3, addition->next);
    return db_run(next);
}

int outcomes_write(struct db_conn *conn, struct store_commit *request)
{
    if (!request->outcome_count)
        return 0;
    uint32_t shards = 0;
    for (size_t i = 0; i < request->outcome_count; i++)
        if (request->outcome_shards[i] >= shards)
            shards = request->outcome_shards[i] + 1;
    struct addition *additions = arena_alloc(&request->req.arena, shards * sizeof(*additions));
    memset(additions, 0, shards * sizeof(*additions));
    int rc = measure(conn, request, additions);
    if (rc < 0)
        return rc;
    fill(request, additions);
    for (uint32_t shard = 0; rc == 0 && shard < shards; shard++)
        if (additions[shard].first)
            rc = store(conn, request, shard, &additions[shard]);
    db_notify(conn, OUTCOMES_CHANNEL);
    return rc;
}

/* Reads the pack of the row; those up to `receipted` have been consumed. */
int outcomes_unpack(struct row *row, struct store_outcomes *request, struct list *list)
{
    struct outcome next = {.partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1)};
    next.number = (uint64_t)row_int(row, 1, INT64_MAX);
    uint64_t count = row_count(row), receipted = row_count(row);
    struct span bytes = row_blob_or_null(row, INT32_MAX);
    struct pack pack = {(const uint8_t *)bytes.ptr, (const uint8_t *)bytes.ptr + bytes.len};
    for (; count && !row->bad && list->count < request->limit; count--, next.number++) {
        if (!take_span(&pack, STORE_ID_MAX, &next.tenant_id) || !take_span(&pack, STORE_TEXT_MAX, &next.text))
            row_spoil(row);
        else if (next.number > receipted)
            *(struct outcome *)list_add(list, &request->req.arena, sizeof(next)) = next;
    }
    if (count == 0 && pack.at != pack.end)
        row_spoil(row);
    return row_check(row, &request->req);
}

int outcomes_run(struct db_conn *conn, struct op *op)
{
    struct store_outcomes *request = (struct store_outcomes *)op->request;
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT o.partition, o.first, o.count, coalesce(c.receipted, 0), o.pack FROM outcomes o"
                      " LEFT JOIN outcome_cursors c ON c.shard = ?3 AND c.partition = o.partition"
                      " WHERE o.id >= ?1 AND o.id < ?2 ORDER BY o.id");
    sqlite3_bind_int64(stmt, 1, order_of(request->shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(request->shard + 1, 0));
    sqlite3_bind_int64(stmt, 3, request->shard);
    struct list list = {0};
    int rc = 0;
    while (list.count < request->limit && (rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, &request->req.arena);
        if ((rc = outcomes_unpack(&row, request, &list)) < 0)
            return rc;
    }
    request->outcomes = list.items;
    request->outcome_count = list.count;
    return rc < 0 ? rc : 0;
}

/* How far each partition's outcomes of the shard are receipted. */
struct cursors {
    struct db_conn *conn;
    struct store_append *request;
    bool known[STORE_PARTITIONS_MAX];
    uint64_t receipted[STORE_PARTITIONS_MAX];
};

static int cursor_load(struct cursors *cursors, uint32_t partition)
{
    if (cursors->known[partition])
        return 0;
    sqlite3_stmt *stmt = db_stmt(cursors->conn, "SELECT coalesce(max(receipted), 0) FROM outcome_cursors"
                                                " WHERE shard = ?1 AND partition = ?2");
    sqlite3_bind_int64(stmt, 1, cursors->request->head.shard);
    sqlite3_bind_int64(stmt, 2, partition);
    cursors->known[partition] = true;
    return stmt_number(stmt, &cursors->request->req, (int64_t *)&cursors->receipted[partition]);
}

/* Not beyond what has been written. */
static int cursor_store(struct cursors *cursors, uint32_t partition)
{
    sqlite3_stmt *stmt =
        db_stmt(cursors->conn, "INSERT INTO outcome_cursors(shard, partition, receipted) SELECT shard, partition, ?3"
                               " FROM outcome_numbers WHERE partition = ?2 AND shard = ?1 AND next > ?3"
                               " ON CONFLICT DO UPDATE SET receipted = excluded.receipted");
    sqlite3_bind_int64(stmt, 1, cursors->request->head.shard);
    sqlite3_bind_int64(stmt, 2, partition);
    bind_u64(stmt, 3, cursors->receipted[partition]);
    int rc = db_run(stmt);
    if (rc < 0 || sqlite3_changes(db_handle(cursors->conn)) == 1)
        return rc;
    return op_error(&cursors->request->req, -ENOENT, "partition %u has no outcome %" PRIu64 " in shard %u", partition,
                    cursors->receipted[partition], cursors->request->head.shard);
}

static int cursors_move(struct cursors *cursors)
{
    const struct store_append *request = cursors->request;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->outcome_count; i++) {
        const struct outcome *outcome = &request->outcomes[i];
        rc = cursor_load(cursors, outcome->partition);
        if (rc == 0 && outcome->number != cursors->receipted[outcome->partition] + 1)
            rc = op_error(&cursors->request->req, -ENOENT, "outcome %u/%u/%" PRIu64 " is not the next to be receipted",
                          outcome->partition, request->head.shard, outcome->number);
        cursors->receipted[outcome->partition] = outcome->number;
    }
    for (uint32_t i = 0; rc == 0 && i < STORE_PARTITIONS_MAX; i++)
        if (cursors->known[i])
            rc = cursor_store(cursors, i);
    return rc;
}

/* The last row of those at the front that are consumed whole; 0: none. */
static int consumed_rows(struct cursors *cursors, int64_t *ret)
{
    uint32_t shard = cursors->request->head.shard;
    sqlite3_stmt *stmt = db_stmt(cursors->conn, "SELECT partition, first + count - 1, id FROM outcomes"
                                                " WHERE id >= ?1 AND id < ?2 ORDER BY id");
    sqlite3_bind_int64(stmt, 1, order_of(shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(shard + 1, 0));
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        uint32_t partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
        uint64_t last = row_count(&row);
        if ((rc = row_check(&row, &cursors->request->req)) < 0 || (rc = cursor_load(cursors, partition)) < 0)
            return rc;
        if (last > cursors->receipted[partition])
            break;
        *ret = row_int(&row, 0, INT64_MAX);
    }
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int outcomes_consume(struct db_conn *conn, struct store_append *request)
{
    if (!request->outcome_count)
        return 0;
    struct cursors *cursors = arena_alloc(&request->req.arena, sizeof(*cursors));
    *cursors = (struct cursors){.conn = conn, .request = request};
    int64_t last = 0;
    int rc = cursors_move(cursors);
    if (rc == 0)
        rc = consumed_rows(cursors, &last);
    if (rc < 0 || !last)
        return rc;
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM outcomes WHERE id BETWEEN ?1 AND ?2");
    sqlite3_bind_int64(stmt, 1, order_of(request->head.shard, 0));
    sqlite3_bind_int64(stmt, 2, last);
    return db_run(stmt);
}
