/* The log's Merkle tree as it is stored: tiles, so that any proof is made of some ten rows however long the log. They
 * are written with the receipts they cover. Database thread only. */
#include "store/sqlite/internal.h"

enum { LEVEL_BITS = 40 };

int64_t tile_id(uint32_t shard, uint32_t level, uint64_t number)
{
    return order_of(shard, (uint64_t)level << LEVEL_BITS | number);
}

/* A tile above level 0 grows by a hash at a time; it must be as long as the log says it is. */
static int write_part(struct db_conn *conn, struct store_append *request, const struct tile_part *part)
{
    sqlite3_stmt *stmt = part->first ? db_stmt(conn, "UPDATE tiles SET hashes = CAST(hashes || ?2 AS BLOB)"
                                                     " WHERE id = ?1 AND length(hashes) = ?3")
                                     : db_stmt(conn, "INSERT OR FAIL INTO tiles(id, hashes) VALUES(?1, ?2)");
    sqlite3_bind_int64(stmt, 1, tile_id(request->head.shard, part->level, part->number));
    bind_blob(stmt, 2, part->hashes, (size_t)part->count * SHA256_SIZE);
    if (part->first)
        sqlite3_bind_int64(stmt, 3, (int64_t)part->first * SHA256_SIZE);
    int rc = db_run(stmt);
    bool whole = rc == 0 && sqlite3_changes(db_handle(conn)) == 1;
    if (rc != -EEXIST && (rc < 0 || whole))
        return rc;
    return op_error(&request->req, -EUCLEAN, "table tiles: level %u, tile %llu of shard %u is not what was written",
                    part->level, (unsigned long long)part->number, request->head.shard);
}

int tiles_write(struct db_conn *conn, struct store_append *request)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->tile_count; i++)
        rc = write_part(conn, request, &request->tiles[i]);
    return rc;
}

static int read_tile(struct db_conn *conn, struct store_tiles *request, struct tile_read *tile)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT hashes FROM tiles WHERE id = ?1");
    sqlite3_bind_int64(stmt, 1, tile_id(request->shard, tile->level, tile->number));
    int rc = db_step(stmt);
    if (rc < 0)
        return rc;
    size_t len = rc == 1 ? (size_t)sqlite3_column_bytes(stmt, 0) : 0;
    if (len % SHA256_SIZE || len > (size_t)TILE_WIDTH * SHA256_SIZE || len / SHA256_SIZE < tile->need)
        return op_error(&request->req, -EUCLEAN, "table tiles: level %u, tile %llu of shard %u is not whole",
                        tile->level, (unsigned long long)tile->number, request->shard);
    tile->count = (uint32_t)(len / SHA256_SIZE);
    tile->hashes = len ? arena_copy(&request->req.arena, sqlite3_column_blob(stmt, 0), len) : NULL;
    return 0;
}

int tiles_run(struct db_conn *conn, struct op *op)
{
    struct store_tiles *request = (struct store_tiles *)op->request;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->tile_count; i++)
        rc = read_tile(conn, request, &request->tiles[i]);
    return rc;
}
