/* When the log's size becomes a multiple of 256^l, the tree that has just been appended to passes through the root of
 * the last 256^l leaves: the hash that goes into a tile of level l. */
#include "andon/ledger/tiles.h"

enum { LEVEL_HEIGHT = 8 }; /* of the tree, per level of tiles */

void tiles_init(struct tiles *tiles, const struct shard_head *head)
{
    tiles->tree = (struct merkle){0};
    tiles->tiled = head->tiled;
    if (head->size - head->tiled >= TILE_WIDTH)
        return; /* tiles are behind: what of the head's subtrees belongs to them is unknown */
    tiles->tree.size = head->tiled;
    tiles->tree.count = (uint32_t)__builtin_popcountll(head->tiled);
    memcpy(tiles->tree.frontier, head->frontier, (size_t)tiles->tree.count * SHA256_SIZE);
}

void tiles_begin(const struct tiles *tiles, size_t leaf_count, struct arena *arena, struct tiles_batch *ret)
{
    uint64_t at = tiles->tree.size;
    size_t open = at > tiles->tiled ? (size_t)(at - tiles->tiled) : 0;
    size_t parts = ((open + leaf_count) / TILE_WIDTH + 1) * TILE_LEVELS;
    *ret = (struct tiles_batch){.tree = tiles->tree,
                                .tiled = tiles->tiled,
                                .leaves = arena_alloc(arena, (open + leaf_count + 1) * sizeof(*ret->leaves)),
                                .leaf_count = open,
                                .old_count = open,
                                .parts = arena_alloc(arena, parts * sizeof(*ret->parts)),
                                .roots = arena_alloc(arena, parts * sizeof(*ret->roots))};
    memcpy(ret->leaves, tiles->open, open * sizeof(*ret->leaves));
}

static void add_part(struct tiles_batch *batch, uint32_t level, uint64_t hash_number,
                     const uint8_t (*hashes)[SHA256_SIZE], uint32_t count)
{
    batch->parts[batch->part_count++] = (struct tile_part){.level = level,
                                                           .first = (uint32_t)(hash_number % TILE_WIDTH),
                                                           .count = count,
                                                           .number = hash_number / TILE_WIDTH,
                                                           .hashes = hashes};
}

/* The 256 leaves at the end are a tile, and the end of whatever larger subtrees end here. */
static void complete(struct tiles_batch *batch, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE])
{
    uint8_t(*last)[SHA256_SIZE] = &batch->leaves[batch->leaf_count - TILE_WIDTH];
    uint64_t size = batch->tree.size + 1;
    uint8_t roots[MERKLE_LEVELS][SHA256_SIZE];
    merkle_append_roots(&batch->tree, hasher, leaf, roots);
    add_part(batch, 0, size - TILE_WIDTH, (const uint8_t(*)[SHA256_SIZE])last, TILE_WIDTH);
    for (uint32_t level = 1; level < TILE_LEVELS && size % (UINT64_C(1) << LEVEL_HEIGHT * level) == 0; level++) {
        uint8_t(*root)[SHA256_SIZE] = &batch->roots[batch->part_count];
        memcpy(root, roots[LEVEL_HEIGHT * level], SHA256_SIZE);
        add_part(batch, level, (size >> LEVEL_HEIGHT * level) - 1, (const uint8_t(*)[SHA256_SIZE])root, 1);
    }
    batch->tiled = size;
}

void tiles_add(struct tiles_batch *batch, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE])
{
    if (batch->tree.size < batch->tiled) { /* in a tile already */
        merkle_append(&batch->tree, hasher, leaf);
        return;
    }
    memcpy(batch->leaves[batch->leaf_count++], leaf, SHA256_SIZE);
    if ((batch->tree.size + 1) % TILE_WIDTH == 0)
        complete(batch, hasher, leaf);
    else
        merkle_append(&batch->tree, hasher, leaf);
}

void tiles_commit(struct tiles *tiles, const struct tiles_batch *batch)
{
    size_t gone = (size_t)(batch->tiled - tiles->tiled);
    tiles->tree = batch->tree;
    tiles->tiled = batch->tiled;
    memcpy(tiles->open, batch->leaves + gone, (batch->leaf_count - gone) * sizeof(*batch->leaves));
}
