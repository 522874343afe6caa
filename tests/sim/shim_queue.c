/* Between kanban.c and the queue: planted bugs of an adapter or of the wrapper itself, and below them the evidence of
 * what was really published and answered. */
#include "sim/shims.h"

#include "common/mem.h"
#include "kanban/backend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct shim_queue {
    struct kanban_backend base;
    struct world *world;
    struct kanban_backend *inner;
};

struct answer {
    uint64_t request;
    int status;
};

struct held { /* a delivery that has not been settled */
    uint32_t partition;
    uint64_t tag;
};

struct late { /* a delivery that the next one of its partition overtakes */
    char *bytes;
    size_t len;
    uint32_t partition;
    uint64_t tag;
    unsigned attempt;
};

struct shim_link {
    struct shim_queue *queue;
    struct kanban_link *inner;
    struct kanban_sink sink;
    struct fate_ref *fates; /* by request */
    size_t fate_cap;
    struct answer *answers; /* of this dispatch */
    size_t answer_count, answer_cap;
    struct held *held;
    size_t held_count, held_cap;
    struct late late;
};

static struct shim_link *shim_link(const struct kanban_link *link)
{
    return (struct shim_link *)link;
}

static const struct kanban_backend_ops *inner_ops(const struct shim_link *self)
{
    return self->queue->inner->ops;
}

/* --- frames rewritten --------------------------------------------------------------------------------------------- */

static struct frame *parse(struct span bytes)
{
    struct frame *frame;
    struct error err;
    char *copy = xmalloc(bytes.len + 1);
    memcpy(copy, bytes.ptr, bytes.len);
    if (frame_decode(copy, bytes.len, &frame, &err)) {
        fprintf(stderr, "a frame of our own: %s\n", err.text);
        abort();
    }
    return frame;
}

static struct span encode(const struct frame *frame, struct buf *out)
{
    buf_init(out, 1 << 20);
    frame_encode(&frame->header, frame->signals, out);
    return buf_span(out);
}

static bool spoil_header(struct world *world, struct frame_header *header)
{
    if (header->sequence > 1 && bug_strikes(world, BUG_SEQUENCE_REUSED, 8)) {
        header->sequence--;
        return true;
    }
    if (header->count && bug_strikes(world, BUG_CONFIRMED_HIGH, 8)) {
        header->confirmed = header->sequence;
        return true;
    }
    if (header->void_count && bug_strikes(world, BUG_VOID_UNTOLD, 1)) {
        header->void_count = 0;
        return true;
    }
    return false;
}

static bool spoil_signals(struct world *world, struct frame *frame)
{
    if (frame->header.count > 1 && bug_strikes(world, BUG_SIGNAL_CUT, 8)) {
        frame->header.count--;
        return true;
    }
    if (frame->header.count && bug_strikes(world, BUG_TENANT_IN_FRAME, 16)) {
        bool acme = span_is(frame->signals[0].tenant_id, "acme");
        frame->signals[0].tenant_id = acme ? SPAN("bolt") : SPAN("acme");
        return true;
    }
    return false;
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static void add_answer(struct shim_link *self, uint64_t request, int status)
{
    mem_grow(&self->answers, &self->answer_cap, self->answer_count + 1, sizeof(*self->answers));
    self->answers[self->answer_count++] = (struct answer){request, status};
}

static void note_fate(struct shim_link *self, uint64_t request, struct fate_ref fate)
{
    size_t old = self->fate_cap;
    mem_grow(&self->fates, &self->fate_cap, request + 1, sizeof(*self->fates));
    if (self->fate_cap > old)
        memset(self->fates + old, 0, (self->fate_cap - old) * sizeof(*self->fates));
    self->fates[request] = fate;
}

static int send_frame(struct shim_link *self, uint32_t partition, uint64_t request, struct span bytes, uint32_t count,
                      const struct frame_header *header)
{
    struct world *world = self->queue->world;
    if (count && bug_strikes(world, BUG_RETURN_IGNORED, 16)) {
        struct fate_ref fate = evidence_published(world, header);
        evidence_answered(fate, false);
        add_answer(self, request, 0);
        return 0;
    }
    if (bug_strikes(world, BUG_PARTITION_WRONG, 16))
        partition = (partition + 1) % (uint32_t)world->config.partitions;
    int status = inner_ops(self)->publish(self->inner, partition, request, bytes, count);
    if (status)
        return status;
    note_fate(self, request, evidence_published(world, header));
    if (bug_is(world, BUG_CONFIRM_EARLY))
        add_answer(self, request, 0);
    return 0;
}

static int publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes, uint32_t count)
{
    struct shim_link *self = shim_link(link);
    struct world *world = self->queue->world;
    struct frame *frame = parse(bytes);
    struct buf changed;
    buf_init(&changed, 0);
    bool spoiled = spoil_header(world, &frame->header);
    spoiled |= spoil_signals(world, frame);
    if (spoiled)
        bytes = encode(frame, &changed);
    int status = send_frame(self, partition, request, bytes, frame->header.count < count ? frame->header.count : count,
                            &frame->header);
    world_trace(world, "frame %llu of partition %u: %u signals, published %d",
                (unsigned long long)frame->header.sequence, partition, count, status);
    buf_done(&changed);
    frame_free(frame);
    world_active(world);
    return status;
}

