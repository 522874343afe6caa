/* A run: chaos until the clients are done, then healing, draining, stopping, and what the checker says. The scheduler
 * picks one thing at a time: a pass of some loop, a turn of the database, a post, a fault; time moves in small steps,
 * and to the next timer when nothing else can happen. */
#include "sim/checker.h"
#include "sim/operator.h"
#include "sim/shims.h"

#include "common/mem.h"
#include "kanban/backend.h"
#include "store/backend.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEPS_MAX = 200000, CHAOS_STEPS_MAX = 20000, DRAIN_S = 300 };

static const int64_t second_us = 1000000;
static const int64_t wall_begin_us = INT64_C(1795186560) * 1000000; /* 2026-11-20T14:56:00Z */

void world_trace(struct world *world, const char *format, ...)
{
    va_list args;
    if (!world->lab->trace)
        return;
    printf("%7" PRIu64 " %10.3f ", world->step, (double)world->time.mono_us / 1e6);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout); /* the layers' log goes to the same descriptor */
}

void world_violation(struct world *world, const char *invariant, const char *format, ...)
{
    va_list args;
    char text[sizeof(world->verdict)];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    world_trace(world, "VIOLATION %s: %s", invariant, text);
    if (world->violations++)
        return;
    snprintf(world->invariant, sizeof(world->invariant), "%s", invariant);
    memcpy(world->verdict, text, sizeof(text));
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void advance_to(struct world *world, int64_t mono_us)
{
    if (mono_us <= world->time.mono_us)
        return;
    world->time.wall_us += mono_us - world->time.mono_us;
    world->time.mono_us = mono_us;
    world_active(world); /* timers may be due */
}

static int64_t earliest_us(struct world *world)
{
    int64_t next = workload_over(world) ? INT64_MAX : world->next_post_us;
    for (unsigned i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        int64_t own = process_stalled(process) ? process->stalled_until_us : process->down_until_us;
        if (process->up && !process_stalled(process)) {
            own = INT64_MAX;
            for (enum role role = 0; role < ROLE_COUNT; role++)
                if (process->actors[role].on && actor_deadline_us(&process->actors[role]) < own)
                    own = actor_deadline_us(&process->actors[role]);
        }
        next = own < next ? own : next;
    }
    return next;
}

static bool all_idle(const struct world *world)
{
    if (database_queued(world->lab->database))
        return false;
    for (unsigned i = 0; i < world->process_count; i++) {
        const struct process *process = &world->processes[i];
        for (enum role role = 0; process->up && !process_stalled(process) && role < ROLE_COUNT; role++)
            if (process->actors[role].on && !actor_idle(&process->actors[role]))
                return false;
    }
    return true;
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

static struct process *some_process(struct world *world)
{
    return &world->processes[random_below(&world->random, world->process_count)];
}

static void jump_clock(struct world *world)
{
    static const int64_t spans_s[] = {1, 60, 3600, 86400, 3 * 86400, 30 * 86400, 4 * 365 * 86400};
    enum { WITHIN_RETENTION = 5, SPANS = sizeof(spans_s) / sizeof(spans_s[0]) };
    struct random *random = &world->random;
    int64_t span_us = spans_s[random_below(random, world->far_jumps ? SPANS : WITHIN_RETENTION)] * second_us;
    int64_t by_us = random_between(random, -span_us, span_us);
    struct process *process = some_process(world);
    if (random_chance(random, 500))
        world->time.wall_us += by_us;
    else
        process->skew_us = by_us;
    world_trace(world, "the wall clock jumps by %.3f s", (double)by_us / 1e6);
}

static void misfortune(struct world *world)
{
    struct random *random = &world->random;
    struct process *process = some_process(world);
    int64_t now = world->time.mono_us;
    if (process->up && random_chance(random, world->faults.crash)) {
        process_crash(process);
        process->down_until_us = now + random_between(random, 0, random_chance(random, 500) ? 100000 : 8 * second_us);
    } else if (process->up && !process_stalled(process) && random_chance(random, world->faults.stall)) {
        process->stalled_until_us = now + random_between(random, 1, 10 * second_us);
        world_trace(world, "%s stalls until %.3f", process->name, (double)process->stalled_until_us / 1e6);
    } else if (random_chance(random, world->faults.clock_jump)) {
        jump_clock(world);
    }
}

/* --- the scheduler ------------------------------------------------------------------------------------------------ */

static void start_what_is_down(struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        if (process->up && process->doomed) {
            process_crash(process);
            process->down_until_us = world->time.mono_us + random_between(&world->random, 0, 200000);
        }
        if (!process->up && process->down_until_us <= world->time.mono_us)
            process_start(process);
    }
}

static void run_some_actor(struct world *world)
{
    struct process *process = some_process(world);
    enum role role = (enum role)random_below(&world->random, ROLE_COUNT);
    if (process->up && !process_stalled(process) && process->actors[role].on)
        actor_run(&process->actors[role]);
}

static void database_step(struct world *world)
{
    if (!database_queued(world->lab->database))
        return;
    world_active(world);
    database_turn(world->lab->database);
}

static void step(struct world *world)
{
    struct random *random = &world->random;
    world->step++;
    start_what_is_down(world);
    if (!world->calm && random_chance(random, 500))
        misfortune(world);
    unsigned what = random_below(random, 100);
    if (what < 60)
        run_some_actor(world);
    else if (what < 85)
        database_step(world);
    else
        workload_step(world);
    if (random_chance(random, world->command))
        operator_step(world);
    if (random_chance(random, 300))
        advance_to(world, world->time.mono_us + random_between(random, 0, 3000));
    int64_t next;
    if (all_idle(world) && (next = earliest_us(world)) != INT64_MAX)
        advance_to(world, next);
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

static void chaos(struct world *world)
{
    unsigned behind = 200 + random_below(&world->random, 800); /* steps after the last post */
    for (unsigned i = 0; i < CHAOS_STEPS_MAX && behind > 0; i++) {
        step(world);
        behind -= workload_over(world);
    }
    world->signals_wanted = 0;
}

static void start_all(struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++) {
        struct process *process = &world->processes[i];
        process->stalled_until_us = 0;
        if (process->up)
            continue;
        process->down_until_us = 0;
        process_start(process);
    }
}

static void heal(struct world *world)
{
    world_trace(world, "all is well from here");
    setup_calm(world);
    start_all(world);
}

static bool stopped(const struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++)
        if (world->processes[i].draining)
            return false;
    return true;
}

