/* Inside the HTTP server; included by its files and by a test that lowers a cap.
 *
 *   server.c      life of a server, one coarse timer, drain    listen.c  accepting, the connection cap
 *   connection.c  one connection: the only part that touches its socket; moves it between phases
 *   parse.c       request head: llhttp and what it lets pass     target.c  target, route, query, parameters
 *   chunk.c       body in chunks                                 request.c pool, buffer, accessors
 *   reply.c       answers and problems                           fuzz.c    the same without sockets
 *
 * A request lives in one buffer: head, then the decoded body in place, then bytes of the next request. Fields are
 * offsets into it, because it moves while it grows; it stands still from dispatch to answer. */
#ifndef TAI_COMMON_HTTP_INTERNAL_H
#define TAI_COMMON_HTTP_INTERNAL_H

#include "common/http/http.h"

#include <event2/event_struct.h>
#include <llhttp.h>
#include <sys/types.h>

enum {
    HTTP_FIELDS_MAX = 100,          /* header fields of a request, beyond: 431 */
    HTTP_PARAMS_MAX = 8,            /* {name} segments of a route */
    HTTP_BUFFER_MIN = 4096,         /* what a request starts with */
    HTTP_READ_MAX = 16384,          /* read at once where the end is not known: bounds what is pipelined behind it */
    HTTP_KEEP_MAX = 65536,          /* buffers up to this size are kept for the next request */
    HTTP_POOL_MAX = 64,             /* requests kept for reuse */
    HTTP_CORK_MAX = 65536,          /* answers to pipelined requests gathered before a send */
    HTTP_OUT_STEP = 16384,          /* a reader that takes this much within idle_ms is not slow */
    HTTP_REPLY_MAX = 64 << 20,      /* one answer */
    HTTP_REPLY_HEADERS_MAX = 16384, /* added by a handler */
    HTTP_BUFFERED_MAX = 256 << 20,  /* bodies being received, all connections: beyond it 503 */
    HTTP_LINGER_MS = 2000,          /* after an error: how long and how much more is read so that the answer arrives */
    HTTP_LINGER_BYTES = 8 << 20,
};

/* The request's way: each stage only leads downwards. */
enum http_stage {
    STAGE_START,    /* nothing but empty lines yet */
    STAGE_HEAD,     /* in the request line or the header section */
    STAGE_METHOD,   /* a method nobody knows: its line decides between 400 and 501 */
    STAGE_IDENTITY, /* body of known length */
    STAGE_CHUNKS,   /* body in chunks */
    STAGE_COMPLETE,
    STAGE_REFUSED,
};

enum http_progress { HTTP_MORE, HTTP_DONE, HTTP_BAD };

struct http_field {
    uint32_t name, name_len, value, value_len;
};

struct http_part { /* offset and length */
    uint32_t at, len;
};

struct http_params {
    unsigned count;
    struct http_part values[HTTP_PARAMS_MAX];
    struct span names[HTTP_PARAMS_MAX];
};

enum http_chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

struct http_chunks {
    enum http_chunk_state state;
    unsigned digits; /* of the size being read */
    bool last;       /* the size was 0 */
    uint64_t left;   /* of the chunk */
    size_t overhead; /* bytes of extensions and trailers so far */
};

/* What is zeroed for each request. */
struct http_head {
    enum http_stage stage;
    int refusal; /* status, when REFUSED */
    unsigned field_count;
    unsigned seen;    /* critical headers, one bit each */
    bool folded;      /* the newest value goes on in another line */
    bool in_name;     /* llhttp is in the name of the newest field */
    bool head_method; /* HEAD: the answer has no body */
    bool expects;     /* 100-continue is due once the head was accepted */
    bool keep_alive;
    bool unread;      /* answered before all of it was read */
    bool retry_after; /* the handler set it */
    struct http_part method, target, version, path, query;
    uint32_t host, transfer_encoding, expect; /* fields */
    size_t parsed;                            /* bytes consumed by this request */
    size_t head_end;                          /* where the body starts */
    size_t body_len;                          /* decoded so far; announced for IDENTITY */
    struct http_chunks chunks;
    const struct http_route *route;
    bool path_known; /* some route has this path: 405, not 404 */
    int64_t started_us;
};

struct http_request {
    struct http_server *server;
    struct http_connection *connection; /* NULL once the client has gone */
    struct http_request *next;          /* in the pool */
    bool loopback;
    llhttp_t parser;
    char *data;
    size_t len, cap;
    struct http_head head;
    struct buf decoded; /* query as name NUL value NUL …, then path parameters */
    size_t query_len;
    struct buf headers;                            /* added by the handler */
    char detail[200];                              /* of the refusal */
    struct http_params params;                     /* in data, in decoded once decoded */
    struct http_field fields[HTTP_FIELDS_MAX + 1]; /* one more to see that there are too many */
};

/* A connection's phase is the list it stands in, ordered by `since`; http_connection_move is the only mover.
 *
 *   IDLE ──first byte──► READING ──complete──► PENDING ──answered──► WRITING ──taken──► IDLE
 *     └── what a turn of the loop completes goes straight on ──┘          └─ to be closed ─► LINGER ─► closed */
