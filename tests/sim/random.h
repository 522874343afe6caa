/* The one source of chance of a run: everything that happens follows from its seed. */
#ifndef TAI_TESTS_SIM_RANDOM_H
#define TAI_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline unsigned random_below(struct random *random, unsigned bound)
{
    return bound ? (unsigned)(random_next(random) >> 33) % bound : 0;
}

/* first … last */
static inline int64_t random_between(struct random *random, int64_t first, int64_t last)
{
    return first + (int64_t)(random_next(random) % (uint64_t)(last - first + 1));
}

static inline bool random_chance(struct random *random, unsigned per_mille)
{
    return random_below(random, 1000) < per_mille;
}

#endif
