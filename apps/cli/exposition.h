/* Reading the Prometheus text of /metrics: sums of series, and histograms as what was added between two readings. */
#ifndef TAI_APPS_CLI_EXPOSITION_H
#define TAI_APPS_CLI_EXPOSITION_H

#include "common/span.h"

/* The sum of all series of a name whose labels contain `label` (as written, "result=\"accepted\""; NULL: all). 0 if
 * there are none. */
double exposition_sum(struct span text, const char *name, const char *label);

enum { EXPOSITION_BUCKETS = 64 };
struct exposition_histogram {
    size_t count;
    double bounds[EXPOSITION_BUCKETS]; /* upper, the last one infinite */
    double values[EXPOSITION_BUCKETS]; /* cumulative */
};
/* name without "_bucket"; count 0 if there is none. Series of several label sets are added up. */
void exposition_histogram(struct span text, const char *name, const char *label, struct exposition_histogram *ret);
/* The quantile (0..1) of what came between the two, by linear interpolation; -1 if nothing came. */
double exposition_quantile(const struct exposition_histogram *before, const struct exposition_histogram *after,
                           double quantile);

#endif
