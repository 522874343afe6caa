/* HTTP/1.1 server on libevent and llhttp (strict mode). One server per event loop; everything here runs on that loop's
 * thread. Handlers may answer later, still on that thread.
 *
 * The server itself answers, as RFC 9457 problems: 400 (malformed, obs-fold, empty or duplicate critical headers, no or
 * several Host, two different lengths, bytes ≥ 0x80 in the target, other protocols), 404, 405 with Allow, 408 (deadline
 * of the whole request, slow-loris included), 413 (body), 417 (Expect other than 100-continue), 431 (header section),
 * 505, 501 (unknown transfer coding). The caps are those of docs/architecture.md. */
#ifndef TAI_COMMON_HTTP_HTTP_H
#define TAI_COMMON_HTTP_HTTP_H

#include "common/buf.h"
#include "common/clock.h"

#include <event2/event.h>

struct http_server;
struct http_request;

struct http_limits {
    unsigned connections; /* 12,000; beyond it the connection idle longest is closed */
    unsigned idle_ms;     /* 60,000 between requests */
    unsigned deadline_ms; /* 10,000 from the first byte of a request to its last */
    size_t header_bytes;  /* 16 KiB: request line and header section */
    size_t body_bytes;    /* 1 MiB after chunked decoding */
};
extern const struct http_limits http_limits_default;

typedef void http_handler(void *ctx, struct http_request *req);

/* path: literal segments and {name} segments, "/v1/signals/{id}". A {name} segment matches one percent-decoded segment.
 */
struct http_route {
    const char *method;
    const char *path;
    http_handler *handler;
};

/* Counters the owner may export; written on the loop's thread. */
struct http_stats {
    uint64_t connections_total, connections_open, requests_total,
        rejected_total; /* rejected: answered by the server itself */
    uint64_t bytes_in_total, bytes_out_total;
};

/* Called once per finished request, after its answer was handed to the socket; for metrics. route is NULL when none
 * matched. */
typedef void http_observer(void *ctx, const struct http_route *route, int status, int64_t duration_us);

struct http_options {
    struct event_base *base;
    const char *address; /* numeric IPv4 or IPv6 */
    uint16_t port;       /* 0 picks a free one */
    struct http_limits limits;
    const struct http_route *routes; /* ends with {NULL}; borrowed */
    void *ctx;                       /* passed to handlers */
    http_observer *observer;         /* or NULL */
    const struct clock *clock;
    const char *server_name; /* Server header, or NULL */
};

must_check int http_server_new(const struct http_options *options, struct http_server **ret, struct error *err);
uint16_t http_server_port(const struct http_server *server);
const struct http_stats *http_server_stats(const struct http_server *server);
/* Stops accepting, closes idle connections, answers what was begun with Connection: close; done is called (from the
 * loop) once none is left. */
void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx);
void http_server_free(struct http_server *server);

/* The request, complete, until it is answered. */
struct span http_method(const struct http_request *req);
struct span http_target(const struct http_request *req);                   /* as sent */
struct span http_path(const struct http_request *req);                     /* as sent, without the query */
struct span http_header(const struct http_request *req, const char *name); /* trimmed; ptr NULL if absent */
/* How often the header occurs; several occurrences of one name: http_header gives the first. */
unsigned http_header_count(const struct http_request *req, const char *name);
struct span http_body(const struct http_request *req);
struct span http_param(const struct http_request *req, const char *name); /* {name} of the path, percent-decoded */
/* Query parameter, form-decoded; false if absent. A malformed escape or NUL is answered 400 before the handler runs. */
bool http_query(const struct http_request *req, const char *name, struct span *ret);
bool http_from_loopback(const struct http_request *req);
bool http_client_gone(
    const struct http_request *req); /* nobody waits for the answer, which must be given all the same */
int64_t http_started_us(const struct http_request *req);                /* monotonic, when its first byte was read */
const struct http_route *http_route_of(const struct http_request *req); /* the one that matched, of the server's */

/* Answering, exactly once. A client that has gone makes it a no-op; req is invalid afterwards. Headers are added
 * before. */
void http_add_header(struct http_request *req, const char *name, struct span value);
void http_reply(struct http_request *req, int status, const char *content_type, struct span body);
/* RFC 9457: {"type":"about:blank","title":…,"status":…,"detail":…} plus extra members (raw, starting with a comma, or
 * NULL). 429 and 503 get Retry-After: 1 unless the handler added one. */
void http_problem(struct http_request *req, int status, const char *extra, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same problem as a JSON object appended to out: for the items of a batch. */
void http_problem_json(struct buf *out, int status, const char *extra, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const char *http_status_text(int status);

/* Fuzzing entry: parses bytes as one connection would, without sockets; answers are appended to out. */
void http_fuzz(const struct http_options *options, struct span input, size_t first_cut, struct buf *out);

#endif
