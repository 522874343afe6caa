/* A server: its set-up, the one coarse timer that runs while there are connections, drain and end. It is owned by
 * whoever called http_server_new; requests whose client has gone keep its memory until their handlers have answered. */
#include "common/http/internal.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TICK_MIN_MS = 10, TICK_MAX_MS = 500, TICKS_PER_LIMIT = 20 };

const struct http_limits http_limits_default = {
    .connections = 12000,
    .idle_ms = 60000,
    .deadline_ms = 10000,
    .header_bytes = 16384,
    .body_bytes = 1 << 20,
};

int64_t http_server_now(struct http_server *server)
{
    return server->now_us = clock_mono_us(server->clock);
}

static struct timeval tick_period(const struct http_server *server)
{
    const struct http_limits *l = &server->limits;
    unsigned shortest = l->idle_ms < l->deadline_ms ? l->idle_ms : l->deadline_ms;
    unsigned ms = shortest / TICKS_PER_LIMIT;
    ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
    return (struct timeval){.tv_usec = (suseconds_t)ms * 1000};
}

/* Idle servers cost nothing: no connection, no timer. */
static void update_tick(struct http_server *server)
{
    bool wanted = server->stats.connections_open > 0 || server->accept_paused;
    if (!server->base || wanted == server->tick_on)
        return;
    server->tick_on = wanted;
    struct timeval period = tick_period(server);
    if (wanted)
        event_add(&server->tick_event, &period);
    else
        event_del(&server->tick_event);
}

void http_server_pause_accept(struct http_server *server)
{
    event_del(&server->accept_event);
    server->accept_paused = true;
    update_tick(server);
}

static void expire(struct http_server *server, enum http_phase phase, int64_t limit_ms)
{
    struct http_connection *c;
    while ((c = server->lists[phase].first) && server->now_us - c->since_us >= limit_ms * 1000)
        http_connection_timeout(c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    (void)fd;
    (void)what;
    http_server_now(server);
    if (server->accept_paused) {
        server->accept_paused = false;
        event_add(&server->accept_event, NULL);
    }
    int64_t idle_ms = server->limits.idle_ms;
    expire(server, PHASE_READING, server->limits.deadline_ms);
    expire(server, PHASE_WRITING, idle_ms);
    expire(server, PHASE_IDLE, idle_ms);
    expire(server, PHASE_LINGER, idle_ms < HTTP_LINGER_MS ? idle_ms : HTTP_LINGER_MS);
    update_tick(server);
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    (void)fd;
    (void)what;
    void (*drained)(void *ctx) = server->drained;
    server->drained = NULL;
    if (drained)
        drained(server->drained_ctx); /* may free the server */
}

static void check_drained(struct http_server *server)
{
    if (server->draining && server->drained && server->stats.connections_open == 0)
        event_active(&server->drained_event, EV_TIMEOUT, 1);
}

void http_server_opened(struct http_server *server)
{
    server->stats.connections_total++;
    server->stats.connections_open++;
    update_tick(server);
}

void http_server_closed(struct http_server *server)
{
    server->stats.connections_open--;
    if (server->freed)
        return;
    update_tick(server);
    check_drained(server);
}

int http_server_setup(struct http_server *server, const struct http_options *options, struct error *err)
{
    const struct http_limits *l = &options->limits;
    *server = (struct http_server){
        .base = options->base,
        .limits = *l,
        .clock = options->clock ? options->clock : &clock_system,
        .ctx = options->ctx,
        .observer = options->observer,
        .server_name = options->server_name ? xstrdup(options->server_name) : NULL,
        .buffered_max = HTTP_BUFFERED_MAX,
        .listen_fd = -1,
        .spare_fd = -1,
    };
    buf_init(&server->spare_out, HTTP_REPLY_MAX + (1 << 20));
    http_server_now(server);
    if (l->connections == 0 || l->idle_ms == 0 || l->deadline_ms == 0 || l->header_bytes < 64 || l->body_bytes == 0)
        return error_set(err, -EINVAL, "HTTP limits must be positive, header_bytes at least 64");
    if (l->header_bytes > UINT32_MAX / 4 || l->body_bytes > UINT32_MAX / 4)
        return error_set(err, -EINVAL, "HTTP limits of header and body must be below 1 GiB");
    return http_routes_compile(server, options->routes, err);
}

static void cleanup(struct http_server *server)
{
    server->freed = true;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        while (server->lists[phase].first)
            http_connection_close(server->lists[phase].first);
    while (server->pool) {
        struct http_request *req = server->pool;
        server->pool = req->next;
        http_request_free(req);
    }
    buf_done(&server->spare_out);
    free(server->matchers);
    free(server->server_name);
    server->matchers = NULL;
    server->server_name = NULL;
    server->matcher_count = 0;
}

int http_server_new(const struct http_options *options, struct http_server **ret, struct error *err)
{
    struct http_server *server = xmalloc(sizeof(*server));
    int r = http_server_setup(server, options, err);
    if (r == 0) {
        event_assign(&server->tick_event, server->base, -1, EV_PERSIST, on_tick, server);
        event_assign(&server->drained_event, server->base, -1, 0, on_drained, server);
        r = http_listen(server, options, err);
    }
    if (r < 0) {
        cleanup(server);
        free(server);
        return r;
    }
    *ret = server;
    return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

const struct http_stats *http_server_stats(const struct http_server *server)
{
    return &server->stats;
}

void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx)
{
    if (server->draining)
        return;
    server->draining = true;
    server->drained = done;
    server->drained_ctx = ctx;
    http_listen_stop(server);
    for (struct http_connection *c = server->lists[PHASE_IDLE].first; c; c = c->next)
        http_connection_drain(c);
    check_drained(server);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    if (server->base) {
        http_listen_stop(server);
        event_del(&server->tick_event);
        event_del(&server->drained_event);
    }
    cleanup(server);
    if (server->orphans == 0)
        free(server);
}
