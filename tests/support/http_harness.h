/* An HTTP server and its clients in one thread, over loopback sockets, for Criterion tests. Time is moved by hand; the
 * server's timer still fires in real time, so a time-out takes about 10 ms of waiting. Requests to /later are held
 * until the test answers them. */
#ifndef TAI_TESTS_HTTP_HARNESS_H
#define TAI_TESTS_HTTP_HARNESS_H

#include "common/http/http.h"
#include "common/loop.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HELD_MAX = 64, HARNESS_MS = 3000, BIG_BODY = 16 << 20 };

struct harness {
    struct event_base *base;
    struct http_server *server;
    struct clock_manual clock;
    struct http_options options;
    struct http_request *held[HELD_MAX];
    unsigned held_count;
    unsigned observed;
    int observed_status;
    const struct http_route *observed_route;
    int64_t observed_us;
    unsigned drained;
    char *big;
};

struct client {
    int fd;
    bool closed; /* by the server, in order */
    bool reset;
    struct buf in;
    size_t read; /* bytes of answers already looked at */
};

struct answer {
    int status; /* 0: none */
    struct span head, body;
};

static inline void on_hello(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply(req, 200, "text/plain", SPAN("hello"));
}

static inline void on_echo(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply(req, 200, "application/octet-stream", http_body(req));
}

static inline void on_later(void *ctx, struct http_request *req)
{
    struct harness *h = ctx;
    cr_assert(h->held_count < HELD_MAX);
    h->held[h->held_count++] = req;
}

static inline void on_big(void *ctx, struct http_request *req)
{
    struct harness *h = ctx;
    http_reply(req, 200, "application/octet-stream", (struct span){h->big, BIG_BODY});
}

static inline void add_text(struct buf *out, struct span text)
{
    buf_add_char(out, '[');
    buf_add_span(out, text.ptr ? text : SPAN("none"));
    buf_add_char(out, ']');
}

static inline void on_params(void *ctx, struct http_request *req)
{
    (void)ctx;
    struct buf out;
    buf_init(&out, 65536);
    add_text(&out, http_param(req, "id"));
    add_text(&out, http_param(req, "part"));
    add_text(&out, http_param(req, "other"));
    http_reply(req, 200, NULL, buf_span(&out));
    buf_done(&out);
}

/* Answers the values of a, b and "c d". */
static inline void on_query(void *ctx, struct http_request *req)
{
    static const char *const names[] = {"a", "b", "c d"};
    (void)ctx;
    struct buf out;
    buf_init(&out, 65536);
    for (int i = 0; i < 3; i++) {
        struct span value = {0};
        add_text(&out, http_query(req, names[i], &value) ? value : (struct span){0});
    }
    http_reply(req, 200, NULL, buf_span(&out));
    buf_done(&out);
}

static inline void harness_observe(void *ctx, const struct http_route *route, int status, int64_t duration_us)
{
    struct harness *h = ctx;
    h->observed++;
    h->observed_route = route;
    h->observed_status = status;
    h->observed_us = duration_us;
}

static const struct http_route harness_routes[] = {
    {"GET", "/hello", on_hello},
    {"POST", "/hello", on_hello},
    {"POST", "/echo", on_echo},
    {"GET", "/later", on_later},
    {"POST", "/later", on_later},
    {"GET", "/big", on_big},
    {"GET", "/items/{id}", on_params},
    {"GET", "/items/{id}/parts/{part}", on_params},
    {"GET", "/query", on_query},
    {"PUT", "/only", on_hello},
    {NULL},
};

static inline struct http_options harness_options(struct harness *h)
{
    return (struct http_options){
        .address = "127.0.0.1",
        .limits =
            {.connections = 256, .idle_ms = 400, .deadline_ms = 200, .header_bytes = 16384, .body_bytes = 1 << 20},
        .routes = harness_routes,
        .ctx = h,
        .observer = harness_observe,
        .clock = &h->clock.clock,
        .server_name = "test",
    };
}

static inline void harness_start(struct harness *h, const struct http_options *options)
{
    memset(h, 0, sizeof(*h));
    clock_manual_init(&h->clock, 784111777000); /* Sun, 06 Nov 1994 08:49:37 GMT */
    h->options = options ? *options : harness_options(h);
    h->options.ctx = h;
    h->options.clock = &h->clock.clock;
    h->options.base = h->base = loop_base_new();
    h->big = xcalloc(1, BIG_BODY);
    struct error err = {{0}};
    cr_assert_eq(http_server_new(&h->options, &h->server, &err), 0, "%s", err.text);
}

static inline void harness_stop(struct harness *h)
{
    http_server_free(h->server);
    event_base_free(h->base);
    free(h->big);
}

static inline int64_t real_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static inline void pump(struct harness *h)
{
    for (int i = 0; i < 4; i++)
        event_base_loop(h->base, EVLOOP_NONBLOCK);
}

