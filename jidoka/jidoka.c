/* The worker's loop: queue and store descriptors, the one-second tick, the governor's environment, drain. One thread;
 * no state outside struct jidoka. */
#include "jidoka/worker.h"
#include "kanban/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const ending_names[] = {"executed", "failed", "denied", "refused", "deadlettered", NULL};

int64_t jidoka_mono_us(const struct jidoka *jidoka)
{
    return clock_mono_us(jidoka->options.clock);
}

/* --- events ----------------------------------------------------------------------------------------------------------
 */

static void arm_kanban(struct jidoka *jidoka)
{
    int64_t deadline = kanban_deadline_us(jidoka->kanban);
    if (deadline == INT64_MAX)
        return;
    int64_t wait = deadline - jidoka_mono_us(jidoka);
    struct timeval pause = {wait > 0 ? wait / 1000000 : 0, wait > 0 ? wait % 1000000 : 0};
    event_add(jidoka->kanban_timer, &pause);
}

static void on_kanban(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct jidoka *jidoka = ctx;
    kanban_dispatch(jidoka->kanban);
    arm_kanban(jidoka);
}

static void on_store(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    store_dispatch(((struct jidoka *)ctx)->store);
}

/* A backend that has reconnected delivers again what is still held here, and so more than was asked for. None of what
 * follows may overtake it: the tick subscribes anew, and all comes again in order. */
static void resubscribe(struct partition *p)
{
    kanban_unsubscribe(p->jidoka->kanban, p->id);
    p->subscribed = false;
}

static void on_delivery(void *ctx, struct kanban_delivery *delivery)
{
    struct jidoka *jidoka = ctx;
    if (delivery->partition == KANBAN_REFUSALS) {
        refusal_frames_arrived(jidoka, delivery);
        return;
    }
    struct partition *p = &jidoka->partitions[delivery->partition];
    uint32_t prefetch = (uint32_t)jidoka->config->prefetch;
    if (p->state == PARTITION_UNOWNED || p->delivery_count == prefetch) {
        kanban_abandon(jidoka->kanban, delivery);
        resubscribe(p);
        return;
    }
    p->deliveries[(p->delivery_head + p->delivery_count++) % prefetch] = delivery;
    event_active(p->ready, EV_TIMEOUT, 0);
}

static void on_ready(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    partition_run(ctx);
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct partition *p = ctx;
    if (p->leaving)
        partition_drop(p);
    else if (p->batch && p->batch->again)
        p->batch->again(p->batch);
}

static void on_action_ended(void *ctx, void *token, bool succeeded, bool again, const char *reason)
{
    struct jidoka *jidoka = ctx;
    struct governor_entry *entry = token;
    struct partition *p = &jidoka->partitions[hash_bucket(governor_tenant(entry), governor_entitlement(entry),
                                                          (uint32_t)jidoka->config->partitions)];
    struct action_result *result = xcalloc(1, sizeof(*result));
    *result = (struct action_result){.governor = entry, .succeeded = succeeded, .again = again};
    memcpy(result->action_id, entry->record.pending->action_id, sizeof(result->action_id));
    snprintf(result->reason, sizeof(result->reason), "%s", reason); /* the runner has cut it */
    entry->job = NULL;
    *p->results_tail = result;
    p->results_tail = &result->next;
    partition_run(p);
}

/* The clock is written each second while something is timed, else each hour: retention counts on it. */
static void tick_partition(struct partition *p)
{
    static const int64_t second_us = 1000000, hour_us = 3600 * second_us;
    bool pending = p->next_due != INT64_MAX || p->row_due != INT64_MAX || partition_recovered(p);
    if (p->state == PARTITION_RUNNING && !p->subscribed)
        partition_subscribe(p);
    if (p->state == PARTITION_RUNNING && p->id == 0 && !p->jidoka->refusals.subscribed)
        refusal_frames_subscribe(p->jidoka);
    if (p->state == PARTITION_RUNNING)
        (void)partition_now(p);
    partition_run(p);
    if (p->state == PARTITION_RUNNING && !p->batch &&
        jidoka_mono_us(p->jidoka) - p->written_us >= (pending ? second_us : hour_us))
        clock_begin(p);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct jidoka *jidoka = ctx;
    if (leases_due(jidoka))
        leases_heartbeat(jidoka);
    for (int64_t i = 0; i < jidoka->config->partitions; i++)
        tick_partition(&jidoka->partitions[i]);
    if (!jidoka->drained)
        sweep_slice(jidoka);
    jidoka_check_drained(jidoka);
}

