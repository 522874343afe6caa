/* The effective configuration, as YAML for people (each value with its origin) and as canonical JSON, whose bytes are
 * what config_sha256 covers. Secrets appear as "***" in both. */
#include "config/options.h"

#include "common/json/json.h"

enum { ORIGIN_COLUMN = 44 };

/* An optional text nobody gave. */
static bool is_absent(const struct option *option, const void *base)
{
    return (option->type == OPTION_TEXT || option->type == OPTION_FILE) &&
           !*(const char *const *)((const char *)base + option->offset);
}

/* Tokens stand in a file of their own and decide nothing that a receipt tells of. */
static bool is_elsewhere(const struct section *section)
{
    return section->list == &config_lists[LIST_TOKENS];
}

static void add_json_value(const struct option *option, const void *base, struct buf *out)
{
    struct buf text;
    if (option->type == OPTION_INT || option->type == OPTION_BOOL) {
        option_format(option, base, out);
        return;
    }
    buf_init(&text, SIZE_MAX);
    option_format(option, base, &text);
    json_add_string(out, buf_span(&text));
    buf_done(&text);
}

static void add_json_options(const struct option *options, size_t count, const void *base, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (is_absent(&options[i], base))
            continue;
        json_add_key(out, option_key(&options[i]));
        add_json_value(&options[i], base, out);
    }
    buf_add_char(out, '}');
}

static void add_json_list(const struct config *config, const struct option_list *list, struct buf *out)
{
    enum config_list index = (enum config_list)(list - config_lists);
    buf_add_char(out, '[');
    for (size_t i = 0; i < config->detail->lists[index].count; i++) {
        if (i > 0)
            buf_add_char(out, ',');
        add_json_options(list->options, list->count, list_item(config, index, i), out);
    }
    buf_add_char(out, ']');
}

static void write_json(const struct config *config, struct buf *out)
{
    struct section section;
    struct buf plain;
    buf_init(&plain, SIZE_MAX);
    buf_add_char(&plain, '{');
    for (size_t i = 0; section_at(i, &section); i++) {
        if (is_elsewhere(&section))
            continue;
        buf_addf(&plain, "%s\"%.*s\":", i ? "," : "", (int)section.name.len, section.name.ptr);
        if (section.list)
            add_json_list(config, section.list, &plain);
        else
            add_json_options(section.options, section.count, config, &plain);
    }
    buf_add_char(&plain, '}');
    struct json_doc doc;
    json_init(&doc);
    if (json_parse(&doc, buf_span(&plain), NULL) < 0 || json_canonical(&doc, &doc.nodes[0], out) < 0)
        out->failed = true;
    json_done(&doc);
    buf_done(&plain);
}

/* A text that YAML would not read as itself. */
static bool needs_quotes(const struct option *option, struct span text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_FILE:
    case OPTION_SECRET:
    case OPTION_ADDRESS:
        break;
    default:
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!memchr(plain, text.ptr[i], sizeof(plain) - 1))
            return true;
    }
    return text.ptr[0] == '-' || span_is(text, "null") || span_is(text, "Null") || span_is(text, "NULL");
}

static void add_yaml_value(const struct option *option, const void *base, struct buf *out)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    option_format(option, base, &text);
    if (needs_quotes(option, buf_span(&text)))
        json_add_string(out, buf_span(&text));
    else
        buf_add_span(out, buf_span(&text));
    buf_done(&text);
}

static void add_origin(size_t line_start, const struct origin *origin, struct buf *out)
{
    while (!out->failed && out->len - line_start < ORIGIN_COLUMN)
        buf_add_char(out, ' ');
    buf_add_str(out, " # ");
    origin_write(origin, out);
    buf_add_char(out, '\n');
}

static void add_yaml_item(const struct config *config, const struct option_list *list, size_t index, struct buf *out)
{
    enum config_list which = (enum config_list)(list - config_lists);
    const char *lead = "  - ";
    for (size_t i = 0; i < list->count; i++) {
        const struct option *option = &list->options[i];
        const void *item = list_item(config, which, index);
        struct origin origin = item_origin(config, which, index, option->name);
        size_t start = out->len;
        if (is_absent(option, item))
            continue;
        buf_addf(out, "%s%s: ", lead, option->name);
        add_yaml_value(option, item, out);
        if (option->type == OPTION_SECRET)
            buf_add_char(out, '\n');
        else
            add_origin(start, &origin, out);
        lead = "    ";
    }
}

static void add_yaml_section(const struct config *config, const struct section *section, struct buf *out)
{
    buf_addf(out, "%.*s:\n", (int)section->name.len, section->name.ptr);
    for (size_t i = 0; i < section->count; i++) {
        const struct option *option = &section->options[i];
        size_t start = out->len;
        if (is_absent(option, config))
            continue;
        buf_addf(out, "  %s: ", option_key(option));
        add_yaml_value(option, config, out);
        add_origin(start, option_origin(config, option), out);
    }
}

static void write_yaml(const struct config *config, struct buf *out)
{
    struct section section;
    for (size_t i = 0; section_at(i, &section); i++) {
        if (is_elsewhere(&section))
            continue;
        if (!section.list) {
            add_yaml_section(config, &section, out);
            continue;
        }
        size_t count = config->detail->lists[section.list - config_lists].count;
        buf_addf(out, "%s:%s\n", section.list->section, count ? "" : " []");
        for (size_t j = 0; j < count; j++)
            add_yaml_item(config, section.list, j, out);
    }
}

void config_write_show(const struct config *config, enum config_show format, struct buf *out)
{
    if (format == CONFIG_SHOW_JSON)
        write_json(config, out);
    else
        write_yaml(config, out);
}
