/* Every state under every input, with every flag that matters, against the oracle in words; the moves there are, and
 * that no other can be made. */
#include "jidoka/governor/internal.h"
#include "support/governor_oracle.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const states[] = {"boot",      "active",   "action_pending", "suspended",
                                     "complying", "degraded", "halted",         "testing"};
static const char *const entitlements[] = {"inactive", "active", "suspended", "cancelled"};
static const char *const openers[] = {"-", "breaker", "operator"};
static const struct {
    long long limit, used;
} quotas[] = {{-1, 0}, {-1, 3}, {5, 3}, {5, 4}, {3, 3}, {2, 3}, {0, 0}};
static const unsigned failure_counts[] = {0, 3, 4, 5};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ACTION_ID    "00000000-0000-5000-8000-00000000beef"

static unsigned index_of(const char *const *names, size_t count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (is(names[i], name))
            return i;
    cr_assert_fail("no %s", name);
    return 0;
}

static void record_of(const struct model *m, struct governor_record *ret)
{
    *ret = (struct governor_record){
        .state = index_of(governor_state_names, GOVERNOR_STATE_COUNT, m->state),
        .entitlement = index_of(entitlement_names, ENTITLEMENT_COUNT, m->entitlement),
        .quota_period = index_of(quota_period_names, PERIOD_COUNT, m->period),
        .opened_by = index_of(openers, 3, m->opened),
        .refund_open = m->refund,
        .failures = m->failures,
        .quota_limit = m->limit,
        .quota_used = m->used,
        .period_start = m->start,
        .boot_due = m->boot_due,
        .breaker_due = m->breaker_due,
        .last_entitlement_event_at = m->entitlement_at,
        .last_refund_event_at = m->refund_at,
        .halt_alert_at = m->alert_at,
        .halt_alert_count = m->alert_count,
    };
    if (m->pending) {
        ret->pending = calloc(1, sizeof(*ret->pending));
        *ret->pending = (struct governor_pending){.action_id = ACTION_ID,
                                                  .policy = "p",
                                                  .action = "fix",
                                                  .attempt = 1,
                                                  .deadline_ms = 1,
                                                  .probe = m->probe,
                                                  .signal_id = "earlier",
                                                  .redrive = 2};
    }
}

static void tell_model(const struct model *m, char *ret, size_t size)
{
    snprintf(
        ret, size,
        "%s %s refund=%d quota=%lld/%lld %s@%lld failures=%u opened=%s pending=%d probe=%d at=%lld,%lld halt=%lld,%u "
        "due=%lld,%lld state=%s sku=%s",
        m->state, m->entitlement, m->refund, m->used, m->limit, m->period, m->start, m->failures, m->opened, m->pending,
        m->probe, m->entitlement_at, m->refund_at, m->alert_at, m->alert_count, m->boot_due, m->breaker_due,
        m->policy_state, m->sku);
}

static void tell_record(const struct governor_record *r, char *ret, size_t size)
{
    snprintf(
        ret, size,
        "%s %s refund=%d quota=%lld/%lld %s@%lld failures=%u opened=%s pending=%d probe=%d at=%lld,%lld halt=%lld,%u "
        "due=%lld,%lld state=%s sku=%s",
        governor_state_names[r->state], entitlement_names[r->entitlement], r->refund_open, (long long)r->quota_used,
        (long long)r->quota_limit, quota_period_names[r->quota_period], (long long)r->period_start, r->failures,
        fixture_opener(r->opened_by), r->pending != NULL, r->pending && r->pending->probe,
        (long long)r->last_entitlement_event_at, (long long)r->last_refund_event_at, (long long)r->halt_alert_at,
        r->halt_alert_count, (long long)r->boot_due, (long long)r->breaker_due, r->policy_state ? r->policy_state : "",
        r->sku_id ? r->sku_id : "");
}

static void tell_ending(const struct model *before, const struct model *after, const struct ending *e, char *ret,
                        size_t size)
{
    char cell[32];
    oracle_cell(after->state, "signal", cell);
    bool moved = !is(before->state, after->state), acted = is(e->signal, "acts") || !is(e->acting, "-");
    snprintf(ret, size,
             "%s>%s signal=%s receipt=%s:%s acting=%s:%s of %s cancel=%d asked=%d releases=%d action=%d alerts=%s",
             before->state, after->state, e->signal, e->receipt, e->reason, e->acting, e->acting_reason,
             is(e->acting, "-") ? "" : "earlier.2", e->cancel, e->asked, moved && !is(cell, "waits"), acted, e->alerts);
}

