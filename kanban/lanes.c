/* The lanes of one process; lanes.h says what they promise. One lock for all: it is held for a few pointers at a time.
 * A lane is a list from the oldest unsettled frame to the newest; those before `next` are out with the reader. */
#include "kanban/lanes.h"

#include "common/mem.h"
#include "kanban/frame.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct lane {
    struct lane_frame *first;
    struct lane_frame *last;
    struct lane_frame *next; /* the first that is not out */
    struct lanes_reader *reader;
    atomic_uint_fast64_t depth;
    uint32_t outstanding;
    bool loading;
};

struct lanes {
    pthread_mutex_t lock;
    atomic_uint_fast64_t depth;
    size_t cached; /* bytes held; not counted with keep_bytes */
    bool keep_bytes;
    uint32_t partitions;
    struct lane lane[]; /* of the partitions, then that of the refusals */
};

struct lanes_reader {
    struct lanes *lanes;
    uint32_t prefetch;
    uint32_t at; /* the lane lanes_take looks at next */
    bool ready;  /* woken, and lanes_take has not come to an end since */
    void (*wake)(void *ctx);
    void *ctx;
};

struct lanes *lanes_new(uint32_t partitions, bool keep_bytes)
{
    struct lanes *lanes = xcalloc(1, sizeof(*lanes) + (partitions + 1) * sizeof(lanes->lane[0]));
    pthread_mutex_init(&lanes->lock, NULL);
    lanes->partitions = partitions;
    lanes->keep_bytes = keep_bytes;
    return lanes;
}

void lanes_free(struct lanes *lanes)
{
    if (!lanes)
        return;
    for (uint32_t i = 0; i <= lanes->partitions; i++) {
        for (struct lane_frame *frame = lanes->lane[i].first, *next; frame; frame = next) {
            next = frame->next;
            free(frame->bytes);
            free(frame);
        }
    }
    pthread_mutex_destroy(&lanes->lock);
    free(lanes);
}

uint32_t lanes_partitions(const struct lanes *lanes)
{
    return lanes->partitions;
}

bool lanes_has(const struct lanes *lanes, uint32_t partition)
{
    return partition < lanes->partitions || partition == KANBAN_REFUSALS;
}

static struct lane *lane_of(struct lanes *lanes, uint32_t partition)
{
    return &lanes->lane[partition == KANBAN_REFUSALS ? lanes->partitions : partition];
}

static uint32_t partition_at(const struct lanes *lanes, uint32_t index)
{
    return index == lanes->partitions ? KANBAN_REFUSALS : index;
}

void lanes_depth_add(struct lanes *lanes, uint32_t partition, uint64_t count)
{
    if (partition != KANBAN_REFUSALS)
        atomic_fetch_add_explicit(&lanes->depth, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&lane_of(lanes, partition)->depth, count, memory_order_relaxed);
}

void lanes_depth_sub(struct lanes *lanes, uint32_t partition, uint64_t count)
{
    if (partition != KANBAN_REFUSALS)
        atomic_fetch_sub_explicit(&lanes->depth, count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&lane_of(lanes, partition)->depth, count, memory_order_relaxed);
}

uint64_t lanes_depth(const struct lanes *lanes)
{
    return atomic_load_explicit(&lanes->depth, memory_order_relaxed);
}

uint64_t lanes_depth_of(const struct lanes *lanes, uint32_t partition)
{
    if (!lanes_has(lanes, partition))
        return 0;
    return atomic_load_explicit(&lane_of((struct lanes *)lanes, partition)->depth, memory_order_relaxed);
}

struct lanes_reader *lanes_reader_new(struct lanes *lanes, uint32_t prefetch, void (*wake)(void *ctx), void *ctx)
{
    struct lanes_reader *reader = xmalloc(sizeof(*reader));
    *reader = (struct lanes_reader){.lanes = lanes, .prefetch = prefetch ? prefetch : 1, .wake = wake, .ctx = ctx};
    return reader;
}

