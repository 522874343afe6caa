/* Whatever bytes come: the scanner refuses them at an offset inside, or yields spans inside the text whose canonical
 * form parses again to the same canonical form. */
#include "common/json/json.h"
#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_node(const struct json_doc *doc, const struct json_node *node)
{
    size_t index = (size_t)(node - doc->nodes);
    require(node->len > 0 && (size_t)node->start + node->len <= doc->text.len, "value inside the text");
    require((size_t)node->key_start + node->key_len <= doc->text.len, "name inside the text");
    require(node->end > index && node->end <= doc->count, "subtree inside the table");
    uint32_t children = 0;
    for (const struct json_node *c = json_first(doc, node); c; c = json_next(doc, node, c), children++)
        require(c->start > node->start && c->start + c->len < node->start + node->len, "child inside its parent");
    require(children == node->count, "children counted");
    if (node->type == JSON_STRING) {
        struct buf text;
        buf_init(&text, node->len);
        require(json_string(doc, node, &text) == 0, "a string never grows by unescaping");
        require(utf8_valid(buf_span(&text)), "a string is UTF-8");
        buf_done(&text);
    }
    int64_t number = 0;
    if (json_int(doc, node, -1000, 1000, &number) == 0)
        require(number >= -1000 && number <= 1000, "integer within its bounds");
}

static void canonical(const struct json_doc *doc, struct buf *out)
{
    require(json_canonical(doc, doc->nodes, out) == 0, "canonical output fits");
}

/* What is plain at first sight is canonical, and has the members that the scanner finds. */
static void plain(const struct json_doc *doc, struct span text, bool parsed, struct span canonical)
{
    struct json_doc quick;
    json_init(&quick);
    if (json_plain_object(&quick, text)) {
        require(parsed && span_eq(text, canonical), "plain text is canonical");
        const struct json_node *a = json_first(doc, doc->nodes), *b = json_first(&quick, quick.nodes);
        for (; a && b; a = json_next(doc, doc->nodes, a), b = json_next(&quick, quick.nodes, b))
            require(a->type == b->type && a->start == b->start && a->len == b->len && a->key_start == b->key_start &&
                        a->key_len == b->key_len,
                    "plain members are where they are");
        require(!a && !b, "as many members");
    }
    json_done(&quick);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_doc doc, again;
    struct buf first, second;
    struct error err = {""};
    json_init(&doc);
    json_init(&again);
    buf_init(&first, 16 * size + 64);
    buf_init(&second, 16 * size + 64);
    struct span text = {(const char *)data, size};
    bool parsed = json_parse(&doc, text, &err) == 0;
    if (parsed) {
        for (size_t i = 0; i < doc.count; i++)
            check_node(&doc, &doc.nodes[i]);
        canonical(&doc, &first);
        require(json_parse(&again, buf_span(&first), &err) == 0, err.text);
        require(again.count == doc.count, "canonical form has as many values");
        canonical(&again, &second);
        require(span_eq(buf_span(&first), buf_span(&second)), "canonical form is a fixed point");
    } else {
        require(doc.error_offset <= size && strncmp(err.text, "byte ", 5) == 0, "refused at an offset");
    }
    plain(&doc, text, parsed, buf_span(&first));
    buf_done(&first);
    buf_done(&second);
    json_done(&doc);
    json_done(&again);
    return 0;
}
