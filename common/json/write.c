/* Writing JSON by hand into a capped buffer; the buffer remembers whether anything did not fit. Any thread. */
#include "common/json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Whether one of eight bytes needs an escape: is below 0x20, a quote or a backslash. */
static bool any_special(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t quotes = bytes ^ ones * '"', backslashes = bytes ^ ones * '\\';
    return (((bytes - ones * 0x20) & ~bytes) | ((quotes - ones) & ~quotes) | ((backslashes - ones) & ~backslashes)) &
           highs;
}

static size_t plain_run(struct span text, size_t from)
{
    size_t i = from;
    for (uint64_t bytes; text.len - i >= sizeof(bytes); i += sizeof(bytes)) {
        memcpy(&bytes, text.ptr + i, sizeof(bytes));
        if (any_special(bytes))
            break;
    }
    while (i < text.len && (unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != '"' && text.ptr[i] != '\\')
        i++;
    return i - from;
}

static void add_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = c < 0x20 ? named[c] : (char)c;
    if (letter)
        buf_add(out, (char[]){'\\', letter}, 2);
    else
        buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

void json_add_string(struct buf *out, struct span text)
{
    size_t plain = plain_run(text, 0);
    char *at = plain == text.len ? buf_reserve(out, plain + 2) : NULL;
    if (at) {
        *at++ = '"';
        at = plain ? mempcpy(at, text.ptr, plain) : at;
        *at = '"';
        out->len += plain + 2;
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < text.len;) {
        size_t run = plain_run(text, i);
        buf_add(out, text.ptr + i, run);
        i += run;
        if (i < text.len)
            add_escape(out, (unsigned char)text.ptr[i++]);
    }
    buf_add_char(out, '"');
}

struct decimal {
    char digits[18]; /* significant digits without trailing zeros, NUL-terminated */
    int count;
    int point; /* the value is 0.DIGITS * 10^point */
};

static void decimal_of(double value, int precision, struct decimal *ret)
{
    char text[40];
    snprintf(text, sizeof(text), "%.*e", precision - 1, value);
    char *exponent = strchr(text, 'e');
    ret->count = 0;
    for (const char *p = text; p < exponent; p++)
        if (*p != '.')
            ret->digits[ret->count++] = *p;
    while (ret->count > 1 && ret->digits[ret->count - 1] == '0')
        ret->count--;
    ret->digits[ret->count] = '\0';
    ret->point = (int)strtol(exponent + 1, NULL, 10) + 1;
}

static bool decimal_is(const struct decimal *decimal, double value)
{
    char text[40];
    snprintf(text, sizeof(text), "0.%se%d", decimal->digits, decimal->point);
    return strtod(text, NULL) == value;
}

/* The next decimal of the same length away from zero. */
static void decimal_step(struct decimal *decimal, int precision)
{
    while (decimal->count < precision)
        decimal->digits[decimal->count++] = '0';
    decimal->digits[decimal->count] = '\0';
    int i = decimal->count - 1;
    while (i >= 0 && decimal->digits[i] == '9')
        decimal->digits[i--] = '0';
    if (i >= 0) {
        decimal->digits[i]++;
    } else {
        decimal->digits[0] = '1';
        decimal->point++;
    }
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0')
        decimal->digits[--decimal->count] = '\0';
}

/* The fewest digits that read back as value (> 0), the closest ones among those. */
static void shortest(double value, struct decimal *ret)
{
    int exponent;
    bool power_of_two = frexp(value, &exponent) == 0.5;
    /* Normal doubles keep every decimal of 15 digits, so fewer need not be tried: trailing zeros were cut. */
    for (int precision = isnormal(value) ? 15 : 1; precision < 17; precision++) {
        decimal_of(value, precision, ret);
        if (decimal_is(ret, value))
            return;
        /* Above a power of two the doubles lie twice as far apart as below: the second closest may still read back. */
        if (power_of_two) {
            decimal_step(ret, precision);
            if (decimal_is(ret, value))
                return;
        }
    }
    decimal_of(value, 17, ret);
}

static void add_zeros(struct buf *out, int count)
{
    while (count-- > 0)
        buf_add_char(out, '0');
}

/* ECMA-262 Number::toString: plain up to 21 digits before and 6 zeros behind the point, else with an exponent. */
static void add_decimal(struct buf *out, const struct decimal *decimal)
{
    int n = decimal->point, k = decimal->count;
    if (k <= n && n <= 21) {
        buf_add(out, decimal->digits, (size_t)k);
        add_zeros(out, n - k);
    } else if (0 < n && n <= 21) {
        buf_add(out, decimal->digits, (size_t)n);
        buf_add_char(out, '.');
        buf_add(out, decimal->digits + n, (size_t)(k - n));
    } else if (-6 < n && n <= 0) {
        buf_add_str(out, "0.");
        add_zeros(out, -n);
        buf_add(out, decimal->digits, (size_t)k);
    } else {
        buf_add_char(out, decimal->digits[0]);
        if (k > 1) {
            buf_add_char(out, '.');
            buf_add(out, decimal->digits + 1, (size_t)(k - 1));
        }
        buf_add_str(out, n - 1 < 0 ? "e-" : "e+");
        buf_add_u64(out, (uint64_t)abs(n - 1));
    }
}

void json_add_double(struct buf *out, double value)
{
    if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value) {
        buf_add_i64(out, (int64_t)value); /* also writes -0 as 0 */
        return;
    }
    if (!isfinite(value)) {
        out->failed = true;
        return;
    }
    if (value < 0)
        buf_add_char(out, '-');
    struct decimal decimal;
    shortest(fabs(value), &decimal);
    add_decimal(out, &decimal);
}
