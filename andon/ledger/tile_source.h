/* The tree of a log, from its tiles and the leaves behind the last one: first a proof is made from nothing to learn
 * which tiles it takes, then those are read, then it is made. Pure. */
#ifndef TAI_ANDON_LEDGER_TILE_SOURCE_H
#define TAI_ANDON_LEDGER_TILE_SOURCE_H

#include "andon/ledger/merkle_proof.h"
#include "store/store.h"

enum { TILE_READS_MAX = 512 }; /* far more than the proofs of one answer can ask for */

struct tile_source {
    struct merkle_source source; /* to prove from */
    uint64_t tiled;
    const uint8_t (*open)[SHA256_SIZE]; /* leaves from tiled on */
    struct tile_read *tiles;            /* what is asked for */
    size_t tile_count;
    bool read; /* they have been read: hashes are real */
};

/* open must outlive ret; the rest is in arena. The source points to itself: it must not move. */
void tile_source_init(struct tile_source *ret, uint64_t tiled, const uint8_t (*open)[SHA256_SIZE],
                      struct hasher *hasher, struct arena *arena);

#endif
