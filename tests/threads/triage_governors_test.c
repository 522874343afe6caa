/* Operators' commands to governors: every command in every state, restarts and lost answers between, and timers. */
#include "support/check.h"
#include "support/governor_reach.h"

#include <poll.h>

#define COST "{\"cost\":1}"

static const char suspended[] = "tai.entitlement.suspended";

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

/* --- every command in every state --------------------------------------------------------------------------------- */

static void test_table(void)
{
    static const struct {
        const char *state, *after[COMMAND_RESET_QUOTA + 1]; /* halt, resume, activate, reset-quota */
    } table[] = {
        {"boot", {"halted", "boot", "active", "boot"}},
        {"active", {"halted", "active", "active", "active"}},
        {"action_pending", {"halted", "action_pending", "action_pending", "action_pending"}},
        {"suspended", {"halted", "suspended", "suspended", "active"}},
        {"complying", {"halted", "complying", "complying", "complying"}},
        {"degraded", {"halted", "degraded", "active", "degraded"}},
        {"halted", {"halted", "active", "halted", "halted"}},
        {"halted by breaker", {"halted", "active", "halted", "halted"}},
        {"testing", {"halted", "active", "testing", "testing"}},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (int kind = COMMAND_HALT; kind <= COMMAND_RESET_QUOTA; kind++) {
            struct pipeline p;
            char reason[80];
            pipeline_init(&p);
            governor_reach(&p, table[i].state);
            CHECK_TEXT(GIVE(&p, .kind = (enum command_kind)kind, .id = "it", .args = "{\"reason\":\"a drill\"}"),
                       "applied");
            CHECK(pipeline_until(&p, pipeline_calm));
            CHECK_TEXT(governor_state_of(&p, "ent"), table[i].after[kind]);
            snprintf(reason, sizeof(reason), "\"command\":\"%s\",\"command_id\":\"it\"", command_kind_names[kind]);
            CHECK_INT(pipeline_count(&p, reason), 1);
            CHECK_INT(pipeline_count(&p, "\"reason\":\"a drill\""), 1);
            CHECK_INT(pipeline_count(&p, "\"operator\":\"tester\""), strcmp(table[i].state, "halted") == 0 ? 2 : 1);
            CHECK(pipeline_check(&p));
            pipeline_done(&p);
        }
    }
}

/* Whoever waited behind the state becomes a dead letter; what acted fails; its late result changes nothing. */
static void test_halt_while_acting(void)
{
    struct pipeline p;
    pipeline_init(&p);
    governor_reach(&p, "action_pending");
    SEND(&p, {.id = "s2"}, {.id = "s3", .critical = true});
    CHECK(pipeline_until(&p, governor_acts));
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "first"), "failed halted_in_action");
    CHECK_TEXT(triage_list(&p), "policy halted_in_action first/0 halted; policy governor_halted s2/0 halted; "
                                "policy governor_halted s3/0 halted");
    CHECK_INT(p.action.cancelled, 1);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    SEND(&p, {.id = "s4"});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s4"), "executed");
    end(&p);
}

/* Halting what the breaker has halted makes it the operator's: no timer ends it any more. */
static void test_halt_takes_over(void)
{
    struct pipeline p;
    pipeline_init(&p);
    governor_reach(&p, "halted by breaker");
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    CHECK_TEXT(triage_list(&p), "destination scripted first/0 halted; destination governor_halted s1/0 halted");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
    pipeline_advance(&p, 60001);
    CHECK_TEXT(governor_state_of(&p, "ent"), "halted");
    SEND(&p, {.id = "s2"});
    pipeline_settle(&p);
    CHECK(strstr(triage_list(&p), "policy governor_halted s2/0 halted"));
    end(&p);
}

/* --- governors that do not exist ---------------------------------------------------------------------------------- */

