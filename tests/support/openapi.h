/* An OpenAPI document of docs/, for the tests that hold it against the code. */
#ifndef TAI_TESTS_SUPPORT_OPENAPI_H
#define TAI_TESTS_SUPPORT_OPENAPI_H

#include "common/json/json.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>

struct document {
    struct buf text;
    struct json_doc doc;
};

static inline void load(struct document *d, const char *name)
{
    char path[4096], part[4096];
    struct error err;
    snprintf(path, sizeof(path), "%s/docs/%s", TAI_SOURCE_DIR, name);
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s", path);
    buf_init(&d->text, SIZE_MAX);
    for (size_t n = fread(part, 1, sizeof(part), file); n > 0; n = fread(part, 1, sizeof(part), file))
        buf_add(&d->text, part, n);
    fclose(file);
    json_init(&d->doc);
    cr_assert_eq(json_parse(&d->doc, buf_span(&d->text), &err), 0, "%s: %s", name, err.text);
}

static inline void unload(struct document *d)
{
    json_done(&d->doc);
    buf_done(&d->text);
}

/* Walks names; NULL where there is none. */
static inline const struct json_node *at(const struct document *d, const struct json_node *node,
                                         const char *const *names)
{
    for (; node && *names; names++)
        node = node->type == JSON_OBJECT ? json_get(&d->doc, node, *names) : NULL;
    return node;
}
#define AT(d, node, ...) at((d), (node), (const char *const[]){__VA_ARGS__, NULL})

static inline bool is(const struct document *d, const struct json_node *node, const char *text)
{
    struct span raw = node ? json_raw(&d->doc, node) : SPAN("");
    return raw.len >= 2 && raw.len - 2 == strlen(text) && memcmp(raw.ptr + 1, text, raw.len - 2) == 0;
}

static inline bool holds(const struct document *d, const struct json_node *array, const char *text)
{
    for (const struct json_node *node = array ? json_first(&d->doc, array) : NULL; node;
         node = json_next(&d->doc, array, node))
        if (is(d, node, text))
            return true;
    return false;
}

static inline const struct json_node *operation_of(const struct document *d, const char *method, const char *path)
{
    char lower[16] = "";
    for (size_t i = 0; method[i] && i + 1 < sizeof(lower); i++)
        lower[i] = (char)tolower((unsigned char)method[i]);
    return AT(d, d->doc.nodes, "paths", path, lower);
}

static inline size_t count_operations(const struct document *d)
{
    const struct json_node *paths = json_get(&d->doc, d->doc.nodes, "paths");
    size_t count = 0;
    for (const struct json_node *node = json_first(&d->doc, paths); node; node = json_next(&d->doc, paths, node))
        count += node->count;
    return count;
}

static inline const struct json_node *parameter_of(const struct document *d, const struct json_node *operation,
                                                   const char *in, const char *name)
{
    const struct json_node *list = json_get(&d->doc, operation, "parameters");
    for (const struct json_node *node = list ? json_first(&d->doc, list) : NULL; node;
         node = json_next(&d->doc, list, node))
        if (is(d, json_get(&d->doc, node, "in"), in) && is(d, json_get(&d->doc, node, "name"), name))
            return node;
    return NULL;
}

static inline size_t count_parameters(const struct document *d, const struct json_node *operation, const char *in)
{
    const struct json_node *list = json_get(&d->doc, operation, "parameters");
    size_t count = 0;
    for (const struct json_node *node = list ? json_first(&d->doc, list) : NULL; node;
         node = json_next(&d->doc, list, node))
        count += is(d, json_get(&d->doc, node, "in"), in);
    return count;
}

#endif
