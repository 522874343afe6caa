/* A log that grows by batches of any size: its tiles go to a table in memory, and proofs made from those and the open
 * leaves are those of the whole tree. Sizes beyond 65,536 reach the third level. */
#include "andon/ledger/tile_source.h"
#include "andon/ledger/tiles.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { SIZE = 65536 * 2 + 700, TILES = SIZE / TILE_WIDTH + 1 };

static struct hasher *hasher;
static struct arena arena;
static struct {
    uint8_t hashes[TILE_WIDTH][SHA256_SIZE];
    uint32_t count;
} (*stored)[TILES]; /* by level and number */
static struct tiles tiles;
static unsigned seed;

static void setup(void)
{
    hasher = hasher_new();
    stored = calloc(3, sizeof(*stored));
    memset(&tiles, 0, sizeof(tiles));
    seed = 4711;
}

static void teardown(void)
{
    free(stored);
    arena_done(&arena);
    hasher_free(hasher);
}

TestSuite(tiles, .init = setup, .fini = teardown);

static void leaf_of(uint64_t index, uint8_t ret[SHA256_SIZE])
{
    merkle_leaf(hasher, (struct span){(const char *)&index, sizeof(index)}, ret);
}

/* As the store does, checks included. */
static void store_parts(const struct tiles_batch *batch)
{
    for (size_t i = 0; i < batch->part_count; i++) {
        const struct tile_part *part = &batch->parts[i];
        cr_assert(part->level < 3 && part->number < TILES);
        cr_assert_eq(stored[part->level][part->number].count, part->first);
        cr_assert(part->level || part->count == TILE_WIDTH);
        memcpy(stored[part->level][part->number].hashes[part->first], part->hashes, (size_t)part->count * SHA256_SIZE);
        stored[part->level][part->number].count += part->count;
    }
}

static void grow(size_t count, bool commit)
{
    struct tiles_batch batch;
    tiles_begin(&tiles, count, &arena, &batch);
    for (size_t i = 0; i < count; i++) {
        uint8_t leaf[SHA256_SIZE];
        leaf_of(tiles.tree.size + i, leaf);
        tiles_add(&batch, hasher, leaf);
    }
    cr_assert_eq(batch.tiled, (tiles.tree.size + count) / TILE_WIDTH * TILE_WIDTH);
    if (commit) {
        store_parts(&batch);
        tiles_commit(&tiles, &batch);
    }
    arena_reset(&arena);
}

static void grow_to(uint64_t size)
{
    while (tiles.tree.size < size) {
        size_t count = 1 + (size_t)rand_r(&seed) % 1000;
        if (count > size - tiles.tree.size)
            count = size - tiles.tree.size;
        grow(count, false); /* a batch that failed leaves nothing behind */
        grow(count, true);
    }
}

static void read_tiles(struct tile_source *source)
{
    for (size_t i = 0; i < source->tile_count; i++) {
        struct tile_read *tile = &source->tiles[i];
        cr_assert_leq(tile->need, stored[tile->level][tile->number].count, "level %u, tile %lu", tile->level,
                      (unsigned long)tile->number);
        tile->hashes = (const uint8_t(*)[SHA256_SIZE])stored[tile->level][tile->number].hashes;
    }
    source->read = true;
}

static void check_proofs(uint64_t index, uint64_t size)
{
    struct tile_source source;
    struct merkle_proof inclusion, consistency;
    uint8_t leaf[SHA256_SIZE], old_root[SHA256_SIZE], root[SHA256_SIZE], whole[SHA256_SIZE];
    tile_source_init(&source, tiles.tiled, (const uint8_t(*)[SHA256_SIZE])tiles.open, hasher, &arena);
    for (int pass = 0; pass < 2; pass++) {
        merkle_source_root(&source.source, tiles.tree.size, root);
        merkle_source_root(&source.source, size, old_root);
        merkle_prove_inclusion(&source.source, index, size, &inclusion);
        merkle_prove_consistency(&source.source, size, tiles.tree.size, &consistency);
        if (pass == 0)
            read_tiles(&source);
    }
    merkle_root(&tiles.tree, hasher, whole);
    leaf_of(index, leaf);
    cr_assert(memcmp(root, whole, SHA256_SIZE) == 0);
    cr_assert(merkle_verify_inclusion(hasher, leaf, index, size, &inclusion, old_root), "%lu in %lu",
              (unsigned long)index, (unsigned long)size);
    cr_assert(merkle_verify_consistency(hasher, size, old_root, tiles.tree.size, root, &consistency));
    cr_assert_leq(source.tile_count, 24, "%zu tiles for one proof", source.tile_count);
    arena_reset(&arena);
}

