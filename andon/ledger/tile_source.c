/* A subtree lies within one tile, of the level whose hashes are just below it. */
#include "andon/ledger/tile_source.h"

#include <stdlib.h>

enum { LEVEL_HEIGHT = 8 }; /* of the tree, per level of tiles */

static struct tile_read *tile_of(struct tile_source *tiles, uint32_t level, uint64_t number)
{
    for (size_t i = 0; i < tiles->tile_count; i++)
        if (tiles->tiles[i].level == level && tiles->tiles[i].number == number)
            return &tiles->tiles[i];
    if (tiles->read || tiles->tile_count == TILE_READS_MAX)
        abort(); /* the second pass asks for what the first one did */
    tiles->tiles[tiles->tile_count] = (struct tile_read){.level = level, .number = number};
    return &tiles->tiles[tiles->tile_count++];
}

/* The root over count hashes, a power of two. */
static void fold(struct hasher *hasher, const uint8_t (*hashes)[SHA256_SIZE], uint32_t count, uint8_t ret[SHA256_SIZE])
{
    uint8_t row[TILE_WIDTH / 2][SHA256_SIZE];
    memcpy(row, hashes, count * sizeof(*hashes));
    for (; count > 1; count /= 2)
        for (uint32_t i = 0; i < count / 2; i++)
            merkle_node(hasher, row[2 * i], row[2 * i + 1], row[i]);
    memcpy(ret, row, SHA256_SIZE);
}

static void root_of(void *ctx, uint32_t height, uint64_t number, uint8_t ret[SHA256_SIZE])
{
    struct tile_source *tiles = ctx;
    struct hasher *hasher = tiles->source.hasher;
    uint32_t level = height / LEVEL_HEIGHT, count = UINT32_C(1) << height % LEVEL_HEIGHT;
    uint64_t first = number << height % LEVEL_HEIGHT;
    if (level == 0 && first >= tiles->tiled) {
        fold(hasher, tiles->open + (first - tiles->tiled), count, ret);
        return;
    }
    struct tile_read *tile = tile_of(tiles, level, first / TILE_WIDTH);
    uint32_t at = (uint32_t)(first % TILE_WIDTH);
    if (tiles->read)
        fold(hasher, tile->hashes + at, count, ret);
    else
        memset(ret, 0, SHA256_SIZE);
    if (tile->need < at + count)
        tile->need = at + count;
}

void tile_source_init(struct tile_source *ret, uint64_t tiled, const uint8_t (*open)[SHA256_SIZE],
                      struct hasher *hasher, struct arena *arena)
{
    *ret = (struct tile_source){.source = {.root = root_of, .ctx = ret, .hasher = hasher},
                                .tiled = tiled,
                                .open = open,
                                .tiles = arena_alloc(arena, TILE_READS_MAX * sizeof(*ret->tiles))};
}
