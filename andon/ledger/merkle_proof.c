/* Proofs over a tree whose perfect subtrees somebody else keeps. A proof asks for at most two subtrees a level and has
 * at most one hash a level, so all is bounded by 64 whatever the size. Pure; any thread. */
#include "andon/ledger/merkle_proof.h"

/* The largest power of two smaller than count; count > 1. */
static uint64_t split_of(uint64_t count)
{
    return UINT64_C(1) << (63 - __builtin_clzll(count - 1));
}

/* The root of the leaves first to end; first is a multiple of the largest power of two in their number. */
static void range_root(const struct merkle_source *source, uint64_t first, uint64_t end, uint8_t ret[SHA256_SIZE])
{
    uint64_t left = end - first;
    uint32_t height = 63 - (uint32_t)__builtin_clzll(left);
    source->root(source->ctx, height, first >> height, ret);
    left -= UINT64_C(1) << height;
    if (left == 0)
        return;
    uint8_t rest[SHA256_SIZE]; /* at most 63 deep: the height falls with each */
    range_root(source, end - left, end, rest);
    merkle_node(source->hasher, ret, rest, ret);
}

void merkle_source_root(const struct merkle_source *source, uint64_t size, uint8_t ret[SHA256_SIZE])
{
    if (size == 0)
        hasher_sha256(source->hasher, (struct span){"", 0}, ret);
    else
        range_root(source, 0, size, ret);
}

static void reverse(struct merkle_proof *proof)
{
    for (uint32_t i = 0, j = proof->count; i + 1 < j; i++) {
        uint8_t hash[SHA256_SIZE];
        j--;
        memcpy(hash, proof->hashes[i], SHA256_SIZE);
        memcpy(proof->hashes[i], proof->hashes[j], SHA256_SIZE);
        memcpy(proof->hashes[j], hash, SHA256_SIZE);
    }
}

static uint8_t *next_hash(struct merkle_proof *proof)
{
    return proof->hashes[proof->count++];
}

void merkle_prove_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size, struct merkle_proof *ret)
{
    uint64_t first = 0, end = size;
    ret->count = 0;
    while (end - first > 1) {
        uint64_t middle = first + split_of(end - first);
        if (index < middle) {
            range_root(source, middle, end, next_hash(ret));
            end = middle;
        } else {
            range_root(source, first, middle, next_hash(ret));
            first = middle;
        }
    }
    reverse(ret);
}

void merkle_prove_consistency(const struct merkle_source *source, uint64_t old_size, uint64_t new_size,
                              struct merkle_proof *ret)
{
    uint64_t first = 0, end = new_size;
    bool left_edge = true; /* the old tree is what is left: its root is known to whoever verifies */
    ret->count = 0;
    while (old_size != end) {
        uint64_t middle = first + split_of(end - first);
        if (old_size <= middle) {
            range_root(source, middle, end, next_hash(ret));
            end = middle;
        } else {
            range_root(source, first, middle, next_hash(ret));
            first = middle;
            left_edge = false;
        }
    }
    if (!left_edge)
        range_root(source, first, end, next_hash(ret));
    reverse(ret);
}

bool merkle_verify_inclusion(struct hasher *hasher, const uint8_t leaf[SHA256_SIZE], uint64_t index, uint64_t size,
                             const struct merkle_proof *proof, const uint8_t root[SHA256_SIZE])
{
    uint8_t hash[SHA256_SIZE];
    if (index >= size)
        return false;
    memcpy(hash, leaf, SHA256_SIZE);
    uint64_t at = index, last = size - 1;
    for (uint32_t i = 0; i < proof->count; i++) {
        if (last == 0)
            return false;
        if (at & 1 || at == last) {
            merkle_node(hasher, proof->hashes[i], hash, hash);
            while (!(at & 1) && at != 0) {
                at >>= 1;
                last >>= 1;
            }
        } else {
            merkle_node(hasher, hash, proof->hashes[i], hash);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && memcmp(hash, root, SHA256_SIZE) == 0;
}

/* 0 < old_size < new_size. */
static bool verify_extension(struct hasher *hasher, uint64_t old_size, const uint8_t old_root[SHA256_SIZE],
                             uint64_t new_size, const uint8_t new_root[SHA256_SIZE], const struct merkle_proof *proof)
{
    uint8_t from_old[SHA256_SIZE], from_new[SHA256_SIZE];
    uint32_t i = 0;
    uint64_t at = old_size - 1, last = new_size - 1;
    while (at & 1) {
        at >>= 1;
        last >>= 1;
    }
    if (proof->count == 0)
        return false;
    /* an old tree that is a perfect subtree of the new one begins it, and its root is not sent */
    const uint8_t *seed = (old_size & (old_size - 1)) == 0 ? old_root : proof->hashes[i++];
    memcpy(from_old, seed, SHA256_SIZE);
    memcpy(from_new, seed, SHA256_SIZE);
    for (; i < proof->count; i++) {
        if (last == 0)
            return false;
        if (at & 1 || at == last) {
            merkle_node(hasher, proof->hashes[i], from_old, from_old);
            merkle_node(hasher, proof->hashes[i], from_new, from_new);
            while (!(at & 1) && at != 0) {
                at >>= 1;
                last >>= 1;
            }
        } else {
            merkle_node(hasher, from_new, proof->hashes[i], from_new);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && memcmp(from_old, old_root, SHA256_SIZE) == 0 && memcmp(from_new, new_root, SHA256_SIZE) == 0;
}

bool merkle_verify_consistency(struct hasher *hasher, uint64_t old_size, const uint8_t old_root[SHA256_SIZE],
                               uint64_t new_size, const uint8_t new_root[SHA256_SIZE], const struct merkle_proof *proof)
{
    if (old_size == 0 || old_size > new_size)
        return false;
    if (old_size == new_size)
        return proof->count == 0 && memcmp(old_root, new_root, SHA256_SIZE) == 0;
    return verify_extension(hasher, old_size, old_root, new_size, new_root, proof);
}
