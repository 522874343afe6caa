/* RFC 6962 inclusion and consistency proofs (2.1.1, 2.1.2), made from the roots of perfect subtrees and verified as RFC
 * 9162 (2.1.3.2, 2.1.4.2) says. Pure: where the roots come from is the caller's. */
#ifndef TAI_ANDON_LEDGER_MERKLE_PROOF_H
#define TAI_ANDON_LEDGER_MERKLE_PROOF_H

#include "andon/ledger/merkle.h"

enum { MERKLE_PROOF_MAX = MERKLE_LEVELS + 1 };

struct merkle_proof {
    uint32_t count;
    uint8_t hashes[MERKLE_PROOF_MAX][SHA256_SIZE]; /* from the leaves to the root, as the RFC orders them */
};

/* Gives the root of the perfect subtree of 2^height leaves that begins at leaf number << height. Asked only for
 * subtrees within the tree. Asked in the same order whatever it answers, so that a first pass can collect what a second
 * one gives. */
struct merkle_source {
    void (*root)(void *ctx, uint32_t height, uint64_t number, uint8_t ret[SHA256_SIZE]);
    void *ctx;
    struct hasher *hasher;
};

/* The root of the first size leaves. */
void merkle_source_root(const struct merkle_source *source, uint64_t size, uint8_t ret[SHA256_SIZE]);
/* That leaf index is in the tree of size leaves; index < size. */
void merkle_prove_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size,
                            struct merkle_proof *ret);
/* That the tree of new_size leaves extends the one of old_size; 0 < old_size <= new_size. */
void merkle_prove_consistency(const struct merkle_source *source, uint64_t old_size, uint64_t new_size,
                              struct merkle_proof *ret);

bool merkle_verify_inclusion(struct hasher *hasher, const uint8_t leaf[SHA256_SIZE], uint64_t index, uint64_t size,
                             const struct merkle_proof *proof, const uint8_t root[SHA256_SIZE]);
bool merkle_verify_consistency(struct hasher *hasher, uint64_t old_size, const uint8_t old_root[SHA256_SIZE],
                               uint64_t new_size, const uint8_t new_root[SHA256_SIZE],
                               const struct merkle_proof *proof);

#endif
