/* Checks of Host and Origin; guard.h says what for. No state; the loop's thread,
 * for it answers. */
#include "common/http/guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

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

/* "host", "host:port", "[v6]:port": the host without brackets. */
static bool split_authority(struct span authority, char ret[INET6_ADDRSTRLEN], bool *ret_v6)
{
    const char *end = authority.ptr + authority.len, *host = authority.ptr, *stop;
    if (authority.len == 0)
        return false;
    *ret_v6 = *host == '[';
    if (*ret_v6) {
        stop = memchr(++host, ']', authority.len - 1);
    } else {
        stop = memchr(host, ':', authority.len);
        stop = stop ? stop : end;
    }
    const char *port = *ret_v6 && stop ? stop + 1 : stop;
    if (!stop || stop - host >= INET6_ADDRSTRLEN || !is_port((struct span){port, (size_t)(end - port)}))
        return false;
    memcpy(ret, host, (size_t)(stop - host));
    ret[stop - host] = '\0';
    return true;
}

bool http_host_loopback(struct span host)
{
    char name[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    bool bracketed;
    if (!split_authority(host, name, &bracketed))
        return false;
    if (bracketed)
        return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    if (strcasecmp(name, "localhost") == 0 || strcasecmp(name, "localhost.") == 0)
        return true;
    return inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static bool same_origin(struct span origin, struct span host, const char *scheme)
{
    size_t len = strlen(scheme);
    return host.ptr && host.len > 0 && origin.len == len + host.len && strncasecmp(origin.ptr, scheme, len) == 0 &&
           strncasecmp(origin.ptr + len, host.ptr, host.len) == 0;
}

bool http_guard_local(struct http_request *req, const char *credentials)
{
    struct span host = http_header(req, "Host"), origin = http_header(req, "Origin");
    const char *rule = NULL;
    if (!http_from_loopback(req))
        rule = "only requests from this machine are served";
    else if (host.ptr && !http_host_loopback(host))
        rule = "Host must be localhost, 127.0.0.1 or [::1]";
    else if (origin.ptr && (http_header_count(req, "Origin") > 1 || !same_origin(origin, host, "http://")))
        rule = "requests of web pages are refused: Origin must be that of this listener";
    if (!rule)
        return true;
    http_problem(req, 403, NULL, "without %s, %s", credentials, rule);
    return false;
}

bool http_guard_origin(struct http_request *req)
{
    struct span host = http_header(req, "Host"), origin = http_header(req, "Origin");
    if (!origin.ptr || (http_header_count(req, "Origin") == 1 &&
                        (same_origin(origin, host, "http://") || same_origin(origin, host, "https://"))))
        return true;
    http_problem(req, 403, NULL, "requests of web pages are refused: Origin must be that of this listener");
    return false;
}
