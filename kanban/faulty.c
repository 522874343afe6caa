/* The misbehaving queue; faulty.h says how. What comes from the inner backend is held in two lists, answers and
 * deliveries, each entry with the instant at which it may go on. Deliveries get tags of our own: a tag handed out
 * before a reconnect settles nothing.
 *
 * A link belongs to one thread; rules, counts and randomness are shared by all links under one lock. */
#include "kanban/faulty.h"
#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

const char *const faulty_kind_names[FAULTY_KINDS] = {
    [FAULTY_REFUSE] = "refuse",
    [FAULTY_NACK] = "nack",
    [FAULTY_NACK_KEPT] = "nack_kept",
    [FAULTY_PUBLISH_TWICE] = "publish_twice",
    [FAULTY_LATE] = "late",
    [FAULTY_MULTIPLE] = "multiple",
    [FAULTY_DELIVER_TWICE] = "deliver_twice",
    [FAULTY_DELAY] = "delay",
    [FAULTY_RECONNECT] = "reconnect",
    [FAULTY_SETTLE_LOST] = "settle_lost",
    [FAULTY_STALL] = "stall",
};

struct faulty {
    struct kanban_backend base;
    struct kanban_backend *inner;
    const struct clock *clock;
    int64_t hold_us;
    pthread_mutex_t lock; /* for what follows */
    uint64_t random;
    struct faulty_rule rules[FAULTY_KINDS];
    uint64_t counts[FAULTY_KINDS];
};

struct answer {
    STAILQ_ENTRY(answer) link;
    uint64_t request;
    int status;
    int64_t due_us;
};

struct held_frame {
    STAILQ_ENTRY(held_frame) link;
    char *bytes;
    size_t len;
    uint64_t tag; /* the inner one */
    uint32_t partition;
    unsigned attempt;
    int64_t due_us;
};

/* A delivery handed out and not yet settled. */
struct handed {
    uint64_t tag, inner_tag;
    uint32_t partition;
};

struct faulty_link {
    struct faulty *faulty;
    struct kanban_link *inner;
    struct kanban_sink sink;
    int poll_fd, wake_fd;
    STAILQ_HEAD(, answer) answers;
    STAILQ_HEAD(, held_frame) frames;
    struct handed *handed;
    size_t handed_count, handed_cap;
    uint64_t last_tag;
    int64_t answers_until_us, frames_until_us; /* what arrives is held until then */
    int64_t stalled_until_us;
    uint32_t *lost; /* partitions whose channel is lost: subscribed again by the next dispatch */
    size_t lost_count, lost_cap;
};

static const uint64_t twin = UINT64_MAX; /* the request of a second copy: nobody waits for its answer */

static struct faulty *faulty_of(const struct kanban_backend *backend)
{
    return (struct faulty *)backend;
}

static struct faulty_link *faulty_link(const struct kanban_link *link)
{
    return (struct faulty_link *)link;
}

static const struct kanban_backend_ops *inner_ops(const struct faulty_link *self)
{
    return self->faulty->inner->ops;
}

static int64_t now_us(const struct faulty_link *self)
{
    return clock_mono_us(self->faulty->clock);
}

/* --- chance ------------------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t next_random(struct faulty *faulty)
{
    uint64_t z = faulty->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static bool strikes(struct faulty *faulty, enum faulty_kind kind)
{
    pthread_mutex_lock(&faulty->lock);
    struct faulty_rule *rule = &faulty->rules[kind];
    bool hit = rule->per_mille && next_random(faulty) % 1000 < rule->per_mille;
    if (rule->countdown) {
        rule->countdown--;
    } else if (rule->repeat) {
        rule->repeat--;
        hit = true;
    }
    faulty->counts[kind] += hit;
    pthread_mutex_unlock(&faulty->lock);
    return hit;
}

static int64_t some_time_from_now(struct faulty_link *self)
{
    struct faulty *faulty = self->faulty;
    pthread_mutex_lock(&faulty->lock);
    int64_t time = (int64_t)(next_random(faulty) % (uint64_t)faulty->hold_us) + 1;
    pthread_mutex_unlock(&faulty->lock);
    return now_us(self) + time;
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static void wake(struct faulty_link *self)
{
    uint64_t one = 1;
    ssize_t n = write(self->wake_fd, &one, sizeof(one));
    (void)n; /* an eventfd only refuses when it is readable already */
}

