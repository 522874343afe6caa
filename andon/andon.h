/* Layer 5: tails the outcomes of its shards, appends receipts to the tenants' chains and the shard's log, signs
 * checkpoints, and serves the API. Runs on one event loop. */
#ifndef TAI_ANDON_ANDON_H
#define TAI_ANDON_ANDON_H

#include "common/http.h"
#include "common/log.h"
#include "config/config.h"
#include "kaizen/metrics.h"
#include "store/store.h"

struct andon;

struct andon_options {
    struct event_base *base;
    const struct andon_config *config;
    struct store_backend *store;
    const char *worker;    /* unique per process start */
    const char *state_dir; /* where the signer remembers its last (size, root) */
    /* "accepted" before a worker has taken a signal, or NULL; any thread */
    bool (*accepted)(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id);
    void *accepted_ctx;
    const struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
};

must_check int andon_new(const struct andon_options *options, struct andon **ret, struct error *err);
uint16_t andon_port(const struct andon *andon);
/* Receipts everything that is in the outcome table, signs the last checkpoint, stops listening, gives the shards back,
 * then calls done from the loop. */
void andon_drain(struct andon *andon, void (*done)(void *ctx), void *ctx);
void andon_free(struct andon *andon);

#endif
