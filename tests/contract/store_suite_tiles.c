/* Tiles of the log's tree: what an append adds is what is read, and only tiles that continue those stored are taken. */
#include "store_suite_parts.h"

static void fill(uint8_t (*hashes)[SHA256_SIZE], uint32_t level, uint64_t number)
{
    for (int i = 0; i < TILE_WIDTH; i++)
        memset(hashes[i], (int)(level * 64 + number * 16 + (uint64_t)i), SHA256_SIZE);
}

/* An append of tiles alone: level 0 of that number, and its root into level 1. */
static int add_tile(struct ledger *ledger, struct site *site, uint64_t number, uint32_t first)
{
    uint8_t hashes[TILE_WIDTH][SHA256_SIZE], root[1][SHA256_SIZE];
    fill(hashes, 0, number);
    memset(root, (int)number + 1, SHA256_SIZE);
    const struct tile_part parts[] = {
        {.level = 0, .count = TILE_WIDTH, .number = number, .hashes = (const uint8_t(*)[SHA256_SIZE])hashes},
        {.level = 1, .first = first, .count = 1, .hashes = (const uint8_t(*)[SHA256_SIZE])root}};
    struct store_append append = {.head = ledger->head, .tiles = parts, .tile_count = 2};
    append.head.tiled = (number + 1) * TILE_WIDTH;
    int status = CALL(site->store, append, &append);
    if (status == 0) {
        CHECK_INT(append.committed.tiled, append.head.tiled);
        CHECK_INT(append.committed.size, ledger->head.size);
        ledger->head = append.committed;
    }
    if (status == -EUCLEAN)
        CHECK(append.req.error && *append.req.error);
    arena_done(&append.req.arena);
    return status;
}

static void check_tiles(struct site *site, uint32_t shard, uint32_t tiles)
{
    struct tile_read reads[] = {{.level = 1, .need = tiles},
                                {.number = 0, .need = tiles ? TILE_WIDTH : 0},
                                {.number = 77},
                                {.level = 1, .number = 1},
                                {.number = 1, .need = tiles > 1 ? TILE_WIDTH : 0}};
    struct store_tiles request = {.shard = shard, .tiles = reads, .tile_count = 5};
    CHECK_INT(CALL(site->store, tiles, &request), 0);
    CHECK_INT(reads[0].count, tiles);
    for (uint32_t i = 0; i < reads[0].count; i++)
        CHECK_INT(reads[0].hashes[i][31], i + 1);
    for (int i = 1; i < 5; i += 3) {
        uint8_t expected[TILE_WIDTH][SHA256_SIZE];
        fill(expected, 0, reads[i].number);
        CHECK_INT(reads[i].count, tiles > reads[i].number ? TILE_WIDTH : 0);
        CHECK(!reads[i].count || memcmp(reads[i].hashes, expected, sizeof(expected)) == 0);
    }
    CHECK_INT(reads[2].count, 0);
    CHECK_INT(reads[3].count, 0);
    arena_done(&request.req.arena);
    reads[0].need = tiles + 1; /* more than there is: it is missing */
    request = (struct store_tiles){.shard = shard, .tiles = reads, .tile_count = 1};
    CHECK_INT(CALL(site->store, tiles, &request), -EUCLEAN);
    CHECK(request.req.error && *request.req.error);
    arena_done(&request.req.arena);
}

static void tiles(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledger;
    uint64_t next = 1;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    for (uint64_t i = 0; i < 4; i++)
        commit_outcomes(&site, 0, epoch, i, 0, &next, 200, 2);
    ledger_open(&ledger, &site, "andon", 0, 2);
    CHECK_INT(ledger.head.tiled, 0);
    CHECK_INT(ledger_step(&ledger, site.store, 600), 600);
    CHECK_INT(add_tile(&ledger, &site, 1, 1), -ESTALE); /* behind one that is not there */
    check_tiles(&site, 0, 0);
    CHECK_INT(add_tile(&ledger, &site, 0, 0), 0);
    CHECK_INT(add_tile(&ledger, &site, 0, 0), -ESTALE);  /* it is there */
    CHECK_INT(add_tile(&ledger, &site, 1, 2), -EUCLEAN); /* level 1 is shorter than the log says */
    CHECK_INT(add_tile(&ledger, &site, 1, 0), -EUCLEAN); /* level 1 begins twice */
    CHECK_INT(add_tile(&ledger, &site, 1, TILE_WIDTH), -EINVAL);
    check_tiles(&site, 0, 1);
    CHECK_INT(add_tile(&ledger, &site, 1, 1), 0);
    CHECK_INT(add_tile(&ledger, &site, 2, 2), -EINVAL); /* beyond the log */
    check_tiles(&site, 0, 2);
    check_tiles(&site, 1, 0);
    CHECK_INT(ledger_step(&ledger, site.store, 1000), 200);
    CHECK_INT(ledger.head.tiled, 512);
    site_reopen(&site);
    ledger_close(&ledger);
    ledger_open(&ledger, &site, "andon", 0, 2);
    CHECK_INT(ledger.head.tiled, 512);
    CHECK_INT(add_tile(&ledger, &site, 2, 2), 0);
    check_tiles(&site, 0, 3);
    ledger_close(&ledger);
    site_close(&site);
}

void suite_tiles(const struct store_suite *suite)
{
    CASE("records", tiles);
}
