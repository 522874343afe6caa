/* What the owner of partitions tells about triage and conservation: open dead letters, the back-pressure when there are
 * too many and the forecast of it, frames that never came, whether the counters add up. Counts move with commits; what
 * only the store knows comes with heartbeats. */
#include "jidoka/worker.h"

enum { SMOOTH_S = 60 };

static bool sample_forecast(void *ctx, double *ret_value)
{
    const struct forecast *forecast = ctx;
    int64_t in_ms = atomic_load_explicit(&forecast->in_ms, memory_order_relaxed);
    *ret_value = (double)in_ms / 1e3;
    return in_ms >= 0;
}

static void register_families(struct jidoka *jidoka)
{
    struct metrics *m = jidoka->options.metrics;
    struct metric *open =
        metrics_register(m, &(struct metric_desc){.name = "tai_deadletters_open",
                                                  .help = "Open dead letters, by class.",
                                                  .type = METRIC_GAUGE,
                                                  .labels = {{.name = "class", .values = deadletter_class_names}}});
    for (int i = 0; i < CLASS_COUNT; i++)
        jidoka->metrics.deadletters[i] = metric_gauge(open, &deadletter_class_names[i]);
    struct metric *commands =
        metrics_register(m, &(struct metric_desc){.name = "tai_commands_total",
                                                  .help = "Operators' commands that ended, by status.",
                                                  .type = METRIC_COUNTER,
                                                  .labels = {{.name = "status", .values = &command_status_names[1]}}});
    for (int i = COMMAND_APPLIED; i < COMMAND_STATUS_COUNT; i++)
        jidoka->metrics.commands[i] = metric_counter(commands, &command_status_names[i]);
}

void triage_metrics_init(struct jidoka *jidoka)
{
    struct metrics *m = jidoka->options.metrics;
    struct jidoka_metrics *out = &jidoka->metrics;
    atomic_store(&jidoka->forecast.in_ms, -1);
    register_families(jidoka);
    out->deadletters_full = metrics_gauge(m, "tai_deadletters_full",
                                          "1 while no frames are taken because deadletters.max dead letters are open.");
    struct metric *seconds = metrics_register(
        m, &(struct metric_desc){.name = "tai_deadletters_predicted_full_seconds",
                                 .help = "When deadletters.max will be reached at the present rate; absent if their "
                                         "number does not grow.",
                                 .type = METRIC_GAUGE});
    metric_sample(seconds, NULL, sample_forecast, &jidoka->forecast);
    out->missing = metrics_gauge(m, "tai_conservation_gap_signals",
                                 "Accepted frames that never came, each at least one signal that was lost.");
    out->balance = metrics_gauge(m, "tai_conservation_balance",
                                 "Signals taken and requeued less those ended, waiting, acting and duplicates: 0.");
}

void triage_metrics_done(struct jidoka *jidoka)
{
    metrics_unsample(jidoka->options.metrics, &jidoka->forecast);
}

/* --- back-pressure ------------------------------------------------------------------------------------------------ */

bool triage_full(const struct jidoka *jidoka)
{
    int64_t max = jidoka->config->deadletters_max;
    return max > 0 && jidoka->forecast.open >= (uint64_t)max;
}

static void tell_full(struct jidoka *jidoka)
{
    bool full = triage_full(jidoka);
    if (full == jidoka->forecast.full)
        return;
    jidoka->forecast.full = full;
    metric_set(jidoka->metrics.deadletters_full, full);
    log_event(jidoka->options.log, full ? LOG_ERROR : LOG_INFO, full ? "deadletters_full" : "deadletters_have_room",
              LOG_I("open", (int64_t)jidoka->forecast.open), LOG_I("max", jidoka->config->deadletters_max));
    for (int64_t i = 0; !full && i < jidoka->config->partitions; i++)
        event_active(jidoka->partitions[i].ready, EV_TIMEOUT, 0);
}

