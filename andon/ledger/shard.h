/* One shard of the ledger as this process follows it. Shared by tail.c (leases), shard.c (batches) and shard_follow.c
 * (checking a log before it is extended). All on the loop's thread.
 *
 *             held                checked            wake            outcomes      heads known        -ESTALE
 *   free ───────────► following ──────────► idle ─────────► reading ─────────► chains ────► appending ────────► stale
 *    ▲                 │     ▲               ▲ none            │ │                │            │  │              │
 *    │ lost            │     └── again ──┐   └─────────────────┘ └───── failed ───┴────────────┘  │ committed    │
 *    │                 ▼ inconsistent    │                                 ▼                      ▼              │
 *    └──────────── stopped              backoff ◄──────────────────────────┘                    idle             │
 *                      following ◄─────────────────────── held, by a heartbeat begun afterwards ─────────────────┘
 */
#ifndef TAI_ANDON_LEDGER_SHARD_H
#define TAI_ANDON_LEDGER_SHARD_H

#include "andon/andon_metrics.h"
#include "andon/ledger/chains.h"
#include "andon/ledger/receipt.h"
#include "andon/ledger/signer.h"
#include "andon/ledger/signing.h"
#include "andon/ledger/tiles.h"
#include "common/log.h"

#include <event2/event.h>

enum shard_state {
    SHARD_FREE,      /* not ours */
    SHARD_FOLLOWING, /* reading back receipts the signer has not followed yet */
    SHARD_IDLE,
    SHARD_READING,
    SHARD_CHAINS,
    SHARD_APPENDING,
    SHARD_STALE,   /* the fence failed: waits for a fresh head */
    SHARD_BACKOFF, /* the store failed: waits for the timer */
    SHARD_STOPPED, /* the log is not the one that was signed: nothing is appended until a person has looked */
    SHARD_STATE_COUNT
};
extern const char *const shard_state_names[SHARD_STATE_COUNT];

struct shard_env { /* what all shards share; owned by the tail */
    struct event_base *base;
    struct store *store;
    struct hasher *hasher;
    struct receipt_builder builder;
    struct signing *signing;
    struct andon_metrics *metrics;
    const struct clock *clock;
    const struct log *log;
    uint64_t heartbeats;               /* begun so far */
    void (*need_heartbeat)(void *ctx); /* now rather than at the next second */
    void (*changed)(void *ctx);        /* a shard came to rest: a drain may go on */
    void *ctx;
};

struct shard {
    struct shard_env *env;
    uint32_t number;
    enum shard_state state;
    struct signer *signer;
    struct chains *chains;
    struct shard_head head; /* as committed last */
    bool checked;           /* head is the tree the signer has followed */
    bool wanted;            /* look for outcomes as soon as nothing is under way */
    bool lost;              /* the lease went while a request was under way */
    uint64_t stale_since;   /* heartbeat count when it became stale */
    unsigned failures;      /* of the store, in a row */
    unsigned fenced;        /* lost fences in a row */
    bool draining;
    bool read_drains; /* the read under way was begun after the drain */
    bool drained;     /* such a read found nothing */
    struct event *retry;
    struct error why;      /* of the last failure or stop, empty when all is well */
    struct error sign_why; /* of the last signature that failed, empty when all is well */
    uint64_t followed_from;

    struct store_receipts follow;
    struct store_outcomes read;
    struct store_chains ask;
    struct store_append append;
    struct tiles tiles;           /* up to head once checked */
    struct tiles_batch batch;     /* of append; in its arena */
    struct chain_entry **entries; /* of read.outcomes */
    int64_t append_began_us;

    uint64_t *last_numbers; /* by partition: the last outcome number receipted, 0 if none since the claim */
    size_t partitions;

    struct buf note; /* the published checkpoint; empty until the first */
    uint64_t signed_size;
    bool refused;       /* the signer saw a tree that does not extend what it signed */
    bool unsigned_tail; /* the last signature failed: sign again at the next second */
};

void shard_init(struct shard *shard, struct shard_env *env, uint32_t number, struct signer *signer);
void shard_done(struct shard *shard); /* the store must be closed */

/* The one function that moves. */
void shard_move(struct shard *shard, enum shard_state to);
/* What the heartbeat begun as number `heartbeat` says: head NULL means not ours. */
void shard_heartbeat(struct shard *shard, const struct shard_head *head, uint64_t heartbeat);
void shard_kick(struct shard *shard); /* there may be outcomes */
void shard_tick(struct shard *shard); /* each second: looks without being woken, tries a failed signature again */
void shard_drain(struct shard *shard);
bool shard_at_rest(const struct shard *shard); /* drained, signed, or never will be */
void shard_signed(struct shard *shard, uint64_t size, struct span note);
void shard_sign_failed(struct shard *shard, int code, const struct error *why);

/* Between the two files: */
void shard_follow(struct shard *shard);      /* FOLLOWING: reads on, then checks */
void shard_fill_append(struct shard *shard); /* the head and the tiles, from batch */
/* To STALE or BACKOFF; detail: what the store said of it, or NULL. */
void shard_fail(struct shard *shard, int code, const char *what, const char *detail);
void shard_stop(struct shard *shard, const char *event); /* to STOPPED, why is set */
void shard_sign(struct shard *shard);                    /* hands head to the signing thread */
bool shard_still_held(struct shard *shard);              /* after each request: false moved it to STALE */

static inline struct merkle shard_tree(const struct shard_head *head)
{
    struct merkle tree = {.size = head->size, .count = head->frontier_count};
    memcpy(tree.frontier, head->frontier, sizeof(tree.frontier));
    return tree;
}

#endif
