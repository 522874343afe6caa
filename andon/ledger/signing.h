/* The signing thread, the only one that holds the key: remembers and signs trees without holding up the loop, one
 * signature at a time. A tree handed in while an older one of its shard waits takes its place, so under load
 * checkpoints skip commits and never lag behind. In between it signs receipts, some of them waiting at most:
 * checkpoints come first. */
#ifndef TAI_ANDON_LEDGER_SIGNING_H
#define TAI_ANDON_LEDGER_SIGNING_H

#include "andon/ledger/signer.h"

#include <event2/event.h>

struct signing;

struct signing_options {
    struct event_base *base;
    struct signer **signers; /* one per shard, borrowed */
    uint32_t shards;
    const struct note_key *key; /* of receipts; borrowed */
    /* On the loop's thread. note: the signed checkpoint over size leaves. */
    void (*signed_)(void *ctx, uint32_t shard, uint64_t size, struct span note);
    /* code -EBADMSG: refused; else the memory could not be written, nothing was published */
    void (*failed)(void *ctx, uint32_t shard, int code, const struct error *why);
    void *ctx;
};

must_check int signing_new(const struct signing_options *options, struct signing **ret, struct error *err);
void signing_free(struct signing *signing); /* waits for the signature under way; its result is dropped */

/* tree must have passed signer_check. */
void signing_submit(struct signing *signing, uint32_t shard, const struct merkle *tree);
/* Signs a receipt (jws.h); done on the loop's thread with the JWS, or with code -errno. -EAGAIN: too many wait. Never
 * calls done once signing_free was called. */
typedef void signing_jws_done(void *ctx, int code, struct span jws);
must_check int signing_jws(struct signing *signing, struct span payload, signing_jws_done *done, void *ctx);
/* Whether a tree of that shard waits, is being signed, or its result has not been delivered. */
bool signing_busy(struct signing *signing, uint32_t shard);

#endif
