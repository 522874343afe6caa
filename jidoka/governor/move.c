/* The one function that moves a governor, the moves there are, target() and the invariants of a record. An illegal move
 * or a broken invariant is a bug: abort, so that nothing wrong is ever committed. Pure, any thread. */
#include "jidoka/governor/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define TO(state) (1u << GOVERNOR_##state)

/* The moves that the cells of the table (governor.c) can make. */
static const unsigned legal_moves[GOVERNOR_STATE_COUNT] = {
    [GOVERNOR_BOOT] = TO(ACTIVE) | TO(SUSPENDED) | TO(COMPLYING) | TO(DEGRADED) | TO(HALTED),
    [GOVERNOR_ACTIVE] = TO(ACTION_PENDING) | TO(SUSPENDED) | TO(COMPLYING) | TO(DEGRADED) | TO(HALTED),
    [GOVERNOR_ACTION_PENDING] = TO(ACTIVE) | TO(SUSPENDED) | TO(COMPLYING) | TO(DEGRADED) | TO(HALTED),
    [GOVERNOR_SUSPENDED] = TO(ACTIVE) | TO(COMPLYING) | TO(DEGRADED) | TO(HALTED),
    [GOVERNOR_COMPLYING] = TO(ACTIVE) | TO(SUSPENDED) | TO(DEGRADED) | TO(HALTED),
    [GOVERNOR_DEGRADED] = TO(ACTIVE) | TO(ACTION_PENDING) | TO(SUSPENDED) | TO(COMPLYING) | TO(HALTED),
    [GOVERNOR_HALTED] = TO(ACTIVE) | TO(SUSPENDED) | TO(COMPLYING) | TO(DEGRADED) | TO(TESTING),
    [GOVERNOR_TESTING] = TO(ACTIVE) | TO(ACTION_PENDING) | TO(SUSPENDED) | TO(COMPLYING) | TO(DEGRADED) | TO(HALTED),
};

void governor_abort(const struct governor_record *record, const char *what)
{
    unsigned state = record->state;
    fprintf(stderr, "governor: %s (state %s)\n", what,
            state < GOVERNOR_STATE_COUNT ? governor_state_names[state] : "unknown");
    abort();
}

bool governor_move_legal(enum governor_state from, enum governor_state to)
{
    return (unsigned)from < GOVERNOR_STATE_COUNT && (unsigned)to < GOVERNOR_STATE_COUNT &&
           (legal_moves[from] >> to & 1);
}

static void leave(struct transition *t)
{
    struct governor_record *record = t->record;
    if (record->state == GOVERNOR_BOOT)
        record->boot_due = 0;
    if (record->state == GOVERNOR_HALTED) {
        record->breaker_due = 0;
        record->halt_alert_at = 0;
        record->halt_alert_count = 0;
    }
    if (record->state == GOVERNOR_ACTION_PENDING) {
        free(record->pending);
        record->pending = NULL;
    }
}

static void enter(struct transition *t)
{
    struct governor_record *record = t->record;
    if (record->state == GOVERNOR_SUSPENDED)
        transition_alert(t, "quota_exceeded", "warning", 1);
    /* Only a halt, its test and the test's action remember who opened the breaker. */
    if (record->state != GOVERNOR_HALTED && record->state != GOVERNOR_TESTING &&
        record->state != GOVERNOR_ACTION_PENDING)
        record->opened_by = OPENED_BY_NOBODY;
}

void governor_move(struct transition *t, enum governor_state to)
{
    struct governor_record *record = t->record;
    if (record->state == to)
        return;
    if (!governor_move_legal(record->state, to)) {
        char what[64];
        snprintf(what, sizeof(what), "illegal move to %s",
                 (unsigned)to < GOVERNOR_STATE_COUNT ? governor_state_names[to] : "unknown");
        governor_abort(record, what);
    }
    leave(t);
    record->state = to;
    enter(t);
}

enum governor_state governor_target(const struct governor_record *record)
{
    if (record->refund_open)
        return GOVERNOR_COMPLYING;
    if (record->entitlement != ENTITLEMENT_ACTIVE)
        return GOVERNOR_DEGRADED;
    if (record->quota_limit != QUOTA_NONE && record->quota_used >= record->quota_limit)
        return GOVERNOR_SUSPENDED;
    return GOVERNOR_ACTIVE;
}

/* What the state says about entitlement, refund and quota. */
static const char *check_state(const struct governor_record *record)
{
    bool owned = record->entitlement == ENTITLEMENT_ACTIVE && !record->refund_open;
    switch (record->state) {
    case GOVERNOR_BOOT:
        return record->entitlement == ENTITLEMENT_INACTIVE && !record->refund_open ? NULL : "boot behind an event";
    case GOVERNOR_ACTIVE:
    case GOVERNOR_TESTING:
        return owned ? NULL : "active or testing without an active entitlement";
    case GOVERNOR_SUSPENDED:
        return governor_target(record) == GOVERNOR_SUSPENDED ? NULL : "suspended with quota left";
    case GOVERNOR_COMPLYING:
        return record->refund_open ? NULL : "complying without a refund";
    case GOVERNOR_DEGRADED:
        return governor_target(record) == GOVERNOR_DEGRADED ? NULL : "degraded with an active entitlement";
    default:
        return NULL;
    }
}

static const char *check_breaker(const struct governor_record *record)
{
    bool halted = record->state == GOVERNOR_HALTED;
    bool probes = record->state == GOVERNOR_TESTING || (record->pending && record->pending->probe);
    if (halted != (record->opened_by != OPENED_BY_NOBODY) && !probes)
        return "opened_by is set outside a halt, its test and its probe";
    if (probes && record->opened_by != OPENED_BY_BREAKER)
        return "a test of a breaker that is not open";
    if (record->breaker_due && !(halted && record->opened_by == OPENED_BY_BREAKER))
        return "breaker_reset is timed outside a halt of the breaker";
    if (!halted && (record->halt_alert_at || record->halt_alert_count))
        return "halt alerts outside a halt";
    return NULL;
}

const char *governor_check(const struct governor_record *record)
{
    if ((unsigned)record->state >= GOVERNOR_STATE_COUNT || (unsigned)record->entitlement >= ENTITLEMENT_COUNT ||
        (unsigned)record->quota_period >= PERIOD_COUNT || (unsigned)record->opened_by > OPENED_BY_OPERATOR)
        return "unknown state, entitlement, period or opener";
    if (record->quota_used < 0 || record->quota_limit < QUOTA_NONE)
        return "negative quota";
    if ((record->pending != NULL) != (record->state == GOVERNOR_ACTION_PENDING))
        return "pending is not set exactly in action_pending";
    if (record->boot_due && record->state != GOVERNOR_BOOT)
        return "boot_timeout is timed outside boot";
    if (record->policy_state && strlen(record->policy_state) > POLICY_STATE_MAX)
        return "policy_state is larger than 4 KiB";
    const char *broken = check_breaker(record);
    return broken ? broken : check_state(record);
}
