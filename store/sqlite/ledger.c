/* andon's side: the outcomes of a shard from the oldest on, and the transaction that turns them into receipts. Database
 * thread only. */
#include "store/sqlite/internal.h"

#include <inttypes.h>

static int64_t order_of(uint32_t shard, uint64_t at)
{
    return (int64_t)shard << ORDER_BITS | (int64_t)at;
}

int shard_head_read(sqlite3_stmt *stmt, struct store_request *request, struct shard_head *ret)
{
    struct row row = row_of(stmt, NULL);
    ret->shard = (uint32_t)row_int(&row, 0, STORE_SHARDS_MAX - 1);
    ret->epoch = row_count(&row);
    ret->batch = row_count(&row);
    ret->size = (uint64_t)row_int(&row, 0, (INT64_C(1) << ORDER_BITS) - 1);
    ret->frontier_count = (uint32_t)__builtin_popcountll(ret->size);
    if (ret->frontier_count)
        row_bytes(&row, ret->frontier, (size_t)ret->frontier_count * SHA256_SIZE);
    else if (sqlite3_column_bytes(stmt, row.column++) != 0)
        row_spoil(&row);
    return row_check(&row, request);
}

int outcomes_run(struct db_conn *conn, struct op *op)
{
    struct store_outcomes *request = (struct store_outcomes *)op->request;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT partition, number, tenant, alert, text FROM outcomes"
                                       " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3");
    sqlite3_bind_int64(stmt, 1, order_of(request->shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(request->shard + 1, 0));
    sqlite3_bind_int64(stmt, 3, request->limit);
    struct list list = {0};
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct outcome *item = list_add(&list, &request->req.arena, sizeof(*item));
        struct row row = row_of(stmt, &request->req.arena);
        item->partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
        item->number = (uint64_t)row_int(&row, 1, INT64_MAX);
        item->tenant_id = row_text(&row, STORE_ID_MAX);
        item->alert = row_text(&row, STORE_TEXT_MAX);
        item->text = row_text(&row, STORE_TEXT_MAX);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    request->outcomes = list.items;
    request->outcome_count = list.count;
    return rc;
}

int chains_run(struct db_conn *conn, struct op *op)
{
    struct store_chains *request = (struct store_chains *)op->request;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT seq, hash FROM chains WHERE chain = ?1");
    for (size_t i = 0; i < request->chain_count; i++) {
        struct chain_head *head = &request->chains[i];
        head->seq = 0;
        memset(head->hash, 0, SHA256_SIZE);
        bind_span(stmt, 1, head->chain);
        int rc = db_step(stmt);
        if (rc == 1) {
            struct row row = row_of(stmt, NULL);
            head->seq = (uint64_t)row_int(&row, 1, INT64_MAX);
            row_bytes(&row, head->hash, SHA256_SIZE);
            rc = row_check(&row, &request->req);
        }
        sqlite3_reset(stmt);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int fence(struct db_conn *conn, const struct store_append *request)
{
    const struct shard_head *head = &request->head;
    sqlite3_stmt *stmt = db_stmt(conn, "UPDATE shards SET batch = batch + 1, size = ?4, frontier = ?5"
                                       " WHERE shard = ?1 AND epoch = ?2 AND batch = ?3 AND size = ?6"
                                       " AND owner IS NOT NULL");
    sqlite3_bind_int64(stmt, 1, head->shard);
    bind_u64(stmt, 2, head->epoch);
    bind_u64(stmt, 3, head->batch);
    bind_u64(stmt, 4, head->size);
    bind_blob(stmt, 5, head->frontier, (size_t)head->frontier_count * SHA256_SIZE);
    bind_u64(stmt, 6, head->size - request->receipt_count);
    int rc = db_run(stmt);
    if (rc < 0)
        return rc;
    return sqlite3_changes(db_handle(conn)) == 1 ? 0 : -ESTALE;
}

static int write_receipt(struct store_append *request, const struct receipt *receipt, sqlite3_stmt *insert,
                         sqlite3_stmt *by_id)
{
    int64_t id = order_of(request->head.shard, receipt->index);
    uint8_t uuid[16];
    if (!receipt_id_parse(receipt->receipt_id, uuid))
        return op_error(&request->req, -EINVAL, "receipt id %.36s is no UUID", receipt->receipt_id);
    sqlite3_bind_int64(insert, 1, id);
    bind_span(insert, 2, receipt->chain);
    bind_u64(insert, 3, receipt->seq);
    bind_blob(insert, 4, uuid, sizeof(uuid));
    sqlite3_bind_int64(insert, 5, receipt->partition);
    bind_u64(insert, 6, receipt->number);
    bind_blob(insert, 7, receipt->hash, SHA256_SIZE);
    if (span_eq(receipt->tenant_id, receipt->chain))
        sqlite3_bind_null(insert, 8);
    else
        bind_span(insert, 8, receipt->tenant_id);
    bind_span(insert, 9, receipt->entitlement_id);
    bind_span(insert, 10, receipt->signal_id);
    bind_span(insert, 11, receipt->type);
    sqlite3_bind_int64(insert, 12, receipt->timestamp_ms);
    bind_span(insert, 13, receipt->body);
    int rc = db_run(insert);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(by_id, 1, id >> ID_BLOCK_BITS);
    sqlite3_bind_int64(by_id, 2, receipt_id_prefix(uuid));
    sqlite3_bind_int64(by_id, 3, id);
    return db_run(by_id);
}

static int write_receipts(struct db_conn *conn, struct store_append *request)
{
    sqlite3_stmt *insert =
        db_stmt(conn, "INSERT INTO receipts(id, chain, seq, receipt_id, partition, number, hash, tenant, entitlement,"
                      " signal, type, timestamp, body) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)");
    sqlite3_stmt *by_id = db_stmt(conn, "INSERT INTO receipt_ids(block, prefix, receipt) VALUES(?1, ?2, ?3)");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->receipt_count; i++)
        rc = write_receipt(request, &request->receipts[i], insert, by_id);
    return rc;
}

static int write_chains(struct db_conn *conn, const struct store_append *request)
{
    if (!request->chain_count)
        return 0;
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO chains(chain, seq, hash) VALUES(?1, ?2, ?3)"
                                       " ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->chain_count; i++) {
        bind_span(stmt, 1, request->chains[i].chain);
        bind_u64(stmt, 2, request->chains[i].seq);
        bind_blob(stmt, 3, request->chains[i].hash, SHA256_SIZE);
        rc = db_run(stmt);
    }
    return rc;
}

