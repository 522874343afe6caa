/* A governor on virtual time whose every step is checked and told as a line of text:
 *
 *   +61.000 breaker_reset: halted > testing, state_change breaker_reset {'state':'testing'} releases
 *
 * time since the start, input: the move, `signal` and `acting` as they end, the receipt's type and reason, the
 * receipted fields, alerts. After each step the record folded from the receipts alone must equal the record. */
#ifndef TAI_TESTS_GOVERNOR_STORY_H
#define TAI_TESTS_GOVERNOR_STORY_H

#include "support/governor_fixture.h"

#include <criterion/criterion.h>

struct governor_tale {
    struct fixture fixture;
    struct governor_record record;
    struct governor_record folded; /* from receipts only */
    struct governor_result result;
    struct buf trace;
    struct governor_now start;
    char action_id[UUID_TEXT + 1]; /* of the last intent */
    unsigned receipts;
};

static inline void tale_init(struct governor_tale *tale)
{
    *tale = (struct governor_tale){0};
    fixture_init(&tale->fixture);
    tale->start = tale->fixture.now;
    buf_init(&tale->trace, 1 << 20);
}

static inline void tale_done(struct governor_tale *tale)
{
    governor_record_done(&tale->record);
    governor_record_done(&tale->folded);
    buf_done(&tale->trace);
}

static inline void tale_advance(struct governor_tale *tale, int64_t ms)
{
    tale->fixture.now.wall_ms += ms;
    tale->fixture.now.clock_ms += ms;
}

static inline bool tale_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Field by field, so that one that governor_delta forgets is missed here. */
static inline void tale_compare(const struct governor_record *a, const struct governor_record *b)
{
    cr_assert(a->state == b->state && a->entitlement == b->entitlement && a->quota_period == b->quota_period &&
              a->opened_by == b->opened_by && a->refund_open == b->refund_open);
    cr_assert(a->failures == b->failures && a->quota_limit == b->quota_limit && a->quota_used == b->quota_used &&
              a->period_start == b->period_start && a->created_at == b->created_at);
    cr_assert(a->last_entitlement_event_at == b->last_entitlement_event_at &&
              a->last_refund_event_at == b->last_refund_event_at && a->halt_alert_at == b->halt_alert_at &&
              a->halt_alert_count == b->halt_alert_count);
    cr_assert(tale_same_text(a->sku_id, b->sku_id) && tale_same_text(a->policy_state, b->policy_state));
    cr_assert_eq(a->pending != NULL, b->pending != NULL);
    if (a->pending)
        cr_assert(strcmp(a->pending->action_id, b->pending->action_id) == 0 &&
                  strcmp(a->pending->policy, b->pending->policy) == 0 &&
                  strcmp(a->pending->action, b->pending->action) == 0 && a->pending->probe == b->pending->probe &&
                  strcmp(a->pending->signal_id, b->pending->signal_id) == 0 &&
                  a->pending->redrive == b->pending->redrive);
}

static inline void tale_fold(struct governor_tale *tale, const struct governor_record *before, struct buf *delta)
{
    struct error err = {0};
    governor_delta(before, &tale->record, delta);
    cr_assert(!delta->failed);
    if (tale->result.receipted) {
        tale->receipts++;
        cr_assert_eq(governor_apply(&tale->folded, buf_span(delta), &err), 0, "%s", err.text);
    } else {
        cr_assert_str_eq(buf_cstr(delta), "{}", "changed without a receipt");
    }
    tale_compare(&tale->folded, &tale->record);
}

/* Single quotes instead of double ones: a story is a C string in a test. */
static inline void tale_quotes(struct buf *delta)
{
    for (size_t i = 0; i < delta->len; i++)
        if (delta->data[i] == '"')
            delta->data[i] = '\'';
}

static inline void tale_line(struct governor_tale *tale, const char *name, struct buf *delta)
{
    const struct governor_result *r = &tale->result;
    struct buf *out = &tale->trace;
    char alerts[128];
    int64_t at = tale->fixture.now.wall_ms - tale->start.wall_ms;
    fixture_alerts(r, alerts, sizeof(alerts));
    tale_quotes(delta);
    buf_addf(out, "+%lld.%03lld %s: %s", (long long)(at / 1000), (long long)(at % 1000), name,
             governor_state_names[r->state_before]);
    if (r->state_before != r->state_after)
        buf_addf(out, " > %s", governor_state_names[r->state_after]);
    if (r->disposition != SIGNAL_KEEPS)
        buf_addf(out, ", signal %s", fixture_disposition(r->disposition));
    if (r->acting != SIGNAL_KEEPS)
        buf_addf(out, ", %s.%u %s%s%s", r->acting_id, r->acting_redrive, fixture_disposition(r->acting),
                 r->acting_reason[0] ? " " : "", r->acting_reason);
    if (r->receipted)
        buf_addf(out, ", %s%s%s %s", receipt_type_names[r->receipt], r->reason[0] ? " " : "", r->reason,
                 buf_cstr(delta));
    if (r->cancel_action)
        buf_add_str(out, " cancels");
    if (r->releases)
        buf_add_str(out, " releases");
    if (alerts[0])
        buf_addf(out, " [%s]", alerts);
    buf_add_char(out, '\n');
}

static inline void tale_create(struct governor_tale *tale)
{
    struct buf delta;
    buf_init(&delta, 1 << 16);
    governor_create(&tale->record, &tale->fixture.env, tale->fixture.now, SPAN("gold"), &tale->result);
    tale_fold(tale, NULL, &delta);
    tale_line(tale, "create", &delta);
    buf_done(&delta);
}

static inline void tale_step(struct governor_tale *tale, struct governor_input input)
{
    struct governor_record before;
    struct buf delta;
    char name[40];
    buf_init(&delta, 1 << 16);
    governor_record_copy(&before, &tale->record);
    bool resulted = input.kind == INPUT_SUCCEEDED || input.kind == INPUT_FAILED;
    if (resulted && !input.action_id)
        input.action_id = tale->action_id;
    tale->fixture.asked = 0;
    governor_step(&tale->record, &tale->fixture.env, &input, tale->fixture.now, &tale->result);
    if (tale->result.disposition == SIGNAL_ACTS)
        memcpy(tale->action_id, tale->result.action_id, sizeof(tale->action_id));
    snprintf(name, sizeof(name), "%s%s", governor_input_names[input.kind], input.critical ? "!" : "");
    tale_fold(tale, &before, &delta);
    tale_line(tale, name, &delta);
    governor_record_done(&before);
    buf_done(&delta);
}

static inline void tale_input(struct governor_tale *tale, enum governor_input_kind kind)
{
    tale_step(tale, (struct governor_input){.kind = kind, .event_time_ms = tale->fixture.now.wall_ms});
}

static inline void tale_signal(struct governor_tale *tale, const char *id, enum verdict_kind verdict)
{
    tale->fixture.verdict = (struct verdict){.kind = verdict, .policy = SPAN("p")};
    if (verdict == VERDICT_ACTION)
        tale->fixture.verdict.action = SPAN("fix");
    if (verdict == VERDICT_DENY)
        tale->fixture.verdict.reason = SPAN("no");
    tale_step(tale, (struct governor_input){.kind = INPUT_SIGNAL, .signal_id = span_of(id)});
}

#endif
