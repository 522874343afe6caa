/* What a worker survives without losing, doubling or reordering anything: a store that fails or whose answers get lost,
 * death at every request, leases that others take. */
#include "jidoka/worker.h"
#include "support/check.h"
#include "support/pipeline.h"

#include <errno.h>

#define COST "{\"cost\":1}"

static const char *const activated = "tai.entitlement.activated";

static void begin(struct pipeline *p)
{
    pipeline_open(p);
    pipeline_start(p);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

/* What the clock has gained since its last commit is lost with a worker that dies: then it is moved again. */
static void advance_until(struct pipeline *p, int64_t ms, const char *tenant, const char *entitlement, const char *id,
                          const char *row)
{
    for (int i = 0; i < 4 && strcmp(pipeline_row(p, tenant, entitlement, id), row) != 0; i++) {
        pipeline_advance(p, ms);
        pipeline_settle(p);
    }
}

/* Everything a worker does: a line and its release, timers, an action with a retry, an expired wait, a conflict. */
static void run_scenario(struct pipeline *p)
{
    SEND(p, {.id = "s1"}, {.id = "s2", .data = COST}, {.id = "s3"}, {.id = "s1"}, {.id = "s1", .data = "1"});
    SEND(p, {.id = "t1", .entitlement = "late"}, {.id = "u1", .entitlement = "never", .tenant = "b"});
    pipeline_settle(p);
    SEND(p, {.id = "act", .type = activated}, {.id = "s4"}, {.id = "s2", .data = COST});
    pipeline_settle(p);
    advance_until(p, 12000, "acme", "late", "t1", "deadlettered wait_expired");
    advance_until(p, 12000, "b", "never", "u1", "deadlettered wait_expired");
    SEND(p, {.id = "s5"}, {.id = "act", .type = activated});
    pipeline_settle(p);
    for (int i = 0; i < 4 && pipeline_totals(p).governors_in[GOVERNOR_DEGRADED] < 2; i++) {
        pipeline_advance(p, 31000);
        pipeline_settle(p);
    }
    SEND(p, {.id = "t2", .entitlement = "late"}, {.id = "t3", .entitlement = "late", .critical = true, .data = COST});
    pipeline_settle(p);
}

static void begin_scenario(struct pipeline *p, bool sqlite_queue)
{
    pipeline_init(p);
    p->sqlite_queue = sqlite_queue;
    p->config.governor.auto_activate = false;
    p->config.governor.max_wait_ms = 11000;
    p->config.partitions = 2;
    p->action.mode = ACTION_FAILS;
    p->action.countdown = 1;
    begin(p);
}

static void end_scenario(struct pipeline *p)
{
    CHECK_TEXT(pipeline_story(p, "acme", "ent"),
               "state_change created boot>boot; deadletter id_conflict s1=deadlettered boot>boot; "
               "state_change applied act=executed boot>active; action_success s1=executed active>active; "
               "action_intent s2 active>action_pending; action_success s2=executed action_pending>active; "
               "action_success s3=executed active>active; action_success s4=executed active>active; "
               "action_success s5=executed active>active");
    CHECK_TEXT(pipeline_row(p, "acme", "late", "t1"), "deadlettered wait_expired");
    CHECK_TEXT(pipeline_row(p, "acme", "late", "t2"), "refused degraded");
    CHECK_TEXT(pipeline_row(p, "acme", "late", "t3"), "executed");
    CHECK_TEXT(pipeline_row(p, "b", "never", "u1"), "deadlettered wait_expired");
    end(p);
}

static void test_scenario(void)
{
    struct pipeline p;
    begin_scenario(&p, false);
    run_scenario(&p);
    end_scenario(&p);
}

/* Each kind of request fails a few times, at each place it can. */
static void test_failing_store(void)
{
    static const int statuses[] = {-ENOSPC, -EIO};
    for (enum store_op op = 0; op < OP_OF_JIDOKA; op++) {
        for (unsigned countdown = 0; countdown < 3; countdown++) {
            struct pipeline p;
            begin_scenario(&p, countdown % 2);
            faulty_set(p.faulty, op, (struct faulty_fault){FAULT_BEFORE, countdown, 2, statuses[countdown % 2]});
            run_scenario(&p);
            end_scenario(&p);
        }
    }
}

/* A heartbeat that fails is sent again with the next tick, not when its turn comes. */
static void test_failing_heartbeats(void)
{
    struct pipeline p;
    pipeline_init(&p);
    pipeline_open(&p);
    faulty_set(p.faulty, OP_LEASE, (struct faulty_fault){FAULT_BEFORE, 0, 2, -EIO});
    faulty_set(p.faulty, OP_LOAD, (struct faulty_fault){FAULT_BEFORE, 0, 6, -EIO});
    pipeline_start(&p);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    end(&p);
}

/* The disk is full for a while: consumption pauses, nothing is given up. */
static void test_disk_full(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "s0"});
    pipeline_settle(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_BEFORE, 0, 4, -ENOSPC});
    for (int i = 0; i < 40; i++) {
        char id[8];
        snprintf(id, sizeof(id), "d%d", i);
        SEND(&p, {.id = id});
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).ended, 41);
    CHECK_INT(pipeline_totals(&p).duplicates, 0);
    end(&p);
}