static void hold_answer(struct faulty_link *self, uint64_t request, int status)
{
    struct answer *answer = xmalloc(sizeof(*answer));
    *answer = (struct answer){.request = request, .status = status, .due_us = now_us(self)};
    if (strikes(self->faulty, FAULTY_MULTIPLE))
        self->answers_until_us = some_time_from_now(self);
    if (strikes(self->faulty, FAULTY_LATE))
        answer->due_us = some_time_from_now(self);
    if (answer->due_us < self->answers_until_us)
        answer->due_us = self->answers_until_us;
    STAILQ_INSERT_TAIL(&self->answers, answer, link);
}

static void on_published(void *ctx, uint64_t request, int status)
{
    if (request != twin)
        hold_answer(ctx, request, status);
}

static int publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes, uint32_t count)
{
    struct faulty_link *self = faulty_link(link);
    const struct kanban_backend_ops *ops = inner_ops(self);
    if (strikes(self->faulty, FAULTY_REFUSE))
        return -EAGAIN;
    if (strikes(self->faulty, FAULTY_NACK)) {
        hold_answer(self, request, -EIO);
        wake(self);
        return 0;
    }
    bool kept = strikes(self->faulty, FAULTY_NACK_KEPT);
    int status = ops->publish(self->inner, partition, kept ? twin : request, bytes, count);
    if (status)
        return status;
    if (kept) {
        hold_answer(self, request, -EIO);
        wake(self);
    }
    if (strikes(self->faulty, FAULTY_PUBLISH_TWICE))
        (void)!ops->publish(self->inner, partition, twin, bytes, count); /* refused: then it is there once */
    return 0;
}

static void send_answers(struct faulty_link *self)
{
    int64_t now = now_us(self);
    struct answer *answer = STAILQ_FIRST(&self->answers), *next;
    for (; answer; answer = next) {
        next = STAILQ_NEXT(answer, link);
        if (answer->due_us > now)
            continue;
        STAILQ_REMOVE(&self->answers, answer, answer, link);
        struct answer told = *answer;
        free(answer);
        self->sink.published(self->sink.ctx, told.request, told.status);
    }
}

/* --- delivering --------------------------------------------------------------------------------------------------- */

static struct held_frame *hold_frame(struct faulty_link *self, const struct held_frame *frame)
{
    struct held_frame *held = xmalloc(sizeof(*held));
    *held = *frame;
    if (strikes(self->faulty, FAULTY_DELAY))
        self->frames_until_us = some_time_from_now(self);
    held->due_us = self->frames_until_us;
    STAILQ_INSERT_TAIL(&self->frames, held, link);
    return held;
}

static void lose_channel(struct faulty_link *self, uint32_t partition)
{
    mem_grow(&self->lost, &self->lost_cap, self->lost_count + 1, sizeof(*self->lost));
    self->lost[self->lost_count++] = partition;
}

static void on_delivered(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes, size_t len)
{
    struct faulty_link *self = ctx;
    struct held_frame frame = {.bytes = take_bytes, .len = len, .tag = tag, .partition = partition, .attempt = attempt};
    hold_frame(self, &frame);
    if (strikes(self->faulty, FAULTY_DELIVER_TWICE)) {
        frame.bytes = xmalloc(len + 1);
        memcpy(frame.bytes, take_bytes, len);
        frame.attempt++;
        hold_frame(self, &frame);
    }
    if (strikes(self->faulty, FAULTY_RECONNECT))
        lose_channel(self, partition);
}

static void send_frames(struct faulty_link *self)
{
    struct held_frame *frame;
    while ((frame = STAILQ_FIRST(&self->frames)) && frame->due_us <= now_us(self)) {
        STAILQ_REMOVE_HEAD(&self->frames, link);
        struct held_frame sent = *frame;
        free(frame);
        mem_grow(&self->handed, &self->handed_cap, self->handed_count + 1, sizeof(*self->handed));
        self->handed[self->handed_count++] = (struct handed){++self->last_tag, sent.tag, sent.partition};
        self->sink.delivered(self->sink.ctx, sent.partition, self->last_tag, sent.attempt, sent.bytes, sent.len);
    }
}

