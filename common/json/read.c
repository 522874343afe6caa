/* Reading a parsed document: navigation, strings, numbers. Nodes are borrowed and valid until the next json_parse of
 * their document; NULL nodes are allowed everywhere and read as absent. Any thread. */
#include "common/json/internal.h"

#include "common/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

const struct json_node *json_first(const struct json_doc *doc, const struct json_node *parent)
{
    return parent && parent->count ? &doc->nodes[parent - doc->nodes + 1] : NULL;
}

const struct json_node *json_next(const struct json_doc *doc, const struct json_node *parent,
                                  const struct json_node *node)
{
    return node && node->end < parent->end ? &doc->nodes[node->end] : NULL;
}

/* A name without NUL, so name may be compared as the unescaped member's bytes. */
static bool key_is(const struct json_doc *doc, const struct json_node *member, struct span name)
{
    struct span key = json_key(doc, member);
    if (!member->key_escaped)
        return span_eq(key, name);
    if (key.len < name.len)
        return false;
    struct buf plain;
    buf_init(&plain, key.len);
    json_unescape(key, &plain);
    bool same = span_eq(buf_span(&plain), name);
    buf_done(&plain);
    return same;
}

const struct json_node *json_get(const struct json_doc *doc, const struct json_node *object, const char *name)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    struct span wanted = span_of(name);
    for (const struct json_node *m = json_first(doc, object); m; m = json_next(doc, object, m))
        if (key_is(doc, m, wanted))
            return m;
    return NULL;
}

struct span json_raw(const struct json_doc *doc, const struct json_node *node)
{
    return node ? (struct span){doc->text.ptr + node->start, node->len} : (struct span){NULL, 0};
}

struct span json_key(const struct json_doc *doc, const struct json_node *node)
{
    return node ? (struct span){doc->text.ptr + node->key_start, node->key_len} : (struct span){NULL, 0};
}

static struct span inside(const struct json_doc *doc, const struct json_node *string)
{
    return (struct span){doc->text.ptr + string->start + 1, string->len - 2};
}

int json_string(const struct json_doc *doc, const struct json_node *node, struct buf *out)
{
    if (!node || node->type != JSON_STRING)
        return -EINVAL;
    if (node->escaped)
        json_unescape(inside(doc, node), out);
    else
        buf_add_span(out, inside(doc, node));
    return out->failed ? -ENOBUFS : 0;
}

int json_key_string(const struct json_doc *doc, const struct json_node *node, struct buf *out)
{
    if (!node)
        return -EINVAL;
    json_unescape(json_key(doc, node), out);
    return out->failed ? -ENOBUFS : 0;
}

int json_int(const struct json_doc *doc, const struct json_node *node, int64_t min, int64_t max, int64_t *ret_value)
{
    if (!node || node->type != JSON_NUMBER)
        return -EINVAL;
    struct span raw = json_raw(doc, node);
    bool minus = raw.ptr[0] == '-';
    uint64_t value = 0;
    for (size_t i = minus; i < raw.len; i++) {
        if (raw.ptr[i] < '0' || raw.ptr[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(raw.ptr[i] - '0'), &value))
            return -ERANGE;
    }
    if (value > (uint64_t)INT64_MAX + minus)
        return -ERANGE;
    int64_t number = minus ? (int64_t)(0 - value) : (int64_t)value;
    if (number < min || number > max)
        return -ERANGE;
    *ret_value = number;
    return 0;
}

struct span json_text(const struct json_doc *doc, const struct json_node *node, struct buf *scratch)
{
    if (!node || node->type != JSON_STRING)
        return (struct span){NULL, 0};
    if (!node->escaped)
        return inside(doc, node);
    buf_clear(scratch);
    json_unescape(inside(doc, node), scratch);
    return buf_span(scratch);
}

bool json_number_value(struct span raw, double *ret)
{
    char small[64];
    char *text = raw.len < sizeof(small) ? small : xmalloc(raw.len + 1);
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = '\0';
    double value = strtod(text, NULL);
    if (text != small)
        free(text);
    if (!isfinite(value))
        return false;
    *ret = value;
    return true;
}
