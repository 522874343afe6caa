/* The governor's table end to end: every state under every signal, event and timer, through the queue, the worker and
 * the store. What operators' commands do is triage_governors_test's; results of actions are jidoka_actions_test's. */
#include "support/check.h"
#include "support/governor_reach.h"

enum { HOUR_MS = 3600 * 1000 };

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

static void check_cell(struct pipeline *p, const char *state, const char *input, const char *after, const char *row)
{
    const char *is = governor_state_of(p, "ent"), *ended = pipeline_row(p, "acme", "ent", "it");
    if (strcmp(is, after) != 0 || strncmp(ended, row, strlen(row)) != 0)
        fprintf(stderr, "%s under %s: %s\n", state, input, ended);
    CHECK_TEXT(is, after);
    CHECK(strncmp(ended, row, strlen(row)) == 0);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static void test_signals(void)
{
    static const struct {
        const char *state, *normal, *critical,
            *after; /* what becomes of the signal; of the governor, whichever it was */
    } table[] = {
        {"boot", "waiting", "waiting", "boot"},
        {"active", "executed", "executed", "active"},
        {"action_pending", "waiting", "waiting", "action_pending"},
        {"suspended", "refused quota_exceeded", "refused quota_exceeded", "suspended"},
        {"complying", "waiting", "waiting", "complying"},
        {"degraded", "refused degraded", "executed", "degraded"},
        {"degraded by cancellation", "refused degraded", "refused entitlement_cancelled", "degraded"},
        {"degraded without quota", "refused degraded", "refused quota_exceeded", "degraded"},
        {"halted", "deadlettered governor_halted", "deadlettered governor_halted", "halted"},
        {"halted by breaker", "deadlettered governor_halted", "deadlettered governor_halted", "halted"},
        {"testing", "executed", "executed", "active"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        for (int critical = 0; critical < 2; critical++) {
            struct pipeline p;
            pipeline_init(&p);
            governor_reach(&p, table[i].state);
            SEND(&p, {.id = "it", .critical = critical});
            CHECK(pipeline_until(&p, pipeline_calm));
            check_cell(&p, table[i].state, critical ? "signal!" : "signal", table[i].after,
                       critical ? table[i].critical : table[i].normal);
            end(&p);
        }
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static const char *const events[] = {"activated", "suspended", "cancelled", "refund_started", "refund_completed"};
enum { EVENTS = sizeof(events) / sizeof(events[0]) };

static void send_event(struct pipeline *p, const char *event)
{
    char type[64];
    snprintf(type, sizeof(type), "tai.entitlement.%s", event);
    SEND(p, {.id = "it", .type = type});
    CHECK(pipeline_until(p, pipeline_calm));
}

static void test_events(void)
{
    static const struct {
        const char *state, *after[EVENTS];
    } table[] = {
        {"boot", {"active", "degraded", "degraded", "complying", "boot"}},
        {"active", {"active", "degraded", "degraded", "complying", "active"}},
        {"action_pending", {"action_pending", "action_pending", "action_pending", "action_pending", "action_pending"}},
        {"suspended", {"suspended", "degraded", "degraded", "complying", "suspended"}},
        {"complying", {"complying", "complying", "complying", "complying", "active"}},
        {"degraded", {"active", "degraded", "degraded", "complying", "degraded"}},
        {"degraded by cancellation", {"active", "degraded", "degraded", "complying", "degraded"}},
        {"degraded without quota", {"suspended", "degraded", "degraded", "complying", "degraded"}},
        {"halted", {"halted", "halted", "halted", "halted", "halted"}},
        {"halted by breaker", {"halted", "halted", "halted", "halted", "halted"}},
        {"testing", {"testing", "degraded", "degraded", "complying", "testing"}},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        for (int k = 0; k < EVENTS; k++) {
            struct pipeline p;
            pipeline_init(&p);
            governor_reach(&p, table[i].state);
            send_event(&p, events[k]);
            check_cell(&p, table[i].state, events[k], table[i].after[k], "executed");
            end(&p);
        }
}

/* What an event changed while an action was pending, or the breaker open, counts in the next target(). */
static void test_events_count_later(void)
{
    static const char *const acted[EVENTS] = {"active", "degraded", "degraded", "complying", "active"};
    static const char *const tested[EVENTS] = {"testing", "degraded", "degraded", "complying", "testing"};
    for (int breaker = 0; breaker < 2; breaker++)
        for (int k = 0; k < EVENTS; k++) {
            struct pipeline p;
            pipeline_init(&p);
            governor_reach(&p, breaker ? "halted by breaker" : "action_pending");
            send_event(&p, events[k]);
            pipeline_advance(&p, breaker ? 60000 : 3 * (3600000 + 10000)); /* the action's deadline: it has failed */
            check_cell(&p, breaker ? "halted by breaker" : "action_pending", events[k], breaker ? tested[k] : acted[k],
                       "executed");
            struct governor_record record;
            CHECK(pipeline_governor(&p, "acme", "ent", &record));
            CHECK_INT(record.failures, 1);
            governor_record_done(&record);
            end(&p);
        }
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

/* The hour is over: by the wall clock alone, and while nobody was there. */
static void test_quota_reset(void)
{
    static const struct {
        const char *state, *after;
    } table[] = {{"active", "active"},     {"action_pending", "action_pending"},
                 {"suspended", "active"},  {"complying", "complying"},
                 {"degraded", "degraded"}, {"degraded without quota", "degraded"},
                 {"halted", "halted"},     {"halted by breaker", "halted"},
                 {"testing", "testing"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        for (int years = 0; years < 6; years += 5) {
            struct pipeline p;
            pipeline_init(&p);
            p.sqlite_queue = true;
            p.config.governor.quota_period = CONFIG_PERIOD_HOUR;
            governor_reach(&p, table[i].state);
            p.clock.wall_ms += HOUR_MS + years * INT64_C(365) * 24 * HOUR_MS;
            if (years)
                pipeline_restart(&p);
            else
                pipeline_turn(&p);
            CHECK(pipeline_until(&p, pipeline_calm));
            struct governor_record record;
            CHECK(pipeline_governor(&p, "acme", "ent", &record));
            CHECK_INT(record.quota_used, 0);
            CHECK_TEXT(governor_state_names[record.state], table[i].after);
            governor_record_done(&record);
            CHECK_INT(pipeline_count(&p, "\"reason\":\"quota_reset\""), 1);
            p.clock.wall_ms -= 10 * INT64_C(365) * 24 * HOUR_MS; /* a period that lies ahead now */
            pipeline_turn(&p);
            CHECK(pipeline_until(&p, pipeline_calm));
            CHECK_INT(pipeline_count(&p, "\"reason\":\"quota_reset\""), 1);
            end(&p);
        }
}

/* The clock goes back behind the period: what was used stays used, and its period is the present one. */
static void test_period_ahead(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.quota_period = CONFIG_PERIOD_HOUR;
    governor_reach(&p, "suspended");
    p.clock.wall_ms -= 3 * INT64_C(365) * 24 * HOUR_MS;
    SEND(&p, {.id = "it"});
    pipeline_settle(&p);
    check_cell(&p, "suspended", "signal", "suspended", "refused quota_exceeded");
    p.clock.wall_ms += HOUR_MS;
    pipeline_turn(&p);
    CHECK(pipeline_until(&p, pipeline_calm));
    CHECK_TEXT(governor_state_of(&p, "ent"), "active");
    end(&p);
}

static void test_boot_timeout(void)
{
    struct pipeline p;
    pipeline_init(&p);
    governor_reach(&p, "boot");
    p.clock.wall_ms += 3 * INT64_C(365) * 24 * HOUR_MS;
    pipeline_advance(&p, 29999);
    CHECK_TEXT(governor_state_of(&p, "ent"), "boot");
    p.clock.wall_ms -= 9 * INT64_C(365) * 24 * HOUR_MS;
    pipeline_advance(&p, 1);
    CHECK_TEXT(governor_state_of(&p, "ent"), "degraded");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "first"), "refused degraded");
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"signals", test_signals},
                                              {"events", test_events},
                                              {"events_count_later", test_events_count_later},
                                              {"quota_reset", test_quota_reset},
                                              {"period_ahead", test_period_ahead},
                                              {"boot_timeout", test_boot_timeout},
                                              {NULL, NULL}};
    return check_main(cases);
}
