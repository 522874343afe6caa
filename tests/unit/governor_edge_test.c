/* The governor at the ends of its numbers and texts. */
#include "common/utf8.h"
#include "jidoka/governor/internal.h"
#include "support/governor_story.h"

#include <signal.h>

static void active(struct governor_tale *tale)
{
    tale_init(tale);
    tale->fixture.env.auto_activate = true;
    tale_create(tale);
}

Test(governor_edge, creation)
{
    struct governor_tale tale;
    tale_init(&tale);
    tale_create(&tale);
    cr_assert_eq(tale.record.state, GOVERNOR_BOOT);
    cr_assert_eq(tale.record.boot_due, tale.fixture.now.clock_ms + 30000);
    cr_assert_eq(tale.record.created_at, FIXTURE_WALL);
    cr_assert(tale.result.changed && tale.result.receipted);
    cr_assert_eq(tale.result.receipt, RECEIPT_STATE_CHANGE);
    cr_assert_eq(tale.result.disposition, SIGNAL_KEEPS);
    tale_done(&tale);
    active(&tale);
    cr_assert_eq(tale.record.state, GOVERNOR_ACTIVE);
    cr_assert_eq(tale.record.boot_due, 0);
    tale_done(&tale);
}

Test(governor_edge, a_limit_of_zero_allows_nothing_from_the_start)
{
    struct governor_tale tale;
    tale_init(&tale);
    tale.fixture.env.auto_activate = true;
    tale.fixture.env.quota_limit = 0;
    tale_create(&tale);
    cr_assert_eq(tale.record.state, GOVERNOR_SUSPENDED);
    cr_assert_eq(tale.result.alert_count, 1);
    cr_assert_str_eq(tale.result.alerts[0].name, "quota_exceeded");
    tale_input(&tale, INPUT_RESET_QUOTA);
    cr_assert_eq(tale.record.state, GOVERNOR_SUSPENDED);
    cr_assert_eq(tale.result.alert_count, 0);
    tale_done(&tale);
}

Test(governor_edge, pending_says_whose_action_it_is)
{
    struct governor_tale tale;
    active(&tale);
    tale.fixture.verdict = (struct verdict){.kind = VERDICT_ACTION, .policy = SPAN("p"), .action = SPAN("fix")};
    tale_step(&tale, (struct governor_input){.kind = INPUT_SIGNAL, .signal_id = SPAN("s"), .redrive = 7});
    const struct governor_pending *pending = tale.record.pending;
    cr_assert_str_eq(pending->signal_id, "s");
    cr_assert_eq(pending->redrive, 7);
    cr_assert_eq(pending->attempt, 1);
    cr_assert_eq(pending->deadline_ms, tale.fixture.now.clock_ms + 20000);
    cr_assert_str_eq(pending->action_id, tale.result.action_id);
    cr_assert_str_eq(tale.result.policy, "p");
    cr_assert_str_eq(tale.result.action, "fix");
    tale_input(&tale, INPUT_FAILED);
    cr_assert_str_eq(tale.result.acting_id, "s");
    cr_assert_eq(tale.result.acting_redrive, 7);
    cr_assert_str_eq(tale.result.reason, "failed");
    tale_done(&tale);
}

Test(governor_edge, no_policies_allow)
{
    struct governor_tale tale;
    active(&tale);
    tale.fixture.env.decide = NULL;
    tale_input(&tale, INPUT_SIGNAL);
    cr_assert_eq(tale.result.disposition, SIGNAL_ENDS_EXECUTED);
    cr_assert_eq(tale.record.quota_used, 1);
    tale_done(&tale);
}

Test(governor_edge, sums_do_not_overflow)
{
    struct governor_tale tale;
    active(&tale);
    tale.record.quota_used = tale.folded.quota_used = GOVERNOR_NUMBER_MAX;
    tale_signal(&tale, "a", VERDICT_ALLOW);
    cr_assert_eq(tale.record.quota_used, GOVERNOR_NUMBER_MAX);
    tale.record.failures = tale.folded.failures = UINT32_MAX;
    tale.fixture.now.clock_ms = INT64_MAX - 1;
    tale_signal(&tale, "b", VERDICT_ACTION);
    cr_assert_eq(tale.record.pending->deadline_ms, INT64_MAX);
    tale_input(&tale, INPUT_FAILED);
    cr_assert_eq(tale.record.failures, UINT32_MAX);
    cr_assert_eq(tale.record.breaker_due, INT64_MAX);
    tale.record.halt_alert_count = tale.folded.halt_alert_count = UINT32_MAX;
    tale_signal(&tale, "c", VERDICT_ALLOW);
    cr_assert_eq(tale.result.alerts[0].count, UINT32_MAX);
    tale_done(&tale);
    cr_assert_eq(governor_due(0, 0), 1, "0 would be no timer");
}