void lanes_reader_free(struct lanes_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i <= reader->lanes->partitions; i++)
        lanes_unsubscribe(reader, partition_at(reader->lanes, i));
    free(reader);
}

/* With the lock held: tells the lane's reader if there is something for it. */
static void offer(struct lane *lane)
{
    struct lanes_reader *reader = lane->reader;
    if (!reader || reader->ready || !lane->next || lane->loading || lane->outstanding >= reader->prefetch)
        return;
    reader->ready = true;
    reader->wake(reader->ctx);
}

static void cache_drop(struct lanes *lanes, struct lane_frame *frame)
{
    if (lanes->keep_bytes || !frame->bytes)
        return;
    lanes->cached -= frame->len;
    free(frame->bytes);
    frame->bytes = NULL;
}

static void append(struct lanes *lanes, struct lane_frame *frame)
{
    struct lane *lane = lane_of(lanes, frame->partition);
    frame->next = NULL;
    frame->prev = lane->last;
    *(lane->last ? &lane->last->next : &lane->first) = frame;
    lane->last = frame;
    if (!lane->next)
        lane->next = frame;
    if (!lanes->keep_bytes && frame->bytes) {
        lanes->cached += frame->len;
        if (lanes->cached > LANES_CACHE_MAX)
            cache_drop(lanes, frame);
    }
    offer(lane);
}

void lanes_append(struct lanes *lanes, struct lane_frame *take_list)
{
    pthread_mutex_lock(&lanes->lock);
    for (struct lane_frame *frame = take_list, *next; frame; frame = next) {
        next = frame->next;
        append(lanes, frame);
    }
    pthread_mutex_unlock(&lanes->lock);
}

static void rewind_lane(struct lane *lane)
{
    for (struct lane_frame *frame = lane->first; frame && frame->out; frame = frame->next)
        frame->out = false;
    lane->next = lane->first;
    lane->outstanding = 0;
}

int lanes_subscribe(struct lanes_reader *reader, uint32_t partition)
{
    struct lanes *lanes = reader->lanes;
    if (!lanes_has(lanes, partition))
        return -EINVAL;
    struct lane *lane = lane_of(lanes, partition);
    int status = 0;
    pthread_mutex_lock(&lanes->lock);
    if (lane->reader && lane->reader != reader) {
        status = -EBUSY;
    } else {
        lane->reader = reader;
        rewind_lane(lane);
        offer(lane);
    }
    pthread_mutex_unlock(&lanes->lock);
    return status;
}

void lanes_unsubscribe(struct lanes_reader *reader, uint32_t partition)
{
    struct lanes *lanes = reader->lanes;
    if (!lanes_has(lanes, partition))
        return;
    struct lane *lane = lane_of(lanes, partition);
    pthread_mutex_lock(&lanes->lock);
    if (lane->reader == reader) {
        lane->reader = NULL;
        rewind_lane(lane);
    }
    pthread_mutex_unlock(&lanes->lock);
}

static void hand_out(struct lanes *lanes, struct lane *lane, struct lane_delivery *ret)
{
    struct lane_frame *frame = lane->next;
    *ret = (struct lane_delivery){.no = frame->no,
                                  .bytes = frame->bytes,
                                  .len = frame->len,
                                  .partition = frame->partition,
                                  .attempt = ++frame->attempt};
    if (lanes->keep_bytes) {
        ret->bytes = xmalloc(frame->len + 1);
        memcpy(ret->bytes, frame->bytes, frame->len);
    } else {
        lanes->cached -= frame->len;
        frame->bytes = NULL;
    }
    frame->out = true;
    lane->outstanding++;
    lane->next = frame->next;
}

