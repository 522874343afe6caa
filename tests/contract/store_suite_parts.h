/* Shared by the parts of the store suite: checks, requests that are waited for, and data that says little. */
#ifndef TAI_TESTS_STORE_SUITE_PARTS_H
#define TAI_TESTS_STORE_SUITE_PARTS_H

#include "../support/check.h"
#include "store_suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A data set that is open, and the handle of one thread. */
struct site {
    const struct store_suite *suite;
    struct store_backend *backend;
    struct store *store;
};
void site_open(struct site *site, const struct store_suite *suite, bool fresh);
void site_close(struct site *site);
void site_reopen(struct site *site);

/* Runs one case and prints which promise it is about. */
void suite_case(const struct store_suite *suite, const char *promise, const char *name,
                void (*run)(const struct store_suite *suite));
#define CASE(promise, name) suite_case(suite, promise, #name, name)

/* Answer of a request: filled by its done. */
struct answer {
    bool done;
    int status;
};
void answer_done(struct store_request *request, int status);
int answer_wait(struct store *store, struct answer *answer);
#define CALL(store_handle, kind, request)                                                                              \
    __extension__({                                                                                                    \
        struct answer call_answer = {0};                                                                               \
        (request)->req.done = answer_done;                                                                             \
        (request)->req.ctx = &call_answer;                                                                             \
        store_##kind((store_handle), (request));                                                                       \
        answer_wait((store_handle), &call_answer);                                                                     \
    })

enum { BATCH_MAX = 300 };

/* A commit under construction. Strings live in its arena. */
struct batch {
    struct arena arena;
    struct store_commit commit;
    struct signal_change signals[BATCH_MAX];
    struct governor_change governors[BATCH_MAX];
    struct governor_record records[BATCH_MAX];
    struct outcome outcomes[BATCH_MAX];
    uint32_t shards[BATCH_MAX];
    struct intake_range intake[8];
};
struct batch *batch_new(uint32_t partition, uint64_t epoch, uint64_t batch);
void batch_free(struct batch *batch);
struct span batch_text(struct batch *batch, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An executed row; change it as needed. sha256 is 32 times `hash`. */
struct signal_row *batch_insert(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                                uint8_t hash);
struct signal_row *batch_update(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                                enum signal_status status);
struct signal_row *batch_wait(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                              uint64_t line);
struct governor_record *batch_governor(struct batch *batch, const char *tenant, const char *entitlement, bool insert);
void batch_outcome(struct batch *batch, uint32_t shard, uint64_t number, const char *tenant);
int batch_commit(struct site *site, struct batch *batch);
/* Commits, expects success, frees. */
void batch_run(struct site *site, struct batch *batch);

struct identity identity_of(const char *tenant, const char *entitlement, const char *id, uint32_t redrive);
/* Leases of all partitions for one worker; the first one's epoch. */
uint64_t claim_all(struct site *site, const char *worker, uint32_t partitions);
/* The lease of one partition as a heartbeat of the same worker sees it. */
struct lease lease_of(struct site *site, const char *worker, uint32_t partitions, uint32_t partition);

/* What andon would do: reads up to limit outcomes of the shard and appends a receipt for each. */
struct ledger {
    struct shard_head head;
    struct hasher *hasher;
};
void ledger_open(struct ledger *ledger, struct site *site, const char *worker, uint32_t shard, uint32_t shards);
void ledger_close(struct ledger *ledger);
/* How many were appended; -errno of the append. */
int ledger_step(struct ledger *ledger, struct store *store, uint32_t limit);
/* The append it would make, filled but not sent: change it, send it, then ledger_drop. */
struct ledger_append {
    struct store_outcomes outcomes;
    struct store_chains chains;
    struct store_append append;
    struct receipt *receipts;
    struct chain_head *heads;
};
void ledger_prepare(struct ledger *ledger, struct store *store, uint32_t limit, struct ledger_append *ret);
void ledger_drop(struct ledger_append *append);

void suite_leases(const struct store_suite *suite);
void suite_commits(const struct store_suite *suite);
void suite_waiting(const struct store_suite *suite);
void suite_ledger(const struct store_suite *suite);
void suite_tiles(const struct store_suite *suite);
void suite_queries(const struct store_suite *suite);
void suite_lists(const struct store_suite *suite);
void suite_damage(const struct store_suite *suite);
void suite_triage(const struct store_suite *suite);
void suite_attempts(const struct store_suite *suite);
void suite_threads(const struct store_suite *suite);

#endif
