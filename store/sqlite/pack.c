/* Numbers and texts packed into blobs: unsigned numbers as LEB128, signed ones zigzag first, texts behind their length.
 * Pure; reading never goes beyond the blob. */
#include "store/sqlite/internal.h"

uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

uint8_t *put_i64(uint8_t *at, int64_t value)
{
    return put_u64(at, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

uint8_t *put_span(uint8_t *at, struct span span)
{
    at = put_u64(at, span.len);
    if (span.len)
        memcpy(at, span.ptr, span.len);
    return at + span.len;
}

bool take_u64(struct pack *pack, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; pack->at < pack->end && shift < 64; shift += 7) {
        uint8_t byte = *pack->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

bool take_i64(struct pack *pack, int64_t min, int64_t max, int64_t *ret)
{
    uint64_t raw;
    if (!take_u64(pack, &raw))
        return false;
    *ret = (int64_t)(raw >> 1 ^ (raw & 1 ? UINT64_MAX : 0));
    return *ret >= min && *ret <= max;
}

bool take_span(struct pack *pack, size_t max, struct span *ret)
{
    uint64_t len;
    if (!take_u64(pack, &len) || len > max || len > (size_t)(pack->end - pack->at))
        return false;
    *ret = (struct span){(const char *)pack->at, (size_t)len};
    pack->at += len;
    return true;
}
