/* What tests do in triage: give commands as the API would, look at dead letters. Over a pipeline; texts live in its
 * arena. */
#ifndef TAI_TESTS_SUPPORT_TRIAGE_H
#define TAI_TESTS_SUPPORT_TRIAGE_H

#include "store/triage.h"
#include "support/pipeline.h"

/* A command; what is not set gets a default: a new id, tenant "acme", entitlement "ent", operator "tester", no reason.
 */
struct give {
    enum command_kind kind;
    const char *id, *tenant, *entitlement, *operator;
    const char *args;       /* canonical JSON */
    const char *deadletter; /* id */
    const char *edited;     /* data of the signal to run instead */
};
/* Adds it; the status of that. ret_id (or NULL) gets its id. */
int triage_add(struct pipeline *p, const struct give *give, const char **ret_id);
/* "pending", "applied", "rejected: why" or "unknown". */
const char *triage_status(struct pipeline *p, const char *id);
/* Adds it and runs the loop until it has ended: its status. */
const char *triage_give(struct pipeline *p, struct give give);
#define GIVE(p, ...) triage_give((p), (struct give){__VA_ARGS__})

/* The id of the signal's open dead letter, conflicts left out unless there is no other; NULL: none. */
const char *triage_find(struct pipeline *p, const char *entitlement, const char *id);
/* Requeues the signal's dead letter, and tells pipeline_check of the new identity. */
const char *triage_requeue(struct pipeline *p, const char *entitlement, const char *id);
/* "class reason id/redrive state; …", oldest first. */
const char *triage_list(struct pipeline *p);

#endif
