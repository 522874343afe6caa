/* Token buckets on a clock moved by hand, and the memory of what was accepted lately. */
#include "ingress/limits.h"
#include "ingress/recent.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SECOND = 1000000 };

static unsigned drain(struct limits *limits, const char *tenant, int64_t now_us)
{
    unsigned taken = 0;
    int64_t retry_s;
    while (taken < 1000000 && limits_take(limits, span_of(tenant), now_us, &retry_s) == LIMIT_NONE)
        taken++;
    return taken;
}

Test(limits, none)
{
    struct limits *limits = limits_new(&(struct limits_options){0}, 0);
    cr_assert_eq(drain(limits, "a", 0), 1000000);
    limits_free(limits);
}

Test(limits, process_burst_and_refill)
{
    struct limits *limits = limits_new(&(struct limits_options){.rate = 10, .burst = 25}, 0);
    int64_t retry_s = 0;
    cr_assert_eq(drain(limits, "a", 0), 25);
    cr_assert_eq(limits_take(limits, SPAN("b"), 0, &retry_s), LIMIT_PROCESS);
    cr_assert_eq(retry_s, 1);
    cr_assert_eq(limits_take(limits, SPAN("b"), 99999, &retry_s), LIMIT_PROCESS, "just before the next token");
    cr_assert_eq(limits_take(limits, SPAN("b"), 100000, &retry_s), LIMIT_NONE);
    cr_assert_eq(drain(limits, "a", SECOND), 9);
    cr_assert_eq(drain(limits, "a", 3600LL * SECOND), 25, "never more than the burst");
    cr_assert_eq(drain(limits, "a", INT64_MAX), 25);
    limits_free(limits);
}

Test(limits, retry_after_is_computed)
{
    struct limits *limits = limits_new(&(struct limits_options){.tenant_rate = 1, .tenant_burst = 1, .seed = 7}, 0);
    int64_t retry_s = 0;
    cr_assert_eq(limits_take(limits, SPAN("a"), 0, &retry_s), LIMIT_NONE);
    cr_assert_eq(limits_take(limits, SPAN("a"), 0, &retry_s), LIMIT_TENANT);
    cr_assert_eq(retry_s, 1);
    cr_assert_eq(limits_take(limits, SPAN("b"), 0, &retry_s), LIMIT_NONE, "another tenant's bucket is its own");
    limits_free(limits);
}

/* The steps a clock makes must not matter: what is earned in a million small ones equals one large one. */
Test(limits, no_rounding_loss)
{
    struct limits *limits = limits_new(&(struct limits_options){.rate = 3, .burst = 3}, 0);
    unsigned taken = drain(limits, "a", 0);
    for (int64_t t = 0; t <= 10LL * SECOND; t += 7)
        taken += drain(limits, "a", t);
    cr_assert_eq(taken, 3 + 30 - 1 + (10LL * SECOND % 7 == 0), "%u", taken);
    limits_free(limits);
}

Test(limits, a_clock_that_goes_back_gives_nothing)
{
    struct limits *limits = limits_new(&(struct limits_options){.rate = 1, .burst = 2}, 100LL * SECOND);
    cr_assert_eq(drain(limits, "a", 100LL * SECOND), 2);
    cr_assert_eq(drain(limits, "a", 50LL * SECOND), 0);
    cr_assert_eq(drain(limits, "a", 101LL * SECOND), 1);
    limits_free(limits);
}

Test(limits, refused_by_the_tenant_costs_the_process_nothing)
{
    struct limits *limits = limits_new(
        &(struct limits_options){.rate = 100, .burst = 10, .tenant_rate = 1, .tenant_burst = 2, .seed = 1}, 0);
    cr_assert_eq(drain(limits, "a", 0), 2);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(drain(limits, "a", 0), 0);
    cr_assert_eq(drain(limits, "b", 0), 2);
    cr_assert_eq(drain(limits, "c", 0), 2);
    limits_free(limits);
}

Test(limits, refused_by_the_process_costs_the_tenant_nothing)
{
    struct limits *limits =
        limits_new(&(struct limits_options){.rate = 1, .burst = 1, .tenant_rate = 1, .tenant_burst = 1, .seed = 1}, 0);
    int64_t retry_s;
    cr_assert_eq(limits_take(limits, SPAN("a"), 0, &retry_s), LIMIT_NONE);
    cr_assert_eq(limits_take(limits, SPAN("b"), 0, &retry_s), LIMIT_PROCESS);
    cr_assert_eq(limits_take(limits, SPAN("b"), SECOND, &retry_s), LIMIT_NONE);
    limits_free(limits);
}

