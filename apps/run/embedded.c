/* Wires the layers to the SQLite store and queue, each on a loop of its own. Started back to front, so that a signal is
 * taken only when everything behind is ready; stopped front to back, so that what was accepted is finished. */
#include "apps/run/embedded.h"
#include "andon/andon.h"
#include "apps/cli/manifest.h"
#include "apps/run/backup.h"
#include "apps/run/damage.h"
#include "apps/run/data_lock.h"
#include "apps/run/signal_edit.h"
#include "common/hash.h"
#include "common/loop.h"
#include "common/mem.h"
#include "ingress/ingress.h"
#include "jidoka/jidoka.h"
#include "store/sqlite/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The data lock keeps every other worker out; the lease only has to outlive a stall. */
enum { LEASE_TTL_MS = 30000, DRAINS = 4 };

enum { LOG_INGRESS, LOG_JIDOKA, LOG_ANDON, LOG_STORE, LOG_BACKUP, LOGS };

struct embedded {
    const struct config *config;
    struct log log[LOGS];
    struct metrics *metrics;
    struct damage *damage;
    struct backup *backup;
    struct db *db;
    struct store_backend *store;
    struct kanban_backend *queue;
    struct loop *andon_loop, *jidoka_loop, *ingress_loop;
    struct andon *andon;
    struct jidoka *jidoka;
    struct ingress *_Atomic ingress;
    struct signal_editor *editor;
    struct latch *drained;
    struct latch *spent[DRAINS]; /* a layer that is late raises its latch until its loop is gone */
    size_t spent_count;
    struct error *err; /* of the start under way */
    char worker[64];
    char status_url[128];
    int lock_fd;
};

static bool accepted(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id)
{
    struct embedded *e = ctx;
    struct ingress *ingress = e->ingress;
    return ingress && ingress_accepted(ingress, tenant_id, entitlement_id, id);
}

static uint64_t depth(void *ctx, uint32_t partition)
{
    return kanban_backend_depth(((struct embedded *)ctx)->queue, partition);
}

/* --- start ------------------------------------------------------------------------------------------------------- */

static int start_andon(void *ctx)
{
    struct embedded *e = ctx;
    struct andon_options options = {.base = loop_base(e->andon_loop),
                                    .config = &e->config->andon,
                                    .store = e->store,
                                    .worker = e->worker,
                                    .state_dir = e->config->run.data,
                                    .accepted = accepted,
                                    .accepted_ctx = e,
                                    .edit = signal_edit,
                                    .edit_ctx = e->editor,
                                    .depth = depth,
                                    .depth_ctx = e,
                                    .backup = backup_interface(e->backup),
                                    .clock = &clock_system,
                                    .log = &e->log[LOG_ANDON],
                                    .metrics = e->metrics};
    return andon_new(&options, &e->andon, e->err);
}

static int start_jidoka(void *ctx)
{
    struct embedded *e = ctx;
    struct jidoka_options options = {.base = loop_base(e->jidoka_loop),
                                     .config = &e->config->jidoka,
                                     .actions = action_types,
                                     .queue = e->queue,
                                     .store = e->store,
                                     .worker = e->worker,
                                     .lease_ttl_ms = LEASE_TTL_MS,
                                     .random = random_bytes,
                                     .clock = &clock_system,
                                     .log = &e->log[LOG_JIDOKA],
                                     .metrics = e->metrics};
    return jidoka_new(&options, &e->jidoka, e->err);
}

static int start_ingress(void *ctx)
{
    struct embedded *e = ctx;
    const struct config_address *andon = &e->config->andon.listen;
    snprintf(e->status_url, sizeof(e->status_url), strchr(andon->host, ':') ? "http://[%s]:%u" : "http://%s:%u",
             andon->host, andon_port(e->andon));
    struct ingress_options options = {.base = loop_base(e->ingress_loop),
                                      .config = &e->config->ingress,
                                      .kanban = &e->config->kanban,
                                      .queue = e->queue,
                                      .status_url = e->status_url,
                                      .clock = &clock_system,
                                      .log = &e->log[LOG_INGRESS],
                                      .metrics = e->metrics};
    struct ingress *ingress = NULL;
    int rc = ingress_new(&options, &ingress, e->err);
    e->ingress = ingress;
    return rc;
}

static void on_fixed(struct store_request *request, int status)
{
    *(int *)request->ctx = status;
}

/* Compares what is fixed for a data set with the configuration. A new data set gets value; ret_stored NULL: it must be
 * that. */