/* --- drain ------------------------------------------------------------------------------------------------------- */

/* Draining: first everything is worked off, actions included (unless stopping), then the partitions are left, then the
 * leases released. */
void jidoka_check_drained(struct jidoka *jidoka)
{
    if (!jidoka->drained)
        return;
    for (int64_t i = 0; i < jidoka->config->partitions && !jidoka->stopping; i++)
        if (!partition_idle(&jidoka->partitions[i]))
            return;
    bool empty = kanban_depth(jidoka->kanban) == 0 && kanban_backend_depth(jidoka->options.queue, KANBAN_REFUSALS) == 0;
    if (jidoka->stopping || empty)
        event_active(jidoka->finish, EV_TIMEOUT, 0);
}

static void on_finish(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct jidoka *jidoka = ctx;
    bool owned = false;
    jidoka->stopping = true; /* what is left now is not claimed again */
    for (int64_t i = 0; i < jidoka->config->partitions; i++) {
        partition_leave(&jidoka->partitions[i]);
        owned |= jidoka->partitions[i].state != PARTITION_UNOWNED;
    }
    if (owned || jidoka->lease_pending)
        return;
    if (!jidoka->lease.leaving) {
        jidoka->lease.leaving = true;
        leases_heartbeat(jidoka);
        return;
    }
    void (*done)(void *ctx) = jidoka->drained;
    jidoka->drained = NULL;
    if (done)
        done(jidoka->drained_ctx);
}

/* --- the governor's environment ---------------------------------------------------------------------------------- */

static struct verdict decide(void *ctx, const struct governor_record *record, struct governor_now now)
{
    struct jidoka *jidoka = ctx;
    const struct signal *signal = jidoka->deciding;
    struct policy_signal view = {.id = signal->id,
                                 .type = signal->type,
                                 .source = signal->source,
                                 .time_ms = signal->time_ms,
                                 .critical = signal->severity == SEVERITY_CRITICAL};
    return policy_set_decide(jidoka->policies, &view, signal->data, record, now);
}

static void action_id(void *ctx, struct span action, char ret[UUID_TEXT + 1])
{
    /* UUID namespace of action ids; docs/receipts.md names it. */
    static const uint8_t namespace[16] = {0x5b, 0x0e, 0x6d, 0x0a, 0x41, 0xd3, 0x4b, 0x52,
                                          0x9a, 0x6e, 0x2c, 0x50, 0x7f, 0x11, 0x8e, 0x01};
    struct jidoka *jidoka = ctx;
    const struct signal *signal = jidoka->deciding;
    struct buf *name = &jidoka->scratch;
    buf_clear(name);
    buf_add_span(name, signal->tenant_id);
    buf_add_char(name, '\n');
    buf_add_span(name, signal->entitlement_id);
    buf_add_char(name, '\n');
    buf_add_span(name, signal->id);
    buf_addf(name, "\n%u\n", signal->redrive);
    buf_add_span(name, action);
    uuid5(jidoka->hasher, namespace, buf_span(name), ret);
}

static bool action_ready(void *ctx, struct span action, int64_t *ret_wait_ms)
{
    return runner_ready(((struct jidoka *)ctx)->runner, action, ret_wait_ms);
}

static void init_environment(struct jidoka *jidoka)
{
    const struct governor_config *config = &jidoka->config->governor;
    jidoka->env = (struct governor_env){.max_failures = (uint32_t)config->max_failures,
                                        .boot_timeout_ms = config->boot_timeout_ms,
                                        .breaker_reset_ms = config->breaker_reset_ms,
                                        .auto_activate = config->auto_activate,
                                        .quota_limit = config->quota_limit,
                                        .quota_period = (enum quota_period)config->quota_period,
                                        .decide = decide,
                                        .action_id = action_id,
                                        .ready = action_ready,
                                        .ctx = jidoka};
    for (size_t i = 0; i < jidoka->config->actions_count; i++) {
        int64_t budget = runner_budget_ms(&jidoka->config->actions[i]);
        if (budget > jidoka->env.action_timeout_ms)
            jidoka->env.action_timeout_ms = budget;
    }
}