static void test_unknown(void)
{
    static const enum command_kind kinds[] = {COMMAND_HALT, COMMAND_RESUME, COMMAND_RESET_QUOTA};
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.auto_activate = false;
    p.config.governors_max_per_tenant = 1;
    begin(&p);
    for (size_t i = 0; i < 3; i++)
        CHECK_TEXT(GIVE(&p, .kind = kinds[i]), "rejected: there is no governor for this tenant and entitlement");
    CHECK_INT(pipeline_totals(&p).governors, 0);
    CHECK_TEXT(
        GIVE(&p, .kind = COMMAND_ACTIVATE, .args = "{\"quota_limit\":2,\"quota_period\":\"day\",\"sku_id\":\"gold\"}"),
        "applied");
    struct governor_record record;
    CHECK(pipeline_governor(&p, "acme", "ent", &record));
    CHECK_INT(record.state, GOVERNOR_ACTIVE);
    CHECK_INT(record.quota_limit, 2);
    CHECK_INT(record.quota_period, PERIOD_DAY);
    CHECK_TEXT(record.sku_id ? record.sku_id : "", "gold");
    governor_record_done(&record);
    CHECK_TEXT(pipeline_story(&p, "acme", "ent"), "state_change created boot>boot; operator applied boot>active");
    CHECK(strncmp(GIVE(&p, .kind = COMMAND_ACTIVATE, .entitlement = "more"), "rejected: there are as many", 27) == 0);
    CHECK_INT(pipeline_totals(&p).governors, 1);
    end(&p);
}

/* --- once ----------------------------------------------------------------------------------------------------------
 */

static size_t count_applied(struct pipeline *p)
{
    return pipeline_count(p, "\"type\":\"operator\"");
}

/* The worker dies at each request of a command's batch, before and after it was done: the command ends once. */
static void test_deaths(void)
{
    static const enum store_op ops[] = {OP_COMMANDS, OP_LOOKUP, OP_COMMIT};
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < 3; i++) {
            struct pipeline p;
            const char *id;
            pipeline_init(&p);
            p.sqlite_queue = true;
            begin(&p);
            SEND(&p, {.id = "s1"});
            pipeline_settle(&p);
            faulty_set(p.faulty, ops[i], (struct faulty_fault){after ? FAULT_MUTE : FAULT_HOLD, .repeat = 1});
            CHECK_INT(triage_add(&p, &(struct give){.kind = COMMAND_HALT}, &id), 0);
            while (!faulty_held(p.faulty))
                pipeline_turn(&p);
            bool committed = after && ops[i] == OP_COMMIT;
            /* A muted request is held from its beginning: the COMMIT may still be under way. */
            for (int turn = 0; committed && turn < 1000 && strcmp(triage_status(&p, id), "applied") != 0; turn++)
                poll(NULL, 0, 5);
            CHECK_TEXT(triage_status(&p, id), committed ? "applied" : "pending");
            pipeline_restart(&p);
            pipeline_settle(&p);
            pipeline_linger(&p, 50);
            CHECK_TEXT(triage_status(&p, id), "applied");
            CHECK_INT(count_applied(&p), 1);
            end(&p);
        }
    }
}

/* What was given while no worker ran is found by the next; a repeat of it is harmless. */
static void test_given_to_nobody(void)
{
    struct pipeline p;
    const char *id;
    pipeline_init(&p);
    p.sqlite_queue = true;
    begin(&p);
    SEND(&p, {.id = "s1"}, {.id = "t1", .entitlement = "other"});
    pipeline_settle(&p);
    CHECK(pipeline_drain(&p));
    CHECK_INT(triage_add(&p, &(struct give){.id = "one", .kind = COMMAND_HALT}, &id), 0);
    CHECK_INT(triage_add(&p, &(struct give){.id = "two", .kind = COMMAND_HALT, .entitlement = "other"}, NULL), 0);
    pipeline_start(&p);
    pipeline_settle(&p);
    pipeline_linger(&p, 50);
    CHECK_TEXT(triage_status(&p, "one"), "applied");
    CHECK_TEXT(triage_status(&p, "two"), "applied");
    CHECK_INT(triage_add(&p, &(struct give){.id = "one", .kind = COMMAND_HALT}, &id), 0);
    CHECK_INT(triage_add(&p, &(struct give){.id = "one", .kind = COMMAND_RESUME}, &id), -17 /* EEXIST */);
    pipeline_linger(&p, 50);
    CHECK_INT(count_applied(&p), 2);
    end(&p);
}