Test(governor_edge, limits_out_of_range)
{
    struct governor_tale tale;
    struct governor_input input = {.kind = INPUT_ACTIVATE, .has_quota_limit = true, .quota_limit = INT64_MAX};
    active(&tale);
    tale_step(&tale, input);
    cr_assert_eq(tale.record.quota_limit, GOVERNOR_NUMBER_MAX);
    input.quota_limit = INT64_MIN;
    tale_step(&tale, input);
    cr_assert_eq(tale.record.quota_limit, 0);
    cr_assert_eq(tale.record.state, GOVERNOR_SUSPENDED);
    tale_done(&tale);
}

Test(governor_edge, events_before_1970_and_clocks_at_zero)
{
    struct governor_tale tale;
    active(&tale);
    tale_step(&tale, (struct governor_input){.kind = INPUT_CANCELLED, .event_time_ms = -5});
    cr_assert_eq(tale.record.entitlement, ENTITLEMENT_CANCELLED);
    tale_step(&tale, (struct governor_input){.kind = INPUT_ACTIVATED, .event_time_ms = -6});
    cr_assert_str_eq(tale.result.reason, "ignored");
    tale.fixture.now = (struct governor_now){0};
    tale_input(&tale, INPUT_HALT);
    tale_signal(&tale, "a", VERDICT_ALLOW);
    cr_assert_eq(tale.result.alert_count, 1);
    tale_signal(&tale, "b", VERDICT_ALLOW);
    cr_assert_eq(tale.result.alert_count, 0);
    tale_done(&tale);
}

/* A marketplace whose clock is a century ahead must not lock the entitlement: the operator's activate counts as of now.
 */
Test(governor_edge, activate_overrules_an_event_from_the_future)
{
    struct governor_tale tale;
    active(&tale);
    tale_step(&tale,
              (struct governor_input){.kind = INPUT_CANCELLED, .event_time_ms = FIXTURE_WALL + 36500 * FIXTURE_DAY});
    tale_input(&tale, INPUT_ACTIVATED);
    cr_assert_eq(tale.record.state, GOVERNOR_DEGRADED);
    tale_input(&tale, INPUT_ACTIVATE);
    cr_assert_eq(tale.record.state, GOVERNOR_ACTIVE);
    tale_advance(&tale, 1);
    tale_input(&tale, INPUT_SUSPENDED_BY_MARKET);
    cr_assert_eq(tale.record.state, GOVERNOR_DEGRADED);
    tale_done(&tale);
}

Test(governor_edge, long_reasons_are_cut_between_characters)
{
    struct governor_tale tale;
    char text[400];
    for (size_t i = 0; i + 2 < sizeof(text); i += 3)
        for (size_t k = 0; k < 3; k++)
            text[i + k] = "\xe2\x82\xac"[k];
    for (size_t lead = 0; lead < 3; lead++) {
        active(&tale);
        memset(text, 'x', 3);
        struct span reason = {text + lead, 390};
        tale_step(&tale, (struct governor_input){.kind = INPUT_HALT, .reason = reason});
        size_t len = strlen(tale.result.reason);
        cr_assert(len >= GOVERNOR_REASON_MAX - 3 && len < GOVERNOR_REASON_MAX);
        cr_assert(utf8_valid(span_of(tale.result.reason)));
        tale_done(&tale);

        active(&tale);
        tale.fixture.verdict = (struct verdict){.kind = VERDICT_DENY, .policy = SPAN("p"), .reason = reason};
        tale_step(&tale, (struct governor_input){.kind = INPUT_SIGNAL});
        cr_assert(strncmp(tale.result.reason, "policy_denied:p:x", 17) == 0);
        cr_assert(utf8_valid(span_of(tale.result.reason)));
        tale_done(&tale);
    }
}

