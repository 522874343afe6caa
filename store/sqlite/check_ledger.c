/* The offline check of the ledger's rows: numbers without gaps, receipts where the log and their chain have them, heads
 * where they lead to. What is in a receipt is andon's to judge, which is handed each in the order of the log. */
#include "store/sqlite/check_internal.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

enum { PREFIX = 4 };

/* A log on its way. */
struct log_check {
    struct scan *scan;
    struct shard_head head;
    uint64_t size;                       /* receipts so far */
    uint64_t last[STORE_PARTITIONS_MAX]; /* outcome number of the last receipt */
    uint8_t prefixes[RECEIPT_BLOCK][PREFIX];
    size_t prefix_count;                     /* of the block `size` is in */
    uint8_t leaves[TILE_WIDTH][SHA256_SIZE]; /* the tile of level 0 `size` is in */
    bool tile_known;
    uint8_t tiles[TILE_LEVELS][SHA256_SIZE]; /* those that end with the receipt */
};

/* --- outcome numbers --------------------------------------------------------------------------------------------- */

static void number_row(struct scan *scan, struct row *row, uint64_t *numbers, int64_t min)
{
    uint32_t partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    uint32_t shard = (uint32_t)row_int(row, 0, STORE_SHARDS_MAX - 1);
    uint64_t number = (uint64_t)row_int(row, min, INT64_MAX);
    if (!scan_good(scan, row))
        return;
    if (partition >= scan->partitions || shard >= scan->shards)
        scan_bad(scan, row, "the data set has only %u partitions and %u shards", scan->partitions, scan->shards);
    *numbers_at(numbers, partition, shard) = number;
}

static void one_next(struct scan *scan, struct row *row)
{
    number_row(scan, row, scan->next, 1);
}

static void one_cursor(struct scan *scan, struct row *row)
{
    number_row(scan, row, scan->receipted, 0);
}

void check_numbers(struct scan *scan)
{
    scan_rows(scan, "outcome_numbers", db_stmt(scan->conn, "SELECT partition, shard, next FROM outcome_numbers"),
              one_next);
    scan_rows(scan, "outcome_cursors", db_stmt(scan->conn, "SELECT partition, shard, receipted FROM outcome_cursors"),
              one_cursor);
}

/* --- outcomes ---------------------------------------------------------------------------------------------------- */

/* last: of each partition, the number of the last outcome seen; 0: none. */
static void one_outcomes(struct scan *scan, struct row *row, uint32_t shard, uint64_t *last)
{
    struct store_outcomes request = {.limit = UINT32_MAX};
    struct list list = {0};
    uint32_t partition = (uint32_t)sqlite3_column_int64(row->stmt, 0) % STORE_PARTITIONS_MAX;
    uint64_t first = (uint64_t)sqlite3_column_int64(row->stmt, 1), count = (uint64_t)sqlite3_column_int64(row->stmt, 2);
    uint64_t receipted = *numbers_at(scan->receipted, partition, shard);
    struct row read = row_of(row->stmt, &request.req.arena);
    if (outcomes_unpack(&read, &request, &list) < 0) {
        scan_good(scan, &read);
    } else if (last[partition] ? first != last[partition] + 1 : first > receipted + 1) {
        scan_bad(scan, row, "it begins with number %" PRIu64 ", due is %" PRIu64, first,
                 (last[partition] ? last[partition] : receipted) + 1);
    } else {
        for (size_t i = 0; i < list.count; i++) {
            const struct outcome *outcome = &((struct outcome *)list.items)[i];
            if (shard_of(outcome->tenant_id, scan->shards) != shard)
                scan_bad(scan, row, "outcome %" PRIu64 " does not belong to shard %u", outcome->number, shard);
            scan->options->outcome(scan->options->ledger, shard, outcome);
        }
    }
    last[partition] = first + count - 1;
    arena_done(&request.req.arena);
}

