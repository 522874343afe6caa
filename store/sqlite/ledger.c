/* The transaction that turns outcomes into receipts, and the heads it moves. Receipts go in by arrival; two packed
 * tables find them again, by id (receipt_ids) and by chain (chain_receipts). Database thread only. */
#include "store/sqlite/internal.h"

#include <endian.h>
#include <stdlib.h>

enum { RECEIPT_PARAMETERS = 13, CHAIN_PARAMETERS = 4, BLOCK_PARAMETERS = 3, PREFIX = 4 };

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
    ret->tiled = (uint64_t)row_int(&row, 0, (int64_t)ret->size);
    if (ret->tiled % TILE_WIDTH)
        row_spoil(&row);
    return row_check(&row, request);
}

static int read_heads(sqlite3_stmt *stmt, struct store_request *request, struct chain_head *heads, size_t count)
{
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        struct chain_head *head = &heads[row_int(&row, 0, (int64_t)count - 1)];
        head->seq = (uint64_t)row_int(&row, 1, INT64_MAX);
        row_bytes(&row, head->hash, SHA256_SIZE);
        if ((rc = row_check(&row, request)) < 0)
            return rc;
    }
    sqlite3_reset(stmt);
    return rc;
}

int chains_run(struct db_conn *conn, struct op *op)
{
    struct store_chains *request = (struct store_chains *)op->request;
    sqlite3_stmt *stmt =
        db_stmt(conn, "WITH v(chain, i) AS (VALUES " X16("(?,?)") ") SELECT v.i, c.seq, c.hash"
                                                                  " FROM v CROSS JOIN chains c ON c.chain = v.chain");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->chain_count; i += ROWS) {
        struct chain_head *heads = &request->chains[i];
        size_t left = request->chain_count - i;
        int rows = left < ROWS ? (int)left : ROWS;
        for (int k = 0; k < rows; k++) {
            heads[k].seq = 0;
            memset(heads[k].hash, 0, SHA256_SIZE);
            bind_span(stmt, 2 * k + 1, heads[k].chain);
            sqlite3_bind_int64(stmt, 2 * k + 2, k);
        }
        bind_padding(stmt, rows, 2);
        rc = read_heads(stmt, &request->req, heads, (size_t)rows);
    }
    return rc;
}

static int fence(struct db_conn *conn, const struct store_append *request)
{
    const struct shard_head *head = &request->head;
    uint64_t added = 0;
    for (size_t i = 0; i < request->tile_count; i++)
        added += request->tiles[i].level == 0 ? TILE_WIDTH : 0;
    sqlite3_stmt *stmt = db_stmt(conn, "UPDATE shards SET batch = batch + 1, size = ?4, frontier = ?5, tiled = ?7"
                                       " WHERE shard = ?1 AND epoch = ?2 AND batch = ?3 AND size = ?6 AND tiled = ?8"
                                       " AND owner IS NOT NULL");
    sqlite3_bind_int64(stmt, 1, head->shard);
    bind_u64(stmt, 2, head->epoch);
    bind_u64(stmt, 3, head->batch);
    bind_u64(stmt, 4, head->size);
    bind_blob(stmt, 5, head->frontier, (size_t)head->frontier_count * SHA256_SIZE);
    bind_u64(stmt, 6, head->size - request->receipt_count);
    bind_u64(stmt, 7, head->tiled);
    bind_u64(stmt, 8, head->tiled - added);
    int rc = db_run(stmt);
    if (rc < 0)
        return rc;
    return sqlite3_changes(db_handle(conn)) == 1 ? 0 : -ESTALE;
}

static void bind_receipt(sqlite3_stmt *stmt, int at, uint32_t shard, const struct receipt *receipt,
                         const uint8_t uuid[16])
{
    sqlite3_bind_int64(stmt, at + 1, order_of(shard, receipt->index));
    bind_span(stmt, at + 2, receipt->chain);
    bind_u64(stmt, at + 3, receipt->seq);
    bind_blob(stmt, at + 4, uuid, 16);
    sqlite3_bind_int64(stmt, at + 5, receipt->partition);
    bind_u64(stmt, at + 6, receipt->number);
    bind_blob(stmt, at + 7, receipt->hash, SHA256_SIZE);
    if (span_eq(receipt->tenant_id, receipt->chain))
        sqlite3_bind_null(stmt, at + 8);
    else
        bind_span(stmt, at + 8, receipt->tenant_id);
    bind_span(stmt, at + 9, receipt->entitlement_id);
    bind_span(stmt, at + 10, receipt->signal_id);
    bind_span(stmt, at + 11, receipt->type);
    sqlite3_bind_int64(stmt, at + 12, receipt->timestamp_ms);
    bind_span(stmt, at + 13, receipt->body);
}

