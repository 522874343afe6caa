/* The environment of the shims, read at each use: they are never on a hot path that is measured. Any thread. */
#include "shim.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool shim_bug(const char *name)
{
    const char *planted = getenv("TAI_CHAOS_BUG");
    return planted && strcmp(planted, name) == 0;
}

int64_t shim_number(const char *variable, int64_t otherwise)
{
    const char *value = getenv(variable);
    return value && *value ? strtoll(value, NULL, 10) : otherwise;
}

bool shim_sometimes(unsigned n)
{
    static atomic_uint calls;
    return (atomic_fetch_add(&calls, 1) * 2654435761U >> 16) % n == 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Since the first thing that asked, which is the opening of the database. */
static int64_t running_ms(void)
{
    static _Atomic int64_t first;
    int64_t none = 0, now = now_ms();
    atomic_compare_exchange_strong(&first, &none, now);
    return now - first;
}

bool shim_skips_sync(void)
{
    int64_t after = shim_number("TAI_CHAOS_NOSYNC", -1);
    return after >= 0 && running_ms() >= after;
}

bool shim_disk_full(void)
{
    int64_t ms = shim_number("TAI_CHAOS_FULL", 0);
    return ms && running_ms() / ms % 4 == 3;
}

struct later {
    void (*run)(void *arg);
    void *arg;
};

static void on_later(evutil_socket_t fd, short what, void *ctx)
{
    struct later later = *(struct later *)ctx;
    (void)fd;
    (void)what;
    free(ctx);
    later.run(later.arg);
}

void shim_later(struct event_base *base, int64_t ms, void (*run)(void *arg), void *arg)
{
    struct later *later = malloc(sizeof(*later));
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (!later)
        abort();
    *later = (struct later){run, arg};
    if (event_base_once(base, -1, EV_TIMEOUT, on_later, later, &wait) < 0)
        abort();
}
