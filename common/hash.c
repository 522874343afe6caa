/* SHA-256, HMAC-SHA256, the partition hash and random bytes. OpenSSL's contexts are made once and reused; an OpenSSL
 * call that fails here means no memory or a broken library: it aborts, as there is no half result to give. A hasher or
 * hmac belongs to one thread. */
#include "common/hash_internal.h"

#include "common/mem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SHA256_BLOCK = 64 };

struct hasher {
    EVP_MD *sha256;
    EVP_MD *sha1;
    EVP_MD_CTX *ctx;
};

/* The hash states behind the inner and the outer pad; copying one is cheaper than hashing its pad again. */
struct hmac {
    EVP_MD_CTX *inner;
    EVP_MD_CTX *outer;
    EVP_MD_CTX *ctx;
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static EVP_MD *fetch(const char *name)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    check(md);
    return md;
}

static EVP_MD_CTX *new_context(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    check(ctx);
    return ctx;
}

struct hasher *hasher_new(void)
{
    struct hasher *hasher = xmalloc(sizeof(*hasher));
    *hasher = (struct hasher){.sha256 = fetch("SHA256"), .sha1 = fetch("SHA1"), .ctx = new_context()};
    return hasher;
}

void hasher_free(struct hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MD_CTX_free(hasher->ctx);
    EVP_MD_free(hasher->sha1);
    EVP_MD_free(hasher->sha256);
    free(hasher);
}

static void digest(EVP_MD_CTX *ctx, const EVP_MD *md, const struct span *parts, size_t count, uint8_t *ret)
{
    bool ok = EVP_DigestInit_ex2(ctx, md, NULL);
    for (size_t i = 0; i < count; i++)
        ok = ok && EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len);
    check(ok && EVP_DigestFinal_ex(ctx, ret, NULL));
}

void hasher_sha256(struct hasher *hasher, struct span data, uint8_t ret[SHA256_SIZE])
{
    digest(hasher->ctx, hasher->sha256, &data, 1, ret);
}

void hasher_sha256v(struct hasher *hasher, const struct span *parts, size_t count, uint8_t ret[SHA256_SIZE])
{
    digest(hasher->ctx, hasher->sha256, parts, count, ret);
}

void hasher_sha1v(struct hasher *hasher, const struct span *parts, size_t count, uint8_t ret[SHA1_SIZE])
{
    digest(hasher->ctx, hasher->sha1, parts, count, ret);
}

static EVP_MD_CTX *padded(const EVP_MD *md, const uint8_t key[SHA256_BLOCK], uint8_t pad)
{
    uint8_t block[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = key[i] ^ pad;
    EVP_MD_CTX *ctx = new_context();
    check(EVP_DigestInit_ex2(ctx, md, NULL) && EVP_DigestUpdate(ctx, block, sizeof(block)));
    OPENSSL_cleanse(block, sizeof(block));
    return ctx;
}

struct hmac *hmac_new(struct span key)
{
    EVP_MD *md = fetch("SHA256");
    struct hmac *hmac = xmalloc(sizeof(*hmac));
    hmac->ctx = new_context();
    uint8_t block[SHA256_BLOCK] = {0};
    if (key.len > sizeof(block))
        digest(hmac->ctx, md, &key, 1, block);
    else if (key.len)
        memcpy(block, key.ptr, key.len);
    hmac->inner = padded(md, block, 0x36);
    hmac->outer = padded(md, block, 0x5c);
    OPENSSL_cleanse(block, sizeof(block));
    EVP_MD_free(md); /* the contexts hold references of their own */
    return hmac;
}

void hmac_free(struct hmac *hmac)
{
    if (!hmac)
        return;
    EVP_MD_CTX_free(hmac->inner);
    EVP_MD_CTX_free(hmac->outer);
    EVP_MD_CTX_free(hmac->ctx);
    free(hmac);
}

void hmac_sha256(struct hmac *hmac, struct span data, uint8_t ret[SHA256_SIZE])
{
    uint8_t inner[SHA256_SIZE];
    check(EVP_MD_CTX_copy_ex(hmac->ctx, hmac->inner) && EVP_DigestUpdate(hmac->ctx, data.ptr, data.len) &&
          EVP_DigestFinal_ex(hmac->ctx, inner, NULL));
    check(EVP_MD_CTX_copy_ex(hmac->ctx, hmac->outer) && EVP_DigestUpdate(hmac->ctx, inner, sizeof(inner)) &&
          EVP_DigestFinal_ex(hmac->ctx, ret, NULL));
}

bool hash_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

static uint64_t fnv1a(uint64_t hash, struct span data)
{
    for (size_t i = 0; i < data.len; i++)
        hash = (hash ^ (unsigned char)data.ptr[i]) * 0x100000001b3;
    return hash;
}

uint64_t hash_pair(struct span first, struct span second)
{
    uint64_t hash = fnv1a(0xcbf29ce484222325, first);
    hash = fnv1a(hash, (struct span){"", 1}); /* a NUL apart: ("ab","c") is not ("a","bc") */
    hash = fnv1a(hash, second);
    /* MurmurHash3's finalizer: FNV's low bits alone spread short names badly. */
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
    return hash ^ hash >> 33;
}

uint32_t hash_bucket(struct span first, struct span second, uint32_t count)
{
    return (uint32_t)(hash_pair(first, second) % count);
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_quick(struct span data, uint64_t seed)
{
    uint64_t hash = seed ^ data.len * UINT64_C(0x9e3779b97f4a7c15), word;
    size_t left = data.len;
    const char *at = data.ptr;
    for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = fold(hash ^ word, 0xff51afd7ed558ccd);
    }
    for (word = 0; left; left--)
        word = word << 8 | (unsigned char)at[left - 1];
    return fold(hash ^ word, 0xc4ceb9fe1a85ec53);
}

void random_bytes(void *ret, size_t len)
{
    char *at = ret;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        check(n > 0);
        at += n;
        len -= (size_t)n;
    }
}
