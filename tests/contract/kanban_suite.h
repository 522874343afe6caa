/* What every queue backend must do. A program that tests a backend includes kanban_suite.c, describes the backend and
 * calls kanban_suite_run, which prints each case and returns the number of failed checks. Plain C, threads in one case.
 */
#ifndef TAI_TESTS_KANBAN_SUITE_H
#define TAI_TESTS_KANBAN_SUITE_H

#include "kanban/backend.h"
#include "kanban/kanban.h"

enum { SUITE_PARTITIONS = 4 };

/* What a queue under faults does not do; cases that need it are left out. */
enum {
    SUITE_IN_TIME = 1, /* nothing comes late: answers in the order of the publishes, deliveries without a pause */
    SUITE_ACCEPTS = 2, /* no publish fails before the depth is reached */
    SUITE_ONCE = 4     /* without a crash or a reader that gives up, every frame comes once */
};

struct kanban_suite_target {
    const char *name;
    /* An empty queue of SUITE_PARTITIONS partitions. */
    struct kanban_backend *(*set_up)(void *ctx);
    /* What a restart of the process leaves of it; NULL if nothing survives. Takes the old one. */
    struct kanban_backend *(*restart)(void *ctx, struct kanban_backend *take_backend);
    void (*tear_down)(void *ctx, struct kanban_backend *take_backend);
    void *ctx;
    unsigned lacks; /* SUITE_… */
};

/* Every case that the target does not rule out; the number of checks that failed. */
int kanban_suite_run(const struct kanban_suite_target *target);

#endif