static void tell_result(const struct governor_result *r, const struct fixture *f, char *ret, size_t size)
{
    char alerts[128], acting[160] = "";
    fixture_alerts(r, alerts, sizeof(alerts));
    if (r->acting != SIGNAL_KEEPS)
        snprintf(acting, sizeof(acting), "%s.%u", r->acting_id, r->acting_redrive);
    bool acted = r->action_id[0] && r->action[0] && r->policy[0];
    snprintf(ret, size,
             "%s>%s signal=%s receipt=%s:%s acting=%s:%s of %s cancel=%d asked=%u releases=%d action=%d alerts=%s",
             governor_state_names[r->state_before], governor_state_names[r->state_after],
             fixture_disposition(r->disposition), r->receipted ? receipt_type_names[r->receipt] : "", r->reason,
             fixture_disposition(r->acting), r->acting_reason, acting, r->cancel_action, f->asked, r->releases, acted,
             alerts);
}

static unsigned long steps;
static bool seen[GOVERNOR_STATE_COUNT][GOVERNOR_STATE_COUNT];
static char large[POLICY_STATE_MAX + 2];

static struct verdict verdict_of(const char *text)
{
    struct verdict verdict = {.policy = SPAN("p"), .reason = SPAN("why"), .action = SPAN("fix")};
    if (*text == '+' || *text == '#')
        verdict.policy_state = *text == '+' ? "{\"p\":{}}" : large;
    text += *text == '+' || *text == '#';
    verdict.kind = is(text, "allow") ? VERDICT_ALLOW : is(text, "action") ? VERDICT_ACTION : VERDICT_DENY;
    return verdict;
}

static struct governor_input input_of(const struct story *s)
{
    struct governor_input input = {.kind = index_of(governor_input_names, INPUT_KIND_COUNT, s->input),
                                   .critical = s->critical,
                                   .event_time_ms = s->event_time,
                                   .has_quota_limit = s->has_limit,
                                   .quota_limit = s->limit,
                                   .has_quota_period = s->period != NULL,
                                   .sku_id = span_of(s->sku),
                                   .signal_id = SPAN("now"),
                                   .action_id = s->mine ? ACTION_ID : "00000000-0000-5000-8000-000000000bad"};
    if (s->period)
        input.quota_period = index_of(quota_period_names, PERIOD_COUNT, s->period);
    if (input.kind == INPUT_FAILED)
        input.reason = SPAN("timeout");
    return input;
}

static void check_changed(const struct governor_result *result, const struct model *before, const struct model *after,
                          const struct ending *e, const struct governor_record *record)
{
    bool touched = !is(e->signal, "-") && !is(e->signal, "waits");
    bool timers = before->boot_due != after->boot_due || before->breaker_due != after->breaker_due;
    cr_assert_eq(result->changed, touched || timers || !oracle_same(before, after), "%s", result->reason);
    cr_assert_eq(record->last_signal_at, touched ? FIXTURE_WALL : 0);
    cr_assert_eq(record->updated_at, result->changed ? FIXTURE_WALL : 0);
}

static void play(const struct model *start, struct story s)
{
    struct fixture fixture;
    struct governor_record record;
    struct governor_result result;
    struct model after = *start;
    struct ending ending;
    char want[768], got[768], context[768];
    if (s.wall == 0)
        s.wall = FIXTURE_WALL;
    s.verdict = s.verdict ? s.verdict : "allow";
    fixture_init(&fixture);
    s.clock = s.clock ? s.clock : fixture.now.clock_ms;
    fixture.now = (struct governor_now){s.wall, s.clock};
    fixture.verdict = verdict_of(s.verdict);
    record_of(start, &record);
    struct governor_input input = input_of(&s);
    governor_step(&record, &fixture.env, &input, fixture.now, &result);
    oracle_step(&after, &s, &ending);

    tell_model(start, context, sizeof(context));
    tell_model(&after, want, sizeof(want));
    tell_record(&record, got, sizeof(got));
    cr_assert_str_eq(got, want, "%s%s of %s:\n got %s\nwant %s", s.input, s.critical ? "!" : "", context, got, want);
    tell_ending(start, &after, &ending, want, sizeof(want));
    tell_result(&result, &fixture, got, sizeof(got));
    cr_assert_str_eq(got, want, "%s%s of %s:\n got %s\nwant %s", s.input, s.critical ? "!" : "", context, got, want);
    check_changed(&result, start, &after, &ending, &record);
    cr_assert(oracle_possible(&after));
    cr_assert_null(governor_check(&record));
    seen[result.state_before][result.state_after] = true;
    steps++;
    governor_record_done(&record);
}

