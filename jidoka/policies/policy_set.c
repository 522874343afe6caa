/* The configured policies asked in order. Owns scratch memory, borrows the configuration; one per worker, not
 * thread-safe. Their states share the governor's policy_state, an object of one member for each policy that keeps
 * something; a member of a policy that is no longer configured goes with the next change.
 *
 * A pass says "as far as I am concerned": what the passing policies would keep or alert counts only if the signal is
 * allowed. A deny keeps the state and the alert of the policy that denied, nobody else's. */
#include "common/mem.h"
#include "jidoka/policies/policy.h"

#include <errno.h>
#include <stdlib.h>

enum { POLICY_NAME_MAX = 64 };

struct slot {
    const struct policy_config *config;
    const struct policy_type *type;
    struct span name;
    struct span state;    /* as the governor has it */
    struct buf new_state; /* what the policy appended */
    bool changed;
};

struct policy_set {
    struct slot *slots;
    struct slot **sorted; /* by name, as members are written */
    size_t count;
    struct json_doc data, states;
    struct buf merged, scratch;
};

static const struct policy_type *const types[] = {[CONFIG_POLICY_COST_GOVERNANCE] = &policy_cost_governance};

/* Puts slots[count] among the count sorted ones before it. */
static void sort_in(struct policy_set *set, size_t count)
{
    size_t i = count;
    for (; i > 0 && span_cmp(set->sorted[i - 1]->name, set->slots[count].name) > 0; i--)
        set->sorted[i] = set->sorted[i - 1];
    set->sorted[i] = &set->slots[count];
}

static bool is_word(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == '"' || name.ptr[i] == '\\')
            return false;
    return name.len > 0 && name.len <= POLICY_NAME_MAX;
}

static int check_names(const struct policy_set *set, struct error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        struct span name = set->sorted[i]->name;
        if (!is_word(name))
            return error_set(err, -EINVAL,
                             "policy %.*s: a name is 1 to %d characters without space, quote or backslash",
                             (int)(name.len < 80 ? name.len : 80), name.ptr, POLICY_NAME_MAX);
        if (i > 0 && span_eq(name, set->sorted[i - 1]->name))
            return error_set(err, -EINVAL, "two policies are called %.*s", (int)name.len, name.ptr);
    }
    return 0;
}

int policy_set_new(const struct policy_config *policies, size_t count, struct policy_set **ret, struct error *err)
{
    struct policy_set *set = xcalloc(1, sizeof(*set));
    set->slots = xcalloc(count, sizeof(*set->slots));
    set->sorted = xcalloc(count, sizeof(struct slot *));
    set->count = count;
    json_init(&set->data);
    json_init(&set->states);
    buf_init(&set->merged, 4 * POLICY_STATE_MAX);
    buf_init(&set->scratch, POLICY_NAME_MAX);
    for (size_t i = 0; i < count; i++) {
        set->slots[i] =
            (struct slot){.config = &policies[i], .type = types[policies[i].type], .name = span_of(policies[i].name)};
        sort_in(set, i);
        buf_init(&set->slots[i].new_state, POLICY_STATE_MAX);
    }
    int rc = check_names(set, err);
    if (rc != 0) {
        policy_set_free(set);
        return rc;
    }
    *ret = set;
    return 0;
}

void policy_set_free(struct policy_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        buf_done(&set->slots[i].new_state);
    json_done(&set->data);
    json_done(&set->states);
    buf_done(&set->merged);
    buf_done(&set->scratch);
    free(set->slots);
    free(set->sorted);
    free(set);
}

static int load_states(struct policy_set *set, const char *policy_state)
{
    for (size_t i = 0; i < set->count; i++) {
        set->slots[i].state = (struct span){0};
        set->slots[i].changed = false;
        buf_clear(&set->slots[i].new_state);
    }
    if (!policy_state)
        return 0;
    int rc = json_parse(&set->states, span_of(policy_state), NULL);
    if (rc != 0 || set->states.nodes[0].type != JSON_OBJECT)
        return -EINVAL;
    for (size_t i = 0; i < set->count; i++) {
        buf_clear(&set->scratch);
        buf_add_span(&set->scratch, set->slots[i].name);
        const struct json_node *node = json_get(&set->states, set->states.nodes, buf_cstr(&set->scratch));
        if (node)
            set->slots[i].state = json_raw(&set->states, node);
    }
    return 0;
}

