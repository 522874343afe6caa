/* A second, slow governor in words: the table of docs/governor.md as text, and what each word means. It shares nothing
 * with jidoka/governor*.c, so that a mistake must be made twice to pass. */
#ifndef TAI_TESTS_GOVERNOR_ORACLE_H
#define TAI_TESTS_GOVERNOR_ORACLE_H

#include "support/governor_fixture.h"

#include <stdlib.h>

static const char *const oracle_rows[] = {
    /* state signal signal! activated lost refund_started refund_completed succeeded failed boot_timeout quota_reset
       breaker_reset halt resume reset_quota */
    "boot           waits  waits  target degraded complying =      late late alarm - - halted = =",
    "active         decide decide target degraded complying =      late late - target - halted = =",
    "action_pending waits  waits  =      =        =         =      success failure - = - halted-acting = =",
    "suspended      quota  quota  target degraded complying =      late late - target - halted = target",
    "complying      waits  waits  =      =        =         target late late - = - halted = =",
    "degraded       never  spare  target =        complying =      late late - = - halted = =",
    "halted         dead   dead   =      =        =         =      late late - = test halted resume =",
    "testing        decide decide unless degraded complying =      late late - = - halted resume =",
};
static const char *const oracle_columns =
    "state signal signal! activated lost refund_started refund_completed succeeded "
    "failed boot_timeout quota_reset breaker_reset halt resume reset_quota";

struct model {
    char state[16], entitlement[16], period[8], opened[16];
    bool refund, pending, probe;
    long long limit, used, start, entitlement_at, refund_at, alert_at;
    unsigned failures, alert_count;
    long long boot_due, breaker_due;
    char policy_state[16], sku[16];
};

/* What happens to it. */
struct story {
    const char *input; /* a column, or suspended_by_market, cancelled, activate */
    long long wall, clock, event_time;
    bool critical, mine;
    const char *verdict; /* allow, action, deny; "+" in front: with a new state; "#": with one that is too large */
    bool has_limit;
    long long limit;
    const char *period, *sku;
};

struct ending {
    const char *signal, *acting, *receipt;
    char reason[64], acting_reason[64], alerts[96];
    bool cancel, asked;
};

/* Not inlined: compilers warn about comparing words they see to differ. */
static __attribute__((noinline, unused)) bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static inline void say(char *ret, const char *word)
{
    memcpy(ret, word, strlen(word) + 1);
}

static inline void word_at(const char *text, int index, char *ret)
{
    while (index-- > 0) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    size_t len = strcspn(text, " ");
    memcpy(ret, text, len);
    ret[len] = '\0';
}

static inline void oracle_cell(const char *state, const char *column, char *ret)
{
    char word[32];
    int index = 0;
    for (word_at(oracle_columns, 0, word); !is(word, column); word_at(oracle_columns, index, word))
        index++;
    for (size_t i = 0; i < sizeof(oracle_rows) / sizeof(oracle_rows[0]); i++) {
        word_at(oracle_rows[i], 0, word);
        if (is(word, state))
            word_at(oracle_rows[i], index, ret);
    }
}

static inline long long oracle_begin(const char *period, long long wall)
{
    long long unit = is(period, "hour") ? FIXTURE_HOUR : is(period, "day") ? FIXTURE_DAY : 0;
    return unit ? wall - wall % unit : 0;
}

static inline const char *oracle_target(const struct model *m)
{
    if (m->refund)
        return "complying";
    if (!is(m->entitlement, "active"))
        return "degraded";
    return m->limit >= 0 && m->used >= m->limit ? "suspended" : "active";
}

static inline void oracle_alert(struct ending *e, const char *alert)
{
    snprintf(e->alerts + strlen(e->alerts), sizeof(e->alerts) - strlen(e->alerts), "%s%s", e->alerts[0] ? " " : "",
             alert);
}

static inline void oracle_go(struct model *m, struct ending *e, const char *state)
{
    if (is(m->state, state))
        return;
    m->boot_due = m->breaker_due = m->alert_at = m->alert_count = 0;
    bool probe_out = is(state, "action_pending") && is(m->state, "testing");
    m->pending = is(state, "action_pending");
    m->probe = probe_out;
    if (!probe_out && !is(state, "testing"))
        say(m->opened, "-");
    say(m->state, state);
    if (is(state, "suspended"))
        oracle_alert(e, "quota_exceeded/warning*1");
}

static inline void oracle_end(struct ending *e, const char *signal, const char *receipt, const char *reason)
{
    e->signal = signal;
    e->receipt = receipt;
    snprintf(e->reason, sizeof(e->reason), "%s", reason);
}

static inline void oracle_set_back(struct model *m, const struct story *s)
{
    if (m->start > oracle_begin(m->period, s->wall))
        m->start = oracle_begin(m->period, s->wall);
}

