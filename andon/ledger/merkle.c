/* RFC 6962 tree hashing over a compact range: appending costs one hash per trailing one bit of the size, the root one
 * per perfect subtree. Pure; any thread. */
#include "andon/ledger/merkle.h"

void merkle_leaf(struct hasher *hasher, struct span data, uint8_t ret[SHA256_SIZE])
{
    const struct span parts[] = {SPAN("\0"), data};
    hasher_sha256v(hasher, parts, 2, ret);
}

void merkle_node(struct hasher *hasher, const uint8_t left[SHA256_SIZE], const uint8_t right[SHA256_SIZE],
                 uint8_t ret[SHA256_SIZE])
{
    char text[1 + 2 * SHA256_SIZE] = {1};
    memcpy(text + 1, left, SHA256_SIZE);
    memcpy(text + 1 + SHA256_SIZE, right, SHA256_SIZE);
    hasher_sha256(hasher, (struct span){text, sizeof(text)}, ret);
}

void merkle_append_roots(struct merkle *tree, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE],
                         uint8_t (*roots)[SHA256_SIZE])
{
    uint8_t carry[SHA256_SIZE];
    memcpy(carry, leaf, SHA256_SIZE);
    if (roots)
        memcpy(*roots++, leaf, SHA256_SIZE);
    for (uint64_t bits = tree->size; bits & 1; bits >>= 1) {
        merkle_node(hasher, tree->frontier[--tree->count], carry, carry);
        if (roots)
            memcpy(*roots++, carry, SHA256_SIZE);
    }
    memcpy(tree->frontier[tree->count++], carry, SHA256_SIZE);
    tree->size++;
}

void merkle_append(struct merkle *tree, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE])
{
    merkle_append_roots(tree, hasher, leaf, NULL);
}

bool merkle_same(const struct merkle *a, const struct merkle *b)
{
    return a->size == b->size && a->count == b->count &&
           memcmp(a->frontier, b->frontier, (size_t)a->count * SHA256_SIZE) == 0;
}

void merkle_root(const struct merkle *tree, struct hasher *hasher, uint8_t ret[SHA256_SIZE])
{
    if (tree->count == 0) {
        hasher_sha256(hasher, (struct span){"", 0}, ret);
        return;
    }
    uint8_t root[SHA256_SIZE];
    memcpy(root, tree->frontier[tree->count - 1], SHA256_SIZE);
    for (uint32_t i = tree->count - 1; i-- > 0;)
        merkle_node(hasher, tree->frontier[i], root, root);
    memcpy(ret, root, SHA256_SIZE);
}
