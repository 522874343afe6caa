/* Walks the document: sections, their keys, and the lists of mappings. Every problem names its line; a value that is
 * refused leaves the default, so that the walk goes on and finds the rest. */
#include "config/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { SECTIONS_MAX = 32 };

struct walk {
    struct loader *loader;
    yaml_document_t *document;
};

/* One `key: value` of a mapping. */
struct pair {
    struct span key;
    yaml_node_t *value;
    struct origin origin; /* the key's line */
};

static struct span scalar_text(const yaml_node_t *node)
{
    return (struct span){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static struct origin origin_of(const struct walk *walk, const yaml_node_t *node)
{
    return (struct origin){ORIGIN_FILE, node->start_mark.line + 1, walk->loader->config->detail->file};
}

/* YAML's null: nothing, ~ or null, not in quotes. */
static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    struct span text = scalar_text(node);
    return text.len == 0 || span_is(text, "~") || span_is(text, "null") || span_is(text, "Null") ||
           span_is(text, "NULL");
}

/* The i-th pair of a mapping; false (and a problem) if its key is no word. */
static bool get_pair(struct walk *walk, const yaml_node_t *mapping, size_t i, struct pair *ret)
{
    const yaml_node_pair_t *pair = &mapping->data.mapping.pairs.start[i];
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    ret->value = yaml_document_get_node(walk->document, pair->value);
    ret->origin = origin_of(walk, key);
    if (key->type != YAML_SCALAR_NODE) {
        problems_add(walk->loader->problems, &ret->origin, "a key must be a plain word");
        return false;
    }
    ret->key = scalar_text(key);
    return true;
}

static size_t pair_count(const yaml_node_t *mapping)
{
    return (size_t)(mapping->data.mapping.pairs.top - mapping->data.mapping.pairs.start);
}

/* At most this much of a name that is not ours goes into a message. */
static int shown_len(struct span text)
{
    enum { NAME_MAX_SHOWN = 64 };
    return text.len < NAME_MAX_SHOWN ? (int)text.len : NAME_MAX_SHOWN;
}

/* prefix is "section." or "keys[0].". */
static void unknown_key(struct walk *walk, const struct section *section, const char *prefix, const struct pair *pair)
{
    struct suggestion near;
    suggestion_init(&near, pair->key);
    for (size_t i = 0; i < section->count; i++)
        suggestion_offer(&near, option_key(&section->options[i]));
    for (size_t i = 0; !near.best && i < config_options_count; i++) {
        if (span_is(pair->key, option_key(&config_options[i])))
            near.best = config_options[i].name; /* right key, wrong section */
    }
    problems_add(walk->loader->problems, &pair->origin, "%s%.*s: unknown key%s%s%s", prefix, shown_len(pair->key),
                 pair->key.ptr, near.best ? "; did you mean " : "", near.best ? near.best : "", near.best ? "?" : "");
}

/* The text of an option's value; false (and a problem) if it is not a single value. */
static bool value_text(struct walk *walk, const struct option *option, const char *prefix, const struct pair *pair,
                       struct span *ret)
{
    const char *refused = NULL;
    if (pair->value->type == YAML_SEQUENCE_NODE)
        refused = "takes one value, not a list";
    else if (pair->value->type == YAML_MAPPING_NODE)
        refused = "takes one value, not a mapping";
    else if (is_null(pair->value) && (!(option->flags & OPTION_NULLABLE) || pair->value->data.scalar.length == 0))
        refused = option->flags & OPTION_NULLABLE ? "has no value: write one, null, or leave the line out"
                                                  : "has no value: write one or leave the line out";
    if (refused) {
        problems_add(walk->loader->problems, &pair->origin, "%s%s: %s", prefix, option_key(option), refused);
        return false;
    }
    *ret = is_null(pair->value) ? SPAN("null") : scalar_text(pair->value);
    return true;
}

static void apply_option(struct walk *walk, const struct section *section, const struct pair *pair)
{
    char prefix[64];
    snprintf(prefix, sizeof(prefix), "%.*s.", (int)section->name.len, section->name.ptr);
    const struct option *option = section_option(section, pair->key);
    struct span text;
    if (!option) {
        unknown_key(walk, section, prefix, pair);
        return;
    }
    const struct origin *before = option_origin(walk->loader->config, option);
    if (before->kind == ORIGIN_FILE) {
        problems_add(walk->loader->problems, &pair->origin, "%s: given before, in line %zu", option->name,
                     before->line);
        return;
    }
    if (value_text(walk, option, prefix, pair, &text))
        loader_set(walk->loader, option, text, pair->origin);
    *option_origin(walk->loader->config, option) = pair->origin;
}

static void apply_section(struct walk *walk, const struct section *section, const struct pair *pair)
{
    if (is_null(pair->value))
        return; /* a section whose lines are all comments */
    if (pair->value->type != YAML_MAPPING_NODE) {
        problems_add(walk->loader->problems, &pair->origin, "%.*s: must be a section, with its options below it",
                     (int)section->name.len, section->name.ptr);
        return;
    }
    for (size_t i = 0; i < pair_count(pair->value) && !problems_full(walk->loader->problems); i++) {
        struct pair inner;
        if (get_pair(walk, pair->value, i, &inner))
            apply_option(walk, section, &inner);
    }
}

/* One `key: value` of a list's item; lines[0] is the item's, lines[1 + n] of its n-th option. */
static void apply_item_option(struct walk *walk, const struct section *section, const char *prefix,
                              const struct pair *pair, void *item, size_t *lines)
{
    const struct option *option = section_option(section, pair->key);
    struct error err;
    struct span text;
    if (!option) {
        unknown_key(walk, section, prefix, pair);
        return;
    }
    size_t *line = &lines[1 + (option - section->options)];
    if (*line > 0) {
        problems_add(walk->loader->problems, &pair->origin, "%s%s: given before, in line %zu", prefix, option->name,
                     *line);
        return;
    }
    *line = pair->origin.line;
    if (value_text(walk, option, prefix, pair, &text) &&
        option_parse(option, text, item, &walk->loader->config->detail->arena, &err) < 0)
        problems_add(walk->loader->problems, &pair->origin, "%s%s: %s", prefix, option->name, err.text);
}

static void apply_item(struct walk *walk, const struct section *section, size_t index, const yaml_node_t *node,
                       void *item, size_t *lines)
{
    struct loader *loader = walk->loader;
    struct origin origin = origin_of(walk, node);
    char prefix[64];
    snprintf(prefix, sizeof(prefix), "%s[%zu].", section->list->section, index);
    lines[0] = origin.line;
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        if (option->fallback &&
            option_parse(option, span_of(option->fallback), item, &loader->config->detail->arena, NULL) < 0)
            abort(); /* a wrong row of the table */
    }
    if (node->type != YAML_MAPPING_NODE) {
        problems_add(loader->problems, &origin, "%s[%zu]: must be a mapping such as \"- %s: ...\"",
                     section->list->section, index, section->options[0].name);
        return;
    }
    for (size_t i = 0; i < pair_count(node) && !problems_full(loader->problems); i++) {
        struct pair pair;
        if (get_pair(walk, node, i, &pair))
            apply_item_option(walk, section, prefix, &pair, item, lines);
    }
    for (size_t i = 0; i < section->count; i++) {
        if (lines[1 + i] == 0 && !section->options[i].fallback && !(section->options[i].flags & OPTION_OPTIONAL))
            problems_add(loader->problems, &origin, "%s%s: is missing", prefix, section->options[i].name);
    }
}

