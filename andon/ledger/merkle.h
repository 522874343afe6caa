/* RFC 6962 Merkle tree hashing, append-only, over a compact range. Pure. */
#ifndef TAI_ANDON_LEDGER_MERKLE_H
#define TAI_ANDON_LEDGER_MERKLE_H

#include "common/hash.h"

enum { MERKLE_LEVELS = 64 };

struct merkle {
    uint64_t size;
    uint8_t frontier[MERKLE_LEVELS][SHA256_SIZE]; /* roots of the perfect subtrees, largest first */
    uint32_t count;                               /* popcount of size */
};

void merkle_leaf(struct hasher *hasher, struct span data, uint8_t ret[SHA256_SIZE]);
/* ret may be left or right. */
void merkle_node(struct hasher *hasher, const uint8_t left[SHA256_SIZE], const uint8_t right[SHA256_SIZE],
                 uint8_t ret[SHA256_SIZE]);
void merkle_append(struct merkle *tree, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE]);
/* The same; roots[h]: the root of the perfect subtree of 2^h leaves that ends with this one, for each there is. */
void merkle_append_roots(struct merkle *tree, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE],
                         uint8_t (*roots)[SHA256_SIZE]);
bool merkle_same(const struct merkle *a, const struct merkle *b);
void merkle_root(const struct merkle *tree, struct hasher *hasher, uint8_t ret[SHA256_SIZE]); /* empty: SHA-256 of "" */

#endif
