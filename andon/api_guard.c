/* Who may ask. There are no tokens yet, so the listener is on the loopback interface, and a web page in a browser on
 * this machine is the one foreign visitor: a page that was rebound to this address shows in Host, a page of another
 * site in Origin. Both are refused. Pure apart from answering. */
#include "andon/api_internal.h"

#include <arpa/inet.h>
#include <strings.h>

/* "host", "host:port", "[v6]:port": the host without brackets. */
static bool split_authority(struct span authority, char ret[64])
{
    const char *end = authority.ptr + authority.len, *host = authority.ptr, *stop;
    if (authority.len == 0)
        return false;
    if (*host == '[') {
        host++;
        stop = memchr(host, ']', (size_t)(end - host));
        if (!stop || (stop + 1 < end && stop[1] != ':'))
            return false;
    } else {
        stop = memchr(host, ':', authority.len);
        stop = stop ? stop : end;
    }
    size_t len = (size_t)(stop - host);
    if (len == 0 || len >= 64)
        return false;
    memcpy(ret, host, len);
    ret[len] = '\0';
    return true;
}

static bool loopback(struct span authority)
{
    char host[64];
    struct in_addr v4;
    struct in6_addr v6;
    if (!split_authority(authority, host))
        return false;
    if (strcasecmp(host, "localhost") == 0 || strcasecmp(host, "localhost.") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool same_origin(struct span origin, struct span host)
{
    static const char scheme[] = "http://";
    size_t len = sizeof(scheme) - 1;
    return origin.len == len + host.len && strncasecmp(origin.ptr, scheme, len) == 0 &&
           strncasecmp(origin.ptr + len, host.ptr, host.len) == 0;
}

static bool from_here(struct http_request *req)
{
    struct span host = http_header(req, "Host"), origin = http_header(req, "Origin");
    if (!loopback(host)) {
        http_problem(req, 403, NULL,
                     "Host must name this machine's loopback address, such as 127.0.0.1: without tokens nobody else "
                     "is served");
        return false;
    }
    if (origin.ptr && (http_header_count(req, "Origin") > 1 || !same_origin(origin, host))) {
        http_problem(req, 403, NULL, "requests from web pages of another origin are refused");
        return false;
    }
    return true;
}

static bool allowed_once(struct http_request *req, struct span name, const char *const *allowed, uint32_t *seen)
{
    for (size_t i = 0; allowed[i]; i++) {
        if (!span_is(name, allowed[i]))
            continue;
        if (*seen & 1u << i) {
            http_problem(req, 400, NULL, "the parameter \"%s\" is given twice", allowed[i]);
            return false;
        }
        *seen |= 1u << i;
        return true;
    }
    struct buf known;
    buf_init(&known, 512);
    for (size_t i = 0; allowed[i]; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", allowed[i]);
    http_problem(req, 400, NULL, "unknown parameter \"%.*s\"; known here: %s", (int)(name.len < 64 ? name.len : 64),
                 name.ptr, known.len ? buf_cstr(&known) : "none");
    buf_done(&known);
    return false;
}

/* Names are compared as sent: ours need no escapes. */
static bool params_known(struct http_request *req, const char *const *allowed)
{
    struct span rest = http_target(req);
    const char *query = rest.len ? memchr(rest.ptr, '?', rest.len) : NULL;
    uint32_t seen = 0;
    rest = query ? (struct span){query + 1, rest.len - (size_t)(query + 1 - rest.ptr)} : (struct span){0};
    while (rest.len) {
        const char *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        const char *equals = len ? memchr(rest.ptr, '=', len) : NULL;
        struct span name = {rest.ptr, equals ? (size_t)(equals - rest.ptr) : len};
        if (len && !allowed_once(req, name, allowed, &seen))
            return false;
        rest.ptr += end ? len + 1 : len;
        rest.len -= end ? len + 1 : len;
    }
    return true;
}

bool api_admit(struct http_request *req, const struct api_route *route)
{
    http_add_header(req, "Cache-Control", SPAN("no-store"));
    return from_here(req) && params_known(req, route->params);
}