static void apply_list(struct walk *walk, const struct section *section, const struct pair *pair)
{
    struct config_detail *detail = walk->loader->config->detail;
    if (is_null(pair->value))
        return;
    if (pair->value->type != YAML_SEQUENCE_NODE) {
        problems_add(walk->loader->problems, &pair->origin, "%s: must be a list of \"- %s: ...\"",
                     section->list->section, section->options[0].name);
        return;
    }
    const yaml_node_item_t *items = pair->value->data.sequence.items.start;
    size_t count = (size_t)(pair->value->data.sequence.items.top - items);
    if (count > section->list->max_items) {
        problems_add(walk->loader->problems, &pair->origin, "%s: %zu items are more than %zu", section->list->section,
                     count, section->list->max_items);
        return;
    }
    struct list_detail *list = &detail->lists[section->list - config_lists];
    size_t row = section->count + 1;
    list->items = arena_alloc(&detail->arena, count * section->list->item_size);
    list->lines = arena_alloc(&detail->arena, count * row * sizeof(size_t));
    memset(list->items, 0, count * section->list->item_size);
    memset(list->lines, 0, count * row * sizeof(size_t));
    list->count = count;
    list->file = detail->file;
    for (size_t i = 0; i < count; i++)
        apply_item(walk, section, i, yaml_document_get_node(walk->document, items[i]),
                   (char *)list->items + i * section->list->item_size, &list->lines[i * row]);
}