static void play_signals(const struct model *m)
{
    static const char *const verdicts[] = {"allow", "action", "deny", "+allow", "+action", "+deny", "#allow", "#deny"};
    for (int critical = 0; critical < 2; critical++)
        for (size_t i = 0; i < COUNT(verdicts); i++)
            play(m, (struct story){.input = "signal", .critical = critical, .verdict = verdicts[i]});
}

static void play_events(const struct model *m, long long time)
{
    static const char *const names[] = {"suspended_by_market", "cancelled", "refund_started", "refund_completed"};
    static const char *const activations[] = {"activated", "activate"};
    for (size_t i = 0; i < COUNT(names); i++)
        play(m, (struct story){.input = names[i], .event_time = time});
    for (size_t i = 0; i < COUNT(activations); i++) {
        struct story s = {.input = activations[i], .event_time = time};
        play(m, s);
        s.has_limit = true;
        for (s.limit = -1; s.limit < 7; s.limit++)
            play(m, s);
        s.period = "day";
        s.sku = "gold";
        play(m, s);
        s.has_limit = false;
        s.period = "hour";
        play(m, s);
    }
}

static void play_all(const struct model *m)
{
    static const char *const plain[] = {"quota_reset", "halt", "resume", "reset_quota"};
    static const char *const timers[] = {"boot_timeout", "breaker_reset"};
    static const char *const results[] = {"succeeded", "failed"};
    play_signals(m);
    for (long long time = 900; time <= 1100; time += 100)
        play_events(m, time);
    for (size_t i = 0; i < COUNT(plain); i++)
        play(m, (struct story){.input = plain[i]});
    for (size_t i = 0; i < COUNT(timers); i++)
        for (long long clock = 129999; clock <= 130001; clock++)
            play(m, (struct story){.input = timers[i], .clock = clock});
    for (size_t i = 0; i < COUNT(results); i++)
        for (int mine = 0; mine < 2; mine++)
            play(m, (struct story){.input = results[i], .mine = mine});
}

/* Variants of one model: quota period and, halted, when it was last alerted. */
static void play_variants(struct model m)
{
    static const long long alert_ages[] = {-1, 0, 600000, FIXTURE_HOUR, -600000};
    long long hour = oracle_begin("hour", FIXTURE_WALL);
    say(m.period, "none");
    m.start = 0;
    play_all(&m);
    say(m.period, "hour");
    for (m.start = hour - FIXTURE_HOUR; m.start <= hour + FIXTURE_HOUR; m.start += FIXTURE_HOUR)
        play_all(&m);
    m.start = hour;
    for (size_t i = 1; is(m.state, "halted") && i < COUNT(alert_ages); i++) {
        m.alert_at = FIXTURE_WALL - alert_ages[i];
        m.alert_count = (unsigned)i - 1;
        play_signals(&m);
        play(&m, (struct story){.input = "resume"});
        play(&m, (struct story){.input = "halt"});
    }
}

static void play_flags(const char *state, const char *entitlement, bool refund)
{
    for (size_t quota = 0; quota < COUNT(quotas); quota++) {
        for (size_t failures = 0; failures < COUNT(failure_counts); failures++) {
            for (unsigned bits = 0; bits < 12; bits++) {
                struct model m = {.refund = refund, .limit = quotas[quota].limit, .used = quotas[quota].used};
                say(m.state, state);
                say(m.entitlement, entitlement);
                say(m.opened, openers[bits % 3]);
                m.pending = is(state, "action_pending");
                m.probe = bits / 3 % 2;
                m.failures = failure_counts[failures];
                m.entitlement_at = m.refund_at = 1000;
                if (is(state, "boot"))
                    m.boot_due = 130000;
                if (is(state, "halted") && is(m.opened, "breaker"))
                    m.breaker_due = 130000;
                struct governor_record record;
                say(m.period, "none");
                if (m.probe && !m.pending)
                    continue; /* no record can say so */
                record_of(&m, &record);
                const char *broken = governor_check(&record);
                cr_assert_eq(oracle_possible(&m), broken == NULL, "%s %s: %s", state, entitlement, broken);
                governor_record_done(&record);
                if (!broken && bits < 6)
                    play_variants(m);
            }
        }
    }
}

