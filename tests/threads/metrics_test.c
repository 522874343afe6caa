/* Updates from many threads beside registration and exposition: no data race, nothing lost. */
#include "kaizen/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, ROUNDS = 20000, EXPOSITIONS = 50 };

static const double bounds[] = {0.5, 1};

struct work {
    struct metrics *metrics;
    struct metric_counter *counter;
    struct metric_histogram *histogram;
    int number;
};

static struct metric *taken(struct metrics *metrics)
{
    const struct metric_desc desc = {"tai_taken_total", "Taken.", METRIC_COUNTER, {{"partition", NULL}}};
    return metrics_register(metrics, &desc);
}

static void *update(void *arg)
{
    const struct work *work = arg;
    char partition[16];
    snprintf(partition, sizeof(partition), "%d", work->number);
    struct metric_counter *own = metric_counter(taken(work->metrics), (const char *[]){partition});
    struct metric_gauge *gauge = metrics_gauge(work->metrics, "tai_depth", "Depth.");
    for (int i = 0; i < ROUNDS; i++) {
        metric_inc(work->counter);
        metric_inc(own);
        metric_move(gauge, i % 2 ? -1 : 1);
        metric_observe(work->histogram, 0.25);
    }
    return NULL;
}

static bool sample_one(void *ctx, double *ret_value)
{
    (void)ctx;
    *ret_value = 1;
    return true;
}

static void *sample(void *arg)
{
    struct work *work = arg;
    const struct metric_desc desc = {"tai_sampled", "Sampled.", METRIC_GAUGE};
    for (int i = 0; i < EXPOSITIONS; i++) {
        metric_sample(metrics_register(work->metrics, &desc), NULL, sample_one, work);
        metrics_unsample(work->metrics, work);
    }
    return NULL;
}

static bool expect(struct metrics *metrics, const char *line)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(metrics, METRICS_TEXT, &out);
    bool found = strstr(buf_cstr(&out), line) != NULL;
    if (!found)
        fprintf(stderr, "missing: %s\nin:\n%s", line, buf_cstr(&out));
    buf_done(&out);
    return found;
}

int main(void)
{
    struct metrics *metrics = metrics_new();
    struct work work[THREADS + 1];
    pthread_t threads[THREADS + 1];
    struct metric_counter *counter = metrics_counter(metrics, "tai_all_total", "All.");
    struct metric_histogram *histogram = metrics_histogram(metrics, "tai_wait_seconds", "Wait.", bounds, 2);
    for (int i = 0; i <= THREADS; i++) {
        work[i] = (struct work){metrics, counter, histogram, i};
        if (pthread_create(&threads[i], NULL, i < THREADS ? update : sample, &work[i]) != 0)
            return 1;
    }
    for (int i = 0; i < EXPOSITIONS; i++) {
        struct buf out;
        buf_init(&out, 1 << 20);
        metrics_write(metrics, i % 2 ? METRICS_TEXT : METRICS_OPENMETRICS, &out);
        buf_done(&out);
    }
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    bool good = expect(metrics, "\ntai_all_total 80000\n") &&
                expect(metrics, "tai_taken_total{partition=\"3\"} 20000\n") && expect(metrics, "\ntai_depth 0\n") &&
                expect(metrics, "{le=\"+Inf\"} 80000\n") && expect(metrics, "_sum 20000\n");
    metrics_free(metrics);
    return good ? 0 : 1;
}
