/* Trusting the wall clock: a minimum over two days of the partition clock. Pure, any thread. */
#include "jidoka/wall_trust.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* a - b or a + b, held at the ends: whatever the clocks say, nothing wraps. */
static int64_t distance(int64_t a, int64_t b)
{
    int64_t ret;
    return __builtin_sub_overflow(a, b, &ret) ? (a < 0 ? INT64_MIN : INT64_MAX) : ret;
}

static int64_t sum(int64_t a, int64_t b)
{
    int64_t ret;
    return __builtin_add_overflow(a, b, &ret) ? (a < 0 ? INT64_MIN : INT64_MAX) : ret;
}

void wall_trust_note(struct wall_trust *trust, int64_t clock_ms, int64_t wall_ms)
{
    int64_t day = clock_ms / DAY_MS, ahead_ms = distance(wall_ms, clock_ms);
    if (trust->day == INT64_MIN)
        *trust = (struct wall_trust){.day = day, .low_ms = ahead_ms, .before_ms = ahead_ms};
    else if (day > trust->day)
        *trust = (struct wall_trust){.day = day, .low_ms = ahead_ms, .before_ms = trust->low_ms};
    else
        trust->low_ms = least(trust->low_ms, ahead_ms);
}

int64_t wall_trust_ms(const struct wall_trust *trust, int64_t clock_ms)
{
    return sum(clock_ms, least(trust->low_ms, trust->before_ms));
}
