/* UUIDs of RFC 9562: version 7 (time and randomness) and version 5 (name within a namespace). Any thread. */
#include "common/hash_internal.h"

static void stamp(uint8_t uuid[16], uint8_t version)
{
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | version << 4);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static void write_text(const uint8_t uuid[16], char ret[UUID_TEXT + 1])
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    for (size_t i = 0; i < sizeof(groups); i++) {
        hex_encode(uuid, groups[i], ret);
        uuid += groups[i];
        ret += 2 * groups[i];
        *ret++ = i + 1 < sizeof(groups) ? '-' : '\0';
    }
}

void uuid7(int64_t wall_ms, const uint8_t random[10], char ret[UUID_TEXT + 1])
{
    uint8_t uuid[16];
    for (int i = 0; i < 6; i++)
        uuid[i] = (uint8_t)((uint64_t)wall_ms >> (40 - 8 * i));
    memcpy(uuid + 6, random, 10);
    stamp(uuid, 7);
    write_text(uuid, ret);
}

void uuid5(struct hasher *hasher, const uint8_t ns[16], struct span name, char ret[UUID_TEXT + 1])
{
    uint8_t hash[SHA1_SIZE];
    hasher_sha1v(hasher, (const struct span[]){{(const char *)ns, 16}, name}, 2, hash);
    stamp(hash, 5);
    write_text(hash, ret);
}
