/* What hash.c gives uuid.c; nobody else includes this: SHA-1 is for UUIDv5 alone. */
#ifndef TAI_COMMON_HASH_INTERNAL_H
#define TAI_COMMON_HASH_INTERNAL_H

#include "common/hash.h"

enum { SHA1_SIZE = 20 };

void hasher_sha1v(struct hasher *hasher, const struct span *parts, size_t count, uint8_t ret[SHA1_SIZE]);

#endif
