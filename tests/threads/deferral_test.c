/* Signals put off because what their action calls cannot take it now: they wait at the head of their line, are tried
 * again after growing pauses, over restarts and clock jumps, and end as dead letters when it has been too often. What
 * has a cost needs the action (pipeline.h). */
#include "jidoka/worker.h"
#include "support/check.h"
#include "support/triage.h"

#define COST   "{\"cost\":1}"
#define REFUND "tai.entitlement.refund_"

static void longest(void *ret, size_t len)
{
    memset(ret, 0, len);
    *(uint32_t *)ret = 1000000000 - 1; /* one less than a multiple of each pause's ceiling, as far as they go here */
}

static void begin(struct pipeline *p)
{
    pipeline_open(p);
    pipeline_start(p);
    pipeline_settle(p);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

/* Lets the pauses pass until the action has been asked so often. */
static void pass(struct pipeline *p, unsigned asked)
{
    for (int i = 0; i < 200 && p->action.asked < asked; i++) {
        pipeline_advance(p, 500);
        pipeline_settle(p);
    }
    CHECK_INT(p->action.asked, asked);
}

static void test_waits_and_goes_on(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action.defers = 3;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"}, {.id = "s3", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting deferred");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "waiting");
    CHECK_INT(pipeline_totals(&p).waiting, 3);
    struct governor_record record;
    CHECK(pipeline_governor(&p, "acme", "ent", &record));
    CHECK(record.state == GOVERNOR_ACTIVE && record.quota_used == 0 && !record.policy_state);
    governor_record_done(&record);
    CHECK(pipeline_check(&p));
    pass(&p, 5);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_intent s1 active>action_pending; "
               "action_success s1=executed action_pending>active; action_success s2=executed active>active; "
               "action_intent s3 active>action_pending; action_success s3=executed action_pending>active");
    CHECK_INT(p.action.started, 2);
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    end(&p);
}

/* The pauses double, up to 5 min, on top of what the target asks for; not a millisecond sooner. */
static void test_pauses(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.random = longest;
    p.action.defers = -1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST});
    pipeline_settle(&p);
    for (unsigned i = 0, ceiling = 1000; i < 6; i++, ceiling *= 2) {
        p.action.wait_ms = i == 3 ? 7000 : i == 4 ? INT64_MAX : 0;
        CHECK_INT(p.action.asked, i + 1);
        int64_t asked_for = i == 4 ? 7000 : i == 5 ? 3600000 : 0;
        pipeline_advance(&p, ceiling + asked_for - 1);
        CHECK_INT(p.action.asked, i + 1);
        pipeline_advance(&p, 1);
        CHECK_INT(p.action.asked, i + 2);
    }
    for (unsigned i = 7; i < 20; i++) {
        pipeline_advance(&p, 5 * 60 * 1000);
        CHECK(p.action.asked > i);
    }
    CHECK_INT(p.action.started, 0);
    end(&p);
}

static void test_limit(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.max_deferrals = 3;
    p.action.defers = -1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2", .data = COST}, {.id = "s3"});
    pipeline_settle(&p);
    pass(&p, 5); /* s1 for the last time, then s2, which has its own count */
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "deadlettered deferral_limit");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "waiting deferred");
    pass(&p, 8);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "deadlettered deferral_limit");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    CHECK_TEXT(triage_list(&p), "destination deferral_limit s1/0 active; destination deferral_limit s2/0 active");
    p.action.defers = 0;
    CHECK_TEXT(triage_requeue(&p, "ent", "s1"), "applied");
    pipeline_settle(&p);
    CHECK_INT(p.action.started, 1);
    CHECK_TEXT(triage_list(&p), "destination deferral_limit s2/0 active");
    end(&p);
}

/* Without any deferral allowed it ends at once; one that there is no room for overflows. */
static void test_caps(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.max_deferrals = 0;
    p.action.defers = -1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "deadlettered deferral_limit");
    p.config.max_deferrals = 5;
    p.config.governor.max_waiting = 2;
    SEND(&p, {.id = "s2", .data = COST}, {.id = "s3"}, {.id = "s4"});
    p.config.max_waiting = 4;
    SEND(&p, {.id = "s5", .data = COST, .entitlement = "other"});
    pipeline_settle(&p);
    p.config.governor.max_waiting = 0;
    SEND(&p, {.id = "s6", .data = COST, .tenant = "b"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "waiting");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s4"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "b", "ent", "s6"), "deadlettered overflow");
    end(&p);
}

/* Due time and count stand in the row: neither a crash nor an orderly hand-over changes them, nor the wall clock. */
static void test_over_restarts(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.random = longest;
    p.config.max_deferrals = 4;
    p.action.defers = -1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"});
    pipeline_settle(&p);
    const int64_t decade = 3650 * INT64_C(86400000);
    for (unsigned i = 1; i <= 4; i++) {
        p.clock.wall_ms += i % 2 ? decade : -2 * decade;
        if (i % 2)
            pipeline_restart(&p);
        else {
            CHECK(pipeline_drain(&p));
            pipeline_start(&p);
        }
        pipeline_settle(&p);
        CHECK_INT(p.action.asked, i);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting deferred");
        pipeline_advance(&p, (INT64_C(1000) << (i - 1)) - 1);
        CHECK_INT(p.action.asked, i);
        pipeline_advance(&p, 1);
        CHECK_INT(p.action.asked, i + 1);
    }
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "deadlettered deferral_limit");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "executed");
    end(&p);
}

