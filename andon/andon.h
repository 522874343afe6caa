/* Layer 5: tails the outcomes of its shards, appends receipts to the tenants' chains and the shard's log, signs
 * checkpoints, and serves the API. Runs on one event loop. */
#ifndef TAI_ANDON_ANDON_H
#define TAI_ANDON_ANDON_H

#include "andon/backup.h"
#include "common/http/http.h"
#include "common/log.h"
#include "config/config.h"
#include "kaizen/metrics.h"
#include "store/triage.h"

struct andon;

/* An edited signal, to be read by the rules of a posted one. What it leaves out is as in the original; its id,
 * tenant_id and entitlement_id must be the same. */
struct andon_edit {
    struct span text;            /* in: the new bytes */
    const struct deadletter *of; /* in: the original, with envelope and bytes */
    struct arena *arena;         /* in: for what comes out */
    struct span envelope;
    uint8_t sha256[SHA256_SIZE];
};

struct andon_options {
    struct event_base *base;
    const struct andon_config *config;
    struct store_backend *store;
    const char *worker;    /* unique per process start */
    const char *state_dir; /* where the signer remembers its last (size, root) */
    /* "accepted" before a worker has taken a signal, or NULL; any thread */
    bool (*accepted)(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id);
    void *accepted_ctx;
    /* On andon's thread. -EINVAL or -EMSGSIZE with what to mend. NULL: signals cannot be edited. */
    int (*edit)(void *ctx, struct andon_edit *edit, struct error *err);
    void *edit_ctx;
    /* Signals queued for a partition; any thread. NULL: not known here. */
    uint64_t (*depth)(void *ctx, uint32_t partition);
    void *depth_ctx;
    const struct andon_backup *backup; /* NULL: no backups */
    const struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
};

must_check int andon_new(const struct andon_options *options, struct andon **ret, struct error *err);
/* Takes over the tokens of config. On andon's thread. */
void andon_reload(struct andon *andon, const struct andon_config *config);
uint16_t andon_port(const struct andon *andon);
/* Receipts everything that is in the outcome table, signs the last checkpoint, stops listening, gives the shards back,
 * then calls done from the loop. */
void andon_drain(struct andon *andon, void (*done)(void *ctx), void *ctx);
void andon_free(struct andon *andon);

#endif
