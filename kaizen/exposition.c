/* The two text formats of a registry: Prometheus text 0.0.4 and OpenMetrics 1.0.0. Values are read relaxed, one by one;
 * a histogram's count is the sum of the buckets just read, so it is always consistent with them. Takes the registry's
 * lock for the length of one exposition. Output beyond the buffer's cap leaves the buffer failed. */
#include "kaizen/registry.h"

#include "common/json/json.h"

#include <math.h>

static const char *const type_names[] = {
    [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                         : "text/plain; version=0.0.4; charset=utf-8";
}

static void add_number(struct buf *out, double value)
{
    if (isnan(value))
        buf_add_str(out, "NaN");
    else if (isinf(value))
        buf_add_str(out, value > 0 ? "+Inf" : "-Inf");
    else
        json_add_double(out, value);
}

/* OpenMetrics wants `le` as a float in canonical form: 1.0, not 1. */
static void add_bound(struct buf *out, double value, enum metrics_format format)
{
    size_t start = out->len;
    add_number(out, value);
    if (format == METRICS_OPENMETRICS && !out->failed && !memchr(out->data + start, '.', out->len - start) &&
        !memchr(out->data + start, 'e', out->len - start))
        buf_add_str(out, ".0");
}

static void write_header(const struct metric *family, enum metrics_format format, struct buf *out)
{
    struct span name = span_of(family->name);
    if (format == METRICS_OPENMETRICS && family->type == METRIC_COUNTER)
        name.len -= strlen("_total");
    buf_add_str(out, "# HELP ");
    buf_add_span(out, name);
    buf_add_char(out, ' ');
    for (const char *c = family->help; *c; c++) {
        if (*c == '\n')
            buf_add_str(out, "\\n");
        else if (*c == '\\' || (*c == '"' && format == METRICS_OPENMETRICS))
            buf_addf(out, "\\%c", *c);
        else
            buf_add_char(out, *c);
    }
    buf_add_str(out, "\n# TYPE ");
    buf_add_span(out, name);
    buf_addf(out, " %s\n", type_names[family->type]);
}

static void write_name(const struct metric *family, const struct series *s, struct buf *out)
{
    buf_add_str(out, family->name);
    if (s->labels[0])
        buf_addf(out, "{%s}", s->labels);
    buf_add_char(out, ' ');
}

static void write_value(const struct metric *family, const struct series *s, struct buf *out)
{
    double sampled;
    if (s->sampled) {
        if (!s->sample || !s->sample(s->ctx, &sampled))
            return;
        write_name(family, s, out);
        add_number(out, sampled);
    } else {
        write_name(family, s, out);
        if (family->type == METRIC_COUNTER)
            buf_add_u64(out, atomic_load_explicit(&s->counter.value, memory_order_relaxed));
        else
            buf_add_i64(out, atomic_load_explicit(&s->gauge.value, memory_order_relaxed));
    }
    buf_add_char(out, '\n');
}

static void write_part(const struct metric *family, const struct series *s, const char *suffix, struct buf *out)
{
    buf_addf(out, "%s%s", family->name, suffix);
    if (s->labels[0])
        buf_addf(out, "{%s}", s->labels);
    buf_add_char(out, ' ');
}

static void write_histogram(const struct metric *family, const struct series *s, enum metrics_format format,
                            struct buf *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i <= family->bounds_count; i++) {
        total += atomic_load_explicit(&s->histogram->buckets[i], memory_order_relaxed);
        buf_addf(out, "%s_bucket{%s%sle=\"", family->name, s->labels, s->labels[0] ? "," : "");
        if (i < family->bounds_count)
            add_bound(out, family->bounds[i], format);
        else
            buf_add_str(out, "+Inf");
        buf_add_str(out, "\"} ");
        buf_add_u64(out, total);
        buf_add_char(out, '\n');
    }
    uint64_t bits = atomic_load_explicit(&s->histogram->sum_bits, memory_order_relaxed);
    double sum;
    memcpy(&sum, &bits, sizeof(sum));
    write_part(family, s, "_sum", out);
    add_number(out, sum);
    buf_add_char(out, '\n');
    write_part(family, s, "_count", out);
    buf_add_u64(out, total);
    buf_add_char(out, '\n');
}

void metrics_write(struct metrics *metrics, enum metrics_format format, struct buf *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *family = metrics->families[i];
        if (!family->first)
            continue;
        write_header(family, format, out);
        for (const struct series *s = family->first; s; s = s->next) {
            if (family->type == METRIC_HISTOGRAM)
                write_histogram(family, s, format, out);
            else
                write_value(family, s, out);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
    if (format == METRICS_OPENMETRICS)
        buf_add_str(out, "# EOF\n");
}
