/* Frames, the writing side: checks, sizes, encoding. Pure; any thread. frame_decode.c reads them back.
 *
 * Everything is written by hand into room reserved once: the hot path makes one frame per turn and partition. */
#include "kanban/frame.h"

#include "kanban/text.h"

#include <errno.h>
#include <stdlib.h>

/* An upper bound of a header line: fixed text, eight numbers, FRAME_VOID_MAX of them. */
enum { NUMBER_MAX = 20, HEADER_MAX = 256 + FRAME_VOID_MAX * (NUMBER_MAX + 1) };

#define ENVELOPE_FIXED                                                                                                 \
    (sizeof("{\"t\":\"\",\"e\":\"\",\"k\":\"\",\"i\":\"\",\"y\":\"\",\"s\":\"\",\"m\":,\"v\":,\"p\":\"\",\"d\":[,],"   \
            "\"h\":\"\",\"n\":,\"r\":,\"a\":,\"g\":}\n\n") -                                                           \
     1)

static bool text_ok(struct span text, size_t max)
{
    return text.len <= max && text_plain(text);
}

/* Where data lies within bytes; {0, 0} stands for absent. false if it is neither. */
static bool data_offset(const struct signal *signal, size_t *ret)
{
    uintptr_t start = (uintptr_t)signal->bytes.ptr;
    uintptr_t data = (uintptr_t)signal->data.ptr;
    *ret = 0;
    if (signal->data.len && data >= start && data - start <= signal->bytes.len) {
        *ret = data - start;
        return signal->data.len <= signal->bytes.len - *ret;
    }
    return span_is(signal->data, "null");
}

static bool signal_ok(const struct signal *signal)
{
    size_t offset;
    return signal->tenant_id.len && signal->entitlement_id.len && signal->id.len && signal->type.len &&
           text_ok(signal->tenant_id, FRAME_TENANT_MAX) && text_ok(signal->entitlement_id, FRAME_ID_MAX) &&
           text_ok(signal->sku_id, FRAME_ID_MAX) && text_ok(signal->id, FRAME_ID_MAX) &&
           text_ok(signal->type, FRAME_ID_MAX) && text_ok(signal->source, FRAME_TEXT_MAX) &&
           text_ok(signal->traceparent, FRAME_TEXT_MAX) && data_offset(signal, &offset) &&
           (unsigned)signal->severity <= SEVERITY_CRITICAL && signal->bytes.len <= UINT32_MAX;
}

int frame_check(const struct signal *signals, uint32_t count)
{
    if (count > FRAME_SIGNALS_MAX)
        return -EMSGSIZE;
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!signal_ok(&signals[i]))
            return -EINVAL;
        size += frame_signal_size(&signals[i]);
    }
    return count > 1 && size > FRAME_BYTES_MAX ? -EMSGSIZE : 0;
}

static size_t digits(uint64_t value)
{
    size_t n = 1;
    for (; value >= 10; value /= 10)
        n++;
    return n;
}

static size_t digits_signed(int64_t value)
{
    return value < 0 ? 1 + digits(-(uint64_t)value) : digits((uint64_t)value);
}

/* The data's place as the envelope has it. */
static struct span data_place(const struct signal *signal, size_t *ret_offset)
{
    uintptr_t start = (uintptr_t)signal->bytes.ptr;
    uintptr_t data = (uintptr_t)signal->data.ptr;
    bool within = signal->data.len && data >= start && data - start < signal->bytes.len;
    *ret_offset = within ? data - start : 0;
    return within ? signal->data : (struct span){NULL, 0};
}

size_t frame_signal_size(const struct signal *signal)
{
    size_t offset;
    struct span data = data_place(signal, &offset);
    return ENVELOPE_FIXED + signal->tenant_id.len + signal->entitlement_id.len + signal->sku_id.len + signal->id.len +
           signal->type.len + signal->source.len + signal->traceparent.len + SHA256_HEX + 2 + /* v and g */
           digits_signed(signal->time_ms) + digits(offset) + digits(data.len) + digits(signal->bytes.len) +
           digits(signal->redrive) + digits_signed(signal->accepted_at_ms) + signal->bytes.len;
}

