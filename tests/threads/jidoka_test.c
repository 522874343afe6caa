/* The workers, from published frames to committed outcomes: endings, duplicates, conflicts, refusals, frames that
 * cannot be read. Each case ends with the invariants of pipeline_check. */
#include "support/check.h"
#include "support/pipeline.h"

#include <errno.h>

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

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

static void test_executed(void)
{
    for (int sqlite = 0; sqlite < 2; sqlite++) {
        struct pipeline p;
        pipeline_init(&p);
        p.sqlite_queue = sqlite;
        begin(&p);
        SEND(&p, {.id = "s1"}, {.id = "s2", .data = "{\"a\":[1,2]}"});
        SEND(&p, {.id = "s1", .entitlement = "other"}, {.id = "s1", .tenant = "umbrella"});
        pipeline_settle(&p);
        CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
                   "state_change created boot>active; action_success s1=executed active>active; "
                   "action_success s2=executed active>active");
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "executed");
        CHECK_TEXT(pipeline_row(&p, "umbrella", "ent", "s1"), "executed");
        CHECK_INT(pipeline_totals(&p).ended, 4);
        CHECK_INT(pipeline_totals(&p).governors, 3);
        end(&p);
    }
}

static void test_duplicates(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s1"}, {.id = "s2"}, {.id = "s1"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 2);
    SEND(&p, {.id = "s2"}, {.id = "s3"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 3);
    pipeline_restart(&p);
    SEND(&p, {.id = "s3"}, {.id = "s1"}, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 5);
    CHECK_INT(pipeline_totals(&p).ended, 4);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"executed\""), 4);
    end(&p);
}

/* The first body stays as it is, each other one is dead-lettered once, further copies of either are duplicates. */
static void test_conflicts(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "x", .data = "1"}, {.id = "x", .data = "2"}, {.id = "x", .data = "3"}, {.id = "x", .data = "2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_success x=executed active>active; "
               "deadletter id_conflict x=deadlettered active>active; "
               "deadletter id_conflict x=deadlettered active>active");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "x"), "executed");
    CHECK_INT(pipeline_totals(&p).duplicates, 1);
    SEND(&p, {.id = "x", .data = "3"}, {.id = "x", .data = "4"}, {.id = "x", .data = "4"}, {.id = "x", .data = "1"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 4);
    pipeline_restart(&p);
    SEND(&p, {.id = "x", .data = "4"}, {.id = "x", .data = "5"}, {.id = "x", .data = "1"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 6);
    CHECK_INT(pipeline_count(&p, "id_conflict"), 4);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"executed\""), 1);
    end(&p);
}

static void test_quota(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.quota_limit = 2;
    p.config.governor.quota_period = CONFIG_PERIOD_HOUR;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"}, {.id = "s3"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "refused quota_exceeded");
    CHECK_INT(pipeline_count(&p, "{\"name\":\"quota_exceeded\",\"severity\":\"warning\"}"), 1);
    pipeline_restart(&p); /* the roll-over is timed by the store alone now */
    pipeline_settle(&p);
    pipeline_advance(&p, HOUR_MS);
    CHECK_INT(pipeline_count(&p, "quota_reset"), 1);
    SEND(&p, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_success s1=executed active>active; "
               "action_success s2=executed active>suspended; refusal quota_exceeded s3=refused suspended>suspended; "
               "state_change quota_reset suspended>active; action_success s4=executed active>active");
    end(&p);
}