static int fix(struct store *store, const char *name, uint64_t value, uint64_t *ret_stored, struct error *err)
{
    int status = 1;
    struct store_fix request = {.req = {.done = on_fixed, .ctx = &status}, .name = name, .value = value};
    store_fix(store, &request);
    while (status > 0) {
        struct timeval pause = {0, 1000};
        select(0, NULL, NULL, NULL, &pause);
        store_dispatch(store);
    }
    if (status == -EUCLEAN && request.req.error)
        error_set(err, status, "the database is damaged: %s: restore a backup", request.req.error);
    else if (status < 0)
        error_set(err, status, "cannot read the data set: %s", error_text(status));
    arena_done(&request.req.arena);
    if (status < 0)
        return status;
    if (ret_stored)
        *ret_stored = request.stored;
    else if (request.stored != value)
        return error_set(err, -EINVAL,
                         "%s is %llu in the configuration, but this data set was made with %llu: set it back, or start "
                         "with another run.data and send the signals again from their source",
                         name, (unsigned long long)value, (unsigned long long)request.stored);
    return 0;
}

static int fix_partitions(struct store *store, struct config *config, struct error *err)
{
    uint64_t stored = (uint64_t)config->store.partitions;
    bool asked = config->kanban.partitions_asked > 0;
    int rc = fix(store, "kanban.partitions", stored, asked ? NULL : &stored, err);
    if (rc == 0)
        config_use_partitions(config, (int64_t)stored);
    return rc;
}

static int open_data(struct embedded *e, struct config *config, struct error *err)
{
    struct db_options options = {.path = config->store.path,
                                 .schema = store_sqlite_schema,
                                 .sync = true,
                                 .on_damage = damage_met,
                                 .damage_ctx = e->damage};
    struct store *store = NULL;
    int rc = manifest_finished(config->run.data, err);
    rc = rc ? rc : data_lock_take(config->run.data, &e->lock_fd, err);
    rc = rc ? rc : db_open(&options, &e->db, err);
    rc = rc ? rc : store_sqlite_new(e->db, &e->store, err);
    rc = rc ? rc : store_open(e->store, &store, err);
    rc = rc ? rc : fix_partitions(store, config, err);
    rc = rc ? rc : fix(store, "ledger.shards", (uint64_t)config->store.shards, NULL, err);
    store_close(store);
    if (rc == 0 && config->kanban.backend == CONFIG_KANBAN_MEMORY)
        e->queue = kanban_memory_new((uint32_t)config->kanban.partitions);
    else if (rc == 0)
        rc = kanban_sqlite_new(e->db, (uint32_t)config->kanban.partitions, &e->queue, err);
    if (rc == 0)
        e->backup = backup_new(config, e->db, &e->log[LOG_BACKUP]);
    return rc;
}

static void init(struct embedded *e, const struct config *config, const struct log *log)
{
    static const char *const components[LOGS] = {"ingress", "jidoka", "andon", "store", "backup"};
    uint64_t boot;
    random_bytes(&boot, sizeof(boot));
    snprintf(e->worker, sizeof(e->worker), "run-%d-%016llx", (int)getpid(), (unsigned long long)boot);
    for (size_t i = 0; i < LOGS; i++) {
        e->log[i] = *log;
        e->log[i].component = components[i];
    }
    e->config = config;
    e->lock_fd = -1;
    e->drained = latch_new();
    e->editor = signal_editor_new(&config->ingress, &clock_system);
    e->metrics = metrics_new();
    e->damage = damage_new(e->metrics, &e->log[LOG_STORE]);
    metrics_add_process(e->metrics);
    metrics_add_build_info(e->metrics, TAI_VERSION, TAI_REVISION);
}

static void describe(const struct embedded *e)
{
    char text[256];
    snprintf(text, sizeof(text), "pid %d, signals on port %u, andon on port %u\n", (int)getpid(), embedded_port(e),
             embedded_andon_port(e));
    data_lock_describe(e->lock_fd, text);
}

int embedded_start(struct config *config, const struct log *log, struct embedded **ret, struct error *err)
{
    struct embedded *e = xcalloc(1, sizeof(*e));
    init(e, config, log);
    e->err = err;
    int rc = open_data(e, config, err);
    rc = rc ? rc : loop_new("andon", &e->andon_loop, err);
    rc = rc ? rc : loop_new("jidoka", &e->jidoka_loop, err);
    rc = rc ? rc : loop_new("ingress", &e->ingress_loop, err);
    rc = rc ? rc : loop_call(e->andon_loop, start_andon, e);
    rc = rc ? rc : loop_call(e->jidoka_loop, start_jidoka, e);
    rc = rc ? rc : loop_call(e->ingress_loop, start_ingress, e);
    e->err = NULL;
    if (rc < 0) {
        embedded_stop(e, 0);
        return rc;
    }
    describe(e);
    *ret = e;
    return 0;
}

/* --- reload ------------------------------------------------------------------------------------------------------ */

struct reload {
    struct embedded *embedded;
    const struct config *next;
};

static int reload_ingress(void *ctx)
{
    const struct reload *reload = ctx;
    ingress_reload(reload->embedded->ingress, &reload->next->ingress);
    return 0;
}

