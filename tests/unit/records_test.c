/* Pure parts of the records: periods, timers, copies, shards and receipt ids. */
#include "common/clock.h"
#include "common/mem.h"
#include "store/records.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t at(const char *text)
{
    int64_t ms = 0;
    cr_assert(time_parse_rfc3339(span_of(text), &ms), "%s", text);
    return ms;
}

Test(records, periods)
{
    static const struct {
        enum quota_period period;
        const char *wall, *begin, *end;
    } cases[] = {
        {PERIOD_HOUR, "2026-11-20T14:56:07.891Z", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"},
        {PERIOD_HOUR, "2026-11-20T14:00:00Z", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"},
        {PERIOD_HOUR, "2026-11-20T14:59:59.999Z", "2026-11-20T14:00:00Z", "2026-11-20T15:00:00Z"},
        {PERIOD_HOUR, "1969-12-31T23:59:59.999Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
        {PERIOD_DAY, "2026-12-31T23:59:59.999Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
        {PERIOD_DAY, "2024-02-28T12:00:00Z", "2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z"},
        {PERIOD_DAY, "1969-12-31T00:00:00.001Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"},
        {PERIOD_MONTH, "2026-01-31T23:59:59.999Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
        {PERIOD_MONTH, "2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
        {PERIOD_MONTH, "2024-02-29T00:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
        {PERIOD_MONTH, "2000-02-29T23:00:00Z", "2000-02-01T00:00:00Z", "2000-03-01T00:00:00Z"},
        {PERIOD_MONTH, "1900-02-28T23:00:00Z", "1900-02-01T00:00:00Z", "1900-03-01T00:00:00Z"},
        {PERIOD_MONTH, "2026-04-30T10:00:00Z", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"},
        {PERIOD_MONTH, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
        {PERIOD_MONTH, "1969-12-31T23:59:59.999Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"},
        {PERIOD_MONTH, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-02-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_expect_eq(period_begin(cases[i].period, at(cases[i].wall)), at(cases[i].begin), "%s", cases[i].wall);
        cr_expect_eq(period_end(cases[i].period, at(cases[i].wall)), at(cases[i].end), "%s", cases[i].wall);
    }
    cr_expect_eq(period_begin(PERIOD_NONE, at("2026-11-20T14:56:07Z")), 0);
    cr_expect_eq(period_end(PERIOD_NONE, at("2026-11-20T14:56:07Z")), INT64_MAX);
}

Test(records, periods_tile_the_time)
{
    for (int period = PERIOD_HOUR; period < PERIOD_COUNT; period++) {
        int64_t wall = at("1999-12-31T23:30:00Z");
        for (int i = 0; i < 3000; i++) {
            int64_t end = period_end((enum quota_period)period, wall);
            cr_assert_gt(end, wall);
            cr_assert_eq(period_begin((enum quota_period)period, end), end);
            cr_assert_eq(period_begin((enum quota_period)period, end - 1),
                         period_begin((enum quota_period)period, wall));
            wall = end;
        }
    }
}

Test(records, periods_of_absurd_times)
{
    for (int period = PERIOD_HOUR; period < PERIOD_COUNT; period++) {
        cr_expect_eq(period_begin((enum quota_period)period, INT64_MIN), at("0001-01-01T00:00:00Z"));
        cr_expect_eq(period_end((enum quota_period)period, INT64_MAX), at("9999-12-31T23:59:59.999Z") + 1);
    }
}

Test(records, next_due)
{
    struct governor_pending pending = {.deadline_ms = 50};
    struct governor_record record = {.quota_limit = QUOTA_NONE};
    cr_expect_eq(governor_next_due(&record), INT64_MAX);
    record.boot_due = 100;
    cr_expect_eq(governor_next_due(&record), 100);
    record.breaker_due = 200;
    cr_expect_eq(governor_next_due(&record), 100);
    record.breaker_due = 70;
    cr_expect_eq(governor_next_due(&record), 70);
    record.pending = &pending;
    cr_expect_eq(governor_next_due(&record), 50);
    record.boot_due = record.breaker_due = 0;
    pending.deadline_ms = 300;
    cr_expect_eq(governor_next_due(&record), 300);
}

Test(records, quota_due)
{
    struct governor_record record = {.quota_period = PERIOD_MONTH, .period_start = at("2024-02-01T00:00:00Z")};
    cr_expect_eq(governor_quota_due(&record), INT64_MAX, "nothing used, nothing to reset");
    record.quota_used = 1;
    cr_expect_eq(governor_quota_due(&record), at("2024-03-01T00:00:00Z"));
    record.quota_period = PERIOD_NONE;
    cr_expect_eq(governor_quota_due(&record), INT64_MAX);
}

Test(records, copy_owns_its_own)
{
    struct governor_record record = {.state = GOVERNOR_ACTION_PENDING, .failures = 3, .sku_id = xstrdup("sku")};
    record.pending = xcalloc(1, sizeof(*record.pending));
    record.pending->attempt = 9;
    record.policy_state = xstrdup("{}");
    struct governor_record copy;
    governor_record_copy(&copy, &record);
    record.pending->attempt = 10;
    record.policy_state[0] = '?';
    governor_record_done(&record);
    cr_expect_null(record.pending);
    cr_expect_null(record.sku_id);
    cr_expect_eq(copy.failures, 3);
    cr_expect_eq(copy.pending->attempt, 9);
    cr_expect_str_eq(copy.sku_id, "sku");
    cr_expect_str_eq(copy.policy_state, "{}");
    governor_record_done(&copy);
    governor_record_copy(&copy, &record);
    cr_expect(!copy.pending && !copy.sku_id && !copy.policy_state);
    governor_record_done(&copy);
}

Test(records, names)
{
    for (int i = 0; i < SIGNAL_STATUS_COUNT; i++)
        cr_expect(signal_status_names[i] && *signal_status_names[i]);
    for (int i = 0; i < GOVERNOR_STATE_COUNT; i++)
        cr_expect(governor_state_names[i] && *governor_state_names[i]);
    cr_expect_str_eq(signal_status_names[SIGNAL_DEADLETTERED], "deadlettered");
    cr_expect_str_eq(governor_state_names[GOVERNOR_ACTION_PENDING], "action_pending");
    cr_expect_str_eq(entitlement_names[ENTITLEMENT_CANCELLED], "cancelled");
    cr_expect_str_eq(quota_period_names[PERIOD_MONTH], "month");
}

Test(records, shards)
{
    unsigned counts[8] = {0};
    char name[32];
    cr_expect_eq(shard_of(SPAN("_system"), 8), 0);
    cr_expect_eq(shard_of(SPAN(""), 8), 0);
    cr_expect_eq(shard_of(SPAN("acme"), 1), 0);
    for (int i = 0; i < 8000; i++) {
        snprintf(name, sizeof(name), "tenant-%d", i);
        uint32_t shard = shard_of(span_of(name), 8);
        cr_assert_lt(shard, 8);
        counts[shard]++;
    }
    for (int i = 0; i < 8; i++)
        cr_expect(counts[i] > 800 && counts[i] < 1200, "%u of 8000 in shard %d", counts[i], i);
}

/* Python: uuid.uuid5(uuid.UUID('7d6b3c9e-5f0a-4c1e-9b1d-2e8f4a6c0d35'), '3/0/42') */
Test(records, receipt_ids)
{
    char id[UUID_TEXT + 1];
    struct hasher *hasher = hasher_new();
    receipt_id_of(hasher, 3, 0, 42, id);
    cr_expect_str_eq(id, "ee4f5d24-8687-5496-8c54-db44d28c01b5");
    receipt_id_of(hasher, 1023, 255, UINT64_MAX, id);
    cr_expect_eq(strlen(id), UUID_TEXT);
    hasher_free(hasher);
}
