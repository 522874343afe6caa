/* RFC 8785 output of a parsed value. Recursion is bounded by the scanner's nesting limit. Any thread. */
#include "common/json/internal.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>

enum { FEW_MEMBERS = 16, EXACT_DIGITS = 15 };

/* UTF-8 sorts like UTF-16 except that surrogate pairs (lead bytes F0..F4) come before U+E000..U+FFFF (EE, EF). */
static int utf16_rank(unsigned char c)
{
    return c == 0xee || c == 0xef ? c + 0x10 : c;
}

static int by_utf16(const void *a, const void *b)
{
    const struct span *x = &((const struct json_name *)a)->name, *y = &((const struct json_name *)b)->name;
    size_t n = x->len < y->len ? x->len : y->len;
    for (size_t i = 0; i < n; i++)
        if (x->ptr[i] != y->ptr[i])
            return utf16_rank((unsigned char)x->ptr[i]) - utf16_rank((unsigned char)y->ptr[i]);
    return (x->len > y->len) - (x->len < y->len);
}

static void sort_names(struct json_name *names, size_t count)
{
    if (count > FEW_MEMBERS) {
        qsort(names, count, sizeof(*names), by_utf16);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct json_name name = names[i];
        size_t at = i;
        for (; at > 0 && by_utf16(&names[at - 1], &name) > 0; at--)
            names[at] = names[at - 1];
        names[at] = name;
    }
}

/* True of most numbers people write: up to 15 digits without exponent or superfluous zeros are their own shortest form,
 * because no two such decimals share a double. */
static bool number_is_shortest(struct span raw)
{
    const char *p = raw.ptr + (raw.ptr[0] == '-');
    const char *end = raw.ptr + raw.len;
    const char *point = memchr(p, '.', (size_t)(end - p));
    if (end - p > EXACT_DIGITS)
        return false;
    for (const char *c = p; c < end; c++)
        if ((*c < '0' || *c > '9') && c != point)
            return false;
    if (!point)
        return *p != '0' || raw.len == 1;
    return end[-1] != '0' && (*p != '0' || point[1] != '0');
}

static void write_number(struct span raw, struct buf *out)
{
    double value;
    if (number_is_shortest(raw))
        buf_add_span(out, raw);
    else if (json_number_value(raw, &value))
        json_add_double(out, value);
}

/* Without escapes a string the scanner accepted is in its shortest form. */
static void write_string(struct span inside, bool escaped, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, inside.len);
    if (escaped) {
        json_unescape(inside, &plain);
        json_add_string(out, buf_span(&plain));
    } else {
        buf_add_char(out, '"');
        buf_add_span(out, inside);
        buf_add_char(out, '"');
    }
    buf_done(&plain);
}

static void write_value(const struct json_doc *doc, const struct json_node *node, struct buf *out);

static void write_members(const struct json_doc *doc, const struct json_node *object, struct buf *out)
{
    struct json_name few[FEW_MEMBERS];
    struct json_name *names = object->count <= FEW_MEMBERS ? few : xmalloc(object->count * sizeof(*names));
    struct buf scratch;
    buf_init(&scratch, doc->text.len);
    size_t count = json_names(doc, object, names, &scratch);
    sort_names(names, count);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, ',');
        write_string(json_key(doc, names[i].node), names[i].node->key_escaped, out);
        buf_add_char(out, ':');
        write_value(doc, names[i].node, out);
    }
    buf_done(&scratch);
    if (names != few)
        free(names);
}

static void write_items(const struct json_doc *doc, const struct json_node *array, struct buf *out)
{
    for (const struct json_node *item = json_first(doc, array); item;) {
        write_value(doc, item, out);
        item = json_next(doc, array, item);
        if (item)
            buf_add_char(out, ',');
    }
}

static void write_value(const struct json_doc *doc, const struct json_node *node, struct buf *out)
{
    struct span raw = json_raw(doc, node);
    switch (node->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        buf_add_span(out, raw);
        break;
    case JSON_NUMBER:
        write_number(raw, out);
        break;
    case JSON_STRING:
        write_string((struct span){raw.ptr + 1, raw.len - 2}, node->escaped, out);
        break;
    case JSON_ARRAY:
        buf_add_char(out, '[');
        write_items(doc, node, out);
        buf_add_char(out, ']');
        break;
    case JSON_OBJECT:
        buf_add_char(out, '{');
        write_members(doc, node, out);
        buf_add_char(out, '}');
        break;
    }
}

int json_canonical(const struct json_doc *doc, const struct json_node *node, struct buf *out)
{
    if (!node)
        return -EINVAL;
    write_value(doc, node, out);
    return out->failed ? -ENOBUFS : 0;
}
