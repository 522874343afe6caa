/* One client connection: its socket, its phases, the order of its requests and answers. Requests are taken one at a
 * time; what is pipelined behind waits in the buffer (bounded by one read) and in the kernel. A connection owns its
 * socket, its output and, until a handler has it, its request. Runs on the server's loop. */
#include "common/http/internal.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t socket_send(struct http_connection *c, const char *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static void unlink_from_phase(struct http_connection *c)
{
    struct http_list *list = &c->server->lists[c->phase];
    *(c->prev ? &c->prev->next : &list->first) = c->next;
    *(c->next ? &c->next->prev : &list->last) = c->prev;
}

static void link_to_phase(struct http_connection *c, enum http_phase phase, int64_t since_us)
{
    struct http_list *list = &c->server->lists[phase];
    c->phase = phase;
    c->since_us = since_us;
    c->prev = list->last;
    c->next = NULL;
    *(list->last ? &list->last->next : &list->first) = c;
    list->last = c;
}

void http_connection_move(struct http_connection *c, enum http_phase phase, int64_t since_us)
{
    unlink_from_phase(c);
    link_to_phase(c, phase, since_us);
}

static void watch_read(struct http_connection *c, bool on)
{
    if (c->fd < 0 || c->read_on == on)
        return;
    c->read_on = on;
    if (on)
        event_add(&c->read_event, NULL);
    else
        event_del(&c->read_event);
}

/* An empty output buffer is lent to whoever answers next: idle connections hold none. */
struct buf *http_connection_out(struct http_connection *c)
{
    struct buf *spare = &c->server->spare_out;
    if (!c->out.data && spare->data) {
        c->out = *spare;
        *spare = (struct buf){.max = spare->max};
    }
    return &c->out;
}

static void out_return(struct http_connection *c)
{
    struct buf *spare = &c->server->spare_out;
    buf_clear(&c->out);
    c->out_sent = c->out_mark = 0;
    if (!spare->data && c->out.cap <= HTTP_KEEP_MAX) {
        *spare = c->out;
        c->out = (struct buf){.max = spare->max};
    } else {
        buf_done(&c->out);
    }
}

static void flush(struct http_connection *c)
{
    while (!c->broken && c->out_sent < c->out.len) {
        ssize_t n = c->send(c, c->out.data + c->out_sent, c->out.len - c->out_sent);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN) {
            if (!c->blocked)
                event_add(&c->write_event, NULL);
            c->blocked = true;
            return;
        }
        if (n < 0) {
            c->broken = true;
            return;
        }
        c->out_sent += (size_t)n;
        c->server->stats.bytes_out_total += (uint64_t)n;
    }
    if (c->blocked)
        event_del(&c->write_event);
    c->blocked = false;
    out_return(c);
}

void http_connection_close(struct http_connection *c)
{
    if (c->dead)
        return;
    c->dead = true;
    if (c->fd >= 0) {
        watch_read(c, false);
        event_del(&c->read_event); /* also when only activated */
        event_del(&c->write_event);
        close(c->fd);
    }
    unlink_from_phase(c);
    if (c->request && c->phase == PHASE_PENDING)
        http_request_orphan(c->request);
    else if (c->request)
        http_request_release(c->request);
    c->request = NULL;
    buf_done(&c->out);
    http_server_closed(c->server);
    if (!c->busy)
        free(c);
}

/* The last answer is out. Closing with unread bytes in the kernel would make it reset the connection and take the
 * answer from the client: so only our side is shut first. */
static void finish(struct http_connection *c)
{
    if (!c->linger || c->client_done || c->broken) {
        http_connection_close(c);
        return;
    }
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_WR);
    watch_read(c, true);
    http_connection_move(c, PHASE_LINGER, c->server->now_us);
}

/* The answer was handed over: on to the next request. True if bytes of one are there already. */
static bool retire(struct http_connection *c)
{
    struct http_request *req = c->request;
    c->answered = false;
    if (c->broken) {
        http_connection_move(c, PHASE_IDLE, c->server->now_us); /* no longer pending: nobody answers it again */
        http_connection_close(c);
        return false;
    }
    if (c->closing || req->len == req->head.parsed) {
        c->linger = c->linger || req->len > req->head.parsed;
        http_request_release(req);
        c->request = NULL;
    } else {
        http_request_next(req);
    }
    if (c->blocked) {
        http_connection_move(c, PHASE_WRITING, c->server->now_us);
        return false;
    }
    if (c->closing) {
        finish(c);
        return false;
    }
    http_connection_move(c, PHASE_IDLE, c->server->now_us);
    watch_read(c, true);
    return c->request != NULL;
}

/* Nothing to do until more arrives. */
static void wait_for_more(struct http_connection *c)
{
    struct http_request *req = c->request;
    if (c->out.len)
        flush(c);
    if (c->broken) {
        http_connection_close(c);
    } else if (req->head.stage != STAGE_START) {
        if (c->phase == PHASE_IDLE)
            http_connection_move(c, PHASE_READING, req->head.started_us);
    } else if (c->server->draining) {
        http_connection_close(c);
    } else if (req->len == 0) {
        http_request_release(req);
        c->request = NULL;
    }
}