static char *put(char *at, const char *data, size_t len)
{
    if (len)
        memcpy(at, data, len);
    return at + len;
}

#define PUT(at, literal) put((at), (literal), sizeof(literal) - 1)

static char *put_span(char *at, struct span text)
{
    return put(at, text.ptr, text.len);
}

static char *put_u64(char *at, uint64_t value)
{
    size_t n = digits(value);
    for (size_t i = n; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + n;
}

static char *put_i64(char *at, int64_t value)
{
    if (value >= 0)
        return put_u64(at, (uint64_t)value);
    *at = '-';
    return put_u64(at + 1, -(uint64_t)value);
}

static char *put_header(char *at, const struct frame_header *header)
{
    at = PUT(at, "{\"v\":1,\"boot\":\"");
    at = put(at, header->boot, 16);
    at = put_u64(PUT(at, "\",\"partition\":"), header->partition);
    at = put_u64(PUT(at, ",\"sequence\":"), header->sequence);
    at = put_u64(PUT(at, ",\"count\":"), header->count);
    at = put_i64(PUT(at, ",\"accepted_at\":"), header->accepted_at_ms);
    at = put_u64(PUT(at, ",\"confirmed\":"), header->confirmed);
    at = PUT(at, ",\"void\":[");
    for (uint32_t i = 0; i < header->void_count; i++) {
        if (i)
            *at++ = ',';
        at = put_u64(at, header->voided[i]);
    }
    return PUT(at, "]}\n");
}

static char *put_envelope(char *at, const struct signal *signal)
{
    size_t offset;
    struct span data = data_place(signal, &offset);
    at = put_span(PUT(at, "{\"t\":\""), signal->tenant_id);
    at = put_span(PUT(at, "\",\"e\":\""), signal->entitlement_id);
    at = put_span(PUT(at, "\",\"k\":\""), signal->sku_id);
    at = put_span(PUT(at, "\",\"i\":\""), signal->id);
    at = put_span(PUT(at, "\",\"y\":\""), signal->type);
    at = put_span(PUT(at, "\",\"s\":\""), signal->source);
    at = put_i64(PUT(at, "\",\"m\":"), signal->time_ms);
    at = put_u64(PUT(at, ",\"v\":"), (uint64_t)signal->severity);
    at = put_span(PUT(at, ",\"p\":\""), signal->traceparent);
    at = put_u64(PUT(at, "\",\"d\":["), offset);
    at = put_u64(PUT(at, ","), data.len);
    at = PUT(at, "],\"h\":\"");
    hex_encode(signal->sha256, SHA256_SIZE, at);
    at = put_u64(PUT(at + SHA256_HEX, "\",\"n\":"), signal->bytes.len);
    at = put_u64(PUT(at, ",\"r\":"), signal->redrive);
    at = put_i64(PUT(at, ",\"a\":"), signal->accepted_at_ms);
    at = put_u64(PUT(at, ",\"g\":"), signal->may_event ? 1 : 0);
    return PUT(at, "}\n");
}

void frame_encode_envelope(const struct signal *signal, struct buf *out)
{
    char *start = buf_reserve(out, frame_signal_size(signal) - signal->bytes.len);
    if (start)
        out->len += (size_t)(put_envelope(start, signal) - start);
}

void frame_encode(const struct frame_header *header, const struct signal *signals, struct buf *out)
{
    size_t size = HEADER_MAX;
    for (uint32_t i = 0; i < header->count; i++)
        size += frame_signal_size(&signals[i]);
    char *start = buf_reserve(out, size);
    if (!start)
        return;
    char *at = put_header(start, header);
    for (uint32_t i = 0; i < header->count; i++)
        at = PUT(put_span(put_envelope(at, &signals[i]), signals[i].bytes), "\n");
    out->len += (size_t)(at - start);
}
