/* Frames, the reading side. Pure; any thread. Trusts nothing: exactly what frame_encode writes is accepted (so decoding
 * and encoding again gives the same bytes), every length is held against what is left, numbers against their range.
 *
 * A scanner of its own instead of the JSON parser: the order of the members is fixed, and reading a whole signal costs
 * what parsing its envelope alone would, before a member is looked up. */
#include "common/mem.h"
#include "kanban/frame.h"
#include "kanban/text.h"

#include <errno.h>
#include <stdlib.h>

struct cursor {
    const char *start;
    const char *at;
    const char *end;
    const char *wrong; /* what was expected where scanning stopped; NULL while all is well */
};

static struct cursor cursor(struct span text)
{
    const char *start = text.ptr ? text.ptr : ""; /* an empty span may have no address */
    return (struct cursor){.start = start, .at = start, .end = start + text.len};
}

static bool fail(struct cursor *c, const char *expected)
{
    if (!c->wrong)
        c->wrong = expected;
    return false;
}

static bool literal(struct cursor *c, const char *text, size_t len)
{
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
        return fail(c, text);
    c->at += len;
    return true;
}

#define LITERAL(c, text) literal((c), (text), sizeof(text) - 1)

/* The rest of a string and the quote behind it. */
static bool string(struct cursor *c, size_t min, size_t max, const char *what, struct span *ret)
{
    size_t left = (size_t)(c->end - c->at);
    const char *quote = memchr(c->at, '"', left < max + 1 ? left : max + 1);
    if (!quote || (size_t)(quote - c->at) < min)
        return fail(c, what);
    *ret = (struct span){c->at, (size_t)(quote - c->at)};
    if (!text_plain(*ret))
        return fail(c, what);
    c->at = quote + 1;
    return true;
}

static bool number(struct cursor *c, uint64_t max, const char *what, uint64_t *ret)
{
    const char *p = c->at;
    uint64_t value = 0;
    for (; p < c->end && *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return fail(c, what);
        value = value * 10 + digit;
    }
    if (p == c->at || (*c->at == '0' && p - c->at > 1) || value > max)
        return fail(c, what);
    c->at = p;
    *ret = value;
    return true;
}

