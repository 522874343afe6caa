/* Before a log is extended it is checked: the receipts behind the last tree the signer followed are read back and
 * hashed, and must lead to the head the store names. Usually that is what was committed while no checkpoint could be
 * signed; with a lost memory it is the whole log. Also the way of a tree to the signing thread and back. Runs on
 * andon's loop. */
#include "andon/shard.h"

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

static int extend(struct shard *shard)
{
    const struct store_receipts *page = &shard->follow;
    for (size_t i = 0; i < page->receipt_count && signer_size(shard->signer) < shard->head.size; i++) {
        uint64_t next = signer_size(shard->signer);
        if (page->receipts[i].index != next)
            return error_set(&shard->why, -EBADMSG, "receipt %" PRIu64 " is missing from a log of %" PRIu64 " receipts",
                             next, shard->head.size);
        uint8_t leaf[SHA256_SIZE];
        merkle_leaf(shard->env->hasher, page->receipts[i].body, leaf);
        signer_extend(shard->signer, shard->env->hasher, leaf);
    }
    if (page->receipt_count == 0)
        return error_set(&shard->why, -EBADMSG, "the log ends at %" PRIu64 " of %" PRIu64 " receipts",
                         signer_size(shard->signer), shard->head.size);
    return 0;
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
    else if (shard_still_held(shard))
        shard_follow(shard);
}

void shard_follow(struct shard *shard)
{
    if (signer_size(shard->signer) >= shard->head.size) {
        finish(shard);
        return;
    }
    shard->follow = (struct store_receipts){.req = {.done = on_page, .ctx = shard},
                                            .shard = shard->number,
                                            .after = signer_size(shard->signer),
                                            .limit = PAGE};
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
