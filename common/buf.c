/* The capped byte buffer. Owns its memory; failing is sticky until buf_clear or buf_take. Not thread-safe. */
#include "common/buf.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_MIN = 64, DECIMAL_MAX = 20 };

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
    buf->failed = false;
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

/* Capacity for the contents, len more bytes and a NUL. */
static void grow(struct buf *buf, size_t len)
{
    size_t need = buf->len + len + 1;
    size_t cap = buf->cap < BUF_MIN ? BUF_MIN : buf->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > buf->max && buf->max < SIZE_MAX)
        cap = buf->max + 1;
    buf->data = xrealloc(buf->data, cap);
    buf->cap = cap;
}

char *buf_make_room(struct buf *buf, size_t len)
{
    if (buf->failed)
        return NULL;
    if (len > buf->max || buf->len > buf->max - len) {
        buf->failed = true;
        return NULL;
    }
    if (buf->cap - buf->len <= len)
        grow(buf, len);
    return buf->data + buf->len;
}

static char *decimal(uint64_t value, char *end)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

void buf_add_u64(struct buf *buf, uint64_t value)
{
    char digits[DECIMAL_MAX];
    char *end = digits + sizeof(digits);
    char *start = decimal(value, end);
    buf_add(buf, start, (size_t)(end - start));
}

void buf_add_i64(struct buf *buf, int64_t value)
{
    char digits[DECIMAL_MAX + 1];
    char *end = digits + sizeof(digits);
    char *start = decimal(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, end);
    if (value < 0)
        *--start = '-';
    buf_add(buf, start, (size_t)(end - start));
}

void buf_addf(struct buf *buf, const char *format, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (n < 0) {
        buf->failed = true;
    } else if ((size_t)n < sizeof(small)) {
        buf_add(buf, small, (size_t)n);
    } else {
        char *end = buf_reserve(buf, (size_t)n); /* always has room for the NUL too */
        if (end) {
            vsnprintf(end, (size_t)n + 1, format, again);
            buf->len += (size_t)n;
        }
    }
    va_end(again);
}

struct span buf_span(const struct buf *buf)
{
    return (struct span){buf->data, buf->len};
}

const char *buf_cstr(struct buf *buf)
{
    if (!buf->data)
        return "";
    buf->data[buf->len] = '\0'; /* grow keeps one byte beyond the contents */
    return buf->data;
}

char *buf_take(struct buf *buf)
{
    if (!buf->data)
        grow(buf, 0);
    char *data = buf->data;
    data[buf->len] = '\0';
    *buf = (struct buf){.max = buf->max};
    return data;
}