static void init_metrics(struct jidoka *jidoka)
{
    struct metrics *m = jidoka->options.metrics;
    struct jidoka_metrics *out = &jidoka->metrics;
    struct metric *endings =
        metrics_register(m, &(struct metric_desc){.name = "tai_signals_ended_total",
                                                  .help = "Signals ended, by ending.",
                                                  .type = METRIC_COUNTER,
                                                  .labels = {{.name = "ending", .values = ending_names}}});
    for (int i = SIGNAL_EXECUTED; i < SIGNAL_STATUS_COUNT; i++)
        out->endings[i] = metric_counter(endings, (const char *const[]){signal_status_names[i]});
    out->taken = metrics_counter(m, "tai_jidoka_signals_taken_total", "Signals taken from the queue and committed.");
    out->duplicates = metrics_counter(m, "tai_jidoka_duplicates_total", "Signals whose identity was known.");
    out->moves = metrics_counter(m, "tai_governor_moves_total", "State moves of governors.");
    out->deferrals = metrics_counter(m, "tai_jidoka_deferrals_total",
                                     "Signals put off because what their action calls could not take them.");
    out->batches = metrics_counter(m, "tai_jidoka_batches_total", "Transactions committed.");
    out->commit_retries = metrics_counter(m, "tai_jidoka_commit_retries_total", "Commits tried again.");
    out->leases_lost = metrics_counter(m, "tai_jidoka_leases_lost_total", "Partition leases lost.");
    out->corruptions =
        metrics_counter(m, "tai_store_corruptions_total", "Reads that met damaged pages or rows which cannot be true.");
    out->swept =
        metrics_counter(m, "tai_jidoka_swept_rows_total", "Signal rows deleted at the end of their retention.");
    out->leases = metrics_gauge(m, "tai_jidoka_leases", "Partitions owned.");
    out->waiting = metrics_gauge(m, "tai_jidoka_waiting_signals", "Signals waiting behind their governor.");
    out->acting = metrics_gauge(m, "tai_jidoka_acting_signals", "Signals whose action is under way.");
    out->governors = metrics_gauge(m, "tai_jidoka_governors", "Governors in memory.");
    out->latency = metrics_histogram(m, "tai_signal_decision_seconds", "From acceptance to the decision.",
                                     metric_bounds_seconds, metric_bounds_seconds_count);
    triage_metrics_init(jidoka);
    out->batch_seconds = metrics_histogram(m, "tai_jidoka_batch_seconds", "From taking a batch to its commit.",
                                           metric_bounds_seconds, metric_bounds_seconds_count);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static int open_peers(struct jidoka *jidoka, struct error *err)
{
    const struct jidoka_options *options = &jidoka->options;
    struct kanban_options queue = {.backend = options->queue,
                                   .events = {.delivered = on_delivery, .ctx = jidoka},
                                   .partitions = (uint32_t)jidoka->config->partitions,
                                   .prefetch = (uint32_t)jidoka->config->prefetch,
                                   .max_depth = UINT64_MAX,
                                   .clock = options->clock,
                                   .metrics = options->metrics};
    struct runner_options runner = {.base = options->base,
                                    .types = options->actions,
                                    .actions = jidoka->config->actions,
                                    .action_count = jidoka->config->actions_count,
                                    .random = options->random,
                                    .ended = on_action_ended,
                                    .ctx = jidoka};
    int rc = policy_set_new(jidoka->config->policies, jidoka->config->policies_count, &jidoka->policies, err);
    rc = rc ? rc : runner_new(&runner, &jidoka->runner, err);
    rc = rc ? rc : store_open(options->store, &jidoka->store, err);
    return rc ? rc : kanban_open(&queue, &jidoka->kanban, err);
}

static void init_partitions(struct jidoka *jidoka)
{
    size_t count = (size_t)jidoka->config->partitions;
    jidoka->partitions = xcalloc(count, sizeof(*jidoka->partitions));
    for (size_t i = 0; i < count; i++) {
        struct partition *p = &jidoka->partitions[i];
        p->jidoka = jidoka;
        p->id = (uint32_t)i;
        p->next_due = p->row_due = p->quota_due = INT64_MAX;
        p->results_tail = &p->results;
        p->outcome_next = xcalloc((size_t)jidoka->config->shards, sizeof(*p->outcome_next));
        p->deliveries = xcalloc((size_t)jidoka->config->prefetch, sizeof(struct kanban_delivery *));
        p->retry = evtimer_new(jidoka->options.base, on_retry, p);
        p->ready = evtimer_new(jidoka->options.base, on_ready, p);
    }
}

static void start_events(struct jidoka *jidoka)
{
    struct event_base *base = jidoka->options.base;
    struct timeval second = {1, 0};
    jidoka->store_event = event_new(base, store_poll_fd(jidoka->store), EV_READ | EV_PERSIST, on_store, jidoka);
    jidoka->kanban_event = event_new(base, kanban_poll_fd(jidoka->kanban), EV_READ | EV_PERSIST, on_kanban, jidoka);
    jidoka->kanban_timer = evtimer_new(base, on_kanban, jidoka);
    jidoka->tick = event_new(base, -1, EV_PERSIST, on_tick, jidoka);
    jidoka->finish = evtimer_new(base, on_finish, jidoka);
    event_add(jidoka->store_event, NULL);
    event_add(jidoka->kanban_event, NULL);
    event_add(jidoka->tick, &second);
    arm_kanban(jidoka);
}

int jidoka_new(const struct jidoka_options *options, struct jidoka **ret, struct error *err)
{
    struct jidoka *jidoka = xcalloc(1, sizeof(*jidoka));
    jidoka->options = *options;
    jidoka->config = options->config;
    jidoka->hasher = hasher_new();
    json_init(&jidoka->doc);
    buf_init(&jidoka->scratch, 1 << 20);
    init_environment(jidoka);
    init_metrics(jidoka);
    init_partitions(jidoka);
    int rc = open_peers(jidoka, err);
    if (rc < 0) {
        jidoka_free(jidoka);
        return rc;
    }
    start_events(jidoka);
    commands_listen(jidoka);
    leases_init(jidoka);
    sweep_init(jidoka);
    leases_heartbeat(jidoka);
    *ret = jidoka;
    return 0;
}

void jidoka_drain(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx)
{
    struct timeval often = {0, 20000}; /* the queue's depth falls without telling */
    jidoka->drained = done;
    jidoka->drained_ctx = ctx;
    event_add(jidoka->tick, &often);
    jidoka_check_drained(jidoka);
}

void jidoka_stop(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx)
{
    jidoka->stopping = true;
    jidoka_drain(jidoka, done, ctx);
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

void jidoka_free(struct jidoka *jidoka)
{
    if (!jidoka)
        return;
    jidoka->drained = NULL;
    jidoka->stopping = true;
    triage_metrics_done(jidoka);
    store_close(jidoka->store); /* first: requests under way use what the partitions hold */
    for (int64_t i = 0; i < jidoka->config->partitions; i++) {
        struct partition *p = &jidoka->partitions[i];
        partition_drop(p);
        event_free(p->retry);
        event_free(p->ready);
        free(p->outcome_next);
        free(p->deliveries);
    }
    free(jidoka->partitions);
    free(jidoka->refusals.deliveries);
    free_event(jidoka->store_event);
    free_event(jidoka->kanban_event);
    free_event(jidoka->kanban_timer);
    free_event(jidoka->tick);
    free_event(jidoka->finish);
    kanban_close(jidoka->kanban);
    arena_done(&jidoka->lease.req.arena);
    arena_done(&jidoka->sweep.req.arena);
    free(jidoka->release);
    runner_free(jidoka->runner);
    policy_set_free(jidoka->policies);
    hasher_free(jidoka->hasher);
    json_done(&jidoka->doc);
    buf_done(&jidoka->scratch);
    free(jidoka);
}
