/* cost_governance: reading costs exactly, windows, warnings, budgets; and with a governor, that only what was allowed
 * is counted. */
#include "jidoka/policies/policy.h"
#include "support/governor_fixture.h"

#include <criterion/criterion.h>

static const struct action_config revoke = {.name = "revoke", .type = CONFIG_ACTION_NONE};

static struct policy_config config_of(int64_t budget_micro)
{
    return (struct policy_config){.type = CONFIG_POLICY_COST_GOVERNANCE,
                                  .name = "cost",
                                  .budget_micro = budget_micro,
                                  .warn_ratio_micro = 800000,
                                  .window = CONFIG_PERIOD_HOUR,
                                  .action = &revoke};
}

struct ask {
    struct policy_config config;
    int64_t wall_ms;
    char state[128];
    struct policy_answer answer;
};

/* Asks once; keeps the state as the governor would, unless denied. */
static void ask(struct ask *ask, const char *cost)
{
    struct json_doc data;
    struct buf text, new_state;
    json_init(&data);
    buf_init(&text, 1 << 16);
    buf_init(&new_state, POLICY_STATE_MAX);
    buf_addf(&text, "{\"other\":[1,{\"cost\":5}],\"cost\":%s}", cost);
    cr_assert_eq(json_parse(&data, buf_span(&text), NULL), 0, "%s", cost);
    struct policy_signal signal = {.data = &data, .root = &data.nodes[0]};
    struct governor_record record = {0};
    struct governor_now now = {.wall_ms = ask->wall_ms ? ask->wall_ms : FIXTURE_WALL};
    policy_cost_governance.decide(&ask->config, &signal, &record, now, span_of(ask->state), &new_state, &ask->answer);
    cr_assert(!new_state.failed);
    cr_assert(ask->answer.state_changed || new_state.len == 0);
    cr_assert(ask->answer.kind != POLICY_DENY || !ask->answer.state_changed, "a deny must not be counted");
    if (ask->answer.state_changed)
        snprintf(ask->state, sizeof(ask->state), "%s", buf_cstr(&new_state));
    json_done(&data);
    buf_done(&text);
    buf_done(&new_state);
}

static long long spent(const struct ask *ask)
{
    long long value = 0;
    if (ask->state[0])
        cr_assert_eq(sscanf(ask->state, "{\"spent\":%lld,", &value), 1, "%s", ask->state);
    return value;
}

static const struct {
    const char *cost;
    long long micro; /* -1: bad_cost */
} costs[] = {
    {"1", 1000000},
    {"\"1\"", 1000000},
    {"\"\\u0031.5\"", 1500000},
    {"0.000001", 1},
    {"0.0000005", 1},
    {"0.00000049999", 0},
    {"1.23456749", 1234567},
    {"1.2345675", 1234568},
    {"0.9999999", 1000000},
    {"0.30000000000000004", 300000},
    {"9.99e-1", 999000},
    {"1e-6", 1},
    {"10e-7", 1},
    {"1.5E+3", 1500000000},
    {"\"2e1\"", 20000000},
    {"0.001e3", 1000000},
    {"0.00000000000000000000000000000000001e35", 1000000},
    {"0", 0},
    {"0.0", 0},
    {"-0", 0},
    {"\"-0.00\"", 0},
    {"0e99", 0},
    {"0e-99999", 0},
    {"9007199254.740991", 9007199254740991},
    {"9007199254.7409914", 9007199254740991},
    {"9.007199254740991e9", 9007199254740991},
    {"1e-7", -1},
    {"15e-7", -1},
    {"1.0000001e0", -1},
    {"-1", -1},
    {"-0.0000001", -1},
    {"\"-1\"", -1},
    {"9007199254.740992", -1},
    {"9007199254.7409915", -1},
    {"1e10", -1},
    {"1e300", -1},
    {"18446744073709.551616", -1},
    {"100000000000000000000000000000000000000000", -1},
    {"\"1e999999999999\"", -1},
    {"\"1e-999999999999\"", -1},
    {"\"\"", -1},
    {"\"-\"", -1},
    {"\"+1\"", -1},
    {"\" 1\"", -1},
    {"\"1 \"", -1},
    {"\"01\"", -1},
    {"\".5\"", -1},
    {"\"5.\"", -1},
    {"\"1e\"", -1},
    {"\"1e+\"", -1},
    {"\"1,5\"", -1},
    {"\"1.5.2\"", -1},
    {"\"0x10\"", -1},
    {"\"NaN\"", -1},
    {"\"Infinity\"", -1},
    {"\"1\\n\"", -1},
    {"true", -1},
    {"[1]", -1},
    {"{\"amount\":1}", -1},
};