static inline void oracle_decide(struct model *m, const struct story *s, struct ending *e)
{
    long long begin = oracle_begin(m->period, s->wall);
    if (m->start < begin)
        m->used = 0;
    m->start = begin;
    if (m->limit >= 0 && m->used >= m->limit) {
        oracle_end(e, "refused", "refusal", "quota_exceeded");
        oracle_go(m, e, oracle_target(m));
        return;
    }
    e->asked = true;
    const char *verdict = s->verdict;
    if (*verdict == '#') {
        oracle_end(e, "denied", "refusal", "policy_denied:p:state_too_large");
        return;
    }
    if (*verdict == '+') {
        verdict++;
        say(m->policy_state, "{\"p\":{}}");
    }
    if (is(verdict, "deny")) {
        oracle_end(e, "denied", "refusal", "policy_denied:p:why");
        return;
    }
    m->used++;
    if (is(verdict, "action")) {
        oracle_end(e, "acts", "action_intent", "");
        oracle_go(m, e, "action_pending");
        return;
    }
    oracle_end(e, "executed", "action_success", "");
    if (is(m->state, "testing"))
        m->failures = 0;
    oracle_go(m, e, oracle_target(m));
}

static inline void oracle_dead(struct model *m, const struct story *s, struct ending *e)
{
    char alert[48];
    oracle_set_back(m, s);
    oracle_end(e, "deadlettered", "deadletter", "governor_halted");
    m->alert_count++;
    if (m->alert_at > s->wall)
        m->alert_at = s->wall;
    if (m->alert_at && s->wall < m->alert_at + FIXTURE_HOUR)
        return;
    snprintf(alert, sizeof(alert), "system_halted/critical*%u", m->alert_count);
    oracle_alert(e, alert);
    m->alert_at = s->wall;
    m->alert_count = 0;
}

static inline void oracle_signal(struct model *m, const struct story *s, const char *cell, struct ending *e)
{
    bool spare = is(cell, "spare");
    if (is(cell, "waits")) {
        e->signal = "waits";
    } else if (is(cell, "dead")) {
        oracle_dead(m, s, e);
    } else if (is(cell, "decide") || (spare && !is(m->entitlement, "cancelled"))) {
        oracle_decide(m, s, e);
    } else {
        oracle_set_back(m, s);
        oracle_end(e, "refused", "refusal",
                   is(cell, "quota") ? "quota_exceeded"
                   : spare           ? "entitlement_cancelled"
                                     : "degraded");
    }
}

static inline void oracle_acting(struct ending *e, const char *acting, const char *receipt, const char *reason)
{
    e->acting = acting;
    e->receipt = receipt;
    snprintf(e->reason, sizeof(e->reason), "%s", reason);
    snprintf(e->acting_reason, sizeof(e->acting_reason), "%s", reason);
}

static inline void oracle_result(struct model *m, const struct story *s, const char *cell, struct ending *e)
{
    if (is(cell, "late") || !s->mine) {
        e->receipt = is(s->input, "succeeded") ? "action_success" : "action_failure";
        say(e->reason, "late");
        return;
    }
    if (is(cell, "success")) {
        oracle_acting(e, "executed", "action_success", "");
        m->failures = 0;
        oracle_go(m, e, oracle_target(m));
        return;
    }
    bool probe = m->probe;
    oracle_acting(e, "failed", "action_failure", "timeout");
    m->failures++;
    if (!probe && m->failures < 5) {
        oracle_go(m, e, oracle_target(m));
        return;
    }
    oracle_go(m, e, "halted");
    say(m->opened, "breaker");
    m->breaker_due = s->clock + 60000;
    say(e->reason, "jidoka_halt");
    oracle_alert(e, "circuit_open/critical*1");
}

/* Entitlement, refund and quota come first; false: the input is out of date or not due. */
static inline bool oracle_first(struct model *m, const struct story *s, const char *column)
{
    bool command = is(s->input, "activate");
    if (is(column, "activated") || is(column, "lost")) {
        if (!command && s->event_time < m->entitlement_at)
            return false;
        m->entitlement_at = command ? s->wall : s->event_time;
        say(m->entitlement, is(column, "activated")               ? "active"
                            : is(s->input, "suspended_by_market") ? "suspended"
                                                                  : "cancelled");
        if (is(column, "lost"))
            return true;
        if (s->has_limit)
            m->limit = s->limit;
        if (s->period && !is(s->period, m->period)) {
            say(m->period, s->period);
            m->start = oracle_begin(m->period, s->wall);
        }
        if (s->sku)
            say(m->sku, s->sku);
    } else if (strncmp(column, "refund", 6) == 0) {
        if (s->event_time < m->refund_at)
            return false;
        m->refund_at = s->event_time;
        m->refund = is(column, "refund_started");
    } else if (is(column, "boot_timeout")) {
        return m->boot_due && m->boot_due <= s->clock;
    } else if (is(column, "breaker_reset")) {
        return is(m->opened, "breaker") && m->breaker_due && m->breaker_due <= s->clock;
    } else if (is(column, "quota_reset")) {
        long long unit = is(m->period, "hour") ? FIXTURE_HOUR : FIXTURE_DAY;
        if (m->used == 0 || is(m->period, "none") || m->start + unit > s->wall)
            return false;
        m->used = 0;
        m->start = oracle_begin(m->period, s->wall);
    } else if (is(column, "reset_quota")) {
        m->used = 0;
    }
    return true;
}

