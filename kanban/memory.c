/* The queue in memory: for tests, and the model of what every backend does. A publish is durable (for as long as the
 * process lives) when it is called, but answered from dispatch like everywhere else. Never fails. */
#include "common/mem.h"
#include "kanban/backend.h"
#include "kanban/lanes.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TURN_MAX = 256 };

struct memory {
    struct kanban_backend base;
    struct lanes *lanes;
    atomic_uint_fast64_t last_no;
};

/* A link's fields are its thread's; wake alone comes from others and touches only the eventfd. */
struct memory_link {
    struct memory *memory;
    struct kanban_sink sink;
    struct lanes_reader *reader;
    int fd;
    uint64_t *answers; /* requests to answer at the next dispatch */
    size_t answer_count;
    size_t answer_cap;
};

static struct memory *memory_of(const struct kanban_backend *backend)
{
    return (struct memory *)backend;
}

static struct memory_link *memory_link(const struct kanban_link *link)
{
    return (struct memory_link *)link;
}

static void wake(void *ctx)
{
    const struct memory_link *self = ctx;
    uint64_t one = 1;
    ssize_t n = write(self->fd, &one, sizeof(one));
    (void)n; /* an eventfd only refuses when it is readable already */
}

static int link_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        int code = -errno;
        return error_set(err, code, "eventfd: %s", error_text(code));
    }
    struct memory_link *self = xcalloc(1, sizeof(*self));
    self->memory = memory_of(backend);
    self->sink = *sink;
    self->fd = fd;
    self->reader = lanes_reader_new(self->memory->lanes, prefetch, wake, self);
    *ret = (struct kanban_link *)self;
    return 0;
}

static int publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes, uint32_t count)
{
    struct memory_link *self = memory_link(link);
    struct lane_frame *frame = xcalloc(1, sizeof(*frame));
    frame->no = atomic_fetch_add(&self->memory->last_no, 1) + 1;
    frame->partition = partition;
    frame->count = count;
    frame->len = bytes.len;
    frame->bytes = xmalloc(bytes.len + 1);
    memcpy(frame->bytes, bytes.ptr, bytes.len);
    lanes_depth_add(self->memory->lanes, partition, count);
    lanes_append(self->memory->lanes, frame);
    mem_grow(&self->answers, &self->answer_cap, self->answer_count + 1, sizeof(*self->answers));
    self->answers[self->answer_count++] = request;
    wake(self);
    return 0;
}

static int subscribe(struct kanban_link *link, uint32_t partition)
{
    return lanes_subscribe(memory_link(link)->reader, partition);
}

static void unsubscribe(struct kanban_link *link, uint32_t partition)
{
    lanes_unsubscribe(memory_link(link)->reader, partition);
}

static void settle(struct kanban_link *link, uint32_t partition, uint64_t tag)
{
    struct lanes *lanes = memory_link(link)->memory->lanes;
    uint32_t count;
    if (lanes_settle(lanes, partition, tag, &count))
        lanes_depth_sub(lanes, partition, count);
}

static uint64_t depth(const struct kanban_backend *backend)
{
    return lanes_depth(memory_of(backend)->lanes);
}

static uint64_t depth_of(const struct kanban_backend *backend, uint32_t partition)
{
    return lanes_depth_of(memory_of(backend)->lanes, partition);
}

static int poll_fd(const struct kanban_link *link)
{
    return memory_link(link)->fd;
}

static void answer(struct memory_link *self)
{
    uint64_t *answers = self->answers;
    size_t count = self->answer_count;
    self->answers = NULL; /* a callback may publish */
    self->answer_count = self->answer_cap = 0;
    for (size_t i = 0; i < count; i++)
        self->sink.published(self->sink.ctx, answers[i], 0);
    free(answers);
}

static void dispatch(struct kanban_link *link)
{
    struct memory_link *self = memory_link(link);
    uint64_t n;
    ssize_t got = read(self->fd, &n, sizeof(n));
    (void)got; /* called without need: EAGAIN */
    answer(self);
    struct lane_delivery next;
    for (unsigned i = 0; i < TURN_MAX; i++) {
        if (!lanes_take(self->reader, &next))
            return;
        self->sink.delivered(self->sink.ctx, next.partition, next.no, next.attempt, next.bytes, next.len);
    }
    wake(self); /* the rest next time: the loop has others to serve */
}

static void link_close(struct kanban_link *link)
{
    struct memory_link *self = memory_link(link);
    lanes_reader_free(self->reader);
    close(self->fd);
    free(self->answers);
    free(self);
}

static void memory_free(struct kanban_backend *backend)
{
    struct memory *self = memory_of(backend);
    lanes_free(self->lanes);
    free(self);
}

static const struct kanban_backend_ops memory_ops = {
    .name = "memory",
    .link_open = link_open,
    .publish = publish,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .settle = settle,
    .depth = depth,
    .depth_of = depth_of,
    .poll_fd = poll_fd,
    .dispatch = dispatch,
    .link_close = link_close,
    .free = memory_free,
};

struct kanban_backend *kanban_memory_new(uint32_t partitions)
{
    struct memory *self = xcalloc(1, sizeof(*self));
    self->base.ops = &memory_ops;
    self->lanes = lanes_new(partitions, true);
    return &self->base;
}