/* A commit that was done but answered as failed is found done: the partition is read again, frames come again. */
static void test_lost_replies(void)
{
    for (unsigned countdown = 0; countdown < 12; countdown++) {
        struct pipeline p;
        begin_scenario(&p, countdown % 2);
        faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_AFTER, countdown, 1, -EIO});
        run_scenario(&p);
        end_scenario(&p);
    }
}

/* --- death ----------------------------------------------------------------------------------------------------------
 */

/* Dies once at every request there is: all from there on are not executed, or that one is and nobody hears of it. */
static void test_death_at_every_request(void)
{
    for (unsigned at = 0, died = 1; died; at++) {
        died = 0;
        for (unsigned variant = 0; variant < 4; variant++) {
            struct pipeline p;
            enum faulty_kind kind = variant & 1 ? FAULT_MUTE : FAULT_HOLD;
            begin_scenario(&p, variant & 2);
            p.action.countdown = variant & 2 ? 0 : 1; /* the pause before a retry takes its time */
            faulty_set(p.faulty, FAULTY_ANY, (struct faulty_fault){kind, at, kind == FAULT_HOLD ? 1000 : 1});
            p.on_turn = pipeline_die_when_stuck;
            run_scenario(&p);
            died += p.on_turn == NULL;
            end_scenario(&p);
        }
        if (died == 0)
            printf("# died at each of %u requests\n", at);
    }
}

/* Dies again and again, a little later each time. */
static void test_repeated_death(void)
{
    struct pipeline p;
    begin_scenario(&p, true);
    for (unsigned i = 0; i < 30; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%u", i);
        SEND(&p, {.id = "act", .type = activated}, {.id = id, .data = i % 3 ? NULL : COST});
        faulty_set(p.faulty, FAULTY_ANY, (struct faulty_fault){i % 2 ? FAULT_HOLD : FAULT_MUTE, i % 17, 1000});
        for (int turn = 0; turn < 200 && !faulty_held(p.faulty); turn++)
            pipeline_turn(&p);
        pipeline_restart(&p);
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"executed\""), 31);
    end(&p);
}

/* What its owners may have died of comes one frame a transaction, until a prefetch of frames has been settled. */
static void test_crash_counter(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.config.partitions = 1;
    p.config.prefetch = 4;
    begin(&p);
    pipeline_settle(&p);
    pipeline_kill(&p);
    for (int i = 0; i < 12; i++) {
        char id[8];
        snprintf(id, sizeof(id), "s%d", i);
        SEND(&p, {.id = id});
    }
    pipeline_restart(&p);
    unsigned before = faulty_seen(p.faulty, OP_COMMIT);
    pipeline_settle(&p);
    unsigned commits = faulty_seen(p.faulty, OP_COMMIT) - before;
    CHECK(commits >= 5 + 2 && commits <= 5 + 7);
    CHECK_INT(p.worker->partitions[0].crashes, 0);
    CHECK(pipeline_drain(&p));
    pipeline_start(&p);
    pipeline_settle(&p);
    CHECK_INT(p.worker->partitions[0].crashes, 0);
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_INT(p.worker->partitions[0].crashes, 1);
    end(&p);
}

