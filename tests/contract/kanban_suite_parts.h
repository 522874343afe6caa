/* What the cases of the suite share. */
#ifndef TAI_TESTS_KANBAN_SUITE_PARTS_H
#define TAI_TESTS_KANBAN_SUITE_PARTS_H

#include "../support/kanban_client.h"
#include "kanban_suite.h"

struct suite {
    const struct kanban_suite_target *target;
    struct kanban_backend *backend;
};

static inline struct client *open_plain(const struct suite *suite)
{
    return client_open(&(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS});
}

static inline void publish_range(struct client *client, uint32_t partition, uint64_t from, uint64_t to)
{
    for (uint64_t id = from; id < to; id++)
        CHECK_INT(client_publish(client, partition, id, (intptr_t)id), 0);
}

static inline void check_ids(const struct client *client, size_t from, uint64_t first_id, size_t count)
{
    for (size_t i = 0; i < count && from + i < client->delivered; i++)
        CHECK_INT(delivery_id(client->held[from + i]), first_id + i);
}

/* A settle counts once it is certain. */
static inline void wait_depth(struct client *client, uint64_t depth)
{
    int64_t end = clock_mono_ms(&clock_system) + CLIENT_WAIT_MS;
    while (kanban_depth(client->kanban) != depth && clock_mono_ms(&clock_system) < end)
        client_turn(client, 10);
    CHECK_INT(kanban_depth(client->kanban), depth);
}

#endif
