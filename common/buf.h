/* A growable byte buffer with a cap given at construction. Once an append would exceed the cap the buffer is `failed`:
 * it keeps what it had, takes nothing more, and the caller checks once at the end. */
#ifndef TAI_COMMON_BUF_H
#define TAI_COMMON_BUF_H

#include "common/error.h"
#include "common/span.h"

#include <stdint.h>

struct buf {
    char *data; /* NULL while empty; not NUL-terminated unless buf_cstr was called */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);
void buf_clear(struct buf *buf);                   /* length 0, memory and cap kept, not failed */
void buf_add_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_add_i64(struct buf *buf, int64_t value);
void buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct span buf_span(const struct buf *buf);
const char *buf_cstr(struct buf *buf); /* NUL behind the contents; "" when empty */
char *buf_take(struct buf *buf);       /* NUL-terminated, the caller frees; buf is empty after */

/* Here, because texts of known length are then written without a call. */
char *buf_make_room(struct buf *buf, size_t len); /* buf_reserve where there is not room enough yet */

/* Room for len more bytes at the end; NULL when beyond the cap. */
static inline char *buf_reserve(struct buf *buf, size_t len)
{
    return len < buf->cap - buf->len && len <= buf->max - buf->len && !buf->failed ? buf->data + buf->len
                                                                                   : buf_make_room(buf, len);
}

static inline void buf_add(struct buf *buf, const void *data, size_t len)
{
    char *end = len ? buf_reserve(buf, len) : NULL;
    if (!end)
        return;
    memcpy(end, data, len);
    buf->len += len;
}

static inline void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

static inline void buf_add_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

static inline void buf_add_span(struct buf *buf, struct span span)
{
    buf_add(buf, span.ptr, span.len);
}

#endif
