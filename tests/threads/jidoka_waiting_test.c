/* Waiting signals: held behind their governor, in order, within their caps, over restarts, until released or expired.
 */
#include "support/check.h"
#include "support/pipeline.h"

static const char *const activated = "tai.entitlement.activated";

static void begin(struct pipeline *p)
{
    p->config.governor.auto_activate = false;
    pipeline_open(p);
    pipeline_start(p);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

static void send_many(struct pipeline *p, const char *prefix, int count, const char *entitlement)
{
    struct send signals[300];
    char ids[300][24];
    for (int i = 0; i < count; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%s%d", prefix, i);
        signals[i] = (struct send){.id = ids[i], .entitlement = entitlement};
    }
    pipeline_send(p, signals, (size_t)count);
}

static void test_released_in_order(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2", .critical = true});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
    CHECK_INT(pipeline_totals(&p).waiting, 2);
    CHECK(pipeline_check(&p));
    SEND(&p, {.id = "s3"}, {.id = "act", .type = activated}, {.id = "s4"}, {.id = "s1"});
    SEND(&p, {.id = "s5"}, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>boot; state_change applied act=executed boot>active; "
               "action_success s1=executed active>active; action_success s2=executed active>active; "
               "action_success s3=executed active>active; action_success s4=executed active>active; "
               "action_success s5=executed active>active");
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    CHECK_INT(pipeline_totals(&p).duplicates, 2);
    end(&p);
}

/* The line is longer than one batch releases, and more arrives while it is: nothing overtakes. */
static void test_long_line(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.config.governor.max_waiting = 100000;
    begin(&p);
    char prefix[8];
    for (int i = 0; i < 9; i++) {
        snprintf(prefix, sizeof(prefix), "%c-", 'a' + i);
        send_many(&p, prefix, 250, "ent");
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, 2250);
    SEND(&p, {.id = "act", .type = activated});
    for (int i = 0; i < 9; i++) {
        snprintf(prefix, sizeof(prefix), "%c-", 'j' + i);
        send_many(&p, prefix, 250, "ent");
    }
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).ended, 4501);
    const char *story = pipeline_story(&p, "acme", "ent");
    for (int i = 0; i < 18; i++) {
        for (int j = 0; j < 250; j++) {
            char part[40];
            snprintf(part, sizeof(part), " %c-%d=executed", 'a' + i, j);
            story = story ? strstr(story, part) : NULL;
        }
    }
    CHECK(story); /* each behind the one before */
    end(&p);
}

static void test_restart_while_waiting(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"});
    SEND(&p, {.id = "t1", .entitlement = "other"});
    pipeline_settle(&p);
    pipeline_restart(&p);
    SEND(&p, {.id = "s3"}, {.id = "s2"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, 4);
    SEND(&p, {.id = "act", .type = activated});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>boot; state_change applied act=executed boot>active; "
               "action_success s1=executed active>active; action_success s2=executed active>active; "
               "action_success s3=executed active>active");
    CHECK_TEXT(pipeline_row(&p, "acme", "other", "t1"), "waiting");
    end(&p);
}

/* Killed between the commit of the activation and the release of what it frees. */
static void test_restart_before_release(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"});
    pipeline_settle(&p);
    faulty_set(p.faulty, OP_WAITING, (struct faulty_fault){FAULT_HOLD, .repeat = 1});
    SEND(&p, {.id = "act", .type = activated});
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>boot; state_change applied act=executed boot>active; "
               "action_success s1=executed active>active; action_success s2=executed active>active");
    end(&p);
}

static void test_boot_timeout(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2", .critical = true});
    pipeline_settle(&p);
    pipeline_advance(&p, 29999);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
    pipeline_advance(&p, 1);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"),
               "state_change created boot>boot; state_change bootstrap_timeout boot>degraded; "
               "refusal degraded s1=refused degraded>degraded; action_success s2=executed degraded>degraded");
    CHECK_INT(pipeline_count(&p, "{\"name\":\"bootstrap_timeout\",\"severity\":\"warning\"}"), 1);
    end(&p);
}

/* The partition clock stands still while nobody owns the partition, and goes on where its last commit left it. */
static void test_boot_timeout_over_restart(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    pipeline_advance(&p, 20000);
    CHECK(pipeline_drain(&p));
    clock_manual_advance(&p.clock, 1000000);
    pipeline_start(&p);
    pipeline_settle(&p);
    pipeline_advance(&p, 9000);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
    pipeline_advance(&p, 1001);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "refused degraded");
    end(&p);
}

