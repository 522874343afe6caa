/* What differs between two configurations, by name: for whoever takes one over while it runs. Values are compared as
 * they are written, secrets byte by byte. */
#include "config/options.h"

static bool same_text(const struct option *option, const void *a, const void *b)
{
    struct buf first, second;
    bool text = option->type == OPTION_TEXT || option->type == OPTION_FILE;
    if (text && (!*(const char *const *)((const char *)a + option->offset) ||
                 !*(const char *const *)((const char *)b + option->offset)))
        return *(const char *const *)((const char *)a + option->offset) ==
               *(const char *const *)((const char *)b + option->offset);
    buf_init(&first, SIZE_MAX);
    buf_init(&second, SIZE_MAX);
    option_format(option, a, &first);
    option_format(option, b, &second);
    bool same = span_eq(buf_span(&first), buf_span(&second));
    buf_done(&first);
    buf_done(&second);
    return same;
}

static bool same_secrets(const struct key_config *a, const struct key_config *b)
{
    return span_eq((struct span){a->secret, a->secret_len}, (struct span){b->secret, b->secret_len}) &&
           span_eq((struct span){a->previous, a->previous_len}, (struct span){b->previous, b->previous_len});
}

static bool same_list(const struct config *a, const struct config *b, enum config_list list)
{
    const struct option_list *type = &config_lists[list];
    size_t count = a->detail->lists[list].count;
    if (count != b->detail->lists[list].count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const void *first = list_item(a, list, i), *second = list_item(b, list, i);
        for (size_t j = 0; j < type->count; j++)
            if (!same_text(&type->options[j], first, second))
                return false;
        if (list == LIST_KEYS &&
            !same_secrets(&((const struct key_item *)first)->key, &((const struct key_item *)second)->key))
            return false;
    }
    return true;
}

static void add_name(struct buf *out, const char *name)
{
    buf_addf(out, "%s%s", out->len ? ", " : "", name);
}

void config_diff(const struct config *before, const struct config *after, bool reloadable, struct buf *out)
{
    for (size_t i = 0; i < config_options_count; i++) {
        const struct option *option = &config_options[i];
        if (!!(option->flags & OPTION_RELOADABLE) == reloadable && !same_text(option, before, after))
            add_name(out, option->name);
    }
    for (int i = 0; i < LIST_COUNT; i++)
        if (!!(config_lists[i].flags & OPTION_RELOADABLE) == reloadable && !same_list(before, after, i))
            add_name(out, config_lists[i].section);
}
