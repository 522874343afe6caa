/* The environment and the command line. TAI_<SECTION>_<NAME> sets an option; an unknown name in a known section, or one
 * that looks like a misspelt option, is a problem; any other TAI_ variable is a warning, because it may be somebody
 * else's. An empty variable counts as not set. TAI_KEYS_<ID>_SECRET is a key's secret. */
#include "config/loader.h"

#include <stdio.h>

enum { VARIABLE_MAX = 160 };

struct variable {
    struct span name;  /* "TAI_LOG_LEVEL" */
    struct span value; /* not empty */
    struct origin origin;
};

/* text in capitals, other characters than letters and digits as `_`, appended to ret at. */
static size_t add_upper(char *ret, size_t at, struct span text)
{
    for (size_t i = 0; i < text.len && at < VARIABLE_MAX - 1; i++, at++) {
        char c = text.ptr[i];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if ((c < 'A' || c > 'Z') && (c < '0' || c > '9'))
            c = '_';
        ret[at] = c;
    }
    ret[at] = '\0';
    return at;
}

static void option_variable(const struct option *option, char ret[VARIABLE_MAX])
{
    size_t at = add_upper(ret, 0, SPAN("TAI_"));
    (void)add_upper(ret, at, span_of(option->name));
}

static void key_variable(const char *id, char ret[VARIABLE_MAX])
{
    size_t at = add_upper(ret, 0, SPAN("TAI_KEYS_"));
    at = add_upper(ret, at, span_of(id));
    (void)add_upper(ret, at, SPAN("_SECRET"));
}