Test(governor_edge, signal_id_too_long_aborts, .signal = SIGABRT)
{
    struct governor_tale tale;
    char id[130];
    memset(id, 'i', sizeof(id));
    active(&tale);
    tale.fixture.verdict = (struct verdict){.kind = VERDICT_ACTION, .action = SPAN("fix")};
    tale_step(&tale, (struct governor_input){.kind = INPUT_SIGNAL, .signal_id = {id, 129}});
}

Test(governor_edge, record_stays_small)
{
    cr_assert_leq(sizeof(struct governor_record), 256);
}

/* What the action calls is busy: the signal is deferred, and nothing of the decision remains, whatever the state. */
static void check_deferred(struct governor_tale *tale, bool critical)
{
    struct governor_record before;
    governor_record_copy(&before, &tale->record);
    tale->fixture.busy = true;
    tale->fixture.now.wall_ms += 40 * FIXTURE_DAY; /* the quota's period is over */
    tale->fixture.verdict = (struct verdict){.kind = VERDICT_ACTION,
                                             .policy = SPAN("p"),
                                             .action = SPAN("fix"),
                                             .policy_state = "{\"p\":{\"spent\":2}}",
                                             .alert = "cost_budget_warning"};
    tale_step(tale, (struct governor_input){.kind = INPUT_SIGNAL, .critical = critical, .signal_id = SPAN("s")});
    struct buf delta;
    buf_init(&delta, 1 << 16);
    governor_delta(&before, &tale->record, &delta);
    cr_assert_str_eq(buf_cstr(&delta), "{}");
    buf_done(&delta);
    cr_assert_eq(tale->result.disposition, SIGNAL_IS_DEFERRED);
    cr_assert_eq(tale->result.wait_ms, 700);
    cr_assert_eq(tale->record.last_signal_at, before.last_signal_at);
    cr_assert(!tale->result.changed && !tale->result.receipted && !tale->result.releases);
    cr_assert_eq(tale->result.alert_count, 0);
    cr_assert_eq(tale->fixture.actions, 0);
    governor_record_done(&before);
    tale->fixture.verdict.kind = VERDICT_DENY; /* a denial needs nobody */
    tale_step(tale, (struct governor_input){.kind = INPUT_SIGNAL, .critical = critical, .signal_id = SPAN("s")});
    cr_assert_eq(tale->result.disposition, SIGNAL_ENDS_DENIED);
    tale->fixture.verdict.kind = VERDICT_ACTION;
    tale->fixture.busy = false;
    tale_step(tale, (struct governor_input){.kind = INPUT_SIGNAL, .critical = critical, .signal_id = SPAN("s")});
    cr_assert_eq(tale->result.disposition, SIGNAL_ACTS);
    tale_done(tale);
}

Test(governor_edge, a_deferral_changes_nothing_in_active)
{
    struct governor_tale tale;
    tale_init(&tale);
    tale.fixture.env.auto_activate = true;
    tale.fixture.env.quota_limit = 10;
    tale.fixture.env.quota_period = PERIOD_DAY;
    tale_create(&tale);
    tale_input(&tale, INPUT_SIGNAL);
    check_deferred(&tale, false);
}

Test(governor_edge, a_deferral_changes_nothing_in_degraded)
{
    struct governor_tale tale;
    active(&tale);
    tale_input(&tale, INPUT_SUSPENDED_BY_MARKET);
    check_deferred(&tale, true);
}

Test(governor_edge, a_deferral_changes_nothing_in_testing)
{
    struct governor_tale tale;
    active(&tale);
    tale.fixture.env.max_failures = 1;
    tale.fixture.verdict = (struct verdict){.kind = VERDICT_ACTION, .policy = SPAN("p"), .action = SPAN("fix")};
    tale_input(&tale, INPUT_SIGNAL);
    tale_input(&tale, INPUT_FAILED);
    tale.fixture.now.clock_ms += 60000;
    tale_input(&tale, INPUT_BREAKER_RESET);
    cr_assert_eq(tale.record.state, GOVERNOR_TESTING);
    tale.fixture.actions = 0;
    check_deferred(&tale, false);
}