static void tell_forecast(struct jidoka *jidoka)
{
    const struct forecast *forecast = &jidoka->forecast;
    int64_t in_ms = -1;
    if (triage_full(jidoka))
        in_ms = 0;
    else if (forecast->rate > 1e-6)
        in_ms = (int64_t)((double)((uint64_t)jidoka->config->deadletters_max - forecast->open) / forecast->rate * 1e3);
    atomic_store_explicit(&jidoka->forecast.in_ms, in_ms, memory_order_relaxed);
}

static void look_ahead(struct jidoka *jidoka, uint64_t open)
{
    struct forecast *forecast = &jidoka->forecast;
    int64_t now_us = jidoka_mono_us(jidoka);
    double seconds = (double)(now_us - forecast->seen_us) / 1e6;
    if (forecast->seen_us && seconds > 0) {
        double weight = seconds / (seconds + SMOOTH_S);
        forecast->rate += weight * (((double)open - (double)forecast->seen) / seconds - forecast->rate);
    }
    forecast->open = forecast->seen = open;
    forecast->seen_us = now_us;
    tell_forecast(jidoka);
}

/* --- what moves it ------------------------------------------------------------------------------------------------ */

static void tell_conservation(struct jidoka *jidoka, int64_t missing, int64_t balance)
{
    struct conservation *told = &jidoka->conservation;
    metric_set(jidoka->metrics.missing, missing);
    metric_set(jidoka->metrics.balance, balance);
    if (missing != told->missing || balance != told->balance)
        log_event(jidoka->options.log, missing || balance ? LOG_ERROR : LOG_INFO,
                  missing || balance ? "conservation_broken" : "conservation_holds", LOG_I("gap", missing),
                  LOG_I("balance", balance));
    *told = (struct conservation){missing, balance};
}

void triage_leases(struct jidoka *jidoka, const struct store_lease *lease)
{
    uint64_t missing = 0, in = 0, out = 0;
    for (uint32_t i = 0; i < lease->lease_count; i++) {
        const struct lease *held = &lease->leases[i];
        jidoka->partitions[held->partition].commands |= held->commands; /* the wake may have been missed */
        missing += held->missing;
        in += held->taken + held->requeued;
        out += held->ended + held->duplicates + held->waiting + held->acting;
    }
    tell_conservation(jidoka, (int64_t)missing, (int64_t)(in - out));
    look_ahead(jidoka, jidoka->forecast.moved ? jidoka->forecast.open : lease->deadletters);
    tell_full(jidoka);
}

void triage_claimed(struct partition *p, const struct lease *lease)
{
    for (int i = 0; i < CLASS_COUNT; i++) {
        p->deadletters[i] = lease->deadletters[i];
        metric_move(p->jidoka->metrics.deadletters[i], (int64_t)p->deadletters[i]);
    }
}

void triage_dropped(struct partition *p)
{
    for (int i = 0; i < CLASS_COUNT; i++) {
        metric_move(p->jidoka->metrics.deadletters[i], -(int64_t)p->deadletters[i]);
        p->deadletters[i] = 0;
    }
}

void triage_committed(const struct batch *batch)
{
    struct jidoka *jidoka = batch->partition->jidoka;
    bool changed = false;
    for (size_t i = 0; i < batch->commit.command_count; i++)
        metric_inc(jidoka->metrics.commands[batch->commit.commands[i].status]);
    for (int i = 0; i < CLASS_COUNT; i++) {
        if (!batch->deadletters[i])
            continue;
        batch->partition->deadletters[i] += (uint64_t)batch->deadletters[i];
        metric_move(jidoka->metrics.deadletters[i], batch->deadletters[i]);
        jidoka->forecast.open += (uint64_t)batch->deadletters[i];
        changed = true;
    }
    if (!changed)
        return;
    jidoka->forecast.moved = true;
    tell_forecast(jidoka);
    tell_full(jidoka);
}
