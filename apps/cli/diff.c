/* A longest common subsequence over lines, by the table that every textbook has; texts of more than LINES_MAX lines are
 * shown as wholly replaced. Pure. */
#include "apps/cli/diff.h"
#include "common/json/json.h"
#include "common/mem.h"

#include <stdlib.h>

enum { LINES_MAX = 3000, CONTEXT = 3, INDENT = 2 };

/* --- layout ------------------------------------------------------------------------------------------------------ */

static void new_line(struct buf *out, int depth)
{
    buf_add_char(out, '\n');
    for (int i = 0; i < depth * INDENT; i++)
        buf_add_char(out, ' ');
}

static void lay_out(const struct json_doc *doc, const struct json_node *node, int depth, struct buf *out)
{
    bool object = node->type == JSON_OBJECT;
    if ((!object && node->type != JSON_ARRAY) || node->count == 0) {
        buf_add_span(out, json_raw(doc, node));
        return;
    }
    buf_add_char(out, object ? '{' : '[');
    for (const struct json_node *child = json_first(doc, node), *next; child; child = next) {
        next = json_next(doc, node, child);
        new_line(out, depth + 1);
        if (object)
            buf_addf(out, "\"%.*s\": ", (int)child->key_len, json_key(doc, child).ptr);
        lay_out(doc, child, depth + 1, out); /* JSON_DEPTH_MAX deep */
        if (next)
            buf_add_char(out, ',');
    }
    new_line(out, depth);
    buf_add_char(out, object ? '}' : ']');
}

void diff_layout(struct span text, struct buf *out)
{
    struct json_doc doc;
    json_init(&doc);
    if (json_parse(&doc, text, NULL) == 0)
        lay_out(&doc, doc.nodes, 0, out);
    else
        buf_add_span(out, text);
    json_done(&doc);
}

/* --- difference -------------------------------------------------------------------------------------------------- */

struct lines {
    struct span *items;
    size_t count, cap;
};

static void split(struct span text, struct lines *ret)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        mem_grow(&ret->items, &ret->cap, ret->count + 1, sizeof(*ret->items));
        ret->items[ret->count++] = (struct span){text.ptr, len};
        text.ptr += end ? len + 1 : len;
        text.len -= end ? len + 1 : len;
    }
}

struct edit {
    char mark; /* ' ', '-', '+' */
    struct span line;
};

struct edits {
    struct edit *items;
    size_t count, cap;
};

static void add(struct edits *edits, char mark, struct span line)
{
    mem_grow(&edits->items, &edits->cap, edits->count + 1, sizeof(*edits->items));
    edits->items[edits->count++] = (struct edit){mark, line};
}

/* lengths[i][j]: of the longest common subsequence of what is left from line i and line j. */
static uint16_t *measure(const struct lines *a, const struct lines *b)
{
    size_t width = b->count + 1;
    uint16_t *lengths = xcalloc((a->count + 1) * width, sizeof(*lengths));
    for (size_t i = a->count; i-- > 0;)
        for (size_t j = b->count; j-- > 0;) {
            uint16_t down = lengths[(i + 1) * width + j], right = lengths[i * width + j + 1];
            bool equal = span_eq(a->items[i], b->items[j]);
            lengths[i * width + j] =
                equal ? (uint16_t)(lengths[(i + 1) * width + j + 1] + 1) : (down > right ? down : right);
        }
    return lengths;
}

static void compare(const struct lines *a, const struct lines *b, struct edits *edits)
{
    size_t i = 0, j = 0, width = b->count + 1;
    bool too_long = a->count > LINES_MAX || b->count > LINES_MAX;
    uint16_t *lengths = too_long ? NULL : measure(a, b);
    while (lengths && i < a->count && j < b->count) {
        if (span_eq(a->items[i], b->items[j])) {
            add(edits, ' ', a->items[i++]);
            j++;
        } else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            add(edits, '-', a->items[i++]);
        } else {
            add(edits, '+', b->items[j++]);
        }
    }
    while (i < a->count)
        add(edits, '-', a->items[i++]);
    while (j < b->count)
        add(edits, '+', b->items[j++]);
    free(lengths);
}

/* The end of the hunk that begins at `from`: changes that are at most two contexts apart belong together. */
static size_t hunk_end(const struct edits *edits, size_t from)
{
    size_t last = from, at = from;
    for (; at < edits->count && at - last <= 2 * CONTEXT; at++)
        if (edits->items[at].mark != ' ')
            last = at;
    return last + 1 + CONTEXT < edits->count ? last + 1 + CONTEXT : edits->count;
}

/* What `diff -u` writes for a range: begin, and length unless 1. */
static void add_range(struct buf *out, char mark, size_t before, size_t len)
{
    buf_addf(out, "%c%zu", mark, len ? before + 1 : before);
    if (len != 1)
        buf_addf(out, ",%zu", len);
}

static void add_hunk(const struct edits *edits, size_t from, size_t to, size_t line_a, size_t line_b, struct buf *out)
{
    size_t len_a = 0, len_b = 0;
    for (size_t i = from; i < to; i++) {
        len_a += edits->items[i].mark != '+';
        len_b += edits->items[i].mark != '-';
    }
    buf_add_str(out, "@@ ");
    add_range(out, '-', line_a, len_a);
    buf_add_char(out, ' ');
    add_range(out, '+', line_b, len_b);
    buf_add_str(out, " @@\n");
    for (size_t i = from; i < to; i++) {
        buf_add_char(out, edits->items[i].mark);
        buf_add_span(out, edits->items[i].line);
        buf_add_char(out, '\n');
    }
}

static void add_hunks(const struct edits *edits, struct buf *out)
{
    size_t line_a = 0, line_b = 0, at = 0;
    while (at < edits->count) {
        size_t change = at;
        while (change < edits->count && edits->items[change].mark == ' ')
            change++;
        if (change == edits->count)
            return;
        size_t from = change - at > CONTEXT ? change - CONTEXT : at, to = hunk_end(edits, change);
        line_a += from - at;
        line_b += from - at;
        add_hunk(edits, from, to, line_a, line_b, out);
        for (size_t i = from; i < to; i++) {
            line_a += edits->items[i].mark != '+';
            line_b += edits->items[i].mark != '-';
        }
        at = to;
    }
}

void diff_unified(struct span before, struct span after, struct buf *out)
{
    struct lines a = {0}, b = {0};
    struct edits edits = {0};
    split(before, &a);
    split(after, &b);
    compare(&a, &b, &edits);
    add_hunks(&edits, out);
    free(a.items);
    free(b.items);
    free(edits.items);
}
