/* The governor's table and its inputs, as a pure step: no I/O, no clock, no log. A step prepares the record
 * (entitlement, refund, quota), runs the one cell of (state, input), and finishes the result; states change only
 * through governor_move. Any thread; the caller owns record and result. Aborts when an invariant breaks. */
#include "common/mem.h"
#include "jidoka/governor/internal.h"

#include <stdlib.h>

const char *const governor_input_names[INPUT_KIND_COUNT] = {
    [INPUT_SIGNAL] = "signal",
    [INPUT_ACTIVATED] = "activated",
    [INPUT_SUSPENDED_BY_MARKET] = "suspended_by_market",
    [INPUT_CANCELLED] = "cancelled",
    [INPUT_REFUND_STARTED] = "refund_started",
    [INPUT_REFUND_COMPLETED] = "refund_completed",
    [INPUT_SUCCEEDED] = "succeeded",
    [INPUT_FAILED] = "failed",
    [INPUT_BOOT_TIMEOUT] = "boot_timeout",
    [INPUT_QUOTA_RESET] = "quota_reset",
    [INPUT_BREAKER_RESET] = "breaker_reset",
    [INPUT_HALT] = "halt",
    [INPUT_RESUME] = "resume",
    [INPUT_ACTIVATE] = "activate",
    [INPUT_RESET_QUOTA] = "reset_quota",
};

const char *const receipt_type_names[RECEIPT_TYPE_COUNT] = {
    [RECEIPT_ACTION_INTENT] = "action_intent",
    [RECEIPT_ACTION_SUCCESS] = "action_success",
    [RECEIPT_ACTION_FAILURE] = "action_failure",
    [RECEIPT_STATE_CHANGE] = "state_change",
    [RECEIPT_REFUSAL] = "refusal",
    [RECEIPT_DEADLETTER] = "deadletter",
    [RECEIPT_OPERATOR] = "operator",
    [RECEIPT_REFUSAL_SUMMARY] = "refusal_summary",
};

enum column {
    COLUMN_SIGNAL,
    COLUMN_CRITICAL, /* must follow COLUMN_SIGNAL */
    COLUMN_ACTIVATED,
    COLUMN_LOST,
    COLUMN_REFUND_STARTED,
    COLUMN_REFUND_COMPLETED,
    COLUMN_SUCCEEDED,
    COLUMN_FAILED,
    COLUMN_BOOT_TIMEOUT,
    COLUMN_QUOTA_RESET,
    COLUMN_BREAKER_RESET,
    COLUMN_HALT,
    COLUMN_RESUME,
    COLUMN_RESET_QUOTA,
    COLUMN_COUNT
};

/*
 *             activated                   action needed                 succeeded, failed below the limit
 *    boot ───────────────► active ────────────────────► action_pending ───────────────────────────────► target()
 *     │ boot_timeout       │ ▲ │ ▲                            │ failed at the limit
 *     ▼                    │ │ │ └ quota_reset ── suspended ◄─│── quota 0
 *    degraded ◄── lost ────┘ │ └ refund_started ► complying   ▼
 *     │  (critical only)     │                         │    halted ◄── halt (operator, from anywhere)
 *     └── activated ─────────┴──── target() ◄──────────┘      │ ▲ breaker_reset │ ▲ probe failed
 *                                        ▲                    │ │               ▼ │
 *                                        └──── resume ────────┘ └──────────── testing ── probe succeeded ─► target()
 *
 * Every move into a state whose signal cell is not WAIT releases the waiting signals. move.c lists the moves.
 */
