/* What clients did and were told, as tests/chaos/history.py records it: `ok` a 202, `fail` a definite refusal before
 * the queue, `info` anything else. An info signal may appear once or not at all. Time is the run's step. */
#ifndef TAI_TESTS_SIM_HISTORY_H
#define TAI_TESTS_SIM_HISTORY_H

#include "kanban/frame.h"

#include <uthash.h>

/* One body under an identity. */
struct sent {
    UT_hash_handle hh;     /* by identity and hash */
    UT_hash_handle by_sha; /* by hash alone */
    uint32_t partition;
    struct signal signal; /* its spans are the history's */
    bool event;
    bool redriven;                    /* ordered by an operator, not posted by a client */
    unsigned pending, ok, info, fail; /* posts by outcome */
    uint64_t first_invoked, first_ok; /* steps; first_ok UINT64_MAX: none */
    /* what the receipts say */
    unsigned endings;
    uint64_t decided; /* 1 + position of its first receipt that decides */
    char ending[16], reason[64];
    char receipt_id[UUID_TEXT + 1]; /* of its ending */
    unsigned applied, resolved;     /* requeues that made it; commands that closed its dead letter */
    bool listed;                    /* among the dead letters in the end */
    char key[];
};

struct post {
    struct post *next; /* all of a run */
    uint64_t invoked;
    bool answered;
    unsigned count;
    struct sent *sent[];
};

struct history {
    struct sent *all; /* in order of first sending */
    struct sent *by_sha;
    struct sent **list;
    size_t count, cap;
    struct post *posts;
    struct arena *arena;
};

enum { HISTORY_KEY_MAX = 512 };
size_t history_key(struct span tenant_id, struct span entitlement_id, struct span id, uint32_t redrive,
                   const uint8_t sha256[SHA256_SIZE], char ret[HISTORY_KEY_MAX]);

void history_init(struct history *history);
void history_done(struct history *history);
/* Takes over signal, whose texts are copied. */
struct sent *history_add(struct history *history, const struct signal *signal, bool event, uint32_t partition);
struct sent *history_find(struct history *history, struct span tenant_id, struct span entitlement_id, struct span id,
                          uint32_t redrive, const uint8_t sha256[SHA256_SIZE]);
struct sent *history_find_sha(struct history *history, const uint8_t sha256[SHA256_SIZE]);

struct post *history_invoke(struct history *history, struct sent *const *sent, unsigned count, uint64_t step);
enum history_outcome { HISTORY_OK, HISTORY_FAIL, HISTORY_INFO };
void history_complete(struct post *post, enum history_outcome outcome, uint64_t step);

#endif
