/* Processes of the simulation: the roles they have, their loops, how they start, stop and are killed. In the embedded
 * form one process has all roles and the queue and store are rebuilt with it; otherwise each has one. */
#include "sim/operator.h"

#include "common/loop.h"
#include "common/mem.h"
#include "kanban/backend.h"
#include "store/backend.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t wall_ms(void *ctx)
{
    const struct process *process = ctx;
    return (process->world->time.wall_us + process->skew_us) / 1000;
}

static int64_t mono_us(void *ctx)
{
    return ((const struct process *)ctx)->world->time.mono_us;
}

static void must(int status, const struct error *err)
{
    if (status == 0)
        return;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static void start_publisher(struct process *process)
{
    struct world *world = process->world;
    struct error err;
    struct kanban_options options = {.backend = world->queue,
                                     .events = {.published = workload_published, .ctx = world},
                                     .partitions = (uint32_t)world->config.partitions,
                                     .prefetch = 1,
                                     .max_depth = 100000,
                                     .clock = &process->clock,
                                     .metrics = process->metrics};
    must(kanban_open(&options, &process->publisher, &err), &err);
}

static void start_worker(struct process *process, struct event_base *base)
{
    struct world *world = process->world;
    struct error err;
    setup_worker(process);
    struct jidoka_options options = {.base = base,
                                     .config = &process->config,
                                     .actions = sim_action_types,
                                     .queue = world->queue,
                                     .store = world->store,
                                     .worker = process->name,
                                     .lease_ttl_ms = world->lease_ttl_ms,
                                     .random = random_bytes,
                                     .clock = &process->clock,
                                     .log = &process->log,
                                     .metrics = process->metrics};
    must(jidoka_new(&options, &process->jidoka, &err), &err);
}

static void on_andon_store(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    store_dispatch(ctx);
}

static void start_andon(struct process *process, struct event_base *base)
{
    struct world *world = process->world;
    struct error err;
    andon_metrics_init(&process->andon_metrics, process->metrics, &process->clock, (uint32_t)world->config.shards);
    must(store_open(world->store, &process->andon_store, &err), &err);
    process->andon_event = event_new(base, store_poll_fd(process->andon_store), EV_READ | EV_PERSIST, on_andon_store,
                                     process->andon_store);
    event_add(process->andon_event, NULL);
    struct tail_options options = {.base = base,
                                   .store = process->andon_store,
                                   .worker = process->name,
                                   .shards = (uint32_t)world->config.shards,
                                   .state_dir = world->lab->state_dir,
                                   .origin = "sim",
                                   .key = world->lab->key,
                                   .clock = &process->clock,
                                   .log = &process->log,
                                   .metrics = &process->andon_metrics};
    must(tail_new(&options, &process->tail, &err), &err);
    process->desk = desk_new(process);
}

/* The only process takes queue and store up from the database, as `tai run` does. */
static void open_data(struct process *process)
{
    struct world *world = process->world;
    struct error err;
    struct db *db = database_db(world->lab->database);
    struct kanban_backend *queue;
    database_spare(world->lab->database, true);
    must(store_sqlite_new(db, &world->sqlite, &err), &err);
    must(kanban_sqlite_new(db, (uint32_t)world->config.partitions, &queue, &err), &err);
    database_spare(world->lab->database, false);
    world->store = shim_store_new(world, world->sqlite);
    world->queue = shim_queue_new(world, queue);
}

static void close_data(struct world *world)
{
    kanban_backend_free(world->queue);
    store_backend_free(world->store);
    store_backend_free(world->sqlite);
    world->queue = NULL;
    world->store = world->sqlite = NULL;
}

void process_start(struct process *process)
{
    struct world *world = process->world;
    snprintf(process->name, sizeof(process->name), "p%u.%u", process->number, ++process->starts);
    world_trace(world, "%s starts", process->name);
    database_own(world->lab->database, process->number);
    process->clock = (struct clock){.wall_ms = wall_ms, .mono_us = mono_us, .ctx = process};
    process->log = (struct log){.fd = world->lab->log_fd,
                                .level = world->lab->trace ? LOG_DEBUG : LOG_ERROR,
                                .clock = &process->clock,
                                .component = process->name};
    process->metrics = metrics_new();
    process->up = true;
    process->doomed = false;
    world->starting = process;
    process->draining = 0;
    process->stalled_until_us = 0;
    if (world->embedded)
        open_data(process);
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        struct actor *actor = &process->actors[role];
        *actor = (struct actor){.process = process, .on = process->has[role]};
        if (actor->on && role != ROLE_PUBLISHER)
            actor->base = loop_base_new();
    }
    if (process->has[ROLE_ANDON])
        start_andon(process, process->actors[ROLE_ANDON].base);
    if (process->has[ROLE_WORKER])
        start_worker(process, process->actors[ROLE_WORKER].base);
    if (process->has[ROLE_PUBLISHER])
        start_publisher(process);
    world_active(world);
}

