/* One pass over the lines per question: some thousand lines, once a second. Pure. */
#include "apps/cli/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1024 };

struct line {
    char text[LINE_MAX_BYTES];
    char *labels; /* "" if there are none */
    double value;
};

/* The next line of that name and label; false at the end. */
static bool next_line(struct span *text, const char *name, const char *label, struct line *ret)
{
    size_t name_len = strlen(name);
    while (text->len) {
        const char *end = memchr(text->ptr, '\n', text->len);
        size_t len = end ? (size_t)(end - text->ptr) : text->len;
        struct span line = {text->ptr, len};
        text->ptr += end ? len + 1 : len;
        text->len -= end ? len + 1 : len;
        if (len <= name_len || len >= LINE_MAX_BYTES || memcmp(line.ptr, name, name_len) != 0 ||
            (line.ptr[name_len] != ' ' && line.ptr[name_len] != '{'))
            continue;
        memcpy(ret->text, line.ptr, len);
        ret->text[len] = '\0';
        char *space = strrchr(ret->text, ' ');
        if (!space)
            continue;
        *space = '\0';
        ret->labels = ret->text + name_len;
        ret->value = strtod(space + 1, NULL);
        if (!label || strstr(ret->labels, label))
            return true;
    }
    return false;
}

double exposition_sum(struct span text, const char *name, const char *label)
{
    struct line line;
    double sum = 0;
    while (next_line(&text, name, label, &line))
        sum += line.value;
    return sum;
}

static void add_bucket(struct exposition_histogram *histogram, double bound, double value)
{
    size_t i = 0;
    while (i < histogram->count && histogram->bounds[i] < bound)
        i++;
    if (i == histogram->count || histogram->bounds[i] > bound) {
        if (histogram->count == EXPOSITION_BUCKETS)
            return;
        memmove(histogram->bounds + i + 1, histogram->bounds + i, (histogram->count - i) * sizeof(double));
        memmove(histogram->values + i + 1, histogram->values + i, (histogram->count - i) * sizeof(double));
        histogram->bounds[i] = bound;
        histogram->values[i] = 0;
        histogram->count++;
    }
    histogram->values[i] += value;
}

void exposition_histogram(struct span text, const char *name, const char *label, struct exposition_histogram *ret)
{
    struct line line;
    char bucket[128];
    *ret = (struct exposition_histogram){.count = 0};
    snprintf(bucket, sizeof(bucket), "%s_bucket", name);
    while (next_line(&text, bucket, label, &line)) {
        const char *bound = strstr(line.labels, "le=\"");
        if (bound)
            add_bucket(ret, strncmp(bound + 4, "+Inf", 4) == 0 ? INFINITY : strtod(bound + 4, NULL), line.value);
    }
}

static double gained(const struct exposition_histogram *before, const struct exposition_histogram *after, size_t i)
{
    bool same = before->count == after->count && before->bounds[i] == after->bounds[i];
    double value = after->values[i] - (same ? before->values[i] : 0);
    return value > 0 ? value : 0;
}

double exposition_quantile(const struct exposition_histogram *before, const struct exposition_histogram *after,
                           double quantile)
{
    double all = after->count ? gained(before, after, after->count - 1) : 0;
    if (all <= 0)
        return -1;
    double wanted = quantile * all, low = 0, below = 0;
    for (size_t i = 0; i < after->count; i++) {
        double value = gained(before, after, i), high = after->bounds[i];
        if (value >= wanted && value > below)
            return isinf(high) ? low : low + (high - low) * (wanted - below) / (value - below);
        low = high;
        below = value;
    }
    return low;
}