bool lanes_take(struct lanes_reader *reader, struct lane_delivery *ret)
{
    struct lanes *lanes = reader->lanes;
    bool found = false;
    pthread_mutex_lock(&lanes->lock);
    for (uint32_t passed = 0; passed <= lanes->partitions; passed++) {
        struct lane *lane = &lanes->lane[reader->at];
        if (lane->reader == reader && !lane->loading && lane->next && lane->next->bytes &&
            lane->outstanding < reader->prefetch) {
            hand_out(lanes, lane, ret);
            found = true;
            break;
        }
        reader->at = reader->at == lanes->partitions ? 0 : reader->at + 1;
    }
    reader->ready = found;
    pthread_mutex_unlock(&lanes->lock);
    return found;
}

/* The lane's next frames without bytes, as many as may be out and as fit LANES_LOAD_MAX (one always does). */
static size_t collect(const struct lane *lane, uint32_t room, uint64_t *ret_nos, size_t max)
{
    size_t bytes = 0;
    size_t count = 0;
    for (const struct lane_frame *frame = lane->next; frame && !frame->bytes && count < max && count < room;
         frame = frame->next) {
        bytes += frame->len;
        if (count && bytes > LANES_LOAD_MAX)
            break;
        ret_nos[count++] = frame->no;
    }
    return count;
}

bool lanes_missing(struct lanes_reader *reader, uint32_t *ret_partition, uint64_t *ret_nos, size_t max,
                   size_t *ret_count)
{
    struct lanes *lanes = reader->lanes;
    bool found = false;
    pthread_mutex_lock(&lanes->lock);
    for (uint32_t i = 0; i <= lanes->partitions && !found; i++) {
        struct lane *lane = &lanes->lane[i];
        if (lane->reader != reader || lane->loading || lane->outstanding >= reader->prefetch)
            continue;
        *ret_count = collect(lane, reader->prefetch - lane->outstanding, ret_nos, max);
        found = lane->loading = *ret_count > 0;
        *ret_partition = partition_at(lanes, i);
    }
    pthread_mutex_unlock(&lanes->lock);
    return found;
}

void lanes_loaded(struct lanes *lanes, uint32_t partition, const uint64_t *nos, char **take_bytes, const size_t *lens,
                  size_t count)
{
    struct lane *lane = lane_of(lanes, partition);
    pthread_mutex_lock(&lanes->lock);
    struct lane_frame *from = lane->first;
    for (size_t i = 0; i < count; i++) {
        struct lane_frame *frame = from;
        while (frame && frame->no != nos[i])
            frame = frame->next;
        if (!frame || frame->bytes || frame->out || !take_bytes[i]) {
            free(take_bytes[i]);
            continue;
        }
        frame->bytes = take_bytes[i];
        frame->len = lens[i];
        lanes->cached += frame->len;
        from = frame->next;
    }
    lane->loading = false;
    offer(lane);
    pthread_mutex_unlock(&lanes->lock);
}

static void unlink_frame(struct lane *lane, struct lane_frame *frame)
{
    *(frame->prev ? &frame->prev->next : &lane->first) = frame->next;
    *(frame->next ? &frame->next->prev : &lane->last) = frame->prev;
    if (lane->next == frame)
        lane->next = frame->next;
    if (frame->out)
        lane->outstanding--;
}

bool lanes_settle(struct lanes *lanes, uint32_t partition, uint64_t no, uint32_t *ret_count)
{
    if (!lanes_has(lanes, partition))
        return false;
    struct lane *lane = lane_of(lanes, partition);
    pthread_mutex_lock(&lanes->lock);
    struct lane_frame *frame = lane->first;
    while (frame && frame->no != no)
        frame = frame->next;
    if (frame) {
        *ret_count = frame->count;
        unlink_frame(lane, frame);
        cache_drop(lanes, frame);
        offer(lane);
    }
    pthread_mutex_unlock(&lanes->lock);
    if (!frame)
        return false;
    free(frame->bytes);
    free(frame);
    return true;
}