/* Those that wait go on from the receipts up to the next number. */
static void check_outcomes(struct log_check *log, uint32_t shard)
{
    struct scan *scan = log->scan;
    uint64_t last[STORE_PARTITIONS_MAX] = {0};
    char key[48];
    int rc;
    scan->table = "outcomes";
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT o.partition, o.first, o.count, coalesce(c.receipted, 0), o.pack"
                                             " FROM outcomes o LEFT JOIN outcome_cursors c ON c.shard = ?3"
                                             " AND c.partition = o.partition WHERE o.id >= ?1 AND o.id < ?2"
                                             " ORDER BY o.id");
    sqlite3_bind_int64(stmt, 1, order_of(shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(shard + 1, 0));
    sqlite3_bind_int64(stmt, 3, shard);
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        one_outcomes(scan, &row, shard, last);
        scan->check->rows++;
    }
    if (rc < 0)
        scan_bad_key(scan, "", "%s; the rows behind it could not be checked", db_reader_damage(scan->reader));
    for (uint32_t i = 0; rc == 0 && i < scan->partitions; i++) {
        uint64_t next = *numbers_at(scan->next, i, shard), at = *numbers_at(scan->receipted, i, shard);
        snprintf(key, sizeof(key), "partition=%u shard=%u", i, shard);
        if ((last[i] > at ? last[i] : at) + 1 != (next ? next : 1))
            scan_bad_key(scan, key,
                         "outcomes up to %" PRIu64 " are there or receipted, but the next number is %" PRIu64,
                         last[i] > at ? last[i] : at, next ? next : 1);
    }
}

/* --- receipts ---------------------------------------------------------------------------------------------------- */

/* The log's place of receipt `seq` of a chain, as chain_receipts has it; -1: it has none. */
static int64_t place_in_chain(struct scan *scan, struct span chain, uint64_t seq)
{
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT ids FROM chain_receipts WHERE chain = ?1 AND block = ?2");
    bind_span(stmt, 1, chain);
    bind_u64(stmt, 2, (seq - 1) / CHAIN_BLOCK);
    size_t at = (seq - 1) % CHAIN_BLOCK * sizeof(uint64_t);
    uint64_t id = UINT64_MAX;
    if (db_step(stmt) == 1 && (size_t)sqlite3_column_bytes(stmt, 0) >= at + sizeof(id))
        memcpy(&id, (const char *)sqlite3_column_blob(stmt, 0) + at, sizeof(id));
    sqlite3_reset(stmt);
    return (int64_t)be64toh(id);
}

/* The hash of the receipt before it in its chain. */
static bool previous_hash(struct scan *scan, const struct receipt *receipt, uint8_t ret[SHA256_SIZE])
{
    if (receipt->seq < 2)
        return false;
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT hash FROM receipts WHERE id = ?1 AND chain = ?2 AND seq = ?3");
    sqlite3_bind_int64(stmt, 1, place_in_chain(scan, receipt->chain, receipt->seq - 1));
    bind_span(stmt, 2, receipt->chain);
    bind_u64(stmt, 3, receipt->seq - 1);
    bool found = db_step(stmt) == 1 && sqlite3_column_bytes(stmt, 0) == SHA256_SIZE;
    if (found)
        memcpy(ret, sqlite3_column_blob(stmt, 0), SHA256_SIZE);
    sqlite3_reset(stmt);
    return found;
}

static void read_prefixes(struct log_check *log, uint64_t block)
{
    struct scan *scan = log->scan;
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT prefixes FROM receipt_ids WHERE id = ?1");
    sqlite3_bind_int64(stmt, 1, order_of(log->head.shard, block));
    uint64_t rest = log->head.size - block * RECEIPT_BLOCK;
    size_t due = rest < RECEIPT_BLOCK ? (size_t)rest : RECEIPT_BLOCK;
    size_t len = db_step(stmt) == 1 ? (size_t)sqlite3_column_bytes(stmt, 0) : 0;
    log->prefix_count = len / PREFIX < RECEIPT_BLOCK ? len / PREFIX : RECEIPT_BLOCK;
    if (log->prefix_count)
        memcpy(log->prefixes, sqlite3_column_blob(stmt, 0), log->prefix_count * PREFIX);
    sqlite3_reset(stmt);
    if (len != due * PREFIX) {
        char key[48];
        snprintf(key, sizeof(key), "shard=%u block=%" PRIu64, log->head.shard, block);
        scan->table = "receipt_ids";
        scan_bad_key(scan, key, "it has the ids of %zu receipts, due are %zu", len / PREFIX, due);
        scan->table = "receipts";
    }
}

