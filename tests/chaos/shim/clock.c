/* The wall clock under TAI_CHAOS_CLOCK=FILE: that many milliseconds off, an int64 in the file, which may change at any
 * time. The monotonic clock is left alone, as a set clock leaves it. Any thread.
 *
 * Planted bug wall_trusted: the age of a signal is judged by the wall clock as it is. */
#include "shim.h"

#include "common/clock.h"
#include "jidoka/wall_trust.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int64_t __real_wall_trust_ms(const struct wall_trust *trust, int64_t clock_ms);
int64_t __wrap_wall_trust_ms(const struct wall_trust *trust, int64_t clock_ms);

static const _Atomic int64_t none;
static const _Atomic int64_t *offset_ms = &none;

static void map_file(void)
{
    const char *path = getenv("TAI_CHAOS_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED)
        abort();
    offset_ms = shared;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int rc = __real_clock_gettime(clock, ret);
    if (rc || clock != CLOCK_REALTIME)
        return rc;
    pthread_once(&once, map_file);
    int64_t off = atomic_load_explicit(offset_ms, memory_order_relaxed);
    ret->tv_sec += off / 1000;
    ret->tv_nsec += off % 1000 * 1000000;
    if (ret->tv_nsec < 0)
        ret->tv_sec--, ret->tv_nsec += 1000000000;
    else if (ret->tv_nsec >= 1000000000)
        ret->tv_sec++, ret->tv_nsec -= 1000000000;
    return 0;
}

int64_t __wrap_wall_trust_ms(const struct wall_trust *trust, int64_t clock_ms)
{
    return shim_bug("wall_trusted") ? clock_wall_ms(&clock_system) : __real_wall_trust_ms(trust, clock_ms);
}
