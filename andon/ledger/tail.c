/* Leases by a heartbeat each second; wakes, drain and what the shards ask for go through one deferred event, so that
 * no shard is entered while it calls out. */
#include "andon/ledger/tail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { TTL_MS = 3000, TOTALS_EVERY = 5 };

struct tail {
    struct tail_options options;
    struct shard_env env;
    struct signer **signers;
    struct shard *shards;
    struct event *tick;
    struct event *deferred;
    struct store_fix fix;
    struct store_shards heartbeat;
    int64_t beat_us; /* monotonic, when it was sent */
    struct store_totals totals;
    bool fixed; /* the data set has this number of shards */
    bool beating, beat_wanted;
    bool answered; /* a heartbeat has said what is ours */
    bool totaling;
    unsigned ticks;
    uint64_t totaled_size;
    bool draining, leaving, left;
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct error trouble;
};

static void defer(struct tail *tail)
{
    event_active(tail->deferred, EV_TIMEOUT, 0);
}

static void need_heartbeat(void *ctx)
{
    struct tail *tail = ctx;
    tail->beat_wanted = true;
    defer(tail);
}

static void changed(void *ctx)
{
    struct tail *tail = ctx;
    if (tail->draining)
        defer(tail);
}

static const struct shard_head *find_head(const struct store_shards *answer, uint32_t shard)
{
    for (uint32_t i = 0; i < answer->head_count; i++)
        if (answer->heads[i].shard == shard)
            return &answer->heads[i];
    return NULL;
}

static void note_trouble(struct tail *tail, const struct store_request *request, int status, const char *what)
{
    bool was = tail->trouble.text[0] != '\0';
    if (!status && was) {
        tail->trouble.text[0] = '\0';
        log_event(tail->options.log, LOG_INFO, "ledger_lease_recovered");
    } else if (status && !was) {
        error_set(&tail->trouble, status, "%s: %s", what, request->error ? request->error : error_text(status));
        log_event(tail->options.log, LOG_ERROR, "ledger_lease_failed", LOG_S("error", tail->trouble.text));
    }
}

/* An answer as old as the term: what it says is ours may be another's by now, who has gone on. */
static bool expired(const struct tail *tail)
{
    return clock_mono_us(tail->options.clock) - tail->beat_us >= (int64_t)TTL_MS * 1000;
}

static void on_heartbeat(struct store_request *request, int status)
{
    struct tail *tail = request->ctx;
    bool late = expired(tail);
    tail->beating = false;
    note_trouble(tail, request, status, "taking the shards' leases");
    if (tail->leaving)
        tail->left = true;
    else if (!status)
        for (uint32_t i = 0; i < tail->options.shards; i++)
            shard_heartbeat(&tail->shards[i], late ? NULL : find_head(&tail->heartbeat, i), tail->env.heartbeats);
    tail->beat_wanted |= late;
    tail->answered |= !status && !late;
    arena_done(&tail->heartbeat.req.arena);
    defer(tail);
}

static void beat(struct tail *tail)
{
    tail->beat_wanted = false;
    tail->beating = true;
    tail->beat_us = clock_mono_us(tail->options.clock);
    tail->env.heartbeats++;
    tail->heartbeat = (struct store_shards){.req = {.done = on_heartbeat, .ctx = tail},
                                            .worker = tail->options.worker,
                                            .shards = tail->options.shards,
                                            .ttl_ms = TTL_MS,
                                            .leaving = tail->leaving};
    store_shards(tail->options.store, &tail->heartbeat);
}

static bool all_at_rest(const struct tail *tail)
{
    bool rest = tail->answered || !tail->fixed || tail->trouble.text[0];
    for (uint32_t i = 0; i < tail->options.shards; i++)
        rest = rest && shard_at_rest(&tail->shards[i]);
    return rest;
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct tail *tail = arg;
    (void)fd, (void)what;
    if (tail->left) {
        void (*done)(void *) = tail->drained;
        tail->drained = NULL;
        if (done)
            done(tail->drained_ctx); /* may free the tail */
        return;
    }
    if (tail->beating || tail->leaving)
        return;
    if (tail->draining && all_at_rest(tail)) {
        tail->leaving = true;
        beat(tail);
    } else if (tail->beat_wanted && tail->fixed) {
        beat(tail);
    }
}