/* The worker dies with the commit that puts a signal off: nothing of it has happened. */
static void test_crash_while_deferring(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.config.max_deferrals = 2;
    p.action.defers = -1;
    begin(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .repeat = 1});
    SEND(&p, {.id = "s1", .data = COST});
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting deferred");
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_MUTE, .repeat = 1}); /* done, but nobody was told */
    clock_manual_advance(&p.clock, 1000);
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK(p.action.asked <= 3);
    for (int i = 0; i < 3; i++)
        pipeline_advance(&p, 2000);
    CHECK_INT(p.action.asked, 4); /* once for nothing, and three times */
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "deadlettered deferral_limit");
    end(&p);
}

/* Events and commands pass; a move of the governor tries the line at once. */
static void test_halt(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action.defers = -1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"});
    pipeline_settle(&p);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
    pipeline_settle(&p);
    CHECK_TEXT(triage_list(&p), "policy governor_halted s1/0 halted; policy governor_halted s2/0 halted");
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    p.action.defers = 0;
    SEND(&p, {.id = "s3", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    end(&p);
}

/* Its time comes while a refund is open: then it waits for that, no longer than others may. */
static void test_state_waits(void)
{
    for (int expires = 0; expires < 2; expires++) {
        struct pipeline p;
        pipeline_init(&p);
        p.config.governor.max_wait_ms = 600000;
        p.config.max_deferrals = 2;
        p.action.defers = 1;
        begin(&p);
        SEND(&p, {.id = "s1", .data = COST});
        pipeline_settle(&p);
        SEND(&p, {.id = "r1", .type = REFUND "started"});
        pipeline_settle(&p);
        pipeline_advance(&p, 1000);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
        CHECK_INT(p.action.asked, 1);
        pipeline_restart(&p);
        pipeline_settle(&p);
        pipeline_advance(&p, 599999);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
        if (expires)
            pipeline_advance(&p, 1);
        SEND(&p, {.id = "r2", .type = REFUND "completed"});
        pipeline_settle(&p);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), expires ? "deadlettered wait_expired" : "executed");
        end(&p);
    }
}

/* The probe of a half-open breaker may be put off too; it stays the probe. */
static void test_probe(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.max_failures = 1;
    p.action.mode = ACTION_FAILS_FOR_GOOD;
    p.action.countdown = 1;
    begin(&p);
    SEND(&p, {.id = "s1", .data = COST});
    pipeline_settle(&p);
    p.action.defers = 1;
    pipeline_advance(&p, 60000);
    SEND(&p, {.id = "s2", .data = COST}, {.id = "s3"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "waiting deferred");
    CHECK_INT(pipeline_totals(&p).governors_in[GOVERNOR_TESTING], 1);
    pass(&p, 3);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_intent s1 active>action_pending; "
               "action_failure jidoka_halt s1=failed action_pending>halted; "
               "state_change breaker_reset halted>testing; action_intent s2 testing>action_pending; "
               "action_success s2=executed action_pending>active; action_success s3=executed active>active");
    end(&p);
}

/* More are due at once than one look-up lists, while the states of some make them wait. */
static void test_many_due(void)
{
    enum { MANY = 450 };
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    p.action.defers = MANY + 5;
    begin(&p);
    char names[MANY][8];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "e%d", i);
        SEND(&p, {.id = "s1", .entitlement = names[i], .data = COST});
        if (i % 2)
            SEND(&p, {.id = "r1", .entitlement = names[i], .type = REFUND "started"});
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, MANY);
    pipeline_restart(&p);
    pipeline_settle(&p);
    p.action.defers = 0;
    pipeline_advance(&p, 3000);
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, MANY / 2);
    CHECK_INT(p.action.started, MANY / 2);
    for (int i = 1; i < MANY; i += 2)
        SEND(&p, {.id = "r2", .entitlement = names[i], .type = REFUND "completed"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    CHECK_INT(p.action.started, MANY);
    end(&p);
}

/* What has come due is done before the one that is tried again: it meets a period that has begun. */
static void test_timers_first(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.quota_limit = 2;
    p.config.governor.quota_period = CONFIG_PERIOD_HOUR;
    p.action.defers = 1;
    begin(&p);
    SEND(&p, {.id = "s1"});
    SEND(&p, {.id = "s2", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "waiting deferred");
    pipeline_advance(&p, 3600000);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_success s1=executed active>active; "
               "state_change quota_reset active>active; action_intent s2 active>action_pending; "
               "action_success s2=executed action_pending>active");
    end(&p);
}

/* While one signal a transaction is tried after crashes. */
static void test_one_by_one(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.action.defers = 2;
    begin(&p);
    for (int i = 0; i < 2; i++) {
        pipeline_restart(&p);
        pipeline_settle(&p);
    }
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting deferred");
    pass(&p, 3);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "executed");
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"waits_and_goes_on", test_waits_and_goes_on},
                                              {"pauses", test_pauses},
                                              {"limit", test_limit},
                                              {"caps", test_caps},
                                              {"over_restarts", test_over_restarts},
                                              {"crash_while_deferring", test_crash_while_deferring},
                                              {"halt", test_halt},
                                              {"state_waits", test_state_waits},
                                              {"probe", test_probe},
                                              {"many_due", test_many_due},
                                              {"timers_first", test_timers_first},
                                              {"one_by_one", test_one_by_one},
                                              {NULL, NULL}};
    return check_main(cases);
}
