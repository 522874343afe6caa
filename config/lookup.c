/* Finding sections, options and the origins of values. Pure look-ups over constant tables and a loaded configuration.
 */
#include "config/options.h"

#include <errno.h>

static struct span section_of(const struct option *option)
{
    return (struct span){option->name, strcspn(option->name, ".")};
}

bool section_at(size_t index, struct section *ret)
{
    size_t first = 0;
    for (size_t seen = 0; first < config_options_count; seen++) {
        struct span name = section_of(&config_options[first]);
        size_t end = first + 1;
        while (end < config_options_count && span_eq(section_of(&config_options[end]), name))
            end++;
        if (seen == index) {
            *ret = (struct section){name, &config_options[first], end - first, NULL};
            return true;
        }
        first = end;
        if (first == config_options_count && index - seen <= LIST_COUNT) {
            const struct option_list *list = &config_lists[index - seen - 1];
            *ret = (struct section){span_of(list->section), list->options, list->count, list};
            return true;
        }
    }
    return false;
}

bool section_find(struct span name, struct section *ret)
{
    struct section section;
    for (size_t i = 0; section_at(i, &section); i++) {
        if (span_eq(section.name, name)) {
            *ret = section;
            return true;
        }
    }
    return false;
}

const char *option_key(const struct option *option)
{
    const char *dot = strchr(option->name, '.');
    return dot ? dot + 1 : option->name;
}

const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < config_options_count; i++) {
        if (strcmp(config_options[i].name, name) == 0)
            return &config_options[i];
    }
    return NULL;
}

const struct option *section_option(const struct section *section, struct span key)
{
    for (size_t i = 0; i < section->count; i++) {
        if (span_is(key, option_key(&section->options[i])))
            return &section->options[i];
    }
    return NULL;
}

struct origin *option_origin(const struct config *config, const struct option *option)
{
    return &config->detail->origins[option - config_options];
}

void *list_item(const struct config *config, enum config_list list, size_t item)
{
    return (char *)config->detail->lists[list].items + item * config_lists[list].item_size;
}

struct origin item_origin(const struct config *config, enum config_list list, size_t item, const char *key)
{
    const struct option_list *type = &config_lists[list];
    const size_t *lines = &config->detail->lists[list].lines[item * (type->count + 1)];
    size_t line = lines[0];
    for (size_t i = 0; key && i < type->count; i++) {
        if (strcmp(type->options[i].name, key) == 0)
            line = lines[i + 1];
    }
    if (line == 0)
        return (struct origin){ORIGIN_DEFAULT, 0, NULL};
    return (struct origin){ORIGIN_FILE, line, config->detail->lists[list].file};
}

int config_check_item(const char *section, const char *key, struct span text, struct error *err)
{
    union {
        struct key_item key;
        struct token_item token;
        struct policy_item policy;
        struct action_config action;
    } item = {0};
    struct section found;
    struct arena arena = {0};
    if (!section_find(span_of(section), &found) || !found.list || !section_option(&found, span_of(key)))
        return error_set(err, -EINVAL, "there is no %s.%s", section, key);
    int code = option_parse(section_option(&found, span_of(key)), text, &item, &arena, err);
    arena_done(&arena);
    return code;
}
