/* Queue, counters, fences, conservation of frames, and the layers' own alarms. Reads the database between turns. */
#include "sim/checker.h"

#include "common/mem.h"
#include "kanban/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LEASE_TTL_MS = 3000, LOG_MAX = 1 << 20 };

static int64_t number(const struct world *world, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(database_handle(world->lab->database), sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

/* --- drained ------------------------------------------------------------------------------------------------------ */

static uint64_t queued(const struct world *world)
{
    return world->queue ? world->queue->ops->depth(world->queue) : 0; /* the only process is down: nobody knows */
}

/* A worker takes nothing more while there are too many of them, and so would not stop by itself. */
static bool triage_has_room(const struct world *world)
{
    int64_t most = world->config.deadletters_max;
    return most == 0 || number(world, "SELECT count(*) FROM deadletters") <= most / 2;
}

bool check_drained(const struct world *world)
{
    if (world->step % 16 || !world->queue || queued(world) || database_queued(world->lab->database))
        return false;
    return number(world, "SELECT coalesce(sum(waiting + acting), 0) FROM partitions") == 0 &&
           number(world, "SELECT count(*) FROM commands WHERE status = 0") == 0 &&
           number(world, "SELECT count(*) FROM outcomes") == 0 && triage_has_room(world);
}

void check_undrained(struct world *world)
{
    world_violation(world, "drained",
                    "left in the end: %llu signals queued, %u posts unanswered, %lld signals waiting, %lld acting, "
                    "%lld commands pending, %lld rows of outcomes",
                    (unsigned long long)queued(world), world->posts_open,
                    (long long)number(world, "SELECT coalesce(sum(waiting), 0) FROM partitions"),
                    (long long)number(world, "SELECT coalesce(sum(acting), 0) FROM partitions"),
                    (long long)number(world, "SELECT count(*) FROM commands WHERE status = 0"),
                    (long long)number(world, "SELECT count(*) FROM outcomes"));
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

void awaited_done(struct store_request *request, int status)
{
    *(struct awaited *)request->ctx = (struct awaited){true, status};
}

bool drill_answered(struct world *world, struct drill *drill, struct awaited *awaited, const char *what)
{
    drill_wait(drill, &awaited->answered);
    if (awaited->status)
        world_violation(world, "store", "%s: %s", what, error_text(awaited->status));
    return awaited->status == 0;
}

static void check_lease(struct world *world, const struct lease *lease)
{
    if (lease->missing)
        world_violation(world, "conservation", "partition %u: the worker counts %llu frames as lost", lease->partition,
                        (unsigned long long)lease->missing);
    uint64_t in = lease->taken + lease->requeued;
    uint64_t out = lease->ended + lease->duplicates + lease->waiting + lease->acting;
    if (in != out)
        world_violation(world, "counters", "partition %u: %llu taken, but %llu accounted for", lease->partition,
                        (unsigned long long)in, (unsigned long long)out);
}

static void check_counters(struct world *world, struct drill *drill)
{
    struct awaited awaited = {0};
    uint64_t requeued = 0;
    struct store_lease request = {.req = {.done = awaited_done, .ctx = &awaited},
                                  .worker = "checker",
                                  .partitions = (uint32_t)world->config.partitions,
                                  .ttl_ms = LEASE_TTL_MS};
    store_lease(drill_store(drill), &request);
    if (drill_answered(world, drill, &awaited, "leases")) {
        if (request.lease_count != request.partitions)
            world_violation(world, "lease", "%u of %u leases were given back", request.lease_count, request.partitions);
        for (uint32_t i = 0; i < request.lease_count; i++) {
            check_lease(world, &request.leases[i]);
            requeued += request.leases[i].requeued;
        }
        if (requeued != world->requeued)
            world_violation(world, "counters", "%llu counted as requeued, %u requeues were applied",
                            (unsigned long long)requeued, world->requeued);
    }
    arena_done(&request.req.arena);
}

/* --- fences ------------------------------------------------------------------------------------------------------- */

struct audited { /* a commit as the database did it */
    uint32_t partition;
    uint64_t epoch, batch; /* batch: after it */
    int64_t clock_ms;
    unsigned owner; /* who was told so; 0: nobody */
};

static struct audited *read_audit(const struct world *world, size_t *ret_count)
{
    sqlite3_stmt *stmt = NULL;
    struct audited *audited = NULL;
    size_t count = 0, cap = 0;
    sqlite3_prepare_v2(database_handle(world->lab->database),
                       "SELECT partition, epoch, batch, clock FROM temp.sim_commits ORDER BY rowid", -1, &stmt, NULL);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        mem_grow(&audited, &cap, count + 1, sizeof(*audited));
        audited[count++] = (struct audited){.partition = (uint32_t)sqlite3_column_int(stmt, 0),
                                            .epoch = (uint64_t)sqlite3_column_int64(stmt, 1),
                                            .batch = (uint64_t)sqlite3_column_int64(stmt, 2),
                                            .clock_ms = sqlite3_column_int64(stmt, 3)};
    }
    sqlite3_finalize(stmt);
    *ret_count = count;
    return audited;
}

static struct audited *find_audited(struct audited *audited, size_t count, const struct acked_commit *commit)
{
    for (size_t i = 0; i < count; i++)
        if (audited[i].partition == commit->partition && audited[i].epoch == commit->epoch &&
            audited[i].batch == commit->batch + 1)
            return &audited[i];
    return NULL;
}

/* Commits of a partition in the order they were done: batches by one, epochs and clock never back, one owner an epoch.
 */
static void check_sequence(struct world *world, const struct audited *audited, size_t count)
{
    const struct audited *last[SIM_PARTITIONS_MAX] = {NULL}, *told[SIM_PARTITIONS_MAX] = {NULL};
    for (size_t i = 0; i < count; i++) {
        const struct audited *now = &audited[i], *before = last[now->partition], *owned = told[now->partition];
        if (now->batch != (before ? before->batch + 1 : 1) || (before && now->epoch < before->epoch))
            world_violation(world, "fence", "partition %u: batch %llu of epoch %llu follows %llu of %llu",
                            now->partition, (unsigned long long)now->batch, (unsigned long long)now->epoch,
                            before ? (unsigned long long)before->batch : 0,
                            before ? (unsigned long long)before->epoch : 0);
        if (owned && now->owner && owned->epoch == now->epoch && owned->owner != now->owner)
            world_violation(world, "fence", "partition %u: two owners committed under epoch %llu", now->partition,
                            (unsigned long long)now->epoch);
        last[now->partition] = now;
        if (now->owner)
            told[now->partition] = now;
    }
}

static void check_fences(struct world *world)
{
    const struct evidence *evidence = world->evidence;
    size_t count;
    struct audited *audited = read_audit(world, &count);
    for (size_t i = 0; i < evidence->commit_count; i++) {
        const struct acked_commit *commit = &evidence->commits[i];
        struct audited *found = find_audited(audited, count, commit);
        if (!found)
            world_violation(world, "fence", "partition %u: commit %llu of epoch %llu was done under another fence",
                            commit->partition, (unsigned long long)commit->batch, (unsigned long long)commit->epoch);
        else if (found->owner)
            world_violation(world, "fence", "partition %u: commit %llu of epoch %llu was done twice", commit->partition,
                            (unsigned long long)commit->batch, (unsigned long long)commit->epoch);
        else
            found->owner = commit->owner;
        if (found && commit->clock_ms < found->clock_ms)
            world_violation(world, "clock", "partition %u: commit %llu wrote the clock %lld, it was %lld already",
                            commit->partition, (unsigned long long)commit->batch, (long long)commit->clock_ms,
                            (long long)found->clock_ms);
    }
    check_sequence(world, audited, count);
    free(audited);
}

/* --- conservation of frames --------------------------------------------------------------------------------------- */

static bool taken(sqlite3_stmt *stmt, const struct lane_of_boot *lane, uint64_t sequence)
{
    sqlite3_reset(stmt);
    sqlite3_bind_int64(stmt, 1, lane->partition);
    sqlite3_bind_text(stmt, 2, lane->boot, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (int64_t)sequence);
    return sqlite3_step(stmt) == SQLITE_ROW;
}

/* Named void by a header that reached the queue, of a frame behind it. */
static bool named_void(const struct lane_of_boot *lane, uint64_t sequence)
{
    for (size_t i = sequence; i < lane->count; i++)
        for (uint32_t v = 0; lane->frames[i].fate == FATE_CONFIRMED && v < lane->frames[i].void_count; v++)
            if (lane->frames[i].voided[v] == sequence)
                return true;
    return false;
}

static uint64_t said_confirmed(const struct lane_of_boot *lane)
{
    uint64_t confirmed = 0;
    for (size_t i = 0; i < lane->count; i++)
        if (lane->frames[i].fate == FATE_CONFIRMED && lane->frames[i].confirmed > confirmed)
            confirmed = lane->frames[i].confirmed;
    return confirmed;
}

static void check_lane(struct world *world, const struct lane_of_boot *lane, sqlite3_stmt *stmt)
{
    uint64_t confirmed = said_confirmed(lane);
    for (uint64_t s = 1; s <= lane->count; s++) {
        if (lane->frames[s - 1].count == 0)
            continue; /* it may still be queued: it counts for nothing */
        enum fate fate = lane->frames[s - 1].fate;
        bool is_taken = taken(stmt, lane, s);
        if (fate == FATE_CONFIRMED && !is_taken)
            world_violation(world, "conservation", "partition %u of boot %s: frame %llu was confirmed, but not taken",
                            lane->partition, lane->boot, (unsigned long long)s);
        if (s <= confirmed && !is_taken && !named_void(lane, s))
            world_violation(world, "conservation", "partition %u of boot %s: frame %llu is neither taken nor void",
                            lane->partition, lane->boot, (unsigned long long)s);
    }
    if (taken(stmt, lane, lane->count + 1))
        world_violation(world, "conservation", "partition %u of boot %s: a frame was taken that was never sent",
                        lane->partition, lane->boot);
}

static void check_conservation(struct world *world)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3_prepare_v2(database_handle(world->lab->database),
                       "SELECT 1 FROM intake WHERE partition = ?1 AND boot = ?2 AND first <= ?3 AND last >= ?3", -1,
                       &stmt, NULL);
    for (const struct lane_of_boot *lane = world->evidence->lanes; lane; lane = lane->next)
        check_lane(world, lane, stmt);
    sqlite3_finalize(stmt);
}

/* --- alarms ------------------------------------------------------------------------------------------------------- */

/* What the layers log only when something is wrong with themselves; the last ones also when another owner was faster,
 * which cannot be in the embedded form. */
static void check_alarms(struct world *world)
{
    static const char *const alarms[] = {"commit_refused",       "waiting_row_corrupt",      "outcome_gap",
                                         "ledger_inconsistent",  "checkpoint_refused",       "frame_unparseable",
                                         "waiting_rows_missing", "acting_row_without_action"};
    enum { ALARMS = sizeof(alarms) / sizeof(alarms[0]), EMBEDDED_ONLY = 2 };
    off_t size = lseek(world->lab->log_fd, 0, SEEK_END);
    if (world->lab->trace || size <= 0)
        return;
    size_t len = size < LOG_MAX ? (size_t)size : LOG_MAX;
    char *log = xcalloc(1, len + 1);
    if (pread(world->lab->log_fd, log, len, 0) < 0)
        log[0] = '\0';
    for (size_t i = 0; i < (world->embedded ? ALARMS : ALARMS - EMBEDDED_ONLY); i++) {
        const char *found = strstr(log, alarms[i]);
        if (found)
            world_violation(world, "alarm", "%.*s", (int)strcspn(found, "\n"), found);
    }
    free(log);
}

void check_world(struct world *world)
{
    struct error err;
    if (world->violations && strcmp(world->invariant, "drained") == 0)
        return;
    if (world->embedded && store_sqlite_new(database_db(world->lab->database), &world->sqlite, &err)) {
        world_violation(world, "store", "%s", err.text);
        return;
    }
    world->time.mono_us += 2000 * world->lease_ttl_ms; /* killed workers do not count for the share any more */
    struct drill *drill = drill_new(world);
    check_alarms(world);
    check_fences(world);
    check_receipts(world, drill);
    check_orders(world, drill);
    check_history(world, drill);
    check_counters(world, drill);
    check_conservation(world);
    drill_free(drill);
    if (world->embedded) {
        store_backend_free(world->sqlite);
        world->sqlite = NULL;
    }
}
