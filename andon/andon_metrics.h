/* The series of andon, made once; updated from its loop. */
#ifndef TAI_ANDON_ANDON_METRICS_H
#define TAI_ANDON_ANDON_METRICS_H

#include "andon/ledger/receipt.h"
#include "common/clock.h"
#include "kaizen/metrics.h"

struct shard_metrics {
    struct metric_gauge *size, *checkpoint_size, *checkpoint_timestamp;
    _Atomic int64_t oldest_ms; /* wall time of the oldest outcome known to have no receipt; 0: none */
};

struct andon_metrics {
    struct metrics *registry;
    const struct clock *clock;
    struct metric_counter *receipts[RECEIPT_TYPES];
    struct metric_counter *failures, *gaps, *refusals, *corruptions;
    struct metric_gauge *open;
    struct metric_histogram *append;
    struct shard_metrics *shards;
    uint32_t shard_count;
};

void andon_metrics_init(struct andon_metrics *metrics, struct metrics *registry, const struct clock *clock,
                        uint32_t shards);
void andon_metrics_done(struct andon_metrics *metrics);
void andon_metrics_receipts(struct andon_metrics *metrics, const struct receipt *receipts, size_t count);
int64_t andon_metrics_lag_ms(struct andon_metrics *metrics);

#endif