/* The consumed ones must be the oldest of the shard, in the order read; *ret_last: the row of the last. */
static int check_consumed(struct db_conn *conn, struct store_append *request, uint64_t *receipted, int64_t *ret_last)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT id, partition, number FROM outcomes WHERE id >= ?1 AND id < ?2"
                                       " ORDER BY id LIMIT ?3");
    sqlite3_bind_int64(stmt, 1, order_of(request->head.shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(request->head.shard + 1, 0));
    sqlite3_bind_int64(stmt, 3, (int64_t)request->outcome_count);
    for (size_t i = 0; i < request->outcome_count; i++) {
        const struct outcome *outcome = &request->outcomes[i];
        int rc = db_step(stmt);
        if (rc < 0)
            return rc;
        bool there = rc == 1 && sqlite3_column_int64(stmt, 1) == outcome->partition &&
                     sqlite3_column_int64(stmt, 2) == (int64_t)outcome->number;
        if (!there)
            return op_error(&request->req, -ENOENT, "outcome %u/%u/%" PRIu64 " is not the next of its shard",
                            outcome->partition, request->head.shard, outcome->number);
        receipted[outcome->partition] = outcome->number;
        *ret_last = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_reset(stmt);
    return 0;
}

static int move_cursors(struct db_conn *conn, const struct store_append *request, const uint64_t *receipted)
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO outcome_cursors(shard, partition, receipted) VALUES(?1, ?2, ?3)"
                                       " ON CONFLICT DO UPDATE SET receipted = excluded.receipted");
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < STORE_PARTITIONS_MAX; i++) {
        if (!receipted[i])
            continue;
        sqlite3_bind_int64(stmt, 1, request->head.shard);
        sqlite3_bind_int64(stmt, 2, i);
        bind_u64(stmt, 3, receipted[i]);
        rc = db_run(stmt);
    }
    return rc;
}

static int consume(struct db_conn *conn, struct store_append *request)
{
    if (!request->outcome_count)
        return 0;
    uint64_t receipted[STORE_PARTITIONS_MAX] = {0};
    int64_t last = 0;
    int rc = check_consumed(conn, request, receipted, &last);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM outcomes WHERE id BETWEEN ?1 AND ?2");
    sqlite3_bind_int64(stmt, 1, order_of(request->head.shard, 0));
    sqlite3_bind_int64(stmt, 2, last);
    rc = db_run(stmt);
    return rc < 0 ? rc : move_cursors(conn, request, receipted);
}

/* After the COMMIT, in a turn of its own. */
static int read_back(struct db_conn *conn, struct op *op)
{
    struct store_append *request = (struct store_append *)op->request;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT shard, epoch, batch, size, frontier FROM shards WHERE shard = ?1");
    sqlite3_bind_int64(stmt, 1, request->head.shard);
    if (db_step(stmt) != 1 || shard_head_read(stmt, &request->req, &request->committed) < 0)
        return -ESTALE; /* committed, but nothing may be signed: the caller must look */
    return 0;
}

int append_run(struct db_conn *conn, struct op *op)
{
    struct store_append *request = (struct store_append *)op->request;
    op->then = read_back;
    request->committed = (struct shard_head){0};
    int rc = fence(conn, request);
    if (rc == 0)
        rc = write_receipts(conn, request);
    if (rc == 0)
        rc = write_chains(conn, request);
    return rc < 0 ? rc : consume(conn, request);
}
