/* The registry: families, their series, and the handles into them. Owned by whoever called metrics_new; handles and
 * families live until metrics_free. The lock is taken when series are made or looked up, never by an update. Declaring
 * a metric wrongly aborts: no input can cause it. Runs in every process, called from any thread. */
#include "kaizen/registry.h"

#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const other = "other";

const double metric_bounds_seconds[] = {.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10};
const size_t metric_bounds_seconds_count = sizeof(metric_bounds_seconds) / sizeof(metric_bounds_seconds[0]);

static _Noreturn void misdeclared(const char *name, const char *what)
{
    fprintf(stderr, "metric %s: %s\n", name, what);
    abort();
}

struct metrics *metrics_new(void)
{
    struct metrics *metrics = xcalloc(1, sizeof(*metrics));
    pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

static void family_free(struct metric *family)
{
    for (struct series *s = family->first, *next; s; s = next) {
        next = s->next;
        free(s->labels);
        free(s->histogram);
        free(s);
    }
    for (size_t i = 0; i < family->labels_count; i++) {
        for (char **value = family->labels[i].values; value && *value; value++)
            free(*value);
        free((void *)family->labels[i].values);
        free(family->labels[i].name);
    }
    free(family->name);
    free(family->help);
    free(family->bounds);
    free(family);
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->count; i++)
        family_free(metrics->families[i]);
    free((void *)metrics->families);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static void add_label_value(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            buf_add_str(out, "\\n");
        else if (*value == '\\' || *value == '"')
            buf_addf(out, "\\%c", *value);
        else
            buf_add_char(out, *value);
    }
}

static char *render_labels(const struct metric *family, const char *const *values)
{
    struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < family->labels_count; i++) {
        buf_addf(&out, "%s%s=\"", i ? "," : "", family->labels[i].name);
        add_label_value(&out, values[i]);
        buf_add_char(&out, '"');
    }
    if (out.failed)
        misdeclared(family->name, "label values beyond 4 KiB");
    return buf_take(&out);
}

static struct series *find_series(const struct metric *family, const char *labels)
{
    for (struct series *s = family->first; s; s = s->next) {
        if (strcmp(s->labels, labels) == 0)
            return s;
    }
    return NULL;
}

static struct series *add_series(struct metric *family, char *take_labels)
{
    struct series *s = xcalloc(1, sizeof(*s));
    s->labels = take_labels;
    if (family->type == METRIC_HISTOGRAM) {
        s->histogram = xcalloc(1, sizeof(*s->histogram) + (family->bounds_count + 1) * sizeof(_Atomic uint64_t));
        s->histogram->bounds = family->bounds;
        s->histogram->bounds_count = family->bounds_count;
    }
    if (family->last)
        family->last->next = s;
    else
        family->first = s;
    family->last = s;
    family->series_count++;
    return s;
}

static bool knows_value(const struct family_label *label, const char *value)
{
    for (char **known = label->values; *known; known++) {
        if (strcmp(*known, value) == 0)
            return true;
    }
    return false;
}

/* The caller holds the lock. */
static struct series *get_series(struct metric *family, const char *const *values)
{
    const char *effective[METRIC_LABELS_MAX];
    for (size_t i = 0; i < family->labels_count; i++) {
        const struct family_label *label = &family->labels[i];
        effective[i] = label->values && !knows_value(label, values[i]) ? other : values[i];
    }
    char *labels = render_labels(family, effective);
    struct series *s = find_series(family, labels);
    if (!s && family->series_count >= METRIC_SERIES_MAX) {
        for (size_t i = 0; i < family->labels_count; i++)
            effective[i] = family->labels[i].values ? effective[i] : other;
        free(labels);
        labels = render_labels(family, effective);
        s = find_series(family, labels);
    }
    if (!s)
        return add_series(family, labels);
    free(labels);
    return s;
}