static bool number_u32(struct cursor *c, uint32_t max, const char *what, uint32_t *ret)
{
    uint64_t value;
    if (!number(c, max, what, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool number_signed(struct cursor *c, const char *what, int64_t *ret)
{
    bool negative = c->at < c->end && *c->at == '-';
    c->at += negative ? 1 : 0;
    uint64_t value;
    if (!number(c, (uint64_t)INT64_MAX + (negative ? 1 : 0), what, &value))
        return false;
    if (negative && value == 0)
        return fail(c, what);
    *ret = negative ? (int64_t)-value : (int64_t)value;
    return true;
}

/* 0–15 for 0–9 and a–f, more for everything else: hex_decode of common takes capitals too. */
static unsigned nibble(char c)
{
    unsigned digit = (unsigned)(unsigned char)c - '0';
    unsigned letter = (unsigned)(unsigned char)c - 'a';
    return digit < 10 ? digit : letter < 6 ? letter + 10 : 16;
}

static bool voids(struct cursor *c, struct frame_header *header)
{
    uint64_t last = 0;
    header->void_count = 0;
    while (c->at < c->end && *c->at != ']') {
        if (header->void_count == FRAME_VOID_MAX)
            return fail(c, "at most 64 void sequences");
        uint64_t value;
        if ((header->void_count && !LITERAL(c, ",")) || !number(c, header->sequence - 1, "a void sequence", &value))
            return false;
        if (value <= last)
            return fail(c, "ascending void sequences");
        last = header->voided[header->void_count++] = value;
    }
    return LITERAL(c, "]}\n");
}

static bool boot_id(struct cursor *c, char ret[17])
{
    if ((size_t)(c->end - c->at) < 16)
        return fail(c, "a boot id of 16 hex digits");
    unsigned all = 0;
    for (size_t i = 0; i < 16; i++)
        all |= nibble(c->at[i]);
    if (all > 15)
        return fail(c, "a boot id of 16 hex digits");
    memcpy(ret, c->at, 16);
    ret[16] = '\0';
    c->at += 16;
    return LITERAL(c, "\"");
}

static bool header_line(struct cursor *c, struct frame_header *header)
{
    return LITERAL(c, "{\"v\":1,\"boot\":\"") && boot_id(c, header->boot) && LITERAL(c, ",\"partition\":") &&
           number_u32(c, UINT32_MAX, "a partition", &header->partition) && LITERAL(c, ",\"sequence\":") &&
           number(c, UINT64_MAX, "a sequence", &header->sequence) &&
           (header->sequence > 0 || fail(c, "a sequence from 1")) && LITERAL(c, ",\"count\":") &&
           number_u32(c, FRAME_SIGNALS_MAX, "a count up to 256", &header->count) && LITERAL(c, ",\"accepted_at\":") &&
           number_signed(c, "accepted_at", &header->accepted_at_ms) && LITERAL(c, ",\"confirmed\":") &&
           number(c, header->sequence - 1, "confirmed below the sequence", &header->confirmed) &&
           LITERAL(c, ",\"void\":[") && voids(c, header);
}

static bool hash(struct cursor *c, uint8_t ret[SHA256_SIZE])
{
    if ((size_t)(c->end - c->at) < SHA256_HEX)
        return fail(c, "64 hex digits");
    unsigned all = 0;
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        unsigned high = nibble(c->at[2 * i]);
        unsigned low = nibble(c->at[2 * i + 1]);
        all |= high | low;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    if (all > 15)
        return fail(c, "64 hex digits in lower case");
    c->at += SHA256_HEX;
    return LITERAL(c, "\"");
}

static bool texts(struct cursor *c, struct signal *signal)
{
    return LITERAL(c, "{\"t\":\"") && string(c, 1, FRAME_TENANT_MAX, "a tenant", &signal->tenant_id) &&
           LITERAL(c, ",\"e\":\"") && string(c, 1, FRAME_ID_MAX, "an entitlement", &signal->entitlement_id) &&
           LITERAL(c, ",\"k\":\"") && string(c, 0, FRAME_ID_MAX, "an SKU", &signal->sku_id) &&
           LITERAL(c, ",\"i\":\"") && string(c, 1, FRAME_ID_MAX, "an id", &signal->id) && LITERAL(c, ",\"y\":\"") &&
           string(c, 1, FRAME_ID_MAX, "a type", &signal->type) && LITERAL(c, ",\"s\":\"") &&
           string(c, 0, FRAME_TEXT_MAX, "a source", &signal->source);
}

/* How many bytes follow an envelope, and where the data lies in them. */
struct place {
    uint32_t offset, data_len, len;
};

/* The raw bytes behind the envelope, and the data within them. */
static bool contents(struct cursor *c, struct signal *signal, const struct place *place)
{
    if ((size_t)(c->end - c->at) < place->len)
        return fail(c, "as many bytes as n says");
    if (place->offset > place->len || place->data_len > place->len - place->offset ||
        (place->data_len == 0 && place->offset != 0))
        return fail(c, "data within the signal's bytes");
    signal->bytes = (struct span){c->at, place->len};
    signal->data = place->data_len ? (struct span){c->at + place->offset, place->data_len} : SPAN("null");
    c->at += place->len;
    return true;
}

static bool envelope(struct cursor *c, struct signal *signal, struct place *ret)
{
    uint32_t severity;
    uint32_t may_event;
    if (!(texts(c, signal) && LITERAL(c, ",\"m\":") && number_signed(c, "a time", &signal->time_ms) &&
          LITERAL(c, ",\"v\":") && number_u32(c, SEVERITY_CRITICAL, "a severity", &severity) &&
          LITERAL(c, ",\"p\":\"") && string(c, 0, FRAME_TEXT_MAX, "a traceparent", &signal->traceparent) &&
          LITERAL(c, ",\"d\":[") && number_u32(c, UINT32_MAX, "an offset", &ret->offset) && LITERAL(c, ",") &&
          number_u32(c, UINT32_MAX, "a length", &ret->data_len) && LITERAL(c, "],\"h\":\"") &&
          hash(c, signal->sha256) && LITERAL(c, ",\"n\":") && number_u32(c, UINT32_MAX, "a length", &ret->len) &&
          LITERAL(c, ",\"r\":") && number_u32(c, UINT32_MAX, "a redrive", &signal->redrive) && LITERAL(c, ",\"a\":") &&
          number_signed(c, "accepted_at", &signal->accepted_at_ms) && LITERAL(c, ",\"g\":") &&
          number_u32(c, 1, "0 or 1", &may_event) && LITERAL(c, "}\n")))
        return false;
    signal->severity = (enum severity)severity;
    signal->may_event = may_event == 1;
    return true;
}

static bool framed_signal(struct cursor *c, struct signal *signal)
{
    struct place place;
    return envelope(c, signal, &place) && contents(c, signal, &place) && LITERAL(c, "\n");
}

static int bad(const struct cursor *c, struct error *err)
{
    size_t len = strcspn(c->wrong, "\n");
    return error_set(err, -EBADMSG, "frame, byte %zu: expected %.*s", (size_t)(c->at - c->start), (int)len, c->wrong);
}

int frame_parse(char *bytes, size_t len, struct frame **ret, struct error *err)
{
    struct cursor c = cursor((struct span){bytes, len});
    struct frame_header header = {0};
    if (!header_line(&c, &header))
        return bad(&c, err);
    if (header.count > 1 && (size_t)(c.end - c.at) > FRAME_BYTES_MAX)
        return error_set(err, -EBADMSG, "frame: %u signals in %zu bytes, more than %d", header.count,
                         (size_t)(c.end - c.at), FRAME_BYTES_MAX);
    struct signal *signals = xcalloc(header.count ? header.count : 1, sizeof(*signals));
    for (uint32_t i = 0; i < header.count; i++)
        if (!framed_signal(&c, &signals[i]))
            break;
    if (!c.wrong && c.at != c.end)
        fail(&c, "the end");
    if (c.wrong) {
        free(signals);
        return bad(&c, err);
    }
    struct frame *frame = xmalloc(sizeof(*frame));
    *frame = (struct frame){.header = header, .signals = signals, .bytes = bytes, .len = len};
    *ret = frame;
    return 0;
}

int frame_decode(char *take_bytes, size_t len, struct frame **ret, struct error *err)
{
    int status = frame_parse(take_bytes, len, ret, err);
    if (status)
        free(take_bytes);
    return status;
}

int frame_decode_envelope(struct span line, struct span bytes, struct signal *ret, struct error *err)
{
    struct cursor c = cursor(line);
    struct cursor behind = cursor(bytes);
    struct place place;
    struct signal signal = {0};
    if (!envelope(&c, &signal, &place) || (c.at != c.end && !fail(&c, "the end")))
        return bad(&c, err);
    if (!contents(&behind, &signal, &place) || (behind.at != behind.end && !fail(&behind, "the end")))
        return bad(&behind, err);
    *ret = signal;
    return 0;
}

void frame_free(struct frame *frame)
{
    if (!frame)
        return;
    free(frame->signals);
    free(frame->bytes);
    free(frame);
}
