/* What a run is made of, by chance: form, sizes, governors, policies, how much goes wrong. */
#include "sim/sim.h"

#include "kanban/backend.h"
#include "kanban/faulty.h"

#include <stdio.h>

enum { SECOND_MS = 1000 };

static bool chance(struct world *world, unsigned per_mille)
{
    return random_chance(&world->random, per_mille);
}

static unsigned below(struct world *world, unsigned bound)
{
    return random_below(&world->random, bound);
}

static void setup_governor(struct world *world)
{
    struct governor_config *governor = &world->config.governor;
    *governor = (struct governor_config){
        .quota_limit = chance(world, 500) ? -1 : (int64_t)below(world, 15),
        .quota_period = (enum config_period)below(world, 4),
        .max_waiting = chance(world, 800) ? 1000 : 1 + (int64_t)below(world, 5),
        .max_wait_ms = (5 + (int64_t)below(world, 25)) * SECOND_MS,
        .boot_timeout_ms = (1 + (int64_t)below(world, 10)) * SECOND_MS,
        .breaker_reset_ms = (1 + (int64_t)below(world, 5)) * SECOND_MS,
        .max_failures = 1 + (int64_t)below(world, 3),
        .auto_activate = chance(world, 800),
    };
}

static void setup_policy(struct world *world)
{
    world->action_config = (struct action_config){.type = CONFIG_ACTION_NONE,
                                                  .timeout_ms = 200 + (int64_t)below(world, 2000),
                                                  .retries = (int64_t)below(world, 4),
                                                  .concurrency = 1 + (int64_t)below(world, 3)};
    world->policy = (struct policy_config){
        .type = CONFIG_POLICY_COST_GOVERNANCE,
        .name = "cost",
        .budget_micro = (int64_t)below(world, 20) * 1000000,
        .warn_ratio_micro = 800000,
        .window = (enum config_period)(1 + below(world, 3)),
        .on_exceeded = chance(world, 200) ? CONFIG_EXCEEDED_DENY : CONFIG_EXCEEDED_ACTION,
    };
}

static void setup_config(struct world *world)
{
    static const char hash[CONFIG_SHA256_HEX + 1] = "0000000000000000000000000000000000000000000000000000000000000000";
    setup_governor(world);
    setup_policy(world);
    world->config.max_waiting = chance(world, 900) ? 100000 : 2 + (int64_t)below(world, 10);
    world->config.deadletters_max = world->command && chance(world, 200) ? 5 + (int64_t)below(world, 20) : 0;
    world->config.governors_max_per_tenant = 100000;
    world->config.governors_max = 1000000;
    world->config.signals_retention_ms = INT64_C(7) * 24 * 3600 * SECOND_MS;
    world->config.partitions = 1 + (int64_t)below(world, SIM_PARTITIONS_MAX);
    world->config.shards = 1 + (int64_t)below(world, SIM_SHARDS_MAX);
    world->config.prefetch = 1 + (int64_t)below(world, 8);
    world->config.max_lag = chance(world, 800) ? 1000000 : 5 + (int64_t)below(world, 20);
    world->config.config_sha256 = hash;
    world->config.policies_count = chance(world, 800);
    world->config.actions_count = 1;
}

void setup_worker(struct process *process)
{
    const struct world *world = process->world;
    process->config = world->config;
    process->policy = world->policy;
    process->action_config = world->action_config;
    process->action = (struct sim_action){.name = "act", .process = process};
    process->action_config.name = process->action.name;
    process->policy.action = process->policy.on_exceeded == CONFIG_EXCEEDED_ACTION ? &process->action_config : NULL;
    process->config.policies = &process->policy;
    process->config.actions = &process->action_config;
}

static void add_process(struct world *world, bool publisher, bool worker, bool andon)
{
    struct process *process = &world->processes[world->process_count];
    *process = (struct process){.world = world, .number = world->process_count++};
    process->has[ROLE_PUBLISHER] = publisher;
    process->has[ROLE_WORKER] = worker;
    process->has[ROLE_ANDON] = andon;
}

