/* Batches that no frame starts: waiting rows that may go on, timers and expired rows, results of actions, and the
 * partition clock's heartbeat. */
#include "jidoka/worker.h"

#include <errno.h>
#include <stdlib.h>

/* --- waiting rows released ------------------------------------------------------------------------------------------
 */

/* false: the line is held again, by the governor or by what its action calls. */
static bool release_row(struct batch *batch, const struct signal_row *row)
{
    struct governor_entry *entry = batch->releasing;
    struct signal *signal = arena_alloc(&batch->arena, sizeof(*signal));
    struct error error;
    if (frame_decode_envelope(row->envelope, row->bytes, signal, &error) < 0) {
        log_event(batch->partition->jidoka->options.log, LOG_ERROR, "waiting_row_corrupt",
                  LOG_I("partition", batch->partition->id), LOG_B("signal_id", row->identity.id),
                  LOG_S("error", error.text));
        metric_inc(batch->partition->jidoka->metrics.corruptions);
        *signal = waiting_signal(row);
        waiting_leave(batch, entry);
        apply_ending(batch, entry, SIGNAL_DEADLETTERED, "corrupt",
                     &(struct applied_signal){signal, waiting_row(batch, row)});
        return true;
    }
    struct governor_input input = {.kind = INPUT_SIGNAL,
                                   .critical = signal->severity == SEVERITY_CRITICAL,
                                   .signal_id = signal->id,
                                   .redrive = signal->redrive};
    if (governor_waits(&entry->record, input.critical)) {
        waiting_hold(batch, entry, row);
        return false;
    }
    if (apply_step(batch, entry, &input, &(struct applied_signal){signal, waiting_row(batch, row)}) ==
        SIGNAL_IS_DEFERRED)
        return false;
    waiting_leave(batch, entry);
    return true;
}

/* The first one alone is all there is of a single batch. */
static void release_rows(struct batch *batch)
{
    struct governor_entry *entry = batch->releasing;
    if (batch->poison) {
        waiting_leave(batch, entry);
        struct signal *signal = arena_alloc(&batch->arena, sizeof(*signal));
        *signal = waiting_signal(&batch->waiting.rows[0]);
        apply_ending(batch, entry, SIGNAL_DEADLETTERED, "poison",
                     &(struct applied_signal){signal, waiting_row(batch, &batch->waiting.rows[0])});
    }
    for (size_t i = 0; !batch->poison && i < batch->waiting.row_count; i++)
        if (!release_row(batch, &batch->waiting.rows[i]))
            break;
    if (entry->waiting && !governor_waits(&entry->record, false))
        partition_release(batch->partition, entry);
    batch_commit(batch);
}

static void attempts_look_up(struct batch *batch);

static void on_attempts(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    if (!batch_failed(request, status, "lookup_failed", attempts_look_up))
        attempt_guard(batch, &batch->lookup.signals[0].identity, batch->lookup.signals[0].attempts, release_rows);
}

static void attempts_look_up(struct batch *batch)
{
    struct store_lookup *lookup = &batch->lookup;
    if (!lookup->signals)
        lookup->signals = xcalloc(1, sizeof(*lookup->signals));
    lookup->signals[0] =
        (struct lookup_signal){.identity = batch->waiting.rows[0].identity, .sha256 = batch->waiting.rows[0].sha256};
    lookup->signal_count = 1;
    lookup->attempts = true;
    lookup->req.done = on_attempts;
    lookup->req.ctx = batch;
    lookup->partition = batch->partition->id;
    store_lookup(batch->partition->jidoka->store, lookup);
}

static void release_look_up(struct batch *batch);

static void on_waiting(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    struct partition *p = batch->partition;
    struct governor_entry *entry = batch->releasing;
    if (batch_failed(request, status, "waiting_rows_failed", release_look_up))
        return;
    if (batch->waiting.row_count == 0 && entry->waiting) {
        log_event(p->jidoka->options.log, LOG_ERROR, "waiting_rows_missing", LOG_I("partition", p->id),
                  LOG_I("missing", entry->waiting));
        entry->waiting = 0;
    }
    if (batch->single && batch->waiting.row_count)
        attempts_look_up(batch);
    else
        release_rows(batch);
}

static void release_look_up(struct batch *batch)
{
    struct store_waiting *waiting = &batch->waiting;
    waiting->req.done = on_waiting;
    waiting->req.ctx = batch;
    waiting->partition = batch->partition->id;
    waiting->tenant_id = governor_tenant(batch->releasing);
    waiting->entitlement_id = governor_entitlement(batch->releasing);
    waiting->limit = batch->single || batch->retrying ? 1 : RELEASE_ROWS_MAX;
    store_waiting(batch->partition->jidoka->store, waiting);
}

void release_begin(struct partition *p, struct governor_entry *entry)
{
    struct batch *batch = batch_new(p, BATCH_RELEASE);
    batch->releasing = entry;
    batch->single = attempts_single(p);
    batch->retrying = entry->deferred_until != 0;
    entry->deferred_until = 0;
    release_look_up(batch);
}

/* --- timers ---------------------------------------------------------------------------------------------------------
 */

