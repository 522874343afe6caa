/* The pipeline's life. */
#include "support/pipeline.h"
#include "common/loop.h"
#include "kanban/backend.h"
#include "store/sqlite/sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what, const char *why)
{
    fprintf(stderr, "pipeline: %s: %s\n", what, why);
    abort();
}

static void init_config(struct pipeline *p)
{
    p->action_config = (struct action_config){
        .name = p->action.name, .type = CONFIG_ACTION_NONE, .timeout_ms = 50, .retries = 2, .concurrency = 10};
    p->policy = (struct policy_config){.type = CONFIG_POLICY_COST_GOVERNANCE,
                                       .name = "budget",
                                       .warn_ratio_micro = 1000000,
                                       .window = CONFIG_PERIOD_DAY,
                                       .on_exceeded = CONFIG_EXCEEDED_ACTION,
                                       .action = &p->action_config};
    p->config = (struct jidoka_config){
        .governor = {.quota_limit = -1,
                     .quota_period = CONFIG_PERIOD_NONE,
                     .max_waiting = 1000,
                     .max_wait_ms = 24 * 3600 * 1000,
                     .boot_timeout_ms = 30000,
                     .breaker_reset_ms = 60000,
                     .max_failures = 5,
                     .auto_activate = true},
        .max_waiting = 100000,
        .max_deferrals = 20,
        .governors_max_per_tenant = 100000,
        .governors_max = 1000000,
        .deadletters_max = 100000,
        .signals_retention_ms = INT64_C(7) * 24 * 3600 * 1000,
        .partitions = PIPELINE_PARTITIONS,
        .prefetch = 16,
        .shards = 2,
        .max_lag = 1000000,
        .config_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        .policies = &p->policy,
        .policies_count = 1,
        .actions = &p->action_config,
        .actions_count = 1,
    };
}

void pipeline_init(struct pipeline *p)
{
    *p = (struct pipeline){.dir = "/tmp/tai-pipeline.XXXXXX"};
    if (!mkdtemp(p->dir))
        give_up(p->dir, "cannot be made");
    snprintf(p->path, sizeof(p->path), "%s/tai.db", p->dir);
    clock_manual_init(&p->clock, INT64_C(1700000000000));
    p->clock.mono_us = 1000000;
    p->random = random_bytes;
    p->base = loop_base_new();
    p->metrics = metrics_new();
    p->hasher = hasher_new();
    const char *verbose = getenv("TAI_TEST_LOG");
    p->log = (struct log){.fd = verbose ? STDERR_FILENO : open("/dev/null", O_WRONLY | O_CLOEXEC),
                          .level = LOG_DEBUG,
                          .clock = &clock_system,
                          .component = "test"};
    failing_action_init(&p->action, p->base);
    p->actions = failing_action_types;
    init_config(p);
}

static void on_published(void *ctx, void *token, int status)
{
    struct pipeline *p = ctx;
    if (status < 0)
        give_up("publish", error_text(status));
    p->published += (uint64_t)(uintptr_t)token;
}

void pipeline_open(struct pipeline *p)
{
    struct error err;
    struct db_options options = {.path = p->path, .schema = store_sqlite_schema, .sync = false};
    int rc = db_open(&options, &p->db, &err);
    rc = rc ? rc : store_sqlite_new(p->db, &p->sqlite, &err);
    if (rc == 0 && p->sqlite_queue)
        rc = kanban_sqlite_new(p->db, (uint32_t)p->config.partitions, &p->queue, &err);
    else if (rc == 0 && !p->queue)
        p->queue = kanban_memory_new((uint32_t)p->config.partitions);
    p->faulty = rc ? NULL : faulty_store_new(p->sqlite);
    rc = rc ? rc : store_open(p->sqlite, &p->reader, &err);
    struct kanban_options publisher = {.backend = p->queue,
                                       .events = {.published = on_published, .ctx = p},
                                       .partitions = (uint32_t)p->config.partitions,
                                       .prefetch = 1,
                                       .max_depth = UINT64_MAX,
                                       .clock = &p->clock.clock};
    rc = rc ? rc : kanban_open(&publisher, &p->publisher, &err);
    if (rc < 0)
        give_up("open", err.text);
}

struct jidoka *pipeline_worker(struct pipeline *p, const char *name, int64_t ttl_ms)
{
    struct error err;
    struct jidoka *worker = NULL;
    struct jidoka_options options = {.base = p->base,
                                     .config = &p->config,
                                     .actions = p->actions,
                                     .queue = p->queue,
                                     .store = faulty_store_backend(p->faulty),
                                     .worker = name,
                                     .lease_ttl_ms = ttl_ms,
                                     .random = p->random,
                                     .clock = &p->clock.clock,
                                     .log = &p->log,
                                     .metrics = p->metrics};
    if (jidoka_new(&options, &worker, &err) < 0)
        give_up("worker", err.text);
    return worker;
}

void pipeline_start(struct pipeline *p)
{
    static const char *const names[] = {"w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"};
    p->worker = pipeline_worker(p, names[p->starts++ % 8], PIPELINE_WAIT_MS);
}

void pipeline_kill(struct pipeline *p)
{
    jidoka_free(p->worker);
    p->worker = NULL;
}

static void on_drained(void *ctx)
{
    *(bool *)ctx = true;
}

bool pipeline_drain(struct pipeline *p)
{
    bool drained = false;
    jidoka_drain(p->worker, on_drained, &drained);
    int64_t deadline = clock_mono_ms(&clock_system) + PIPELINE_WAIT_MS;
    while (!drained && clock_mono_ms(&clock_system) < deadline)
        pipeline_turn(p);
    pipeline_kill(p);
    return drained;
}

static void close_files(struct pipeline *p)
{
    pipeline_kill(p);
    kanban_close(p->publisher);
    store_close(p->reader);
    faulty_store_free(p->faulty);
    if (p->sqlite_queue) {
        kanban_backend_free(p->queue);
        p->queue = NULL;
    }
    store_backend_free(p->sqlite);
    db_close(p->db);
}

void pipeline_restart(struct pipeline *p)
{
    close_files(p);
    pipeline_open(p);
    pipeline_start(p);
}

void pipeline_die_when_stuck(struct pipeline *p)
{
    if (!faulty_held(p->faulty))
        return;
    p->on_turn = NULL;
    for (int i = 0; i < 3; i++)
        pipeline_turn(p);
    pipeline_restart(p);
}

void pipeline_done(struct pipeline *p)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    close_files(p);
    kanban_backend_free(p->queue);
    pipeline_sent_free(p);
    arena_done(&p->arena);
    metrics_free(p->metrics);
    hasher_free(p->hasher);
    event_base_free(p->base);
    if (p->log.fd != STDERR_FILENO)
        close(p->log.fd);
    for (size_t i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", p->path, suffixes[i]);
        unlink(name);
    }
    rmdir(p->dir);
}
