/* Actions: what an `allow` with an action sets going once its intent is committed. One const table row per type
 * (actions/); the worker owns deadlines, retries and results. */
#ifndef TAI_JIDOKA_ACTIONS_ACTION_H
#define TAI_JIDOKA_ACTIONS_ACTION_H

#include "common/span.h"
#include "config/config.h"

struct action_run; /* an attempt under way; the type's own */

struct action_request {
    const struct action_config *config;
    const char *action_id; /* the idempotency key; stays valid until done or cancel */
    uint32_t attempt;      /* from 1 */
    struct span signal;    /* the signal's bytes, borrowed until done or cancel */
    /* Called once, on the worker's thread, never from within start. reason: static or valid for the call. retry: trying
     * again may help. */
    void (*done)(void *ctx, bool succeeded, bool retry, const char *reason);
    void *ctx;
};

struct action_type {
    const char *name; /* "none" */
    /* Whether what it calls can take an attempt now, asked before an intent is made; NULL: always. false: the signal is
     * deferred, at least for *ret_wait_ms (0: unknown). For a target whose breaker is open; an attempt that has to
     * queue for `concurrency` is no reason. Attempts whose intent is committed are made without asking. */
    bool (*ready)(const struct action_config *config, int64_t *ret_wait_ms);
    /* NULL start: the action has no effect outside and succeeds at once. 0 or -errno (then done is not called). */
    int (*start)(const struct action_request *request, struct action_run **ret);
    void (*cancel)(struct action_run *run); /* done is not called any more */
};

extern const struct action_type action_none;

/* By config's type name; the table the worker was given. */
const struct action_type *action_type_find(const struct action_type *const *types, const char *name);
extern const struct action_type *const action_types[]; /* built in; NULL-terminated */

#endif
