/* An action type that does what a test says: succeeds, fails, hangs until its time-out, refuses to start, cannot take a
 * signal yet, a given number of times. It stands in for `none` through jidoka_options.actions. One loop's thread. */
#ifndef TAI_TESTS_SUPPORT_FAILING_ACTION_H
#define TAI_TESTS_SUPPORT_FAILING_ACTION_H

#include "common/hash.h"
#include "jidoka/actions/action.h"

#include <event2/event.h>

enum failing_mode { ACTION_SUCCEEDS, ACTION_FAILS, ACTION_FAILS_FOR_GOOD, ACTION_HANGS, ACTION_REFUSES };

enum { FAILING_LOG_MAX = 64 };

struct failing_action {
    char name[16]; /* first: config.name points here, which is how an attempt finds its script */
    struct event_base *base;
    enum failing_mode mode;
    int countdown;           /* so many attempts go by `mode`, later ones succeed; -1: all do */
    unsigned random_percent; /* of attempts that fail or hang at random instead */
    uint64_t random;         /* state of that */
    int defers;              /* so many times it is not ready; -1: never is */
    int64_t wait_ms;         /* what it then asks for */
    unsigned asked;          /* whether it is ready */
    unsigned started, cancelled, running, most_running;
    struct {
        char action_id[UUID_TEXT + 1];
        uint32_t attempt;
    } log[FAILING_LOG_MAX]; /* the first attempts */
};

extern const struct action_type failing_action_type;
extern const struct action_type *const failing_action_types[];

void failing_action_init(struct failing_action *action, struct event_base *base);

#endif