#define INSERT                                                                                                         \
    "INSERT OR FAIL INTO receipts(id, chain, seq, receipt_id, partition, number, hash, tenant, entitlement, signal,"   \
    " type, timestamp, body)"
#define ROW "(?,?,?,?,?,?,?,?,?,?,?,?,?)"

static int write_receipts(struct db_conn *conn, const struct store_append *request, const uint8_t (*uuids)[16])
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->receipt_count; i += ROWS) {
        size_t left = request->receipt_count - i;
        int rows = left < ROWS ? (int)left : ROWS;
        sqlite3_stmt *stmt = rows == ROWS ? db_stmt(conn, INSERT FULL_ROWS(ROW)) : db_stmt(conn, INSERT SOME_ROWS(ROW));
        for (int k = 0; k < rows; k++)
            bind_receipt(stmt, k * RECEIPT_PARAMETERS, request->head.shard, &request->receipts[i + (size_t)k],
                         uuids[i + (size_t)k]);
        rc = db_run(stmt);
    }
    return rc;
}

static int write_ids(struct db_conn *conn, struct store_append *request, const uint8_t (*uuids)[16])
{
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO receipt_ids(id, prefixes) VALUES(?1, ?2) ON CONFLICT DO UPDATE"
                                       " SET prefixes = CAST(prefixes || excluded.prefixes AS BLOB)");
    uint8_t *prefixes = arena_alloc(&request->req.arena, request->receipt_count * PREFIX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->receipt_count;) {
        uint64_t block = request->receipts[i].index / RECEIPT_BLOCK;
        size_t begin = i;
        for (; i < request->receipt_count && request->receipts[i].index / RECEIPT_BLOCK == block; i++)
            memcpy(prefixes + i * PREFIX, uuids[i], PREFIX);
        sqlite3_bind_int64(stmt, 1, order_of(request->head.shard, block));
        bind_blob(stmt, 2, prefixes + begin * PREFIX, (i - begin) * PREFIX);
        rc = db_run(stmt);
    }
    return rc;
}

static int heads_by_chain(const void *a, const void *b)
{
    return span_cmp((*(const struct chain_head *const *)a)->chain, (*(const struct chain_head *const *)b)->chain);
}

/* The receipts and the heads of a commit, chain by chain. */
struct chains {
    const struct receipt **receipts;
    const struct chain_head **heads;
    int64_t *added; /* receipts per head */
};

/* Heads by the hash of their chain's name, in open addressing; 0: free, else 1 + the place in chains.heads. */
struct head_table {
    uint32_t *slots;
    size_t mask;
    uint64_t seed;
};

static struct head_table table_of(const struct chains *chains, size_t heads, struct arena *arena)
{
    struct head_table table = {.mask = 1, .seed = (uintptr_t)arena};
    while (table.mask < 2 * heads)
        table.mask = 2 * table.mask + 1;
    table.slots = arena_alloc(arena, (table.mask + 1) * sizeof(*table.slots));
    memset(table.slots, 0, (table.mask + 1) * sizeof(*table.slots));
    for (size_t i = 0; i < heads; i++) {
        size_t slot = hash_quick(chains->heads[i]->chain, table.seed) & table.mask;
        while (table.slots[slot])
            slot = (slot + 1) & table.mask;
        table.slots[slot] = (uint32_t)i + 1;
    }
    return table;
}

/* 1 + the place of the chain's head; 0: it has none. */
static uint32_t head_of(const struct head_table *table, const struct chains *chains, struct span chain)
{
    size_t slot = hash_quick(chain, table->seed) & table->mask;
    while (table->slots[slot] && !span_eq(chains->heads[table->slots[slot] - 1]->chain, chain))
        slot = (slot + 1) & table->mask;
    return table->slots[slot];
}

/* Puts the receipts in order of their heads, those of one chain in order of the log; counts them. False when one has no
 * head. By counting: sorting a thousand by their chains' names cost as much as writing a fifth of them. */
