/* Hashes, HMAC, encodings, UUIDs. One struct hasher per thread: it holds the reused OpenSSL contexts (a one-shot HMAC
 * costs four times as much). */
#ifndef TAI_COMMON_HASH_H
#define TAI_COMMON_HASH_H

#include "common/span.h"

#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_HEX = 64, UUID_TEXT = 36 };

struct hasher;
struct hasher *hasher_new(void);
void hasher_free(struct hasher *hasher);
void hasher_sha256(struct hasher *hasher, struct span data, uint8_t ret[SHA256_SIZE]);
/* SHA-256 over the concatenation of count parts. */
void hasher_sha256v(struct hasher *hasher, const struct span *parts, size_t count, uint8_t ret[SHA256_SIZE]);

/* SHA-256 of a file, read a piece at a time; go_on (may be NULL) is told how many bytes were read so far, false stops:
 * -ECANCELED. */
int hash_file(const char *path, bool (*go_on)(void *ctx, uint64_t bytes), void *ctx, uint8_t ret[SHA256_SIZE]);

/* A keyed HMAC-SHA256, key schedule computed once. */
struct hmac;
struct hmac *hmac_new(struct span key);
void hmac_free(struct hmac *hmac);
void hmac_sha256(struct hmac *hmac, struct span data, uint8_t ret[SHA256_SIZE]);

bool hash_equal(const void *a, const void *b, size_t len); /* constant time */

void hex_encode(const uint8_t *data, size_t len, char *ret); /* lower case, 2*len bytes, no NUL */
bool hex_decode(struct span text, uint8_t *ret, size_t len); /* exactly len bytes, either case */
/* Standard base64 with padding. encode: ret holds 4*((len+2)/3) + 1 bytes, NUL-terminated; returns the length. */
size_t base64_encode(const uint8_t *data, size_t len, char *ret);
/* -1 unless text is exactly standard padded base64 of at most cap bytes; else the number of bytes. */
long base64_decode(struct span text, uint8_t *ret, size_t cap);
/* The same in base64url without padding. encode: ret as for base64_encode. */
size_t base64url_encode(const uint8_t *data, size_t len, char *ret);
long base64url_decode(struct span text, uint8_t *ret, size_t cap);
static inline size_t base64_room(size_t len)
{
    return 4 * ((len + 2) / 3) + 1;
}

/* A stable 64-bit hash (FNV-1a and a finalizer) of a pair, equal on every machine and release: partitions and shards
 * are chosen by it. */
uint64_t hash_pair(struct span first, struct span second);

/* hash_pair mod count: a governor's partition, a tenant's shard. */
uint32_t hash_bucket(struct span first, struct span second, uint32_t count);

/* A fast 64-bit hash for tables in memory; it may change with any release. seed: random where others choose the data.
 */
uint64_t hash_quick(struct span data, uint64_t seed);

/* UUIDv7 (RFC 9562) from wall milliseconds and 10 random bytes; UUIDv5 from a namespace and a name. 36 characters +
 * NUL. */
void uuid7(int64_t wall_ms, const uint8_t random[10], char ret[UUID_TEXT + 1]);
void uuid5(struct hasher *hasher, const uint8_t ns[16], struct span name, char ret[UUID_TEXT + 1]);

/* Random bytes from the kernel; aborts if there are none. */
void random_bytes(void *ret, size_t len);

#endif
