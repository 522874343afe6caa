/* The collector of refusals: its bounds under a flood, that counts add up, what a record says. */
#include "ingress/refusals.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

static struct refusal refusal_of(const char *tenant, const char *reason, int64_t wall_ms)
{
    return (struct refusal){
        .tenant_id = span_of(tenant), .reason = reason, .wall_ms = wall_ms, .status = 400, .detail = SPAN("because")};
}

static void add(struct refusals *refusals, const char *tenant, const char *reason, int64_t mono_ms)
{
    struct refusal refusal = refusal_of(tenant, reason, mono_ms + 1000000);
    refusals_add(refusals, &refusal, tenant[0] && refusals_single(refusals, mono_ms), mono_ms);
}

/* The number that follows "count": in a sum; 1 for a single one. */
static uint64_t count_of(const struct signal *record)
{
    return span_is(record->type, REFUSAL_TYPE) ? 1 : strtoull(record->bytes.ptr + strlen("{\"count\":"), NULL, 10);
}

struct flush {
    size_t records, singles;
    uint64_t count;
};

static struct flush flush(struct refusals *refusals, bool published)
{
    struct signal records[REFUSALS_FLUSH_MAX];
    struct flush flush = {.records = refusals_take(refusals, records)};
    cr_assert_eq(frame_check(records, (uint32_t)flush.records), 0);
    for (size_t i = 0; i < flush.records; i++) {
        flush.singles += span_is(records[i].type, REFUSAL_TYPE);
        flush.count += count_of(&records[i]);
    }
    refusals_answered(refusals, published);
    return flush;
}

Test(refusals, nothing_when_there_was_nothing)
{
    struct refusals *refusals = refusals_new();
    cr_assert_eq(flush(refusals, true).records, 0);
    add(refusals, "a", "invalid", 0);
    cr_assert_eq(flush(refusals, true).records, 1);
    cr_assert_eq(flush(refusals, true).records, 0);
    refusals_free(refusals);
}

Test(refusals, a_record)
{
    struct refusals *refusals = refusals_new();
    struct signal records[REFUSALS_FLUSH_MAX];
    uint8_t sha256[SHA256_SIZE] = {0xab};
    struct refusal refusal = refusal_of("acme", "invalid", 1234);
    refusal.detail = SPAN("no \"type\"");
    refusal.key_id = SPAN("key-1");
    refusal.entitlement_id = SPAN("ent");
    refusal.signal_id = SPAN("sig");
    refusal.sha256 = sha256;
    refusals_add(refusals, &refusal, true, 0);
    add(refusals, "", "unauthenticated", 1);
    add(refusals, "", "unauthenticated", 7);
    cr_assert_eq(refusals_take(refusals, records), 2);
    cr_assert(span_is(records[0].tenant_id, "acme") && records[0].time_ms == 1234);
    cr_assert(span_is(records[0].bytes,
                      "{\"detail\":\"no \\\"type\\\"\",\"entitlement_id\":\"ent\",\"key_id\":\"key-1\",\"reason\":"
                      "\"invalid\",\"signal_id\":\"sig\",\"signal_sha256\":"
                      "\"ab00000000000000000000000000000000000000000000000000000000000000\",\"status\":400}"),
              "%.*s", (int)records[0].bytes.len, records[0].bytes.ptr);
    cr_assert(span_is(records[1].tenant_id, "_system"));
    cr_assert(span_is(records[1].bytes, "{\"count\":2,\"from\":1000001,\"reason\":\"unauthenticated\",\"to\":1000007}"),
              "%.*s", (int)records[1].bytes.len, records[1].bytes.ptr);
    add(refusals, "acme", "invalid", 8);
    cr_assert_eq(refusals_take(refusals, records), 0, "one flush at a time");
    refusals_answered(refusals, true);
    cr_assert_eq(refusals_take(refusals, records), 1);
    refusals_free(refusals);
}

