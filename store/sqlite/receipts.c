/* Reading the ledger: one receipt by its id, pages by chain or by shard. Database thread only. */
#include "store/sqlite/internal.h"

#include <endian.h>

/* Rows looked at for one page at most: a filter that matches nothing must not hold up the thread. */
enum { SCAN_MAX = 2000, LOOK_MAX = 512, PREFIX = 4 };

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

void receipt_id_format(const uint8_t uuid[16], char ret[UUID_TEXT + 1])
{
    for (size_t i = 0; i < sizeof(groups); i++) {
        hex_encode(uuid, groups[i], ret);
        uuid += groups[i];
        ret += 2 * groups[i];
        *ret++ = i + 1 < sizeof(groups) ? '-' : '\0';
    }
}

int receipt_read(sqlite3_stmt *stmt, struct store_request *request, struct receipt *ret, uint32_t *ret_shard)
{
    struct row row = row_of(stmt, &request->arena);
    int64_t id = row_int(&row, 0, INT64_MAX);
    uint8_t uuid[16];
    ret->index = (uint64_t)id & ((UINT64_C(1) << ORDER_BITS) - 1);
    ret->chain = row_text(&row, STORE_ID_MAX);
    ret->seq = (uint64_t)row_int(&row, 1, INT64_MAX);
    row_bytes(&row, uuid, sizeof(uuid));
    receipt_id_format(uuid, ret->receipt_id);
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

/* --- by id: the blocks of each shard, newest first, some a turn -------------------------------------------------- */

struct id_search {
    uint8_t uuid[16];
    int64_t shard, block; /* where the next look begins; block < 0: at the newest of the shard */
};

/* Receipts that share the prefix are told apart by the whole id. */
static int try_receipt(struct db_conn *conn, struct store_receipt *request, const struct id_search *search,
                       uint64_t index)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id = ?1 AND receipt_id = ?2");
    sqlite3_bind_int64(stmt, 1, order_of((uint32_t)search->shard, index));
    bind_blob(stmt, 2, search->uuid, sizeof(search->uuid));
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    rc = receipt_read(stmt, &request->req, &request->receipt, &request->shard);
    request->found = rc == 0;
    return rc;
}

static int look_in_block(struct db_conn *conn, struct store_receipt *request, const struct id_search *search)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT prefixes FROM receipt_ids WHERE id = ?1");
    sqlite3_bind_int64(stmt, 1, order_of((uint32_t)search->shard, (uint64_t)search->block));
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    const uint8_t *prefixes = sqlite3_column_blob(stmt, 0);
    size_t count = (size_t)sqlite3_column_bytes(stmt, 0) / PREFIX;
    uint32_t wanted, prefix;
    memcpy(&wanted, search->uuid, PREFIX);
    for (size_t i = 0; rc >= 0 && i < count && !request->found; i++) {
        memcpy(&prefix, prefixes + i * PREFIX, PREFIX);
        if (prefix == wanted)
            rc = try_receipt(conn, request, search, (uint64_t)search->block * RECEIPT_BLOCK + i);
    }
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
    search->block = (row_int(&row, 1, (INT64_C(1) << ORDER_BITS) - 1) - 1) / RECEIPT_BLOCK;
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
        if (search->block-- == 0)
            search->shard++;
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

/* --- pages ------------------------------------------------------------------------------------------------------- */

static bool matches(struct span filter, sqlite3_stmt *stmt, int column)
{
    if (!filter.len)
        return true;
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return text && span_eq(filter, (struct span){text, (size_t)sqlite3_column_bytes(stmt, column)});
}

struct page {
    struct list items;
    int scanned;
    bool full;
};

/* Looks at the receipt in stmt: adds it if it matches. */
static int page_add(sqlite3_stmt *stmt, struct store_receipts *request, struct page *page, uint64_t next)
{
    if (page->items.count == request->limit || page->scanned++ == SCAN_MAX) {
        page->full = true;
        return 0;
    }
    request->next = next;
    int64_t at = sqlite3_column_int64(stmt, 11);
    if (!matches(request->entitlement_id, stmt, 8) || !matches(request->signal_id, stmt, 9) ||
        !matches(request->type, stmt, 10) || at < request->since_ms || (request->before_ms && at >= request->before_ms))
        return 0;
    uint32_t shard;
    return receipt_read(stmt, &request->req, list_add(&page->items, &request->req.arena, sizeof(struct receipt)),
                        &shard);
}

static int page_of_shard(struct db_conn *conn, struct store_receipts *request, struct page *page)
{
    bool up = !request->descending;
    sqlite3_stmt *stmt =
        up ? db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id >= ?1 AND id < ?2 ORDER BY id")
           : db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id >= ?1 AND id < ?2 ORDER BY id DESC");
    int64_t begin = order_of(request->shard, 0), end = order_of(request->shard + 1, 0);
    sqlite3_bind_int64(stmt, 1, up ? begin + (int64_t)request->after : begin);
    sqlite3_bind_int64(stmt, 2, up || !request->after ? end : begin + (int64_t)request->after);
    int rc = 0;
    while (rc == 0 && !page->full && (rc = db_step(stmt)) == 1)
        rc = page_add(stmt, request, page, (uint64_t)(sqlite3_column_int64(stmt, 0) - begin) + up);
    return rc;
}

