/* The queue between ingress and jidoka, as the layers see it. Non-blocking: every call returns at once, answers arrive
 * from kanban_dispatch on the caller's thread. One handle per thread. Framing, sequences, checks and metrics live here,
 * for every backend (backend.h). */
#ifndef TAI_KANBAN_KANBAN_H
#define TAI_KANBAN_KANBAN_H

#include "common/clock.h"
#include "kaizen/metrics.h"
#include "kanban/frame.h"

struct kanban;
struct kanban_backend; /* backend.h: kanban_memory_new(…), kanban_sqlite_new(…) */

struct kanban_delivery {
    struct frame *frame; /* NULL when the frame could not be decoded: then raw and error say what came */
    struct span raw;     /* the bytes as delivered; set only when frame is NULL; dropped with the delivery */
    struct error error;
    uint32_t partition;
    unsigned attempt; /* 1 on the first delivery, if the backend counts; else 0 */
    uint64_t tag;     /* backend's */
};

struct kanban_events {
    /* Answer to kanban_publish: 0 = durable (publisher confirm, committed fsync): the 202 may go out. -EAGAIN the queue
     * is full, -ENOSPC the disk is, -EIO or -ESHUTDOWN the backend failed: the frame is void and its requests answer
     * 503. */
    void (*published)(void *ctx, void *token, int status);
    /* A frame for a subscribed partition; the callee owns it until kanban_settle or kanban_abandon. In order per
     * partition. */
    void (*delivered)(void *ctx, struct kanban_delivery *delivery);
    void *ctx;
};

struct kanban_options {
    struct kanban_backend *backend; /* shared by all handles; outlives them */
    struct kanban_events events;
    uint32_t partitions;
    uint32_t prefetch;  /* frames outstanding per partition */
    uint64_t max_depth; /* signals in the queue; beyond it publish answers -EAGAIN */
    const struct clock *clock;
    struct metrics *metrics; /* or NULL */
};

must_check int kanban_open(const struct kanban_options *options, struct kanban **ret, struct error *err);

/* Sends one frame of count ≤ FRAME_SIGNALS_MAX signals (copied) to a partition. 0: published will be called with token.
 * -EAGAIN: full, nothing sent. */
must_check int kanban_publish(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t count,
                              void *token);
/* partition KANBAN_REFUSALS: what stands in that queue is no signal, counts as none, and is never announced; it holds
 * KANBAN_REFUSALS_MAX records whatever max_depth is. */
enum { KANBAN_REFUSALS_MAX = 10000 };
must_check int kanban_subscribe(struct kanban *kanban, uint32_t partition);
/* No delivery of that partition arrives any more; those handed out must still be settled (if committed) or abandoned.
 */
void kanban_unsubscribe(struct kanban *kanban, uint32_t partition);
/* The delivery's signals are committed: remove the frame from the queue for good. Takes the delivery. */
void kanban_settle(struct kanban *kanban, struct kanban_delivery *take_delivery);
/* Drops the delivery without settling: it is delivered again to the next subscriber (or to this one after a new
 * subscribe). Takes the delivery. */
void kanban_abandon(struct kanban *kanban, struct kanban_delivery *take_delivery);
/* Signals in the queue, unsettled ones included. */
uint64_t kanban_depth(const struct kanban *kanban);

int kanban_poll_fd(const struct kanban *kanban);
/* Monotonic µs at which kanban_dispatch wants to be called at the latest; INT64_MAX: only when the fd is readable. */
int64_t kanban_deadline_us(const struct kanban *kanban);
void kanban_dispatch(struct kanban *kanban);
/* When signals of a partition are confirmed and nothing follows for 5 s, an empty frame (count 0) says so to the
 * reader. At exit: sends now those that would be due, and tells how many publishes, these included, are still
 * unanswered. */
void kanban_announce(struct kanban *kanban);
size_t kanban_unanswered(const struct kanban *kanban);
/* Publishes still unanswered are dropped without their callback: drain first. */
void kanban_close(struct kanban *kanban);

#endif
