/* The batches of one shard: outcomes in, receipts out, one request to the store at a time. What the store did not take
 * is read again; nothing is remembered about a failed batch. Runs on andon's loop. */
#include "andon/ledger/shard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    BATCH = 1000,
    PARTITIONS_MAX = 65536,
    CHAINS_KEPT = 16384,
    RETRY_MS = 50,
    RETRY_MAX_MS = 5000,
    DRAIN_FAILURES = 5,
    FENCED_AT_ONCE = 3
};
enum { NOTE_MAX = 4096 };

const char *const shard_state_names[SHARD_STATE_COUNT] = {
    [SHARD_FREE] = "free",       [SHARD_FOLLOWING] = "following", [SHARD_IDLE] = "idle",
    [SHARD_READING] = "reading", [SHARD_CHAINS] = "chains",       [SHARD_APPENDING] = "appending",
    [SHARD_STALE] = "stale",     [SHARD_BACKOFF] = "backoff",     [SHARD_STOPPED] = "stopped"};

#define TO(state) (1u << (state))
/* The diagram of shard.h. */
static const unsigned moves[SHARD_STATE_COUNT] = {
    [SHARD_FREE] = TO(SHARD_FOLLOWING),
    [SHARD_FOLLOWING] = TO(SHARD_IDLE) | TO(SHARD_STALE) | TO(SHARD_BACKOFF) | TO(SHARD_STOPPED),
    [SHARD_IDLE] = TO(SHARD_READING) | TO(SHARD_FREE) | TO(SHARD_FOLLOWING) | TO(SHARD_STOPPED),
    [SHARD_READING] = TO(SHARD_IDLE) | TO(SHARD_CHAINS) | TO(SHARD_APPENDING) | TO(SHARD_STALE) | TO(SHARD_BACKOFF) |
                      TO(SHARD_STOPPED),
    [SHARD_CHAINS] = TO(SHARD_APPENDING) | TO(SHARD_STALE) | TO(SHARD_BACKOFF) | TO(SHARD_STOPPED),
    [SHARD_APPENDING] = TO(SHARD_IDLE) | TO(SHARD_STALE) | TO(SHARD_BACKOFF) | TO(SHARD_STOPPED),
    [SHARD_STALE] = TO(SHARD_FREE) | TO(SHARD_FOLLOWING) | TO(SHARD_STOPPED),
    [SHARD_BACKOFF] = TO(SHARD_FREE) | TO(SHARD_FOLLOWING) | TO(SHARD_IDLE) | TO(SHARD_STOPPED),
    [SHARD_STOPPED] = TO(SHARD_FREE) | TO(SHARD_FOLLOWING),
};

void shard_move(struct shard *shard, enum shard_state to)
{
    if (!(moves[shard->state] & TO(to)))
        abort();
    log_event(shard->env->log, LOG_DEBUG, "shard_state", LOG_I("shard", shard->number),
              LOG_S("from", shard_state_names[shard->state]), LOG_S("to", shard_state_names[to]));
    shard->state = to;
    if (to == SHARD_FREE)
        buf_clear(&shard->note); /* the next owner's checkpoints are newer */
}

static void read_outcomes(struct shard *shard);
static void append_batch(struct shard *shard);

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct shard *shard = arg;
    (void)fd, (void)what;
    if (shard->state != SHARD_BACKOFF)
        return;
    if (!shard->checked) {
        shard_move(shard, SHARD_FOLLOWING);
        shard_follow(shard);
        return;
    }
    shard_move(shard, SHARD_IDLE);
    shard_kick(shard);
}

void shard_init(struct shard *shard, struct shard_env *env, uint32_t number, struct signer *signer)
{
    *shard = (struct shard){.env = env, .number = number, .signer = signer, .chains = chains_new(CHAINS_KEPT)};
    buf_init(&shard->note, NOTE_MAX);
    shard->retry = evtimer_new(env->base, on_retry, shard);
    if (!shard->retry)
        abort(); /* no memory */
}

void shard_done(struct shard *shard)
{
    event_free(shard->retry);
    arena_done(&shard->follow.req.arena);
    arena_done(&shard->read.req.arena);
    arena_done(&shard->ask.req.arena);
    arena_done(&shard->append.req.arena);
    chains_free(shard->chains);
    free(shard->last_numbers);
    buf_done(&shard->note);
}

static void set_oldest(struct shard *shard, int64_t wall_ms)
{
    atomic_store_explicit(&shard->env->metrics->shards[shard->number].oldest_ms, wall_ms, memory_order_relaxed);
}