Test(cost_governance, costs_are_read_exactly)
{
    for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
        struct ask a = {.config = config_of(9007199254740991)};
        a.config.warn_ratio_micro = 1000000;
        ask(&a, costs[i].cost);
        if (costs[i].micro < 0) {
            cr_assert_eq(a.answer.kind, POLICY_DENY, "%s is %lld", costs[i].cost, spent(&a));
            cr_assert_str_eq(a.answer.reason, "bad_cost", "%s", costs[i].cost);
        } else {
            cr_assert_eq(a.answer.kind, POLICY_PASS, "%s", costs[i].cost);
            cr_assert_eq(spent(&a), costs[i].micro, "%s is %lld", costs[i].cost, spent(&a));
        }
    }
}

/* Numbers as long as a signal may carry. */
Test(cost_governance, very_long_numbers)
{
    static char text[60100];
    struct ask a = {.config = config_of(9007199254740991)};
    snprintf(text, sizeof(text), "0.%060000d", 1);
    ask(&a, text);
    cr_assert_eq(a.answer.kind, POLICY_PASS);
    cr_assert_eq(spent(&a), 0);
    snprintf(text, sizeof(text), "0.%060000de60000", 1);
    ask(&a, text);
    cr_assert_eq(a.answer.kind, POLICY_PASS);
    cr_assert_eq(spent(&a), 1000000);
    snprintf(text, sizeof(text), "\"1%060000d\"", 0);
    ask(&a, text);
    cr_assert_eq(a.answer.kind, POLICY_DENY);
    snprintf(text, sizeof(text), "\"1%060000de-60000\"", 0);
    ask(&a, text);
    cr_assert_eq(spent(&a), 2000000);
}

Test(cost_governance, warns_once_and_denies_over_the_budget)
{
    struct ask a = {.config = config_of(10000000)};
    ask(&a, "7.999999");
    cr_assert_null(a.answer.alert);
    ask(&a, "0.000001");
    cr_assert_str_eq(a.answer.alert, "cost_budget_warning");
    ask(&a, "1");
    cr_assert_null(a.answer.alert);
    ask(&a, "1.000001");
    cr_assert_eq(a.answer.kind, POLICY_DENY);
    cr_assert_str_eq(a.answer.reason, "over_budget");
    cr_assert_eq(spent(&a), 9000000);
    ask(&a, "1");
    cr_assert_eq(a.answer.kind, POLICY_PASS);
    cr_assert_str_eq(a.state, "{\"spent\":10000000,\"warned\":true,\"window\":1795183200000}");
    ask(&a, "0.000001");
    cr_assert_eq(a.answer.kind, POLICY_DENY);
    ask(&a, "0");
    cr_assert_eq(a.answer.kind, POLICY_PASS);
}

Test(cost_governance, acts_over_the_budget_and_counts_it)
{
    struct ask a = {.config = config_of(10000000)};
    a.config.on_exceeded = CONFIG_EXCEEDED_ACTION;
    ask(&a, "11");
    cr_assert_eq(a.answer.kind, POLICY_ACTION);
    cr_assert_str_eq(a.answer.action, "revoke");
    cr_assert_str_eq(a.answer.alert, "cost_budget_warning");
    ask(&a, "1");
    cr_assert_eq(a.answer.kind, POLICY_ACTION);
    cr_assert_null(a.answer.alert);
    cr_assert_eq(spent(&a), 12000000);
    ask(&a, "9007199254");
    cr_assert_eq(a.answer.kind, POLICY_DENY, "a sum that cannot be counted");
    cr_assert_str_eq(a.answer.reason, "over_budget");
}

Test(cost_governance, no_budget_and_ratios_at_the_ends)
{
    struct ask none = {.config = config_of(0)};
    ask(&none, "0.000001");
    cr_assert_eq(none.answer.kind, POLICY_DENY);
    ask(&none, "0");
    cr_assert_eq(none.answer.kind, POLICY_PASS);
    struct ask whole = {.config = config_of(3)};
    whole.config.warn_ratio_micro = 1000000;
    ask(&whole, "0.000002");
    cr_assert_null(whole.answer.alert);
    ask(&whole, "0.000001");
    cr_assert_not_null(whole.answer.alert);
    struct ask zero = {.config = config_of(3)};
    zero.config.warn_ratio_micro = 0;
    ask(&zero, "0.000001");
    cr_assert_not_null(zero.answer.alert);
    struct ask third = {.config = config_of(3)}; /* 0.8 of 3 micro-units: 2.4, not rounded */
    ask(&third, "0.000002");
    cr_assert_null(third.answer.alert);
}

