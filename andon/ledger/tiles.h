/* The tiles a growing log completes (store.h has their form). Between batches it holds the leaves behind the last
 * complete tile; a batch adds its leaves, and its tiles go to the store with it. Pure. */
#ifndef TAI_ANDON_LEDGER_TILES_H
#define TAI_ANDON_LEDGER_TILES_H

#include "andon/ledger/merkle.h"
#include "store/store.h"

struct tiles {
    struct merkle tree; /* of every leaf taken in */
    uint64_t tiled;     /* leaves in tiles the store has; the others are open */
    uint8_t open[TILE_WIDTH][SHA256_SIZE];
};

/* Follows the log from where it can: 0 <= tree.size <= head->tiled. */
void tiles_init(struct tiles *tiles, const struct shard_head *head);

struct tiles_batch {
    struct merkle tree;             /* with the leaves of the batch */
    uint64_t tiled;                 /* as it will be */
    uint8_t (*leaves)[SHA256_SIZE]; /* the open ones and those of the batch */
    size_t leaf_count, old_count;   /* old_count: those that were open */
    struct tile_part *parts;
    uint8_t (*roots)[SHA256_SIZE]; /* of parts above level 0, one each */
    size_t part_count;
};
/* For at most leaf_count leaves; everything in arena. */
void tiles_begin(const struct tiles *tiles, size_t leaf_count, struct arena *arena, struct tiles_batch *ret);
void tiles_add(struct tiles_batch *batch, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE]);
/* The store has the batch. Leaves below tiled that came to rebuild the tree are forgotten. */
void tiles_commit(struct tiles *tiles, const struct tiles_batch *batch);

#endif