Test(refusals, sixty_four_a_second)
{
    struct refusals *refusals = refusals_new();
    for (int i = 0; i < 1000; i++)
        add(refusals, "a", "invalid", 500);
    struct flush first = flush(refusals, true);
    cr_assert(first.singles == REFUSALS_SINGLES_PER_S && first.records == REFUSALS_SINGLES_PER_S + 1);
    cr_assert_eq(first.count, 1000);
    add(refusals, "a", "invalid", 999);
    cr_assert_eq(flush(refusals, true).singles, 0, "the same second");
    add(refusals, "a", "invalid", 1000);
    cr_assert_eq(flush(refusals, true).singles, 1, "the next one");
    refusals_free(refusals);
}

Test(refusals, what_was_not_published_is_summed)
{
    struct refusals *refusals = refusals_new();
    for (int i = 0; i < 100; i++)
        add(refusals, i % 2 ? "a" : "b", "limited", 0);
    cr_assert_eq(flush(refusals, false).singles, REFUSALS_SINGLES_PER_S);
    cr_assert_eq(refusals_waiting(refusals), 100);
    add(refusals, "a", "limited", 2000);
    struct flush again = flush(refusals, true);
    cr_assert(again.singles == 1 && again.records == 3 && again.count == 101);
    cr_assert_eq(refusals_waiting(refusals), 0);
    refusals_free(refusals);
}

/* A long detail is cut between characters, and the largest flush is a frame. */
Test(refusals, details_are_cut)
{
    struct refusals *refusals = refusals_new();
    struct signal records[REFUSALS_FLUSH_MAX];
    char control[1000], wide[1001];
    memset(control, 1, sizeof(control));
    for (size_t i = 0; i < sizeof(wide); i++)
        wide[i] = i == 0 ? 'x' : i % 2 ? '\xc3' : '\xa4';
    struct refusal refusal = refusal_of("a", "invalid", 0);
    refusal.detail = (struct span){wide, sizeof(wide)};
    refusals_add(refusals, &refusal, true, 0);
    refusal.detail = (struct span){control, sizeof(control)};
    refusal.entitlement_id = refusal.signal_id = refusal.key_id = (struct span){wide, 1};
    for (int i = 1; i < REFUSALS_SINGLES_PER_S; i++)
        refusals_add(refusals, &refusal, true, 0);
    for (int i = 0; i < 100; i++) {
        char tenant[65];
        snprintf(tenant, sizeof(tenant), "%064d", i);
        add(refusals, tenant, "invalid", 0);
    }
    cr_assert_eq(refusals_take(refusals, records), REFUSALS_FLUSH_MAX);
    cr_assert_eq(frame_check(records, REFUSALS_FLUSH_MAX), 0);
    cr_assert(memmem(records[0].bytes.ptr, records[0].bytes.len, "\xc3\xa4\",\"reason\"", 12));
    refusals_free(refusals);
}

Test(refusals, a_flood_of_a_million)
{
    static const char *const reasons[] = {"invalid", "forbidden", "too_large", "limited"};
    struct refusals *refusals = refusals_new();
    int64_t before = (int64_t)mallinfo2().uordblks, most = 0;
    uint64_t published = 0;
    char tenant[24];
    for (int i = 0; i < 1000000; i++) {
        int ms = i / 100; /* 100,000 a second for 10 s */
        snprintf(tenant, sizeof(tenant), "t%d", i % 5000);
        add(refusals, i % 3 ? tenant : "", reasons[i % 4], ms);
        if (i % 100000)
            continue;
        struct flush second = flush(refusals, i % 300000 != 0);
        cr_assert(second.singles <= REFUSALS_SINGLES_PER_S && second.records <= REFUSALS_FLUSH_MAX);
        published += i % 300000 ? second.count : 0;
        int64_t now = (int64_t)mallinfo2().uordblks;
        most = now - before > most ? now - before : most;
    }
    cr_assert_lt(most, 1 << 20, "%lld bytes", (long long)most);
    while (refusals_waiting(refusals))
        published += flush(refusals, true).count;
    cr_assert_eq(published, 1000000);
    refusals_free(refusals);
}