static inline void oracle_other(struct model *m, const struct story *s, const char *cell, struct ending *e)
{
    if (is(cell, "target")) {
        oracle_go(m, e, oracle_target(m));
    } else if (is(cell, "unless")) {
        if (!is(oracle_target(m), "active"))
            oracle_go(m, e, oracle_target(m));
    } else if (is(cell, "degraded") || is(cell, "complying")) {
        oracle_go(m, e, cell);
    } else if (is(cell, "alarm")) {
        say(e->reason, "bootstrap_timeout");
        oracle_alert(e, "bootstrap_timeout/warning*1");
        oracle_go(m, e, "degraded");
    } else if (is(cell, "test")) {
        oracle_go(m, e, is(oracle_target(m), "active") ? "testing" : oracle_target(m));
    } else if (is(cell, "resume")) {
        m->failures = 0;
        oracle_go(m, e, oracle_target(m));
    } else if (strncmp(cell, "halted", 6) == 0) {
        if (is(cell, "halted-acting")) {
            e->cancel = true;
            oracle_acting(e, "failed", "", "halted_in_action");
        }
        oracle_go(m, e, "halted");
        say(m->opened, "operator");
        m->breaker_due = 0;
    }
    (void)s;
}

static inline bool oracle_same(const struct model *a, const struct model *b)
{
    return is(a->state, b->state) && is(a->entitlement, b->entitlement) && is(a->period, b->period) &&
           is(a->opened, b->opened) && a->refund == b->refund && a->limit == b->limit && a->used == b->used &&
           a->start == b->start && a->entitlement_at == b->entitlement_at && a->refund_at == b->refund_at &&
           a->alert_at == b->alert_at && a->failures == b->failures && a->alert_count == b->alert_count &&
           is(a->policy_state, b->policy_state) && is(a->sku, b->sku);
}

static inline void oracle_step(struct model *m, const struct story *s, struct ending *e)
{
    const struct model before = *m;
    char cell[32];
    const char *column = s->input;
    bool result = is(column, "succeeded") || is(column, "failed"), signal = is(column, "signal");
    bool command = is(column, "halt") || is(column, "resume") || is(column, "activate") || is(column, "reset_quota");
    bool timer = is(column, "boot_timeout") || is(column, "quota_reset") || is(column, "breaker_reset");
    *e = (struct ending){.signal = "-", .acting = "-", .receipt = ""};
    if (signal && s->critical)
        column = "signal!";
    if (is(column, "activate"))
        column = "activated";
    if (is(column, "suspended_by_market") || is(column, "cancelled"))
        column = "lost";
    oracle_cell(m->state, column, cell);
    if (signal)
        oracle_signal(m, s, cell, e);
    else if (result)
        oracle_result(m, s, cell, e);
    else if (!is(cell, "-") && oracle_first(m, s, column))
        oracle_other(m, s, cell, e);
    const char *effect = !is(before.state, m->state) ? "applied" : oracle_same(&before, m) ? "ignored" : "recorded";
    if (timer && oracle_same(&before, m))
        return;
    if (timer)
        effect = s->input;
    if (!signal && !result && !e->reason[0])
        say(e->reason, effect);
    if (command)
        e->receipt = "operator";
    else if (!signal && !result)
        e->receipt = "state_change";
    if (!command && !timer && !signal && !result)
        e->signal = "executed";
}

/* Whether a governor can be like that between two steps. */
static inline bool oracle_possible(const struct model *m)
{
    bool halted = is(m->state, "halted"), acting = is(m->state, "action_pending"), testing = is(m->state, "testing");
    bool owned = is(m->entitlement, "active") && !m->refund;
    if (acting != m->pending || (m->probe && !acting))
        return false;
    if (halted ? is(m->opened, "-") : !is(m->opened, testing || m->probe ? "breaker" : "-"))
        return false;
    if (is(m->state, "boot"))
        return is(m->entitlement, "inactive") && !m->refund;
    if (is(m->state, "active") || testing)
        return owned;
    if (is(m->state, "complying") || is(m->state, "suspended") || is(m->state, "degraded"))
        return is(m->state, oracle_target(m));
    return true;
}

#endif
