/* Policies in order, their states and alerts; finding actions. */
#include "jidoka/actions/action.h"
#include "jidoka/policies/policy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static const struct governor_now now = {.wall_ms = 1795186560000, .clock_ms = 1};
static const struct action_config revoke = {.name = "revoke", .type = CONFIG_ACTION_NONE};

static struct policy_config budget(const char *name, int64_t units)
{
    return (struct policy_config){.type = CONFIG_POLICY_COST_GOVERNANCE,
                                  .name = name,
                                  .budget_micro = units * 1000000,
                                  .warn_ratio_micro = 1000000,
                                  .window = CONFIG_PERIOD_DAY};
}

static struct policy_set *set_of(const struct policy_config *policies, size_t count)
{
    struct policy_set *set = NULL;
    struct error err = {0};
    cr_assert_eq(policy_set_new(policies, count, &set, &err), 0, "%s", err.text);
    return set;
}

static struct verdict decide(struct policy_set *set, const char *data, char *policy_state)
{
    struct governor_record record = {.policy_state = policy_state};
    struct policy_signal signal = {.id = SPAN("s"), .type = SPAN("cost")};
    return policy_set_decide(set, &signal, span_of(data), &record, now);
}

Test(policy, without_policies_everything_is_allowed)
{
    struct policy_set *set = set_of(NULL, 0);
    struct verdict verdict = decide(set, "{\"cost\":1}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_ALLOW);
    cr_assert_eq(verdict.policy.len, 0);
    cr_assert_null(verdict.policy_state);
    policy_set_free(set);
    policy_set_free(NULL);
}

Test(policy, all_pass)
{
    struct policy_config policies[] = {budget("b", 10), budget("a", 10)};
    struct policy_set *set = set_of(policies, 2);
    static const char *const none[] = {"", "null", "{}", "[]", "1", "\"x\"", "{\"cost\":null}", "{\"Cost\":5}"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct verdict verdict = decide(set, none[i], NULL);
        cr_assert_eq(verdict.kind, VERDICT_ALLOW, "%s", none[i]);
        cr_assert_eq(verdict.policy.len, 0);
        cr_assert_null(verdict.policy_state);
    }
    struct verdict verdict = decide(set, "{\"cost\":2}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_ALLOW);
    cr_assert_str_eq(verdict.policy_state, "{\"a\":{\"spent\":2000000,\"warned\":false,\"window\":1795132800000},"
                                           "\"b\":{\"spent\":2000000,\"warned\":false,\"window\":1795132800000}}");
    policy_set_free(set);
}

/* What an earlier policy counted is not kept when a later one denies, nor is its alert raised. */
Test(policy, a_deny_keeps_nothing_of_those_that_passed)
{
    struct policy_config policies[] = {budget("wide", 100), budget("narrow", 1)};
    policies[0].warn_ratio_micro = 0;
    struct policy_set *set = set_of(policies, 2);
    struct verdict verdict = decide(set, "{\"cost\":2}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_DENY);
    cr_assert(span_is(verdict.policy, "narrow"));
    cr_assert(span_is(verdict.reason, "over_budget"));
    cr_assert_null(verdict.policy_state);
    cr_assert_null(verdict.alert);
    verdict = decide(set, "{\"cost\":0.5}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_ALLOW);
    cr_assert_str_eq(verdict.alert, "cost_budget_warning");
    policy_set_free(set);
}

/* The first that does not pass decides; the others are not asked. */
Test(policy, order)
{
    struct policy_config policies[] = {budget("first", 1), budget("second", 0)};
    policies[0].on_exceeded = CONFIG_EXCEEDED_ACTION;
    policies[0].action = &revoke;
    struct policy_set *set = set_of(policies, 2);
    struct verdict verdict = decide(set, "{\"cost\":2}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_ACTION);
    cr_assert(span_is(verdict.policy, "first"));
    cr_assert(span_is(verdict.action, "revoke"));
    cr_assert_str_eq(verdict.policy_state, "{\"first\":{\"spent\":2000000,\"warned\":true,\"window\":1795132800000}}");
    verdict = decide(set, "{\"cost\":1}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_DENY);
    cr_assert(span_is(verdict.policy, "second"));
    policy_set_free(set);
}

Test(policy, states_of_others_stay_and_of_unknown_ones_go)
{
    struct policy_config policies[] = {budget("a", 10), budget("b", 10)};
    struct policy_set *set = set_of(policies, 2);
    char state[] = "{\"a\":{\"spent\":1,\"warned\":false,\"window\":1795132800000},"
                   "\"b\":{\"spent\":9999999,\"warned\":false,\"window\":1795132800000},\"gone\":{}}";
    struct verdict verdict = decide(set, "{\"cost\":\"0.000001\"}", state);
    cr_assert_str_eq(verdict.policy_state, "{\"a\":{\"spent\":2,\"warned\":false,\"window\":1795132800000},"
                                           "\"b\":{\"spent\":10000000,\"warned\":true,\"window\":1795132800000}}");
    cr_assert_str_eq(verdict.alert, "cost_budget_warning");
    verdict = decide(set, "{}", state);
    cr_assert_null(verdict.policy_state);
    policy_set_free(set);
}

Test(policy, state_that_cannot_be_read_denies)
{
    struct policy_config policies[] = {budget("a", 10)};
    struct policy_set *set = set_of(policies, 1);
    char broken[] = "{\"a\":", list[] = "[]", odd[] = "{\"a\":{\"spent\":-1,\"warned\":false,\"window\":0}}",
         other[] = "{\"a\":7}", less[] = "{\"a\":{\"spent\":1}}";
    char *const states[] = {broken, list, odd, other, less};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct verdict verdict = decide(set, "{\"cost\":1}", states[i]);
        cr_assert_eq(verdict.kind, VERDICT_DENY, "%s", states[i]);
        cr_assert(span_is(verdict.reason, "bad_state"), "%s", states[i]);
    }
    struct verdict verdict = decide(set, "{\"cost\"", NULL);
    cr_assert(verdict.kind == VERDICT_DENY && span_is(verdict.reason, "bad_data"));
    policy_set_free(set);
}

Test(policy, states_that_are_too_large_together_deny)
{
    struct policy_config policies[100];
    char names[100][65];
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof(names[i]), "policy-%057d", i);
        policies[i] = budget(names[i], 10);
    }
    struct policy_set *set = set_of(policies, 100);
    struct verdict verdict = decide(set, "{\"cost\":1}", NULL);
    cr_assert_eq(verdict.kind, VERDICT_DENY);
    cr_assert(span_is(verdict.policy, names[99]));
    cr_assert(span_is(verdict.reason, "state_too_large"));
    cr_assert_null(verdict.policy_state);
    policy_set_free(set);
}

Test(policy, names)
{
    char large[66] = {0};
    memset(large, 'n', sizeof(large) - 1);
    const char *const bad[] = {"", "a b", "a\"", "a\\", "\xc3\xa4", large};
    struct policy_set *set = NULL;
    struct error err = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct policy_config policy = budget(bad[i], 1);
        cr_assert_eq(policy_set_new(&policy, 1, &set, &err), -EINVAL, "%s", bad[i]);
        cr_assert_null(set);
    }
    struct policy_config twice[] = {budget("a", 1), budget("b", 1), budget("a", 1)};
    cr_assert_eq(policy_set_new(twice, 3, &set, &err), -EINVAL);
    cr_assert_str_eq(err.text, "two policies are called a");
}

Test(action, found_by_name)
{
    cr_assert_eq(action_type_find(action_types, "none"), &action_none);
    cr_assert_null(action_none.start);
    cr_assert_null(action_type_find(action_types, "http2"));
    cr_assert_null(action_type_find(action_types, ""));
}
