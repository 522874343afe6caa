/* What a store backend is. store.c is its only caller: one op per request kind, so that a backend is one table.
 * Requests have been checked when they arrive; their `error` is NULL. */
#ifndef TAI_STORE_BACKEND_H
#define TAI_STORE_BACKEND_H

#include "store/triage.h"

struct store_link; /* one thread's connection */

/* Every kind of request: store_NAME of store.h and triage.h. */
#define STORE_JIDOKA_REQUESTS(X)                                                                                       \
    X(lease, LEASE)                                                                                                    \
    X(load, LOAD)                                                                                                      \
    X(lookup, LOOKUP)                                                                                                  \
    X(waiting, WAITING)                                                                                                \
    X(due, DUE)                                                                                                        \
    X(commit, COMMIT)                                                                                                  \
    X(outcome_numbers, OUTCOME_NUMBERS)                                                                                \
    X(commands, COMMANDS)                                                                                              \
    X(sweep, SWEEP)
#define STORE_ANDON_REQUESTS(X)                                                                                        \
    X(shards, SHARDS)                                                                                                  \
    X(outcomes, OUTCOMES)                                                                                              \
    X(chains, CHAINS)                                                                                                  \
    X(append, APPEND)                                                                                                  \
    X(signal, SIGNAL)                                                                                                  \
    X(receipt, RECEIPT)                                                                                                \
    X(receipts, RECEIPTS)                                                                                              \
    X(tiles, TILES)                                                                                                    \
    X(governors, GOVERNORS)                                                                                            \
    X(deadletter, DEADLETTER)                                                                                          \
    X(deadletters, DEADLETTERS)                                                                                        \
    X(command_add, COMMAND_ADD)                                                                                        \
    X(command, COMMAND)                                                                                                \
    X(command_list, COMMAND_LIST)                                                                                      \
    X(partitions, PARTITIONS)                                                                                          \
    X(totals, TOTALS)                                                                                                  \
    X(fix, FIX)
#define STORE_REQUESTS(X)                                                                                              \
    STORE_JIDOKA_REQUESTS(X)                                                                                           \
    STORE_ANDON_REQUESTS(X)

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
#define X(name, NAME) void (*name)(struct store_link *, struct store_##name *);
    STORE_REQUESTS(X)
#undef X
    void (*free)(struct store_backend *backend);
};

struct store_backend { /* first member of every backend's struct */
    const struct store_backend_ops *ops;
};

void store_backend_free(struct store_backend *backend);

#endif
