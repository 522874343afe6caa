/* What can be computed from the records alone: names, timers, quota periods (UTC), ownership, receipt identities. Pure;
 * any thread. */
#include "store/records.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

const char *const signal_status_names[SIGNAL_STATUS_COUNT] = {[SIGNAL_WAITING] = "waiting",
                                                              [SIGNAL_ACTING] = "acting",
                                                              [SIGNAL_EXECUTED] = "executed",
                                                              [SIGNAL_FAILED] = "failed",
                                                              [SIGNAL_DENIED] = "denied",
                                                              [SIGNAL_REFUSED] = "refused",
                                                              [SIGNAL_DEADLETTERED] = "deadlettered"};

const char *const deadletter_class_names[CLASS_COUNT + 1] = {[CLASS_TENANT] = "tenant",
                                                             [CLASS_DESTINATION] = "destination",
                                                             [CLASS_PIPELINE] = "pipeline",
                                                             [CLASS_POLICY] = "policy",
                                                             [CLASS_POISON] = "poison"};

const char *const governor_state_names[GOVERNOR_STATE_COUNT + 1] = {[GOVERNOR_BOOT] = "boot",
                                                                    [GOVERNOR_ACTIVE] = "active",
                                                                    [GOVERNOR_ACTION_PENDING] = "action_pending",
                                                                    [GOVERNOR_SUSPENDED] = "suspended",
                                                                    [GOVERNOR_COMPLYING] = "complying",
                                                                    [GOVERNOR_DEGRADED] = "degraded",
                                                                    [GOVERNOR_HALTED] = "halted",
                                                                    [GOVERNOR_TESTING] = "testing"};

const char *const entitlement_names[ENTITLEMENT_COUNT] = {[ENTITLEMENT_INACTIVE] = "inactive",
                                                          [ENTITLEMENT_ACTIVE] = "active",
                                                          [ENTITLEMENT_SUSPENDED] = "suspended",
                                                          [ENTITLEMENT_CANCELLED] = "cancelled"};

const char *const quota_period_names[PERIOD_COUNT + 1] = {
    [PERIOD_NONE] = "none", [PERIOD_HOUR] = "hour", [PERIOD_DAY] = "day", [PERIOD_MONTH] = "month"};

/* Years 1 to 9999; instants outside are taken as the nearest inside, so that no sum below overflows. */
static const int64_t wall_first = -62135596800000, wall_last = 253402300799999;
static const int64_t hour_ms = 3600000, day_ms = 86400000;

static int64_t wall_clamp(int64_t wall_ms)
{
    return wall_ms < wall_first ? wall_first : wall_ms > wall_last ? wall_last : wall_ms;
}

static int64_t floor_to(int64_t value, int64_t unit)
{
    int64_t rest = value % unit;
    return value - (rest < 0 ? rest + unit : rest);
}

/* The first instant of the month that wall_ms falls in, or of the one behind it. */
static int64_t month_begin(int64_t wall_ms, bool next)
{
    char text[TIME_RFC3339 + 1];
    time_format_rfc3339(wall_ms, text);
    int year = (int)strtol(text, NULL, 10), month = (int)strtol(text + 5, NULL, 10);
    if (next && ++month == 13) {
        month = 1;
        year++;
    }
    int64_t begin;
    snprintf(text, sizeof(text), "%04u-%02u-01T00:00:00Z", (unsigned)year % 100000, (unsigned)month % 100);
    return time_parse_rfc3339(span_of(text), &begin) ? begin : wall_last + 1; /* the year 10000 */
}

int64_t period_begin(enum quota_period period, int64_t wall_ms)
{
    wall_ms = wall_clamp(wall_ms);
    switch (period) {
    case PERIOD_HOUR:
        return floor_to(wall_ms, hour_ms);
    case PERIOD_DAY:
        return floor_to(wall_ms, day_ms);
    case PERIOD_MONTH:
        return month_begin(wall_ms, false);
    default:
        return 0;
    }
}

int64_t period_end(enum quota_period period, int64_t wall_ms)
{
    wall_ms = wall_clamp(wall_ms);
    switch (period) {
    case PERIOD_HOUR:
        return floor_to(wall_ms, hour_ms) + hour_ms;
    case PERIOD_DAY:
        return floor_to(wall_ms, day_ms) + day_ms;
    case PERIOD_MONTH:
        return month_begin(wall_ms, true);
    default:
        return INT64_MAX;
    }
}

int64_t governor_next_due(const struct governor_record *record)
{
    int64_t due = INT64_MAX;
    if (record->boot_due)
        due = record->boot_due;
    if (record->breaker_due && record->breaker_due < due)
        due = record->breaker_due;
    if (record->pending && record->pending->deadline_ms < due)
        due = record->pending->deadline_ms;
    return due;
}

int64_t governor_quota_due(const struct governor_record *record)
{
    return record->quota_used > 0 ? period_end(record->quota_period, record->period_start) : INT64_MAX;
}

void governor_record_done(struct governor_record *record)
{
    free(record->pending);
    free(record->sku_id);
    free(record->policy_state);
    record->pending = NULL;
    record->sku_id = NULL;
    record->policy_state = NULL;
}

void governor_record_copy(struct governor_record *ret, const struct governor_record *record)
{
    *ret = *record;
    if (record->pending) {
        ret->pending = xmalloc(sizeof(*ret->pending));
        *ret->pending = *record->pending;
    }
    ret->sku_id = record->sku_id ? xstrdup(record->sku_id) : NULL;
    ret->policy_state = record->policy_state ? xstrdup(record->policy_state) : NULL;
}

uint32_t shard_of(struct span tenant_id, uint32_t shards)
{
    if (shards <= 1 || tenant_id.len == 0 || span_eq(tenant_id, SPAN("_system")))
        return 0;
    return hash_bucket(tenant_id, SPAN(""), shards);
}

static char *put_number(char *at, uint64_t value)
{
    char digits[20], *start = digits + sizeof(digits);
    do
        *--start = (char)('0' + value % 10);
    while (value /= 10);
    return mempcpy(at, start, (size_t)(digits + sizeof(digits) - start));
}

void receipt_id_of(struct hasher *hasher, uint32_t partition, uint32_t shard, uint64_t number, char ret[UUID_TEXT + 1])
{
    /* 7d6b3c9e-5f0a-4c1e-9b1d-2e8f4a6c0d35 */
    static const uint8_t receipts[16] = {0x7d, 0x6b, 0x3c, 0x9e, 0x5f, 0x0a, 0x4c, 0x1e,
                                         0x9b, 0x1d, 0x2e, 0x8f, 0x4a, 0x6c, 0x0d, 0x35};
    char text[48], *end = put_number(text, partition);
    *end++ = '/';
    end = put_number(end, shard);
    *end++ = '/';
    end = put_number(end, number);
    uuid5(hasher, receipts, (struct span){text, (size_t)(end - text)}, ret);
}