/* --- contradictions and leases ---------------------------------------------------------------------------------------
 */

/* A worker whose idea of the partition is wrong reads it again instead of failing for ever. */
static void test_contradiction(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    begin(&p);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    p.worker->partitions[0].outcome_next[0] += 5;
    p.worker->partitions[0].outcome_next[1] += 5;
    SEND(&p, {.id = "s2"});
    pipeline_settle(&p);
    p.worker->partitions[0].batch_number++;
    SEND(&p, {.id = "s3"});
    pipeline_settle(&p);
    p.worker->partitions[0].governors->insert = true; /* it has a row */
    SEND(&p, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).ended, 4);
    end(&p);
}

static void on_drained(void *ctx)
{
    *(bool *)ctx = true;
}

static void turn_both(struct pipeline *p, struct jidoka *other)
{
    if (other)
        event_active(other->tick, EV_TIMEOUT, 0);
    pipeline_turn(p);
}

#define AWAIT(p, other, condition)                                                                                     \
    for (int64_t until = clock_mono_ms(&clock_system) + PIPELINE_WAIT_MS;                                              \
         !(condition) && clock_mono_ms(&clock_system) < until;)                                                        \
    turn_both((p), (other))

static bool ended(struct pipeline *p, const char *entitlement, const char *id)
{
    return strstr(pipeline_row(p, "acme", entitlement, id), "executed") != NULL;
}

/* The first owner does not know that its term is over: nothing of it is committed, its action ends once. */
static void test_stolen_lease(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.timeout_ms = 3600000;
    pipeline_open(&p);
    p.worker = pipeline_worker(&p, "slow", 50);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST});
    AWAIT(&p, NULL, p.action.running);
    CHECK_INT(p.action.running, 1);
    struct timespec pause = {0, 80000000};
    nanosleep(&pause, NULL);
    struct jidoka *thief = pipeline_worker(&p, "thief", 60000);
    AWAIT(&p, thief, p.action.started == 2);
    SEND(&p, {.id = "s2"}, {.id = "s3"}); /* the queue is still the first one's: it reads, and is fenced off */
    SEND(&p, {.id = "t1", .entitlement = "other"});
    AWAIT(&p, thief, ended(&p, "ent", "s3") && ended(&p, "other", "t1"));
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    CHECK_TEXT(p.action.log[1].action_id, p.action.log[0].action_id);
    CHECK_INT(p.action.log[1].attempt, 2);
    jidoka_free(thief);
    end(&p);
}

static unsigned owned(const struct jidoka *worker)
{
    unsigned count = 0;
    for (int64_t i = 0; i < worker->config->partitions; i++)
        count += worker->partitions[i].state == PARTITION_RUNNING && worker->partitions[i].subscribed;
    return count;
}

static unsigned giving(const struct jidoka *worker)
{
    unsigned count = 0;
    for (int64_t i = 0; i < worker->config->partitions; i++)
        count += worker->partitions[i].giving;
    return count;
}

/* Without any signal, too, the heartbeat tells that the lease is another's, or one's own anew. */
static void test_lease_lost_at_rest(void)
{
    struct pipeline p;
    pipeline_init(&p);
    pipeline_open(&p);
    p.worker = pipeline_worker(&p, "slow", 50);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    uint64_t epoch = p.worker->partitions[0].epoch;
    struct timespec pause = {0, 80000000};
    nanosleep(&pause, NULL);
    struct jidoka *thief = pipeline_worker(&p, "thief", 60000);
    AWAIT(&p, thief, thief->partitions[3].state == PARTITION_RUNNING);
    clock_manual_advance(&p.clock, 50);
    AWAIT(&p, thief, owned(thief) == 4);
    CHECK_INT(owned(p.worker), 0);

    bool drained = false;
    jidoka_drain(thief, on_drained, &drained);
    AWAIT(&p, thief, drained);
    jidoka_free(thief);
    clock_manual_advance(&p.clock, 50);
    AWAIT(&p, NULL, owned(p.worker) == 4);
    CHECK_INT(p.worker->partitions[0].epoch, epoch + 2);
    nanosleep(&pause, NULL);
    thief = pipeline_worker(&p, "again", 60000); /* takes and gives back between two heartbeats of the first */
    AWAIT(&p, thief, thief->partitions[3].state == PARTITION_RUNNING);
    drained = false;
    jidoka_drain(thief, on_drained, &drained);
    AWAIT(&p, thief, drained);
    jidoka_free(thief);
    clock_manual_advance(&p.clock, 50);
    AWAIT(&p, NULL, owned(p.worker) == 4 && p.worker->partitions[0].epoch == epoch + 4);
    CHECK_INT(p.worker->partitions[0].epoch, epoch + 4);
    SEND(&p, {.id = "s2"});
    pipeline_settle(&p);
    /* Neither was fenced off; s2, behind two leases that were not given back, is an attempt. */
    CHECK_INT(faulty_seen(p.faulty, OP_COMMIT), 3);
    end(&p);
}

