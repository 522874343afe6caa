/* Proofs against the reference vectors of Certificate Transparency (RFC 6962's own tree of eight leaves), and every
 * pair of sizes up to some: made, verified, and refused once anything in them is another. */
#include "andon/ledger/merkle_proof.h"

#include <criterion/criterion.h>

enum { SIZES = 70 };

static struct hasher *hasher;
static uint8_t leaves[SIZES][SHA256_SIZE];

static void setup(void)
{
    hasher = hasher_new();
    for (int i = 0; i < SIZES; i++) {
        char data[2] = {(char)i, (char)(i >> 8)};
        merkle_leaf(hasher, (struct span){data, sizeof(data)}, leaves[i]);
    }
}

static void teardown(void)
{
    hasher_free(hasher);
}

TestSuite(merkle_proof, .init = setup, .fini = teardown);

/* The definition, RFC 6962, 2.1. */
static void root_of(uint32_t height, uint64_t number, uint8_t ret[SHA256_SIZE])
{
    if (height == 0) {
        memcpy(ret, leaves[number], SHA256_SIZE);
        return;
    }
    uint8_t left[SHA256_SIZE], right[SHA256_SIZE];
    root_of(height - 1, number * 2, left);
    root_of(height - 1, number * 2 + 1, right);
    merkle_node(hasher, left, right, ret);
}

static void source_root(void *ctx, uint32_t height, uint64_t number, uint8_t ret[SHA256_SIZE])
{
    uint64_t end = (number + 1) << height;
    cr_assert_leq(end, *(uint64_t *)ctx, "asked beyond the tree");
    root_of(height, number, ret);
}

static struct merkle_source source_of(uint64_t *size)
{
    return (struct merkle_source){.root = source_root, .ctx = size, .hasher = hasher};
}

static void frontier_root(uint64_t size, uint8_t ret[SHA256_SIZE])
{
    struct merkle tree = {0};
    for (uint64_t i = 0; i < size; i++)
        merkle_append(&tree, hasher, leaves[i]);
    merkle_root(&tree, hasher, ret);
}

Test(merkle_proof, roots)
{
    for (uint64_t size = 0; size <= SIZES; size++) {
        uint8_t root[SHA256_SIZE], expected[SHA256_SIZE];
        struct merkle_source source = source_of(&size);
        merkle_source_root(&source, size, root);
        frontier_root(size, expected);
        cr_assert(memcmp(root, expected, SHA256_SIZE) == 0, "size %lu", (unsigned long)size);
    }
}

/* Whatever bit of the proof, the place or the roots is another, it must not verify. */
static void spoil_inclusion(uint64_t index, uint64_t size, struct merkle_proof proof, uint8_t root[SHA256_SIZE])
{
    for (uint32_t i = 0; i < proof.count; i++) {
        proof.hashes[i][i % SHA256_SIZE] ^= 1;
        cr_expect_not(merkle_verify_inclusion(hasher, leaves[index], index, size, &proof, root));
        proof.hashes[i][i % SHA256_SIZE] ^= 1;
    }
    struct merkle_proof other = proof;
    memset(other.hashes[other.count], 7, SHA256_SIZE);
    other.count++;
    cr_expect_not(merkle_verify_inclusion(hasher, leaves[index], index, size, &other, root), "a hash too many");
    if (proof.count) {
        other.count = proof.count - 1;
        cr_expect_not(merkle_verify_inclusion(hasher, leaves[index], index, size, &other, root), "a hash too few");
    }
    for (uint64_t at = 0; at < size; at++)
        cr_expect(merkle_verify_inclusion(hasher, leaves[index], at, size, &proof, root) == (at == index));
    cr_expect_not(merkle_verify_inclusion(hasher, leaves[index], size, size, &proof, root));
    root[0] ^= 1;
    cr_expect_not(merkle_verify_inclusion(hasher, leaves[index], index, size, &proof, root));
    root[0] ^= 1;
}

Test(merkle_proof, inclusion)
{
    for (uint64_t size = 1; size <= SIZES; size++) {
        uint8_t root[SHA256_SIZE];
        struct merkle_source source = source_of(&size);
        frontier_root(size, root);
        for (uint64_t index = 0; index < size; index++) {
            struct merkle_proof proof;
            merkle_prove_inclusion(&source, index, size, &proof);
            cr_assert(merkle_verify_inclusion(hasher, leaves[index], index, size, &proof, root), "%lu in %lu",
                      (unsigned long)index, (unsigned long)size);
            spoil_inclusion(index, size, proof, root);
        }
    }
}

