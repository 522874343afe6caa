/* andon/ledger/signing.h without its thread: a tree is signed when the simulator's loop comes to it. Takes the place of
 * andon/ledger/signing.c in this program; the signer and its memory are the real ones. */
#include "andon/ledger/signing.h"

#include "common/mem.h"
#include "sim/signing.h"

#include <stdlib.h>

enum { NOTE_ROOM = 4096 };

struct slot {
    struct signing *signing;
    uint32_t shard;
    bool waiting;
    struct merkle tree;
    struct event *event;
};

struct signing {
    struct signing_options options;
    struct hasher *hasher;
    struct slot *slots;
};

static struct signing_witness *the_witness;

void signing_watch(struct signing_witness *witness)
{
    the_witness = witness;
}

static void on_slot(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct slot *slot = ctx;
    struct signing *signing = slot->signing;
    struct buf note;
    struct error err;
    uint8_t root[SHA256_SIZE];
    buf_init(&note, NOTE_ROOM);
    slot->waiting = false;
    struct merkle tree = slot->tree;
    int code = signer_sign(signing->options.signers[slot->shard], &tree, &note, &err);
    if (code) {
        signing->options.failed(signing->options.ctx, slot->shard, code, &err);
    } else {
        merkle_root(&tree, signing->hasher, root);
        if (the_witness)
            the_witness->saw(the_witness, slot->shard, tree.size, root);
        signing->options.signed_(signing->options.ctx, slot->shard, tree.size, buf_span(&note));
    }
    buf_done(&note);
}

int signing_new(const struct signing_options *options, struct signing **ret, struct error *err)
{
    (void)err;
    struct signing *signing = xcalloc(1, sizeof(*signing));
    signing->options = *options;
    signing->hasher = hasher_new();
    signing->slots = xcalloc(options->shards, sizeof(*signing->slots));
    for (uint32_t i = 0; i < options->shards; i++) {
        signing->slots[i] = (struct slot){.signing = signing, .shard = i};
        signing->slots[i].event = evtimer_new(options->base, on_slot, &signing->slots[i]);
    }
    *ret = signing;
    return 0;
}

void signing_free(struct signing *signing)
{
    if (!signing)
        return;
    for (uint32_t i = 0; i < signing->options.shards; i++)
        event_free(signing->slots[i].event);
    hasher_free(signing->hasher);
    free(signing->slots);
    free(signing);
}

void signing_submit(struct signing *signing, uint32_t shard, const struct merkle *tree)
{
    struct slot *slot = &signing->slots[shard];
    slot->tree = *tree;
    slot->waiting = true;
    event_active(slot->event, EV_TIMEOUT, 0);
}

bool signing_busy(struct signing *signing, uint32_t shard)
{
    return signing->slots[shard].waiting;
}