static struct series *lookup(struct metric *family, enum metric_type type, const char *const *values)
{
    if (family->type != type)
        misdeclared(family->name, "asked for as another type");
    pthread_mutex_lock(&family->owner->lock);
    struct series *s = get_series(family, values);
    pthread_mutex_unlock(&family->owner->lock);
    return s;
}

struct metric_counter *metric_counter(struct metric *family, const char *const *values)
{
    return &lookup(family, METRIC_COUNTER, values)->counter;
}

struct metric_gauge *metric_gauge(struct metric *family, const char *const *values)
{
    return &lookup(family, METRIC_GAUGE, values)->gauge;
}

struct metric_histogram *metric_histogram(struct metric *family, const char *const *values)
{
    return lookup(family, METRIC_HISTOGRAM, values)->histogram;
}

static bool valid_name(const char *name, bool colon)
{
    if (!*name || (*name >= '0' && *name <= '9'))
        return false;
    for (; *name; name++) {
        bool letter = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
        bool digit = *name >= '0' && *name <= '9';
        if (!letter && !digit && *name != '_' && !(colon && *name == ':'))
            return false;
    }
    return true;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text);
    size_t tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

static void check_labels(const struct metric_desc *desc)
{
    size_t product = 1;
    for (size_t i = 0; i < METRIC_LABELS_MAX && desc->labels[i].name; i++) {
        const char *label = desc->labels[i].name;
        if (!valid_name(label, false) || strncmp(label, "__", 2) == 0 || strcmp(label, "le") == 0)
            misdeclared(desc->name, "bad label name");
        size_t known = 0;
        while (desc->labels[i].values && desc->labels[i].values[known])
            known++;
        product *= known ? known : 1;
        if (product > METRIC_SERIES_MAX)
            misdeclared(desc->name, "too many known series");
    }
}

static void check_desc(const struct metric_desc *desc)
{
    if (!valid_name(desc->name, true))
        misdeclared(desc->name, "bad name");
    if (ends_with(desc->name, "_total") != (desc->type == METRIC_COUNTER))
        misdeclared(desc->name, "counters, and only they, end in _total");
    if (!desc->help || !*desc->help)
        misdeclared(desc->name, "no help");
    check_labels(desc);
    if ((desc->bounds_count > 0) != (desc->type == METRIC_HISTOGRAM) || desc->bounds_count > METRIC_BUCKETS_MAX)
        misdeclared(desc->name, "bad number of bounds");
    for (size_t i = 0; i < desc->bounds_count; i++) {
        if (!isfinite(desc->bounds[i]) || (i > 0 && desc->bounds[i] <= desc->bounds[i - 1]))
            misdeclared(desc->name, "bounds do not ascend");
    }
}

static char **copy_values(const char *const *values)
{
    size_t count = 0;
    while (values[count])
        count++;
    char **copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(values[i]);
    return copy;
}

/* Every combination of known values from label i on; an open label has none yet. */
static void add_known_series(struct metric *family, size_t i, const char **values)
{
    if (i == family->labels_count) {
        (void)get_series(family, values);
        return;
    }
    for (char **value = family->labels[i].values; value && *value; value++) {
        values[i] = *value;
        add_known_series(family, i + 1, values);
    }
}

static struct metric *family_new(struct metrics *owner, const struct metric_desc *desc)
{
    struct metric *family = xcalloc(1, sizeof(*family));
    family->owner = owner;
    family->name = xstrdup(desc->name);
    family->help = xstrdup(desc->help);
    family->type = desc->type;
    for (size_t i = 0; i < METRIC_LABELS_MAX && desc->labels[i].name; i++) {
        family->labels[i].name = xstrdup(desc->labels[i].name);
        family->labels[i].values = desc->labels[i].values ? copy_values(desc->labels[i].values) : NULL;
        family->labels_count++;
    }
    if (desc->bounds_count > 0) {
        family->bounds = xcalloc(desc->bounds_count, sizeof(*family->bounds));
        memcpy(family->bounds, desc->bounds, desc->bounds_count * sizeof(*family->bounds));
        family->bounds_count = desc->bounds_count;
    }
    const char *values[METRIC_LABELS_MAX];
    add_known_series(family, 0, values);
    return family;
}

