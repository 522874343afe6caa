/* Tails the outcomes of the shards this process holds: leases, the shards' machines, the signing thread. On the loop's
 * thread. Idle, it costs one heartbeat and one read a second. */
#ifndef TAI_ANDON_LEDGER_TAIL_H
#define TAI_ANDON_LEDGER_TAIL_H

#include "andon/andon_metrics.h"
#include "andon/ledger/shard.h"

struct tail;

struct tail_options {
    struct event_base *base;
    struct store *store; /* borrowed; dispatched by the owner */
    const char *worker;
    uint32_t shards;
    const char *state_dir;
    const char *origin;
    const struct note_key *key;
    const struct note_key *previous_key; /* signs as well, or NULL */
    const struct clock *clock;
    const struct log *log;
    struct andon_metrics *metrics;
};

must_check int tail_new(const struct tail_options *options, struct tail **ret, struct error *err);
/* Receipts what is there, signs, gives the shards back. done is called from the loop, once. */
void tail_drain(struct tail *tail, void (*done)(void *ctx), void *ctx);
void tail_free(struct tail *tail); /* the store must be closed */

/* For the API and health. */
const struct shard *tail_shard(const struct tail *tail, uint32_t shard); /* NULL beyond the last */
struct signing *tail_signing(const struct tail *tail);
const char *tail_trouble(const struct tail *tail); /* what keeps receipts from being written, or NULL */

#endif