/* Lets the server's timer fire at least twice. */
static inline void pump_ms(struct harness *h, int ms)
{
    for (int64_t end = real_ms() + ms; real_ms() < end;) {
        pump(h);
        poll(NULL, 0, 1);
    }
}

/* Moves the clock and lets time-outs happen. */
static inline void pass_ms(struct harness *h, int ms)
{
    clock_manual_advance(&h->clock, ms);
    pump_ms(h, 45);
}

static inline struct client client_open(struct harness *h)
{
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(http_server_port(h->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    buf_init(&c.in, 64 << 20);
    cr_assert(c.fd >= 0 && connect(c.fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect: %s", strerror(errno));
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    pump(h);
    return c;
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_done(&c->in);
}

static inline void client_reset(struct client *c)
{
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    client_close(c);
}

static inline void client_receive(struct client *c)
{
    for (;;) {
        char *to = buf_reserve(&c->in, 65536);
        ssize_t n = recv(c->fd, to, 65536, 0);
        if (n > 0) {
            c->in.len += (size_t)n;
            continue;
        }
        if (n == 0)
            c->closed = true;
        else if (errno != EAGAIN)
            c->reset = true;
        return;
    }
}

/* Sends all of it, pumping the server while the socket is full; what comes back meanwhile is kept. */
static inline void client_send(struct harness *h, struct client *c, const void *data, size_t len)
{
    int64_t end = real_ms() + HARNESS_MS;
    for (size_t sent = 0; sent < len && real_ms() < end;) {
        ssize_t n = send(c->fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EAGAIN)
            return; /* the server has closed; what it said is read later */
        pump(h);
    }
}

static inline void client_say(struct harness *h, struct client *c, const char *text)
{
    client_send(h, c, text, strlen(text));
}

/* The next complete answer in what has arrived; status 0 if there is none. An answer to HEAD has no body. */
static inline struct answer client_parse(struct client *c, bool head_only)
{
    struct answer a = {0};
    char *start = c->in.data ? c->in.data + c->read : NULL;
    size_t len = c->in.len - c->read;
    char *end = start ? memmem(start, len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return a;
    a.head = (struct span){start, (size_t)(end + 4 - start)};
    *end = '\0';
    char *length = strcasestr(start, "\r\nContent-Length: ");
    size_t body = length && !head_only ? strtoul(length + 18, NULL, 10) : 0;
    *end = '\r';
    if (len - a.head.len < body)
        return (struct answer){0};
    a.body = (struct span){end + 4, body};
    cr_assert(strncmp(start, "HTTP/1.1 ", 9) == 0, "no status line: %.40s", start);
    a.status = atoi(start + 9);
    c->read += a.head.len + body;
    return a;
}

static inline struct answer client_answer_of(struct harness *h, struct client *c, bool head_only)
{
    struct answer a = {0};
    for (int64_t end = real_ms() + HARNESS_MS; real_ms() < end;) {
        pump(h);
        client_receive(c);
        a = client_parse(c, head_only);
        if (a.status || c->closed || c->reset)
            break;
        poll(NULL, 0, 1);
    }
    return a;
}

/* Drops the answers that were looked at. */
static inline void client_forget(struct client *c)
{
    c->in.len -= c->read;
    memmove(c->in.data, c->in.data + c->read, c->in.len);
    c->read = 0;
}

/* Waits for the next answer. */
static inline struct answer client_answer(struct harness *h, struct client *c)
{
    return client_answer_of(h, c, false);
}

static inline bool client_closed(struct harness *h, struct client *c)
{
    for (int64_t end = real_ms() + HARNESS_MS; real_ms() < end && !c->closed && !c->reset;) {
        pump(h);
        client_receive(c);
        poll(NULL, 0, c->closed ? 0 : 1);
    }
    return c->closed;
}

/* True if nothing came and the connection stands. */
static inline bool client_quiet(struct harness *h, struct client *c)
{
    pump(h);
    client_receive(c);
    return c->in.len == c->read && !c->closed && !c->reset;
}

/* A connection of its own: sends, returns the status of the first answer (0: none); text, if given, takes all that
 * came. */
static inline int ask(struct harness *h, struct span request, struct buf *text)
{
    struct client c = client_open(h);
    client_send(h, &c, request.ptr, request.len);
    int status = client_answer(h, &c).status;
    if (text) {
        buf_clear(text);
        buf_add(text, c.in.data, c.in.len);
        buf_cstr(text);
    }
    client_close(&c);
    return status;
}

static inline bool has_text(struct span text, const char *part)
{
    return text.ptr && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* The status of the first answer when the bytes come in two pieces, without sockets; the text that came goes to out. */
static inline int fuzz_status(const struct http_options *options, struct span input, size_t cut, struct buf *out)
{
    buf_clear(out);
    http_fuzz(options, input, cut, out);
    buf_cstr(out);
    return out->len > 12 ? atoi(out->data + 9) : 0;
}

#endif