Test(governor_table, every_state_under_every_input)
{
    memset(large, 'x', sizeof(large) - 1);
    for (size_t state = 0; state < COUNT(states); state++)
        for (size_t entitlement = 0; entitlement < COUNT(entitlements); entitlement++)
            for (int refund = 0; refund < 2; refund++)
                play_flags(states[state], entitlements[entitlement], refund);
    cr_log_info("%lu steps", steps);
    cr_assert_gt(steps, 100000ul);
    for (int from = 0; from < GOVERNOR_STATE_COUNT; from++)
        for (int to = 0; to < GOVERNOR_STATE_COUNT; to++)
            if (from != to)
                cr_assert_eq(seen[from][to], governor_move_legal(from, to), "%s > %s", states[from], states[to]);
}

/* The moves as the diagram and the table of governor.md have them, to be read by a person. */
static const char *const moves[][2] = {
    {"boot", "active suspended complying degraded halted"},
    {"active", "action_pending suspended complying degraded halted"},
    {"action_pending", "active suspended complying degraded halted"},
    {"suspended", "active complying degraded halted"},
    {"complying", "active suspended degraded halted"},
    {"degraded", "active action_pending suspended complying halted"},
    {"halted", "active suspended complying degraded testing"},
    {"testing", "active action_pending suspended complying degraded halted"},
};

static bool listed(int from, const char *to)
{
    char word[32];
    for (int i = 0; i < 6; i++) {
        word_at(moves[from][1], i, word);
        if (is(word, to))
            return true;
    }
    return false;
}

static void move_blindly(int from, int to)
{
    struct fixture fixture;
    struct governor_result result = {0};
    fixture_init(&fixture);
    struct governor_record record = {.state = from};
    if (from == GOVERNOR_ACTION_PENDING)
        record.pending = calloc(1, sizeof(*record.pending));
    struct transition t = {.record = &record, .env = &fixture.env, .now = fixture.now, .ret = &result};
    governor_move(&t, to);
    _exit(record.state == (enum governor_state)to ? 0 : 1);
}

Test(governor_table, only_listed_moves_can_be_made)
{
    for (int from = 0; from < GOVERNOR_STATE_COUNT; from++) {
        cr_assert_str_eq(moves[from][0], governor_state_names[from]);
        for (int to = 0; to <= GOVERNOR_STATE_COUNT; to++) {
            bool legal = to < GOVERNOR_STATE_COUNT && (from == to || listed(from, states[to]));
            pid_t child = fork();
            if (child == 0) {
                fclose(stderr);
                move_blindly(from, to);
            }
            int status = 0;
            waitpid(child, &status, 0);
            cr_assert_eq(legal, WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d > %d: %x", from, to,
                         (unsigned)status);
            cr_assert(legal || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
        }
    }
}

Test(governor_table, illegal_move_aborts, .signal = SIGABRT)
{
    move_blindly(GOVERNOR_ACTIVE, GOVERNOR_TESTING);
}

Test(governor_table, broken_record_aborts, .signal = SIGABRT)
{
    struct fixture fixture;
    struct governor_result result;
    fixture_init(&fixture);
    struct governor_record record = {.state = GOVERNOR_ACTIVE, .entitlement = ENTITLEMENT_CANCELLED, .quota_limit = -1};
    governor_step(&record, &fixture.env, &(struct governor_input){.kind = INPUT_RESUME}, fixture.now, &result);
}

Test(governor_table, unknown_input_aborts, .signal = SIGABRT)
{
    struct fixture fixture;
    struct governor_result result;
    fixture_init(&fixture);
    struct governor_record record = {.state = GOVERNOR_BOOT, .quota_limit = -1};
    governor_step(&record, &fixture.env, &(struct governor_input){.kind = INPUT_KIND_COUNT}, fixture.now, &result);
}

Test(governor_table, names_are_complete)
{
    for (int i = 0; i < INPUT_KIND_COUNT; i++)
        cr_assert_not_null(governor_input_names[i]);
    for (int i = 0; i < RECEIPT_TYPE_COUNT; i++)
        cr_assert_not_null(receipt_type_names[i]);
}

Test(governor_table, waiting_states)
{
    for (int state = 0; state < GOVERNOR_STATE_COUNT; state++) {
        struct governor_record record = {.state = state};
        bool waits = is(states[state], "boot") || is(states[state], "action_pending") || is(states[state], "complying");
        cr_assert_eq(governor_waits(&record, false), waits);
        cr_assert_eq(governor_waits(&record, true), waits);
    }
}
