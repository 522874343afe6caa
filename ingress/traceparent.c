/* W3C trace context: what a request or a signal brings is kept if valid, else a new trace begins here. Pure. */
#include "ingress/signal.h"

#include "common/hash.h"

enum { TRACE_ID = 32, PARENT_ID = 16, TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53 };

static bool is_hex(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

static bool all_zero(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '0')
            return false;
    return true;
}

/* The four fields, of any version but ff. */
static bool fields_valid(const char *text)
{
    return text[2] == '-' && text[PARENT_AT - 1] == '-' && text[FLAGS_AT - 1] == '-' && is_hex(text, 2) &&
           is_hex(text + TRACE_AT, TRACE_ID) && is_hex(text + PARENT_AT, PARENT_ID) && is_hex(text + FLAGS_AT, 2) &&
           memcmp(text, "ff", 2) != 0 && !all_zero(text + TRACE_AT, TRACE_ID) && !all_zero(text + PARENT_AT, PARENT_ID);
}

bool traceparent_valid(struct span text)
{
    return text.len == TRACEPARENT && memcmp(text.ptr, "00", 2) == 0 && fields_valid(text.ptr);
}

/* Later versions may append fields; we continue them as version 00. */
static bool header_valid(struct span header)
{
    if (!header.ptr || header.len < TRACEPARENT || !fields_valid(header.ptr))
        return false;
    return header.len == TRACEPARENT || (header.ptr[TRACEPARENT] == '-' && memcmp(header.ptr, "00", 2) != 0);
}

void traceparent_adopt(struct span header, struct entropy *entropy, char ret[TRACEPARENT + 1])
{
    if (header_valid(header)) {
        memcpy(ret, header.ptr, TRACEPARENT);
    } else {
        uint8_t ids[(TRACE_ID + PARENT_ID) / 2];
        memcpy(ids, entropy_take(entropy, sizeof(ids)), sizeof(ids));
        ids[0] |= 1; /* never all zero */
        ids[TRACE_ID / 2] |= 1;
        memcpy(ret, "00-", TRACE_AT);
        hex_encode(ids, TRACE_ID / 2, ret + TRACE_AT);
        ret[PARENT_AT - 1] = '-';
        hex_encode(ids + TRACE_ID / 2, PARENT_ID / 2, ret + PARENT_AT);
        memcpy(ret + FLAGS_AT - 1, "-01", 3);
    }
    memcpy(ret, "00", 2);
    ret[TRACEPARENT] = '\0';
}
