/* Reading the ledger: one receipt by its id, pages by chain or by shard. Database thread only. */
#include "store/sqlite/internal.h"

/* Rows looked at for one page at most: a filter that matches nothing must not hold up the thread. */
enum { SCAN_MAX = 2000, LOOK_MAX = 512 };

#define RECEIPT_COLUMNS                                                                                                \
    "id, chain, seq, receipt_id, partition, number, hash, tenant, entitlement, signal, type, timestamp, body"

static const uint8_t groups[] = {4, 2, 2, 2, 6};

bool receipt_id_parse(const char text[UUID_TEXT + 1], uint8_t ret[16])
{
    for (size_t i = 0; i < sizeof(groups); i++) {
        if (!hex_decode((struct span){text, 2 * (size_t)groups[i]}, ret, groups[i]))
            return false;
        text += 2 * groups[i];
        ret += groups[i];
        if (*text++ != (i + 1 < sizeof(groups) ? '-' : '\0'))
            return false;
    }
    return true;
}

static void format_id(const uint8_t uuid[16], char ret[UUID_TEXT + 1])
{
    for (size_t i = 0; i < sizeof(groups); i++) {
        hex_encode(uuid, groups[i], ret);
        uuid += groups[i];
        ret += 2 * groups[i];
        *ret++ = i + 1 < sizeof(groups) ? '-' : '\0';
    }
}

int64_t receipt_id_prefix(const uint8_t uuid[16])
{
    uint64_t prefix = 0;
    for (int i = 0; i < 8; i++)
        prefix = prefix << 8 | uuid[i];
    return (int64_t)prefix;
}

static int read_receipt(sqlite3_stmt *stmt, struct store_request *request, struct receipt *ret, uint32_t *ret_shard)
{
    struct row row = row_of(stmt, &request->arena);
    int64_t id = row_int(&row, 0, INT64_MAX);
    uint8_t uuid[16];
    ret->index = (uint64_t)id & ((UINT64_C(1) << ORDER_BITS) - 1);
    ret->chain = row_text(&row, STORE_ID_MAX);
    ret->seq = (uint64_t)row_int(&row, 1, INT64_MAX);
    row_bytes(&row, uuid, sizeof(uuid));
    format_id(uuid, ret->receipt_id);
    ret->partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
    ret->number = (uint64_t)row_int(&row, 1, INT64_MAX);
    row_bytes(&row, ret->hash, SHA256_SIZE);
    ret->tenant_id = row_text_or_null(&row, STORE_ID_MAX);
    if (!ret->tenant_id.ptr)
        ret->tenant_id = ret->chain;
    ret->entitlement_id = row_text(&row, STORE_ID_MAX);
    ret->signal_id = row_text(&row, STORE_ID_MAX);
    ret->type = row_text(&row, STORE_ID_MAX);
    ret->timestamp_ms = row_int(&row, INT64_MIN, INT64_MAX);
    ret->body = row_text(&row, STORE_TEXT_MAX);
    *ret_shard = (uint32_t)(id >> ORDER_BITS);
    return row_check(&row, request);
}

/* --- by id: the blocks of each shard, newest first, some a turn
 * -------------------------------------------------------- */

struct id_search {
    uint8_t uuid[16];
    int64_t shard, block; /* where the next look begins; block < 0: at the newest of the shard */
};

/* The row in stmt may be the one: ids that share 8 bytes with another are told apart by all 16. */
static int try_receipt(struct db_conn *conn, struct store_receipt *request, const uint8_t uuid[16], int64_t id)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id = ?1 AND receipt_id = ?2");
    sqlite3_bind_int64(stmt, 1, id);
    bind_blob(stmt, 2, uuid, 16);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    rc = read_receipt(stmt, &request->req, &request->receipt, &request->shard);
    request->found = rc == 0;
    return rc;
}

static int look_in_block(struct db_conn *conn, struct store_receipt *request, const struct id_search *search)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT receipt FROM receipt_ids WHERE block = ?1 AND prefix = ?2");
    sqlite3_bind_int64(stmt, 1, search->block);
    sqlite3_bind_int64(stmt, 2, receipt_id_prefix(search->uuid));
    int rc;
    while ((rc = db_step(stmt)) == 1 && !request->found)
        if ((rc = try_receipt(conn, request, search->uuid, sqlite3_column_int64(stmt, 0))) < 0)
            return rc;
    return rc < 0 ? rc : 0;
}