static void test_overflow_of_governor(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.max_waiting = 3;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"}, {.id = "s3"}, {.id = "s4"});
    SEND(&p, {.id = "s5"}, {.id = "s1"}, {.id = "act", .type = activated}, {.id = "s6"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s4"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s5"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s6"), "deadlettered overflow");
    SEND(&p, {.id = "s7"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s7"), "executed");
    end(&p);
}

static void test_overflow_of_partition(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    p.config.max_waiting = 6;
    begin(&p);
    SEND(&p, {.id = "s1", .entitlement = "e1"}, {.id = "s2", .entitlement = "e2"}, {.id = "s3", .entitlement = "e3"},
         {.id = "s4", .entitlement = "e4"}, {.id = "s5", .entitlement = "e1"});
    pipeline_settle(&p);
    SEND(&p, {.id = "s1", .tenant = "b"}, {.id = "s2", .tenant = "b"}, {.id = "s1", .tenant = "c"},
         {.id = "s2", .tenant = "c"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e3", "s3"), "waiting");
    CHECK_TEXT(pipeline_row(&p, "acme", "e4", "s4"), "deadlettered overflow"); /* half of them are one tenant's */
    CHECK_TEXT(pipeline_row(&p, "acme", "e1", "s5"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "b", "ent", "s2"), "waiting");
    CHECK_TEXT(pipeline_row(&p, "c", "ent", "s1"), "waiting");
    CHECK_TEXT(pipeline_row(&p, "c", "ent", "s2"), "deadlettered overflow"); /* the partition is full */
    SEND(&p, {.id = "act", .entitlement = "e1", .type = activated});
    pipeline_settle(&p);
    SEND(&p, {.id = "s6", .entitlement = "e2"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e1", "s1"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "e2", "s6"), "waiting"); /* room again, for the tenant too */
    CHECK_INT(pipeline_totals(&p).waiting, 6);
    CHECK(pipeline_check(&p));
    pipeline_restart(&p); /* the caps are counted anew from the rows */
    SEND(&p, {.id = "s7", .entitlement = "e2"}, {.id = "s3", .tenant = "b"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e2", "s7"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "b", "ent", "s3"), "deadlettered overflow");
    SEND(&p, {.id = "act", .tenant = "b", .type = activated});
    pipeline_settle(&p);
    SEND(&p, {.id = "s8", .entitlement = "e2"}, {.id = "s1", .tenant = "d"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "e2", "s8"), "deadlettered overflow");
    CHECK_TEXT(pipeline_row(&p, "d", "ent", "s1"), "waiting");
    end(&p);
}

static void test_wait_expired(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.max_wait_ms = 10000;
    p.config.governor.boot_timeout_ms = 100000;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "s2"});
    pipeline_settle(&p);
    pipeline_advance(&p, 6000);
    SEND(&p, {.id = "s3"});
    pipeline_settle(&p);
    pipeline_advance(&p, 4000);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "deadlettered wait_expired");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "deadlettered wait_expired");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "waiting");
    SEND(&p, {.id = "act", .type = activated});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s3"), "executed");
    end(&p);
}

/* More rows and governors are due at once than one batch takes. */
static void test_many_due(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.max_wait_ms = 30000;
    p.config.partitions = 2;
    begin(&p);
    for (int i = 0; i < 450; i++) {
        char entitlement[16];
        snprintf(entitlement, sizeof(entitlement), "e%d", i);
        SEND(&p, {.id = "s1", .entitlement = entitlement});
    }
    send_many(&p, "s", 300, "one");
    send_many(&p, "t", 300, "one");
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).waiting, 1050);
    clock_manual_advance(&p.clock, 40000);
    pipeline_restart(&p); /* nothing of this is in the caches of the next one */
    pipeline_settle(&p);
    pipeline_advance(&p, 31000);
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    CHECK_INT(pipeline_totals(&p).governors_in[GOVERNOR_DEGRADED], 451);
    end(&p);
}

/* The clock of an owner is written each second while a timer is pending, and only then. */
static void test_clock_written(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    begin(&p);
    pipeline_settle(&p);
    unsigned before = faulty_seen(p.faulty, OP_COMMIT);
    pipeline_advance(&p, 5000);
    CHECK_INT(faulty_seen(p.faulty, OP_COMMIT), before);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    before = faulty_seen(p.faulty, OP_COMMIT);
    for (int i = 0; i < 4; i++)
        pipeline_advance(&p, 1000);
    CHECK_INT(faulty_seen(p.faulty, OP_COMMIT), before + 4);
    pipeline_restart(&p);
    pipeline_settle(&p);
    pipeline_advance(&p, 26001);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "refused degraded");
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"released_in_order", test_released_in_order},
                                              {"long_line", test_long_line},
                                              {"restart_while_waiting", test_restart_while_waiting},
                                              {"restart_before_release", test_restart_before_release},
                                              {"boot_timeout", test_boot_timeout},
                                              {"boot_timeout_over_restart", test_boot_timeout_over_restart},
                                              {"overflow_of_governor", test_overflow_of_governor},
                                              {"overflow_of_partition", test_overflow_of_partition},
                                              {"wait_expired", test_wait_expired},
                                              {"many_due", test_many_due},
                                              {"clock_written", test_clock_written},
                                              {NULL, NULL}};
    return check_main(cases);
}
