/* Times in microseconds, counted in buckets no wider than 1/64 of their value. */
#ifndef TAI_BENCH_HISTOGRAM_H
#define TAI_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    int64_t max;
};

void histogram_add(struct histogram *histogram, int64_t us);
/* The upper bound of the bucket that holds the share (0..1) of all; 0 when empty. */
int64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