/* What is to be given back is under way with a batch and a heartbeat when that is found out. */
static void test_share_under_way(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    pipeline_settle(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .repeat = 4});
    for (int i = 0; faulty_held(p.faulty) < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "s1", .entitlement = name});
        pipeline_linger(&p, 2);
    }
    struct jidoka *second = pipeline_worker(&p, "second", 60000);
    AWAIT(&p, second, !second->lease_pending);
    clock_manual_advance(&p.clock, 20000);
    AWAIT(&p, NULL, giving(p.worker) == 2);
    faulty_set(p.faulty, OP_LEASE, (struct faulty_fault){FAULT_HOLD, .repeat = 1});
    AWAIT(&p, NULL, faulty_held(p.faulty) == 5);
    faulty_release(p.faulty);
    unsigned turns = 0;
    AWAIT(&p, second,
          (clock_manual_advance(&p.clock, ++turns % 10 ? 0 : 20000), owned(p.worker) == 2 && owned(second) == 2));
    CHECK_INT(owned(p.worker), 2);
    CHECK_INT(owned(second), 2);
    CHECK_INT(giving(p.worker), 0);
    AWAIT(&p, second, kanban_depth(p.publisher) == 0);
    jidoka_free(second);
    end(&p);
}

/* A second worker gets its half; what waits and acts there goes on; when it leaves, the first has all again. */
static void test_share(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.auto_activate = false;
    p.config.governor.boot_timeout_ms = INT64_C(1) << 40;
    begin(&p);
    for (int i = 0; i < 16; i++) {
        char name[8];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "s1", .entitlement = name}, {.id = "s2", .entitlement = name, .data = COST});
    }
    pipeline_settle(&p);
    struct jidoka *second = pipeline_worker(&p, "second", 60000);
    unsigned turns = 0;
    AWAIT(&p, second,
          (clock_manual_advance(&p.clock, ++turns % 10 ? 0 : 20000), owned(p.worker) == 2 && owned(second) == 2));
    CHECK_INT(owned(p.worker), 2);
    CHECK_INT(owned(second), 2);
    for (int i = 0; i < 16; i++) {
        char name[8];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "act", .entitlement = name, .type = activated});
        AWAIT(&p, second, ended(&p, name, "s2"));
        CHECK(ended(&p, name, "s2"));
    }
    bool drained = false;
    jidoka_drain(second, on_drained, &drained);
    AWAIT(&p, second, drained);
    CHECK(drained);
    jidoka_free(second);
    clock_manual_advance(&p.clock, 20000);
    pipeline_settle(&p);
    CHECK_INT(owned(p.worker), 4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(p.worker->partitions[i].crashes, 0); /* handed over cleanly both times */
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"scenario", test_scenario},
                                              {"failing_store", test_failing_store},
                                              {"failing_heartbeats", test_failing_heartbeats},
                                              {"disk_full", test_disk_full},
                                              {"lost_replies", test_lost_replies},
                                              {"death_at_every_request", test_death_at_every_request},
                                              {"repeated_death", test_repeated_death},
                                              {"crash_counter", test_crash_counter},
                                              {"contradiction", test_contradiction},
                                              {"stolen_lease", test_stolen_lease},
                                              {"lease_lost_at_rest", test_lease_lost_at_rest},
                                              {"share", test_share},
                                              {"share_under_way", test_share_under_way},
                                              {NULL, NULL}};
    return check_main(cases);
}