enum http_phase {
    PHASE_IDLE,    /* between requests; idle_ms */
    PHASE_READING, /* a request has begun; deadline_ms */
    PHASE_PENDING, /* a handler has it */
    PHASE_WRITING, /* the client is slow to take the answer; idle_ms */
    PHASE_LINGER,  /* answered and shut; HTTP_LINGER_MS */
    PHASE_COUNT,
};

struct http_connection {
    struct http_server *server;
    struct http_connection *prev, *next;
    enum http_phase phase;
    int64_t since_us;
    struct http_request *request; /* NULL between requests */
    /* The transport: as send(2), -errno on failure. */
    ssize_t (*send)(struct http_connection *c, const char *data, size_t len);
    void *send_ctx;
    int fd; /* -1 without a socket */
    bool loopback;
    bool busy;     /* its requests are being processed further up the stack: freed there */
    bool dead;     /* closed, not yet freed */
    bool answered; /* the request a handler was just given is answered */
    bool resume;   /* a pipelined request waits in the buffer */
    bool broken;   /* the client cannot be written to */
    bool blocked;  /* the socket takes no more for now */
    bool closing;  /* closes after this answer */
    bool linger;   /* … while the client may still be sending */
    bool read_on;
    bool client_done; /* it has shut its side */
    struct buf out;
    size_t out_sent, out_mark;
    size_t lingered;
    struct event read_event, write_event;
};

struct http_matcher {
    const struct http_route *route;
    struct span method, path;
    bool literal;
};

struct http_list {
    struct http_connection *first, *last;
};

struct http_server {
    struct event_base *base; /* NULL: no sockets */
    struct http_limits limits;
    const struct clock *clock;
    void *ctx;
    http_observer *observer;
    struct http_matcher *matchers;
    size_t matcher_count;
    struct http_stats stats;
    struct http_list lists[PHASE_COUNT];
    int64_t now_us; /* of the event being handled */
    int64_t date_s; /* second that date_lines tells */
    char date_lines[160];
    size_t date_len;
    char *server_name;
    int listen_fd, spare_fd; /* the spare one is given up to refuse a connection when descriptors run out */
    uint16_t port;
    bool accept_paused;
    bool tick_on;
    bool draining;
    bool freed;
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct event accept_event, tick_event, drained_event;
    struct http_request *pool;
    unsigned pool_count;
    unsigned orphans; /* requests whose client has gone, handler pending */
    size_t buffered;  /* capacity of request buffers beyond HTTP_READ_MAX each */
    size_t buffered_max;
    struct buf spare_out;
};

/* server.c */
int http_server_setup(struct http_server *server, const struct http_options *options, struct error *err);
int64_t http_server_now(struct http_server *server);       /* reads the clock, remembers */
void http_server_pause_accept(struct http_server *server); /* until the next tick */
void http_server_opened(struct http_server *server);
void http_server_closed(struct http_server *server); /* a connection left */

/* listen.c */
int http_listen(struct http_server *server, const struct http_options *options, struct error *err);
void http_listen_stop(struct http_server *server);

/* connection.c */
struct http_connection *http_connection_new(struct http_server *server, int fd, bool loopback);
void http_connection_close(struct http_connection *c);
void http_connection_move(struct http_connection *c, enum http_phase phase, int64_t since_us);
struct buf *http_connection_out(struct http_connection *c); /* to append answers to */
struct http_request *http_connection_request(struct http_connection *c);
void http_connection_received(struct http_connection *c, size_t len); /* len bytes were put into the request's room */
void http_connection_answered(struct http_connection *c, const struct http_route *route, int status);
void http_connection_timeout(struct http_connection *c); /* of its phase */
void http_connection_drain(struct http_connection *c);

/* request.c */
struct http_request *http_request_take(struct http_server *server);
void http_request_release(struct http_request *req);
void http_request_free(struct http_request *req);
void http_request_orphan(struct http_request *req);                 /* its connection is gone, its handler is not */
void http_request_dispatch(struct http_request *req);               /* to its handler, or answers itself */
void http_request_next(struct http_request *req);                   /* makes room for what is pipelined behind it */
char *http_request_room(struct http_request *req, size_t *ret_len); /* NULL when out of buffer memory */
static inline struct span http_request_part(const struct http_request *req, struct http_part part)
{
    return (struct span){req->data + part.at, part.len};
}

/* parse.c */
enum http_progress http_parse(struct http_request *req);
/* Notes the answer; always HTTP_BAD. */
enum http_progress http_refuse(struct http_request *req, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool http_name_is(struct span name, const char *lower); /* case-insensitive */
bool http_is_token(char c);

/* chunk.c */
enum http_progress http_chunks_parse(struct http_request *req);

/* target.c */
int http_routes_compile(struct http_server *server, const struct http_route *routes, struct error *err);
enum http_progress http_target_parse(struct http_request *req);
void http_route_find(struct http_request *req);
/* Methods of the path's routes, "GET, HEAD, POST". */
void http_route_allow(const struct http_request *req, struct buf *out);
enum http_progress http_target_decode(struct http_request *req); /* query and parameters */

/* reply.c */
void http_reply_continue(struct http_connection *c);

#endif
