/* The strict scanner: one pass, no recursion, nothing copied, no allocation but the reused node table. It borrows the
 * text and fails with the offset of the first byte that cannot stand where it is (of a whole bad escape, UTF-8
 * sequence, member name or number: its first byte). Any thread, one document each. */
#include "common/json/internal.h"

#include "common/mem.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdlib.h>

enum {
    NODES_KEPT = 1 << 14, /* a table beyond this is given back before a small text */
    SAFE_DIGITS = 300,    /* a number this short without exponent fits a double */
};

struct scan {
    struct json_doc *doc;
    const char *p;
    const char *end;
    unsigned depth;
    bool opened;                      /* the last value began an array or object that is not empty */
    uint32_t parents[JSON_DEPTH_MAX]; /* nodes that are open */
    uint64_t names[JSON_DEPTH_MAX];   /* a bit for each kind of member name seen, see note_name */
    bool check_names[JSON_DEPTH_MAX]; /* two names of one kind: compare them all */
    const char *error_at;
    const char *message;
};

static bool fail(struct scan *s, const char *at, const char *message)
{
    s->error_at = at;
    s->message = at == s->end ? "unexpected end of text" : message;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool is_digit(const struct scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

static bool skip_digits(struct scan *s)
{
    if (!is_digit(s))
        return fail(s, s->p, "expected a digit");
    while (is_digit(s))
        s->p++;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The XXXX of \uXXXX. */
static bool scan_hex(struct scan *s, unsigned *ret)
{
    *ret = 0;
    for (int i = 0; i < 4; i++, s->p++) {
        int digit = s->p < s->end ? hex_value(*s->p) : -1;
        if (digit < 0)
            return fail(s, s->p, "expected four hexadecimal digits behind \\u");
        *ret = *ret << 4 | (unsigned)digit;
    }
    return true;
}

static bool scan_unicode_escape(struct scan *s)
{
    const char *start = s->p - 2;
    unsigned unit;
    if (!scan_hex(s, &unit))
        return false;
    if (unit == 0)
        return fail(s, start, "NUL in a string");
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit > 0xdbff)
        return fail(s, start, "lone surrogate");
    for (const char *next = "\\u"; *next; next++, s->p++) {
        if (s->p == s->end)
            return fail(s, s->end, NULL);
        if (*s->p != *next)
            return fail(s, start, "lone surrogate");
    }
    if (!scan_hex(s, &unit))
        return false;
    return (unit >= 0xdc00 && unit <= 0xdfff) || fail(s, start, "lone surrogate");
}

static bool scan_escape(struct scan *s)
{
    if (++s->p == s->end)
        return fail(s, s->p, NULL);
    switch (*s->p++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    case 'u':
        return scan_unicode_escape(s);
    default:
        return fail(s, s->p - 1, "unknown escape");
    }
}

static const uint64_t each_byte = 0x0101010101010101;

/* The high bit of each byte that is a control character, a quote, a backslash or not ASCII. A byte above such a one may
 * be marked wrongly (borrow), so only the lowest mark counts. */
static inline uint64_t special_bytes(uint64_t word)
{
    uint64_t control = word - each_byte * 0x20;
    uint64_t quote = (word ^ each_byte * '"') - each_byte;
    uint64_t backslash = (word ^ each_byte * '\\') - each_byte;
    return (control | quote | backslash | word) & each_byte * 0x80;
}

/* To the next byte of a string that needs a look. */
static inline const char *skip_plain(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        uint64_t special = special_bytes(word);
        if (special)
            return p + (__builtin_ctzll(special) >> 3);
    }
#endif
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* From the opening quote to behind the closing one. */
static inline bool scan_string(struct scan *s, bool *ret_escaped)
{
    *ret_escaped = false;
    s->p++;
    for (;;) {
        s->p = skip_plain(s->p, s->end);
        if (s->p == s->end)
            return fail(s, s->p, NULL);
        if (*s->p == '"') {
            s->p++;
            return true;
        }
        if (*s->p == '\\') {
            *ret_escaped = true;
            if (!scan_escape(s))
                return false;
        } else if ((unsigned char)*s->p < 0x20) {
            return fail(s, s->p, "control character in a string (write it as an escape)");
        } else {
            size_t n = utf8_sequence(s->p, (size_t)(s->end - s->p));
            if (n == 0)
                return fail(s, s->p, "invalid UTF-8");
            s->p += n;
        }
    }
}

static bool scan_number(struct scan *s)
{
    const char *start = s->p;
    bool exponent = false;
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0') {
        s->p++;
        if (is_digit(s))
            return fail(s, s->p, "a number with a leading zero");
    } else if (!skip_digits(s)) {
        return false;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!skip_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        exponent = true;
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!skip_digits(s))
            return false;
    }
    double value;
    if ((exponent || s->p - start > SAFE_DIGITS) &&
        !json_number_value((struct span){start, (size_t)(s->p - start)}, &value)) {
        s->error_at = start;
        s->message = "a number too large for a double";
        return false;
    }
    return true;
}

