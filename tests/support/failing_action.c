/* Attempts end from a timer of the loop, never from within start. */
#include "support/failing_action.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct action_run {
    struct failing_action *action;
    struct action_request request;
    enum failing_mode mode;
    struct event *timer;
};

void failing_action_init(struct failing_action *action, struct event_base *base)
{
    *action = (struct failing_action){.name = "act", .base = base, .random = 1};
}

static unsigned next_random(struct failing_action *action)
{
    action->random = action->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(action->random >> 33);
}

static enum failing_mode next_mode(struct failing_action *action)
{
    if (action->random_percent && next_random(action) % 100 < action->random_percent)
        return next_random(action) % 4 ? ACTION_FAILS_FOR_GOOD : ACTION_HANGS;
    if (action->countdown == 0)
        return ACTION_SUCCEEDS;
    if (action->countdown > 0)
        action->countdown--;
    return action->mode;
}

static void run_free(struct action_run *run)
{
    run->action->running--;
    event_free(run->timer);
    free(run);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct action_run *run = ctx;
    struct action_request request = run->request;
    enum failing_mode mode = run->mode;
    run_free(run);
    request.done(request.ctx, mode == ACTION_SUCCEEDS, mode == ACTION_FAILS,
                 mode == ACTION_SUCCEEDS ? NULL : "scripted");
}

static bool ready(const struct action_config *config, int64_t *ret_wait_ms)
{
    struct failing_action *action = (struct failing_action *)config->name;
    action->asked++;
    if (action->defers == 0)
        return true;
    if (action->defers > 0)
        action->defers--;
    *ret_wait_ms = action->wait_ms;
    return false;
}

static int start(const struct action_request *request, struct action_run **ret)
{
    struct failing_action *action = (struct failing_action *)request->config->name;
    enum failing_mode mode = next_mode(action);
    if (action->started < FAILING_LOG_MAX) {
        snprintf(action->log[action->started].action_id, UUID_TEXT + 1, "%s", request->action_id);
        action->log[action->started].attempt = request->attempt;
    }
    action->started++;
    if (mode == ACTION_REFUSES)
        return -ECONNREFUSED;
    struct action_run *run = xcalloc(1, sizeof(*run));
    *run = (struct action_run){.action = action, .request = *request, .mode = mode};
    run->timer = evtimer_new(action->base, on_timer, run);
    if (mode != ACTION_HANGS)
        event_active(run->timer, EV_TIMEOUT, 0);
    if (++action->running > action->most_running)
        action->most_running = action->running;
    *ret = run;
    return 0;
}

static void cancel(struct action_run *run)
{
    run->action->cancelled++;
    run_free(run);
}

const struct action_type failing_action_type = {.name = "none", .ready = ready, .start = start, .cancel = cancel};
const struct action_type *const failing_action_types[] = {&failing_action_type, NULL};
