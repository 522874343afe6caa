/* Time as the simulated processes and their libraries see it: clock_gettime and gettimeofday of this program answer
 * from here, so that libevent's timers, the store's leases and every struct clock move only when the simulator says so.
 * Random bytes come from the run's seed, and fsync does nothing: there is no disk.
 *
 * libc's functions have no context argument, hence the one pointer virtual_time_set leaves behind. */
#ifndef TAI_TESTS_SIM_VIRTUAL_TIME_H
#define TAI_TESTS_SIM_VIRTUAL_TIME_H

#include "sim/random.h"

struct virtual_time {
    int64_t mono_us;
    int64_t wall_us;
    struct random random; /* of random_bytes */
};

void virtual_time_set(struct virtual_time *time); /* NULL: real time and randomness again */
double real_seconds(void);                        /* monotonic, whatever was set */

#endif
