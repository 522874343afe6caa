/* How far the wall clock is trusted: jumps back at once, jumps ahead and outages once they have lasted. */
#include "jidoka/wall_trust.h"

#include <criterion/criterion.h>

enum { HOUR = 3600 * 1000, DAY = 24 * HOUR };
static const int64_t begin = INT64_C(1700000000000), year = INT64_C(365) * DAY;

static const struct wall_trust nothing = {INT64_MIN, INT64_MIN, INT64_MIN};

/* Both clocks advance hour by hour, the wall clock being `ahead` of begin + clock. */
static int64_t pass(struct wall_trust *trust, int64_t *clock, int hours, int64_t ahead)
{
    for (int i = 0; i < hours; i++) {
        *clock += HOUR;
        wall_trust_note(trust, *clock, begin + *clock + ahead);
    }
    return wall_trust_ms(trust, *clock) - begin - *clock;
}

Test(wall_trust, follows_a_clock_that_is_right)
{
    struct wall_trust trust = nothing;
    int64_t clock = 0;
    cr_assert_eq(pass(&trust, &clock, 1, 0), 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(pass(&trust, &clock, 13, 0), 0);
}

Test(wall_trust, a_jump_ahead_counts_after_a_day_or_two)
{
    for (int first = 1; first < 48; first += 5) {
        struct wall_trust trust = nothing;
        int64_t clock = 0;
        pass(&trust, &clock, first, 0);
        cr_assert_eq(pass(&trust, &clock, 24, 4 * year), 0);
        cr_assert_eq(pass(&trust, &clock, 24, 4 * year), 4 * year);
    }
}

Test(wall_trust, a_jump_back_counts_at_once)
{
    struct wall_trust trust = nothing;
    int64_t clock = 0;
    pass(&trust, &clock, 100, 0);
    cr_assert_eq(pass(&trust, &clock, 1, -4 * year), -4 * year);
    pass(&trust, &clock, 100, -4 * year);
    cr_assert_eq(pass(&trust, &clock, 1, 0), -4 * year, "set right again: that is a jump ahead");
    cr_assert_eq(pass(&trust, &clock, 48, 0), 0);
}

Test(wall_trust, a_short_jump_ahead_never_counts)
{
    struct wall_trust trust = nothing;
    int64_t clock = 0;
    pass(&trust, &clock, 50, 0);
    cr_assert_eq(pass(&trust, &clock, 5, year), 0);
    cr_assert_eq(pass(&trust, &clock, 60, 0), 0);
}

/* What was seen stands in the partition's row: the next owner goes on from there. */
Test(wall_trust, days_that_nobody_saw)
{
    struct wall_trust trust = nothing;
    int64_t clock = 0;
    pass(&trust, &clock, 3, 0);
    clock += 30 * (int64_t)DAY;
    wall_trust_note(&trust, clock, begin + clock + year);
    cr_assert_eq(wall_trust_ms(&trust, clock), begin + clock);
}

Test(wall_trust, nothing_wraps)
{
    struct wall_trust trust = nothing;
    wall_trust_note(&trust, 0, INT64_MIN);
    cr_assert_eq(wall_trust_ms(&trust, 0), INT64_MIN);
    wall_trust_note(&trust, INT64_MAX, INT64_MIN);
    wall_trust_note(&trust, INT64_MAX, INT64_MAX);
    cr_assert_leq(wall_trust_ms(&trust, INT64_MAX), INT64_MAX);
    trust = nothing;
    wall_trust_note(&trust, 1, INT64_MAX);
    cr_assert_eq(wall_trust_ms(&trust, INT64_MAX), INT64_MAX);
}