static void on_published(void *ctx, uint64_t request, int status)
{
    struct shim_link *self = ctx;
    struct world *world = self->queue->world;
    world_active(world);
    if (request < self->fate_cap)
        evidence_answered(self->fates[request], status == 0);
    if (bug_is(world, BUG_CONFIRM_EARLY))
        return;
    add_answer(self, request, bug_is(world, BUG_NACK_AS_ACK) ? 0 : status);
}

static void pass_answers(struct shim_link *self)
{
    struct answer *answers = self->answers;
    size_t count = self->answer_count;
    size_t first = count && bug_is(self->queue->world, BUG_MULTIPLE_IGNORED) ? count - 1 : 0;
    self->answers = NULL; /* a callback may publish */
    self->answer_count = self->answer_cap = 0;
    for (size_t i = first; i < count; i++)
        self->sink.published(self->sink.ctx, answers[i].request, answers[i].status);
    free(answers);
}

/* --- delivering --------------------------------------------------------------------------------------------------- */

static void pass(struct shim_link *self, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes,
                 size_t len)
{
    struct world *world = self->queue->world;
    world_active(world);
    world_trace(world, "a frame of partition %u is delivered, attempt %u", partition, attempt);
    mem_grow(&self->held, &self->held_cap, self->held_count + 1, sizeof(*self->held));
    self->held[self->held_count++] = (struct held){partition, tag};
    if (bug_is(world, BUG_SETTLE_EARLY))
        inner_ops(self)->settle(self->inner, partition, tag);
    self->sink.delivered(self->sink.ctx, partition, tag, attempt, take_bytes, len);
}

static char *renamed(struct shim_link *self, char *take_bytes, size_t *len)
{
    struct frame *frame = parse((struct span){take_bytes, *len});
    struct buf out;
    for (uint32_t i = 0; i < frame->header.count; i++) {
        struct span id = frame->signals[i].id;
        char *fresh = arena_alloc(&self->queue->world->shims->arena, id.len + 2);
        memcpy(fresh, id.ptr, id.len);
        fresh[id.len] = '~';
        frame->signals[i].id = (struct span){fresh, id.len + 1};
    }
    *len = encode(frame, &out).len;
    frame_free(frame);
    free(take_bytes);
    return buf_take(&out);
}

static void release_late(struct shim_link *self)
{
    struct late late = self->late;
    self->late = (struct late){0};
    if (late.bytes)
        pass(self, late.partition, late.tag, late.attempt, late.bytes, late.len);
}

static void on_delivered(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes, size_t len)
{
    struct shim_link *self = ctx;
    struct world *world = self->queue->world;
    if (attempt > 1 && bug_strikes(world, BUG_REDELIVERY_DROPPED, 1)) {
        inner_ops(self)->settle(self->inner, partition, tag);
        free(take_bytes);
        return;
    }
    if (attempt > 1 && bug_strikes(world, BUG_REDELIVERY_AS_NEW, 1))
        take_bytes = renamed(self, take_bytes, &len);
    if (!self->late.bytes && bug_strikes(world, BUG_FRAMES_SWAPPED, 3)) {
        self->late = (struct late){take_bytes, len, partition, tag, attempt};
        return;
    }
    pass(self, partition, tag, attempt, take_bytes, len);
    if (self->late.bytes && self->late.partition == partition)
        release_late(self);
}