/* Takes one request from the buffer; true if there may be another. */
static bool step(struct http_connection *c)
{
    if (http_parse(c->request) == HTTP_MORE) {
        wait_for_more(c);
        return false;
    }
    http_request_dispatch(c->request);
    if (c->answered)
        return retire(c);
    http_connection_move(c, PHASE_PENDING, c->server->now_us);
    if (c->out.len)
        flush(c);
    return false;
}

static void process(struct http_connection *c)
{
    c->busy = true;
    while (step(c))
        ;
    c->busy = false;
    if (c->dead)
        free(c);
}

void http_connection_received(struct http_connection *c, size_t len)
{
    c->server->stats.bytes_in_total += len;
    if (c->phase == PHASE_LINGER)
        return;
    c->request->len += len;
    process(c);
}

void http_connection_answered(struct http_connection *c, const struct http_route *route, int status)
{
    struct http_server *server = c->server;
    struct http_request *req = c->request;
    int64_t started_us = req->head.started_us;
    int64_t now_us = http_server_now(server);
    bool more = c->busy && !c->closing && req->len > req->head.parsed;
    c->answered = true;
    if (!more || c->out.len > HTTP_CORK_MAX)
        flush(c);
    if (server->observer)
        server->observer(server->ctx, route, status, now_us - started_us);
    /* Another request's handler must not run inside of this one's answer: the loop calls it. */
    if (!c->busy && retire(c) && c->fd >= 0) {
        c->resume = true;
        event_active(&c->read_event, EV_READ, 1);
    }
}

struct http_request *http_connection_request(struct http_connection *c)
{
    if (!c->request) {
        c->request = http_request_take(c->server);
        c->request->connection = c;
        c->request->loopback = c->loopback;
    }
    return c->request;
}

static void drop_empty_request(struct http_connection *c)
{
    if (c->request && c->request->len == 0) {
        http_request_release(c->request);
        c->request = NULL;
    }
    if (c->server->draining && c->phase == PHASE_IDLE)
        http_connection_close(c);
}

/* Answers for the server while no handler has the request. */
static void refuse(struct http_connection *c, int status, const char *detail)
{
    struct http_request *req = http_connection_request(c);
    if (req->head.stage == STAGE_START)
        req->head.started_us = c->server->now_us;
    http_refuse(req, status, "%s", detail);
    process(c);
}

static void receive(struct http_connection *c)
{
    size_t room = 0;
    char *to = http_request_room(http_connection_request(c), &room);
    if (!to) {
        refuse(c, 503, "too many large requests are being received at the moment");
        return;
    }
    ssize_t n = recv(c->fd, to, room, 0);
    if (n > 0)
        http_connection_received(c, (size_t)n);
    else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        drop_empty_request(c);
    else
        http_connection_close(c);
}

/* While an answer is outstanding nothing is taken from the socket; all there is to learn is whether the client is
 * there. */
static void look(struct http_connection *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        http_connection_close(c);
        return;
    }
    c->client_done = n == 0;
    watch_read(c, false);
}

static void discard(struct http_connection *c)
{
    char bytes[HTTP_READ_MAX];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    c->lingered += n > 0 ? (size_t)n : 0;
    if (n <= 0 || c->lingered > HTTP_LINGER_BYTES)
        http_connection_close(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *c = arg;
    (void)fd;
    (void)what;
    http_server_now(c->server);
    if (c->phase == PHASE_LINGER) {
        discard(c);
    } else if (c->phase == PHASE_PENDING || c->phase == PHASE_WRITING) {
        look(c);
    } else if (c->resume) {
        c->resume = false;
        process(c);
    } else {
        receive(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *c = arg;
    (void)fd;
    (void)what;
    int64_t now_us = http_server_now(c->server);
    flush(c);
    if (c->broken) {
        http_connection_close(c);
    } else if (c->phase != PHASE_WRITING) {
        return;
    } else if (c->blocked) {
        if (c->out_sent - c->out_mark >= HTTP_OUT_STEP) {
            c->out_mark = c->out_sent;
            http_connection_move(c, PHASE_WRITING, now_us);
        }
    } else if (c->closing) {
        finish(c);
    } else {
        http_connection_move(c, PHASE_IDLE, now_us);
        watch_read(c, true);
        if (c->request)
            process(c);
        else if (c->server->draining)
            http_connection_drain(c);
    }
}

void http_connection_timeout(struct http_connection *c)
{
    if (c->phase == PHASE_READING)
        refuse(c, 408, "the request was not complete in time");
    else
        http_connection_close(c);
}

void http_connection_drain(struct http_connection *c)
{
    /* What has arrived already was begun: the loop reads once more before it closes. */
    if (c->phase == PHASE_IDLE)
        event_active(&c->read_event, EV_READ, 1);
}

struct http_connection *http_connection_new(struct http_server *server, int fd, bool loopback)
{
    struct http_connection *c = xcalloc(1, sizeof(*c));
    c->server = server;
    c->fd = fd;
    c->loopback = loopback;
    c->send = socket_send;
    buf_init(&c->out, server->spare_out.max);
    link_to_phase(c, PHASE_IDLE, server->now_us);
    http_server_opened(server);
    if (fd >= 0) {
        event_assign(&c->read_event, server->base, fd, EV_READ | EV_PERSIST, on_readable, c);
        event_assign(&c->write_event, server->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
        watch_read(c, true);
    }
    return c;
}
