/* A tenant's share of the queue: what counts, what leaves, who is about, and what it costs in memory. */
#include "ingress/shares.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { PARTITIONS = 4, SECOND = 1000000 };

static uint64_t depths[PARTITIONS];

static uint64_t depth(void *ctx, uint32_t partition)
{
    (void)ctx;
    return depths[partition];
}

static struct shares *make(uint64_t alone, uint64_t shared)
{
    memset(depths, 0, sizeof(depths));
    return shares_new(&(struct shares_options){PARTITIONS, alone, shared, 42, depth, NULL}, 0);
}

static bool take(struct shares *shares, const char *tenant, int64_t now_us)
{
    uint64_t limit;
    int64_t retry;
    bool taken = shares_take(shares, span_of(tenant), now_us, &limit, &retry);
    cr_assert(taken || (retry >= 1 && retry <= SHARES_RETRY_MAX_S), "%lld", (long long)retry);
    return taken;
}

/* Takes and queues signals until refused, at most most; how many. */
static unsigned fill(struct shares *shares, uint32_t partition, const char *tenant, int64_t now_us, unsigned most)
{
    unsigned taken = 0;
    for (; taken < most && take(shares, tenant, now_us); taken++) {
        depths[partition]++;
        shares_queued(shares, partition, span_of(tenant), 1);
    }
    return taken;
}

Test(shares, one_that_floods_beside_others)
{
    struct shares *shares = make(500, 100);
    cr_assert_eq(fill(shares, 1, "quiet", 0, 1), 1);
    cr_assert_eq(fill(shares, 0, "flood", 0, 1000), 100);
    cr_assert_eq(fill(shares, 2, "flood", 0, 1000), 0, "another partition is the same queue");
    cr_assert_eq(fill(shares, 1, "quiet", 0, 50), 50);
    depths[0] -= 30; /* worked off */
    cr_assert_eq(fill(shares, 2, "flood", 0, 1000), 30);
    depths[0] = depths[1] = depths[2] = 0;
    cr_assert_eq(fill(shares, 3, "flood", 0, 1000), 100);
    shares_free(shares);
}

Test(shares, alone)
{
    struct shares *shares = make(500, 100);
    int64_t later = SHARES_OTHERS_US;
    cr_assert_eq(fill(shares, 0, "flood", later, 1000), 500, "an empty queue and nobody else");
    cr_assert(take(shares, "quiet", later), "there is room for who comes");
    depths[0] = 300;
    cr_assert_not(take(shares, "flood", later), "no more until it is down to its share");
    depths[0] = 99;
    cr_assert(take(shares, "flood", later));
    shares_free(shares);
}

Test(shares, what_was_not_queued_does_not_count)
{
    struct shares *shares = make(10, 10);
    for (int i = 0; i < 100; i++) {
        cr_assert(take(shares, "a", 0));
        shares_dropped(shares, SPAN("a"), 1);
    }
    cr_assert_eq(fill(shares, 0, "a", 0, 100), 10);
    shares_free(shares);
}

Test(shares, frames_from_elsewhere_count_for_nobody)
{
    memset(depths, 0, sizeof(depths));
    depths[0] = 1000; /* from before a restart */
    struct shares *shares = shares_new(&(struct shares_options){PARTITIONS, 500, 10, 42, depth, NULL}, 0);
    cr_assert_eq(fill(shares, 0, "a", 0, 100), 10, "they may be another's");
    depths[0] -= 1000; /* those first */
    cr_assert_not(take(shares, "a", 0));
    depths[0] -= 5;
    cr_assert_eq(fill(shares, 0, "a", 0, 100), 5);
    shares_free(shares);
}

Test(shares, retry_by_how_fast_it_is_worked_off)
{
    struct shares *shares = make(1000, 100);
    uint64_t limit;
    int64_t retry;
    cr_assert_eq(fill(shares, 0, "flood", SHARES_OTHERS_US, 2000), 1000);
    cr_assert(take(shares, "quiet", SHARES_OTHERS_US));
    for (int i = 1; i <= 3; i++) {
        depths[0] -= 100;
        cr_assert_not(shares_take(shares, SPAN("flood"), SHARES_OTHERS_US + i * SECOND, &limit, &retry));
    }
    cr_assert_eq(limit, 100);
    cr_assert_eq(retry, 7, "700 signals wait, 600 too many, 100 a second: %lld", (long long)retry);
    depths[0] = 150;
    cr_assert_not(shares_take(shares, SPAN("flood"), SHARES_OTHERS_US + 4 * SECOND, &limit, &retry));
    cr_assert_eq(retry, 1);
    shares_free(shares);
}

Test(shares, many_tenants_are_not_mistaken_for_one_another)
{
    struct shares *shares = make(UINT32_MAX, 1000);
    char name[32];
    cr_assert(take(shares, "somebody", 0));
    for (int flood = 0; flood < 20; flood++) {
        snprintf(name, sizeof(name), "flood-%d", flood);
        cr_assert_eq(fill(shares, (uint32_t)flood % PARTITIONS, name, 0, 5000), 1000);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "tenant-%d", i);
        cr_assert_eq(fill(shares, (uint32_t)i % PARTITIONS, name, 0, 3), 3, "%s", name);
    }
    shares_free(shares);
}

/* More runs in a partition than are kept: the oldest are forgotten, nothing is counted twice. */
Test(shares, runs_are_bounded)
{
    struct shares *shares = make(UINT32_MAX, UINT32_MAX);
    char name[32];
    for (int i = 0; i < 200000; i++) {
        snprintf(name, sizeof(name), "tenant-%d", i % 1000);
        cr_assert_eq(fill(shares, 0, name, 0, 1), 1);
    }
    depths[0] = 0;
    shares_free(shares);
    shares = make(20, 10);
    cr_assert(take(shares, "somebody", 0));
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "tenant-%d", i);
        cr_assert_eq(fill(shares, 0, name, 0, 1), 1);
        depths[0] = 0;
    }
    cr_assert_eq(fill(shares, 0, "tenant-1", 0, 100), 10);
    shares_free(shares);
}
