/* The history checker of docs/reliability.md for the simulation: what clients, shims and receipts say about one run
 * that has been healed, drained and stopped. */
#ifndef TAI_TESTS_SIM_CHECKER_H
#define TAI_TESTS_SIM_CHECKER_H

#include "sim/evidence.h"

/* While the run goes on: nothing is queued, waiting, acting or without a receipt. */
bool check_drained(const struct world *world);
void check_undrained(struct world *world); /* says what is left */

void check_world(struct world *world); /* everything; to be called when all processes have ended */

/* checker_receipts.c: chains, numbers, log and checkpoints, canaries, governors as the fold of their receipts; fills in
 * what the history's signals became. */
void check_receipts(struct world *world, struct drill *drill);
/* checker_history.c: no loss, no invention, one ending each, rows that say the same, the order promise. */
void check_history(struct world *world, struct drill *drill);

/* checker_orders.c: every command once, with one receipt; every dead letter listed until it is resolved. */
void check_orders(struct world *world, struct drill *drill);
/* A receipt says that it is of this command; resolved: the signal whose dead letter it closes, or NULL. */
void check_operation(struct world *world, struct span command_id, struct span kind, struct sent *resolved);

/* An answer of the drill's store. */
struct awaited {
    bool answered;
    int status;
};
void awaited_done(struct store_request *request, int status); /* ctx: struct awaited */
/* Waits; a failed request is a violation. */
bool drill_answered(struct world *world, struct drill *drill, struct awaited *awaited, const char *what);

#endif
