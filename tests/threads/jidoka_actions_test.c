/* Actions: intent and result, retries under one idempotency key, time-outs, the breaker, and ends that come exactly
 * once whatever happens to the worker. What has a cost needs the action (pipeline.h). */
#include "jidoka/worker.h"
#include "support/check.h"
#include "support/pipeline.h"

#define COST "{\"cost\":1}"

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

static bool acting(const struct pipeline *p)
{
    return p->action.running > 0 && pipeline_calm(p);
}

static void test_success(void)
{
    for (int builtin = 0; builtin < 2; builtin++) {
        struct pipeline p;
        pipeline_init(&p);
        if (builtin)
            p.actions = action_types;
        begin(&p);
        SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"}, {.id = "s3", .data = COST});
        pipeline_settle(&p);
        CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
                   "state_change created boot>active; action_intent s1 active>action_pending; "
                   "action_success s1=executed action_pending>active; action_success s2=executed active>active; "
                   "action_intent s3 active>action_pending; action_success s3=executed action_pending>active");
        CHECK_INT(pipeline_totals(&p).acting, 0);
        CHECK_INT(p.action.started, builtin ? 0 : 2);
        CHECK(builtin || strcmp(p.action.log[0].action_id, p.action.log[1].action_id) != 0);
        CHECK_INT(p.action.log[0].attempt, builtin ? 0 : 1);
        /* UUIDv5 of the identity and the action's name */
        CHECK_TEXT(p.action.log[0].action_id, builtin ? "" : "8b650a7f-3121-5133-9c47-53c48e357f1c");
        end(&p);
    }
}

static void test_breaker(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.max_failures = 3;
    begin(&p);
    p.action.mode = ACTION_FAILS_FOR_GOOD;
    p.action.countdown = 4;
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2", .data = COST}, {.id = "s3", .data = COST},
         {.id = "s4", .data = COST}, {.id = "s5"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_intent s1 active>action_pending; "
               "action_failure scripted s1=failed action_pending>active; action_intent s2 active>action_pending; "
               "action_failure scripted s2=failed action_pending>active; action_intent s3 active>action_pending; "
               "action_failure jidoka_halt s3=failed action_pending>halted; "
               "deadletter governor_halted s4=deadlettered halted>halted; "
               "deadletter governor_halted s5=deadlettered halted>halted");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "failed scripted");
    CHECK_INT(pipeline_count(&p, "{\"name\":\"circuit_open\",\"severity\":\"critical\"}"), 1);
    CHECK_INT(pipeline_count(&p, "{\"name\":\"system_halted\",\"severity\":\"critical\"}"), 1);
    CHECK(pipeline_check(&p));

    pipeline_advance(&p, 60000); /* the first probe fails, the second closes the breaker */
    SEND(&p, {.id = "p1", .data = COST}, {.id = "p2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "p1"), "failed scripted");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "p2"), "deadlettered governor_halted");
    pipeline_advance(&p, 59999);
    SEND(&p, {.id = "p3"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "p3"), "deadlettered governor_halted");
    pipeline_advance(&p, 1);
    SEND(&p, {.id = "p4", .data = COST}, {.id = "p5"});
    pipeline_settle(&p);
    CHECK(strstr(pipeline_story(&p, "acme", "ent"),
                 "state_change breaker_reset halted>testing; action_intent p4 testing>action_pending; "
                 "action_success p4=executed action_pending>active; action_success p5=executed active>active"));
    end(&p);
}

static void test_retries(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    p.action.mode = ACTION_FAILS;
    p.action.countdown = 2;
    SEND(&p, {.id = "s1", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    CHECK_INT(p.action.started, 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_INT(p.action.log[i].attempt, i + 1);
        CHECK_TEXT(p.action.log[i].action_id, p.action.log[0].action_id);
    }
    p.action.countdown = -1; /* none left: fails */
    SEND(&p, {.id = "s2", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "failed scripted");
    CHECK_INT(p.action.started, 6);
    p.action.mode = ACTION_REFUSES;
    SEND(&p, {.id = "s3", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "failed Connection refused");
    CHECK_INT(p.action.started, 9);
    end(&p);
}

static void test_timeout(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.retries = 1;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 3;
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2", .data = COST});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "failed timeout");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "executed");
    CHECK_INT(p.action.cancelled, 3);
    end(&p);
}

/* An action that neither ends nor times out ends with its deadline on the partition clock, retries or not. */
static void test_deadline(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.timeout_ms = 3600000;
    p.action_config.retries = 0;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST});
    CHECK(pipeline_until(&p, acting));
    pipeline_advance(&p, 3609999);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "acting");
    CHECK(pipeline_check(&p));
    pipeline_advance(&p, 1);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "failed timeout");
    CHECK_INT(p.action.cancelled, 1);
    end(&p);
}

static void test_concurrency(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.concurrency = 2;
    p.action_config.retries = 0;
    p.config.governor.max_failures = 100;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 4;
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "s1", .data = COST, .entitlement = name});
    }
    pipeline_settle(&p);
    CHECK_INT(p.action.most_running, 2);
    CHECK_INT(p.action.started, 12);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"executed\""), 8);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"failed\""), 4);
    end(&p);
}

