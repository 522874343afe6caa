/* What operators ordered and were told. */
#ifndef TAI_TESTS_SIM_OPERATOR_H
#define TAI_TESTS_SIM_OPERATOR_H

#include "sim/sim.h"
#include "store/triage.h"

struct ordered {            /* a command */
    struct ordered *next;   /* all of a run */
    struct command command; /* its spans are the history's */
    char id[24];
    struct sent *runs; /* requeue: what is to run, redrive one higher */
    bool answered;
    int status; /* of the answer */
    /* what the receipts say */
    unsigned receipts;
};

struct desk; /* the operator at one andon process; at most one request under way */
struct desk *desk_new(struct process *process);
bool desk_busy(const struct desk *desk); /* NULL: no */
void desk_free(struct desk *desk);       /* the store must be closed */

/* Perhaps an order. */
void operator_step(struct world *world);

#endif