/* --- ending ------------------------------------------------------------------------------------------------------- */

static void end_andon(struct process *process)
{
    store_close(process->andon_store);
    tail_free(process->tail);
    event_free(process->andon_event);
    andon_metrics_done(&process->andon_metrics);
    desk_free(process->desk);
    process->desk = NULL;
    process->tail = NULL;
}

void process_end(struct process *process)
{
    if (process->publisher)
        process->world->posts_open = 0; /* nobody answers them any more */
    kanban_close(process->publisher);
    process->publisher = NULL;
    jidoka_free(process->jidoka);
    process->jidoka = NULL;
    if (process->tail)
        end_andon(process);
    if (process->world->embedded)
        close_data(process->world);
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (process->actors[role].base)
            event_base_free(process->actors[role].base);
    memset(process->actors, 0, sizeof(process->actors));
    metrics_free(process->metrics);
    process->up = false;
    world_active(process->world);
}

void process_crash(struct process *process)
{
    struct database *database = process->world->lab->database;
    world_trace(process->world, "%s is killed%s", process->name, process->doomed ? " by a signal" : "");
    process->world->killed |= !process->doomed;
    database_dying(database, process->number, !process->doomed);
    process_end(process);
    database_dead(database);
}

static void on_drained(void *ctx)
{
    struct process *process = ctx;
    world_active(process->world);
    process->draining--;
}

void process_stop(struct process *process, enum role role)
{
    if (!process->has[role])
        return;
    world_trace(process->world, "%s stops", process->name);
    process->draining++;
    if (role == ROLE_WORKER)
        jidoka_drain(process->jidoka, on_drained, process);
    else
        tail_drain(process->tail, on_drained, process);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

bool process_stalled(const struct process *process)
{
    return process->stalled_until_us > process->world->time.mono_us;
}

void actor_run(struct actor *actor)
{
    struct process *process = actor->process;
    actor->seen = process->world->activity;
    if (actor->base)
        event_base_loop(actor->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    else
        kanban_dispatch(process->publisher);
}

bool actor_idle(const struct actor *actor)
{
    return actor->seen == actor->process->world->activity &&
           (!actor->base || event_base_get_num_events(actor->base, EVENT_BASE_COUNT_ACTIVE) == 0);
}

static int earlier(const struct event_base *base, const struct event *event, void *ctx)
{
    struct timeval time;
    int64_t *deadline = ctx;
    (void)base;
    if (event_pending(event, EV_TIMEOUT, &time)) {
        int64_t us = (int64_t)time.tv_sec * 1000000 + time.tv_usec;
        if (us < *deadline)
            *deadline = us;
    }
    return 0;
}

int64_t actor_deadline_us(struct actor *actor)
{
    int64_t deadline = INT64_MAX;
    if (!actor->base)
        return kanban_deadline_us(actor->process->publisher);
    event_base_foreach_event(actor->base, earlier, &deadline);
    return deadline;
}