/* Nothing more of the partition that was read so far is handed out. */
static void hand_no_more(struct faulty_link *self, uint32_t partition)
{
    struct held_frame *frame = STAILQ_FIRST(&self->frames), *next;
    for (; frame; frame = next) {
        next = STAILQ_NEXT(frame, link);
        if (frame->partition != partition)
            continue;
        STAILQ_REMOVE(&self->frames, frame, held_frame, link);
        free(frame->bytes);
        free(frame);
    }
    size_t kept = 0;
    for (size_t i = 0; i < self->lost_count; i++)
        if (self->lost[i] != partition)
            self->lost[kept++] = self->lost[i];
    self->lost_count = kept;
}

/* Nor does it count any more. */
static void forget(struct faulty_link *self, uint32_t partition)
{
    size_t kept = 0;
    hand_no_more(self, partition);
    for (size_t i = 0; i < self->handed_count; i++)
        if (self->handed[i].partition != partition)
            self->handed[kept++] = self->handed[i];
    self->handed_count = kept;
}

static int subscribe(struct kanban_link *link, uint32_t partition)
{
    struct faulty_link *self = faulty_link(link);
    int status = inner_ops(self)->subscribe(self->inner, partition);
    if (status == 0)
        forget(self, partition);
    return status;
}

static void unsubscribe(struct kanban_link *link, uint32_t partition)
{
    struct faulty_link *self = faulty_link(link);
    inner_ops(self)->unsubscribe(self->inner, partition);
    hand_no_more(self, partition); /* what was handed out may still be settled */
}

static void settle(struct kanban_link *link, uint32_t partition, uint64_t tag)
{
    struct faulty_link *self = faulty_link(link);
    size_t i = 0;
    while (i < self->handed_count && self->handed[i].tag != tag)
        i++;
    if (i == self->handed_count)
        return; /* of a channel that is gone */
    struct handed handed = self->handed[i];
    memmove(&self->handed[i], &self->handed[i + 1], (--self->handed_count - i) * sizeof(handed));
    if (strikes(self->faulty, FAULTY_SETTLE_LOST)) {
        lose_channel(self, partition);
        wake(self);
        return;
    }
    inner_ops(self)->settle(self->inner, partition, handed.inner_tag);
}

/* --- dispatch ----------------------------------------------------------------------------------------------------- */

static void watch_inner(struct faulty_link *self, bool on)
{
    struct epoll_event event = {.events = on ? EPOLLIN : 0};
    epoll_ctl(self->poll_fd, EPOLL_CTL_MOD, inner_ops(self)->poll_fd(self->inner), &event);
}

static bool stalled(struct faulty_link *self)
{
    bool was = self->stalled_until_us != 0;
    if (!was && strikes(self->faulty, FAULTY_STALL)) {
        self->stalled_until_us = some_time_from_now(self);
        watch_inner(self, false); /* what waits there would make us readable all the time */
    }
    if (self->stalled_until_us > now_us(self))
        return true;
    if (self->stalled_until_us)
        watch_inner(self, true);
    self->stalled_until_us = 0;
    return false;
}

static void dispatch(struct kanban_link *link)
{
    struct faulty_link *self = faulty_link(link);
    uint64_t n;
    ssize_t got = read(self->wake_fd, &n, sizeof(n));
    (void)got; /* called without need: EAGAIN */
    if (stalled(self))
        return;
    inner_ops(self)->dispatch(self->inner);
    while (self->lost_count) {
        uint32_t partition = self->lost[0];
        (void)!inner_ops(self)->subscribe(self->inner, partition); /* it is ours: it only starts again */
        forget(self, partition);
    }
    send_answers(self);
    send_frames(self);
}

static int poll_fd(const struct kanban_link *link)
{
    return faulty_link(link)->poll_fd;
}