static void check_place(struct log_check *log, const struct row *row, const struct receipt *receipt)
{
    struct scan *scan = log->scan;
    uint64_t at = log->size % RECEIPT_BLOCK;
    uint8_t uuid[16];
    if (receipt->index != log->size)
        scan_bad(scan, row, "it is receipt %" PRIu64 " of the log, due is %" PRIu64, receipt->index, log->size);
    if (receipt->number != log->last[receipt->partition] + 1)
        scan_bad(scan, row, "it is of outcome %" PRIu64 " of partition %u, due is %" PRIu64, receipt->number,
                 receipt->partition, log->last[receipt->partition] + 1);
    log->last[receipt->partition] = receipt->number;
    if (shard_of(receipt->tenant_id, scan->shards) != log->head.shard)
        scan_bad(scan, row, "it does not belong to shard %u", log->head.shard);
    if (at < log->prefix_count && receipt_id_parse(receipt->receipt_id, uuid) &&
        memcmp(uuid, log->prefixes[at], PREFIX) != 0)
        scan_bad(scan, row, "receipt_ids has another id for it");
    scan->table = "chain_receipts";
    if (place_in_chain(scan, receipt->chain, receipt->seq) != order_of(log->head.shard, receipt->index))
        scan_bad(scan, row, "the receipt is not where the chain has it");
    scan->table = "receipts";
}

/* Hashes first to first + count of a tile. */
static bool read_tile(struct log_check *log, uint32_t level, uint64_t first, uint32_t count, uint8_t *ret)
{
    struct scan *scan = log->scan;
    size_t at = first % TILE_WIDTH * SHA256_SIZE, len = (size_t)count * SHA256_SIZE;
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT hashes FROM tiles WHERE id = ?1");
    sqlite3_bind_int64(stmt, 1, tile_id(log->head.shard, level, first / TILE_WIDTH));
    bool whole = db_step(stmt) == 1 && (size_t)sqlite3_column_bytes(stmt, 0) >= at + len;
    if (whole)
        memcpy(ret, (const char *)sqlite3_column_blob(stmt, 0) + at, len);
    sqlite3_reset(stmt);
    if (!whole) {
        char key[64];
        snprintf(key, sizeof(key), "shard=%u level=%u tile=%" PRIu64, log->head.shard, level, first / TILE_WIDTH);
        scan->table = "tiles";
        scan_bad_key(scan, key, "it is missing or not whole");
        scan->table = "receipts";
    }
    return whole;
}

/* The hashes of the tiles that end with receipt `size`: how many. */
static uint32_t read_tiles(struct log_check *log)
{
    uint64_t end = log->size + 1;
    if (log->size >= log->head.tiled)
        return 0;
    if (log->size % TILE_WIDTH == 0)
        log->tile_known = read_tile(log, 0, log->size, TILE_WIDTH, log->leaves[0]);
    if (!log->tile_known)
        return 0;
    memcpy(log->tiles[0], log->leaves[log->size % TILE_WIDTH], SHA256_SIZE);
    uint32_t level = 1;
    for (uint64_t width = TILE_WIDTH; level < TILE_LEVELS && end % width == 0; level++, width *= TILE_WIDTH)
        if (!read_tile(log, level, end / width - 1, 1, log->tiles[level]))
            break;
    return level;
}

