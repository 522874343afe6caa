/* The cases with much to carry: a backlog, a restart, several threads. Part of kanban_suite.c. */
#include "kanban_suite_parts.h"

#include <pthread.h>
#include <string.h>

/* More than the queue keeps in memory waits before anybody reads. */
static void a_backlog_is_delivered_whole(struct suite *suite)
{
    enum { FRAMES = 600, SIZE = 20000 };
    char *bytes = xmalloc(SIZE);
    memset(bytes, 'x', SIZE);
    struct client *writer = open_plain(suite);
    for (int i = 0; i < FRAMES; i++) {
        char text[24];
        struct signal signal = client_signal(text, (uint64_t)i);
        signal.bytes = (struct span){bytes, SIZE};
        memcpy(bytes, text, sizeof(text));
        CHECK_INT(kanban_publish(writer->kanban, 1, &signal, 1, NULL), 0);
        if (i % 50 == 49)
            client_wait(writer, &writer->answered, (size_t)i + 1);
    }
    client_wait(writer, &writer->answered, FRAMES);
    CHECK_INT(writer->failed, 0);
    struct client *reader = client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .prefetch = 10});
    CHECK_INT(kanban_subscribe(reader->kanban, 1), 0);
    for (size_t i = 0; i < FRAMES; i++) {
        client_wait(reader, &reader->delivered, i + 1);
        if (reader->delivered <= i)
            break;
        CHECK_INT(delivery_id(reader->held[i]), i);
        CHECK_INT(strtol(reader->held[i]->frame->signals[0].bytes.ptr, NULL, 10), i);
        CHECK_INT(reader->held[i]->frame->signals[0].bytes.len, SIZE);
        client_settle(reader, i);
    }
    client_close(writer);
    client_close(reader);
    free(bytes);
}

static void a_restart_keeps_what_was_confirmed(struct suite *suite)
{
    if (!suite->target->restart)
        return;
    struct client *client = open_plain(suite);
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    publish_range(client, 0, 0, 50);
    publish_range(client, 2, 1000, 1010);
    client_wait(client, &client->answered, 60);
    client_wait(client, &client->delivered, 50);
    for (size_t i = 10; i < 30; i++)
        client_settle(client, i);
    client_close(client);
    suite->backend = suite->target->restart(suite->target->ctx, suite->backend);
    client = open_plain(suite);
    CHECK_INT(kanban_depth(client->kanban), 40);
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    publish_range(client, 0, 50, 55);
    client_wait(client, &client->delivered, 35);
    check_ids(client, 0, 0, 10);
    check_ids(client, 10, 30, 25);
    CHECK_INT(kanban_subscribe(client->kanban, 2), 0);
    client_wait(client, &client->delivered, 45);
    check_ids(client, 35, 1000, 10);
    for (size_t i = 0; i < 45; i++)
        client_settle(client, i);
    client_close(client);
    suite->backend = suite->target->restart(suite->target->ctx, suite->backend);
    client = open_plain(suite);
    CHECK_INT(kanban_depth(client->kanban), 0);
    client_close(client);
}

enum { THREAD_FRAMES = 10000, THREAD_WINDOW = 64, WRITERS = 2 };

struct writer {
    const struct suite *suite;
    uint64_t first_id;
};

static void *write_many(void *arg)
{
    const struct writer *self = arg;
    struct client *client = open_plain(self->suite);
    for (uint64_t i = 0; i < THREAD_FRAMES; i++) {
        CHECK_INT(client_publish(client, (uint32_t)(i % SUITE_PARTITIONS), self->first_id + i, (intptr_t)i + 1), 0);
        if (i + 1 >= client->answered + THREAD_WINDOW)
            client_wait(client, &client->answered, i + 2 - THREAD_WINDOW);
    }
    client_wait(client, &client->answered, THREAD_FRAMES);
    CHECK_INT(client->failed, 0);
    client_close(client);
    return NULL;
}

/* What a reader knows of one writer in one partition. */
struct track {
    char boot[17];
    uint64_t sequence;
    uint64_t id;
};

static void follow(struct track tracks[WRITERS], const struct kanban_delivery *delivery)
{
    const struct frame_header *header = &delivery->frame->header;
    struct track *track = tracks;
    while (track < tracks + WRITERS - 1 && track->boot[0] && strcmp(track->boot, header->boot) != 0)
        track++;
    if (!track->boot[0]) {
        memcpy(track->boot, header->boot, sizeof(track->boot));
        track->id = delivery_id(delivery) - SUITE_PARTITIONS;
    }
    CHECK(strcmp(track->boot, header->boot) == 0);
    CHECK_INT(header->sequence, ++track->sequence);
    CHECK(header->confirmed < header->sequence);
    CHECK_INT(header->void_count, 0);
    track->id += SUITE_PARTITIONS;
    CHECK_INT(delivery_id(delivery), track->id);
}

static void handles_on_several_threads(struct suite *suite)
{
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.suite = suite, .first_id = 1 + (uint64_t)i * 1000000};
        pthread_create(&threads[i], NULL, write_many, &writers[i]);
    }
    struct client *reader = open_plain(suite);
    client_subscribe_all(reader, SUITE_PARTITIONS);
    struct track tracks[SUITE_PARTITIONS][WRITERS] = {0};
    for (size_t i = 0; i < (size_t)WRITERS * THREAD_FRAMES; i++) {
        client_wait(reader, &reader->delivered, i + 1);
        if (reader->delivered <= i)
            break;
        follow(tracks[reader->held[i]->partition], reader->held[i]);
        client_settle(reader, i);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    wait_depth(reader, 0);
    client_quiet(reader);
    CHECK_INT(reader->delivered, WRITERS * THREAD_FRAMES);
    client_close(reader);
}
