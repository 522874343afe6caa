/* The rules of text values and of addresses. Messages say what to write; accepted addresses are copied into the arena.
 */
#include "config/options.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/utf8.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

struct syntax {
    size_t max;
    const char *others; /* allowed beside letters (lower case ones if lower) and digits; NULL: any printable text */
    bool lower;
    const char *rule;
};

static const struct syntax syntaxes[] = {
    [SYNTAX_WORD] = {64, "_.-", true, "1 to 64 of a-z 0-9 . _ -"},
    [SYNTAX_TENANT] = {64, "_.-", false, "\"*\", or a tenant id: 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with _"},
    [SYNTAX_KEY_ID] = {64, "_.~-", false, "1 to 64 of A-Z a-z 0-9 . _ ~ -"},
    [SYNTAX_ORIGIN] = {128, "_.~-/:", false, "1 to 128 of A-Z a-z 0-9 . _ ~ - / :"},
    [SYNTAX_SOURCE] = {256, "_.~-/:?#@!$&'()*+,;=%[]", false, "a URI reference of 1 to 256 characters"},
    [SYNTAX_PATH] = {1024, NULL, false, "a path of 1 to 1024 bytes"},
    [SYNTAX_SHA256] = {64, "", true, "a SHA-256: 64 of 0-9 a-f, as `tai key new token` prints it"},
    [SYNTAX_TIME] = {64, "-:.+TZtz", true, "a time such as 2027-01-31T00:00:00Z"},
    [SYNTAX_DIRECTORY] = {960, NULL, false, "a path of 1 to 960 bytes"}, /* paths are made below it */
};

static bool allowed(const struct syntax *syntax, char c)
{
    if (!syntax->others)
        return (unsigned char)c >= ' ' && c != 0x7f;
    bool letter = (c >= 'a' && c <= 'z') || (!syntax->lower && c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || (c != '\0' && strchr(syntax->others, c));
}

int text_check(enum option_syntax kind, struct span text, struct error *err)
{
    const struct syntax *syntax = &syntaxes[kind];
    if (kind == SYNTAX_TENANT && span_is(text, "*"))
        return 0;
    bool good = text.len > 0 && text.len <= syntax->max && utf8_valid(text);
    for (size_t i = 0; good && i < text.len; i++)
        good = allowed(syntax, text.ptr[i]);
    if (good && kind == SYNTAX_TENANT)
        good = text.ptr[0] != '_';
    uint8_t digest[CONFIG_SHA256_SIZE];
    if (good && kind == SYNTAX_SHA256)
        good = hex_decode(text, digest, sizeof(digest));
    int64_t ms;
    if (good && kind == SYNTAX_TIME)
        good = time_parse_rfc3339(text, &ms);
    return good ? 0 : error_set(err, -EINVAL, "must be %s", syntax->rule);
}

static bool loopback6(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

/* A numeric host, or localhost, which becomes 127.0.0.1. */
static bool parse_host(const char *host, bool brackets, const char **ret_host, bool *ret_loopback)
{
    struct in_addr v4;
    struct in6_addr v6;
    *ret_host = host;
    if (brackets) {
        bool good = inet_pton(AF_INET6, host, &v6) == 1;
        *ret_loopback = good && loopback6(&v6);
        return good;
    }
    if (strcasecmp(host, "localhost") == 0)
        *ret_host = "127.0.0.1";
    if (inet_pton(AF_INET, *ret_host, &v4) != 1)
        return false;
    *ret_loopback = ntohl(v4.s_addr) >> 24 == 127;
    return true;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
        return false;
    long port = strtol(text, NULL, 10);
    *ret = (uint16_t)port;
    return port <= UINT16_MAX;
}

int address_parse(struct span text, struct config_address *ret, struct arena *arena, struct error *err)
{
    static const char rule[] = "must be IP:PORT, such as 127.0.0.1:8080, 0.0.0.0:80 or [::1]:8080";
    struct config_address address = {0};
    enum { ADDRESS_MAX = 64 };
    if (text.len == 0 || text.len > ADDRESS_MAX || memchr(text.ptr, '\0', text.len))
        return error_set(err, -EINVAL, rule);
    char *whole = arena_copy(arena, text.ptr, text.len);
    char *host = arena_copy(arena, text.ptr, text.len);
    char *colon = strrchr(host, ':');
    bool brackets = host[0] == '[';
    if (!colon || (brackets && (colon == host || colon[-1] != ']')))
        return error_set(err, -EINVAL, rule);
    *colon = '\0';
    if (brackets) {
        colon[-1] = '\0';
        host++;
    }
    if (!parse_host(host, brackets, &address.host, &address.loopback) || !parse_port(colon + 1, &address.port))
        return error_set(err, -EINVAL, rule);
    address.text = whole;
    *ret = address;
    return 0;
}
