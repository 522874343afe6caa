/* What every store backend must do, as tests: the promises of store/store.h, asked through it. A program that tests a
 * backend includes store_suite.c, says how to open, to drop and to damage a data set, and runs the suite. */
#ifndef TAI_TESTS_STORE_SUITE_H
#define TAI_TESTS_STORE_SUITE_H

#include "store/backend.h"

/* Things an operator, a bug or a disk may have made wrong in the stored rows: each must be answered -EUCLEAN. */
enum store_damage {
    DAMAGE_SIGNAL_STATUS,      /* 99 in every signal row */
    DAMAGE_SIGNAL_HASH,        /* too short */
    DAMAGE_SIGNAL_OUTCOMES,    /* do not rise */
    DAMAGE_WAITING_BYTES,      /* gone */
    DAMAGE_GOVERNOR_STATE,     /* 99 */
    DAMAGE_GOVERNOR_NUMBERS,   /* cut short */
    DAMAGE_GOVERNOR_PENDING,   /* no JSON object */
    DAMAGE_GOVERNOR_NO_ACTION, /* action_pending without its action */
    DAMAGE_OUTCOMES,           /* cut short */
    DAMAGE_FRONTIER,           /* cut short */
    DAMAGE_CHAIN_HASH,         /* cut short */
    DAMAGE_CHAIN_ORDER,        /* the chain's list of receipts names a wrong one */
    DAMAGE_RECEIPT_HASH,       /* cut short */
    DAMAGE_LEASE_NUMBERS,      /* negative counters */
    DAMAGE_DEADLETTER_CLASS,   /* 99 in every dead letter */
    DAMAGE_DEADLETTER_ROW,     /* the signal's row of each is gone */
    DAMAGE_COMMAND_KIND,       /* 99 in every command */
    DAMAGE_COUNT
};

struct store_suite {
    const char *name;
    void *ctx;
    /* Opens the data set, an empty one if `fresh`. */
    struct store_backend *(*open)(void *ctx, bool fresh);
    /* Ends it as a dying process would: what is leased was not given back. */
    void (*close)(void *ctx, struct store_backend *backend);
    /* Between close and open. */
    void (*damage)(void *ctx, enum store_damage damage);
};

/* Runs everything; the number of checks that failed. */
int store_suite_run(const struct store_suite *suite);

#endif
