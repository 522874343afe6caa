/* Hexadecimal and base64. Decoders accept exactly one spelling of each value (hex: either case) and write nothing
 * useful when they refuse. Any thread. */
#include "common/hash.h"

void hex_encode(const uint8_t *data, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *ret++ = digits[data[i] >> 4];
        *ret++ = digits[data[i] & 15];
    }
}

/* 1 + the value of a digit, either case; 0: no digit. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

bool hex_decode(struct span text, uint8_t *ret, size_t len)
{
    if (text.len % 2 || text.len / 2 != len)
        return false;
    const unsigned char *at = (const unsigned char *)text.ptr;
    unsigned all = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned high = hex_values[at[2 * i]] - 1U, low = hex_values[at[2 * i + 1]] - 1U;
        all |= high | low;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return all < 16;
}

size_t base64_encode(const uint8_t *data, size_t len, char *ret)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *at = ret;
    for (size_t i = 0; i < len; i += 3) {
        size_t rest = len - i;
        uint32_t group = (uint32_t)data[i] << 16;
        group |= rest > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        group |= rest > 2 ? data[i + 2] : 0;
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = rest > 1 ? digits[group >> 6 & 63] : '=';
        *at++ = rest > 2 ? digits[group & 63] : '=';
    }
    *at = '\0';
    return (size_t)(at - ret);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The two digits in which base64url differs, either way. */
static void swap_digits(char *text, size_t len, const char from[2], const char to[2])
{
    for (size_t i = 0; i < len; i++)
        text[i] = text[i] == from[0] ? to[0] : text[i] == from[1] ? to[1] : text[i];
}

size_t base64url_encode(const uint8_t *data, size_t len, char *ret)
{
    size_t written = base64_encode(data, len, ret);
    while (written && ret[written - 1] == '=')
        written--;
    ret[written] = '\0';
    swap_digits(ret, written, "+/", "-_");
    return written;
}

/* Four digits of which the last pad are padding. */
static bool decode_group(const char *text, size_t pad, uint32_t *ret)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? base64_value(text[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
    }
    *ret = group;
    return (group & ((1u << 8 * pad) - 1)) == 0; /* bits behind the last byte are zero in the one right spelling */
}

long base64_decode(struct span text, uint8_t *ret, size_t cap)
{
    if (text.len % 4)
        return -1;
    size_t pad = 0;
    while (pad < 2 && pad < text.len && text.ptr[text.len - 1 - pad] == '=')
        pad++;
    size_t len = text.len / 4 * 3 - pad;
    if (len > cap)
        return -1;
    for (size_t i = 0, at = 0; i < text.len; i += 4) {
        bool last = i + 4 == text.len;
        uint32_t group;
        if (!decode_group(text.ptr + i, last ? pad : 0, &group))
            return -1;
        for (size_t k = 0; k < 3 - (last ? pad : 0); k++)
            ret[at++] = (uint8_t)(group >> (16 - 8 * k));
    }
    return (long)len;
}

long base64url_decode(struct span text, uint8_t *ret, size_t cap)
{
    size_t at = 0;
    if (text.len % 4 == 1 || text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0) > cap)
        return -1;
    for (size_t i = 0; i < text.len; i += 4) {
        char group[4] = {0};
        uint32_t value;
        size_t digits = text.len - i < 4 ? text.len - i : 4;
        for (size_t k = 0; k < digits; k++) { /* of the other alphabet: no digits here */
            char c = text.ptr[i + k];
            group[k] = c;
            if (c == '+' || c == '/')
                return -1;
        }
        swap_digits(group, digits, "-_", "+/");
        if (!decode_group(group, 4 - digits, &value))
            return -1;
        for (size_t k = 0; k + 1 < digits; k++)
            ret[at++] = (uint8_t)(value >> (16 - 8 * k));
    }
    return (long)at;
}