/* clang-format off */
static const uint8_t table[GOVERNOR_STATE_COUNT][COLUMN_COUNT] = {
    /*                           signal  signal! activ.  lost  refund+ refund- succeed. fail. boot_t.  quota_r brk_r halt     resume  reset_q */
    [GOVERNOR_BOOT] =           {WAIT,   WAIT,   TARGET, DEGR, COMPLY, STAY,   LATE,    LATE, BOOTOUT, NONE,   NONE, HALT,    STAY,   STAY},
    [GOVERNOR_ACTIVE] =         {DECIDE, DECIDE, TARGET, DEGR, COMPLY, STAY,   LATE,    LATE, NONE,    TARGET, NONE, HALT,    STAY,   STAY},
    [GOVERNOR_ACTION_PENDING] = {WAIT,   WAIT,   STAY,   STAY, STAY,   STAY,   SUCCEED, FAIL, NONE,    STAY,   NONE, HALTACT, STAY,   STAY},
    [GOVERNOR_SUSPENDED] =      {RQUOTA, RQUOTA, TARGET, DEGR, COMPLY, STAY,   LATE,    LATE, NONE,    TARGET, NONE, HALT,    STAY,   TARGET},
    [GOVERNOR_COMPLYING] =      {WAIT,   WAIT,   STAY,   STAY, STAY,   TARGET, LATE,    LATE, NONE,    STAY,   NONE, HALT,    STAY,   STAY},
    [GOVERNOR_DEGRADED] =       {RDEGR,  CRIT,   TARGET, STAY, COMPLY, STAY,   LATE,    LATE, NONE,    STAY,   NONE, HALT,    STAY,   STAY},
    [GOVERNOR_HALTED] =         {DEAD,   DEAD,   STAY,   STAY, STAY,   STAY,   LATE,    LATE, NONE,    STAY,   TEST, HALT,    RESUME, STAY},
    [GOVERNOR_TESTING] =        {DECIDE, DECIDE, TDIFF,  DEGR, COMPLY, STAY,   LATE,    LATE, NONE,    STAY,   NONE, HALT,    RESUME, STAY},
};
/* clang-format on */

enum source { FROM_SIGNAL, FROM_EVENT, FROM_WORKER, FROM_TIMER, FROM_OPERATOR };

static int64_t clamp_quota(int64_t limit)
{
    if (limit == QUOTA_NONE)
        return QUOTA_NONE;
    return limit < 0 ? 0 : limit > GOVERNOR_NUMBER_MAX ? GOVERNOR_NUMBER_MAX : limit;
}

/* false: the event precedes the last applied one of its kind. An operator's command never does: it is the way out of an
 * event that came with a time far ahead. */
static bool take_event(struct transition *t, int64_t *last_at)
{
    bool event = t->input->kind != INPUT_ACTIVATE;
    int64_t at = event ? t->input->event_time_ms : t->now.wall_ms;
    if (event && *last_at && at < *last_at)
        return false;
    *last_at = at;
    return true;
}

static bool take_entitlement(struct transition *t, enum entitlement entitlement)
{
    if (!take_event(t, &t->record->last_entitlement_event_at))
        return false;
    t->record->entitlement = entitlement;
    return true;
}

static bool prepare_activated(struct transition *t)
{
    const struct governor_input *input = t->input;
    struct governor_record *record = t->record;
    if (!take_entitlement(t, ENTITLEMENT_ACTIVE))
        return false;
    if (input->has_quota_limit)
        record->quota_limit = clamp_quota(input->quota_limit);
    if (input->has_quota_period && input->quota_period != record->quota_period) {
        record->quota_period = input->quota_period;
        record->period_start = period_begin(input->quota_period, t->now.wall_ms);
    }
    if (input->sku_id.len)
        transition_set_text(t, &record->sku_id, input->sku_id);
    return true;
}

static bool prepare_suspended(struct transition *t)
{
    return take_entitlement(t, ENTITLEMENT_SUSPENDED);
}

static bool prepare_cancelled(struct transition *t)
{
    return take_entitlement(t, ENTITLEMENT_CANCELLED);
}

static bool prepare_refund(struct transition *t)
{
    if (!take_event(t, &t->record->last_refund_event_at))
        return false;
    t->record->refund_open = t->input->kind == INPUT_REFUND_STARTED;
    return true;
}

static bool prepare_boot_timeout(struct transition *t)
{
    return t->record->boot_due && t->record->boot_due <= t->now.clock_ms;
}