static bool steps_until(struct world *world, bool (*done)(const struct world *world), int64_t seconds)
{
    int64_t end = world->time.mono_us + seconds * second_us;
    uint64_t last = world->step + STEPS_MAX;
    while (!done(world) && world->time.mono_us < end && world->step < last)
        step(world);
    return done(world);
}

static bool drained(const struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++)
        if (desk_busy(world->processes[i].desk))
            return false;
    return world->posts_open == 0 && check_drained(world);
}

/* In the order of the layers, as the embedded form does: what a worker commits last is still receipted. */
static void stop_all(struct world *world)
{
    start_all(world); /* who died of a signal last */
    for (enum role role = ROLE_WORKER; role <= ROLE_ANDON; role++) {
        for (unsigned i = 0; i < world->process_count; i++)
            process_stop(&world->processes[i], role);
        if (!steps_until(world, stopped, DRAIN_S) || !steps_until(world, check_drained, DRAIN_S))
            world_violation(world, "stop", "a process does not stop");
    }
}

bool world_run(struct world *world)
{
    for (unsigned i = 0; i < world->process_count; i++)
        process_start(&world->processes[i]);
    chaos(world);
    heal(world);
    bool good = steps_until(world, drained, DRAIN_S);
    world->command = 0; /* no more orders either */
    if (!good || !steps_until(world, drained, DRAIN_S))
        check_undrained(world);
    else
        stop_all(world);
    for (unsigned i = 0; i < world->process_count; i++)
        if (world->processes[i].up)
            process_end(&world->processes[i]);
    check_world(world);
    return world->violations == 0;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void forget_checkpoints(const struct laboratory *lab)
{
    for (unsigned i = 0; i < SIM_SHARDS_MAX; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/sim.checkpoint-%u", lab->state_dir, i);
        unlink(path);
    }
}

struct world *world_new(struct laboratory *lab, uint64_t seed, enum bug bug)
{
    struct world *world = xcalloc(1, sizeof(*world));
    world->lab = lab;
    world->seed = seed;
    world->bug = bug;
    world->random.state = seed;
    world->time = (struct virtual_time){.mono_us = 1000 * second_us, .wall_us = wall_begin_us, .random = {~seed}};
    world->hasher = hasher_new();
    buf_init(&world->scratch, 1 << 20);
    history_init(&world->history);
    world->evidence = evidence_new(world);
    forget_checkpoints(lab);
    if (!lab->trace && ftruncate(lab->log_fd, 0) == 0)
        lseek(lab->log_fd, 0, SEEK_SET);
    virtual_time_set(&world->time);
    database_reset(lab->database, &world->random);
    shims_new(world);
    setup_world(world);
    return world;
}

void world_free(struct world *world)
{
    if (!world->embedded) {
        kanban_backend_free(world->queue);
        store_backend_free(world->store);
        store_backend_free(world->sqlite);
    }
    shims_free(world);
    virtual_time_set(NULL);
    evidence_free(world->evidence);
    history_done(&world->history);
    buf_done(&world->scratch);
    hasher_free(world->hasher);
    free(world);
}