static void test_deny(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.policy.on_exceeded = CONFIG_EXCEEDED_DENY;
    p.policy.action = NULL;
    p.policy.budget_micro = 5000000;
    begin(&p);
    SEND(&p, {.id = "s1", .data = "{\"cost\":\"4.5\"}"}, {.id = "s2", .data = "{\"cost\":1}"},
         {.id = "s3", .data = "{\"cost\":0.5}"}, {.id = "s4", .data = "{\"cost\":\"much\"}"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_success s1=executed active>active; "
               "refusal policy_denied:budget:over_budget s2=denied active>active; "
               "action_success s3=executed active>active; "
               "refusal policy_denied:budget:bad_cost s4=denied active>active");
    pipeline_advance(&p, DAY_MS);
    SEND(&p, {.id = "s5", .data = "{\"cost\":5}"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s5"), "executed");
    end(&p);
}

static void test_events(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(
        &p, {.id = "s1"}, {.id = "e1", .type = "tai.entitlement.suspended"}, {.id = "s2"},
        {.id = "s3", .critical = true}, {.id = "e2", .type = "tai.entitlement.refund_started"}, {.id = "s4"},
        {.id = "e3", .type = "tai.entitlement.activated", .data = "{\"quota_limit\":4,\"quota_period\":\"d\\u0061y\"}"},
        {.id = "e4", .type = "tai.entitlement.refund_completed"}, {.id = "s5"},
        {.id = "e5", .type = "tai.entitlement.cancelled", .powerless = true},
        {.id = "e6", .type = "tai.entitlement.activated"}, {.id = "r1", .redrive = 1});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>active; action_success s1=executed active>active; "
               "state_change applied e1=executed active>degraded; refusal degraded s2=refused degraded>degraded; "
               "action_success s3=executed degraded>degraded; "
               "state_change applied e2=executed degraded>complying; "
               "state_change recorded e3=executed complying>complying; "
               "state_change applied e4=executed complying>active; refusal role_required e5=refused; "
               "state_change ignored e6=executed active>active; refusal not_redrivable r1=refused; "
               "action_success s4=executed active>active; action_success s5=executed active>suspended");
    end(&p);
}

static void test_too_old(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "young", .age_ms = 6 * (int64_t)DAY_MS}, {.id = "old", .age_ms = 6 * (int64_t)DAY_MS + 1},
         {.id = "old", .age_ms = 7 * (int64_t)DAY_MS});
    SEND(&p, {.id = "old", .entitlement = "never", .age_ms = 8 * (int64_t)DAY_MS});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "young"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "old"), "deadlettered too_old");
    CHECK_TEXT(pipeline_row(&p, "acme", "never", "old"), "deadlettered too_old");
    CHECK_INT(pipeline_totals(&p).governors, 1);
    CHECK_INT(pipeline_totals(&p).duplicates, 1);
    end(&p);
}

static void test_governor_limit(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governors_max_per_tenant = 2;
    p.config.governors_max = 5;
    p.config.partitions = 1;
    begin(&p);
    SEND(&p, {.id = "s", .entitlement = "e1"}, {.id = "s", .entitlement = "e2"}, {.id = "s", .entitlement = "e3"},
         {.id = "t", .entitlement = "e1"}, {.id = "s", .tenant = "b", .entitlement = "e1"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e3", "s"), "refused governor_limit");
    CHECK_TEXT(pipeline_row(&p, "acme", "e1", "t"), "executed");
    CHECK_TEXT(pipeline_row(&p, "b", "e1", "s"), "executed");
    SEND(&p, {.id = "s2", .entitlement = "e3"}, {.id = "s2", .tenant = "b", .entitlement = "e2"},
         {.id = "s", .tenant = "c", .entitlement = "e1"}, {.id = "s", .tenant = "c", .entitlement = "e2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e3", "s2"), "refused governor_limit");
    CHECK_TEXT(pipeline_row(&p, "b", "e2", "s2"), "executed");
    CHECK_TEXT(pipeline_row(&p, "c", "e1", "s"), "executed");
    CHECK_TEXT(pipeline_row(&p, "c", "e2", "s"), "refused governor_limit");
    CHECK_INT(pipeline_totals(&p).governors, 5);
    end(&p);
}

/* One governor a batch, many batches: what a batch created must not count against the next. */
static void test_governor_limit_over_batches(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governors_max_per_tenant = 20;
    p.config.partitions = 1;
    begin(&p);
    for (int i = 0; i < 21; i++) {
        char name[16];
        snprintf(name, sizeof(name), "e%d", i);
        SEND(&p, {.id = "s", .entitlement = name});
        pipeline_settle(&p);
    }
    CHECK_TEXT(pipeline_row(&p, "acme", "e19", "s"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "e20", "s"), "refused governor_limit");
    end(&p);
}

/* A frame that cannot be read is kept whole, once, and does not stop its neighbours. */
static void test_unparseable(void)
{
    for (int sqlite = 0; sqlite < 2; sqlite++) {
        struct pipeline p;
        pipeline_init(&p);
        p.sqlite_queue = sqlite;
        begin(&p);
        SEND(&p, {.id = "s1"});
        pipeline_send_raw(&p, 1, SPAN("not a frame \xff\"\n"));
        pipeline_send_raw(&p, 1, SPAN("not a frame \xff\"\n"));
        pipeline_send_raw(&p, 2, SPAN("not a frame \xff\"\n"));
        pipeline_send_raw(&p, 2, SPAN("{}"));
        pipeline_settle(&p);
        SEND(&p, {.id = "s2"});
        pipeline_send_raw(&p, 1, SPAN("{}"));
        pipeline_settle(&p);
        CHECK_INT(pipeline_count(&p, "\"reason\":\"unparseable\""), 2);
        CHECK_INT(pipeline_count(&p, "\"tenant_id\":\"_system\""), 2);
        CHECK_INT(pipeline_totals(&p).taken, 7);
        CHECK_INT(pipeline_totals(&p).duplicates, 3);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "executed");
        end(&p);
    }
}

/* More than one batch takes, more frames than the prefetch, empty frames among them. */
static void test_many(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    for (int frame = 0; frame < 60; frame++) {
        struct send signals[100];
        char ids[100][16];
        for (int i = 0; i < 100; i++) {
            snprintf(ids[i], sizeof(ids[i]), "s%d-%d", frame, i);
            signals[i] = (struct send){.id = ids[i], .entitlement = i % 2 ? "odd" : "even"};
        }
        pipeline_send(&p, signals, 100);
        if (frame % 20 == 10)
            pipeline_advance(&p, 5001); /* the publisher announces with an empty frame */
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).ended, 6000);
    end(&p);
}