static bool starts_with(struct span text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

static bool parse_variable(struct loader *loader, const char *entry, struct variable *ret)
{
    const char *equals = strchr(entry, '=');
    if (!equals || equals[1] == '\0')
        return false;
    ret->name = (struct span){entry, (size_t)(equals - entry)};
    ret->value = span_of(equals + 1);
    ret->origin = (struct origin){ORIGIN_ENVIRONMENT, 0, NULL};
    if (starts_with(ret->name, "TAI_") || span_is(ret->name, "PORT"))
        ret->origin.name = arena_copy(&loader->config->detail->arena, entry, ret->name.len);
    return ret->origin.name != NULL;
}

static void unknown_variable(struct loader *loader, const struct variable *variable, const char *rule)
{
    struct suggestion near;
    char names[VARIABLE_MAX];
    const struct option *best = NULL;
    suggestion_init(&near, variable->name);
    for (size_t i = 0; i < config_options_count; i++) {
        const size_t before = near.distance;
        option_variable(&config_options[i], names);
        suggestion_offer(&near, names);
        if (near.distance < before)
            best = &config_options[i];
    }
    if (best) {
        option_variable(best, names);
        problems_add(loader->problems, &variable->origin, "no option has that variable; did you mean %s?", names);
    } else if (rule) {
        problems_add(loader->problems, &variable->origin, "%s", rule);
    } else {
        char text[VARIABLE_MAX + 64];
        snprintf(text, sizeof(text), "%.100s: no section has that name; the variable is not used",
                 variable->origin.name);
        loader_warn(loader, text);
    }
}

/* What is said of a variable that names no option: its section is ours (then it is wrong), or NULL. */
static const char *section_rule(const struct variable *variable)
{
    struct section section;
    for (size_t i = 0; section_at(i, &section); i++) {
        char prefix[VARIABLE_MAX];
        size_t at = add_upper(prefix, 0, SPAN("TAI_"));
        at = add_upper(prefix, at, section.name);
        (void)add_upper(prefix, at, SPAN("_"));
        if (!starts_with(variable->name, prefix))
            continue;
        if (!section.list)
            return "no option has that variable";
        return section.list == &config_lists[LIST_KEYS]
                   ? "no key has that variable; it is TAI_KEYS_<ID>_SECRET with the id in capitals"
                   : "lists are written in the configuration file only";
    }
    return NULL;
}

static void set_secret(struct loader *loader, const struct variable *variable, size_t index)
{
    struct key_item *item = list_item(loader->config, LIST_KEYS, index);
    if (variable->value.len < CONFIG_SECRET_MIN)
        problems_add(loader->problems, &variable->origin, "the secret of key %s has %zu bytes, fewer than %d",
                     item->key.id, variable->value.len, CONFIG_SECRET_MIN);
    item->key.secret = arena_copy(&loader->config->detail->arena, variable->value.ptr, variable->value.len);
    item->key.secret_len = variable->value.len;
}

/* True if it was the secret of a key. */
static bool apply_secret(struct loader *loader, const struct variable *variable)
{
    bool found = false;
    for (size_t i = 0; i < loader->config->detail->lists[LIST_KEYS].count; i++) {
        const struct key_item *item = list_item(loader->config, LIST_KEYS, i);
        char name[VARIABLE_MAX];
        if (!item->key.id)
            continue;
        key_variable(item->key.id, name);
        if (!span_is(variable->name, name))
            continue;
        if (found)
            problems_add(loader->problems, &variable->origin,
                         "is the variable of more than one key: rename one, or use "
                         "secret_file");
        else
            set_secret(loader, variable, i);
        found = true;
    }
    return found;
}

static void apply_variable(struct loader *loader, const struct variable *variable)
{
    for (size_t i = 0; i < config_options_count; i++) {
        char name[VARIABLE_MAX];
        option_variable(&config_options[i], name);
        if (span_is(variable->name, name)) {
            loader_set(loader, &config_options[i], variable->value, variable->origin);
            return;
        }
    }
    if (!apply_secret(loader, variable))
        unknown_variable(loader, variable, section_rule(variable));
}

/* PORT, as platforms set it: the port of ingress.listen, unless TAI_INGRESS_LISTEN says all of it. */
static void apply_port(struct loader *loader, const struct variable *port)
{
    const struct option *option = option_find("ingress.listen");
    const char *listen = loader->config->ingress.listen.text;
    struct buf text;
    unsigned number = 0;
    bool good = port->value.len > 0 && port->value.len <= 5;
    for (size_t i = 0; i < port->value.len && good; i++) {
        good = port->value.ptr[i] >= '0' && port->value.ptr[i] <= '9';
        number = number * 10 + (unsigned)(port->value.ptr[i] - '0');
    }
    if (!good || number > UINT16_MAX) {
        problems_add(loader->problems, &port->origin, "must be a port number, 0 to 65535");
        return;
    }
    if (option_origin(loader->config, option)->kind == ORIGIN_ENVIRONMENT)
        return;
    buf_init(&text, 256);
    buf_add(&text, listen, (size_t)(strrchr(listen, ':') + 1 - listen));
    buf_add_span(&text, port->value);
    loader_set(loader, option, buf_span(&text), port->origin);
    buf_done(&text);
}

void loader_apply_environment(struct loader *loader, char *const *env)
{
    struct variable variable;
    struct variable port = {0};
    for (; env && *env && !problems_full(loader->problems); env++) {
        if (!parse_variable(loader, *env, &variable))
            continue;
        if (span_is(variable.name, "PORT"))
            port = variable;
        else
            apply_variable(loader, &variable);
    }
    if (port.name.ptr)
        apply_port(loader, &port);
}

void loader_apply_overrides(struct loader *loader, const struct config_override *overrides, size_t count)
{
    const struct origin origin = {ORIGIN_COMMAND_LINE, 0, NULL};
    for (size_t i = 0; i < count; i++) {
        const struct option *option = option_find(overrides[i].name);
        if (option) {
            loader_set(loader, option, span_of(overrides[i].value), origin);
            continue;
        }
        struct suggestion near;
        suggestion_init(&near, span_of(overrides[i].name));
        for (size_t j = 0; j < config_options_count; j++)
            suggestion_offer(&near, config_options[j].name);
        problems_add(loader->problems, &origin, "%.100s: no such option%s%s%s", overrides[i].name,
                     near.best ? "; did you mean " : "", near.best ? near.best : "", near.best ? "?" : "");
    }
}