static bool receipts_sort(struct store_append *request, const struct chains *chains)
{
    size_t receipts = request->receipt_count, heads = request->chain_count;
    struct arena *arena = &request->req.arena;
    struct head_table table = table_of(chains, heads, arena);
    uint32_t *of = arena_alloc(arena, (receipts + 1) * sizeof(*of));
    size_t *next = arena_alloc(arena, (heads + 1) * sizeof(*next));
    memset(chains->added, 0, heads * sizeof(*chains->added));
    for (size_t i = 0; i < receipts; i++) {
        of[i] = head_of(&table, chains, request->receipts[i].chain);
        if (of[i] == 0)
            return false;
        chains->added[of[i] - 1]++;
    }
    for (size_t i = 0, at = 0; i < heads; at += (size_t)chains->added[i++])
        next[i] = at;
    for (size_t i = 0; i < receipts; i++)
        chains->receipts[next[of[i] - 1]++] = &request->receipts[i];
    return true;
}

/* Whether the receipts of one chain follow on each other up to its head. */
static bool leads_to(const struct receipt *const *receipts, size_t count, const struct chain_head *head)
{
    for (size_t i = 1; i < count; i++)
        if (receipts[i]->seq != receipts[0]->seq + i)
            return false;
    return count && receipts[count - 1]->seq == head->seq &&
           memcmp(receipts[count - 1]->hash, head->hash, SHA256_SIZE) == 0;
}

/* Each chain must grow by its receipts, one after the other, up to its new head. */
static int chains_sort(struct store_append *request, struct chains *ret)
{
    size_t receipts = request->receipt_count, heads = request->chain_count;
    *ret = (struct chains){.receipts = arena_alloc(&request->req.arena, (receipts + 1) * sizeof(*ret->receipts)),
                           .heads = arena_alloc(&request->req.arena, (heads + 1) * sizeof(*ret->heads)),
                           .added = arena_alloc(&request->req.arena, (heads + 1) * sizeof(*ret->added))};
    for (size_t i = 0; i < heads; i++)
        ret->heads[i] = &request->chains[i];
    if (heads > 1)
        qsort(ret->heads, heads, sizeof(*ret->heads), heads_by_chain);
    if (!receipts_sort(request, ret))
        return op_error(&request->req, -EINVAL, "receipts of a chain without a head");
    const struct receipt *const *of_chain = (const struct receipt *const *)ret->receipts;
    for (size_t i = 0; i < heads; of_chain += ret->added[i++])
        if (!leads_to(of_chain, (size_t)ret->added[i], ret->heads[i]))
            return op_error(&request->req, -EINVAL, "chain %.*s: its receipts do not lead to its head",
                            (int)ret->heads[i]->chain.len, ret->heads[i]->chain.ptr);
    return 0;
}

#define INSERT_HEADS "INSERT OR FAIL INTO chains(chain, seq, hash, added)" SOME_ROWS("(?,?,?,?)")

/* Moves the heads of new chains, or those of known ones: a chain that is not where its receipts begin does not match.
 */
static int write_heads(struct db_conn *conn, struct store_append *request, const struct chains *chains, bool new)
{
    sqlite3_stmt *stmt =
        new ? db_stmt(conn, INSERT_HEADS)
            : db_stmt(conn, INSERT_HEADS " ON CONFLICT(chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,"
                                         " added = excluded.added WHERE seq = excluded.seq - excluded.added");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->chain_count;) {
        int rows = 0;
        for (; i < request->chain_count && rows < ROWS; i++) {
            const struct chain_head *head = chains->heads[i];
            if (((int64_t)head->seq == chains->added[i]) != new)
                continue;
            int at = rows++ * CHAIN_PARAMETERS;
            bind_span(stmt, at + 1, head->chain);
            bind_u64(stmt, at + 2, head->seq);
            bind_blob(stmt, at + 3, head->hash, SHA256_SIZE);
            sqlite3_bind_int64(stmt, at + 4, chains->added[i]);
        }
        bind_padding(stmt, rows, CHAIN_PARAMETERS);
        if (rows)
            rc = new ? db_run(stmt) : run_updates(conn, stmt, rows);
    }
    if (rc == -ENOENT || rc == -EEXIST)
        return op_error(&request->req, rc, "a chain of this append is not where its receipts begin");
    return rc;
}