static void become_stale(struct shard *shard)
{
    shard->lost = false;
    shard->stale_since = shard->env->heartbeats;
    chains_forget(shard->chains);
    shard_move(shard, SHARD_STALE);
    if (++shard->fenced <= FENCED_AT_ONCE) /* beyond, the heartbeat of the next second is soon enough */
        shard->env->need_heartbeat(shard->env->ctx);
}

bool shard_still_held(struct shard *shard)
{
    if (!shard->lost)
        return true;
    become_stale(shard);
    return false;
}

void shard_fail(struct shard *shard, int code, const char *what, const char *detail)
{
    chains_abandon(shard->chains);
    if (code == -ESTALE || shard->lost) {
        log_event(shard->env->log, LOG_WARN, "shard_fenced", LOG_I("shard", shard->number), LOG_S("what", what));
        become_stale(shard);
        return;
    }
    unsigned failures = shard->failures++;
    metric_inc(shard->env->metrics->failures);
    if (code != -EBADMSG) /* otherwise why says more */
        error_set(&shard->why, code, "%s: %s", what, detail ? detail : error_text(code));
    if ((failures & (failures + 1)) == 0) /* the 1st, 2nd, 4th, … in a row */
        log_event(shard->env->log, LOG_ERROR, "shard_failed", LOG_I("shard", shard->number), LOG_S("what", what),
                  LOG_S("error", shard->why.text), LOG_I("failures", failures + 1));
    int64_t wait = failures < 7 ? (int64_t)RETRY_MS << failures : RETRY_MAX_MS;
    const struct timeval delay = {wait / 1000, wait % 1000 * 1000};
    shard_move(shard, SHARD_BACKOFF);
    evtimer_add(shard->retry, &delay);
    shard->env->changed(shard->env->ctx);
}

void shard_stop(struct shard *shard, const char *event)
{
    metric_inc(shard->env->metrics->refusals);
    log_event(shard->env->log, LOG_ERROR, event, LOG_I("shard", shard->number), LOG_S("error", shard->why.text));
    event_del(shard->retry);
    shard_move(shard, SHARD_STOPPED);
    shard->env->changed(shard->env->ctx);
}

/* --- leases --------------------------------------------------------------------------------------------------------
 */

static void adopt(struct shard *shard, const struct shard_head *head)
{
    event_del(shard->retry);
    chains_forget(shard->chains);
    shard->head = *head;
    shard->checked = false;
    shard->lost = false;
    if (head->claimed && !signing_busy(shard->env->signing, shard->number) &&
        signer_reload(shard->signer, &shard->why)) {
        shard_move(shard, SHARD_FOLLOWING);
        shard_stop(shard, "signer_memory_unreadable");
        return;
    }
    shard->followed_from = signer_size(shard->signer);
    tiles_init(&shard->tiles, head);
    if (shard->partitions)
        memset(shard->last_numbers, 0, shard->partitions * sizeof(*shard->last_numbers));
    metric_set(shard->env->metrics->shards[shard->number].size, (int64_t)head->size);
    shard_move(shard, SHARD_FOLLOWING);
    shard_follow(shard);
}

static void release(struct shard *shard)
{
    event_del(shard->retry);
    set_oldest(shard, 0);
    shard_move(shard, SHARD_FREE);
    shard->env->changed(shard->env->ctx);
}

void shard_heartbeat(struct shard *shard, const struct shard_head *head, uint64_t heartbeat)
{
    switch (shard->state) {
    case SHARD_FOLLOWING:
    case SHARD_READING:
    case SHARD_CHAINS:
    case SHARD_APPENDING:
        shard->lost |= !head || head->claimed;
        break;
    case SHARD_FREE:
        if (head)
            adopt(shard, head);
        break;
    case SHARD_STALE:
        if (heartbeat <= shard->stale_since) /* its answer may be older than what made us stale */
            shard->env->need_heartbeat(shard->env->ctx);
        else if (head)
            adopt(shard, head);
        else
            release(shard);
        break;
    default:
        if (!head)
            release(shard);
        else if (head->claimed)
            adopt(shard, head);
    }
}

/* --- a batch -------------------------------------------------------------------------------------------------------
 */

void shard_kick(struct shard *shard)
{
    shard->wanted = true;
    if (shard->state == SHARD_IDLE)
        read_outcomes(shard);
}

static void rest(struct shard *shard)
{
    shard_move(shard, SHARD_IDLE);
    if (shard->refused)
        shard_stop(shard, "checkpoint_refused");
    else if (shard->wanted || (shard->draining && !shard->drained))
        read_outcomes(shard);
    else
        shard->env->changed(shard->env->ctx);
}

static void end_batch(struct shard *shard)
{
    arena_done(&shard->read.req.arena);
    arena_done(&shard->ask.req.arena);
    arena_done(&shard->append.req.arena);
}

