/* Before a log is extended it is checked: the receipts behind the last tree the signer followed, and those behind the
 * last stored tile, are read back and hashed, and must lead to the head the store names. Usually those are few; with a
 * lost memory it is the whole log, and so it is with a log that was written before there were tiles: they are written
 * meanwhile, some with each page. Also the way of a tree to the signing thread and back. Runs on andon's loop. */
#include "andon/ledger/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { PAGE = 1000 };

static void finish(struct shard *shard)
{
    const struct log *log = shard->env->log;
    struct merkle tree = shard_tree(&shard->head);
    if (signer_check(shard->signer, shard->env->hasher, &tree, &shard->why)) {
        shard_stop(shard, "ledger_inconsistent");
        return;
    }
    if (!merkle_same(&shard->tiles.tree, &tree)) {
        error_set(&shard->why, -EBADMSG, "the last receipts of the log do not lead to its root: they were changed");
        shard_stop(shard, "ledger_inconsistent");
        return;
    }
    shard->checked = true;
    shard->failures = 0;
    shard->why.text[0] = '\0';
    if (signer_is_new(shard->signer) && shard->followed_from == 0 && shard->head.size)
        log_event(log, LOG_WARN, "signer_memory_missing", LOG_I("shard", shard->number),
                  LOG_S("path", signer_path(shard->signer)), LOG_I("size", (int64_t)shard->head.size));
    log_event(log, LOG_INFO, "shard_held", LOG_I("shard", shard->number), LOG_I("size", (int64_t)shard->head.size),
              LOG_I("checked", (int64_t)(shard->head.size - shard->followed_from)));
    shard_sign(shard);
    shard_move(shard, SHARD_IDLE);
    shard_kick(shard);
}

/* The first receipt the signer or the tiles have not seen. */
static uint64_t next_index(const struct shard *shard)
{
    uint64_t signed_ = signer_size(shard->signer), tiles = shard->tiles.tree.size;
    return signed_ < tiles ? signed_ : tiles;
}

static int extend(struct shard *shard)
{
    const struct store_receipts *page = &shard->follow;
    uint64_t next = page->after;
    tiles_begin(&shard->tiles, page->receipt_count, &shard->append.req.arena, &shard->batch);
    for (size_t i = 0; i < page->receipt_count && next < shard->head.size; i++, next++) {
        if (page->receipts[i].index != next)
            return error_set(&shard->why, -EBADMSG, "receipt %" PRIu64 " is missing from a log of %" PRIu64 " receipts",
                             next, shard->head.size);
        uint8_t leaf[SHA256_SIZE];
        merkle_leaf(shard->env->hasher, page->receipts[i].body, leaf);
        if (next == signer_size(shard->signer))
            signer_extend(shard->signer, shard->env->hasher, leaf);
        if (next == shard->batch.tree.size)
            tiles_add(&shard->batch, shard->env->hasher, leaf);
    }
    if (page->receipt_count == 0)
        return error_set(&shard->why, -EBADMSG, "the log ends at %" PRIu64 " of %" PRIu64 " receipts", next,
                         shard->head.size);
    return 0;
}

static void on_tiles(struct store_request *request, int status)
{
    struct shard *shard = request->ctx;
    if (status) {
        shard_fail(shard, status, "writing the tree's tiles", request->error);
    } else {
        shard->head = shard->append.committed;
        tiles_commit(&shard->tiles, &shard->batch);
    }
    arena_done(&shard->append.req.arena);
    if (!status && shard_still_held(shard))
        shard_follow(shard);
}

/* The tiles of a page, if it completed any; false if there is nothing to write. */
static bool write_tiles(struct shard *shard)
{
    if (!shard->batch.part_count)
        return false;
    shard->append = (struct store_append){.req = {.done = on_tiles, .ctx = shard, .arena = shard->append.req.arena}};
    shard_fill_append(shard);
    shard->append.head.size = shard->head.size;
    shard->append.head.frontier_count = shard->head.frontier_count;
    memcpy(shard->append.head.frontier, shard->head.frontier, sizeof(shard->head.frontier));
    store_append(shard->env->store, &shard->append);
    return true;
}

static void on_page(struct store_request *request, int status)
{
    struct shard *shard = request->ctx;
    int r = 0;
    if (!status && !shard->lost)
        r = extend(shard);
    if (status)
        shard_fail(shard, status, "reading receipts back", request->error);
    arena_done(&shard->follow.req.arena);
    if (status)
        return;
    if (r)
        shard_stop(shard, "ledger_inconsistent");
    else if (!shard_still_held(shard) || write_tiles(shard))
        return;
    else
        tiles_commit(&shard->tiles, &shard->batch);
    arena_done(&shard->append.req.arena);
    if (!r)
        shard_follow(shard);
}

void shard_follow(struct shard *shard)
{
    uint64_t next = next_index(shard);
    if (next >= shard->head.size) {
        finish(shard);
        return;
    }
    shard->follow = (struct store_receipts){
        .req = {.done = on_page, .ctx = shard}, .shard = shard->number, .after = next, .limit = PAGE};
    store_receipts(shard->env->store, &shard->follow);
}

void shard_sign(struct shard *shard)
{
    struct merkle tree = shard_tree(&shard->head);
    shard->unsigned_tail = false;
    signing_submit(shard->env->signing, shard->number, &tree);
}

void shard_signed(struct shard *shard, uint64_t size, struct span note)
{
    struct shard_metrics *metrics = &shard->env->metrics->shards[shard->number];
    shard->signed_size = size;
    shard->sign_why.text[0] = '\0';
    if (shard->state != SHARD_FREE) {
        buf_clear(&shard->note);
        buf_add_span(&shard->note, note);
    }
    metric_set(metrics->checkpoint_size, (int64_t)size);
    metric_set(metrics->checkpoint_timestamp, clock_wall_ms(shard->env->clock) / 1000);
    shard->env->changed(shard->env->ctx);
}

void shard_sign_failed(struct shard *shard, int code, const struct error *why)
{
    log_event(shard->env->log, LOG_ERROR, "checkpoint_failed", LOG_I("shard", shard->number),
              LOG_S("error", why->text));
    shard->sign_why = *why;
    shard->unsigned_tail = true;
    shard->refused = code == -EBADMSG;
    if (shard->refused)
        shard->why = *why;
    if (shard->refused && (shard->state == SHARD_IDLE || shard->state == SHARD_BACKOFF))
        shard_stop(shard, "checkpoint_refused"); /* otherwise when the batch under way is over */
    shard->env->changed(shard->env->ctx);
}
