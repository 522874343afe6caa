/* What holds whatever the queue meets on the way: refusals, nacks, late and lost answers, repeats, lost channels. Part
 * of kanban_suite.c. */
#include "kanban_suite_parts.h"

#include <errno.h>
#include <string.h>

enum { FAULT_FRAMES = 400, FAULT_GIVES_UP = 50, UNANSWERED = 1 };

struct witness {
    bool seen[FAULT_FRAMES];
    uint64_t newest[SUITE_PARTITIONS]; /* of those seen, plus 1 */
    size_t deliveries;
};

/* First deliveries come in the order in which they were published; a repeat may come any time later. */
static void witness_delivery(struct witness *witness, const struct kanban_delivery *delivery)
{
    uint64_t id = delivery_id(delivery);
    witness->deliveries++;
    if (delivery->frame && delivery->frame->header.count == 0)
        return;
    CHECK(id < FAULT_FRAMES);
    if (id >= FAULT_FRAMES || witness->seen[id])
        return;
    CHECK_INT(delivery->partition, id % SUITE_PARTITIONS);
    CHECK(id >= witness->newest[delivery->partition]);
    witness->newest[delivery->partition] = id + 1;
    witness->seen[id] = true;
}

/* Gives up what it holds of the partition, and reads it again. */
static void give_up(struct client *reader, size_t from, uint32_t partition)
{
    kanban_unsubscribe(reader->kanban, partition);
    for (size_t i = from; i < reader->delivered; i++)
        if (reader->held[i] && reader->held[i]->partition == partition)
            client_abandon(reader, i);
    CHECK_INT(kanban_subscribe(reader->kanban, partition), 0);
}

static void read_some(struct client *reader, struct witness *witness)
{
    size_t from = witness->deliveries;
    client_turn(reader, 2);
    for (size_t i = from; i < reader->delivered; i++)
        witness_delivery(witness, reader->held[i]);
    for (size_t i = from; i < reader->delivered; i++) {
        if (!reader->held[i])
            continue;
        if (i % FAULT_GIVES_UP == FAULT_GIVES_UP - 1)
            give_up(reader, i, reader->held[i]->partition);
        else
            client_settle(reader, i);
    }
}

/* A lost channel costs all that is on its way: where many are lost, little must be. */
static struct client *open_slow(const struct suite *suite)
{
    return client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .prefetch = 8});
}

static void nothing_confirmed_is_lost(struct suite *suite)
{
    int statuses[FAULT_FRAMES];
    struct witness witness = {.deliveries = 0};
    struct client *writer = open_plain(suite), *reader = open_slow(suite);
    int64_t end = clock_mono_ms(&clock_system) + CLIENT_WAIT_MS;
    writer->statuses = statuses;
    client_subscribe_all(reader, SUITE_PARTITIONS);
    for (uint64_t id = 0; id < FAULT_FRAMES; id++) {
        statuses[id] = UNANSWERED;
        while (client_publish(writer, (uint32_t)(id % SUITE_PARTITIONS), id, (intptr_t)id) == -EAGAIN &&
               clock_mono_ms(&clock_system) < end)
            client_turn(writer, 1);
        if (id % 8 == 7)
            read_some(reader, &witness);
    }
    client_wait(writer, &writer->answered, FAULT_FRAMES);
    CHECK_INT(kanban_unanswered(writer->kanban), 0);
    while (kanban_depth(reader->kanban) && clock_mono_ms(&clock_system) < end)
        read_some(reader, &witness);
    CHECK_INT(kanban_depth(reader->kanban), 0);
    size_t unanswered = 0, lost = 0;
    for (size_t id = 0; id < FAULT_FRAMES; id++) {
        unanswered += statuses[id] == UNANSWERED;
        lost += statuses[id] == 0 && !witness.seen[id];
    }
    CHECK_INT(unanswered, 0);
    CHECK_INT(lost, 0);
    client_close(writer);
    client_close(reader);
}
