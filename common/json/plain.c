/* Recognises text that is canonical already, in one pass and without looking at it again: what RFC 8785 writes for
 * objects of ASCII strings without escapes, integers of at most 15 digits, literals, arrays and further objects whose
 * names are in order. Most of what this program stores is. Any thread. */
#include "common/json/json.h"
#include "common/mem.h"

#include <endian.h>

enum { DIGITS_MAX = 15 };

/* The quote that ends the string, p being behind the one that began it; NULL: the string is not plain. */
static const char *string_end(const char *p, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    for (uint64_t bytes; (size_t)(end - p) >= sizeof(bytes); p += sizeof(bytes)) {
        memcpy(&bytes, p, sizeof(bytes));
        bytes = le64toh(bytes);
        uint64_t quotes = bytes ^ ones * '"', backslashes = bytes ^ ones * '\\';
        /* the lowest bit is exact: subtracting borrows only beyond a hit */
        uint64_t special = (((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) |
                            ((backslashes - ones) & ~backslashes) | bytes) &
                           highs;
        if (!special)
            continue;
        p += __builtin_ctzll(special) / 8;
        return *p == '"' ? p : NULL;
    }
    for (; p < end && *p != '"'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x80 || *p == '\\')
            return NULL;
    return p < end ? p : NULL;
}

static const char *number_end(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p == start || p - start > DIGITS_MAX || (*start == '0' && p - start > 1) ? NULL : p;
}

static const char *literal_end(const char *p, const char *end, struct span literal)
{
    return (size_t)(end - p) >= literal.len && memcmp(p, literal.ptr, literal.len) == 0 ? p + literal.len : NULL;
}

static const char *object_end(struct json_doc *doc, const char *p, const char *end, unsigned depth);
static const char *array_end(const char *p, const char *end, unsigned depth);

/* Behind the value, or NULL. */
static const char *value_end(const char *p, const char *end, unsigned depth, enum json_type *ret_type)
{
    if (p >= end)
        return NULL;
    switch (*p) {
    case '"':
        *ret_type = JSON_STRING;
        p = string_end(p + 1, end);
        return p ? p + 1 : NULL;
    case '{':
        *ret_type = JSON_OBJECT;
        return depth < JSON_DEPTH_MAX ? object_end(NULL, p + 1, end, depth + 1) : NULL;
    case '[':
        *ret_type = JSON_ARRAY;
        return depth < JSON_DEPTH_MAX ? array_end(p + 1, end, depth + 1) : NULL;
    case 'n':
        *ret_type = JSON_NULL;
        return literal_end(p, end, SPAN("null"));
    case 't':
        *ret_type = JSON_TRUE;
        return literal_end(p, end, SPAN("true"));
    case 'f':
        *ret_type = JSON_FALSE;
        return literal_end(p, end, SPAN("false"));
    default:
        *ret_type = JSON_NUMBER;
        return number_end(p, end);
    }
}

static const char *array_end(const char *p, const char *end, unsigned depth)
{
    enum json_type type;
    if (p < end && *p == ']')
        return p + 1;
    while ((p = value_end(p, end, depth, &type)) && p < end) {
        if (*p == ']')
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
    return NULL;
}

static void add_member(struct json_doc *doc, struct span name, struct span value, enum json_type type)
{
    mem_grow(&doc->nodes, &doc->cap, doc->count + 1, sizeof(*doc->nodes));
    doc->nodes[0].count++;
    doc->nodes[doc->count] = (struct json_node){.type = type,
                                                .start = (uint32_t)(value.ptr - doc->text.ptr),
                                                .len = (uint32_t)value.len,
                                                .key_start = (uint32_t)(name.ptr - doc->text.ptr),
                                                .key_len = (uint32_t)name.len,
                                                .end = (uint32_t)doc->count + 1};
    doc->count++;
}

/* p: behind the brace. doc: takes the members; NULL: nobody does. */
static const char *object_end(struct json_doc *doc, const char *p, const char *end, unsigned depth)
{
    struct span last = {0};
    if (p < end && *p == '}')
        return p + 1;
    while (p < end && *p++ == '"') {
        struct span name = {.ptr = p};
        enum json_type type;
        p = string_end(p, end);
        if (!p || p + 1 >= end || p[1] != ':')
            return NULL;
        name.len = (size_t)(p - name.ptr);
        if (last.ptr && span_cmp(last, name) >= 0)
            return NULL;
        last = name;
        const char *value = p + 2;
        p = value_end(value, end, depth, &type);
        if (!p || p >= end)
            return NULL;
        if (doc)
            add_member(doc, name, (struct span){value, (size_t)(p - value)}, type);
        if (*p == '}')
            return p + 1;
        if (*p++ != ',')
            return NULL;
    }
    return NULL;
}

bool json_plain_object(struct json_doc *doc, struct span text)
{
    doc->text = text;
    doc->count = 0;
    if (text.len < 2 || text.len > UINT32_MAX || text.ptr[0] != '{')
        return false;
    mem_grow(&doc->nodes, &doc->cap, 16 + text.len / 64, sizeof(*doc->nodes));
    doc->nodes[doc->count++] = (struct json_node){.type = JSON_OBJECT, .len = (uint32_t)text.len};
    const char *end = text.ptr + text.len;
    if (object_end(doc, text.ptr + 1, end, 1) != end) {
        doc->count = 0;
        return false;
    }
    doc->nodes[0].end = (uint32_t)doc->count;
    return true;
}
