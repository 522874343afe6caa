/* The action of the simulation: it writes down what it was asked, then succeeds, fails, hangs, refuses or is not ready
 * by chance, a random time later. */
#include "sim/shims.h"

#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct action_run {
    struct action_request request;
    bool succeeds, retry;
    struct event *timer;
};

static void run_free(struct action_run *run)
{
    event_free(run->timer);
    free(run);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct action_run *run = ctx;
    struct action_run ended = *run;
    run_free(run);
    ended.request.done(ended.request.ctx, ended.succeeds, ended.retry, ended.succeeds ? NULL : "broken");
}

static bool ready(const struct action_config *config, int64_t *ret_wait_ms)
{
    struct world *world = ((const struct sim_action *)config->name)->process->world;
    if (!world->faults.action_defers || !random_chance(&world->random, world->faults.action_defers))
        return true;
    *ret_wait_ms = random_chance(&world->random, 300) ? random_between(&world->random, 0, 3000) : 0;
    return false;
}

static int start(const struct action_request *request, struct action_run **ret)
{
    struct process *process = ((const struct sim_action *)request->config->name)->process;
    struct world *world = process->world;
    struct random *random = &world->random;
    world_active(world);
    world_trace(world, "%s starts attempt %u of action %s", process->name, request->attempt, request->action_id);
    evidence_started(world, request->action_id, request->attempt, request->signal);
    bool fails = random_chance(random, world->faults.action_fails);
    if (fails && random_chance(random, 200))
        return -ECONNREFUSED;
    struct action_run *run = xcalloc(1, sizeof(*run));
    *run = (struct action_run){.request = *request, .succeeds = !fails, .retry = random_chance(random, 700)};
    run->timer = evtimer_new(process->actors[ROLE_WORKER].base, on_timer, run);
    struct timeval pause = {0, random_between(random, 0, 300000)};
    if (!random_chance(random, world->faults.action_hangs))
        event_add(run->timer, &pause);
    *ret = run;
    return 0;
}

static void cancel(struct action_run *run)
{
    run_free(run);
}

/* --- planted bugs: the runner's or an adapter's --------------------------------------------------------------------
 */

static void remember_bytes(struct shim_memory *shims, struct span bytes)
{
    free(shims->last_bytes);
    shims->last_bytes = xstrndup(bytes.ptr, bytes.len);
    shims->last_len = bytes.len;
}

static int start_buggy(const struct action_request *request, struct action_run **ret)
{
    struct world *world = ((const struct sim_action *)request->config->name)->process->world;
    struct shim_memory *shims = world->shims;
    struct action_request asked = *request;
    if (request->attempt > 1 && bug_is(world, BUG_ACTION_ID_CHANGES)) {
        snprintf(shims->action_id, sizeof(shims->action_id), "%s", request->action_id);
        shims->action_id[0] ^= 1;
        asked.action_id = shims->action_id;
    }
    if (shims->last_bytes && bug_strikes(world, BUG_ACTION_BYTES, 2))
        asked.signal = (struct span){shims->last_bytes, shims->last_len};
    if (bug_strikes(world, BUG_ACTION_TWICE, 4) && start(&asked, ret) == 0)
        cancel(*ret);
    int status = start(&asked, ret);
    remember_bytes(shims, request->signal);
    return status;
}

static const struct action_type sim_action_type = {
    .name = "none", .ready = ready, .start = start_buggy, .cancel = cancel};
const struct action_type *const sim_action_types[] = {&sim_action_type, NULL};