static bool prepare_quota_reset(struct transition *t)
{
    struct governor_record *record = t->record;
    if (governor_quota_due(record) > t->now.wall_ms)
        return false;
    record->quota_used = 0;
    record->period_start = period_begin(record->quota_period, t->now.wall_ms);
    return true;
}

static bool prepare_breaker_reset(struct transition *t)
{
    return t->record->breaker_due && t->record->breaker_due <= t->now.clock_ms;
}

static bool prepare_reset_quota(struct transition *t)
{
    t->record->quota_used = 0;
    return true;
}

static const struct input_row {
    enum column column;
    enum source source;
    bool (*prepare)(struct transition *t); /* false: the input changes nothing */
} inputs[INPUT_KIND_COUNT] = {
    [INPUT_SIGNAL] = {COLUMN_SIGNAL, FROM_SIGNAL, NULL},
    [INPUT_ACTIVATED] = {COLUMN_ACTIVATED, FROM_EVENT, prepare_activated},
    [INPUT_SUSPENDED_BY_MARKET] = {COLUMN_LOST, FROM_EVENT, prepare_suspended},
    [INPUT_CANCELLED] = {COLUMN_LOST, FROM_EVENT, prepare_cancelled},
    [INPUT_REFUND_STARTED] = {COLUMN_REFUND_STARTED, FROM_EVENT, prepare_refund},
    [INPUT_REFUND_COMPLETED] = {COLUMN_REFUND_COMPLETED, FROM_EVENT, prepare_refund},
    [INPUT_SUCCEEDED] = {COLUMN_SUCCEEDED, FROM_WORKER, NULL},
    [INPUT_FAILED] = {COLUMN_FAILED, FROM_WORKER, NULL},
    [INPUT_BOOT_TIMEOUT] = {COLUMN_BOOT_TIMEOUT, FROM_TIMER, prepare_boot_timeout},
    [INPUT_QUOTA_RESET] = {COLUMN_QUOTA_RESET, FROM_TIMER, prepare_quota_reset},
    [INPUT_BREAKER_RESET] = {COLUMN_BREAKER_RESET, FROM_TIMER, prepare_breaker_reset},
    [INPUT_HALT] = {COLUMN_HALT, FROM_OPERATOR, NULL},
    [INPUT_RESUME] = {COLUMN_RESUME, FROM_OPERATOR, NULL},
    [INPUT_ACTIVATE] = {COLUMN_ACTIVATED, FROM_OPERATOR, prepare_activated},
    [INPUT_RESET_QUOTA] = {COLUMN_RESET_QUOTA, FROM_OPERATOR, prepare_reset_quota},
};

bool governor_waits(const struct governor_record *record, bool critical)
{
    return table[record->state][critical ? COLUMN_CRITICAL : COLUMN_SIGNAL] == WAIT;
}

/* Whether the fields that receipts carry are the same (pending comes and goes with the state). */
static bool same_fields(const struct governor_record *a, const struct governor_record *b)
{
    return a->state == b->state && a->entitlement == b->entitlement && a->quota_period == b->quota_period &&
           a->opened_by == b->opened_by && a->refund_open == b->refund_open && a->failures == b->failures &&
           a->quota_limit == b->quota_limit && a->quota_used == b->quota_used && a->period_start == b->period_start &&
           a->last_entitlement_event_at == b->last_entitlement_event_at &&
           a->last_refund_event_at == b->last_refund_event_at && a->halt_alert_at == b->halt_alert_at &&
           a->halt_alert_count == b->halt_alert_count;
}

static void set_receipt(struct transition *t, enum receipt_type receipt, struct span reason)
{
    t->ret->receipted = true;
    t->ret->receipt = receipt;
    if (!t->ret->reason[0])
        transition_reason(t, reason);
}

