/* RFC 6962 hashing against the reference tree of Certificate Transparency and against the recursive definition. */
#include "andon/ledger/merkle.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct hasher *hasher;

static void setup(void)
{
    hasher = hasher_new();
}

static void teardown(void)
{
    hasher_free(hasher);
}

TestSuite(merkle, .init = setup, .fini = teardown);

static bool root_is(const struct merkle *tree, const char *hex)
{
    uint8_t root[SHA256_SIZE], expected[SHA256_SIZE];
    merkle_root(tree, hasher, root);
    return hex_decode(span_of(hex), expected, sizeof(expected)) && memcmp(root, expected, sizeof(root)) == 0;
}

static const struct {
    const char *hex;
    const char *root; /* of the tree up to here */
} reference[] = {
    {"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

Test(merkle, empty_tree_is_the_hash_of_nothing)
{
    struct merkle tree = {0};
    cr_assert(root_is(&tree, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

Test(merkle, reference_tree)
{
    struct merkle tree = {0};
    for (size_t i = 0; i < sizeof(reference) / sizeof(reference[0]); i++) {
        uint8_t data[16], leaf[SHA256_SIZE];
        struct span hex = span_of(reference[i].hex);
        cr_assert(hex_decode(hex, data, hex.len / 2));
        merkle_leaf(hasher, (struct span){(const char *)data, hex.len / 2}, leaf);
        merkle_append(&tree, hasher, leaf);
        cr_expect(root_is(&tree, reference[i].root), "root of %zu leaves", i + 1);
        cr_expect_eq(tree.size, i + 1);
        cr_expect_eq(tree.count, (uint32_t)__builtin_popcountll(i + 1));
    }
}

enum { LEAVES = 300 };

/* MTH of RFC 6962, 2.1: split at the largest power of two below n. */
static void recursive_root(uint8_t leaves[][SHA256_SIZE], size_t n, uint8_t ret[SHA256_SIZE])
{
    if (n == 1) {
        memcpy(ret, leaves[0], SHA256_SIZE);
        return;
    }
    size_t k = 1;
    while (k * 2 < n)
        k *= 2;
    uint8_t text[1 + 2 * SHA256_SIZE] = {1};
    recursive_root(leaves, k, text + 1);
    recursive_root(leaves + k, n - k, text + 1 + SHA256_SIZE);
    hasher_sha256(hasher, (struct span){(const char *)text, sizeof(text)}, ret);
}

Test(merkle, every_size_matches_the_recursive_definition)
{
    static uint8_t leaves[LEAVES][SHA256_SIZE];
    struct merkle tree = {0};
    for (size_t n = 1; n <= LEAVES; n++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "leaf %zu", n);
        uint8_t expected[SHA256_SIZE], root[SHA256_SIZE];
        merkle_leaf(hasher, (struct span){text, (size_t)len}, leaves[n - 1]);
        merkle_append(&tree, hasher, leaves[n - 1]);
        recursive_root(leaves, n, expected);
        merkle_root(&tree, hasher, root);
        cr_assert_arr_eq(root, expected, SHA256_SIZE, "%zu leaves", n);
    }
}

Test(merkle, a_leaf_is_not_a_node)
{
    uint8_t leaf[SHA256_SIZE], plain[SHA256_SIZE];
    merkle_leaf(hasher, SPAN("x"), leaf);
    hasher_sha256(hasher, SPAN("x"), plain);
    cr_assert(memcmp(leaf, plain, sizeof(leaf)) != 0);
}
