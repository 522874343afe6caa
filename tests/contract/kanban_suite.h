/* What every queue backend must do. A program that tests a backend includes kanban_suite.c, describes the backend and
 * calls kanban_suite_run, which prints each case and returns the number of failed checks. Plain C, threads in one case.
 */
#ifndef TAI_TESTS_KANBAN_SUITE_H
#define TAI_TESTS_KANBAN_SUITE_H

#include "kanban/backend.h"
#include "kanban/kanban.h"

enum { SUITE_PARTITIONS = 4 };

struct kanban_suite_target {
    const char *name;
    /* An empty queue of SUITE_PARTITIONS partitions. */
    struct kanban_backend *(*set_up)(void *ctx);
    /* What a restart of the process leaves of it; NULL if nothing survives. Takes the old one. */
    struct kanban_backend *(*restart)(void *ctx, struct kanban_backend *take_backend);
    void (*tear_down)(void *ctx, struct kanban_backend *take_backend);
    void *ctx;
};

int kanban_suite_run(const struct kanban_suite_target *target);

#endif
