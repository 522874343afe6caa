/* Linear buckets below 64 µs, then 64 to each power of two. One thread. */
#include "bench/histogram.h"

static unsigned bucket_of(uint64_t us)
{
    if (us >> HISTOGRAM_SUB_BITS == 0)
        return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)(us >> shift) - (1 << HISTOGRAM_SUB_BITS);
}

static int64_t upper_bound(unsigned bucket)
{
    unsigned row = bucket >> HISTOGRAM_SUB_BITS, column = bucket & ((1 << HISTOGRAM_SUB_BITS) - 1);
    if (row == 0)
        return column;
    return (int64_t)((((uint64_t)column + (1 << HISTOGRAM_SUB_BITS) + 1) << (row - 1)) - 1);
}

void histogram_add(struct histogram *histogram, int64_t us)
{
    if (us < 0)
        us = 0;
    histogram->buckets[bucket_of((uint64_t)us)]++;
    histogram->count++;
    if (us > histogram->max)
        histogram->max = us;
}

int64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count; i++) {
        seen += histogram->buckets[i];
        if (seen > wanted || seen == histogram->count) {
            int64_t bound = upper_bound(i);
            return bound < histogram->max ? bound : histogram->max;
        }
    }
    return histogram->max;
}