/* A long queue whose attempts all fail to start, cancelled or not, is no recursion. */
static void test_long_queue(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.concurrency = 1;
    p.action_config.retries = 0;
    p.action_config.timeout_ms = 3600000;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    for (int i = 0; i < 600; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "s1", .data = COST, .entitlement = name});
    }
    CHECK(pipeline_until(&p, acting));
    p.action.mode = ACTION_REFUSES;
    p.action.countdown = -1;
    pipeline_restart(&p);
    CHECK_INT(p.action.started, 1); /* dropping the jobs has started none of them */
    CHECK_INT(p.action.cancelled, 1);
    pipeline_settle(&p);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"failed\""), 600);
    CHECK_INT(p.action.started, 601);
    end(&p);
}

static void test_unknown_action(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.timeout_ms = 3600000;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST});
    CHECK(pipeline_until(&p, acting));
    p.config.actions_count = 0;
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "failed unknown_action");
    end(&p);
}

/* The attempt under way when the worker died is followed by one with the next number and the same key. */
static void test_restart_in_action(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.action_config.timeout_ms = 3600000;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"});
    CHECK(pipeline_until(&p, acting));
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "acting");
    CHECK(pipeline_check(&p));
    pipeline_restart(&p);
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s3"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_intent s1 active>action_pending; "
               "action_success s1=executed action_pending>active; action_success s2=executed active>active; "
               "action_success s3=executed active>active");
    CHECK_INT(p.action.started, 2);
    CHECK_INT(p.action.log[1].attempt, 2);
    CHECK_TEXT(p.action.log[1].action_id, p.action.log[0].action_id);
    end(&p);
}

static bool holding(const struct pipeline *p)
{
    return faulty_held(p->faulty) > 0;
}

/* The result is known, its commit is not done, the worker dies. */
static void test_restart_before_result(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = 1, .repeat = 1});
    SEND(&p, {.id = "s1", .data = COST});
    CHECK(pipeline_until(&p, holding));
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    CHECK_INT(p.action.started, 2);
    CHECK_INT(p.action.log[1].attempt, 2);
    end(&p);
}

/* The number of an attempt is in the store before the attempt begins. */
static void test_attempts_committed(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.action_config.timeout_ms = 3600000;
    p.action_config.retries = 3;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 3;
    SEND(&p, {.id = "s1", .data = COST});
    for (uint32_t attempt = 1; attempt <= 4; attempt++) {
        struct governor_record record = {0};
        CHECK(pipeline_until(&p, attempt < 4 ? acting : pipeline_settled));
        CHECK(pipeline_governor(&p, "acme", "ent", &record));
        CHECK_INT(record.pending ? record.pending->attempt : 0, attempt < 4 ? attempt : 0);
        CHECK_INT(p.action.log[attempt - 1].attempt, attempt);
        governor_record_done(&record);
        if (attempt < 4)
            pipeline_restart(&p);
    }
    end(&p);
}

static void test_drain(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.retries = 0;
    begin(&p);
    p.action.mode = ACTION_HANGS; /* 50 ms */
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2", .data = COST}, {.id = "s3"});
    CHECK(pipeline_drain(&p)); /* works it all off */
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "failed timeout");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    pipeline_start(&p); /* the leases were given back: no term has to run out */
    SEND(&p, {.id = "s4"});
    pipeline_settle(&p);
    for (uint32_t i = 0; i < PIPELINE_PARTITIONS; i++)
        CHECK_INT(p.worker->partitions[i].crashes, 0);
    end(&p);
}

static void on_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

static void test_stop(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.action_config.timeout_ms = 3600000;
    begin(&p);
    p.action.mode = ACTION_HANGS;
    p.action.countdown = 1;
    SEND(&p, {.id = "s1", .data = COST}, {.id = "s2"});
    CHECK(pipeline_until(&p, acting));
    SEND(&p, {.id = "t1", .entitlement = "other"}, {.id = "t2", .entitlement = "other"});
    bool drained = false, stopped = false;
    jidoka_drain(p.worker, on_stopped, &drained);
    pipeline_linger(&p, 50);
    CHECK(!drained); /* an action is under way */
    jidoka_stop(p.worker, on_stopped, &stopped);
    for (int i = 0; i < 1000 && !stopped; i++)
        pipeline_linger(&p, 10);
    CHECK(stopped);
    CHECK(!drained);
    pipeline_kill(&p);
    pipeline_start(&p);
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).ended, 4);
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"success", test_success},
                                              {"breaker", test_breaker},
                                              {"retries", test_retries},
                                              {"timeout", test_timeout},
                                              {"deadline", test_deadline},
                                              {"concurrency", test_concurrency},
                                              {"long_queue", test_long_queue},
                                              {"unknown_action", test_unknown_action},
                                              {"restart_in_action", test_restart_in_action},
                                              {"restart_before_result", test_restart_before_result},
                                              {"attempts_committed", test_attempts_committed},
                                              {"drain", test_drain},
                                              {"stop", test_stop},
                                              {NULL, NULL}};
    return check_main(cases);
}
