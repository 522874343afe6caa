/* Time is a parameter: wall time is data (milliseconds since 1970 UTC), monotonic time is for time-outs. */
#ifndef TAI_COMMON_CLOCK_H
#define TAI_COMMON_CLOCK_H

#include "common/span.h"

#include <stdint.h>

struct clock {
    int64_t (*wall_ms)(void *ctx);
    int64_t (*mono_us)(void *ctx);
    void *ctx;
};

extern const struct clock clock_system; /* CLOCK_REALTIME, CLOCK_MONOTONIC */

/* A clock a test moves by hand; tests set the fields. */
struct clock_manual {
    struct clock clock; /* pass &manual.clock */
    int64_t wall_ms;
    int64_t mono_us;
};
void clock_manual_init(struct clock_manual *manual, int64_t wall_ms);
void clock_manual_advance(struct clock_manual *manual, int64_t ms); /* both times */

static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c->ctx);
}
static inline int64_t clock_mono_us(const struct clock *c)
{
    return c->mono_us(c->ctx);
}
static inline int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_us(c->ctx) / 1000;
}

/* RFC 3339 with any offset and fraction (digits beyond milliseconds are cut); second 60 allowed. false if malformed. */
bool time_parse_rfc3339(struct span text, int64_t *ret_ms);
enum { TIME_RFC3339 = 24 };
/* "2026-11-20T14:56:00.123Z"; ret holds 25 bytes. */
void time_format_rfc3339(int64_t wall_ms, char ret[TIME_RFC3339 + 1]);

#endif
