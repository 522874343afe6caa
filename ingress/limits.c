/* Buckets in millionths of a token, so that a microsecond at one token a second adds exactly one: no rounding, no
 * drift. The tenant table is a fixed set-associative array: bounded memory, and a look-up touches one set. A tenant
 * that was pushed out starts again with a full bucket; the process's bucket holds all the same. */
#include "ingress/limits.h"

#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>

enum { TOKEN = 1000000, US_PER_S = 1000000 };

struct bucket {
    int64_t level; /* millionths of a token */
    int64_t at_us;
};

struct tenant {
    struct bucket bucket;
    uint8_t len; /* 0: free */
    char id[LIMITS_TENANT_MAX];
};

struct limits {
    struct limits_options options;
    struct bucket process;
    struct tenant *tenants; /* LIMITS_SETS sets of LIMITS_WAYS; NULL without a tenant rate */
    struct tenant *last;    /* of the previous call: a batch is mostly of one tenant */
};

struct limits *limits_new(const struct limits_options *options, int64_t now_us)
{
    struct limits *limits = xcalloc(1, sizeof(*limits));
    limits->options.seed = options->seed;
    limits_set(limits, options, now_us);
    return limits;
}

/* A bucket above a smaller burst is cut down by the next refill. */
void limits_set(struct limits *limits, const struct limits_options *options, int64_t now_us)
{
    uint64_t seed = limits->options.seed;
    if (!limits->options.rate)
        limits->process = (struct bucket){options->burst * TOKEN, now_us};
    if (options->tenant_rate && !limits->tenants)
        limits->tenants = xcalloc((size_t)LIMITS_SETS * LIMITS_WAYS, sizeof(*limits->tenants));
    limits->options = *options;
    limits->options.seed = seed;
}

int64_t limits_rate(const struct limits *limits, enum limit limit)
{
    return limit == LIMIT_PROCESS ? limits->options.rate : limits->options.tenant_rate;
}

void limits_free(struct limits *limits)
{
    if (!limits)
        return;
    free(limits->tenants);
    free(limits);
}

static void refill(struct bucket *bucket, int64_t rate, int64_t burst, int64_t now_us)
{
    int64_t full = burst * TOKEN;
    int64_t elapsed = now_us - bucket->at_us;
    if (elapsed <= 0)
        return;
    bucket->at_us = now_us;
    if (elapsed > (full - bucket->level) / rate)
        bucket->level = full;
    else
        bucket->level += elapsed * rate;
}

static int64_t retry_s(const struct bucket *bucket, int64_t rate)
{
    int64_t us = (TOKEN - bucket->level + rate - 1) / rate;
    int64_t s = (us + US_PER_S - 1) / US_PER_S;
    return s > 1 ? s : 1;
}

static bool is_tenant(const struct tenant *tenant, struct span id)
{
    return span_eq((struct span){tenant->id, tenant->len}, id);
}

/* The way to overwrite: a free one, else one whose bucket is full again (nothing is forgotten), else the oldest. */
static struct tenant *choose_victim(const struct limits *limits, struct tenant *set, int64_t now_us)
{
    struct tenant *oldest = set;
    for (size_t i = 0; i < LIMITS_WAYS; i++) {
        if (set[i].len == 0)
            return &set[i];
        struct bucket bucket = set[i].bucket;
        refill(&bucket, limits->options.tenant_rate, limits->options.tenant_burst, now_us);
        if (bucket.level == limits->options.tenant_burst * TOKEN)
            return &set[i];
        if (set[i].bucket.at_us < oldest->bucket.at_us)
            oldest = &set[i];
    }
    return oldest;
}

static struct bucket *tenant_bucket(struct limits *limits, struct span id, int64_t now_us)
{
    if (limits->last && is_tenant(limits->last, id))
        return &limits->last->bucket;
    struct span seed = {(const char *)&limits->options.seed, sizeof(limits->options.seed)};
    struct tenant *set = &limits->tenants[hash_pair(seed, id) % LIMITS_SETS * LIMITS_WAYS];
    struct tenant *tenant = NULL;
    for (size_t i = 0; i < LIMITS_WAYS && !tenant; i++)
        if (is_tenant(&set[i], id))
            tenant = &set[i];
    if (!tenant) {
        tenant = choose_victim(limits, set, now_us);
        tenant->len = (uint8_t)id.len;
        memcpy(tenant->id, id.ptr, id.len);
        tenant->bucket = (struct bucket){limits->options.tenant_burst * TOKEN, now_us};
    }
    limits->last = tenant;
    return &tenant->bucket;
}

enum limit limits_take(struct limits *limits, struct span tenant_id, int64_t now_us, int64_t *ret_retry_s)
{
    const struct limits_options *o = &limits->options;
    struct bucket *process = o->rate ? &limits->process : NULL;
    struct bucket *tenant = o->tenant_rate ? tenant_bucket(limits, tenant_id, now_us) : NULL;
    if (process) {
        refill(process, o->rate, o->burst, now_us);
        if (process->level < TOKEN) {
            *ret_retry_s = retry_s(process, o->rate);
            return LIMIT_PROCESS;
        }
    }
    if (tenant) {
        refill(tenant, o->tenant_rate, o->tenant_burst, now_us);
        if (tenant->level < TOKEN) {
            *ret_retry_s = retry_s(tenant, o->tenant_rate);
            return LIMIT_TENANT;
        }
        tenant->level -= TOKEN;
    }
    if (process)
        process->level -= TOKEN;
    return LIMIT_NONE;
}
