/* A batch: the changes gathered while stepping, their one transaction, and what may happen only after it: settling
 * frames, starting actions, metrics. A commit that failed without effect is tried again with the same contents for as
 * long as the lease holds; consumption pauses meanwhile, nothing is nacked. */
#include "jidoka/worker.h"

#include <errno.h>
#include <stdlib.h>

enum { RETRY_MS = 200, DAMAGED_SHIFT_MAX = 6 };

struct batch *batch_new(struct partition *p, enum batch_kind kind)
{
    struct batch *batch = xcalloc(1, sizeof(*batch));
    batch->partition = p;
    batch->kind = kind;
    batch->now = partition_now(p);
    batch->started_us = jidoka_mono_us(p->jidoka);
    batch->commit.next_line = p->next_line;
    p->batch = batch;
    p->busy_us = batch->started_us;
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    for (size_t i = 0; i < batch->delivery_count; i++)
        kanban_abandon(batch->partition->jidoka->kanban, batch->deliveries[i]);
    HASH_CLEAR(hh, batch->governor_refs); /* its entries lie in the arena */
    partition_lookup_done(&batch->lookup);
    attempt_done(batch);
    arena_done(&batch->commands.req.arena);
    arena_done(&batch->arena);
    arena_done(&batch->waiting.req.arena);
    arena_done(&batch->due.req.arena);
    arena_done(&batch->commit.req.arena);
    free(batch->signals);
    free(batch->deliveries);
    free(batch->starts);
    free(batch->dirty);
    free(batch->lookup.signals);
    free(batch->lookup.refusals);
    free(batch->commit.signals);
    free(batch->commit.governors);
    free(batch->commit.outcomes);
    free(batch->commit.outcome_shards);
    free(batch->commit.intake);
    free(batch);
}

