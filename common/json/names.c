/* Member names: unescaping and the search for duplicates. Small objects are compared pair by pair, large ones sorted,
 * so that a text of nothing but members costs n log n. Any thread. */
#include "common/json/internal.h"

#include "common/mem.h"
#include "common/utf8.h"

#include <stdlib.h>

enum { PAIRWISE_MAX = 16 };

static uint32_t hex4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static char simple_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

/* The escape at p appended to out; returns the byte behind it. */
static const char *unescape_one(const char *p, struct buf *out)
{
    if (p[1] != 'u') {
        buf_add_char(out, simple_escape(p[1]));
        return p + 2;
    }
    uint32_t c = hex4(p + 2);
    p += 6;
    if (c >= 0xd800 && c <= 0xdbff) {
        c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
        p += 6;
    }
    char bytes[4];
    buf_add(out, bytes, utf8_put(c, bytes));
    return p;
}

void json_unescape(struct span raw, struct buf *out)
{
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    while (p < end && !out->failed) {
        const char *backslash = memchr(p, '\\', (size_t)(end - p));
        const char *plain = backslash ? backslash : end;
        buf_add(out, p, (size_t)(plain - p));
        p = plain < end ? unescape_one(plain, out) : end;
    }
}

static size_t escaped_bytes(const struct json_doc *doc, const struct json_node *object)
{
    size_t bytes = 0;
    for (const struct json_node *m = json_first(doc, object); m; m = json_next(doc, object, m))
        bytes += m->key_escaped ? m->key_len : 0;
    return bytes;
}

size_t json_names(const struct json_doc *doc, const struct json_node *object, struct json_name *names,
                  struct buf *scratch)
{
    size_t bytes = escaped_bytes(doc, object), count = 0;
    buf_clear(scratch);
    if (bytes)
        buf_reserve(scratch, bytes); /* unescaping never lengthens: the names below stay where they are */
    for (const struct json_node *m = json_first(doc, object); m; m = json_next(doc, object, m)) {
        struct span name = json_key(doc, m);
        if (m->key_escaped) {
            size_t start = scratch->len;
            json_unescape(name, scratch);
            name = (struct span){scratch->data + start, scratch->len - start};
        }
        names[count++] = (struct json_name){name, m};
    }
    return count;
}

static int by_name(const void *a, const void *b)
{
    const struct json_name *x = a, *y = b;
    if (x->name.len != y->name.len)
        return x->name.len < y->name.len ? -1 : 1;
    int c = span_cmp(x->name, y->name);
    return c ? c : (x->node > y->node) - (x->node < y->node);
}

/* The first offset at which a name stands that stood before. */
static size_t first_repeat(struct json_name *names, size_t count)
{
    size_t offset = SIZE_MAX;
    qsort(names, count, sizeof(*names), by_name);
    for (size_t i = 1; i < count; i++)
        if (span_eq(names[i - 1].name, names[i].name) && names[i].node->key_start < offset)
            offset = names[i].node->key_start;
    return offset;
}

static bool pairwise_unique(const struct json_name *names, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (span_eq(names[i].name, names[j].name))
                return false;
    return true;
}

bool json_names_unique(const struct json_doc *doc, const struct json_node *object, size_t *ret_offset)
{
    struct json_name few[PAIRWISE_MAX];
    struct json_name *names = object->count <= PAIRWISE_MAX ? few : xmalloc(object->count * sizeof(*names));
    struct buf scratch;
    buf_init(&scratch, doc->text.len);
    size_t count = json_names(doc, object, names, &scratch);
    size_t offset = SIZE_MAX;
    if (count > PAIRWISE_MAX || !pairwise_unique(names, count))
        offset = first_repeat(names, count);
    buf_done(&scratch);
    if (names != few)
        free(names);
    if (offset == SIZE_MAX)
        return true;
    *ret_offset = offset - 1; /* its opening quote */
    return false;
}