static bool scan_literal(struct scan *s, const char *word)
{
    for (; *word; word++, s->p++)
        if (s->p == s->end || *s->p != *word)
            return fail(s, s->p, "expected a value");
    return true;
}

static uint32_t offset_of(const struct scan *s, const char *p)
{
    return (uint32_t)(p - s->doc->text.ptr);
}

static bool open_container(struct scan *s, uint32_t index, char close)
{
    if (s->depth == JSON_DEPTH_MAX)
        return fail(s, s->p, "nested deeper than 16");
    s->p++;
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        s->p++;
        return true;
    }
    s->parents[s->depth] = index;
    s->names[s->depth] = 0;
    s->check_names[s->depth] = false;
    s->depth++;
    s->opened = true;
    return true;
}

static bool bad_value(struct scan *s)
{
    bool mark = s->p == s->doc->text.ptr && s->end - s->p >= 3 && memcmp(s->p, "\xef\xbb\xbf", 3) == 0;
    return fail(s, s->p, mark ? "a byte order mark" : "expected a value");
}

/* A scalar, an empty container, or the opening of another one. node is the table's entry index. */
static bool scan_value(struct scan *s, uint32_t index, struct json_node *node)
{
    if (s->p == s->end)
        return fail(s, s->p, NULL);
    switch (*s->p) {
    case '"':
        node->type = JSON_STRING;
        return scan_string(s, &node->escaped);
    case '{':
        node->type = JSON_OBJECT;
        return open_container(s, index, '}');
    case '[':
        node->type = JSON_ARRAY;
        return open_container(s, index, ']');
    case 't':
        node->type = JSON_TRUE;
        return scan_literal(s, "true");
    case 'f':
        node->type = JSON_FALSE;
        return scan_literal(s, "false");
    case 'n':
        node->type = JSON_NULL;
        return scan_literal(s, "null");
    default:
        if (*s->p != '-' && !is_digit(s))
            return bad_value(s);
        node->type = JSON_NUMBER;
        return scan_number(s);
    }
}

/* Most objects are told free of duplicates by this alone: names that differ in length, first, middle or last byte
 * mostly get different bits. */
static void note_name(struct scan *s, const char *name, uint32_t len, bool escaped)
{
    unsigned level = s->depth - 1;
    unsigned kind = 0;
    if (len)
        kind =
            len + 5u * (unsigned char)name[0] + 11u * (unsigned char)name[len / 2] + 23u * (unsigned char)name[len - 1];
    uint64_t bit = (uint64_t)1 << (kind & 63);
    if (escaped || (s->names[level] & bit))
        s->check_names[level] = true;
    s->names[level] |= bit;
}