/* --- each second ---------------------------------------------------------------------------------------------------
 */

static void on_totals(struct store_request *request, int status)
{
    struct tail *tail = request->ctx;
    tail->totaling = false;
    if (!status)
        metric_set(tail->options.metrics->open, (int64_t)tail->totals.outcomes_open);
    arena_done(&tail->totals.req.arena);
}

/* The sums cost a walk over all partitions: only while something moves, and once behind it. */
static void refresh_totals(struct tail *tail)
{
    uint64_t size = 0;
    bool busy = atomic_load_explicit(&tail->options.metrics->open->value, memory_order_relaxed) != 0;
    for (uint32_t i = 0; i < tail->options.shards; i++) {
        enum shard_state state = tail->shards[i].state;
        size += tail->shards[i].head.size;
        busy |= state == SHARD_BACKOFF || state == SHARD_STOPPED;
    }
    if (tail->totaling || ++tail->ticks % TOTALS_EVERY || (!busy && size == tail->totaled_size))
        return;
    tail->totaling = true;
    tail->totaled_size = size;
    tail->totals = (struct store_totals){.req = {.done = on_totals, .ctx = tail}};
    store_totals(tail->options.store, &tail->totals);
}

static void fix_shards(struct tail *tail);

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tail *tail = arg;
    (void)fd, (void)what;
    if (tail->leaving)
        return;
    if (!tail->fixed) {
        fix_shards(tail);
        return;
    }
    for (uint32_t i = 0; i < tail->options.shards; i++)
        shard_tick(&tail->shards[i]);
    refresh_totals(tail);
    need_heartbeat(tail);
}

static void wake(void *ctx)
{
    struct tail *tail = ctx;
    for (uint32_t i = 0; i < tail->options.shards && !tail->leaving; i++)
        shard_kick(&tail->shards[i]);
}

/* --- construction --------------------------------------------------------------------------------------------------
 */

static void on_fixed(struct store_request *request, int status)
{
    struct tail *tail = request->ctx;
    tail->beating = false;
    note_trouble(tail, request, status, "reading the number of shards");
    arena_done(&request->arena);
    if (status) {
        defer(tail);
    } else if (tail->fix.stored != tail->options.shards) {
        error_set(&tail->trouble, -EINVAL,
                  "ledger.shards is %" PRIu32 ", but this data set was made with %" PRIu64
                  ": write ledger.shards: %" PRIu64,
                  tail->options.shards, tail->fix.stored, tail->fix.stored);
        log_event(tail->options.log, LOG_ERROR, "ledger_shards_differ", LOG_S("error", tail->trouble.text));
        event_del(tail->tick);
        defer(tail);
    } else {
        tail->fixed = true;
        need_heartbeat(tail);
    }
}

static void fix_shards(struct tail *tail)
{
    if (tail->beating)
        return;
    tail->beating = true;
    tail->fix = (struct store_fix){
        .req = {.done = on_fixed, .ctx = tail}, .name = "ledger.shards", .value = tail->options.shards};
    store_fix(tail->options.store, &tail->fix);
}

static void on_signed(void *ctx, uint32_t shard, uint64_t size, struct span note)
{
    struct tail *tail = ctx;
    shard_signed(&tail->shards[shard], size, note);
}

static void on_sign_failed(void *ctx, uint32_t shard, int code, const struct error *why)
{
    struct tail *tail = ctx;
    shard_sign_failed(&tail->shards[shard], code, why);
}