static void merge(struct policy_set *set)
{
    struct buf *out = &set->merged;
    buf_clear(out);
    buf_add_char(out, '{');
    for (size_t i = 0; i < set->count; i++) {
        const struct slot *slot = set->sorted[i];
        struct span state = slot->changed ? buf_span(&slot->new_state) : slot->state;
        if (state.len == 0)
            continue;
        if (out->len > 1)
            buf_add_char(out, ',');
        json_add_string(out, slot->name);
        buf_add_char(out, ':');
        buf_add_span(out, state);
    }
    buf_add_char(out, '}');
}

static struct verdict deny(const struct slot *slot, struct span reason)
{
    return (struct verdict){.kind = VERDICT_DENY, .policy = slot->name, .reason = reason};
}

/* Puts the changed states into the verdict, or denies if they do not fit. */
static struct verdict keep_states(struct policy_set *set, struct verdict verdict)
{
    const struct slot *last = NULL;
    bool failed = false;
    for (size_t i = 0; i < set->count; i++) {
        if (set->slots[i].changed) {
            last = &set->slots[i];
            failed = failed || last->new_state.failed;
        }
    }
    if (!last)
        return verdict;
    merge(set);
    if (failed || set->merged.failed || set->merged.len > POLICY_STATE_MAX)
        return deny(last, SPAN("state_too_large"));
    verdict.policy_state = buf_cstr(&set->merged);
    return verdict;
}

static struct verdict verdict_of(struct policy_set *set, struct slot *decider, const struct policy_answer *answer,
                                 const char *passed_alert)
{
    static const enum verdict_kind kinds[] = {
        [POLICY_ALLOW] = VERDICT_ALLOW, [POLICY_ACTION] = VERDICT_ACTION, [POLICY_DENY] = VERDICT_DENY};
    struct verdict verdict = {.kind = VERDICT_ALLOW, .alert = passed_alert};
    if (decider) {
        verdict.kind = kinds[answer->kind];
        verdict.policy = decider->name;
        verdict.reason = span_of(answer->reason);
        verdict.action = span_of(answer->action);
        verdict.alert = answer->alert ? answer->alert : passed_alert;
    }
    if (verdict.kind == VERDICT_DENY) {
        verdict.alert = answer->alert;
        for (struct slot *slot = set->slots; slot < decider; slot++)
            slot->changed = false;
    }
    return keep_states(set, verdict);
}

struct verdict policy_set_decide(struct policy_set *set, const struct policy_signal *signal, struct span data,
                                 const struct governor_record *record, struct governor_now now)
{
    const char *alert = NULL;
    if (set->count == 0)
        return (struct verdict){.kind = VERDICT_ALLOW};
    struct policy_signal view = *signal;
    view.data = &set->data;
    view.root = NULL;
    if (data.len && !span_is(data, "null")) {
        if (json_parse(&set->data, data, NULL) != 0)
            return deny(&set->slots[0], SPAN("bad_data"));
        view.root = &set->data.nodes[0];
    }
    if (load_states(set, record->policy_state) != 0)
        return deny(&set->slots[0], SPAN("bad_state"));
    for (size_t i = 0; i < set->count; i++) {
        struct slot *slot = &set->slots[i];
        struct policy_answer answer = {.kind = POLICY_PASS};
        slot->type->decide(slot->config, &view, record, now, slot->state, &slot->new_state, &answer);
        slot->changed = answer.state_changed;
        if (answer.kind != POLICY_PASS)
            return verdict_of(set, slot, &answer, alert);
        if (!alert)
            alert = answer.alert;
    }
    return verdict_of(set, NULL, NULL, alert);
}
