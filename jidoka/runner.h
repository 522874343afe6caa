/* Runs action attempts: concurrency, time-out and the pause before a retry. The worker commits before it asks for an
 * attempt and again with each result; the runner keeps nothing durable. */
#ifndef TAI_JIDOKA_RUNNER_H
#define TAI_JIDOKA_RUNNER_H

#include "common/error.h"
#include "jidoka/actions/action.h"

#include <event2/event.h>
#include <stdint.h>

struct runner;
struct action_job;

struct runner_options {
    struct event_base *base;
    const struct action_type *const *types;
    const struct action_config *actions;
    size_t action_count;
    void (*random)(void *ret, size_t len);
    /* One attempt ended. again: trying again may help and attempts are left; the pause before it has already passed.
     * Never called from within runner_start. */
    void (*ended)(void *ctx, void *token, bool succeeded, bool again, const char *reason);
    void *ctx;
};

must_check int runner_new(const struct runner_options *options, struct runner **ret, struct error *err);
void runner_free(struct runner *runner);

/* action_type.ready of the action; true for one that is unknown, which will fail. */
bool runner_ready(const struct runner *runner, struct span action, int64_t *ret_wait_ms);
/* Queues one attempt; action_id and signal are copied. An unknown action (the configuration changed) fails. */
struct action_job *runner_start(struct runner *runner, struct span action, const char *action_id, uint32_t attempt,
                                struct span signal, void *token);
/* ended is not called any more; job is invalid. */
void runner_cancel(struct action_job *job);
/* Longest time all attempts of an action can take together, for pending.deadline. */
int64_t runner_budget_ms(const struct action_config *config);

#endif