static void setup_processes(struct world *world)
{
    if (world->embedded) {
        add_process(world, true, true, true);
        return;
    }
    add_process(world, true, false, false);
    for (unsigned i = 0, workers = 1 + below(world, 3); i < workers; i++)
        add_process(world, false, true, false);
    for (unsigned i = 0, andons = 1 + below(world, 2); i < andons; i++)
        add_process(world, false, false, true);
}

static void setup_broker(struct world *world)
{
    static const unsigned most[FAULTY_KINDS] = {
        [FAULTY_REFUSE] = 50,    [FAULTY_NACK] = 100,       [FAULTY_NACK_KEPT] = 50,     [FAULTY_PUBLISH_TWICE] = 80,
        [FAULTY_LATE] = 200,     [FAULTY_MULTIPLE] = 200,   [FAULTY_DELIVER_TWICE] = 50, [FAULTY_DELAY] = 100,
        [FAULTY_RECONNECT] = 30, [FAULTY_SETTLE_LOST] = 30, [FAULTY_STALL] = 20,
    };
    world->faulty = kanban_faulty_new(kanban_memory_new((uint32_t)world->config.partitions), &clock_system,
                                      50000 + below(world, 2000000), random_next(&world->random));
    for (enum faulty_kind kind = 0; kind < FAULTY_KINDS; kind++)
        if (chance(world, 400))
            kanban_faulty_set(world->faulty, kind, (struct faulty_rule){.per_mille = 1 + below(world, most[kind])});
    world->queue = shim_queue_new(world, world->faulty);
}

/* By chance of its own: what the other faults of a seed are does not depend on it. */
static void setup_deferrals(struct world *world)
{
    struct random random = {.state = world->seed ^ UINT64_C(0xdefe44a1)};
    world->config.max_deferrals = random_below(&random, 6);
    if (random_chance(&random, 300))
        world->faults.action_defers = 1 + random_below(&random, 900);
}

static void setup_faults(struct world *world)
{
    struct database_faults database = {0};
    if (chance(world, 250))
        database.commit_full = 1 + below(world, 50);
    if (chance(world, 250))
        database.statement_full = 1 + below(world, 5);
    if (chance(world, 150))
        database.transaction_lost = 1 + below(world, 5);
    if (chance(world, 200))
        database.read_error = 1 + below(world, 5);
    database_set_faults(world->lab->database, database);
    world->faults = (struct faults){
        .crash = chance(world, world->has_killer ? 200 : 700) ? 1 + below(world, 8) : 0,
        .stall = chance(world, 500) ? 1 + below(world, 8) : 0,
        .clock_jump = chance(world, 300) ? 1 + below(world, 4) : 0,
        .action_fails = chance(world, 600) ? below(world, 500) : 0,
        .action_hangs = chance(world, 300) ? below(world, 300) : 0,
        .commit_reply_lost = chance(world, 300) ? 1 + below(world, 60) : 0,
    };
    setup_deferrals(world);
}

void setup_world(struct world *world)
{
    struct error err;
    world->embedded = chance(world, 350);
    world->lease_ttl_ms = world->embedded ? 600 * SECOND_MS : 3 * SECOND_MS;
    world->tenants = 1 + below(world, TENANTS_MAX);
    world->entitlements = 1 + below(world, ENTITLEMENTS_MAX);
    world->signals_wanted = 20 + below(world, 100);
    world->repost = below(world, 250);
    world->conflict = below(world, 80);
    world->event = below(world, 200);
    world->has_killer = chance(world, 150);
    world->command = chance(world, 500) ? 1 + below(world, 30) : 0;
    world->far_jumps = chance(world, 300);
    setup_config(world);
    setup_processes(world);
    if (world->embedded) {
        setup_faults(world);
        return; /* its only process opens them */
    }
    if (store_sqlite_new(database_db(world->lab->database), &world->sqlite, &err)) {
        world_violation(world, "setup", "%s", err.text);
        return;
    }
    world->store = shim_store_new(world, world->sqlite);
    setup_broker(world);
    setup_faults(world);
}

void setup_calm(struct world *world)
{
    world->calm = true;
    world->command = world->config.deadletters_max ? 50 : 0;
    world->faults = (struct faults){0};
    database_set_faults(world->lab->database, (struct database_faults){0});
    if (world->faulty)
        kanban_faulty_heal(world->faulty);
}
