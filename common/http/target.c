/* The request target: its forms (RFC 9112, 3.2), the route table, the decoding of query and path parameters. The table
 * is compiled once per server; its strings are borrowed from the owner's routes. A linear search: tables are short, and
 * most routes differ in length. */
#include "common/http/internal.h"

#include "common/mem.h"

#include <errno.h>
#include <strings.h>

static bool method_is(const struct http_request *req, const char *method)
{
    return span_is(http_request_part(req, req->head.method), method);
}

/* "http://host/path?query": the host must be there, credentials must not. Offset of the path, 0 if malformed. */
static uint32_t absolute_path(struct span target)
{
    size_t at = 0;
    if (target.len > 7 && strncasecmp(target.ptr, "http://", 7) == 0)
        at = 7;
    else if (target.len > 8 && strncasecmp(target.ptr, "https://", 8) == 0)
        at = 8;
    size_t host = at;
    while (at < target.len && target.ptr[at] != '/' && target.ptr[at] != '?') {
        if (target.ptr[at] == '@')
            return 0;
        at++;
    }
    return host && at > host ? (uint32_t)at : 0;
}

enum http_progress http_target_parse(struct http_request *req)
{
    struct http_head *h = &req->head;
    struct span target = http_request_part(req, h->target);
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return http_refuse(req, 400, "the target holds a character that must be percent-encoded");
    }
    uint32_t start = 0;
    if (target.ptr[0] != '/' && !(method_is(req, "OPTIONS") && span_is(target, "*"))) {
        start = absolute_path(target);
        if (start == 0)
            return http_refuse(req, 400, "the target must start with a slash or be an http URI without credentials");
    }
    const char *query = memchr(target.ptr + start, '?', target.len - start);
    uint32_t end = query ? (uint32_t)(query - target.ptr) : h->target.len;
    h->path = (struct http_part){h->target.at + start, end - start};
    if (query)
        h->query = (struct http_part){h->target.at + end + 1, h->target.len - end - 1};
    return HTTP_MORE;
}

struct span http_path(const struct http_request *req)
{
    /* "http://host" and "http://host?query" */
    return req->head.path.len ? http_request_part(req, req->head.path) : SPAN("/");
}

static int compile(struct http_matcher *m, const struct http_route *route, struct error *err)
{
    if (!route->path || route->path[0] != '/' || !route->handler)
        return error_set(err, -EINVAL, "route %s: needs a path that starts with a slash, and a handler", route->method);
    unsigned names = 0;
    for (const char *p = route->path; (p = strchr(p, '{')); p++) {
        const char *close = strchr(p, '}');
        if (p[-1] != '/' || !close || close == p + 1 || (close[1] != '/' && close[1] != '\0'))
            return error_set(err, -EINVAL, "route %s: a parameter must be a whole segment, {name}", route->path);
        names++;
    }
    if (names > HTTP_PARAMS_MAX)
        return error_set(err, -EINVAL, "route %s: more than %d parameters", route->path, HTTP_PARAMS_MAX);
    *m = (struct http_matcher){route, span_of(route->method), span_of(route->path), names == 0};
    return 0;
}