static bool announced(const struct pipeline *p)
{
    return strcmp(pipeline_intake((struct pipeline *)p, 0), "1-4/2") != 0;
}

/* The sequences taken are committed with what they carried, once, whatever comes again. */
static void test_intake(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "s1"});
    SEND(&p, {.id = "s2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_intake(&p, 0), "1-2/0");
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_AFTER, .repeat = 1, .status = -EIO});
    SEND(&p, {.id = "s3"});
    SEND(&p, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_intake(&p, 0), "1-4/2");
    CHECK_INT(pipeline_totals(&p).duplicates, 2);
    pipeline_advance(&p, 6000); /* an empty frame says that all before it are confirmed */
    CHECK(pipeline_until(&p, announced));
    CHECK_TEXT(pipeline_intake(&p, 0), "1-5/4");
    pipeline_kill(&p);
    SEND(&p, {.id = "s5"});
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_intake(&p, 0), "1-6/5");
    end(&p);
}

/* Consumption stops while too many outcomes have no receipt; what is being released goes on. */
static bool delivered(const struct pipeline *p)
{
    return kanban_unanswered(p->publisher) == 0 && kanban_depth(p->publisher) > 0;
}

static void test_lag(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.max_lag = 3;
    p.config.partitions = 1;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"});
    pipeline_settle(&p);
    SEND(&p, {.id = "s3"});
    CHECK(pipeline_until(&p, delivered));
    pipeline_linger(&p, 50);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "");
    CHECK_INT(kanban_depth(p.publisher), 1);
    p.config.max_lag = 100;
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    end(&p);
}

/* Rows of what was executed, denied or refused go with their retention; dead letters and failures stay. */
static bool swept(const struct pipeline *p)
{
    return strstr(pipeline_row((struct pipeline *)p, "acme", "ent", "s1099"), "executed") == NULL;
}

static void test_retention(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    for (int i = 0; i < 1100; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%d", i);
        SEND(&p, {.id = id});
    }
    SEND(&p, {.id = "s1", .data = "1"}, {.id = "old", .age_ms = 8 * (int64_t)DAY_MS});
    pipeline_settle(&p);
    pipeline_advance(&p, 6 * (int64_t)DAY_MS);
    SEND(&p, {.id = "young"});
    pipeline_settle(&p);
    CHECK(pipeline_check(&p));
    p.clock.wall_ms += 365 * (int64_t)DAY_MS; /* the wall clock alone deletes nothing */
    pipeline_linger(&p, 50);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s0"), "executed");
    CHECK(!swept(&p));
    p.clock.wall_ms -= 365 * (int64_t)DAY_MS;
    pipeline_advance(&p, DAY_MS + 1);
    CHECK(pipeline_until(&p, swept));
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s0"), "");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "old"), "deadlettered too_old");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "young"), "executed");
    SEND(&p, {.id = "young"}, {.id = "s2", .age_ms = 7 * (int64_t)DAY_MS}); /* a copy from the queue of old */
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "deadlettered too_old");
    pipeline_done(&p); /* what is swept cannot be checked */
}