Test(cost_governance, windows)
{
    static const struct {
        enum config_period window;
        int64_t length_ms;
        int64_t begin;
    } windows[] = {
        {CONFIG_PERIOD_HOUR, 3600000, 1795183200000},
        {CONFIG_PERIOD_DAY, 86400000, 1795132800000},
        {CONFIG_PERIOD_MONTH, 30LL * 86400000, 1793491200000}, /* November 2026 */
    };
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        struct ask a = {.config = config_of(10000000)};
        char want[96];
        a.config.window = windows[i].window;
        ask(&a, "9");
        cr_assert_not_null(a.answer.alert);
        a.wall_ms = windows[i].begin + windows[i].length_ms - 1;
        ask(&a, "0.5");
        snprintf(want, sizeof(want), "{\"spent\":9500000,\"warned\":true,\"window\":%lld}",
                 (long long)windows[i].begin);
        cr_assert_str_eq(a.state, want, "%s", a.state);
        a.wall_ms++;
        ask(&a, "9");
        cr_assert_not_null(a.answer.alert, "once a window");
        cr_assert_eq(spent(&a), 9000000);
        a.wall_ms--; /* a clock that goes back does not open the budget again */
        ask(&a, "0.5");
        cr_assert_eq(spent(&a), 9500000);
        cr_assert_str_eq(a.state, want);
    }
}

struct governed {
    struct fixture fixture;
    struct policy_set *set;
    const char *data;
};

static struct verdict decide(void *ctx, const struct governor_record *record, struct governor_now now)
{
    struct governed *g = ctx;
    struct policy_signal signal = {.id = SPAN("s")};
    return policy_set_decide(g->set, &signal, span_of(g->data), record, now);
}

static void governed_action_id(void *ctx, struct span action, char ret[UUID_TEXT + 1])
{
    struct governed *g = ctx;
    fixture_action_id(&g->fixture, action, ret);
}

/* With the governor: waiting and refused signals spend nothing, nor do denied ones. */
Test(cost_governance, with_a_governor_only_what_is_allowed_is_spent)
{
    struct policy_config config = config_of(10000000);
    struct governed g = {.data = "{\"cost\":4}"};
    struct governor_record record;
    struct governor_result result;
    cr_assert_eq(policy_set_new(&config, 1, &g.set, NULL), 0);
    fixture_init(&g.fixture);
    struct governor_env env = g.fixture.env;
    env.decide = decide;
    env.action_id = governed_action_id;
    env.ctx = &g;
    struct governor_input signal = {.kind = INPUT_SIGNAL, .signal_id = SPAN("s")};
    governor_create(&record, &env, g.fixture.now, SPAN(""), &result);
    governor_step(&record, &env, &signal, g.fixture.now, &result);
    cr_assert_eq(result.disposition, SIGNAL_WAITS);
    cr_assert_null(record.policy_state);
    governor_step(&record, &env, &(struct governor_input){.kind = INPUT_ACTIVATE}, g.fixture.now, &result);
    governor_step(&record, &env, &signal, g.fixture.now, &result);
    cr_assert_str_eq(record.policy_state, "{\"cost\":{\"spent\":4000000,\"warned\":false,\"window\":1795183200000}}");
    governor_step(&record, &env, &signal, g.fixture.now, &result);
    cr_assert_eq(result.alert_count, 1);
    cr_assert_str_eq(result.alerts[0].name, "cost_budget_warning");
    cr_assert_str_eq(result.alerts[0].severity, "warning");
    governor_step(&record, &env, &signal, g.fixture.now, &result);
    cr_assert_eq(result.disposition, SIGNAL_ENDS_DENIED);
    cr_assert_str_eq(result.reason, "policy_denied:cost:over_budget");
    cr_assert_str_eq(result.policy, "cost");
    cr_assert_str_eq(record.policy_state, "{\"cost\":{\"spent\":8000000,\"warned\":true,\"window\":1795183200000}}");
    cr_assert_eq(record.quota_used, 2);
    governor_record_done(&record);
    policy_set_free(g.set);
}