/* Under load the next batch uses the same memory; the first empty read gives it back. */
static void reuse_batch(struct shard *shard)
{
    arena_reset(&shard->read.req.arena);
    arena_reset(&shard->ask.req.arena);
    arena_reset(&shard->append.req.arena);
}

/* request: the one that failed, or NULL. */
static void fail_batch(struct shard *shard, const struct store_request *request, int code, const char *what)
{
    shard_fail(shard, code, what, request ? request->error : NULL);
    end_batch(shard);
}

static void on_chains(struct store_request *request, int status)
{
    struct shard *shard = request->ctx;
    if (status || shard->lost) {
        fail_batch(shard, request, status ? status : -ESTALE, "reading chain heads");
        return;
    }
    for (size_t i = 0; i < shard->ask.chain_count; i++) {
        const struct chain_head *head = &shard->ask.chains[i];
        chain_set(chains_touch(shard->chains, head->chain), head);
    }
    append_batch(shard);
}

/* Asks for the heads of the chains of this batch that are not known; false if all are. */
static bool ask_chains(struct shard *shard)
{
    size_t touched = chains_touched(shard->chains), unknown = 0;
    shard->ask = (struct store_chains){.req = {.done = on_chains, .ctx = shard, .arena = shard->ask.req.arena},
                                       .shard = shard->number};
    for (size_t i = 0; i < touched; i++) {
        struct chain_entry *entry = chains_at(shard->chains, i);
        if (chain_known(entry))
            continue;
        if (unknown == 0)
            shard->ask.chains = arena_alloc(&shard->ask.req.arena, (touched - i) * sizeof(*shard->ask.chains));
        shard->ask.chains[unknown++] = (struct chain_head){.chain = chain_working(entry)->chain};
    }
    shard->ask.chain_count = unknown;
    return unknown > 0;
}

static void on_outcomes(struct store_request *request, int status)
{
    struct shard *shard = request->ctx;
    size_t count = shard->read.outcome_count;
    if (status || shard->lost) {
        fail_batch(shard, request, status ? status : -ESTALE, "reading outcomes");
        return;
    }
    if (count == 0) {
        set_oldest(shard, 0);
        shard->failures = 0;
        shard->why.text[0] = '\0';
        shard->drained |= shard->read_drains;
        end_batch(shard);
        rest(shard);
        return;
    }
    shard->entries = arena_alloc(&shard->read.req.arena, count * sizeof(*shard->entries));
    for (size_t i = 0; i < count; i++)
        shard->entries[i] = chains_touch(shard->chains, receipt_chain_of(&shard->read.outcomes[i]));
    if (ask_chains(shard)) {
        shard_move(shard, SHARD_CHAINS);
        store_chains(shard->env->store, &shard->ask);
    } else {
        append_batch(shard);
    }
}

static void read_outcomes(struct shard *shard)
{
    shard->wanted = false;
    shard->read_drains = shard->draining;
    shard->read = (struct store_outcomes){.req = {.done = on_outcomes, .ctx = shard, .arena = shard->read.req.arena},
                                          .shard = shard->number,
                                          .limit = BATCH};
    shard_move(shard, SHARD_READING);
    store_outcomes(shard->env->store, &shard->read);
}

/* Outcomes are numbered without gaps; one that is missing was a receipt to be. */
static void note_number(struct shard *shard, const struct receipt *receipt)
{
    if (receipt->partition >= PARTITIONS_MAX)
        return;
    if (receipt->partition >= shard->partitions) {
        size_t old = shard->partitions;
        mem_grow(&shard->last_numbers, &shard->partitions, receipt->partition + 1, sizeof(*shard->last_numbers));
        memset(shard->last_numbers + old, 0, (shard->partitions - old) * sizeof(*shard->last_numbers));
    }
    uint64_t *last = &shard->last_numbers[receipt->partition];
    if (*last && receipt->number != *last + 1) {
        metric_inc(shard->env->metrics->gaps);
        log_event(shard->env->log, LOG_ERROR, "outcome_gap", LOG_I("shard", shard->number),
                  LOG_I("partition", receipt->partition), LOG_I("after", (int64_t)*last),
                  LOG_I("number", (int64_t)receipt->number));
    }
    *last = receipt->number;
}

static void count_batch(struct shard *shard)
{
    struct andon_metrics *metrics = shard->env->metrics;
    int64_t took = clock_mono_us(shard->env->clock) - shard->append_began_us;
    metric_observe(metrics->append, (double)took / 1e6);
    metric_set(metrics->shards[shard->number].size, (int64_t)shard->head.size);
    andon_metrics_receipts(metrics, shard->append.receipts, shard->append.receipt_count);
    if (shard->read.outcome_count < BATCH)
        set_oldest(shard, 0);
}

