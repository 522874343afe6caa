/* The frames of all partitions within one process, in order: what the memory and SQLite backends share. A lane is one
 * partition's queue with at most one reader, which is handed up to its prefetch of frames and settles them; a new
 * subscription starts again from the first unsettled frame.
 *
 * Thread-safe; a reader belongs to one thread. With keep_bytes the lanes hold each frame's bytes until it is settled
 * and hand out copies; without, they hand out what they have and ask for the rest (lanes_missing), holding
 * LANES_CACHE_MAX. */
#ifndef TAI_KANBAN_LANES_H
#define TAI_KANBAN_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANES_CACHE_MAX = 4 * 1024 * 1024, LANES_LOAD_MAX = 1024 * 1024 };

struct lanes;
struct lanes_reader;

struct lane_frame {
    struct lane_frame *next;
    struct lane_frame *prev; /* the lanes' own */
    uint64_t no;             /* unique; the tag */
    uint64_t request;        /* for the backend while it is being published */
    char *bytes;             /* heap, owned; NULL if they have to be loaded */
    size_t len;
    uint32_t partition;
    uint32_t count;
    unsigned attempt;
    bool out; /* handed to the present reader */
};

/* What lanes_take hands out; bytes are the caller's. */
struct lane_delivery {
    uint64_t no;
    char *bytes;
    size_t len;
    uint32_t partition;
    unsigned attempt;
};

/* A lane for each partition, and one for KANBAN_REFUSALS. */
struct lanes *lanes_new(uint32_t partitions, bool keep_bytes);
void lanes_free(struct lanes *lanes);
uint32_t lanes_partitions(const struct lanes *lanes);
bool lanes_has(const struct lanes *lanes, uint32_t partition);

/* wake is called from any thread, with the lock held, when lanes_take or lanes_missing has something new. */
struct lanes_reader *lanes_reader_new(struct lanes *lanes, uint32_t prefetch, void (*wake)(void *ctx), void *ctx);
void lanes_reader_free(struct lanes_reader *reader); /* unsubscribes */

/* Signals in the queue: counted from before the publish until the settle is certain. */
void lanes_depth_add(struct lanes *lanes, uint32_t partition, uint64_t count);
void lanes_depth_sub(struct lanes *lanes, uint32_t partition, uint64_t count);
uint64_t lanes_depth(const struct lanes *lanes); /* of all partitions; refusals apart */
uint64_t lanes_depth_of(const struct lanes *lanes, uint32_t partition);

/* Appends a list of frames, linked by next, each to its lane; takes them. */
void lanes_append(struct lanes *lanes, struct lane_frame *take_list);
/* 0, or -EBUSY if another reader has the lane. A reader that has it starts again. */
int lanes_subscribe(struct lanes_reader *reader, uint32_t partition);
void lanes_unsubscribe(struct lanes_reader *reader, uint32_t partition);
/* The next frame for the reader, lane after lane; false if there is none. One at a time, so that what is done with it
 * may unsubscribe. Whoever stops before false has to come back unasked: no wake announces the rest. */
bool lanes_take(struct lanes_reader *reader, struct lane_delivery *ret);
/* The next frames of one of the reader's lanes that have to be loaded, from first_no on; false if there are none. Until
 * lanes_loaded is called the lane waits. */
bool lanes_missing(struct lanes_reader *reader, uint32_t *ret_partition, uint64_t *ret_nos, size_t max,
                   size_t *ret_count);
/* Brings bytes (heap, taken; NULL: none were to be had) for frames that lanes_missing named; those gone meanwhile are
 * freed. */
void lanes_loaded(struct lanes *lanes, uint32_t partition, const uint64_t *nos, char **take_bytes, const size_t *lens,
                  size_t count);
/* Removes a frame; false if it is not there. */
bool lanes_settle(struct lanes *lanes, uint32_t partition, uint64_t no, uint32_t *ret_count);

#endif