Test(tiles, proofs_at_every_stage)
{
    static const uint64_t stages[] = {1, 255, 256, 257, 700, 4096, 65535, 65536, 65537, 66000, 131072, SIZE};
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        grow_to(stages[i]);
        for (int n = 0; n < 50; n++) {
            uint64_t size = n ? 1 + (uint64_t)rand_r(&seed) % stages[i] : stages[i];
            check_proofs((uint64_t)rand_r(&seed) % size, size);
            check_proofs(size - 1, size);
        }
    }
}

/* What a proof costs, whatever the size: rows to be read. */
Test(tiles, proofs_of_ten_million_read_a_handful)
{
    static const uint64_t sizes[] = {10000000, 9999872, 16777216, 16777217, UINT64_C(1) << 40};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int n = 0; n < 200; n++) {
            struct tile_source source;
            struct merkle_proof proof;
            uint64_t index = ((uint64_t)rand_r(&seed) << 20 ^ (uint64_t)rand_r(&seed)) % sizes[i];
            tile_source_init(&source, sizes[i] / TILE_WIDTH * TILE_WIDTH, (const uint8_t(*)[SHA256_SIZE])tiles.open,
                             hasher, &arena);
            merkle_prove_inclusion(&source.source, index, sizes[i], &proof);
            cr_assert_leq(source.tile_count, sizes[i] > 1 << 25 ? 10 : 6, "%zu tiles for %lu in %lu", source.tile_count,
                          (unsigned long)index, (unsigned long)sizes[i]);
            arena_reset(&arena);
        }
}

/* From the head alone, with no leaves but those behind the last tile; and from nothing, when tiles are behind. */
Test(tiles, goes_on_from_the_head)
{
    static const uint64_t sizes[] = {100, 256, 1000, 65536, 66000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        grow_to(sizes[i]);
        struct shard_head head = {
            .size = sizes[i], .tiled = tiles.tiled, .frontier_count = (uint32_t)__builtin_popcountll(sizes[i])};
        memcpy(head.frontier, tiles.tree.frontier, sizeof(head.frontier));
        struct merkle whole = tiles.tree;
        uint64_t tiled = tiles.tiled;
        tiles_init(&tiles, &head);
        cr_assert_eq(tiles.tree.size, tiled);
        grow_to(sizes[i]);
        cr_assert(merkle_same(&tiles.tree, &whole));
        head.tiled = tiled / 2 / TILE_WIDTH * TILE_WIDTH; /* as if the rest had never been stored */
        if (sizes[i] - head.tiled < TILE_WIDTH)
            continue;
        tiles_init(&tiles, &head);
        cr_assert_eq(tiles.tree.size, 0);
        struct tiles_batch batch;
        tiles_begin(&tiles, sizes[i], &arena, &batch);
        for (uint64_t at = 0; at < sizes[i]; at++) {
            uint8_t leaf[SHA256_SIZE];
            leaf_of(at, leaf);
            tiles_add(&batch, hasher, leaf);
        }
        cr_assert(merkle_same(&batch.tree, &whole));
        for (size_t n = 0; n < batch.part_count; n++) { /* what was stored at its place, byte for byte */
            const struct tile_part *part = &batch.parts[n];
            cr_assert(memcmp(stored[part->level][part->number].hashes[part->first], part->hashes,
                             (size_t)part->count * SHA256_SIZE) == 0);
        }
        cr_assert_eq(batch.parts[0].number, head.tiled / TILE_WIDTH);
        tiles_commit(&tiles, &batch);
        cr_assert_eq(tiles.tiled, tiled);
        arena_reset(&arena);
    }
}
