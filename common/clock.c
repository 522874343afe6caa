/* System and manual clocks. Stateless apart from the manual clock, which its test owns. Any thread. */
#include "common/clock.h"

#include <time.h>

static int64_t system_wall_ms(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_mono_us(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const struct clock clock_system = {.wall_ms = system_wall_ms, .mono_us = system_mono_us};

static int64_t manual_wall_ms(void *ctx)
{
    const struct clock_manual *manual = ctx;
    return manual->wall_ms;
}

static int64_t manual_mono_us(void *ctx)
{
    const struct clock_manual *manual = ctx;
    return manual->mono_us;
}

void clock_manual_init(struct clock_manual *manual, int64_t wall_ms)
{
    *manual = (struct clock_manual){
        .clock = {.wall_ms = manual_wall_ms, .mono_us = manual_mono_us, .ctx = manual},
        .wall_ms = wall_ms,
    };
}

void clock_manual_advance(struct clock_manual *manual, int64_t ms)
{
    manual->wall_ms += ms;
    manual->mono_us += ms * 1000;
}