/* Rows of chain_receipts, ROWS at a time. */
struct blocks {
    struct db_conn *conn;
    sqlite3_stmt *stmt;
    uint32_t shard;
    int rows;
    uint8_t ids[ROWS][CHAIN_BLOCK][8];
};

static int blocks_flush(struct blocks *blocks)
{
    bind_padding(blocks->stmt, blocks->rows, BLOCK_PARAMETERS);
    blocks->rows = 0;
    return db_run(blocks->stmt);
}

/* Adds the receipts of one chain. */
static int blocks_add(struct blocks *blocks, const struct receipt **receipts, size_t count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count;) {
        uint64_t block = (receipts[i]->seq - 1) / CHAIN_BLOCK;
        uint8_t(*ids)[8] = blocks->ids[blocks->rows];
        size_t used = 0;
        for (; i < count && (receipts[i]->seq - 1) / CHAIN_BLOCK == block; i++, used++) {
            uint64_t id = htobe64((uint64_t)order_of(blocks->shard, receipts[i]->index));
            memcpy(ids[used], &id, sizeof(id));
        }
        int at = blocks->rows++ * BLOCK_PARAMETERS;
        bind_span(blocks->stmt, at + 1, receipts[i - 1]->chain);
        bind_u64(blocks->stmt, at + 2, block);
        bind_blob(blocks->stmt, at + 3, ids, used * sizeof(*ids));
        if (blocks->rows == ROWS)
            rc = blocks_flush(blocks);
    }
    return rc;
}

static int write_blocks(struct db_conn *conn, struct store_append *request, const struct chains *chains)
{
    struct blocks *blocks = arena_alloc(&request->req.arena, sizeof(*blocks));
    blocks->conn = conn;
    blocks->shard = request->head.shard;
    blocks->rows = 0;
    blocks->stmt = db_stmt(conn, "INSERT OR FAIL INTO chain_receipts(chain, block, ids)" SOME_ROWS(
                                     "(?,?,?)") " ON CONFLICT DO UPDATE SET ids = CAST(ids || excluded.ids AS BLOB)");
    const struct receipt **receipts = chains->receipts;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->chain_count; i++) {
        rc = blocks_add(blocks, receipts, (size_t)chains->added[i]);
        receipts += chains->added[i];
    }
    return rc < 0 || !blocks->rows ? rc : blocks_flush(blocks);
}

static int write_chains(struct db_conn *conn, struct store_append *request)
{
    struct chains chains;
    int rc = chains_sort(request, &chains);
    if (rc == 0)
        rc = write_heads(conn, request, &chains, true);
    if (rc == 0)
        rc = write_heads(conn, request, &chains, false);
    return rc < 0 ? rc : write_blocks(conn, request, &chains);
}

/* After the COMMIT, in a turn of its own: by then another owner may have gone on. */
static int read_back(struct db_conn *conn, struct op *op)
{
    struct store_append *request = (struct store_append *)op->request;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " HEAD_COLUMNS " FROM shards WHERE shard = ?1");
    sqlite3_bind_int64(stmt, 1, request->head.shard);
    const struct shard_head *head = &request->head, *committed = &request->committed;
    if (db_step(stmt) == 1 && shard_head_read(stmt, &request->req, &request->committed) == 0 &&
        committed->epoch == head->epoch && committed->batch == head->batch + 1)
        return 0;
    return -ESTALE; /* committed, but nothing may be signed: the caller must look */
}

int append_run(struct db_conn *conn, struct op *op)
{
    struct store_append *request = (struct store_append *)op->request;
    op->then = read_back;
    request->committed = (struct shard_head){0};
    uint8_t(*uuids)[16] = arena_alloc(&request->req.arena, (request->receipt_count + 1) * sizeof(*uuids));
    for (size_t i = 0; i < request->receipt_count; i++)
        if (!receipt_id_parse(request->receipts[i].receipt_id, uuids[i]))
            return op_error(&request->req, -EINVAL, "receipt id %.36s is no UUID", request->receipts[i].receipt_id);
    int rc = fence(conn, request);
    if (rc == 0)
        rc = write_receipts(conn, request, uuids);
    if (rc == 0)
        rc = write_ids(conn, request, uuids);
    if (rc == 0)
        rc = write_chains(conn, request);
    if (rc == 0)
        rc = tiles_write(conn, request);
    return rc < 0 ? rc : outcomes_consume(conn, request);
}