static bool scan_name(struct scan *s, struct json_node *node)
{
    if (s->p == s->end || *s->p != '"')
        return fail(s, s->p, "expected a member name in double quotes");
    const char *name = s->p + 1;
    if (!scan_string(s, &node->key_escaped))
        return false;
    node->key_start = offset_of(s, name);
    node->key_len = (uint32_t)(s->p - 1 - name);
    note_name(s, name, node->key_len, node->key_escaped);
    skip_space(s);
    if (s->p == s->end || *s->p != ':')
        return fail(s, s->p, "expected a colon behind the member name");
    s->p++;
    skip_space(s);
    return true;
}

/* An item, a member or the root. */
static bool scan_entry(struct scan *s)
{
    struct json_doc *doc = s->doc;
    if (doc->count == doc->cap)
        mem_grow(&doc->nodes, &doc->cap, doc->count + 1, sizeof(*doc->nodes));
    uint32_t index = (uint32_t)doc->count++;
    struct json_node *node = &doc->nodes[index];
    *node = (struct json_node){.end = index + 1};
    if (s->depth) {
        struct json_node *parent = &doc->nodes[s->parents[s->depth - 1]];
        parent->count++;
        if (parent->type == JSON_OBJECT && !scan_name(s, node))
            return false;
    }
    const char *start = s->p;
    node->start = offset_of(s, start);
    s->opened = false;
    if (!scan_value(s, index, node))
        return false;
    node->len = (uint32_t)(s->p - start);
    return true;
}

static bool close_container(struct scan *s)
{
    unsigned level = --s->depth;
    struct json_node *node = &s->doc->nodes[s->parents[level]];
    node->end = (uint32_t)s->doc->count;
    node->len = offset_of(s, s->p) - node->start;
    size_t offset;
    if (s->check_names[level] && !json_names_unique(s->doc, node, &offset)) {
        s->error_at = s->doc->text.ptr + offset;
        s->message = "a second member of the same name";
        return false;
    }
    return true;
}

/* Behind a complete value: closes what ends here and stops at the next entry, or with depth 0. */
static bool scan_behind(struct scan *s)
{
    for (;;) {
        skip_space(s);
        if (s->depth == 0)
            return s->p == s->end || fail(s, s->p, "something behind the value");
        bool object = s->doc->nodes[s->parents[s->depth - 1]].type == JSON_OBJECT;
        char c = s->p < s->end ? *s->p : '\0';
        if (c == ',') {
            s->p++;
            skip_space(s);
            return true;
        }
        if (c != (object ? '}' : ']'))
            return fail(s, s->p, object ? "expected , or }" : "expected , or ]");
        s->p++;
        if (!close_container(s))
            return false;
    }
}

static bool scan_text(struct scan *s)
{
    skip_space(s);
    do {
        do {
            if (!scan_entry(s))
                return false;
        } while (s->opened);
        if (!scan_behind(s))
            return false;
    } while (s->depth);
    return true;
}

static void prepare_nodes(struct json_doc *doc)
{
    if (doc->cap > NODES_KEPT && doc->text.len < NODES_KEPT) {
        free(doc->nodes);
        doc->nodes = NULL;
        doc->cap = 0;
    }
    doc->count = 0;
    mem_grow(&doc->nodes, &doc->cap, 16 + doc->text.len / 64, sizeof(*doc->nodes));
}

void json_init(struct json_doc *doc)
{
    *doc = (struct json_doc){0};
}

void json_done(struct json_doc *doc)
{
    free(doc->nodes);
    *doc = (struct json_doc){0};
}

int json_parse(struct json_doc *doc, struct span text, struct error *err)
{
    doc->text = text.ptr ? text : SPAN("");
    doc->count = 0;
    doc->error_offset = 0;
    if (text.len > UINT32_MAX)
        return error_set(err, -EINVAL, "byte 0: a text beyond 4 GiB");
    prepare_nodes(doc);
    struct scan s = {.doc = doc, .p = doc->text.ptr, .end = doc->text.ptr + text.len};
    if (scan_text(&s))
        return 0;
    doc->count = 0;
    doc->error_offset = (size_t)(s.error_at - doc->text.ptr);
    return error_set(err, -EINVAL, "byte %zu: %s", doc->error_offset, text.len ? s.message : "an empty text");
}