/* The wall clock jumps by years, over restarts too: nothing that ended is forgotten before its time or kept for ever,
 * and what has just been accepted is never too old. */
static void test_retention_by_jumping_clocks(void)
{
    const int64_t years = 3 * 365 * (int64_t)DAY_MS;
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    pipeline_settle(&p);
    SEND(&p, {.id = "first"});
    pipeline_settle(&p);
    SEND(&p, {.id = "in-the-queue"});
    p.clock.wall_ms += years;
    pipeline_restart(&p);
    SEND(&p, {.id = "first"}, {.id = "ahead"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "in-the-queue"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "ahead"), "executed");
    CHECK_INT(pipeline_totals(&p).duplicates, 1);
    p.clock.wall_ms -= 2 * years;
    pipeline_restart(&p);
    SEND(&p, {.id = "first"}, {.id = "ahead"}, {.id = "behind"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "behind"), "executed");
    CHECK_INT(pipeline_totals(&p).duplicates, 3);
    CHECK(pipeline_check(&p));
    for (int i = 0; i < 7; i++)
        pipeline_advance(&p, DAY_MS);
    SEND(&p, {.id = "last"});
    pipeline_settle(&p);
    pipeline_advance(&p, 3600001); /* an idle partition writes its clock each hour */
    pipeline_linger(&p, 50);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "first"), "");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "ahead"), "");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "behind"), "");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "last"), "executed");
    pipeline_done(&p); /* what is swept cannot be checked */
}

/* An outage does not make old what waited in the queue meanwhile; once the clock has been right for two days it counts.
 */
static void test_too_old_after_an_outage(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    pipeline_settle(&p);
    SEND(&p, {.id = "before"});
    pipeline_settle(&p);
    SEND(&p, {.id = "waited"});
    p.clock.wall_ms += 8 * (int64_t)DAY_MS;
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "waited"), "executed");
    pipeline_advance(&p, 2 * (int64_t)DAY_MS);
    pipeline_advance(&p, DAY_MS);
    SEND(&p, {.id = "young", .age_ms = 6 * (int64_t)DAY_MS}, {.id = "old", .age_ms = 6 * (int64_t)DAY_MS + 1});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "young"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "old"), "deadlettered too_old");
    end(&p);
}

/* A configuration that this program cannot run is refused, and leaves nothing behind. */
static void test_bad_configuration(void)
{
    static const struct action_type *const no_types[] = {NULL};
    struct pipeline p;
    pipeline_init(&p);
    pipeline_open(&p);
    struct error err;
    struct jidoka *worker = NULL;
    struct jidoka_options options = {.base = p.base,
                                     .config = &p.config,
                                     .actions = no_types,
                                     .queue = p.queue,
                                     .store = p.sqlite,
                                     .worker = "w",
                                     .lease_ttl_ms = 3000,
                                     .random = random_bytes,
                                     .clock = &p.clock.clock,
                                     .log = &p.log,
                                     .metrics = p.metrics};
    CHECK(jidoka_new(&options, &worker, &err) < 0);
    CHECK(strstr(err.text, "act") != NULL);
    options.actions = failing_action_types;
    p.policy.name = "a name";
    CHECK(jidoka_new(&options, &worker, &err) < 0);
    CHECK(!worker);
    pipeline_done(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"executed", test_executed},
                                              {"duplicates", test_duplicates},
                                              {"conflicts", test_conflicts},
                                              {"quota", test_quota},
                                              {"deny", test_deny},
                                              {"events", test_events},
                                              {"too_old", test_too_old},
                                              {"governor_limit", test_governor_limit},
                                              {"governor_limit_over_batches", test_governor_limit_over_batches},
                                              {"unparseable", test_unparseable},
                                              {"many", test_many},
                                              {"intake", test_intake},
                                              {"lag", test_lag},
                                              {"retention", test_retention},
                                              {"retention_by_jumping_clocks", test_retention_by_jumping_clocks},
                                              {"too_old_after_an_outage", test_too_old_after_an_outage},
                                              {"bad_configuration", test_bad_configuration},
                                              {NULL, NULL}};
    return check_main(cases);
}