static void timers_of(struct batch *batch, struct governor_entry *entry)
{
    const struct governor_record *record = &entry->record;
    int64_t clock_ms = batch->now.clock_ms;
    struct governor_input input = {0};
    if (governor_quota_due(record) <= batch->now.wall_ms) { /* first: a breaker_reset looks at the quota */
        input.kind = INPUT_QUOTA_RESET;
        (void)apply_step(batch, entry, &input, NULL);
    }
    if (record->boot_due && record->boot_due <= clock_ms) {
        input.kind = INPUT_BOOT_TIMEOUT;
        (void)apply_step(batch, entry, &input, NULL);
    }
    if (record->breaker_due && record->breaker_due <= clock_ms) {
        input.kind = INPUT_BREAKER_RESET;
        (void)apply_step(batch, entry, &input, NULL);
    }
    if (record->pending && record->pending->deadline_ms <= clock_ms) {
        char action_id[UUID_TEXT + 1];
        memcpy(action_id, record->pending->action_id, sizeof(action_id));
        if (entry->job)
            runner_cancel(entry->job);
        entry->job = NULL;
        input = (struct governor_input){.kind = INPUT_FAILED, .action_id = action_id, .reason = SPAN("timeout")};
        (void)apply_step(batch, entry, &input, NULL);
    }
}

static void step_due(struct batch *batch)
{
    struct partition *p = batch->partition;
    p->next_due = batch->due.next_due;
    p->row_due = batch->due.row_due;
    p->quota_due = batch->due.quota_due;
    partition_cache(p, &batch->lookup);
    for (size_t i = 0; i < batch->due.governor_count; i++) {
        struct governor_entry *entry =
            partition_find(p, batch->due.governors[i].tenant_id, batch->due.governors[i].entitlement_id);
        if (!entry)
            continue;
        timers_of(batch, entry);
        partition_timers(p, &entry->record);
    }
    for (size_t i = 0; i < batch->due.row_count; i++)
        waiting_due(batch, &batch->due.rows[i]);
    batch_commit(batch);
}

static void due_governors(struct batch *batch);

static void on_due_governors(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    status = partition_verify(batch->partition, &batch->lookup, status);
    if (!batch_failed(request, status, "lookup_failed", due_governors))
        step_due(batch);
}

static void due_governors(struct batch *batch)
{
    batch->lookup.req.done = on_due_governors;
    batch->lookup.req.ctx = batch;
    batch->lookup.partition = batch->partition->id;
    store_lookup(batch->partition->jidoka->store, &batch->lookup);
}

static void due_look_up(struct batch *batch);

static void on_due(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    struct store_lookup *lookup = &batch->lookup;
    if (batch_failed(request, status, "due_failed", due_look_up))
        return;
    lookup->governors = xcalloc(batch->due.governor_count + 1, sizeof(*lookup->governors));
    for (size_t i = 0; i < batch->due.governor_count; i++) {
        const struct governor_key *key = &batch->due.governors[i];
        if (!partition_find(batch->partition, key->tenant_id, key->entitlement_id))
            lookup->governors[lookup->governor_count++] =
                (struct lookup_governor){.tenant_id = key->tenant_id, .entitlement_id = key->entitlement_id};
    }
    if (lookup->governor_count)
        due_governors(batch);
    else
        step_due(batch);
}

static void due_look_up(struct batch *batch)
{
    struct store_due *due = &batch->due;
    due->req.done = on_due;
    due->req.ctx = batch;
    due->partition = batch->partition->id;
    due->clock_ms = batch->now.clock_ms;
    due->wall_ms = batch->now.wall_ms;
    due->limit = DUE_ROWS_MAX;
    store_due(batch->partition->jidoka->store, due);
}

void due_begin(struct partition *p)
{
    due_look_up(batch_new(p, BATCH_DUE));
}

/* --- results of actions ---------------------------------------------------------------------------------------------
 */

static void step_result(struct batch *batch, const struct action_result *result)
{
    struct governor_entry *entry = result->governor;
    struct governor_pending *pending = entry->record.pending;
    bool awaited = pending && strcmp(pending->action_id, result->action_id) == 0;
    bool poison = awaited && result->restored && attempts_exhausted(batch->partition, pending);
    if (result->again && awaited && !poison) {
        pending->attempt++;
        batch_change(batch, entry);
        batch_start(batch, entry);
        return;
    }
    struct governor_input input = {.kind = result->succeeded ? INPUT_SUCCEEDED : INPUT_FAILED,
                                   .action_id = result->action_id,
                                   .reason = poison ? SPAN("poison") : span_of(result->reason)};
    (void)apply_step(batch, entry, &input, NULL);
}

void results_begin(struct partition *p)
{
    struct batch *batch = batch_new(p, BATCH_RESULTS);
    struct action_result *result;
    for (unsigned i = 0; i < BATCH_SIGNALS_MAX && (result = p->results); i++) {
        p->results = result->next;
        if (!p->results)
            p->results_tail = &p->results;
        step_result(batch, result);
        free(result);
    }
    batch_commit(batch);
}

void clock_begin(struct partition *p)
{
    bool recovered = partition_recovered(p);
    struct batch *batch = batch_new(p, BATCH_CLOCK);
    batch->commit.settles = recovered;
    batch_commit(batch);
}
