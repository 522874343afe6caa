/* What the verbs of dead letters share: the filters, and running through many of them. */
#ifndef TAI_APPS_CLI_DEADLETTERS_H
#define TAI_APPS_CLI_DEADLETTERS_H

#include "apps/cli/session.h"
#include "common/hash.h"

/* Rows of options, the first ones of a verb's table; they are the filters of list_query. */
enum {
    DEADLETTER_CLASS,
    DEADLETTER_REASON,
    DEADLETTER_TENANT,
    DEADLETTER_ENTITLEMENT,
    DEADLETTER_SINCE,
    DEADLETTER_BEFORE,
    DEADLETTER_FILTERS
};
#define CLI_DEADLETTER_FILTERS                                                                                         \
    [DEADLETTER_CLASS] = {.name = "class",                                                                             \
                          .value = "CLASS",                                                                            \
                          .help = "only those: tenant, destination, pipeline, policy or poison",                       \
                          .form = &form_class},                                                                        \
    [DEADLETTER_REASON] = {"reason", "REASON", "only those that ended so: governor_halted, overflow, timeout, …"},     \
    [DEADLETTER_TENANT] = CLI_TENANT("only this tenant's"),                                                            \
    [DEADLETTER_ENTITLEMENT] = CLI_ENTITLEMENT("only those of this entitlement"), [DEADLETTER_SINCE] = CLI_SINCE,      \
    [DEADLETTER_BEFORE] = CLI_BEFORE

bool deadletters_filtered(const struct cli *cli);

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
