/* A store backend around another one that fails chosen requests: a fault is a countdown and a number of repeats.
 * Handles of one thread share it; requests of a closed handle are dropped as the store contract says. */
#ifndef TAI_TESTS_SUPPORT_FAULTY_STORE_H
#define TAI_TESTS_SUPPORT_FAULTY_STORE_H

#include "support/store_wrap.h"

enum { FAULTY_ANY = OP_COUNT }; /* beside a store_op: whichever of jidoka's */

enum faulty_kind {
    FAULT_NONE,
    FAULT_BEFORE, /* answered with status, never asked */
    FAULT_AFTER,  /* done, but answered with status: a reply that got lost */
    FAULT_MUTE,   /* done, never answered: its asker died */
    FAULT_HOLD    /* neither asked nor answered until faulty_release, or dropped with the handle */
};

struct faulty_fault {
    enum faulty_kind kind;
    unsigned countdown; /* requests that pass before */
    unsigned repeat;    /* requests hit; 0: none any more */
    int status;
};

struct faulty_store;
struct faulty_store *faulty_store_new(struct store_backend *inner); /* which stays the caller's */
struct store_backend *faulty_store_backend(struct faulty_store *store);
/* Replaces the fault of that operation. */
void faulty_set(struct faulty_store *store, unsigned op, struct faulty_fault fault);
unsigned faulty_seen(const struct faulty_store *store, unsigned op); /* requests so far */
unsigned faulty_held(const struct faulty_store *store);              /* held or muted */
void faulty_release(struct faulty_store *store);                     /* sends what is held */
void faulty_store_free(struct faulty_store *store);

#endif