static void forget(struct shim_link *self, uint32_t partition, bool settle_them)
{
    size_t kept = 0;
    for (size_t i = 0; i < self->held_count; i++) {
        if (self->held[i].partition != partition)
            self->held[kept++] = self->held[i];
        else if (settle_them)
            inner_ops(self)->settle(self->inner, partition, self->held[i].tag);
    }
    self->held_count = kept;
}

static int subscribe(struct kanban_link *link, uint32_t partition)
{
    struct shim_link *self = shim_link(link);
    int status = inner_ops(self)->subscribe(self->inner, partition);
    if (status == 0)
        forget(self, partition, false);
    return status;
}

static void unsubscribe(struct kanban_link *link, uint32_t partition)
{
    struct shim_link *self = shim_link(link);
    forget(self, partition, bug_is(self->queue->world, BUG_SETTLE_ABANDONED));
    inner_ops(self)->unsubscribe(self->inner, partition);
}

static void settle(struct kanban_link *link, uint32_t partition, uint64_t tag)
{
    struct shim_link *self = shim_link(link);
    struct world *world = self->queue->world;
    size_t kept = 0;
    for (size_t i = 0; i < self->held_count; i++)
        if (self->held[i].partition != partition || self->held[i].tag != tag)
            self->held[kept++] = self->held[i];
    self->held_count = kept;
    world_active(world);
    if (!bug_is(world, BUG_SETTLE_EARLY) && !bug_strikes(world, BUG_SETTLE_FORGOTTEN, 8))
        inner_ops(self)->settle(self->inner, partition, tag);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void dispatch(struct kanban_link *link)
{
    struct shim_link *self = shim_link(link);
    inner_ops(self)->dispatch(self->inner);
    release_late(self);
    pass_answers(self);
}

static int link_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err)
{
    struct shim_queue *queue = (struct shim_queue *)backend;
    struct shim_link *self = xcalloc(1, sizeof(*self));
    struct kanban_sink ours = {.published = on_published, .delivered = on_delivered, .ctx = self};
    self->queue = queue;
    self->sink = *sink;
    int status = queue->inner->ops->link_open(queue->inner, &ours, prefetch, &self->inner, err);
    if (status) {
        free(self);
        return status;
    }
    *ret = (struct kanban_link *)self;
    return 0;
}

static void link_close(struct kanban_link *link)
{
    struct shim_link *self = shim_link(link);
    inner_ops(self)->link_close(self->inner);
    free(self->late.bytes);
    free(self->fates);
    free(self->answers);
    free(self->held);
    free(self);
}

static uint64_t depth(const struct kanban_backend *backend)
{
    const struct kanban_backend *inner = ((const struct shim_queue *)backend)->inner;
    return inner->ops->depth(inner);
}

static uint64_t depth_of(const struct kanban_backend *backend, uint32_t partition)
{
    const struct kanban_backend *inner = ((const struct shim_queue *)backend)->inner;
    return inner->ops->depth_of(inner, partition);
}

static int poll_fd(const struct kanban_link *link)
{
    const struct shim_link *self = shim_link(link);
    return inner_ops(self)->poll_fd(self->inner);
}

static int64_t deadline_us(const struct kanban_link *link)
{
    const struct shim_link *self = shim_link(link);
    return inner_ops(self)->deadline_us ? inner_ops(self)->deadline_us(self->inner) : INT64_MAX;
}

static void queue_free(struct kanban_backend *backend)
{
    struct shim_queue *queue = (struct shim_queue *)backend;
    kanban_backend_free(queue->inner);
    free(queue);
}

static const struct kanban_backend_ops shim_ops = {
    .name = "shim",
    .link_open = link_open,
    .publish = publish,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .settle = settle,
    .depth = depth,
    .depth_of = depth_of,
    .poll_fd = poll_fd,
    .deadline_us = deadline_us,
    .dispatch = dispatch,
    .link_close = link_close,
    .free = queue_free,
};

struct kanban_backend *shim_queue_new(struct world *world, struct kanban_backend *take_inner)
{
    struct shim_queue *queue = xcalloc(1, sizeof(*queue));
    *queue = (struct shim_queue){.base = {.ops = &shim_ops}, .world = world, .inner = take_inner};
    return &queue->base;
}