static int open_signers(struct tail *tail, struct error *err)
{
    const struct tail_options *options = &tail->options;
    tail->signers = xcalloc(options->shards, sizeof(*tail->signers));
    for (uint32_t i = 0; i < options->shards; i++) {
        const struct signer_options signer = {.state_dir = options->state_dir,
                                              .origin = options->origin,
                                              .key = options->key,
                                              .previous = options->previous_key,
                                              .shard = i};
        int r = signer_open(&signer, &tail->signers[i], err);
        if (r)
            return r;
    }
    const struct signing_options signing = {.base = options->base,
                                            .signers = tail->signers,
                                            .shards = options->shards,
                                            .key = options->key,
                                            .signed_ = on_signed,
                                            .failed = on_sign_failed,
                                            .ctx = tail};
    return signing_new(&signing, &tail->env.signing, err);
}

static void start(struct tail *tail)
{
    const struct tail_options *options = &tail->options;
    const struct timeval second = {1, 0};
    tail->shards = xcalloc(options->shards, sizeof(*tail->shards));
    for (uint32_t i = 0; i < options->shards; i++)
        shard_init(&tail->shards[i], &tail->env, i, tail->signers[i]);
    event_add(tail->tick, &second);
    store_on_outcomes(options->store, wake, tail);
    fix_shards(tail);
}

int tail_new(const struct tail_options *options, struct tail **ret, struct error *err)
{
    struct tail *tail = xcalloc(1, sizeof(*tail));
    tail->options = *options;
    tail->env = (struct shard_env){.base = options->base,
                                   .store = options->store,
                                   .hasher = hasher_new(),
                                   .metrics = options->metrics,
                                   .clock = options->clock,
                                   .log = options->log,
                                   .need_heartbeat = need_heartbeat,
                                   .changed = changed,
                                   .ctx = tail};
    receipt_builder_init(&tail->env.builder, tail->env.hasher);
    tail->tick = event_new(options->base, -1, EV_PERSIST, on_tick, tail);
    tail->deferred = event_new(options->base, -1, 0, on_deferred, tail);
    int r = tail->tick && tail->deferred ? open_signers(tail, err) : error_set(err, -ENOMEM, "no event can be made");
    if (r) {
        tail_free(tail);
        return r;
    }
    start(tail);
    *ret = tail;
    return 0;
}

void tail_drain(struct tail *tail, void (*done)(void *ctx), void *ctx)
{
    tail->draining = true;
    tail->drained = done;
    tail->drained_ctx = ctx;
    for (uint32_t i = 0; i < tail->options.shards; i++)
        shard_drain(&tail->shards[i]);
    defer(tail);
}

void tail_free(struct tail *tail)
{
    if (!tail)
        return;
    signing_free(tail->env.signing);
    if (tail->tick)
        event_free(tail->tick);
    if (tail->deferred)
        event_free(tail->deferred);
    for (uint32_t i = 0; tail->shards && i < tail->options.shards; i++)
        shard_done(&tail->shards[i]);
    for (uint32_t i = 0; tail->signers && i < tail->options.shards; i++)
        signer_free(tail->signers[i]);
    arena_done(&tail->heartbeat.req.arena);
    arena_done(&tail->totals.req.arena);
    arena_done(&tail->fix.req.arena);
    receipt_builder_done(&tail->env.builder);
    hasher_free(tail->env.hasher);
    free(tail->shards);
    free(tail->signers);
    free(tail);
}

const struct shard *tail_shard(const struct tail *tail, uint32_t shard)
{
    return shard < tail->options.shards ? &tail->shards[shard] : NULL;
}

struct signing *tail_signing(const struct tail *tail)
{
    return tail->env.signing;
}

const char *tail_trouble(const struct tail *tail)
{
    if (tail->trouble.text[0])
        return tail->trouble.text;
    for (uint32_t i = 0; i < tail->options.shards; i++) {
        const struct shard *shard = &tail->shards[i];
        if (shard->why.text[0] || shard->sign_why.text[0])
            return shard->why.text[0] ? shard->why.text : shard->sign_why.text;
    }
    return NULL;
}
