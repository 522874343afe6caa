/* Requests: pooled, each with one growing buffer, and what handlers may ask of them. A request belongs to its
 * connection until that is gone, then to the handler that still has to answer it. */
#include "common/http/internal.h"

#include "common/mem.h"

#include <stdlib.h>

void http_request_free(struct http_request *req)
{
    buf_done(&req->decoded);
    buf_done(&req->headers);
    free(req->data);
    free(req);
}

/* What a request's buffer adds to the sum that HTTP_BUFFERED_MAX bounds. */
static size_t charge(size_t cap)
{
    return cap > HTTP_READ_MAX ? cap - HTTP_READ_MAX : 0;
}

static void resize(struct http_request *req, size_t cap)
{
    req->server->buffered += charge(cap) - charge(req->cap);
    req->data = xrealloc(req->data, cap);
    req->cap = cap;
}

static void reset(struct http_request *req)
{
    req->head = (struct http_head){0};
    req->query_len = 0;
    buf_clear(&req->decoded);
    buf_clear(&req->headers);
}

struct http_request *http_request_take(struct http_server *server)
{
    struct http_request *req = server->pool;
    if (req) {
        server->pool = req->next;
        server->pool_count--;
        server->buffered += charge(req->cap);
        return req;
    }
    req = xmalloc(sizeof(*req));
    *req = (struct http_request){.server = server};
    buf_init(&req->decoded, SIZE_MAX / 2); /* no longer than the target, which is capped */
    buf_init(&req->headers, HTTP_REPLY_HEADERS_MAX);
    resize(req, HTTP_BUFFER_MIN);
    return req;
}

void http_request_release(struct http_request *req)
{
    struct http_server *server = req->server;
    bool orphan = !req->connection;
    server->buffered -= charge(req->cap);
    if (server->freed || server->pool_count >= HTTP_POOL_MAX || req->cap > HTTP_KEEP_MAX) {
        http_request_free(req);
    } else {
        reset(req);
        req->len = 0;
        req->connection = NULL;
        req->next = server->pool;
        server->pool = req;
        server->pool_count++;
    }
    if (orphan && --server->orphans == 0 && server->freed)
        free(server);
}

void http_request_orphan(struct http_request *req)
{
    req->connection = NULL;
    req->server->orphans++;
}

void http_request_next(struct http_request *req)
{
    size_t parsed = req->head.parsed;
    reset(req);
    req->len -= parsed;
    memmove(req->data, req->data + parsed, req->len);
}

/* Doubles with what has come, never by what is announced. */
static bool grow(struct http_request *req, size_t need)
{
    size_t cap = req->cap * 2 < need ? req->cap * 2 : need;
    if (cap > HTTP_READ_MAX && req->server->buffered + cap - req->cap > req->server->buffered_max)
        return false;
    resize(req, cap);
    return true;
}

char *http_request_room(struct http_request *req, size_t *ret_len)
{
    const struct http_head *h = &req->head;
    size_t missing = h->stage == STAGE_IDENTITY ? h->head_end + h->body_len - req->len : HTTP_READ_MAX;
    size_t room = req->cap - req->len;
    if (room < missing && room < HTTP_BUFFER_MIN / 2 && !grow(req, req->len + missing))
        return NULL;
    room = req->cap - req->len;
    *ret_len = room < missing ? room : missing;
    return req->data + req->len;
}

static void dispatch_without_route(struct http_request *req)
{
    struct http_server *server = req->server;
    server->stats.rejected_total++;
    if (!req->head.path_known) {
        http_problem(req, 404, NULL, "there is nothing at this path");
        return;
    }
    struct buf allow;
    buf_init(&allow, HTTP_REPLY_HEADERS_MAX / 2);
    http_route_allow(req, &allow);
    http_add_header(req, "Allow", buf_span(&allow));
    http_problem(req, 405, NULL, "this path answers to %s", buf_cstr(&allow));
    buf_done(&allow);
}

void http_request_dispatch(struct http_request *req)
{
    struct http_server *server = req->server;
    struct http_head *h = &req->head;
    server->stats.requests_total++;
    if (h->stage == STAGE_REFUSED || (h->route && http_target_decode(req) == HTTP_BAD)) {
        server->stats.rejected_total++;
        http_problem(req, h->refusal, NULL, "%s", req->detail);
    } else if (h->route) {
        h->route->handler(server->ctx, req);
    } else if (span_is(http_path(req), "*")) {
        http_reply(req, 204, NULL, (struct span){0}); /* OPTIONS *: a ping */
    } else {
        dispatch_without_route(req);
    }
}

struct span http_method(const struct http_request *req)
{
    return http_request_part(req, req->head.method);
}

struct span http_target(const struct http_request *req)
{
    return http_request_part(req, req->head.target);
}

struct span http_body(const struct http_request *req)
{
    return (struct span){req->data + req->head.head_end, req->head.body_len};
}

bool http_from_loopback(const struct http_request *req)
{
    return req->loopback;
}

bool http_client_gone(const struct http_request *req)
{
    return !req->connection;
}

int64_t http_started_us(const struct http_request *req)
{
    return req->head.started_us;
}

static bool field_is(const struct http_request *req, const struct http_field *f, struct span name)
{
    const char *at = req->data + f->name;
    if (f->name_len != name.len || ((at[0] ^ name.ptr[0]) & ~0x20) != 0)
        return false;
    return http_name_is((struct span){at, f->name_len}, name.ptr);
}

struct span http_header(const struct http_request *req, const char *name)
{
    struct span wanted = span_of(name);
    for (unsigned i = 0; i < req->head.field_count; i++) {
        const struct http_field *f = &req->fields[i];
        if (field_is(req, f, wanted))
            return (struct span){req->data + f->value, f->value_len};
    }
    return (struct span){0};
}

unsigned http_header_count(const struct http_request *req, const char *name)
{
    struct span wanted = span_of(name);
    unsigned count = 0;
    for (unsigned i = 0; i < req->head.field_count; i++)
        count += field_is(req, &req->fields[i], wanted);
    return count;
}

const struct http_route *http_route_of(const struct http_request *req)
{
    return req->head.route;
}
