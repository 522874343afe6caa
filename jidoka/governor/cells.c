/* What the cells of the governor's table do to record and result, and the helpers a step is made of. Pure, any thread.
 */
#include "common/mem.h"
#include "jidoka/governor/internal.h"

#include <stdlib.h>

static const int64_t halt_alert_every_ms = 3600000;

void governor_copy_text(char *ret, size_t size, struct span text)
{
    size_t len = text.len < size ? text.len : size - 1;
    if (len < text.len)
        while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
            len--;
    if (len)
        memcpy(ret, text.ptr, len);
    ret[len] = '\0';
}

int64_t governor_due(int64_t clock_ms, int64_t delay_ms)
{
    int64_t due;
    if (__builtin_add_overflow(clock_ms, delay_ms, &due))
        return INT64_MAX;
    return due ? due : 1;
}

void transition_alert(struct transition *t, const char *name, const char *severity, uint32_t count)
{
    struct governor_result *ret = t->ret;
    if (ret->alert_count == GOVERNOR_ALERTS_MAX)
        governor_abort(t->record, "too many alerts in one step");
    ret->alerts[ret->alert_count++] = (struct governor_alert){name, severity, count};
}

void transition_reason(struct transition *t, struct span reason)
{
    governor_copy_text(t->ret->reason, sizeof(t->ret->reason), reason);
}

static void receipt(struct transition *t, enum receipt_type type)
{
    t->ret->receipted = true;
    t->ret->receipt = type;
}

void transition_end(struct transition *t, enum disposition disposition, enum receipt_type type, const char *reason)
{
    t->ret->disposition = disposition;
    receipt(t, type);
    transition_reason(t, span_of(reason));
}

void transition_set_text(struct transition *t, char **text, struct span value)
{
    if (*text && span_is(value, *text))
        return;
    free(*text);
    *text = xstrndup(value.ptr, value.len);
    t->texts_changed = true;
}

static void stay(struct transition *t)
{
    (void)t;
}

static void wait_for_move(struct transition *t)
{
    t->ret->disposition = SIGNAL_WAITS;
}

static void decide_critical(struct transition *t)
{
    if (t->record->entitlement == ENTITLEMENT_CANCELLED) {
        governor_settle_period(t);
        transition_end(t, SIGNAL_ENDS_REFUSED, RECEIPT_REFUSAL, "entitlement_cancelled");
        return;
    }
    governor_decide_signal(t);
}

static void refuse_quota(struct transition *t)
{
    governor_settle_period(t);
    transition_end(t, SIGNAL_ENDS_REFUSED, RECEIPT_REFUSAL, "quota_exceeded");
}

static void refuse_degraded(struct transition *t)
{
    governor_settle_period(t);
    transition_end(t, SIGNAL_ENDS_REFUSED, RECEIPT_REFUSAL, "degraded");
}

static void deadletter(struct transition *t)
{
    struct governor_record *record = t->record;
    int64_t wall_ms = t->now.wall_ms;
    governor_settle_period(t);
    transition_end(t, SIGNAL_ENDS_DEADLETTERED, RECEIPT_DEADLETTER, "governor_halted");
    if (record->halt_alert_count < UINT32_MAX)
        record->halt_alert_count++;
    if (record->halt_alert_at > wall_ms)
        record->halt_alert_at = wall_ms > 0 ? wall_ms : 1; /* the clock went back: its hour begins anew */
    if (record->halt_alert_at && wall_ms - record->halt_alert_at < halt_alert_every_ms)
        return;
    transition_alert(t, "system_halted", "critical", record->halt_alert_count);
    record->halt_alert_at = wall_ms > 0 ? wall_ms : 1;
    record->halt_alert_count = 0;
}

static void to_target(struct transition *t)
{
    governor_move(t, governor_target(t->record));
}

static void to_target_unless_active(struct transition *t)
{
    if (governor_target(t->record) != GOVERNOR_ACTIVE)
        to_target(t);
}

static void degrade(struct transition *t)
{
    governor_move(t, GOVERNOR_DEGRADED);
}

static void comply(struct transition *t)
{
    governor_move(t, GOVERNOR_COMPLYING);
}