static void unknown_section(struct walk *walk, const struct pair *pair)
{
    struct suggestion near;
    struct section section;
    char names[SECTIONS_MAX][32];
    suggestion_init(&near, pair->key);
    for (size_t i = 0; i < SECTIONS_MAX && section_at(i, &section); i++) {
        snprintf(names[i], sizeof(names[i]), "%.*s", (int)section.name.len, section.name.ptr);
        suggestion_offer(&near, names[i]);
    }
    problems_add(walk->loader->problems, &pair->origin, "%.*s: unknown key%s%s%s", shown_len(pair->key), pair->key.ptr,
                 near.best ? "; did you mean " : "", near.best ? near.best : "", near.best ? "?" : "");
}

static void apply_root_pair(struct walk *walk, const struct pair *pair, size_t seen[SECTIONS_MAX])
{
    struct section section;
    size_t index = 0;
    while (section_at(index, &section) && !span_eq(section.name, pair->key))
        index++;
    if (!section_at(index, &section)) {
        unknown_section(walk, pair);
        return;
    }
    if (seen[index] > 0) {
        problems_add(walk->loader->problems, &pair->origin, "%.*s: given before, in line %zu", (int)pair->key.len,
                     pair->key.ptr, seen[index]);
        return;
    }
    seen[index] = pair->origin.line;
    if (walk->loader->tokens != (section.list == &config_lists[LIST_TOKENS])) {
        problems_add(walk->loader->problems, &pair->origin,
                     walk->loader->tokens ? "%.*s: does not belong here: this file is a list of `tokens`"
                                          : "%.*s: stand in a file of their own, named by andon.tokens_file",
                     (int)pair->key.len, pair->key.ptr);
        return;
    }
    if (section.list)
        apply_list(walk, &section, pair);
    else
        apply_section(walk, &section, pair);
}

void loader_apply_tree(struct loader *loader, struct yaml_document_s *document)
{
    struct walk walk = {loader, document};
    size_t seen[SECTIONS_MAX] = {0};
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || is_null(root))
        return; /* nothing but comments: all defaults */
    if (root->type != YAML_MAPPING_NODE) {
        struct origin origin = origin_of(&walk, root);
        problems_add(loader->problems, &origin, "must be %s",
                     loader->tokens ? "\"tokens:\" and below it a list of \"- name: ...\""
                                    : "sections with options below them, such as \"log:\" and then \"  level: info\"");
        return;
    }
    for (size_t i = 0; i < pair_count(root) && !problems_full(loader->problems); i++) {
        struct pair pair;
        if (get_pair(&walk, root, i, &pair))
            apply_root_pair(&walk, &pair, seen);
    }
}
