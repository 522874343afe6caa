/* A queue handle with everything it was told written down: for tests. */
#ifndef TAI_TESTS_KANBAN_CLIENT_H
#define TAI_TESTS_KANBAN_CLIENT_H

#include "check.h"
#include "common/mem.h"
#include "kanban/backend.h"
#include "kanban/kanban.h"

#include <poll.h>
#include <stdlib.h>

enum { CLIENT_MAX = 40000, CLIENT_WAIT_MS = 20000 };

struct client {
    struct kanban *kanban;
    size_t answered;
    size_t failed; /* answers other than 0 */
    int last_status;
    intptr_t last_token;
    int *statuses;                            /* by token, or NULL */
    bool in_order;                            /* tokens were answered in the order 1, 2, 3 … */
    struct kanban_delivery *held[CLIENT_MAX]; /* in order of arrival; NULL once given back */
    size_t delivered;
    bool settle_at_once;
    void (*on_delivered)(struct client *client, struct kanban_delivery *delivery);
};

static inline void client_published(void *ctx, void *token, int status)
{
    struct client *client = ctx;
    client->answered++;
    client->failed += status != 0;
    client->last_status = status;
    client->in_order = client->in_order && (intptr_t)token == client->last_token + 1;
    client->last_token = (intptr_t)token;
    if (client->statuses)
        client->statuses[(intptr_t)token] = status;
}

static inline void client_delivered(void *ctx, struct kanban_delivery *delivery)
{
    struct client *client = ctx;
    if (client->delivered == CLIENT_MAX)
        abort();
    if (client->on_delivered)
        client->on_delivered(client, delivery);
    client->held[client->delivered++] = client->settle_at_once ? NULL : delivery;
    if (client->settle_at_once)
        kanban_settle(client->kanban, delivery);
}

struct client_options {
    struct kanban_backend *backend;
    uint32_t partitions;
    uint32_t prefetch;  /* 0: 64 */
    uint64_t max_depth; /* 0: no limit */
    const struct clock *clock;
    struct metrics *metrics;
};

static inline struct client *client_open(const struct client_options *options)
{
    struct client *client = xcalloc(1, sizeof(*client));
    client->in_order = true;
    struct kanban_options kanban = {
        .backend = options->backend,
        .events = {.published = client_published, .delivered = client_delivered, .ctx = client},
        .partitions = options->partitions,
        .prefetch = options->prefetch ? options->prefetch : 64,
        .max_depth = options->max_depth ? options->max_depth : UINT64_MAX,
        .clock = options->clock ? options->clock : &clock_system,
        .metrics = options->metrics,
    };
    struct error err;
    if (kanban_open(&kanban, &client->kanban, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return client;
}

/* Gives back what is held and closes. */
static inline void client_close(struct client *client)
{
    for (size_t i = 0; i < client->delivered; i++)
        if (client->held[i])
            kanban_abandon(client->kanban, client->held[i]);
    kanban_close(client->kanban);
    free(client);
}

static inline void client_settle(struct client *client, size_t i)
{
    kanban_settle(client->kanban, client->held[i]);
    client->held[i] = NULL;
}

static inline void client_abandon(struct client *client, size_t i)
{
    kanban_abandon(client->kanban, client->held[i]);
    client->held[i] = NULL;
}

/* One wait for the fd (at most ms) and one dispatch. */
static inline void client_turn(struct client *client, int ms)
{
    struct pollfd fd = {.fd = kanban_poll_fd(client->kanban), .events = POLLIN};
    (void)poll(&fd, 1, ms);
    kanban_dispatch(client->kanban);
}

static inline void client_wait(struct client *client, const size_t *counter, size_t value)
{
    int64_t end = clock_mono_ms(&clock_system) + CLIENT_WAIT_MS;
    while (*counter < value && clock_mono_ms(&clock_system) < end)
        client_turn(client, 20);
    if (*counter < value)
        fprintf(stderr, "waited for %zu, got only %zu\n", value, *counter);
    CHECK(*counter >= value);
}

/* Long enough for anything that should not come to come. */
static inline void client_quiet(struct client *client)
{
    for (int i = 0; i < 5; i++)
        client_turn(client, 10);
}

/* A signal whose id is a number; text has to live as long. */
static inline struct signal client_signal(char text[24], uint64_t id)
{
    snprintf(text, 24, "%llu", (unsigned long long)id);
    return (struct signal){
        .tenant_id = SPAN("acme"),
        .entitlement_id = SPAN("ent-1"),
        .id = span_of(text),
        .type = SPAN("usage"),
        .source = SPAN("key-1"),
        .data = SPAN("null"),
        .bytes = SPAN("{\"type\":\"usage\"}"),
        .time_ms = 1767225600000,
        .accepted_at_ms = 1767225600000,
    };
}

/* Publishes one signal with that id; the token is how many were published before, plus 1. */
static inline int client_publish(struct client *client, uint32_t partition, uint64_t id, intptr_t token)
{
    char text[24];
    struct signal signal = client_signal(text, id);
    return kanban_publish(client->kanban, partition, &signal, 1, (void *)token);
}

static inline uint64_t delivery_id(const struct kanban_delivery *delivery)
{
    if (!delivery->frame || delivery->frame->header.count == 0)
        return UINT64_MAX;
    char text[24] = "";
    struct span id = delivery->frame->signals[0].id;
    memcpy(text, id.ptr, id.len < 23 ? id.len : 23);
    return strtoull(text, NULL, 10);
}

static inline void client_subscribe_all(struct client *client, uint32_t partitions)
{
    for (uint32_t i = 0; i < partitions; i++)
        CHECK_INT(kanban_subscribe(client->kanban, i), 0);
}

#endif
