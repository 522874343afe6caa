/* An ingress on loopback in the test's own thread, with a queue that answers when the test says so, and HTTP clients
 * whose waiting runs the loop. Included by the tests of the ingress only; the clock is moved by hand. */
#ifndef TAI_TESTS_SUPPORT_INGRESS_RIG_H
#define TAI_TESTS_SUPPORT_INGRESS_RIG_H

#include "common/hash.h"
#include "common/loop.h"
#include "common/mem.h"
#include "ingress/ingress.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the queue: frames are kept decoded; answers are withheld unless `open` ----------------------------------------
 */

struct gate_frame {
    struct frame *frame;
    uint64_t request;
    bool answered;
};

struct gate {
    struct kanban_backend base;
    struct kanban_sink sink;
    int fd;
    bool open;  /* answer each publish at the next dispatch */
    int status; /* with what */
    int refuse; /* what publish itself returns */
    uint64_t depth;
    struct gate_frame frames[4096];
    size_t count;
};

static inline struct gate *gate_of(const struct kanban_backend *backend)
{
    return (struct gate *)backend;
}

static inline struct gate *gate_link(const struct kanban_link *link)
{
    return (struct gate *)link;
}

static inline void gate_wake(const struct gate *gate)
{
    uint64_t one = 1;
    cr_assert_eq(write(gate->fd, &one, sizeof(one)), (ssize_t)sizeof(one));
}

static inline int gate_link_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                                 struct kanban_link **ret, struct error *err)
{
    (void)prefetch;
    (void)err;
    gate_of(backend)->sink = *sink;
    *ret = (struct kanban_link *)backend;
    return 0;
}

static inline int gate_publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes,
                               uint32_t count)
{
    struct gate *gate = gate_link(link);
    struct error err;
    (void)partition;
    if (gate->refuse)
        return gate->refuse;
    struct gate_frame *kept = &gate->frames[gate->count++];
    *kept = (struct gate_frame){.request = request};
    cr_assert_eq(frame_decode(xstrndup(bytes.ptr, bytes.len), bytes.len, &kept->frame, &err), 0, "%s", err.text);
    cr_assert_leq(count, (uint32_t)FRAME_SIGNALS_MAX);
    cr_assert(count == 1 || bytes.len <= FRAME_BYTES_MAX, "a frame of %zu bytes", bytes.len);
    gate->depth += count;
    if (gate->open)
        gate_wake(gate);
    return 0;
}

static inline void gate_dispatch(struct kanban_link *link)
{
    struct gate *gate = gate_link(link);
    uint64_t n;
    ssize_t got = read(gate->fd, &n, sizeof(n));
    (void)got;
    for (size_t i = 0; i < gate->count && gate->open; i++) {
        if (gate->frames[i].answered)
            continue;
        gate->frames[i].answered = true;
        gate->sink.published(gate->sink.ctx, gate->frames[i].request, gate->status);
    }
}

static inline uint64_t gate_depth(const struct kanban_backend *backend)
{
    return gate_of(backend)->depth;
}

static inline uint64_t gate_depth_of(const struct kanban_backend *backend, uint32_t partition)
{
    (void)partition;
    return gate_of(backend)->depth;
}

static inline int gate_poll_fd(const struct kanban_link *link)
{
    return gate_link(link)->fd;
}

static inline void gate_link_close(struct kanban_link *link)
{
    (void)link;
}

static const struct kanban_backend_ops gate_ops = {
    .name = "gate",
    .link_open = gate_link_open,
    .publish = gate_publish,
    .depth = gate_depth,
    .depth_of = gate_depth_of,
    .poll_fd = gate_poll_fd,
    .dispatch = gate_dispatch,
    .link_close = gate_link_close,
};

/* --- the rig --------------------------------------------------------------------------------------------------------
 */

struct rig {
    struct event_base *base;
    struct clock_manual clock;
    struct log log;
    struct metrics *metrics;
    struct ingress_config config;
    struct kanban_config kanban;
    struct gate *gate;
    struct ingress *ingress;
    bool drained;
};

static inline void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    rig->base = loop_base_new();
    clock_manual_init(&rig->clock, 1767225600000);
    rig->log = (struct log){.fd = -1, .level = LOG_ERROR, .clock = &rig->clock.clock};
    rig->metrics = metrics_new();
    rig->config = (struct ingress_config){
        .listen = {.text = "127.0.0.1:0", .host = "127.0.0.1", .loopback = true},
        .max_connections = 100,
        .idle_timeout_ms = 60000,
        .request_deadline_ms = 10000,
        .max_header = 16 * 1024,
        .max_body = 1 << 20,
        .max_signal = 64 * 1024,
        .max_batch = 1000,
        .tenant_depth = 100000,
        .source = "unsigned",
    };
    rig->kanban = (struct kanban_config){.partitions = 16, .max_depth = 100000, .prefetch = 100};
    rig->gate = xcalloc(1, sizeof(*rig->gate));
    rig->gate->base.ops = &gate_ops;
    rig->gate->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rig->gate->open = true;
}

static inline void rig_start(struct rig *rig)
{
    struct error err;
    const struct ingress_options options = {
        .base = rig->base,
        .config = &rig->config,
        .kanban = &rig->kanban,
        .queue = &rig->gate->base,
        .status_url = "http://127.0.0.1:8081",
        .clock = &rig->clock.clock,
        .log = &rig->log,
        .metrics = rig->metrics,
    };
    cr_assert_eq(ingress_new(&options, &rig->ingress, &err), 0, "%s", err.text);
}

