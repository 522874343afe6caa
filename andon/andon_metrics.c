/* Registration of andon's series. The lag is computed when it is asked for, so that it grows while nothing moves. */
#include "andon/andon_metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const double append_bounds[] = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5};

int64_t andon_metrics_lag_ms(struct andon_metrics *metrics)
{
    int64_t now = clock_wall_ms(metrics->clock), lag = 0;
    for (uint32_t i = 0; i < metrics->shard_count; i++) {
        int64_t oldest = atomic_load_explicit(&metrics->shards[i].oldest_ms, memory_order_relaxed);
        if (oldest && now - oldest > lag)
            lag = now - oldest;
    }
    return lag;
}

static bool sample_lag(void *ctx, double *ret_value)
{
    *ret_value = (double)andon_metrics_lag_ms(ctx) / 1000;
    return true;
}

static struct metric *of_shards(struct metrics *registry, const char *name, const char *help)
{
    const struct metric_desc desc = {.name = name, .help = help, .type = METRIC_GAUGE, .labels = {{"shard", NULL}}};
    return metrics_register(registry, &desc);
}

static void add_shards(struct andon_metrics *metrics, uint32_t shards)
{
    struct metric *size = of_shards(metrics->registry, "tai_ledger_size", "Receipts in the log of a shard.");
    struct metric *signed_size =
        of_shards(metrics->registry, "tai_ledger_checkpoint_size", "Receipts under the last checkpoint of a shard.");
    struct metric *timestamp = of_shards(metrics->registry, "tai_ledger_checkpoint_timestamp_seconds",
                                         "When the last checkpoint of a shard was signed.");
    metrics->shard_count = shards;
    metrics->shards = xcalloc(shards, sizeof(*metrics->shards));
    for (uint32_t i = 0; i < shards; i++) {
        char text[11];
        snprintf(text, sizeof(text), "%" PRIu32, i);
        const char *values[] = {text};
        metrics->shards[i].size = metric_gauge(size, values);
        metrics->shards[i].checkpoint_size = metric_gauge(signed_size, values);
        metrics->shards[i].checkpoint_timestamp = metric_gauge(timestamp, values);
    }
}

void andon_metrics_init(struct andon_metrics *metrics, struct metrics *registry, const struct clock *clock,
                        uint32_t shards)
{
    *metrics = (struct andon_metrics){.registry = registry, .clock = clock};
    const struct metric_desc receipts = {.name = "tai_andon_receipts_total",
                                         .help = "Receipts appended to the ledger.",
                                         .type = METRIC_COUNTER,
                                         .labels = {{"type", receipt_types}}};
    struct metric *family = metrics_register(registry, &receipts);
    for (size_t i = 0; i < RECEIPT_TYPES; i++)
        metrics->receipts[i] = metric_counter(family, &receipt_types[i]);
    metrics->failures = metrics_counter(registry, "tai_andon_store_failures_total",
                                        "Reads and appends of the ledger that failed and are tried again.");
    metrics->gaps = metrics_counter(registry, "tai_andon_outcome_gaps_total",
                                    "Outcome numbers that were skipped: each may be a receipt that is missing.");
    metrics->refusals = metrics_counter(registry, "tai_ledger_checkpoint_refusals_total",
                                        "Trees the signer refused because they do not extend what it signed.");
    metrics->corruptions = metrics_counter(registry, "tai_store_corruptions_total",
                                           "Reads that met damaged pages or rows which cannot be true.");
    metrics->open = metrics_gauge(registry, "tai_andon_outcomes_open", "Outcomes that have no receipt yet.");
    metrics->append = metrics_histogram(registry, "tai_andon_append_duration_seconds",
                                        "From handing a batch of receipts to the store to its commit.", append_bounds,
                                        sizeof(append_bounds) / sizeof(append_bounds[0]));
    add_shards(metrics, shards);
    const struct metric_desc lag = {.name = "tai_andon_lag_seconds",
                                    .help = "Age of the oldest outcome that was read and has no receipt yet.",
                                    .type = METRIC_GAUGE};
    metric_sample(metrics_register(registry, &lag), NULL, sample_lag, metrics);
}

void andon_metrics_done(struct andon_metrics *metrics)
{
    if (metrics->registry)
        metrics_unsample(metrics->registry, metrics);
    free(metrics->shards);
    *metrics = (struct andon_metrics){0};
}

void andon_metrics_receipts(struct andon_metrics *metrics, const struct receipt *receipts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t type = 0; type < RECEIPT_TYPES; type++)
            if (span_is(receipts[i].type, receipt_types[type])) {
                metric_inc(metrics->receipts[type]);
                break;
            }
}
