/* Metrics: a registry of counters, gauges and histograms, and its exposition in both text formats.
 *
 * A registry is an object, shared by all threads of a process and freed last. Families and series are made under its
 * lock when a layer starts; what comes back are handles that live as long as the registry, updated from any thread
 * without a lock (relaxed atomics). Labels are fixed at registration and their known values start at 0. A misdeclared
 * metric (bad name, other labels under a known name) is a programming error and aborts.
 * Names: tai_<what>_<base unit>[_total]; no tenant, signal or other unbounded value as a label. */
#ifndef TAI_KAIZEN_METRICS_H
#define TAI_KAIZEN_METRICS_H

#include "common/buf.h"

#include <stdatomic.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum {
    METRIC_LABELS_MAX = 4,
    METRIC_SERIES_MAX = 1024, /* series of one family, those of known values included */
    METRIC_BUCKETS_MAX = 32,
};

struct metric_label {
    const char *name;
    const char *const *values; /* ended by NULL; NULL itself: values are met later, within the family's cap */
};

/* Borrowed only during metrics_register. */
struct metric_desc {
    const char *name; /* counters end in _total */
    const char *help; /* one sentence */
    enum metric_type type;
    struct metric_label labels[METRIC_LABELS_MAX]; /* used ones first, in this order */
    const double *bounds;                          /* histograms: upper bounds, ascending, without +Inf */
    size_t bounds_count;
};

struct metric_counter {
    _Atomic uint64_t value;
};

struct metric_gauge {
    _Atomic int64_t value;
};

struct metric_histogram {
    const double *bounds;
    size_t bounds_count;
    _Atomic uint64_t sum_bits;  /* the double's bits */
    _Atomic uint64_t buckets[]; /* bounds_count + 1, not cumulative */
};

struct metrics;
struct metric; /* one family */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* The family of desc->name, made with the product of all known label values at 0 if it is new. */
struct metric *metrics_register(struct metrics *metrics, const struct metric_desc *desc);

/* The series with these label values (in the declared order, NULL for a family without labels). A value outside a
 * closed list, or a new series beyond METRIC_SERIES_MAX, gives the series labelled "other". Look up once, keep the
 * handle. */
struct metric_counter *metric_counter(struct metric *family, const char *const *values);
struct metric_gauge *metric_gauge(struct metric *family, const char *const *values);
struct metric_histogram *metric_histogram(struct metric *family, const char *const *values);

/* Register and look up in one, for families without labels. */
struct metric_counter *metrics_counter(struct metrics *metrics, const char *name, const char *help);
struct metric_gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help);
struct metric_histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                           const double *bounds, size_t bounds_count);

/* A counter's or gauge's value asked for at exposition, on the exposing thread and under the registry's lock: it must
 * be safe there and must not call the registry. false leaves the series out. Setting it again replaces it. */
typedef bool (*metric_sample_fn)(void *ctx, double *ret_value);
void metric_sample(struct metric *family, const char *const *values, metric_sample_fn sample, void *ctx);
/* Forgets every sample function with this ctx (its owner is going away); their series are left out from then on. */
void metrics_unsample(struct metrics *metrics, const void *ctx);

/* Seconds: 5 ms … 10 s, the bounds of http.server.request.duration. */
extern const double metric_bounds_seconds[];
extern const size_t metric_bounds_seconds_count;

/* process_cpu_seconds_total, process_resident_memory_bytes, … of this process, from /proc/self. */
void metrics_add_process(struct metrics *metrics);
/* tai_build_info{version,revision} 1 */
void metrics_add_build_info(struct metrics *metrics, const char *version, const char *revision);

enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };
/* By the Accept header (ptr NULL: none), q-values honoured; what accepts neither gets METRICS_TEXT. */
enum metrics_format metrics_negotiate(struct span accept);
const char *metrics_content_type(enum metrics_format format);
/* Families in the order of their names. */
void metrics_write(struct metrics *metrics, enum metrics_format format, struct buf *out);

static inline void metric_add(struct metric_counter *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

static inline void metric_inc(struct metric_counter *counter)
{
    metric_add(counter, 1);
}

static inline void metric_set(struct metric_gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
}

static inline void metric_move(struct metric_gauge *gauge, int64_t by)
{
    atomic_fetch_add_explicit(&gauge->value, by, memory_order_relaxed);
}

/* count observations of the same value. */
void metric_observe_n(struct metric_histogram *histogram, double value, uint64_t count);

static inline void metric_observe(struct metric_histogram *histogram, double value)
{
    metric_observe_n(histogram, value, 1);
}

#endif