Test(limits, other_rates_hold_from_then_on)
{
    struct limits *limits = limits_new(&(struct limits_options){.rate = 10, .burst = 25}, 0);
    cr_assert_eq(drain(limits, "a", 0), 25);
    limits_set(limits, &(struct limits_options){.rate = 1, .burst = 5, .tenant_rate = 1, .tenant_burst = 2}, 0);
    cr_expect_eq(limits_rate(limits, LIMIT_PROCESS), 1, "what refusals name is what is in effect");
    cr_expect_eq(limits_rate(limits, LIMIT_TENANT), 1);
    cr_assert_eq(drain(limits, "a", 0), 0, "what was taken stays taken");
    cr_assert_eq(drain(limits, "a", 4LL * SECOND), 2, "the tenant's");
    cr_assert_eq(drain(limits, "b", 4LL * SECOND), 2);
    cr_assert_eq(drain(limits, "c", 3600LL * SECOND), 2);
    limits_set(limits, &(struct limits_options){0}, 3600LL * SECOND);
    cr_assert_eq(drain(limits, "a", 3600LL * SECOND), 1000000);
    limits_set(limits, &(struct limits_options){.rate = 1, .burst = 3}, 3600LL * SECOND);
    cr_assert_eq(drain(limits, "a", 3600LL * SECOND), 3, "a limit that is new begins with its burst");
    limits_free(limits);
}

/* More tenants than buckets: bounded, and those that are quiet give way to those that are not. */
Test(limits, many_tenants)
{
    struct limits *limits = limits_new(&(struct limits_options){.tenant_rate = 1, .tenant_burst = 5, .seed = 3}, 0);
    cr_assert_eq(drain(limits, "busy", 0), 5);
    for (int i = 0; i < 4 * LIMITS_SETS * LIMITS_WAYS; i++) {
        char tenant[32];
        int64_t retry_s;
        snprintf(tenant, sizeof(tenant), "tenant-%d", i);
        int64_t now = 10LL * SECOND + (int64_t)i * SECOND;
        cr_assert_eq(limits_take(limits, span_of(tenant), now, &retry_s), LIMIT_NONE);
        if (i % 16 == 0)
            (void)drain(limits, "busy", now);
        if (i > 0)
            cr_assert_leq(drain(limits, "busy", now), 1, "a busy tenant is not forgotten");
    }
    limits_free(limits);
}

static struct identity identity(const char *tenant, const char *entitlement, const char *id)
{
    return (struct identity){span_of(tenant), span_of(entitlement), span_of(id)};
}

Test(recent, same_identity_and_hash)
{
    struct recent *recent = recent_new();
    uint8_t a[SHA256_SIZE] = {1};
    uint8_t b[SHA256_SIZE] = {2};
    struct identity x = identity("t", "e", "1");
    struct identity any = identity("t", "", "1");
    cr_assert_not(recent_has(recent, &x, 0));
    cr_assert_not(recent_add(recent, &x, a, 0));
    cr_assert(recent_add(recent, &x, a, 1));
    cr_assert_not(recent_add(recent, &x, b, 2), "other bytes: a conflict, no duplicate");
    cr_assert(recent_has(recent, &x, 3));
    cr_assert(recent_has(recent, &any, 3));
    static const char *const others[][3] = {{"t2", "e", "1"}, {"t", "e2", "1"}, {"t", "e", "2"}, {"te", "", "1"}};
    for (size_t i = 0; i < 4; i++) {
        struct identity other = identity(others[i][0], others[i][1], others[i][2]);
        cr_assert_not(recent_has(recent, &other, 3), "%zu", i);
        cr_assert_not(others[i][1][0] && recent_add(recent, &other, a, 3), "%zu", i);
    }
    recent_free(recent);
}

Test(recent, forgets_by_age_and_by_number)
{
    struct recent *recent = recent_new();
    uint8_t sha[SHA256_SIZE] = {0};
    struct identity first = identity("t", "e", "first");
    cr_assert_not(recent_add(recent, &first, sha, 0));
    cr_assert(recent_has(recent, &first, RECENT_AGE_MS - 1));
    cr_assert_not(recent_has(recent, &first, RECENT_AGE_MS));
    for (int i = 0; i < 3 * RECENT_ENTRIES; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        struct identity next = identity("t", "e", id);
        cr_assert_not(recent_add(recent, &next, sha, 0));
        if (i == RECENT_ENTRIES - 2)
            cr_assert(recent_has(recent, &first, 0));
    }
    cr_assert_not(recent_has(recent, &first, 0));
    for (int i = 2 * RECENT_ENTRIES - 1; i <= 2 * RECENT_ENTRIES; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        struct identity next = identity("t", "e", id);
        cr_assert_eq(recent_has(recent, &next, 0), i == 2 * RECENT_ENTRIES);
    }
    recent_free(recent);
}
