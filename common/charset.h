/* The alphabets that texts from outside are limited to: one table, a look-up a byte. Pure. */
#ifndef TAI_COMMON_CHARSET_H
#define TAI_COMMON_CHARSET_H

#include "common/span.h"

#include <stdint.h>

enum charset {
    CHARSET_ID = 1,    /* A-Z a-z 0-9 . _ : @ / + = ~ - */
    CHARSET_NAME = 2,  /* A-Z a-z 0-9 . _ - */
    CHARSET_LOWER = 4, /* a-z 0-9 . _ - */
    CHARSET_URI = 8,   /* RFC 3986 without % */
};

extern const uint8_t charset_table[256]; /* the alphabets each byte is in */

/* 1 to max bytes, all of the alphabet. */
static inline bool charset_made_of(struct span text, size_t max, enum charset set)
{
    if (text.len == 0 || text.len > max)
        return false;
    uint8_t common = (uint8_t)set;
    for (size_t i = 0; i < text.len; i++)
        common &= charset_table[(unsigned char)text.ptr[i]];
    return common != 0;
}

#endif
