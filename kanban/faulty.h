/* A queue that misbehaves as brokers do, around any other backend: for tests. A fault of a kind strikes after
 * `countdown` chances, `repeat` times, or at random from a seed; the same seed and calls give the same faults.
 *
 * What it promises is what every backend promises: deliveries of a partition in order, at least once; a frame whose
 * publish was answered 0 is in the queue. */
#ifndef TAI_KANBAN_FAULTY_H
#define TAI_KANBAN_FAULTY_H

#include "common/clock.h"
#include "kanban/backend.h"

enum faulty_kind {
    FAULTY_REFUSE,        /* publish: -EAGAIN at once */
    FAULTY_NACK,          /* publish: answered -EIO, and not in the queue */
    FAULTY_NACK_KEPT,     /* publish: answered -EIO, yet in the queue */
    FAULTY_PUBLISH_TWICE, /* publish: the frame is in the queue twice */
    FAULTY_LATE,          /* answer: by itself, later than those behind it */
    FAULTY_MULTIPLE,      /* answer: held with all that follow, which come at once with it */
    FAULTY_DELIVER_TWICE, /* delivery: once more right behind itself */
    FAULTY_DELAY,         /* delivery: held, and what follows with it */
    FAULTY_RECONNECT,     /* delivery: the channel was lost. What is unsettled comes again from the oldest on, and
                             settling what came before has no effect */
    FAULTY_SETTLE_LOST,   /* settle: the channel is lost first, as with FAULTY_RECONNECT */
    FAULTY_STALL,         /* dispatch: the link neither answers nor delivers for a while */
    FAULTY_KINDS
};
extern const char *const faulty_kind_names[FAULTY_KINDS];

struct faulty_rule {
    unsigned countdown; /* chances that pass before */
    unsigned repeat;    /* chances hit after that; then none */
    unsigned per_mille; /* of the other chances, at random */
};

/* inner is taken. hold_us: the longest a LATE, MULTIPLE, DELAY or STALL holds; how long is random. */
struct kanban_backend *kanban_faulty_new(struct kanban_backend *take_inner, const struct clock *clock, int64_t hold_us,
                                         uint64_t seed);
void kanban_faulty_set(struct kanban_backend *faulty, enum faulty_kind kind, struct faulty_rule rule);
/* No more faults; what is held comes when it would have come. */
void kanban_faulty_heal(struct kanban_backend *faulty);
uint64_t kanban_faulty_count(const struct kanban_backend *faulty, enum faulty_kind kind); /* so far */

#endif
