/* Header checks on borrowed spans; no state, any thread. */
#include "ingress/guard.h"

#include <strings.h>

static struct span trim(struct span text)
{
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* The trimmed part of *rest before the next separator; *rest is what follows it, ptr NULL at the end. */
static struct span next_part(struct span *rest, char separator)
{
    struct span part = *rest;
    const char *at = part.len ? memchr(part.ptr, separator, part.len) : NULL;
    if (at) {
        part.len = (size_t)(at - part.ptr);
        *rest = (struct span){at + 1, rest->len - part.len - 1};
    } else {
        *rest = (struct span){NULL, 0};
    }
    return trim(part);
}

static bool is_word(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

static bool is_utf8_charset(struct span parameter)
{
    struct span value = parameter;
    struct span name = next_part(&value, '=');
    if (!value.ptr || !is_word(name, "charset"))
        return false;
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = (struct span){value.ptr + 1, value.len - 2};
    return is_word(value, "utf-8");
}

bool guard_content_type(struct span content_type)
{
    struct span rest = content_type;
    if (!rest.ptr || !is_word(next_part(&rest, ';'), "application/json"))
        return false;
    while (rest.ptr) {
        struct span parameter = next_part(&rest, ';');
        if (parameter.len && !is_utf8_charset(parameter))
            return false;
    }
    return true;
}
