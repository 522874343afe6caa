/* UTF-8 as RFC 3629 writes it: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef TAI_COMMON_UTF8_H
#define TAI_COMMON_UTF8_H

#include "common/span.h"

#include <stdint.h>

/* Bytes (1..4) of the well-formed sequence at ptr, which has len bytes left; 0 if there is none. */
static inline size_t utf8_sequence(const char *ptr, size_t len)
{
    const unsigned char *p = (const unsigned char *)ptr;
    if (len == 0 || p[0] < 0x80)
        return len != 0;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    /* The second byte alone decides about overlong forms, surrogates and the upper end. */
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (len < need || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

static inline bool utf8_valid(struct span text)
{
    for (size_t i = 0, n; i < text.len; i += n)
        if ((n = utf8_sequence(text.ptr + i, text.len - i)) == 0)
            return false;
    return true;
}

/* Writes the bytes (1..4) of a code point that is no surrogate; returns how many. */
static inline size_t utf8_put(uint32_t c, char ret[4])
{
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xc0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        ret[0] = (char)(0xe0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    ret[0] = (char)(0xf0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
    ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
    ret[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

#endif