static void spoil_consistency(uint64_t old_size, uint64_t size, struct merkle_proof proof, const uint8_t *old_root,
                              const uint8_t *root)
{
    for (uint32_t i = 0; i < proof.count; i++) {
        proof.hashes[i][i % SHA256_SIZE] ^= 1;
        cr_expect_not(merkle_verify_consistency(hasher, old_size, old_root, size, root, &proof));
        proof.hashes[i][i % SHA256_SIZE] ^= 1;
    }
    uint8_t other[SHA256_SIZE];
    memcpy(other, old_root, SHA256_SIZE);
    other[31] ^= 1;
    cr_expect_not(merkle_verify_consistency(hasher, old_size, other, size, root, &proof), "another old tree");
    memcpy(other, root, SHA256_SIZE);
    other[31] ^= 1;
    cr_expect_not(merkle_verify_consistency(hasher, old_size, old_root, size, other, &proof), "another new tree");
    memset(proof.hashes[proof.count++], 7, SHA256_SIZE);
    cr_expect_not(merkle_verify_consistency(hasher, old_size, old_root, size, root, &proof), "a hash too many");
    if (proof.count > 1) {
        proof.count -= 2;
        cr_expect_not(merkle_verify_consistency(hasher, old_size, old_root, size, root, &proof), "a hash too few");
    }
}

Test(merkle_proof, consistency)
{
    for (uint64_t size = 1; size <= SIZES; size++) {
        uint8_t root[SHA256_SIZE];
        struct merkle_source source = source_of(&size);
        frontier_root(size, root);
        for (uint64_t old_size = 1; old_size <= size; old_size++) {
            uint8_t old_root[SHA256_SIZE];
            struct merkle_proof proof;
            frontier_root(old_size, old_root);
            merkle_prove_consistency(&source, old_size, size, &proof);
            cr_assert(merkle_verify_consistency(hasher, old_size, old_root, size, root, &proof), "%lu to %lu",
                      (unsigned long)old_size, (unsigned long)size);
            spoil_consistency(old_size, size, proof, old_root, root);
        }
        struct merkle_proof none = {0};
        cr_expect_not(merkle_verify_consistency(hasher, 0, root, size, root, &none));
        cr_expect_not(merkle_verify_consistency(hasher, size + 1, root, size, root, &none));
    }
}

/* certificate-transparency/cpp/merkletree/merkle_tree_test.cc: the eight leaves and their paths. */
static const char *const data[8] = {
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
#define ROOT_8 "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
#define ROOT_5 "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"

static void reference_leaves(void)
{
    for (int i = 0; i < 8; i++) {
        uint8_t bytes[16];
        struct span hex = span_of(data[i]);
        cr_assert(hex_decode(hex, bytes, hex.len / 2));
        merkle_leaf(hasher, (struct span){(const char *)bytes, hex.len / 2}, leaves[i]);
    }
}

static void expect_hashes(const struct merkle_proof *proof, const char *const *hex, uint32_t count)
{
    cr_assert_eq(proof->count, count, "%u hashes, not %u", proof->count, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t expected[SHA256_SIZE];
        cr_assert(hex_decode(span_of(hex[i]), expected, SHA256_SIZE));
        cr_expect(memcmp(proof->hashes[i], expected, SHA256_SIZE) == 0, "hash %u", i);
    }
}

Test(merkle_proof, reference_inclusion)
{
    static const char *const of_0[] = {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                                       "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                       "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"};
    static const char *const of_5[] = {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                                       "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"};
    uint64_t size = 8;
    uint8_t root[SHA256_SIZE];
    struct merkle_proof proof;
    struct merkle_source source = source_of(&size);
    reference_leaves();
    cr_assert(hex_decode(SPAN(ROOT_8), root, SHA256_SIZE));
    merkle_prove_inclusion(&source, 0, 8, &proof);
    expect_hashes(&proof, of_0, 3);
    cr_expect(merkle_verify_inclusion(hasher, leaves[0], 0, 8, &proof, root));
    merkle_prove_inclusion(&source, 5, 8, &proof);
    expect_hashes(&proof, of_5, 3);
    cr_expect(merkle_verify_inclusion(hasher, leaves[5], 5, 8, &proof, root));
}

Test(merkle_proof, reference_consistency)
{
    static const char *const from_1[] = {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                                         "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                         "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"};
    static const char *const from_6[] = {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                                         "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"};
    static const char *const from_2_to_5[] = {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                              "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"};
    uint64_t size = 8;
    struct merkle_proof proof;
    struct merkle_source source = source_of(&size);
    reference_leaves();
    merkle_prove_consistency(&source, 1, 8, &proof);
    expect_hashes(&proof, from_1, 3);
    merkle_prove_consistency(&source, 6, 8, &proof);
    expect_hashes(&proof, from_6, 3);
    merkle_prove_consistency(&source, 2, 5, &proof);
    expect_hashes(&proof, from_2_to_5, 2);
    uint8_t root[SHA256_SIZE], expected[SHA256_SIZE];
    merkle_source_root(&source, 5, root);
    cr_expect(hex_decode(SPAN(ROOT_5), expected, SHA256_SIZE) && memcmp(root, expected, SHA256_SIZE) == 0);
}
