/* Action attempts on the worker's loop. Each configured action has a FIFO of jobs and at most `concurrency` of them
 * under way; a job is queued, running, or ended and waiting to be told (at once, or after its full-jitter pause).
 * Queued jobs begin from the loop: neither a long queue that fails nor cancelling many recurses or starts what is about
 * to be cancelled. Jobs are owned here until told or cancelled. */
#include "jidoka/runner.h"
#include "common/hash.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 10000 };

struct lane {
    struct runner *runner;
    const struct action_config *config;
    const struct action_type *type;
    struct event *fill;
    unsigned running;
    TAILQ_HEAD(, action_job) queued;
};

struct action_job {
    TAILQ_ENTRY(action_job) link;
    struct runner *runner;
    struct lane *lane; /* NULL: unknown action */
    struct event *timer;
    struct action_run *run;
    struct action_request request;
    void *token;
    bool queued, running, succeeded, again;
    char reason[128];
    char action_id[UUID_TEXT + 1];
    char *signal;
};

struct runner {
    struct runner_options options;
    struct lane *lanes;
};

static const char *const type_names[] = {[CONFIG_ACTION_NONE] = "none"};

int64_t runner_budget_ms(const struct action_config *config)
{
    return (config->timeout_ms + BACKOFF_MAX_MS) * (config->retries + 1);
}

static void job_free(struct action_job *job)
{
    event_free(job->timer);
    free(job->signal);
    free(job);
}

static void job_leave_lane(struct action_job *job)
{
    struct lane *lane = job->lane;
    if (job->queued)
        TAILQ_REMOVE(&lane->queued, job, link);
    if (job->running)
        lane->running--;
    job->queued = job->running = false;
    if (!TAILQ_EMPTY(&lane->queued))
        event_active(lane->fill, EV_TIMEOUT, 0);
}

/* The outcome is told from the loop, never from within start or done. */
static void job_end(struct action_job *job, bool succeeded, bool retry, const char *reason)
{
    struct lane *lane = job->lane;
    int64_t pause_ms = 0;
    job->run = NULL;
    if (lane)
        job_leave_lane(job);
    job->succeeded = succeeded;
    job->again = !succeeded && retry && lane && job->request.attempt <= (uint32_t)lane->config->retries;
    snprintf(job->reason, sizeof(job->reason), "%s", reason ? reason : "");
    if (job->again) {
        int64_t ceiling = BACKOFF_FIRST_MS << (job->request.attempt < 7 ? job->request.attempt : 7);
        uint32_t random;
        job->runner->options.random(&random, sizeof(random));
        pause_ms = random % (ceiling < BACKOFF_MAX_MS ? ceiling : BACKOFF_MAX_MS);
    }
    struct timeval pause = {pause_ms / 1000, (pause_ms % 1000) * 1000};
    event_add(job->timer, &pause);
}

static void on_done(void *ctx, bool succeeded, bool retry, const char *reason)
{
    job_end(ctx, succeeded, retry, reason);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct action_job *job = ctx;
    if (job->running) {
        job->lane->type->cancel(job->run);
        job_end(job, false, true, "timeout");
        return;
    }
    struct runner *runner = job->runner;
    struct action_job told = *job;
    job_free(job);
    runner->options.ended(runner->options.ctx, told.token, told.succeeded, told.again, told.reason);
}

static void job_begin(struct action_job *job)
{
    struct lane *lane = job->lane;
    job->running = true;
    lane->running++;
    if (!lane->type->start) {
        job_end(job, true, false, NULL);
        return;
    }
    struct timeval timeout = {lane->config->timeout_ms / 1000, (lane->config->timeout_ms % 1000) * 1000};
    event_add(job->timer, &timeout);
    int rc = lane->type->start(&job->request, &job->run);
    if (rc < 0)
        job_end(job, false, true, error_text(rc));
}

static void on_fill(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct lane *lane = ctx;
    struct action_job *job;
    while (lane->running < (unsigned)lane->config->concurrency && (job = TAILQ_FIRST(&lane->queued))) {
        TAILQ_REMOVE(&lane->queued, job, link);
        job->queued = false;
        job_begin(job);
    }
}

static struct lane *lane_find(const struct runner *runner, struct span action)
{
    for (size_t i = 0; i < runner->options.action_count; i++)
        if (span_is(action, runner->lanes[i].config->name))
            return &runner->lanes[i];
    return NULL;
}

bool runner_ready(const struct runner *runner, struct span action, int64_t *ret_wait_ms)
{
    const struct lane *lane = lane_find(runner, action);
    *ret_wait_ms = 0;
    return !lane || !lane->type->ready || lane->type->ready(lane->config, ret_wait_ms);
}

struct action_job *runner_start(struct runner *runner, struct span action, const char *action_id, uint32_t attempt,
                                struct span signal, void *token)
{
    struct action_job *job = xcalloc(1, sizeof(*job));
    job->runner = runner;
    job->lane = lane_find(runner, action);
    job->timer = evtimer_new(runner->options.base, on_timer, job);
    job->token = token;
    job->signal = xstrndup(signal.ptr, signal.len);
    snprintf(job->action_id, sizeof(job->action_id), "%s", action_id);
    job->request = (struct action_request){.config = job->lane ? job->lane->config : NULL,
                                           .action_id = job->action_id,
                                           .attempt = attempt,
                                           .signal = {job->signal, signal.len},
                                           .done = on_done,
                                           .ctx = job};
    if (!job->lane) {
        job_end(job, false, false, "unknown_action");
        return job;
    }
    job->queued = true;
    TAILQ_INSERT_TAIL(&job->lane->queued, job, link);
    event_active(job->lane->fill, EV_TIMEOUT, 0);
    return job;
}

void runner_cancel(struct action_job *job)
{
    struct lane *lane = job->lane;
    if (job->running && job->run)
        lane->type->cancel(job->run);
    if (lane)
        job_leave_lane(job);
    job_free(job);
}

int runner_new(const struct runner_options *options, struct runner **ret, struct error *err)
{
    struct runner *runner = xcalloc(1, sizeof(*runner));
    runner->options = *options;
    runner->lanes = xcalloc(options->action_count + 1, sizeof(*runner->lanes));
    for (size_t i = 0; i < options->action_count; i++) {
        struct lane *lane = &runner->lanes[i];
        lane->runner = runner;
        lane->config = &options->actions[i];
        lane->type = action_type_find(options->types, type_names[lane->config->type]);
        lane->fill = evtimer_new(options->base, on_fill, lane);
        TAILQ_INIT(&lane->queued);
        if (!lane->type) {
            error_set(err, -EINVAL, "action %s: this program has no type %s", lane->config->name,
                      type_names[lane->config->type]);
            runner_free(runner);
            return -EINVAL;
        }
    }
    *ret = runner;
    return 0;
}

void runner_free(struct runner *runner)
{
    if (!runner)
        return;
    for (size_t i = 0; i < runner->options.action_count; i++)
        if (runner->lanes[i].fill)
            event_free(runner->lanes[i].fill);
    free(runner->lanes);
    free(runner);
}