int http_routes_compile(struct http_server *server, const struct http_route *routes, struct error *err)
{
    size_t count = 0;
    while (routes[count].method)
        count++;
    server->matchers = xcalloc(count, sizeof(*server->matchers));
    server->matcher_count = count;
    for (size_t i = 0; i < count; i++) {
        int r = compile(&server->matchers[i], &routes[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The segment that starts at *at; *at moves behind the slash after it, or to len + 1. */
static struct span segment(struct span path, size_t *at)
{
    const char *start = path.ptr + *at;
    const char *slash = memchr(start, '/', path.len - *at);
    size_t len = slash ? (size_t)(slash - start) : path.len - *at;
    *at += len + 1;
    return (struct span){start, len};
}

static bool match_segments(const struct http_matcher *m, struct span path, const char *base, struct http_params *ret)
{
    size_t a = 0, b = 0;
    ret->count = 0;
    while (a <= m->path.len && b <= path.len) {
        struct span want = segment(m->path, &a), got = segment(path, &b);
        if (want.len == 0 || want.ptr[0] != '{') {
            if (!span_eq(want, got))
                return false;
            continue;
        }
        if (got.len == 0)
            return false;
        ret->names[ret->count] = (struct span){want.ptr + 1, want.len - 2};
        ret->values[ret->count++] = (struct http_part){(uint32_t)(got.ptr - base), (uint32_t)got.len};
    }
    return a > m->path.len && b > path.len;
}

/* Parameters are offsets from base. */
static bool match(const struct http_matcher *m, struct span path, const char *base, struct http_params *ret)
{
    if (!m->literal)
        return match_segments(m, path, base, ret);
    ret->count = 0;
    return span_eq(m->path, path);
}

/* Whether a route without parameters has this path: then it is none of the others', whatever the method. */
static bool is_literal(const struct http_server *server, struct span path)
{
    for (size_t i = 0; i < server->matcher_count; i++)
        if (server->matchers[i].literal && span_eq(server->matchers[i].path, path))
            return true;
    return false;
}

void http_route_find(struct http_request *req)
{
    struct http_head *h = &req->head;
    const struct http_server *server = req->server;
    struct span path = http_path(req), method = http_request_part(req, h->method);
    const struct http_matcher *get = NULL;
    for (size_t i = 0; i < server->matcher_count; i++) {
        const struct http_matcher *m = &server->matchers[i];
        if (!match(m, path, req->data, &req->params) || (!m->literal && is_literal(server, path)))
            continue;
        h->path_known = true;
        if (span_eq(m->method, method)) {
            h->route = m->route;
            return;
        }
        if (h->head_method && !get && span_is(m->method, "GET"))
            get = m;
    }
    if (get && match(get, path, req->data, &req->params)) /* again: later routes have overwritten the parameters */
        h->route = get->route;
}

void http_route_allow(const struct http_request *req, struct buf *out)
{
    const struct http_server *server = req->server;
    struct http_params ignored;
    for (size_t i = 0; i < server->matcher_count; i++) {
        const struct http_matcher *m = &server->matchers[i];
        if (!match(m, http_path(req), req->data, &ignored) || (!m->literal && is_literal(server, http_path(req))))
            continue;
        if (out->len)
            buf_add_str(out, ", ");
        buf_add_span(out, m->method);
        if (span_is(m->method, "GET"))
            buf_add_str(out, ", HEAD");
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends the byte of "%XX" at text[*at] and moves behind it; false if it is none, or NUL. */
static bool add_escape(struct buf *out, struct span text, size_t *at)
{
    int high = *at + 2 < text.len ? hex_value(text.ptr[*at + 1]) : -1;
    int low = *at + 2 < text.len ? hex_value(text.ptr[*at + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
        return false;
    buf_add_char(out, (char)(high << 4 | low));
    *at += 3;
    return true;
}

/* a=1&b=2 to a NUL 1 NUL b NUL 2 NUL; the values hold no NUL themselves. */
static bool decode_query(struct span query, struct buf *out)
{
    bool in_name = true, empty = true;
    for (size_t i = 0; i < query.len;) {
        char c = query.ptr[i];
        if (c == '%') {
            if (!add_escape(out, query, &i))
                return false;
            empty = false;
            continue;
        }
        i++;
        if (c == '&') {
            if (!empty)
                buf_add(out, "\0\0", in_name ? 2 : 1);
            in_name = empty = true;
            continue;
        }
        empty = false;
        bool split = c == '=' && in_name;
        buf_add_char(out, split ? '\0' : c == '+' ? ' ' : c);
        in_name = in_name && !split;
    }
    if (!empty)
        buf_add(out, "\0\0", in_name ? 2 : 1);
    return true;
}

static bool decode_param(struct http_request *req, struct http_part *param)
{
    struct span raw = http_request_part(req, *param);
    uint32_t start = (uint32_t)req->decoded.len;
    for (size_t i = 0; i < raw.len;) {
        if (raw.ptr[i] != '%')
            buf_add_char(&req->decoded, raw.ptr[i++]);
        else if (!add_escape(&req->decoded, raw, &i))
            return false;
    }
    *param = (struct http_part){start, (uint32_t)req->decoded.len - start};
    return true;
}

enum http_progress http_target_decode(struct http_request *req)
{
    struct http_head *h = &req->head;
    if (h->query.len && !decode_query(http_request_part(req, h->query), &req->decoded))
        return http_refuse(req, 400, "the query holds a malformed escape or a NUL");
    req->query_len = req->decoded.len;
    for (unsigned i = 0; i < req->params.count; i++)
        if (!decode_param(req, &req->params.values[i]))
            return http_refuse(req, 400, "the path holds a malformed escape or a NUL");
    return HTTP_MORE;
}

struct span http_param(const struct http_request *req, const char *name)
{
    const struct http_params *params = &req->params;
    for (unsigned i = 0; i < params->count; i++)
        if (span_is(params->names[i], name))
            return (struct span){req->decoded.data + params->values[i].at, params->values[i].len};
    return (struct span){0};
}

bool http_query(const struct http_request *req, const char *name, struct span *ret)
{
    for (size_t at = 0; at < req->query_len;) {
        const char *key = req->decoded.data + at, *value = key + strlen(key) + 1;
        size_t len = strlen(value);
        if (strcmp(key, name) == 0) {
            *ret = (struct span){value, len};
            return true;
        }
        at = (size_t)(value + len + 1 - req->decoded.data);
    }
    return false;
}