static void late(struct transition *t)
{
    governor_copy_text(t->ret->action_id, sizeof(t->ret->action_id), span_of(t->input->action_id));
    receipt(t, t->input->kind == INPUT_SUCCEEDED ? RECEIPT_ACTION_SUCCESS : RECEIPT_ACTION_FAILURE);
    transition_reason(t, SPAN("late"));
}

/* The signal whose action was pending ends; read before the move drops pending. */
static void end_acting(struct transition *t, enum disposition how, struct span reason)
{
    const struct governor_pending *pending = t->record->pending;
    struct governor_result *ret = t->ret;
    ret->acting = how;
    ret->acting_redrive = pending->redrive;
    governor_copy_text(ret->acting_id, sizeof(ret->acting_id), span_of(pending->signal_id));
    governor_copy_text(ret->acting_reason, sizeof(ret->acting_reason), reason);
    governor_copy_text(ret->action_id, sizeof(ret->action_id), span_of(pending->action_id));
    governor_copy_text(ret->policy, sizeof(ret->policy), span_of(pending->policy));
    governor_copy_text(ret->action, sizeof(ret->action), span_of(pending->action));
}

static bool is_pending(const struct transition *t)
{
    return t->input->action_id && strcmp(t->input->action_id, t->record->pending->action_id) == 0;
}

static void succeed(struct transition *t)
{
    if (!is_pending(t)) {
        late(t);
        return;
    }
    receipt(t, RECEIPT_ACTION_SUCCESS);
    end_acting(t, SIGNAL_ENDS_EXECUTED, SPAN(""));
    t->record->failures = 0;
    to_target(t);
}

static void open_breaker(struct transition *t, enum breaker_opener by)
{
    governor_move(t, GOVERNOR_HALTED);
    t->record->opened_by = by;
    t->record->breaker_due = by == OPENED_BY_BREAKER ? governor_due(t->now.clock_ms, t->env->breaker_reset_ms) : 0;
}

static void fail(struct transition *t)
{
    struct governor_record *record = t->record;
    if (!is_pending(t)) {
        late(t);
        return;
    }
    struct span reason = t->input->reason.len ? t->input->reason : SPAN("failed");
    bool probe = record->pending->probe;
    receipt(t, RECEIPT_ACTION_FAILURE);
    transition_reason(t, reason);
    end_acting(t, SIGNAL_ENDS_FAILED, reason);
    if (record->failures < UINT32_MAX)
        record->failures++;
    if (!probe && record->failures < t->env->max_failures) {
        to_target(t);
        return;
    }
    open_breaker(t, OPENED_BY_BREAKER);
    transition_reason(t, SPAN("jidoka_halt"));
    transition_alert(t, "circuit_open", "critical", 1);
}

static void boot_timed_out(struct transition *t)
{
    transition_reason(t, SPAN("bootstrap_timeout"));
    transition_alert(t, "bootstrap_timeout", "warning", 1);
    degrade(t);
}

static void test_breaker(struct transition *t)
{
    enum governor_state target = governor_target(t->record);
    governor_move(t, target == GOVERNOR_ACTIVE ? GOVERNOR_TESTING : target);
}

static void halt(struct transition *t)
{
    open_breaker(t, OPENED_BY_OPERATOR);
}

static void halt_acting(struct transition *t)
{
    t->ret->cancel_action = true;
    transition_reason(t, SPAN("halted_in_action"));
    end_acting(t, SIGNAL_ENDS_FAILED, SPAN("halted_in_action"));
    halt(t);
}

static void resume(struct transition *t)
{
    t->record->failures = 0;
    to_target(t);
}

governor_cell *const governor_cells[CELL_COUNT] = {
    [NONE] = stay,
    [WAIT] = wait_for_move,
    [DECIDE] = governor_decide_signal,
    [CRIT] = decide_critical,
    [RQUOTA] = refuse_quota,
    [RDEGR] = refuse_degraded,
    [DEAD] = deadletter,
    [STAY] = stay,
    [TARGET] = to_target,
    [TDIFF] = to_target_unless_active,
    [DEGR] = degrade,
    [COMPLY] = comply,
    [LATE] = late,
    [SUCCEED] = succeed,
    [FAIL] = fail,
    [BOOTOUT] = boot_timed_out,
    [TEST] = test_breaker,
    [HALT] = halt,
    [HALTACT] = halt_acting,
    [RESUME] = resume,
};