static void on_appended(struct store_request *request, int status)
{
    struct shard *shard = request->ctx;
    const struct store_append *append = &shard->append;
    if (status) {
        fail_batch(shard, request, status, "appending receipts");
        return;
    }
    chains_commit(shard->chains);
    shard->head = append->committed;
    for (size_t i = 0; i < append->receipt_count; i++) {
        note_number(shard, &append->receipts[i]);
        signer_extend(shard->signer, shard->env->hasher, shard->batch.leaves[shard->batch.old_count + i]);
    }
    tiles_commit(&shard->tiles, &shard->batch);
    count_batch(shard);
    bool more = shard->read.outcome_count == BATCH;
    reuse_batch(shard);
    shard->failures = shard->fenced = 0;
    shard->why.text[0] = '\0';
    struct merkle tree = shard_tree(&shard->head);
    if (signer_check(shard->signer, shard->env->hasher, &tree, &shard->why)) {
        shard_stop(shard, "ledger_inconsistent");
        return;
    }
    shard_sign(shard);
    if (!shard_still_held(shard))
        return;
    shard->wanted |= more;
    rest(shard);
}

void shard_fill_append(struct shard *shard)
{
    const struct tiles_batch *batch = &shard->batch;
    struct store_append *append = &shard->append;
    append->tiles = batch->parts;
    append->tile_count = batch->part_count;
    append->head = shard->head;
    append->head.size = batch->tree.size;
    append->head.frontier_count = batch->tree.count;
    memcpy(append->head.frontier, batch->tree.frontier, sizeof(batch->tree.frontier));
    append->head.tiled = batch->tiled;
}

/* 0 with the receipts of the batch in append. */
static int build_batch(struct shard *shard, struct error *err)
{
    size_t count = shard->read.outcome_count;
    struct store_append *append = &shard->append;
    struct arena *arena = &append->req.arena;
    struct receipt *receipts = arena_alloc(arena, count * sizeof(*receipts));
    struct tiles_batch *batch = &shard->batch;
    int64_t oldest = INT64_MAX;
    tiles_begin(&shard->tiles, count, arena, batch);
    for (size_t i = 0; i < count; i++) {
        int r = receipt_build(&shard->env->builder, &shard->read.outcomes[i], shard->number,
                              chain_working(shard->entries[i]), arena, &receipts[i], err);
        if (r)
            return r;
        uint8_t leaf[SHA256_SIZE];
        receipts[i].index = batch->tree.size;
        merkle_leaf(shard->env->hasher, receipts[i].body, leaf);
        tiles_add(batch, shard->env->hasher, leaf);
        oldest = receipts[i].timestamp_ms < oldest ? receipts[i].timestamp_ms : oldest;
    }
    set_oldest(shard, oldest);
    append->receipts = receipts;
    append->receipt_count = count;
    append->outcomes = shard->read.outcomes;
    append->outcome_count = count;
    shard_fill_append(shard);
    return 0;
}

static void append_batch(struct shard *shard)
{
    struct store_append *append = &shard->append;
    *append = (struct store_append){.req = {.done = on_appended, .ctx = shard, .arena = append->req.arena}};
    int r = build_batch(shard, &shard->why);
    if (r) {
        fail_batch(shard, NULL, r, "building receipts");
        return;
    }
    size_t touched = chains_touched(shard->chains);
    struct chain_head *heads = arena_alloc(&append->req.arena, touched * sizeof(*heads));
    for (size_t i = 0; i < touched; i++)
        heads[i] = *chain_working(chains_at(shard->chains, i));
    append->chains = heads;
    append->chain_count = touched;
    shard->append_began_us = clock_mono_us(shard->env->clock);
    shard_move(shard, SHARD_APPENDING);
    store_append(shard->env->store, append);
}

void shard_tick(struct shard *shard)
{
    bool held = shard->state != SHARD_FREE && shard->state != SHARD_STOPPED && shard->checked;
    if (held && shard->unsigned_tail && !signing_busy(shard->env->signing, shard->number))
        shard_sign(shard);
    shard_kick(shard);
}

/* --- drain ---------------------------------------------------------------------------------------------------------
 */

void shard_drain(struct shard *shard)
{
    shard->draining = true;
    shard_kick(shard);
}

bool shard_at_rest(const struct shard *shard)
{
    if (shard->state == SHARD_FREE || shard->state == SHARD_STOPPED || shard->failures >= DRAIN_FAILURES)
        return true;
    return shard->drained && shard->state == SHARD_IDLE && !signing_busy(shard->env->signing, shard->number) &&
           (shard->signed_size == shard->head.size || shard->unsigned_tail);
}