static int64_t deadline_us(const struct kanban_link *link)
{
    const struct faulty_link *self = faulty_link(link);
    const struct kanban_backend_ops *ops = inner_ops(self);
    if (self->stalled_until_us)
        return self->stalled_until_us;
    int64_t deadline = ops->deadline_us ? ops->deadline_us(self->inner) : INT64_MAX;
    const struct answer *answer;
    STAILQ_FOREACH(answer, &self->answers, link)
    if (answer->due_us < deadline)
        deadline = answer->due_us;
    const struct held_frame *frame = STAILQ_FIRST(&self->frames);
    return frame && frame->due_us < deadline ? frame->due_us : deadline;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static int open_fds(struct faulty_link *self, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN};
    self->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->poll_fd >= 0 && self->wake_fd >= 0 &&
        epoll_ctl(self->poll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) == 0 &&
        epoll_ctl(self->poll_fd, EPOLL_CTL_ADD, inner_ops(self)->poll_fd(self->inner), &event) == 0)
        return 0;
    int code = -errno;
    close_fd(self->poll_fd);
    close_fd(self->wake_fd);
    return error_set(err, code, "epoll: %s", error_text(code));
}

static int link_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err)
{
    struct faulty *faulty = faulty_of(backend);
    struct faulty_link *self = xcalloc(1, sizeof(*self));
    struct kanban_sink ours = {.published = on_published, .delivered = on_delivered, .ctx = self};
    self->faulty = faulty;
    self->sink = *sink;
    STAILQ_INIT(&self->answers);
    STAILQ_INIT(&self->frames);
    int status = faulty->inner->ops->link_open(faulty->inner, &ours, prefetch, &self->inner, err);
    if (status == 0) {
        status = open_fds(self, err);
        if (status)
            faulty->inner->ops->link_close(self->inner);
    }
    if (status) {
        free(self);
        return status;
    }
    *ret = (struct kanban_link *)self;
    return 0;
}

static void link_close(struct kanban_link *link)
{
    struct faulty_link *self = faulty_link(link);
    inner_ops(self)->link_close(self->inner);
    struct answer *answer;
    while ((answer = STAILQ_FIRST(&self->answers))) {
        STAILQ_REMOVE_HEAD(&self->answers, link);
        free(answer);
    }
    struct held_frame *frame;
    while ((frame = STAILQ_FIRST(&self->frames))) {
        STAILQ_REMOVE_HEAD(&self->frames, link);
        free(frame->bytes);
        free(frame);
    }
    close(self->poll_fd);
    close(self->wake_fd);
    free(self->handed);
    free(self->lost);
    free(self);
}

static uint64_t depth(const struct kanban_backend *backend)
{
    const struct kanban_backend *inner = faulty_of(backend)->inner;
    return inner->ops->depth(inner);
}

static uint64_t depth_of(const struct kanban_backend *backend, uint32_t partition)
{
    const struct kanban_backend *inner = faulty_of(backend)->inner;
    return inner->ops->depth_of(inner, partition);
}

static void faulty_free(struct kanban_backend *backend)
{
    struct faulty *faulty = faulty_of(backend);
    kanban_backend_free(faulty->inner);
    pthread_mutex_destroy(&faulty->lock);
    free(faulty);
}

static const struct kanban_backend_ops faulty_ops = {
    .name = "faulty",
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
    .free = faulty_free,
};

struct kanban_backend *kanban_faulty_new(struct kanban_backend *take_inner, const struct clock *clock, int64_t hold_us,
                                         uint64_t seed)
{
    struct faulty *faulty = xcalloc(1, sizeof(*faulty));
    faulty->base.ops = &faulty_ops;
    faulty->inner = take_inner;
    faulty->clock = clock;
    faulty->hold_us = hold_us > 0 ? hold_us : 1;
    faulty->random = seed;
    pthread_mutex_init(&faulty->lock, NULL);
    return &faulty->base;
}

void kanban_faulty_set(struct kanban_backend *backend, enum faulty_kind kind, struct faulty_rule rule)
{
    struct faulty *faulty = faulty_of(backend);
    pthread_mutex_lock(&faulty->lock);
    faulty->rules[kind] = rule;
    pthread_mutex_unlock(&faulty->lock);
}

void kanban_faulty_heal(struct kanban_backend *backend)
{
    struct faulty *faulty = faulty_of(backend);
    pthread_mutex_lock(&faulty->lock);
    memset(faulty->rules, 0, sizeof(faulty->rules));
    pthread_mutex_unlock(&faulty->lock);
}

uint64_t kanban_faulty_count(const struct kanban_backend *backend, enum faulty_kind kind)
{
    struct faulty *faulty = faulty_of(backend);
    pthread_mutex_lock(&faulty->lock);
    uint64_t count = faulty->counts[kind];
    pthread_mutex_unlock(&faulty->lock);
    return count;
}
