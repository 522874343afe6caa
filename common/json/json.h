/* Strict JSON: RFC 8259 narrowed by I-JSON (RFC 7493). Refused with the byte offset: duplicate member names (compared
 * after unescaping), invalid UTF-8, lone surrogates, NUL (raw or \u0000) in strings, raw control characters, numbers
 * that RFC 8259 does not write (leading zeros, +1, .5, 1., NaN) or that a double cannot hold (1e999), nesting deeper
 * than 16, anything behind the value, an empty text, a byte order mark.
 *
 * A document is a flat table of nodes over the borrowed text (nothing is copied; spans point into it). */
#ifndef TAI_COMMON_JSON_JSON_H
#define TAI_COMMON_JSON_JSON_H

#include "common/buf.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum { JSON_DEPTH_MAX = 16 };

struct json_node {
    enum json_type type;
    bool escaped;     /* the string value contains a backslash */
    bool key_escaped; /* the member name contains a backslash */
    uint32_t start;   /* offset and length of the value's bytes; strings include the quotes */
    uint32_t len;
    uint32_t key_start; /* member name without quotes; 0/0 outside objects */
    uint32_t key_len;
    uint32_t end;   /* index of the first node behind this value's subtree: the next sibling if there is one */
    uint32_t count; /* members or items */
};

struct json_doc {
    struct span text;
    struct json_node *nodes; /* nodes[0] is the root; owned, reused by the next parse */
    size_t count;
    size_t cap;
    size_t error_offset; /* set when json_parse fails */
};

void json_init(struct json_doc *doc);
void json_done(struct json_doc *doc);

/* Parses text (≤ 4 GiB), which must outlive the document. 0, or -EINVAL with err->text "byte 17: …" and error_offset.
 */
must_check int json_parse(struct json_doc *doc, struct span text, struct error *err);

/* true: text is an object in the form RFC 8785 gives it, and doc holds the object and its members, but nothing within
 * those. Much faster than json_parse, whose rules hold. false says nothing about text. */
bool json_plain_object(struct json_doc *doc, struct span text);

/* First child of an array or object, or NULL. */
const struct json_node *json_first(const struct json_doc *doc, const struct json_node *parent);
/* The sibling behind node within parent, or NULL. */
const struct json_node *json_next(const struct json_doc *doc, const struct json_node *parent,
                                  const struct json_node *node);
/* Member by (unescaped) name, or NULL. */
const struct json_node *json_get(const struct json_doc *doc, const struct json_node *object, const char *name);

struct span json_raw(const struct json_doc *doc, const struct json_node *node); /* the value's bytes */
struct span json_key(const struct json_doc *doc, const struct json_node *node); /* raw member name */
/* The unescaped string appended to out. -EINVAL if node is no string, -ENOBUFS beyond out's cap. */
must_check int json_string(const struct json_doc *doc, const struct json_node *node, struct buf *out);
/* The unescaped member name appended to out. */
must_check int json_key_string(const struct json_doc *doc, const struct json_node *node, struct buf *out);
/* Integers without fraction or exponent within [min,max]; -ERANGE otherwise, -EINVAL if no number. */
must_check int json_int(const struct json_doc *doc, const struct json_node *node, int64_t min, int64_t max,
                        int64_t *ret_value);
/* The borrowed contents of a string without escapes; an escaped one is unescaped into scratch first. len 0 and ptr NULL
 * if node is NULL or no string. */
struct span json_text(const struct json_doc *doc, const struct json_node *node, struct buf *scratch);

/* RFC 8785 (JCS): members sorted by UTF-16 code units, ECMAScript numbers, shortest escapes, no white space. */
must_check int json_canonical(const struct json_doc *doc, const struct json_node *node, struct buf *out);

/* Writing JSON by hand: a quoted string with exactly RFC 8785's escapes (valid UTF-8 expected). */
void json_add_string(struct buf *out, struct span text);
/* An ECMAScript-formatted double (finite). */
void json_add_double(struct buf *out, double value);
/* `"name":` with a comma before it unless the last byte is `{` ; name needs no escaping. */
static inline void json_add_key(struct buf *out, const char *name)
{
    size_t len = strlen(name);
    bool comma = out->len && out->data[out->len - 1] != '{';
    char *at = buf_reserve(out, comma + len + 3);
    if (!at)
        return;
    if (comma)
        *at++ = ',';
    *at++ = '"';
    at = mempcpy(at, name, len);
    at[0] = '"';
    at[1] = ':';
    out->len += comma + len + 3;
}

/* json_add_key + value */
static inline void json_add_member(struct buf *out, const char *name, struct span text)
{
    json_add_key(out, name);
    json_add_string(out, text);
}

static inline void json_add_member_u64(struct buf *out, const char *name, uint64_t value)
{
    json_add_key(out, name);
    buf_add_u64(out, value);
}

static inline void json_add_member_raw(struct buf *out, const char *name, struct span raw)
{
    json_add_key(out, name);
    buf_add_span(out, raw);
}

#endif
