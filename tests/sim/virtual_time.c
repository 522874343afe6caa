/* What libc would answer; virtual_time.h says why. Definitions of the program come before those of its libraries. */
#include "sim/virtual_time.h"

#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct virtual_time *now;

void virtual_time_set(struct virtual_time *time)
{
    now = time;
}

double real_seconds(void)
{
    struct timespec time;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    bool mono = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW ||
                clock == CLOCK_BOOTTIME;
    if (!now || (!wall && !mono))
        return (int)syscall(SYS_clock_gettime, clock, ret);
    int64_t us = wall ? now->wall_us : now->mono_us;
    int64_t seconds = us / 1000000 - (us % 1000000 < 0);
    *ret = (struct timespec){.tv_sec = seconds, .tv_nsec = (us - seconds * 1000000) * 1000};
    return 0;
}

/* libevent reads it only to tell the distance to the monotonic clock; without one, its timers read as monotonic time.
 */
int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec time;
    (void)zone;
    int status = clock_gettime(now ? CLOCK_MONOTONIC : CLOCK_REALTIME, &time);
    *ret = (struct timeval){.tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000};
    return status;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

void __real_random_bytes(void *ret, size_t len);
void __wrap_random_bytes(void *ret, size_t len);
void __wrap_random_bytes(void *ret, size_t len)
{
    if (!now) {
        __real_random_bytes(ret, len);
        return;
    }
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t bytes = random_next(&now->random);
        memcpy((char *)ret + i, &bytes, len - i < sizeof(bytes) ? len - i : sizeof(bytes));
    }
}