/* Many at once for one governor: in their order, each with its receipt, ahead of signals that came before them. */
static void test_order(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.partitions = 1;
    begin(&p);
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    CHECK(pipeline_drain(&p));
    for (int i = 0; i < 151; i++)
        CHECK_INT(triage_add(&p, &(struct give){.kind = i % 2 ? COMMAND_RESUME : COMMAND_HALT}, NULL), 0);
    SEND(&p, {.id = "s2"});
    pipeline_start(&p);
    pipeline_settle(&p);
    pipeline_linger(&p, 50);
    CHECK_INT(count_applied(&p), 151);
    CHECK_TEXT(governor_state_of(&p, "ent"), "halted");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s2"), "deadlettered governor_halted");
    end(&p);
}

/* --- timers and clocks -------------------------------------------------------------------------------------------- */

/* A halt, the reset of a breaker and a quota period survive restarts; a wall clock that jumps by years fires no timer
 * of the partition clock. */
static void test_clock_jumps(void)
{
    static const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
    for (int direction = -1; direction <= 1; direction += 2) {
        struct pipeline p;
        pipeline_init(&p);
        p.sqlite_queue = true;
        governor_reach(&p, "halted by breaker");
        p.clock.wall_ms += direction * 5 * year_ms;
        pipeline_advance(&p, 30000);
        CHECK_TEXT(governor_state_of(&p, "ent"), "halted");
        pipeline_restart(&p);
        pipeline_settle(&p);
        p.clock.wall_ms -= direction * 5 * year_ms;
        pipeline_advance(&p, 29000);
        CHECK_TEXT(governor_state_of(&p, "ent"), "halted");
        pipeline_advance(&p, 2000);
        CHECK_TEXT(governor_state_of(&p, "ent"), "testing");
        CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
        p.clock.wall_ms += direction * 50 * year_ms;
        pipeline_advance(&p, 1000);
        pipeline_restart(&p);
        pipeline_settle(&p);
        CHECK_TEXT(governor_state_of(&p, "ent"), "halted");
        CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
        SEND(&p, {.id = "again"});
        pipeline_settle(&p);
        CHECK_TEXT(pipeline_row(&p, "acme", "ent", "again"), "executed");
        end(&p);
    }
}

/* activate counts as an event of now: an event of an earlier time does not undo it. */
static void test_activate_against_events(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "far", .type = suspended, .time_ms = INT64_C(4000000000000)});
    pipeline_settle(&p);
    CHECK_TEXT(governor_state_of(&p, "ent"), "degraded");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_ACTIVATE), "applied");
    CHECK_TEXT(governor_state_of(&p, "ent"), "active");
    SEND(&p, {.id = "old", .type = suspended, .time_ms = p.clock.wall_ms - 1000});
    pipeline_settle(&p);
    CHECK_TEXT(governor_state_of(&p, "ent"), "active");
    SEND(&p, {.id = "new", .type = suspended, .time_ms = p.clock.wall_ms + 1000});
    pipeline_settle(&p);
    CHECK_TEXT(governor_state_of(&p, "ent"), "degraded");
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"table", test_table},
                                              {"halt_while_acting", test_halt_while_acting},
                                              {"halt_takes_over", test_halt_takes_over},
                                              {"unknown", test_unknown},
                                              {"deaths", test_deaths},
                                              {"given_to_nobody", test_given_to_nobody},
                                              {"order", test_order},
                                              {"clock_jumps", test_clock_jumps},
                                              {"activate_against_events", test_activate_against_events},
                                              {NULL, NULL}};
    return check_main(cases);
}
