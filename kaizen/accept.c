/* Which exposition format an Accept header asks for (RFC 9110 §12.5.1). Pure; a malformed range is skipped. */
#include "kaizen/metrics.h"

#include <strings.h>

enum { Q_ONE = 1000 };

/* How well a media range matches a format: the most specific range that matches gives its q. */
enum match { MATCH_NONE, MATCH_ANY, MATCH_TYPE, MATCH_EXACT };

struct preference {
    enum match match;
    int q;     /* thousandths */
    int order; /* position of the range in the header */
};

static bool equals(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

static struct span trim(struct span text)
{
    while (text.len > 0 && (*text.ptr == ' ' || *text.ptr == '\t'))
        text = (struct span){text.ptr + 1, text.len - 1};
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = (struct span){text.ptr + 1, text.len - 2};
    return text;
}

/* Cuts what precedes the separator off *rest; false at the end. */
static bool next_part(struct span *rest, char separator, struct span *ret_part)
{
    if (!rest->ptr)
        return false;
    const char *end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *ret_part = trim((struct span){rest->ptr, len});
    *rest = end ? (struct span){end + 1, rest->len - len - 1} : (struct span){NULL, 0};
    return true;
}

/* 0, 1 or a fraction of up to three digits; -1 if malformed. */
static int parse_q(struct span text)
{
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.'))
        return -1;
    int q = text.ptr[0] == '1' ? Q_ONE : 0;
    int weight = Q_ONE / 10;
    for (size_t i = 2; i < text.len; i++, weight /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        q += (text.ptr[i] - '0') * weight;
    }
    return q <= Q_ONE ? q : -1;
}

static void prefer(struct preference *best, enum match match, int q, int order)
{
    if (match > best->match || (match == best->match && match != MATCH_NONE && q > best->q))
        *best = (struct preference){match, q, order};
}

static enum match match_type(struct span type, const char *exact, const char *group)
{
    if (equals(type, exact))
        return MATCH_EXACT;
    if (equals(type, group))
        return MATCH_TYPE;
    return equals(type, "*/*") ? MATCH_ANY : MATCH_NONE;
}

static void weigh_range(struct span range, int order, struct preference *text, struct preference *open)
{
    struct span type;
    struct span parameter;
    int q = Q_ONE;
    bool text_version = true;
    bool open_version = true;
    if (!next_part(&range, ';', &type))
        return;
    while (next_part(&range, ';', &parameter)) {
        struct span name;
        if (!next_part(&parameter, '=', &name) || !parameter.ptr)
            continue;
        struct span value = trim(parameter);
        if (equals(name, "q"))
            q = parse_q(value);
        if (equals(name, "version")) {
            text_version = equals(value, "0.0.4");
            open_version = equals(value, "1.0.0");
        }
    }
    if (q < 0)
        return;
    if (text_version)
        prefer(text, match_type(type, "text/plain", "text/*"), q, order);
    if (open_version)
        prefer(open, match_type(type, "application/openmetrics-text", "application/*"), q, order);
}

enum metrics_format metrics_negotiate(struct span accept)
{
    struct preference text = {MATCH_NONE, 0, 0};
    struct preference open = {MATCH_NONE, 0, 0};
    struct span range;
    for (int order = 1; next_part(&accept, ',', &range); order++)
        weigh_range(range, order, &text, &open);
    if (open.q != text.q)
        return open.q > text.q ? METRICS_OPENMETRICS : METRICS_TEXT;
    return open.q > 0 && open.match == MATCH_EXACT && (text.match != MATCH_EXACT || open.order < text.order)
               ? METRICS_OPENMETRICS
               : METRICS_TEXT;
}
