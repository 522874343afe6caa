/* Token buckets: one of the process, one per tenant. Time is a parameter; one thread. */
#ifndef TAI_INGRESS_LIMITS_H
#define TAI_INGRESS_LIMITS_H

#include "common/span.h"

#include <stdint.h>

struct limits_options {
    int64_t rate; /* signals/s of the process, 0: unlimited */
    int64_t burst;
    int64_t tenant_rate; /* signals/s of each tenant, 0: unlimited */
    int64_t tenant_burst;
    uint64_t seed; /* of the tenant table, so that nobody can choose its collisions */
};

/* Tenants whose buckets are kept; beyond them a full bucket, else the one untouched longest, gives way in its set. */
enum { LIMITS_SETS = 2048, LIMITS_WAYS = 8, LIMITS_TENANT_MAX = 64 };

enum limit { LIMIT_NONE, LIMIT_PROCESS, LIMIT_TENANT };

struct limits;
struct limits *limits_new(const struct limits_options *options, int64_t now_us);
/* Other rates and bursts, from now on; what was taken stays taken. */
void limits_set(struct limits *limits, const struct limits_options *options, int64_t now_us);
void limits_free(struct limits *limits);

/* Takes a token of both buckets, or none: then says which bucket is empty and in how many seconds (≥ 1) it will not be.
 */
enum limit limits_take(struct limits *limits, struct span tenant_id, int64_t now_us, int64_t *ret_retry_s);
/* Signals/s that the bucket lets through. */
int64_t limits_rate(const struct limits *limits, enum limit limit);

#endif