static bool same_declaration(const struct metric *family, const struct metric_desc *desc)
{
    size_t labels = 0;
    for (; labels < METRIC_LABELS_MAX && desc->labels[labels].name; labels++) {
        if (labels >= family->labels_count || strcmp(family->labels[labels].name, desc->labels[labels].name) != 0)
            return false;
    }
    return labels == family->labels_count && family->type == desc->type && family->bounds_count == desc->bounds_count;
}

struct metric *metrics_register(struct metrics *metrics, const struct metric_desc *desc)
{
    check_desc(desc);
    pthread_mutex_lock(&metrics->lock);
    size_t at = 0;
    while (at < metrics->count && strcmp(metrics->families[at]->name, desc->name) < 0)
        at++;
    struct metric *family = at < metrics->count ? metrics->families[at] : NULL;
    if (family && strcmp(family->name, desc->name) == 0) {
        if (!same_declaration(family, desc))
            misdeclared(desc->name, "registered before, and otherwise");
    } else {
        family = family_new(metrics, desc);
        mem_grow((void *)&metrics->families, &metrics->cap, metrics->count + 1, sizeof(struct metric *));
        memmove((void *)&metrics->families[at + 1], (void *)&metrics->families[at],
                (metrics->count - at) * sizeof(struct metric *));
        metrics->families[at] = family;
        metrics->count++;
    }
    pthread_mutex_unlock(&metrics->lock);
    return family;
}

struct metric_counter *metrics_counter(struct metrics *metrics, const char *name, const char *help)
{
    const struct metric_desc desc = {.name = name, .help = help, .type = METRIC_COUNTER};
    return metric_counter(metrics_register(metrics, &desc), NULL);
}

struct metric_gauge *metrics_gauge(struct metrics *metrics, const char *name, const char *help)
{
    const struct metric_desc desc = {.name = name, .help = help, .type = METRIC_GAUGE};
    return metric_gauge(metrics_register(metrics, &desc), NULL);
}

struct metric_histogram *metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                                           const double *bounds, size_t bounds_count)
{
    const struct metric_desc desc = {
        .name = name, .help = help, .type = METRIC_HISTOGRAM, .bounds = bounds, .bounds_count = bounds_count};
    return metric_histogram(metrics_register(metrics, &desc), NULL);
}

void metric_sample(struct metric *family, const char *const *values, metric_sample_fn sample, void *ctx)
{
    if (family->type == METRIC_HISTOGRAM)
        misdeclared(family->name, "a histogram cannot be sampled");
    pthread_mutex_lock(&family->owner->lock);
    struct series *s = get_series(family, values);
    s->sampled = true;
    s->sample = sample;
    s->ctx = ctx;
    pthread_mutex_unlock(&family->owner->lock);
}

void metrics_unsample(struct metrics *metrics, const void *ctx)
{
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->count; i++) {
        for (struct series *s = metrics->families[i]->first; s; s = s->next) {
            if (s->sampled && s->ctx == ctx)
                s->sample = NULL;
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

static void add_double(_Atomic uint64_t *bits, double amount)
{
    uint64_t before = atomic_load_explicit(bits, memory_order_relaxed);
    uint64_t after;
    do {
        double value;
        memcpy(&value, &before, sizeof(value));
        value += amount;
        memcpy(&after, &value, sizeof(after));
    } while (!atomic_compare_exchange_weak_explicit(bits, &before, after, memory_order_relaxed, memory_order_relaxed));
}

void metric_observe_n(struct metric_histogram *histogram, double value, uint64_t count)
{
    if (isnan(value))
        return; /* it would make the sum NaN for ever */
    size_t i = 0;
    while (i < histogram->bounds_count && value > histogram->bounds[i])
        i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], count, memory_order_relaxed);
    add_double(&histogram->sum_bits, value * (double)count);
}
