/* Header checks on borrowed spans; no state, any thread. */
#include "ingress/guard.h"

#include <arpa/inet.h>
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

static bool is_port(struct span text)
{
    if (text.len == 0)
        return true;
    if (text.ptr[0] != ':' || text.len > sizeof(":65535") - 1)
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return true;
}

static bool is_loopback_v4(struct span host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool guard_host(struct span host)
{
    static const char v6[] = "[::1]";
    const size_t v6_len = sizeof(v6) - 1;
    if (host.len == 0)
        return false;
    if (host.ptr[0] == '[')
        return host.len >= v6_len && memcmp(host.ptr, v6, v6_len) == 0 &&
               is_port((struct span){host.ptr + v6_len, host.len - v6_len});
    const char *colon = memchr(host.ptr, ':', host.len);
    struct span name = {host.ptr, colon ? (size_t)(colon - host.ptr) : host.len};
    if (colon && !is_port((struct span){colon, host.len - name.len}))
        return false;
    return is_word(name, "localhost") || is_loopback_v4(name);
}
