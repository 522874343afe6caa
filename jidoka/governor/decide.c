/* Deciding one signal: quota first, then the policies' verdict, then what it means for record and signal. The only
 * place that uses quota. Pure, any thread. */
#include "common/mem.h"
#include "jidoka/governor/internal.h"

#include <stdio.h>

void governor_settle_period(struct transition *t)
{
    int64_t begin = period_begin(t->record->quota_period, t->now.wall_ms);
    if (t->record->period_start > begin)
        t->record->period_start = begin;
}

/* A decision is always counted in the period it falls in, also when the timer has not fired yet. */
static void roll_period(struct transition *t)
{
    struct governor_record *record = t->record;
    int64_t begin = period_begin(record->quota_period, t->now.wall_ms);
    if (record->period_start < begin)
        record->quota_used = 0;
    record->period_start = begin;
}

static void refuse_quota(struct transition *t)
{
    transition_end(t, SIGNAL_ENDS_REFUSED, RECEIPT_REFUSAL, "quota_exceeded");
    governor_move(t, governor_target(t->record));
}

static void keep_state(struct transition *t, const struct verdict *verdict)
{
    if (verdict->policy_state)
        transition_set_text(t, &t->record->policy_state, span_of(verdict->policy_state));
}

static void deny(struct transition *t, const struct verdict *verdict)
{
    char reason[GOVERNOR_REASON_MAX];
    struct span policy = verdict->policy.len ? verdict->policy : SPAN("governor");
    int len =
        snprintf(reason, sizeof(reason), "policy_denied:%.*s:", policy.len < 64 ? (int)policy.len : 64, policy.ptr);
    governor_copy_text(reason + len, sizeof(reason) - (size_t)len, verdict->reason);
    transition_end(t, SIGNAL_ENDS_DENIED, RECEIPT_REFUSAL, reason);
}

static void execute(struct transition *t)
{
    transition_end(t, SIGNAL_ENDS_EXECUTED, RECEIPT_ACTION_SUCCESS, "");
    if (t->record->state == GOVERNOR_TESTING)
        t->record->failures = 0;
    governor_move(t, governor_target(t->record));
}

static void act(struct transition *t, const struct verdict *verdict)
{
    struct governor_record *record = t->record;
    struct governor_pending *pending = xcalloc(1, sizeof(*pending));
    if (t->input->signal_id.len >= sizeof(pending->signal_id))
        governor_abort(record, "signal id longer than 128 bytes");
    t->env->action_id(t->env->ctx, verdict->action, pending->action_id);
    governor_copy_text(pending->policy, sizeof(pending->policy), verdict->policy);
    governor_copy_text(pending->action, sizeof(pending->action), verdict->action);
    governor_copy_text(pending->signal_id, sizeof(pending->signal_id), t->input->signal_id);
    pending->redrive = t->input->redrive;
    pending->attempt = 1; /* committed with the intent, so the first request need not wait for another commit */
    pending->deadline_ms = governor_due(t->now.clock_ms, t->env->action_timeout_ms);
    pending->probe = record->state == GOVERNOR_TESTING;
    governor_move(t, GOVERNOR_ACTION_PENDING);
    record->pending = pending;
    transition_end(t, SIGNAL_ACTS, RECEIPT_ACTION_INTENT, "");
    memcpy(t->ret->action_id, pending->action_id, sizeof(t->ret->action_id));
}

static struct verdict ask(struct transition *t)
{
    if (!t->env->decide)
        return (struct verdict){.kind = VERDICT_ALLOW};
    struct verdict verdict = t->env->decide(t->env->ctx, t->record, t->now);
    if (verdict.policy_state && strlen(verdict.policy_state) > POLICY_STATE_MAX)
        return (struct verdict){.kind = VERDICT_DENY, .policy = verdict.policy, .reason = SPAN("state_too_large")};
    return verdict;
}

static bool must_wait(struct transition *t, const struct verdict *verdict)
{
    return verdict->kind == VERDICT_ACTION && t->env->ready &&
           !t->env->ready(t->env->ctx, verdict->action, &t->ret->wait_ms);
}

/* Nothing of the decision remains: neither what the policies would remember nor the period that was begun. */
static void defer(struct transition *t, int64_t period_start, int64_t quota_used)
{
    t->record->period_start = period_start;
    t->record->quota_used = quota_used;
    t->ret->disposition = SIGNAL_IS_DEFERRED;
}

void governor_decide_signal(struct transition *t)
{
    struct governor_record *record = t->record;
    int64_t period_start = record->period_start, quota_used = record->quota_used;
    roll_period(t);
    if (record->quota_limit != QUOTA_NONE && record->quota_used >= record->quota_limit) {
        refuse_quota(t);
        return;
    }
    struct verdict verdict = ask(t);
    if (must_wait(t, &verdict)) {
        defer(t, period_start, quota_used);
        return;
    }
    if (verdict.alert)
        transition_alert(t, verdict.alert, "warning", 1);
    governor_copy_text(t->ret->policy, sizeof(t->ret->policy), verdict.policy);
    governor_copy_text(t->ret->action, sizeof(t->ret->action), verdict.action);
    keep_state(t, &verdict);
    if (verdict.kind == VERDICT_DENY) {
        deny(t, &verdict);
        return;
    }
    if (record->quota_used < GOVERNOR_NUMBER_MAX)
        record->quota_used++;
    if (verdict.kind == VERDICT_ACTION)
        act(t, &verdict);
    else
        execute(t);
}