/* What is damaged mends itself seldom: the partition rests longer and longer, up to 13 s. */
static struct timeval pause_of(const struct batch *batch, int status)
{
    unsigned shift = batch->attempts < DAMAGED_SHIFT_MAX ? batch->attempts : DAMAGED_SHIFT_MAX;
    int64_t ms = status == -EUCLEAN ? (int64_t)RETRY_MS << shift : RETRY_MS;
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

bool batch_failed(struct store_request *request, int status, const char *event, void (*again)(struct batch *batch))
{
    struct batch *batch = request->ctx;
    struct partition *p = batch->partition;
    if (p->leaving) {
        partition_drop(p);
        return true;
    }
    if (status == 0)
        return false;
    if (batch->attempts++ % 25 == 0)
        log_event(p->jidoka->options.log, LOG_ERROR, event, LOG_I("partition", p->id),
                  LOG_S("error", request->error ? request->error : error_text(status)),
                  LOG_I("attempt", batch->attempts));
    struct timeval pause = pause_of(batch, status);
    arena_reset(&request->arena);
    batch->again = again;
    event_add(p->retry, &pause);
    return true;
}

void batch_reserve(struct batch *batch, size_t signals)
{
    struct store_commit *commit = &batch->commit;
    size_t cap = batch->outcome_cap;
    mem_grow(&commit->signals, &batch->signal_cap, signals, sizeof(*commit->signals));
    mem_grow(&commit->outcomes, &cap, signals, sizeof(*commit->outcomes));
    mem_grow(&commit->outcome_shards, &batch->outcome_cap, signals, sizeof(*commit->outcome_shards));
}

struct signal_change *batch_signal(struct batch *batch, bool insert)
{
    mem_grow(&batch->commit.signals, &batch->signal_cap, batch->commit.signal_count + 1,
             sizeof(*batch->commit.signals));
    struct signal_change *change = &batch->commit.signals[batch->commit.signal_count++];
    *change = (struct signal_change){.insert = insert};
    return change;
}

void batch_change(struct batch *batch, struct governor_entry *entry)
{
    if (entry->in_batch)
        return;
    entry->in_batch = true;
    mem_grow(&batch->dirty, &batch->dirty_cap, batch->dirty_count + 1, sizeof(*batch->dirty));
    batch->dirty[batch->dirty_count++] = entry;
}

void batch_start(struct batch *batch, struct governor_entry *entry)
{
    mem_grow(&batch->starts, &batch->start_cap, batch->start_count + 1, sizeof(*batch->starts));
    batch->starts[batch->start_count++] = entry;
}

static struct intake_range *add_range(struct batch *batch, const struct frame_header *header, uint64_t sequence)
{
    struct store_commit *commit = &batch->commit;
    mem_grow(&commit->intake, &batch->intake_cap, commit->intake_count + 1, sizeof(*commit->intake));
    struct intake_range *range = &commit->intake[commit->intake_count++];
    *range = (struct intake_range){.first = sequence, .last = sequence};
    range->refusals = batch->kind == BATCH_REFUSALS;
    memcpy(range->boot, header->boot, sizeof(range->boot));
    return range;
}

void batch_intake(struct batch *batch, const struct frame_header *header)
{
    /* What is void is accounted for like what was taken. */
    for (uint32_t i = 0; i < header->void_count; i++)
        (void)add_range(batch, header, header->voided[i]);
    struct intake_range *last =
        batch->commit.intake_count ? &batch->commit.intake[batch->commit.intake_count - 1] : NULL;
    if (last && strcmp(last->boot, header->boot) == 0 && header->sequence == last->last + 1)
        last->last = header->sequence;
    else
        last = add_range(batch, header, header->sequence);
    if (header->confirmed > last->confirmed && !last->refusals)
        last->confirmed = header->confirmed;
}

uint64_t batch_outcome(struct batch *batch, const struct receipt_fields *fields)
{
    struct partition *p = batch->partition;
    struct buf *scratch = &p->jidoka->scratch;
    struct store_commit *commit = &batch->commit;
    uint32_t shard = shard_of(fields->tenant_id, (uint32_t)p->jidoka->config->shards);
    buf_clear(scratch);
    receipt_text(fields, scratch);
    size_t cap = batch->outcome_cap;
    mem_grow(&commit->outcomes, &cap, commit->outcome_count + 1, sizeof(*commit->outcomes));
    mem_grow(&commit->outcome_shards, &batch->outcome_cap, commit->outcome_count + 1, sizeof(*commit->outcome_shards));
    commit->outcome_shards[commit->outcome_count] = shard;
    commit->outcomes[commit->outcome_count++] = (struct outcome){
        .partition = p->id,
        .number = p->outcome_next[shard]++,
        .tenant_id = {arena_copy(&batch->arena, fields->tenant_id.ptr, fields->tenant_id.len), fields->tenant_id.len},
        .text = {arena_copy(&batch->arena, scratch->data, scratch->len), scratch->len}};
    return commit->outcomes[commit->outcome_count - 1].number;
}

static void start_actions(struct batch *batch)
{
    struct runner *runner = batch->partition->jidoka->runner;
    for (size_t i = 0; i < batch->start_count; i++) {
        struct governor_entry *entry = batch->starts[i];
        const struct governor_pending *pending = entry->record.pending;
        if (pending && entry->acting && !entry->job)
            entry->job = runner_start(runner, span_of(pending->action), pending->action_id, pending->attempt,
                                      (struct span){entry->acting->bytes, entry->acting->len}, entry);
    }
}

static void count_batch(const struct batch *batch)
{
    const struct jidoka *jidoka = batch->partition->jidoka;
    const struct jidoka_metrics *metrics = &jidoka->metrics;
    for (int i = 0; i < SIGNAL_STATUS_COUNT; i++)
        if (batch->endings[i])
            metric_add(metrics->endings[i], batch->endings[i]);
    metric_add(metrics->duplicates, (uint64_t)batch->commit.duplicates);
    metric_add(metrics->taken, (uint64_t)batch->commit.taken);
    metric_inc(metrics->batches);
    metric_move(metrics->waiting, batch->commit.waiting);
    metric_move(metrics->acting, batch->commit.acting);
    metric_observe(metrics->batch_seconds, (double)(jidoka_mono_us(jidoka) - batch->started_us) / 1e6);
    for (size_t i = 0; i < batch->delivery_count; i++) {
        const struct frame *frame = batch->deliveries[i]->frame;
        if (frame && batch->kind == BATCH_FRAMES)
            metric_observe_n(metrics->latency, (double)(batch->now.wall_ms - frame->header.accepted_at_ms) / 1e3,
                             frame->header.count);
    }
}

void batch_over(struct batch *batch)
{
    struct partition *p = batch->partition;
    p->batch = NULL;
    batch_free(batch);
    attempts_left(p);
    partition_run(p);
}

static void committed(struct batch *batch)
{
    struct partition *p = batch->partition;
    const struct store_commit *commit = &batch->commit;
    p->batch_number = commit->batch + 1;
    p->next_line = commit->next_line;
    p->waiting += (uint64_t)commit->waiting;
    p->acting += (uint64_t)commit->acting;
    p->outcomes_open += commit->outcome_count;
    p->written_us = jidoka_mono_us(p->jidoka);
    count_batch(batch);
    for (size_t i = 0; i < batch->dirty_count; i++) {
        metric_move(p->jidoka->metrics.governors, batch->dirty[i]->insert);
        batch->dirty[i]->insert = false;
        batch->dirty[i]->in_batch = false;
    }
    triage_committed(batch);
    if (batch->kind == BATCH_FRAMES && batch->single)
        p->frame_at = batch->delivery_count ? 0 : p->frame_at + 1;
    for (size_t i = 0; i < batch->delivery_count; i++)
        kanban_settle(p->jidoka->kanban, batch->deliveries[i]);
    p->settled_frames += batch->kind == BATCH_FRAMES ? batch->delivery_count : 0;
    batch->delivery_count = 0;
    if (commit->settles)
        p->crashes = 0;
    p->rests = 0;
    start_actions(batch);
    batch_over(batch);
}

/* The store holds something else than this owner believes: what is cached of the partition is read again. */
static bool contradicts(int status)
{
    return status == -EEXIST || status == -ENOENT || status == -EINVAL;
}

void batch_commit_failed(struct store_request *request, int status, void (*again)(struct batch *batch))
{
    struct batch *batch = request->ctx;
    struct partition *p = batch->partition;
    struct jidoka *jidoka = p->jidoka;
    if (status == -ESTALE || contradicts(status)) {
        log_event(jidoka->options.log, status == -ESTALE ? LOG_WARN : LOG_ERROR,
                  status == -ESTALE ? "lease_lost" : "commit_refused", LOG_I("partition", p->id),
                  LOG_S("error", request->error ? request->error : error_text(status)));
        metric_inc(jidoka->metrics.leases_lost);
        partition_drop(p);
        return;
    }
    metric_inc(jidoka->metrics.commit_retries);
    (void)batch_failed(request, status, "commit_failed", again);
}

static void on_commit(struct store_request *request, int status)
{
    if (status == 0)
        committed(request->ctx);
    else
        batch_commit_failed(request, status, batch_commit);
}

/* The governors' rows are written as they are now: several steps of one batch cost one upsert. */
static void gather_governors(struct batch *batch)
{
    struct store_commit *commit = &batch->commit;
    if (commit->governors)
        return;
    commit->governors = xcalloc(batch->dirty_count + 1, sizeof(*commit->governors));
    for (size_t i = 0; i < batch->dirty_count; i++) {
        const struct governor_entry *entry = batch->dirty[i];
        commit->governors[i] = (struct governor_change){governor_tenant(entry), governor_entitlement(entry),
                                                        entry->insert, &entry->record};
    }
    commit->governor_count = batch->dirty_count;
}

void batch_commit(struct batch *batch)
{
    struct partition *p = batch->partition;
    struct store_commit *commit = &batch->commit;
    gather_governors(batch);
    commit->req.done = on_commit;
    commit->req.ctx = batch;
    commit->partition = p->id;
    commit->epoch = p->epoch;
    commit->batch = p->batch_number;
    commit->clock_ms = batch->now.clock_ms;
    commit->wall = p->wall;
    bool between_frames = !batch->single || batch->delivery_count;
    if (p->crashes && between_frames && p->settled_frames >= (uint64_t)p->jidoka->config->prefetch)
        commit->settles = true;
    store_commit(p->jidoka->store, commit);
}