/* One receipt of the chain, which must be what the chain's block says. */
static int page_of_id(struct db_conn *conn, struct store_receipts *request, struct page *page, int64_t id, uint64_t seq)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id = ?1 AND chain = ?2 AND seq = ?3");
    sqlite3_bind_int64(stmt, 1, id);
    bind_span(stmt, 2, request->chain);
    bind_u64(stmt, 3, seq);
    int rc = db_step(stmt);
    if (rc == 0)
        return op_error(&request->req, -EUCLEAN, "receipt %llu of chain %.*s is not where the chain has it",
                        (unsigned long long)seq, (int)request->chain.len, request->chain.ptr);
    return rc < 0 ? rc : page_add(stmt, request, page, seq);
}

/* The receipts of one block, whose first seq is `first`. */
static int page_of_block(struct db_conn *conn, sqlite3_stmt *stmt, struct store_receipts *request, struct page *page,
                         uint64_t first)
{
    const uint8_t *ids = sqlite3_column_blob(stmt, 1);
    size_t count = (size_t)sqlite3_column_bytes(stmt, 1) / 8;
    int rc = 0;
    for (size_t i = request->after < first ? 0 : request->after - first + 1; i < count && !page->full && rc == 0; i++) {
        uint64_t id;
        memcpy(&id, ids + i * 8, sizeof(id));
        rc = page_of_id(conn, request, page, (int64_t)be64toh(id), first + i);
    }
    return rc;
}

static int page_of_chain(struct db_conn *conn, struct store_receipts *request, struct page *page)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT block, ids FROM chain_receipts WHERE chain = ?1 AND block >= ?2"
                                       " ORDER BY block");
    uint64_t block = request->after / CHAIN_BLOCK;
    bind_span(stmt, 1, request->chain);
    bind_u64(stmt, 2, block);
    int rc = 0, len = 0;
    for (bool first = true; rc == 0 && !page->full && (rc = db_step(stmt)) == 1; first = false, block++) {
        /* Only the last block may be short, and none may be missing. */
        if ((uint64_t)sqlite3_column_int64(stmt, 0) != block || (!first && len != CHAIN_BLOCK * 8))
            return op_error(&request->req, -EUCLEAN, "block %llu of chain %.*s is not whole", (unsigned long long)block,
                            (int)request->chain.len, request->chain.ptr);
        len = sqlite3_column_bytes(stmt, 1);
        rc = page_of_block(conn, stmt, request, page, block * CHAIN_BLOCK + 1);
    }
    return rc;
}

/* The receipts of one block with a seq below `below`, the newest first. */
static int page_of_block_down(struct db_conn *conn, sqlite3_stmt *stmt, struct store_receipts *request,
                              struct page *page, uint64_t below)
{
    const uint8_t *ids = sqlite3_column_blob(stmt, 1);
    uint64_t first = (uint64_t)sqlite3_column_int64(stmt, 0) * CHAIN_BLOCK + 1;
    size_t count = (size_t)sqlite3_column_bytes(stmt, 1) / 8;
    size_t at = below > first && below - first < count ? below - first : below > first ? count : 0;
    int rc = 0;
    while (at-- > 0 && !page->full && rc == 0) {
        uint64_t id;
        memcpy(&id, ids + at * 8, sizeof(id));
        rc = page_of_id(conn, request, page, (int64_t)be64toh(id), first + at);
    }
    return rc;
}

/* 1 if the chain has blocks behind this one: then one that was expected is missing. Otherwise the cursor was beyond the
 * end. */
static int goes_on(struct db_conn *conn, const struct store_receipts *request, int64_t block)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT 1 FROM chain_receipts WHERE chain = ?1 AND block > ?2 LIMIT 1");
    bind_span(stmt, 1, request->chain);
    sqlite3_bind_int64(stmt, 2, block);
    return db_step(stmt);
}

/* Only the newest block may be short, and none may be missing down to the first. */
static int page_of_chain_down(struct db_conn *conn, struct store_receipts *request, struct page *page)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT block, ids FROM chain_receipts WHERE chain = ?1 AND block <= ?2"
                                       " ORDER BY block DESC");
    uint64_t below = request->after ? request->after : INT64_MAX;
    int64_t expected = request->after == 1 ? -1 : (int64_t)((below - 2) / CHAIN_BLOCK);
    bind_span(stmt, 1, request->chain);
    sqlite3_bind_int64(stmt, 2, expected);
    int rc = 0;
    for (bool first = true; rc == 0 && !page->full && (rc = db_step(stmt)) == 1; first = false) {
        int64_t block = sqlite3_column_int64(stmt, 0);
        bool gap = block != expected || (!first && sqlite3_column_bytes(stmt, 1) != CHAIN_BLOCK * 8);
        if (gap && (rc = first ? goes_on(conn, request, block) : 1) < 0)
            return rc;
        if (gap && rc)
            return op_error(&request->req, -EUCLEAN, "block %lld of chain %.*s is not whole", (long long)expected,
                            (int)request->chain.len, request->chain.ptr);
        expected = block - 1;
        rc = page_of_block_down(conn, stmt, request, page, below);
    }
    return rc;
}

int receipts_run(struct db_conn *conn, struct op *op)
{
    struct store_receipts *request = (struct store_receipts *)op->request;
    struct page page = {0};
    request->receipts = NULL;
    request->receipt_count = 0;
    request->next = request->after;
    int rc = 0;
    if (request->chain.len && (request->descending || request->after < INT64_MAX))
        rc = request->descending ? page_of_chain_down(conn, request, &page) : page_of_chain(conn, request, &page);
    else if (!request->chain.len && request->after < UINT64_C(1) << ORDER_BITS)
        rc = page_of_shard(conn, request, &page);
    if (rc < 0)
        return rc;
    request->receipts = page.items.items;
    request->receipt_count = page.items.count;
    request->more = page.full;
    if (!page.full)
        request->next = 0;
    return 0;
}
