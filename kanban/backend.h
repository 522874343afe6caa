/* What a queue backend is: one const table and an opaque instance. kanban.c is its only caller. */
#ifndef TAI_KANBAN_BACKEND_H
#define TAI_KANBAN_BACKEND_H

#include "common/error.h"
#include "common/span.h"

#include <stdint.h>

struct db;
struct kanban_backend; /* shared by all threads: where frames live */
struct kanban_link;    /* one thread's connection to it */

struct kanban_sink { /* implemented by kanban.c; called only from link_dispatch */
    void (*published)(void *ctx, uint64_t request, int status);
    /* bytes are heap, owned by the callee from here on */
    void (*delivered)(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes, size_t len);
    void *ctx;
};

struct kanban_backend_ops {
    const char *name;
    int (*link_open)(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err);
    /* count: signals in the frame, for depth */
    int (*publish)(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes, uint32_t count);
    int (*subscribe)(struct kanban_link *link, uint32_t partition);
    void (*unsubscribe)(struct kanban_link *link, uint32_t partition);
    void (*settle)(struct kanban_link *link, uint32_t partition, uint64_t tag);
    uint64_t (*depth)(const struct kanban_backend *backend); /* any thread, as depth_of */
    uint64_t (*depth_of)(const struct kanban_backend *backend, uint32_t partition);
    int (*poll_fd)(const struct kanban_link *link);
    int64_t (*deadline_us)(const struct kanban_link *link); /* NULL: never */
    void (*dispatch)(struct kanban_link *link);
    void (*link_close)(struct kanban_link *link);
    void (*free)(struct kanban_backend *backend);
};

struct kanban_backend { /* first member of every backend's struct */
    const struct kanban_backend_ops *ops;
};

struct kanban_backend *kanban_memory_new(uint32_t partitions);
/* Frames in table kanban_frames of the database that db owns; creates it. */
must_check int kanban_sqlite_new(struct db *db, uint32_t partitions, struct kanban_backend **ret, struct error *err);
/* Signals queued for a partition, settled ones excluded. Any thread. */
uint64_t kanban_backend_depth(const struct kanban_backend *backend, uint32_t partition);
void kanban_backend_free(struct kanban_backend *backend);

#endif
