/* Reaching each state of a governor. */
#include "support/governor_reach.h"
#include "jidoka/worker.h"
#include "support/check.h"

bool governor_acts(const struct pipeline *p)
{
    return p->action.running > 0 && pipeline_calm(p);
}

const char *governor_state_of(struct pipeline *p, const char *entitlement)
{
    struct governor_record record;
    if (!pipeline_governor(p, "acme", entitlement, &record))
        return "none";
    const char *name = governor_state_names[record.state];
    governor_record_done(&record);
    return name;
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

void governor_reach(struct pipeline *p, const char *state)
{
    bool breaker = is(state, "testing") || is(state, "halted by breaker");
    bool limited = is(state, "suspended") || is(state, "degraded without quota");
    p->config.governor.auto_activate = !is(state, "boot");
    p->config.governor.quota_limit = limited ? 1 : -1;
    p->config.governor.max_failures = breaker ? 1 : 5;
    p->action_config.timeout_ms = 3600000;
    pipeline_open(p);
    pipeline_start(p);
    if (is(state, "action_pending") || breaker) {
        p->action.mode = breaker ? ACTION_FAILS_FOR_GOOD : ACTION_HANGS;
        p->action.countdown = breaker ? 1 : -1;
        SEND(p, {.id = "first", .data = "{\"cost\":1}"});
        CHECK(pipeline_until(p, breaker ? pipeline_settled : governor_acts));
    } else {
        SEND(p, {.id = "first"});
        pipeline_settle(p);
    }
    if (is(state, "complying"))
        SEND(p, {.id = "refund", .type = "tai.entitlement.refund_started"});
    else if (is(state, "degraded by cancellation"))
        SEND(p, {.id = "lost", .type = "tai.entitlement.cancelled"});
    else if (strncmp(state, "degraded", 8) == 0)
        SEND(p, {.id = "lost", .type = "tai.entitlement.suspended"});
    else if (is(state, "halted"))
        CHECK_TEXT(GIVE(p, .kind = COMMAND_HALT), "applied");
    else if (is(state, "testing"))
        pipeline_advance(p, 60000);
    CHECK(pipeline_until(p, pipeline_calm));
    const char *reached = governor_state_of(p, "ent");
    CHECK(strncmp(state, reached, strlen(reached)) == 0);
}
