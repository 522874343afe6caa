/* Clocks and RFC 3339. */
#include "common/clock.h"

#include <criterion/criterion.h>
#include <stdint.h>

Test(clock, system)
{
    int64_t wall = clock_wall_ms(&clock_system);
    cr_assert_gt(wall, 1700000000000);
    int64_t us = clock_mono_us(&clock_system), ms = clock_mono_ms(&clock_system);
    cr_assert_leq(us / 1000, ms);
    cr_assert_geq(clock_mono_us(&clock_system), us);
}

Test(clock, manual)
{
    struct clock_manual manual;
    clock_manual_init(&manual, 1000);
    cr_assert_eq(clock_wall_ms(&manual.clock), 1000);
    cr_assert_eq(clock_mono_us(&manual.clock), 0);
    clock_manual_advance(&manual, 250);
    cr_assert_eq(clock_wall_ms(&manual.clock), 1250);
    cr_assert_eq(clock_mono_us(&manual.clock), 250000);
    cr_assert_eq(clock_mono_ms(&manual.clock), 250);
    manual.wall_ms -= 500;
    cr_assert_eq(clock_wall_ms(&manual.clock), 750, "wall time may go back");
    cr_assert_eq(clock_mono_ms(&manual.clock), 250);
}

Test(rfc3339, accepts)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-11-20T14:56:00.123Z", 1795186560123},
        {"2026-11-20t14:56:00.123z", 1795186560123},
        {"2026-11-20T15:56:00.123+01:00", 1795186560123},
        {"2026-11-20T09:26:00.123-05:30", 1795186560123},
        {"2026-11-20T14:56:00.123-00:00", 1795186560123},
        {"2026-11-20T14:56:00.123999999999Z", 1795186560123},
        {"2026-11-20T14:56:00.1Z", 1795186560100},
        {"2026-11-20T14:56:00.12Z", 1795186560120},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2024-02-29T23:59:59Z", 1709251199000},
        {"1900-03-01T00:00:00Z", -2203891200000},
        {"1990-12-31T23:59:60Z", 662688000000},
        {"1990-12-31T15:59:60-08:00", 662688000000},
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"1985-04-12T23:20:50.52Z", 482196050520},
        {"1937-01-01T12:00:27.87+00:20", -1041337172130},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = 4711;
        cr_expect(time_parse_rfc3339(span_of(cases[i].text), &ms), "%s", cases[i].text);
        cr_expect_eq(ms, cases[i].ms, "%s: %lld", cases[i].text, (long long)ms);
    }
}

Test(rfc3339, refuses)
{
    static const char *const cases[] = {
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T14:56:00",
        "2026-11-20 14:56:00Z",
        "2026-11-20T14:56Z",
        "2026-11-20T14:56:00.Z",
        "2026-11-20T14:56:00,5Z",
        "2026-11-20T14:56:00Z ",
        " 2026-11-20T14:56:00Z",
        "2026-11-20T14:56:00ZZ",
        "2026-11-20T14:56:00+0100",
        "2026-11-20T14:56:00+01",
        "2026-11-20T14:56:00+24:00",
        "2026-11-20T14:56:00+01:60",
        "2026-11-20T14:56:00+-1:00",
        "2026-11-20T24:00:00Z",
        "2026-11-20T14:60:00Z",
        "2026-11-20T14:56:61Z",
        "2026-00-20T14:56:00Z",
        "2026-13-20T14:56:00Z",
        "2026-11-00T14:56:00Z",
        "2026-11-31T14:56:00Z",
        "2026-02-29T14:56:00Z",
        "1900-02-29T00:00:00Z",
        "26-11-20T14:56:00Z",
        "02026-11-20T14:56:00Z",
        "2026-1-20T14:56:00Z",
        "2026/11/20T14:56:00Z",
        "-026-11-20T14:56:00Z",
        "2026-11-20T14-56-00Z",
        "2026\r11-20T14:56:00Z",
        "20x6-11-20T14:56:00Z",
        "2026-11-20T14:56:00\x1a",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = 4711;
        cr_expect_not(time_parse_rfc3339(span_of(cases[i]), &ms), "accepted: %s", cases[i]);
        cr_expect_eq(ms, 4711, "written only on success");
    }
    static const char whole[] = "2026-11-20T14:56:00.123+01:00";
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        int64_t ms;
        cr_expect_not(time_parse_rfc3339((struct span){whole, len}, &ms), "cut at %zu", len);
    }
}

Test(rfc3339, formats)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {1795186560123, "2026-11-20T14:56:00.123Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TIME_RFC3339 + 1];
        time_format_rfc3339(cases[i].ms, text);
        cr_expect_str_eq(text, cases[i].text);
    }
}

Test(rfc3339, round_trips_every_day)
{
    for (int64_t ms = -62167219200000; ms < 253402300800000; ms += 86400000 + 4001) {
        char text[TIME_RFC3339 + 1];
        int64_t back;
        time_format_rfc3339(ms, text);
        cr_assert(time_parse_rfc3339(span_of(text), &back), "%s", text);
        cr_assert_eq(back, ms, "%s", text);
    }
}
