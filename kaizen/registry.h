/* The inside of a registry, shared by the files of kaizen/ only. */
#ifndef TAI_KAIZEN_REGISTRY_H
#define TAI_KAIZEN_REGISTRY_H

#include "kaizen/metrics.h"

#include <pthread.h>

struct series {
    struct series *next;
    char *labels; /* rendered: a="x",b="y"; "" without labels */
    bool sampled; /* the value comes from sample, and there is none while that is NULL */
    metric_sample_fn sample;
    void *ctx;
    struct metric_counter counter;
    struct metric_gauge gauge;
    struct metric_histogram *histogram; /* histograms only */
};

struct family_label {
    char *name;
    char **values; /* ended by NULL; NULL: open */
};

struct metric {
    struct metrics *owner;
    char *name;
    char *help;
    enum metric_type type;
    struct family_label labels[METRIC_LABELS_MAX];
    size_t labels_count;
    double *bounds;
    size_t bounds_count;
    struct series *first; /* in the order they were made */
    struct series *last;
    size_t series_count;
};

struct metrics {
    pthread_mutex_t lock;     /* families, their series lists and sample functions; never the values */
    struct metric **families; /* by name */
    size_t count;
    size_t cap;
};

#endif
