/* Long random walks, each step checked against what the record was and what its receipts say. A walk that fails is
 * walked again with its seed. */
#include "support/governor_story.h"

#include <stdlib.h>

enum { WALKS = 60, WALK_STEPS = 3000 };

struct walk {
    struct governor_tale tale;
    uint64_t seed;
    bool active_by_event; /* the last entitlement input that counted was activated */
    unsigned states_seen, actions_out;
};

static uint64_t draw(struct walk *walk)
{
    walk->seed += 0x9e3779b97f4a7c15; /* splitmix64 */
    uint64_t z = walk->seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned below(struct walk *walk, unsigned count)
{
    return (unsigned)(draw(walk) % count);
}

static enum governor_input_kind draw_kind(struct walk *walk)
{
    static const uint8_t weights[INPUT_KIND_COUNT] = {
        [INPUT_SIGNAL] = 60,     [INPUT_ACTIVATED] = 6,      [INPUT_SUSPENDED_BY_MARKET] = 2,
        [INPUT_CANCELLED] = 1,   [INPUT_REFUND_STARTED] = 2, [INPUT_REFUND_COMPLETED] = 4,
        [INPUT_SUCCEEDED] = 12,  [INPUT_FAILED] = 20,        [INPUT_BOOT_TIMEOUT] = 3,
        [INPUT_QUOTA_RESET] = 4, [INPUT_BREAKER_RESET] = 8,  [INPUT_HALT] = 1,
        [INPUT_RESUME] = 3,      [INPUT_ACTIVATE] = 1,       [INPUT_RESET_QUOTA] = 1};
    unsigned sum = 0, i = 0;
    for (unsigned k = 0; k < INPUT_KIND_COUNT; k++)
        sum += weights[k];
    unsigned at = below(walk, sum);
    while (at >= weights[i])
        at -= weights[i++];
    return (enum governor_input_kind)i;
}

static void draw_verdict(struct walk *walk, char *state, size_t size)
{
    static const enum verdict_kind kinds[] = {VERDICT_ALLOW, VERDICT_ALLOW, VERDICT_ACTION, VERDICT_ACTION,
                                              VERDICT_DENY};
    struct verdict *verdict = &walk->tale.fixture.verdict;
    *verdict = (struct verdict){.kind = kinds[below(walk, 5)], .policy = SPAN("p"), .reason = SPAN("why")};
    if (verdict->kind == VERDICT_ACTION)
        verdict->action = SPAN("fix");
    if (below(walk, 3) == 0) {
        snprintf(state, size, "{\"p\":{\"n\":%u}}", below(walk, 4));
        verdict->policy_state = state;
    }
    if (below(walk, 10) == 0)
        verdict->alert = "policy_alert";
}

/* Time goes on, mostly a little; wall time sometimes jumps either way. */
static void draw_time(struct walk *walk)
{
    static const int64_t strides[] = {0, 1, 1000, 10000, 61000, FIXTURE_HOUR};
    struct governor_now *now = &walk->tale.fixture.now;
    tale_advance(&walk->tale, strides[below(walk, 6)]);
    if (below(walk, 50) == 0)
        now->wall_ms += (int64_t)below(walk, 8) * FIXTURE_HOUR - 4 * FIXTURE_HOUR;
}

static struct governor_input draw_input(struct walk *walk)
{
    struct governor_input input = {.kind = draw_kind(walk),
                                   .critical = below(walk, 4) == 0,
                                   .event_time_ms = walk->tale.fixture.now.wall_ms - (int64_t)below(walk, 3) * 5000,
                                   .signal_id = SPAN("s"),
                                   .reason = below(walk, 2) ? SPAN("because") : SPAN("")};
    if (input.kind != INPUT_ACTIVATED && input.kind != INPUT_ACTIVATE)
        return input;
    input.has_quota_limit = below(walk, 3) == 0;
    input.quota_limit = (int64_t)below(walk, 30) - 1;
    input.has_quota_period = below(walk, 4) == 0;
    input.quota_period = (enum quota_period)below(walk, PERIOD_COUNT);
    input.sku_id = below(walk, 4) == 0 ? SPAN("silver") : SPAN("");
    return input;
}

static void check_entitlement(struct walk *walk, const struct governor_input *input, enum entitlement before)
{
    const struct governor_record *record = &walk->tale.record;
    bool activation = input->kind == INPUT_ACTIVATED || input->kind == INPUT_ACTIVATE;
    if (record->entitlement == ENTITLEMENT_ACTIVE && before != ENTITLEMENT_ACTIVE)
        cr_assert(activation, "active by %s", governor_input_names[input->kind]);
    if (record->state == GOVERNOR_ACTIVE || record->state == GOVERNOR_TESTING)
        cr_assert_eq(record->entitlement, ENTITLEMENT_ACTIVE);
}

static void check_actions(struct walk *walk, enum governor_state before)
{
    const struct governor_result *r = &walk->tale.result;
    cr_assert_eq(r->disposition == SIGNAL_ACTS, r->receipted && r->receipt == RECEIPT_ACTION_INTENT);
    walk->actions_out += r->disposition == SIGNAL_ACTS;
    walk->actions_out -= r->acting != SIGNAL_KEEPS;
    cr_assert_eq(walk->actions_out, walk->tale.record.pending != NULL);
    cr_assert(before != GOVERNOR_HALTED || r->disposition != SIGNAL_ACTS, "halted started an action");
    cr_assert_leq(walk->tale.fixture.asked, 1);
}

static void walk_step(struct walk *walk)
{
    struct governor_tale *tale = &walk->tale;
    char state[64];
    draw_time(walk);
    struct governor_input input = draw_input(walk);
    draw_verdict(walk, state, sizeof(state));
    const struct governor_record before = tale->record;
    if (tale->record.pending && below(walk, 3) == 0)
        tale->record.pending->attempt++; /* the worker's, before each request */
    if (below(walk, 10) == 0)
        input.action_id = "00000000-0000-5000-8000-999999999999";
    tale_step(tale, input);
    const struct governor_record *after = &tale->record;
    if (after->quota_used > before.quota_used && after->quota_limit != QUOTA_NONE)
        cr_assert_leq(after->quota_used, after->quota_limit);
    check_entitlement(walk, &input, before.entitlement);
    check_actions(walk, before.state);
    walk->states_seen |= 1u << after->state;
    buf_clear(&tale->trace);
}

Test(governor_walk, record_is_the_fold_of_its_receipts, .timeout = 100)
{
    unsigned seen = 0;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        struct walk walk = {.seed = seed};
        tale_init(&walk.tale);
        struct governor_env *env = &walk.tale.fixture.env;
        env->auto_activate = below(&walk, 2);
        env->quota_limit = (int64_t)below(&walk, 20) - 1;
        env->quota_period = (enum quota_period)below(&walk, PERIOD_COUNT);
        env->max_failures = 1 + below(&walk, 5);
        tale_create(&walk.tale);
        for (int i = 0; i < WALK_STEPS; i++)
            walk_step(&walk);
        seen |= walk.states_seen;
        cr_assert_gt(walk.tale.receipts, WALK_STEPS / 4, "seed %llu", (unsigned long long)seed);
        tale_done(&walk.tale);
    }
    cr_assert_eq(seen, (1u << GOVERNOR_STATE_COUNT) - 1, "not every state was reached: %x", seen);
}
