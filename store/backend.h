/* What a store backend is. store.c is its only caller: one op per request kind, so that a backend is one table.
 * Requests have been checked when they arrive; their `error` is NULL. */
#ifndef TAI_STORE_BACKEND_H
#define TAI_STORE_BACKEND_H

#include "store/triage.h"

struct store_link; /* one thread's connection */

struct store_backend_ops {
    const char *name;
    int (*link_open)(struct store_backend *backend, struct store_link **ret, struct error *err);
    int (*poll_fd)(const struct store_link *link);
    void (*dispatch)(struct store_link *link);
    void (*link_close)(struct store_link *link);
    /* done(request, -EINVAL) from a later dispatch, nothing else */
    void (*refuse)(struct store_link *link, struct store_request *request);
    void (*on_outcomes)(struct store_link *link, void (*wake)(void *ctx), void *ctx);
    void (*on_commands)(struct store_link *link, void (*wake)(void *ctx), void *ctx);
    void (*lease)(struct store_link *, struct store_lease *);
    void (*load)(struct store_link *, struct store_load *);
    void (*lookup)(struct store_link *, struct store_lookup *);
    void (*waiting)(struct store_link *, struct store_waiting *);
    void (*due)(struct store_link *, struct store_due *);
    void (*commit)(struct store_link *, struct store_commit *);
    void (*outcome_numbers)(struct store_link *, struct store_outcome_numbers *);
    void (*shards)(struct store_link *, struct store_shards *);
    void (*outcomes)(struct store_link *, struct store_outcomes *);
    void (*chains)(struct store_link *, struct store_chains *);
    void (*append)(struct store_link *, struct store_append *);
    void (*signal)(struct store_link *, struct store_signal *);
    void (*receipt)(struct store_link *, struct store_receipt *);
    void (*receipts)(struct store_link *, struct store_receipts *);
    void (*governors)(struct store_link *, struct store_governors *);
    void (*deadletter)(struct store_link *, struct store_deadletter *);
    void (*deadletters)(struct store_link *, struct store_deadletters *);
    void (*command_add)(struct store_link *, struct store_command_add *);
    void (*command)(struct store_link *, struct store_command *);
    void (*commands)(struct store_link *, struct store_commands *);
    void (*totals)(struct store_link *, struct store_totals *);
    void (*fix)(struct store_link *, struct store_fix *);
    void (*sweep)(struct store_link *, struct store_sweep *);
    void (*free)(struct store_backend *backend);
};

struct store_backend { /* first member of every backend's struct */
    const struct store_backend_ops *ops;
};

void store_backend_free(struct store_backend *backend);

#endif