static int reload_andon(void *ctx)
{
    const struct reload *reload = ctx;
    andon_reload(reload->embedded->andon, &reload->next->andon);
    return 0;
}

/* next was judged by the addresses it names, which may be others than those in use. */
int embedded_reload(struct embedded *e, const struct config *next, struct error *err)
{
    struct reload reload = {e, next};
    if (!e->config->ingress.listen.loopback && next->ingress.keys_count == 0)
        return error_set(err, -EINVAL, "keys: there are none, and ingress listens on %s",
                         e->config->ingress.listen.text);
    if (!e->config->andon.listen.loopback && next->andon.tokens_count == 0)
        return error_set(err, -EINVAL, "andon.tokens_file: there is none, and andon listens on %s",
                         e->config->andon.listen.text);
    for (size_t i = 0; i < LOGS; i++)
        e->log[i].level = next->log.level;
    loop_call(e->ingress_loop, reload_ingress, &reload);
    loop_call(e->andon_loop, reload_andon, &reload);
    return 0;
}

uint16_t embedded_port(const struct embedded *e)
{
    return ingress_port(e->ingress);
}

uint16_t embedded_andon_port(const struct embedded *e)
{
    return andon_port(e->andon);
}

/* --- stop -------------------------------------------------------------------------------------------------------- */

static int drain_ingress(void *ctx)
{
    struct embedded *e = ctx;
    ingress_drain(e->ingress, latch_raise, e->drained);
    return 0;
}

static int drain_jidoka(void *ctx)
{
    struct embedded *e = ctx;
    jidoka_drain(e->jidoka, latch_raise, e->drained);
    return 0;
}

static int stop_jidoka(void *ctx)
{
    struct embedded *e = ctx;
    jidoka_stop(e->jidoka, latch_raise, e->drained);
    return 0;
}

static int drain_andon(void *ctx)
{
    struct embedded *e = ctx;
    andon_drain(e->andon, latch_raise, e->drained);
    return 0;
}

static int free_ingress(void *ctx)
{
    struct embedded *e = ctx;
    struct ingress *ingress = e->ingress;
    e->ingress = NULL;
    ingress_free(ingress);
    return 0;
}

static int free_jidoka(void *ctx)
{
    jidoka_free(((struct embedded *)ctx)->jidoka);
    return 0;
}

static int free_andon(void *ctx)
{
    andon_free(((struct embedded *)ctx)->andon);
    return 0;
}

/* Waits for one drain until the common deadline; a new latch for the next. */
static bool drained_by(struct embedded *e, int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - clock_mono_us(&clock_system)) / 1000;
    bool in_time = latch_wait(e->drained, left_ms > 0 ? left_ms : 0);
    e->spent[e->spent_count++] = e->drained;
    e->drained = latch_new();
    return in_time;
}

static bool drain(struct embedded *e, int64_t timeout_ms)
{
    enum { LAST_STEPS_MS = 1500 }; /* kept back for giving up the leases and for the last checkpoint */
    int64_t deadline_us = clock_mono_us(&clock_system) + timeout_ms * 1000;
    bool done = true;
    if (e->ingress) {
        loop_call(e->ingress_loop, drain_ingress, e);
        done = drained_by(e, deadline_us - 2 * LAST_STEPS_MS * 1000) && done;
    }
    if (e->jidoka) {
        loop_call(e->jidoka_loop, drain_jidoka, e);
        bool worked_off = drained_by(e, deadline_us - 2 * LAST_STEPS_MS * 1000);
        if (!worked_off)
            loop_call(e->jidoka_loop, stop_jidoka, e);
        done = (worked_off || (drained_by(e, deadline_us - LAST_STEPS_MS * 1000), false)) && done;
    }
    if (e->andon) {
        loop_call(e->andon_loop, drain_andon, e);
        done = drained_by(e, deadline_us) && done;
    }
    return done;
}

bool embedded_stop(struct embedded *e, int64_t timeout_ms)
{
    backup_stop(e->backup);
    bool done = timeout_ms > 0 && drain(e, timeout_ms);
    if (e->andon_loop) /* first: it asks ingress what was accepted */
        loop_call(e->andon_loop, free_andon, e);
    if (e->ingress_loop)
        loop_call(e->ingress_loop, free_ingress, e);
    if (e->jidoka_loop)
        loop_call(e->jidoka_loop, free_jidoka, e);
    loop_free(e->ingress_loop);
    loop_free(e->jidoka_loop);
    loop_free(e->andon_loop);
    backup_free(e->backup);
    if (e->queue)
        kanban_backend_free(e->queue);
    if (e->store)
        store_backend_free(e->store);
    if (e->db)
        db_close(e->db);
    damage_free(e->damage);
    metrics_free(e->metrics);
    signal_editor_free(e->editor);
    for (size_t i = 0; i < e->spent_count; i++)
        latch_free(e->spent[i]);
    latch_free(e->drained);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    free(e);
    return done;
}
