/* What the shims share: the memory of planted bugs, and where they strike. */
#ifndef TAI_TESTS_SIM_SHIMS_H
#define TAI_TESTS_SIM_SHIMS_H

#include "sim/evidence.h"
#include "support/store_wrap.h"

#include <sys/queue.h>

struct shim_key {
    UT_hash_handle hh;
    char key[];
};

struct shim_memory {
    struct random random; /* of its own: a bug changes nothing else of the run */
    struct arena arena;
    struct shim_key *hidden_signals, *hidden_governors; /* what a look-up denied */
    char action_id[UUID_TEXT + 1];
    char *last_bytes;
    size_t last_len;
};

void shims_new(struct world *world);
void shims_free(struct world *world);

/* Whether the bug is planted and strikes now: once in `odds` chances. */
bool bug_strikes(struct world *world, enum bug bug, unsigned odds);
bool bug_is(const struct world *world, enum bug bug);

struct shim_store_link;

struct ticket { /* a request under way */
    TAILQ_ENTRY(ticket) link;
    struct shim_store_link *owner;
    struct world *world;
    struct store_request *request;
    enum store_op op;
    store_done *done;
    void *ctx;
    struct arena arena; /* of what a bug puts in the place of the request's own */
    bool changed;
    union { /* the request as it was, when a bug changed it */
        struct store_commit commit;
        struct store_append append;
    } saved;
};

/* bugs_store.c: before a request goes to the store, and when its answer comes (the status it is passed on with) */
void bugs_before(struct ticket *ticket);
int bugs_after(struct ticket *ticket, int status);
/* bugs_commit.c */
void bugs_before_commit(struct ticket *ticket);
void bugs_before_append(struct ticket *ticket);
bool shim_key_known(struct shim_key *keys, const char *key, size_t len);
void shim_key_add(struct world *world, struct shim_key **keys, const char *key, size_t len);
size_t signal_key(const struct identity *identity, char ret[HISTORY_KEY_MAX]);
size_t governor_key(struct span tenant_id, struct span entitlement_id, char ret[HISTORY_KEY_MAX]);

#endif