/* Signals and results have been receipted by their cells; the others are here. */
static void finish_receipt(struct transition *t, enum source source, bool moved, bool same)
{
    const struct governor_input *input = t->input;
    struct span effect = moved ? SPAN("applied") : same ? SPAN("ignored") : SPAN("recorded");
    if (source == FROM_EVENT) {
        t->ret->disposition = SIGNAL_ENDS_EXECUTED;
        set_receipt(t, RECEIPT_STATE_CHANGE, effect);
    }
    if (source == FROM_TIMER && !same)
        set_receipt(t, RECEIPT_STATE_CHANGE, span_of(governor_input_names[input->kind]));
    if (source == FROM_OPERATOR)
        set_receipt(t, RECEIPT_OPERATOR, input->reason.len ? input->reason : effect);
}

static void check(const struct governor_record *before, const struct governor_record *after)
{
    const char *broken = governor_check(after);
    if (broken)
        governor_abort(after, broken);
    if (after->quota_used > before->quota_used && after->quota_limit != QUOTA_NONE &&
        after->quota_used > after->quota_limit)
        governor_abort(after, "quota_used passed quota_limit");
}

static void finish(struct transition *t, const struct governor_record *before, enum source source)
{
    struct governor_record *record = t->record;
    struct governor_result *ret = t->ret;
    bool moved = record->state != before->state;
    bool same = same_fields(before, record) && !t->texts_changed;
    finish_receipt(t, source, moved, same);
    ret->state_after = record->state;
    ret->releases = moved && !governor_waits(record, false);
    if (ret->disposition != SIGNAL_KEEPS && ret->disposition != SIGNAL_WAITS && ret->disposition != SIGNAL_IS_DEFERRED)
        record->last_signal_at = t->now.wall_ms;
    ret->changed = !same || record->last_signal_at != before->last_signal_at || record->boot_due != before->boot_due ||
                   record->breaker_due != before->breaker_due;
    if (ret->changed)
        record->updated_at = t->now.wall_ms;
    check(before, record);
}

void governor_step(struct governor_record *record, const struct governor_env *env, const struct governor_input *input,
                   struct governor_now now, struct governor_result *ret)
{
    const struct governor_record before = *record; /* its strings are not looked at */
    struct transition t = {.record = record, .env = env, .input = input, .now = now, .ret = ret};
    *ret = (struct governor_result){.state_before = before.state};
    if ((unsigned)input->kind >= INPUT_KIND_COUNT || (unsigned)record->state >= GOVERNOR_STATE_COUNT)
        governor_abort(record, "unknown input or state");
    const struct input_row *row = &inputs[input->kind];
    bool critical = row->source == FROM_SIGNAL && input->critical;
    uint8_t cell = table[record->state][critical ? COLUMN_CRITICAL : row->column];
    if (cell != NONE && (!row->prepare || row->prepare(&t)))
        governor_cells[cell](&t);
    finish(&t, &before, row->source);
}

void governor_create(struct governor_record *record, const struct governor_env *env, struct governor_now now,
                     struct span sku_id, struct governor_result *ret)
{
    struct transition t = {.record = record, .env = env, .now = now, .ret = ret};
    *ret = (struct governor_result){.state_before = GOVERNOR_BOOT};
    *record = (struct governor_record){.state = GOVERNOR_BOOT,
                                       .quota_period = env->quota_period,
                                       .quota_limit = clamp_quota(env->quota_limit),
                                       .period_start = period_begin(env->quota_period, now.wall_ms),
                                       .boot_due = governor_due(now.clock_ms, env->boot_timeout_ms),
                                       .created_at = now.wall_ms,
                                       .updated_at = now.wall_ms};
    if (sku_id.len)
        record->sku_id = xstrndup(sku_id.ptr, sku_id.len);
    if (env->auto_activate) {
        record->entitlement = ENTITLEMENT_ACTIVE;
        governor_move(&t, governor_target(record));
    }
    ret->changed = true;
    ret->state_after = record->state;
    set_receipt(&t, RECEIPT_STATE_CHANGE, SPAN("created"));
    if (governor_check(record))
        governor_abort(record, governor_check(record));
}