static inline void rig_done(struct rig *rig)
{
    ingress_free(rig->ingress);
    for (size_t i = 0; i < rig->gate->count; i++)
        frame_free(rig->gate->frames[i].frame);
    close(rig->gate->fd);
    free(rig->gate);
    metrics_free(rig->metrics);
    event_base_free(rig->base);
}

/* What is ready now, and what follows from it. */
static inline void rig_turn(struct rig *rig)
{
    for (int i = 0; i < 20; i++) {
        event_base_loop(rig->base, EVLOOP_NONBLOCK);
        if (i % 5 == 0)
            poll(NULL, 0, 1);
    }
}

/* Lets the queue answer everything it has, with status. */
static inline void rig_release(struct rig *rig, int status)
{
    rig->gate->status = status;
    rig->gate->open = true;
    gate_wake(rig->gate);
    rig_turn(rig);
}

static inline void rig_on_drained(void *ctx)
{
    ((struct rig *)ctx)->drained = true;
}

static inline uint64_t rig_signals(const struct rig *rig)
{
    uint64_t count = 0;
    for (size_t i = 0; i < rig->gate->count; i++)
        count += rig->gate->frames[i].frame->header.count;
    return count;
}

/* --- clients --------------------------------------------------------------------------------------------------------
 */

struct peer {
    int fd;
    struct buf in; /* answers not taken yet */
    bool closed;
};

struct reply {
    int status;
    char *head; /* status line and headers */
    char *body;
};

static inline void peer_init(struct peer *peer, const struct rig *rig)
{
    *peer = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    buf_init(&peer->in, 64 << 20);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(ingress_port(rig->ingress)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static inline void peer_done(struct peer *peer)
{
    close(peer->fd);
    buf_done(&peer->in);
}

static inline void peer_read(struct peer *peer)
{
    char *room = buf_reserve(&peer->in, 65536);
    ssize_t n = recv(peer->fd, room, 65536, MSG_DONTWAIT);
    if (n > 0)
        peer->in.len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        peer->closed = true;
}

/* Sends while the loop runs, so that a large body cannot block both. */
static inline void peer_send(struct rig *rig, const struct peer *peer, struct span bytes)
{
    while (bytes.len) {
        ssize_t n = send(peer->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return;
        if (n > 0) {
            bytes.ptr += n;
            bytes.len -= (size_t)n;
        }
        event_base_loop(rig->base, EVLOOP_NONBLOCK);
    }
}

/* Whether a whole answer is there; then its parts. */
static inline bool peer_try_take(struct peer *peer, struct reply *ret)
{
    const char *text = buf_cstr(&peer->in);
    const char *end = strstr(text, "\r\n\r\n");
    if (!end)
        return false;
    const char *length = strcasestr(text, "Content-Length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    size_t head = (size_t)(end - text) + 4;
    if (peer->in.len < head + body)
        return false;
    ret->status = atoi(text + 9);
    ret->head = xstrndup(text, head);
    ret->body = xstrndup(text + head, body);
    peer->in.len -= head + body;
    memmove(peer->in.data, peer->in.data + head + body, peer->in.len);
    return true;
}

static inline void reply_done(struct reply *reply)
{
    free(reply->head);
    free(reply->body);
}

static inline struct reply peer_take(struct rig *rig, struct peer *peer)
{
    struct reply reply = {0};
    for (int i = 0; i < 5000 && !peer->closed; i++) {
        event_base_loop(rig->base, EVLOOP_NONBLOCK);
        peer_read(peer);
        if (peer_try_take(peer, &reply))
            return reply;
        if (i < 10)
            continue;
        poll(NULL, 0, 1);
        clock_manual_advance(&rig->clock, 1000); /* some answers are a matter of time */
    }
    cr_assert_fail("no answer");
    return reply;
}

/* True if nothing has been answered after the loop has done all it can. */
static inline bool peer_is_waiting(struct rig *rig, struct peer *peer)
{
    rig_turn(rig);
    peer_read(peer);
    return peer->in.len == 0 && !peer->closed;
}

static inline char *post_text(const char *headers, struct span body)
{
    struct buf out;
    buf_init(&out, 64 << 20);
    buf_addf(&out, "POST /v1/signals HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n", headers, body.len);
    buf_add_span(&out, body);
    return buf_take(&out);
}

static const char json_type[] = "Content-Type: application/json\r\n";

/* Sends without waiting for the answer. */
static inline void peer_post(struct rig *rig, const struct peer *peer, const char *headers, const char *body)
{
    char *text = post_text(headers, span_of(body));
    peer_send(rig, peer, span_of(text));
    free(text);
}

/* One POST on a connection of its own. */
static inline struct reply rig_post(struct rig *rig, const char *headers, const char *body)
{
    struct peer peer;
    peer_init(&peer, rig);
    peer_post(rig, &peer, headers, body);
    struct reply reply = peer_take(rig, &peer);
    peer_done(&peer);
    return reply;
}

static inline struct reply rig_request(struct rig *rig, const char *text)
{
    struct peer peer;
    peer_init(&peer, rig);
    peer_send(rig, &peer, span_of(text));
    struct reply reply = peer_take(rig, &peer);
    peer_done(&peer);
    return reply;
}

/* Expects an answer and frees it. contains may be NULL. */
static inline void expect(struct reply reply, int status, const char *contains)
{
    cr_assert_eq(reply.status, status, "%d instead of %d: %s", reply.status, status, reply.body);
    if (contains)
        cr_assert_not_null(strstr(reply.body, contains), "no %s in: %s", contains, reply.body);
    reply_done(&reply);
}

#define SIGNAL(id) "{\"id\":\"" id "\",\"tenant_id\":\"acme\",\"sku_id\":\"sku-1\",\"type\":\"usage\"}"

#endif
