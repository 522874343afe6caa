/* Policies: pure functions with parameters. Each sees (signal, record, its own state) and passes or decides; the first
 * that does not pass decides. A policy is one const table row (policies/). */
#ifndef TAI_JIDOKA_POLICIES_POLICY_H
#define TAI_JIDOKA_POLICIES_POLICY_H

#include "common/json/json.h"
#include "config/config.h"
#include "jidoka/governor/governor.h"

enum policy_kind { POLICY_PASS, POLICY_ALLOW, POLICY_ACTION, POLICY_DENY };

/* What a policy may look at. data is parsed strictly from the signal's `data`; root NULL when it is absent or null. */
struct policy_signal {
    struct span id, type, source;
    int64_t time_ms;
    bool critical;
    const struct json_doc *data;
    const struct json_node *root;
};

struct policy_answer {
    enum policy_kind kind;
    const char *reason; /* deny: a short word, static */
    const char *action; /* action name, borrowed from the parameters */
    const char *alert;  /* alert to raise (warning), static, or NULL; may go with pass */
    bool state_changed; /* new state was appended to the state buffer */
};

struct policy_type {
    const char *name; /* "cost_governance" */
    /* state: this policy's canonical JSON object of the governor, or empty. Appends a new one to new_state and sets
     * state_changed; it is kept only if the signal ends or acts. */
    void (*decide)(const struct policy_config *config, const struct policy_signal *signal,
                   const struct governor_record *record, struct governor_now now, struct span state,
                   struct buf *new_state, struct policy_answer *ret);
};

extern const struct policy_type policy_cost_governance;

/* The configured policies in order. One per worker; not thread-safe (scratch buffers). */
struct policy_set;
must_check int policy_set_new(const struct policy_config *policies, size_t count, struct policy_set **ret,
                              struct error *err);
void policy_set_free(struct policy_set *set);
/* Decides one signal. The verdict's spans are valid until the next call. data: the bytes of `data` (already valid
 * JSON). */
struct verdict policy_set_decide(struct policy_set *set, const struct policy_signal *signal, struct span data,
                                 const struct governor_record *record, struct governor_now now);

#endif