/* Sets the search to the newest block of the next shard that has receipts; 1, or 0 when there is none. */
static int next_shard(struct db_conn *conn, struct store_receipt *request, struct id_search *search)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT shard, size FROM shards WHERE shard >= ?1 AND size > 0 ORDER BY shard LIMIT 1");
    sqlite3_bind_int64(stmt, 1, search->shard);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, NULL);
    search->shard = row_int(&row, 0, STORE_SHARDS_MAX - 1);
    int64_t size = row_int(&row, 1, (INT64_C(1) << ORDER_BITS) - 1);
    search->block = (search->shard << ORDER_BITS | (size - 1)) >> ID_BLOCK_BITS;
    rc = row_check(&row, &request->req);
    return rc < 0 ? rc : 1;
}

static int search_id(struct db_conn *conn, struct op *op)
{
    struct store_receipt *request = (struct store_receipt *)op->request;
    struct id_search *search = op->state;
    for (int looks = 0; looks < LOOK_MAX; looks++) {
        int rc = search->block < 0 ? next_shard(conn, request, search) : 1;
        if (rc != 1)
            return rc;
        rc = look_in_block(conn, request, search);
        if (rc < 0 || request->found)
            return rc;
        if (search->block-- == search->shard << (ORDER_BITS - ID_BLOCK_BITS)) {
            search->block = -1;
            search->shard++;
        }
    }
    op->then = search_id;
    return 0;
}

int receipt_run(struct db_conn *conn, struct op *op)
{
    struct store_receipt *request = (struct store_receipt *)op->request;
    request->found = false;
    struct id_search *search = arena_alloc(&request->req.arena, sizeof(*search));
    *search = (struct id_search){.block = -1};
    op->state = search;
    return receipt_id_parse(request->receipt_id, search->uuid) ? search_id(conn, op) : 0;
}

/* --- pages
 * ------------------------------------------------------------------------------------------------------------- */

static bool matches(struct span filter, sqlite3_stmt *stmt, int column)
{
    if (!filter.len)
        return true;
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return text && span_eq(filter, (struct span){text, (size_t)sqlite3_column_bytes(stmt, column)});
}

static sqlite3_stmt *page_stmt(struct db_conn *conn, const struct store_receipts *request)
{
    uint64_t max = request->chain.len ? INT64_MAX : UINT64_C(1) << ORDER_BITS;
    int64_t after = (int64_t)(request->after < max ? request->after : max);
    sqlite3_stmt *stmt;
    if (request->chain.len) {
        stmt = db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE chain = ?1 AND seq > ?2 ORDER BY seq");
        bind_span(stmt, 1, request->chain);
        sqlite3_bind_int64(stmt, 2, after);
        return stmt;
    }
    stmt = db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id >= ?1 AND id < ?2 ORDER BY id");
    sqlite3_bind_int64(stmt, 1, ((int64_t)request->shard << ORDER_BITS) + after);
    sqlite3_bind_int64(stmt, 2, (int64_t)(request->shard + 1) << ORDER_BITS);
    return stmt;
}

int receipts_run(struct db_conn *conn, struct op *op)
{
    struct store_receipts *request = (struct store_receipts *)op->request;
    struct list list = {0};
    uint64_t next = request->after;
    int scanned = 0, rc;
    request->more = false;
    request->next = 0;
    sqlite3_stmt *stmt = page_stmt(conn, request);
    while ((rc = db_step(stmt)) == 1) {
        if (list.count == request->limit || scanned++ == SCAN_MAX) {
            request->more = true;
            request->next = next;
            rc = 0;
            break;
        }
        uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0) & ((UINT64_C(1) << ORDER_BITS) - 1);
        next = request->chain.len ? (uint64_t)sqlite3_column_int64(stmt, 2) : id + 1;
        if (!matches(request->entitlement_id, stmt, 8) || !matches(request->signal_id, stmt, 9) ||
            !matches(request->type, stmt, 10))
            continue;
        uint32_t shard;
        struct receipt *item = list_add(&list, &request->req.arena, sizeof(*item));
        if ((rc = read_receipt(stmt, &request->req, item, &shard)) < 0)
            return rc;
    }
    request->receipts = list.items;
    request->receipt_count = list.count;
    return rc;
}