/* No more and no fewer than the log says. */
static void count_tiles(struct log_check *log)
{
    struct scan *scan = log->scan;
    int64_t due = 0, found = 0;
    char key[32];
    for (uint64_t hashes = log->head.tiled; hashes; hashes /= TILE_WIDTH)
        due += (int64_t)hashes * SHA256_SIZE;
    sqlite3_stmt *stmt =
        db_stmt(scan->conn, "SELECT coalesce(sum(length(hashes)), 0) FROM tiles WHERE id >= ?1 AND id < ?2");
    sqlite3_bind_int64(stmt, 1, order_of(log->head.shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(log->head.shard + 1, 0));
    scan->table = "tiles";
    snprintf(key, sizeof(key), "shard=%u", log->head.shard);
    if (scan_number(scan, stmt, &found) && found != due)
        scan_bad_key(scan, key, "they are %" PRId64 " bytes, due are %" PRId64, found, due);
}

static void one_receipt(struct log_check *log, sqlite3_stmt *stmt)
{
    struct scan *scan = log->scan;
    struct row row = row_of(stmt, NULL);
    struct receipt receipt = {0};
    uint8_t previous[SHA256_SIZE];
    struct checked_receipt checked = {.receipt = &receipt, .tiles = (const uint8_t(*)[SHA256_SIZE])log->tiles};
    if (log->size % RECEIPT_BLOCK == 0 && log->size < log->head.size)
        read_prefixes(log, log->size / RECEIPT_BLOCK);
    checked.tile_count = read_tiles(log);
    if (receipt_read(stmt, &scan->request, &receipt, &checked.shard) < 0) {
        const char *what = strstr(scan->request.error, "column ");
        scan_bad(scan, &row, "%s", what ? what : scan->request.error);
    } else {
        check_place(log, &row, &receipt);
        checked.previous = previous_hash(scan, &receipt, previous) ? previous : NULL;
        scan->options->receipt(scan->options->ledger, &checked);
    }
    log->size++;
    scan->check->rows++;
    if (log->size % 64 == 0)
        check_step(scan->check, "receipts", log->size, log->head.size);
    arena_reset(&scan->request.arena);
    scan->request.error = NULL;
}

static void check_receipts(struct log_check *log)
{
    struct scan *scan = log->scan;
    char key[32];
    scan->table = "receipts";
    snprintf(key, sizeof(key), "shard=%u", log->head.shard);
    sqlite3_stmt *stmt =
        db_stmt(scan->conn, "SELECT " RECEIPT_COLUMNS " FROM receipts WHERE id >= ?1 AND id < ?2 ORDER BY id");
    sqlite3_bind_int64(stmt, 1, order_of(log->head.shard, 0));
    sqlite3_bind_int64(stmt, 2, order_of(log->head.shard + 1, 0));
    int rc;
    while ((rc = db_step(stmt)) == 1)
        one_receipt(log, stmt);
    if (rc < 0)
        scan_bad_key(scan, key, "%s; the receipts behind it could not be checked", db_reader_damage(scan->reader));
    else if (log->size != log->head.size)
        scan_bad_key(scan, key, "%" PRIu64 " receipts are there, but the log has %" PRIu64, log->size, log->head.size);
    for (uint32_t i = 0; rc == 0 && i < scan->partitions; i++)
        if (log->last[i] != *numbers_at(scan->receipted, i, log->head.shard))
            scan_bad_key(scan, key,
                         "of partition %u outcomes up to %" PRIu64 " are receipted, by outcome_cursors %" PRIu64, i,
                         log->last[i], *numbers_at(scan->receipted, i, log->head.shard));
}

/* --- shards ------------------------------------------------------------------------------------------------------ */

static bool read_head(struct log_check *log, uint32_t shard)
{
    struct scan *scan = log->scan;
    log->head = (struct shard_head){.shard = shard};
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT " HEAD_COLUMNS " FROM shards WHERE shard = ?1");
    sqlite3_bind_int64(stmt, 1, shard);
    scan->table = "shards";
    int rc = db_step(stmt);
    if (rc == 1)
        rc = shard_head_read(stmt, &scan->request, &log->head);
    if (rc < 0) {
        const char *what = scan->request.error ? strstr(scan->request.error, "column ") : NULL;
        char key[32];
        snprintf(key, sizeof(key), "shard=%u", shard);
        scan_bad_key(scan, key, "%s", what ? what : db_reader_damage(scan->reader));
        scan->request.error = NULL;
    }
    sqlite3_reset(stmt);
    return rc >= 0;
}

static void check_shard(struct scan *scan, uint32_t shard)
{
    struct log_check *log = xcalloc(1, sizeof(*log));
    log->scan = scan;
    bool known = read_head(log, shard);
    scan->options->shard(scan->options->ledger, shard);
    if (known) {
        check_receipts(log);
        count_tiles(log);
        scan->options->head(scan->options->ledger, &log->head);
    }
    check_outcomes(log, shard);
    scan->check->rows++;
    mem_free_pointer(&log);
}

/* --- chains ------------------------------------------------------------------------------------------------------ */

static void one_chain(struct scan *scan, struct row *row)
{
    uint8_t hash[SHA256_SIZE], last[SHA256_SIZE];
    struct span chain = row_text(row, STORE_ID_MAX);
    struct receipt behind = {.chain = chain, .seq = (uint64_t)row_int(row, 1, INT64_MAX - 1) + 1};
    row_bytes(row, hash, SHA256_SIZE);
    int64_t added = row_int(row, 1, INT64_MAX), ids = row_int(row, 0, INT64_MAX), blocks = row_int(row, 0, INT64_MAX);
    if (!scan_good(scan, row))
        return;
    uint64_t seq = behind.seq - 1;
    if ((uint64_t)added > seq || (uint64_t)ids != seq || (uint64_t)blocks != (seq + CHAIN_BLOCK - 1) / CHAIN_BLOCK)
        scan_bad(scan, row, "it has %" PRIu64 " receipts, chain_receipts has %" PRId64 " in %" PRId64 " blocks", seq,
                 ids, blocks);
    else if (!previous_hash(scan, &behind, last) || memcmp(last, hash, SHA256_SIZE) != 0)
        scan_bad(scan, row, "its last receipt, %" PRIu64 ", is missing or has another hash", seq);
}

static void check_chains(struct scan *scan)
{
    int64_t extra = 0;
    scan_rows(scan, "chains",
              db_stmt(scan->conn,
                      "SELECT chain, seq, hash, added,"
                      " (SELECT coalesce(sum(length(ids)), 0) / 8 FROM chain_receipts r WHERE r.chain = c.chain),"
                      " (SELECT count(*) FROM chain_receipts r WHERE r.chain = c.chain) FROM chains c"),
              one_chain);
    scan->table = "chains";
    if (scan_number(scan,
                    db_stmt(scan->conn, "SELECT (SELECT coalesce(sum(seq), 0) FROM chains) -"
                                        " (SELECT coalesce(sum(size), 0) FROM shards)"),
                    &extra) &&
        extra)
        scan_bad_key(scan, "", "all chains together and all logs together differ by %" PRId64 " receipts", extra);
    scan->table = "chain_receipts";
    if (scan_number(scan,
                    db_stmt(scan->conn, "SELECT count(*) FROM chain_receipts r"
                                        " WHERE NOT EXISTS(SELECT 1 FROM chains c WHERE c.chain = r.chain)"),
                    &extra) &&
        extra)
        scan_bad_key(scan, "", "%" PRId64 " rows are of no chain", extra);
}

static void check_strays(struct scan *scan, const char *table, sqlite3_stmt *stmt)
{
    int64_t extra = 0;
    scan->table = table;
    sqlite3_bind_int64(stmt, 1, order_of(scan->shards, 0));
    if (scan_number(scan, stmt, &extra) && extra)
        scan_bad_key(scan, "", "a row is of no shard of this data set");
}

void check_ledger(struct scan *scan)
{
    for (uint32_t shard = 0; shard < scan->shards; shard++)
        check_shard(scan, shard);
    check_strays(scan, "receipts",
                 db_stmt(scan->conn, "SELECT EXISTS(SELECT 1 FROM receipts WHERE id < 0 OR id >= ?1)"));
    check_strays(scan, "outcomes",
                 db_stmt(scan->conn, "SELECT EXISTS(SELECT 1 FROM outcomes WHERE id < 0 OR id >= ?1)"));
    check_strays(scan, "receipt_ids",
                 db_stmt(scan->conn, "SELECT EXISTS(SELECT 1 FROM receipt_ids WHERE id < 0 OR id >= ?1)"));
    check_strays(scan, "tiles", db_stmt(scan->conn, "SELECT EXISTS(SELECT 1 FROM tiles WHERE id < 0 OR id >= ?1)"));
    check_chains(scan);
}
