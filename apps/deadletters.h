/* What the verbs of dead letters share: the filters, and running through many of them. */
#ifndef TAI_APPS_DEADLETTERS_H
#define TAI_APPS_DEADLETTERS_H

#include "apps/session.h"
#include "common/hash.h"

/* Rows of options, the first ones of a verb's table from `first` on. */
enum {
    DEADLETTER_CLASS,
    DEADLETTER_REASON,
    DEADLETTER_TENANT,
    DEADLETTER_ENTITLEMENT,
    DEADLETTER_BEFORE,
    DEADLETTER_FILTERS
};
#define CLI_DEADLETTER_FILTERS                                                                                         \
    [DEADLETTER_CLASS] = {"class", "CLASS", "only those: tenant, destination, pipeline, policy or poison"},            \
    [DEADLETTER_REASON] = {"reason", "REASON", "only those that ended so: governor_halted, overflow, timeout, …"},     \
    [DEADLETTER_TENANT] = {"tenant", "TENANT", "only this tenant's", 't'},                                             \
    [DEADLETTER_ENTITLEMENT] = {"entitlement", "ID", "only those of this entitlement", 'e'},                           \
    [DEADLETTER_BEFORE] = {"before", "TIME", "only those that ended before, as 2026-11-20T12:00:00Z"}

/* "/v1/deadletters?class=…" of the filters that were given. */
void deadletters_path(const struct cli *cli, int first, struct buf *path);
bool deadletters_filtered(const struct cli *cli, int first);

struct deadletter_item {
    char id[UUID_TEXT + 1];
    char command_id[UUID_TEXT + 1];
    bool given, ended, failed;
    char *reason; /* failed: why; owned */
};
struct deadletter_set {
    struct deadletter_item *items;
    size_t count, cap;
};
void deadletter_set_add(struct deadletter_set *set, struct span id);
void deadletter_set_done(struct deadletter_set *set);

/* One action for all of a set. */
struct deadletter_run {
    const struct cli *cli;
    struct session *session;
    const char *action;   /* "requeue", "discard" */
    const char *operator; /* or NULL */
    struct span members;  /* of the command's body */
    int64_t rate;         /* a second */
    bool wait;
};
/* Gives a command for each, no more than rate a second, then waits for their ends; progress is drawn. 0: each item says
 * how it ended; otherwise an exit code. */
must_check int deadletters_resolve(const struct deadletter_run *run, struct deadletter_set *set);

#endif
