/* Layer 3: the workers. Leases partitions, pulls their frames with prefetch back-pressure, steps the governors and
 * commits each batch in one transaction. Runs on one event loop; any number of processes share the partitions. */
#ifndef TAI_JIDOKA_JIDOKA_H
#define TAI_JIDOKA_JIDOKA_H

#include "common/log.h"
#include "config/config.h"
#include "jidoka/actions/action.h"
#include "kaizen/metrics.h"
#include "kanban/kanban.h"
#include "store/store.h"

#include <event2/event.h>

struct jidoka;

struct jidoka_options {
    struct event_base *base;
    const struct jidoka_config *config;
    const struct action_type *const *actions; /* NULL-terminated; action_types but in tests */
    struct kanban_backend *queue;
    struct store_backend *store;
    const char *worker;   /* unique per process start */
    int64_t lease_ttl_ms; /* 3,000; longer where the data lock already keeps every other process out */
    const struct clock *clock;
    void (*random)(void *ret, size_t len); /* random_bytes but in tests */
    const struct log *log;
    struct metrics *metrics;
};

must_check int jidoka_new(const struct jidoka_options *options, struct jidoka **ret, struct error *err);
/* Works off what is queued (until the caller's deadline: jidoka_stop), gives the leases back, then calls done from the
 * loop. */
void jidoka_drain(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx);
/* As drain, but without waiting for the queue: what is not committed is abandoned and delivered again. */
void jidoka_stop(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx);
void jidoka_free(struct jidoka *jidoka);

#endif
