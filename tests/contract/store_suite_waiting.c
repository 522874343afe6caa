/* Rows that wait or act, and timers. */
#include "store_suite_parts.h"

static void order(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(0, epoch, 0);
    char id[32];
    for (uint64_t line = 1; line <= 30; line++) { /* ids in reverse of the lines */
        snprintf(id, sizeof(id), "id-%02d", (int)(99 - line));
        batch_wait(batch, line % 3 ? "t" : "t2", line % 3 == 1 ? "e1" : "e2", id, line);
    }
    batch_run(&site, batch);
    uint64_t after = 0, lines[] = {1, 4, 7, 10, 13, 16, 19, 22, 25, 28};
    for (size_t seen = 0; seen <= 10;) {
        struct store_waiting waiting = {
            .tenant_id = SPAN("t"), .entitlement_id = SPAN("e1"), .after_line = after, .limit = 4};
        CHECK_INT(CALL(site.store, waiting, &waiting), 0);
        CHECK_INT(waiting.row_count, seen < 8 ? 4 : 10 - seen);
        for (size_t i = 0; i < waiting.row_count && seen < 10; i++, seen++) {
            const struct signal_row *row = &waiting.rows[i];
            CHECK_INT(row->line, lines[seen]);
            CHECK_INT(row->status, SIGNAL_WAITING);
            CHECK(span_is(row->identity.tenant_id, "t") && span_is(row->identity.entitlement_id, "e1"));
            snprintf(id, sizeof(id), "id-%02d", (int)(99 - row->line));
            CHECK(span_is(row->identity.id, id));
            CHECK(row->bytes.len == 14 && memcmp(row->bytes.ptr + 9, id, 5) == 0);
            CHECK(row->envelope.len == 13);
            CHECK(span_is(row->reason, "boot"));
            CHECK(row->sha256[31] == 7);
            after = row->line;
        }
        if (!waiting.row_count)
            seen++;
        arena_done(&waiting.req.arena);
    }
    struct store_waiting elsewhere = {.partition = 1, .tenant_id = SPAN("t"), .entitlement_id = SPAN("e1"), .limit = 4};
    CHECK_INT(CALL(site.store, waiting, &elsewhere), 0);
    CHECK_INT(elsewhere.row_count, 0);
    site_close(&site);
}

static void check_load(struct site *site, size_t counts, const char *first, uint64_t first_count, size_t acting)
{
    struct store_load load = {.partition = 0};
    CHECK_INT(CALL(site->store, load, &load), 0);
    CHECK_INT(load.waiting_count, counts);
    if (load.waiting_count) {
        CHECK(span_is(load.waiting[0].tenant_id, "t") && span_is(load.waiting[0].entitlement_id, first));
        CHECK_INT(load.waiting[0].count, first_count);
    }
    CHECK_INT(load.acting_count, acting);
    if (load.acting_count) {
        CHECK(span_is(load.acting[0].identity.id, "one"));
        CHECK(span_is(load.acting[0].bytes, "bytes of one"));
        CHECK_INT(load.acting[0].line, 1);
        CHECK_INT(load.acting[0].outcome_count, 1);
        CHECK_INT(load.acting[0].outcomes[0], 3);
    }
    arena_done(&load.req.arena);
}

static struct signal_row status_of(struct site *site, const char *id)
{
    struct store_signal signal = {.tenant_id = SPAN("t"), .id = span_of(id)};
    CHECK_INT(CALL(site->store, signal, &signal), 0);
    CHECK(signal.found);
    struct signal_row row = signal.row;
    arena_done(&signal.req.arena);
    return row;
}

static void life(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(0, epoch, 0);
    batch_wait(batch, "t", "e1", "one", 1);
    batch_wait(batch, "t", "e1", "two", 2);
    batch_wait(batch, "t", "e2", "three", 3);
    batch_run(&site, batch);
    check_load(&site, 2, "e1", 2, 0);
    batch = batch_new(0, epoch, 1);
    struct signal_row *row = batch_update(batch, "t", "e1", "one", SIGNAL_ACTING);
    row->outcome_count = 1;
    row->outcomes[0] = 3;
    batch_run(&site, batch);
    check_load(&site, 2, "e1", 1, 1);
    site_reopen(&site);
    epoch = claim_all(&site, "b", 2);
    check_load(&site, 2, "e1", 1, 1);
    batch = batch_new(0, epoch, 2);
    row = batch_update(batch, "t", "e1", "one", SIGNAL_EXECUTED);
    row->outcome_count = 2;
    row->outcomes[0] = 4;
    row->outcomes[1] = 5000000000;
    row->changed_at_ms = 777;
    batch_update(batch, "t", "e1", "two", SIGNAL_DEADLETTERED)->reason = SPAN("wait_expired");
    batch_run(&site, batch);
    check_load(&site, 1, "e2", 1, 0);
    struct signal_row ended = status_of(&site, "one");
    CHECK_INT(ended.status, SIGNAL_EXECUTED);
    CHECK_INT(ended.line, 0);
    CHECK_INT(ended.accepted_at_ms, 1000);
    CHECK_INT(ended.changed_at_ms, 777);
    CHECK_INT(ended.outcome_count, 3);
    CHECK(ended.outcomes[0] == 3 && ended.outcomes[1] == 4 && ended.outcomes[2] == 5000000000);
    CHECK_INT(status_of(&site, "two").status, SIGNAL_DEADLETTERED);
    site_close(&site);
}

static void many_outcomes(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    struct batch *batch = batch_new(0, epoch, 0);
    batch_wait(batch, "t", "e", "one", 1);
    batch_run(&site, batch);
    for (uint64_t i = 0; i < 12; i++) {
        batch = batch_new(0, epoch, i + 1);
        struct signal_row *row = batch_update(batch, "t", "e", "one", i < 11 ? SIGNAL_WAITING : SIGNAL_FAILED);
        row->outcome_count = 1;
        row->outcomes[0] = i + 1;
        batch_run(&site, batch);
    }
    struct signal_row row = status_of(&site, "one");
    CHECK_INT(row.outcome_count, SIGNAL_OUTCOMES_MAX);
    CHECK_INT(row.outcomes[0], 1);
    CHECK_INT(row.outcomes[SIGNAL_OUTCOMES_MAX - 2], SIGNAL_OUTCOMES_MAX - 1);
    CHECK_INT(row.outcomes[SIGNAL_OUTCOMES_MAX - 1], 12); /* the ending is among them */
    site_close(&site);
}

struct due {
    int64_t clock_ms, wall_ms;
    uint32_t limit;
    size_t governors, rows;
    const char *first_governor, *first_row;
    int64_t next_due, row_due, quota_due;
};

static void check_due(struct site *site, const struct due *want)
{
    struct store_due due = {.clock_ms = want->clock_ms, .wall_ms = want->wall_ms, .limit = want->limit};
    CHECK_INT(CALL(site->store, due, &due), 0);
    CHECK_INT(due.governor_count, want->governors);
    CHECK_INT(due.row_count, want->rows);
    if (due.governor_count && want->first_governor)
        CHECK(span_is(due.governors[0].entitlement_id, want->first_governor));
    if (due.row_count && want->first_row)
        CHECK(span_is(due.rows[0].identity.id, want->first_row));
    CHECK_INT(due.next_due, want->next_due);
    CHECK_INT(due.row_due, want->row_due);
    CHECK_INT(due.quota_due, want->quota_due);
    arena_done(&due.req.arena);
}

static const int64_t hour = 3600000;

static void make_timers(struct site *site, uint64_t epoch)
{
    struct batch *batch = batch_new(0, epoch, 0);
    struct governor_record *record = batch_governor(batch, "t", "boot", true);
    record->state = GOVERNOR_BOOT;
    record->boot_due = 300;
    record = batch_governor(batch, "t", "halted", true);
    record->state = GOVERNOR_HALTED;
    record->breaker_due = 100;
    record = batch_governor(batch, "t", "quota", true);
    record->quota_period = PERIOD_HOUR;
    record->quota_used = 1;
    record->period_start = 5 * hour;
    record = batch_governor(batch, "t", "both", true);
    record->quota_period = PERIOD_HOUR;
    record->quota_used = 1;
    record->period_start = 7 * hour;
    record->boot_due = 900;
    batch_governor(batch, "t", "neither", true)->quota_period = PERIOD_HOUR;
    batch_wait(batch, "t", "e", "late", 1)->due_ms = 500;
    batch_wait(batch, "t", "e", "early", 2)->due_ms = 200;
    batch_wait(batch, "t", "e", "never", 3);
    batch_run(site, batch);
    batch = batch_new(1, epoch, 0);
    batch_governor(batch, "t", "other", true)->boot_due = 1;
    batch_run(site, batch);
}

static void timers(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    make_timers(&site, epoch);
    struct store_load load = {.partition = 0};
    CHECK_INT(CALL(site.store, load, &load), 0);
    CHECK_INT(load.next_due, 100);
    CHECK_INT(load.row_due, 200);
    CHECK_INT(load.quota_due, 6 * hour);
    arena_done(&load.req.arena);
    check_due(&site, &(struct due){99, 0, 10, 0, 0, NULL, NULL, 100, 200, 6 * hour});
    check_due(&site, &(struct due){200, 0, 10, 1, 1, "halted", "early", 300, 500, 6 * hour});
    check_due(&site, &(struct due){300, 6 * hour, 10, 3, 1, "halted", "early", 900, 500, 8 * hour});
    check_due(&site, &(struct due){500, 0, 1, 1, 1, "halted", "early", 300, 500, 6 * hour});
    check_due(&site, &(struct due){500, 0, 2, 2, 2, "halted", "early", 900, INT64_MAX, 6 * hour});
    check_due(&site, &(struct due){9000, 9 * hour, 10, 4, 2, "halted", "early", INT64_MAX, INT64_MAX, INT64_MAX});
    check_due(&site, &(struct due){9000, 9 * hour, 3, 3, 2, "halted", "early", INT64_MAX, INT64_MAX, 6 * hour});

    struct batch *batch = batch_new(0, epoch, 1);
    batch_governor(batch, "t", "halted", false); /* its timer is gone */
    batch_update(batch, "t", "e", "early", SIGNAL_WAITING)->due_ms = 600;
    batch_update(batch, "t", "e", "late", SIGNAL_EXECUTED);
    batch_run(&site, batch);
    check_due(&site, &(struct due){299, 0, 10, 0, 0, NULL, NULL, 300, 600, 6 * hour});
    check_due(&site, &(struct due){600, 0, 10, 1, 1, "boot", "early", 900, INT64_MAX, 6 * hour});
    struct store_load empty = {.partition = 1};
    CHECK_INT(CALL(site.store, load, &empty), 0);
    CHECK_INT(empty.next_due, 1);
    CHECK_INT(empty.row_due, INT64_MAX);
    CHECK_INT(empty.quota_due, INT64_MAX);
    site_close(&site);
}

static struct signal_row *defer(struct batch *batch, uint32_t deferrals, int64_t due_ms)
{
    struct signal_row *row = batch_update(batch, "t", "e", "first", SIGNAL_WAITING);
    row->reason = SPAN(WAITING_DEFERRED);
    row->deferrals = deferrals;
    row->due_ms = due_ms;
    return row;
}

static int64_t deferred_until(struct site *site, uint64_t lines)
{
    struct store_load load = {.partition = 0};
    CHECK_INT(CALL(site->store, load, &load), 0);
    CHECK_INT(load.waiting_count, 1);
    CHECK_INT(load.waiting[0].count, lines);
    int64_t until = load.waiting[0].deferred_until;
    arena_done(&load.req.arena);
    return until;
}

/* The count of a deferred row and its next try survive; neither does when it waits for something else, or ends. */
static void deferred(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    struct batch *batch = batch_new(0, epoch, 0);
    batch_wait(batch, "t", "e", "first", 1)->due_ms = 900;
    batch_wait(batch, "t", "e", "second", 2)->due_ms = 1000;
    batch_run(&site, batch);
    CHECK_INT(deferred_until(&site, 2), 0);
    batch = batch_new(0, epoch, 1);
    batch->commit.clock_ms = 77;
    defer(batch, 4, 950);
    batch_run(&site, batch);
    site_reopen(&site);
    CHECK_INT(deferred_until(&site, 2), 950);
    struct store_due due = {.clock_ms = 950, .limit = 10};
    CHECK_INT(CALL(site.store, due, &due), 0);
    CHECK_INT(due.row_count, 1);
    CHECK_INT(due.rows[0].deferrals, 4);
    CHECK_INT(due.rows[0].since_ms, 77);
    CHECK(span_is(due.rows[0].reason, WAITING_DEFERRED));
    arena_done(&due.req.arena);
    epoch = claim_all(&site, "a", 1);
    batch = batch_new(0, epoch, 2);
    defer(batch, 4, 2000)->reason = SPAN("");
    batch_run(&site, batch);
    CHECK_INT(deferred_until(&site, 2), 0);
    for (int bad = 0; bad < 2; bad++) {
        batch = batch_new(0, epoch, 3);
        defer(batch, bad, bad ? 0 : 5);
        CHECK_INT(batch_commit(&site, batch), -EINVAL);
        batch_free(batch);
    }
    batch = batch_new(0, epoch, 3);
    defer(batch, 5, 950)->status = SIGNAL_DEADLETTERED;
    batch_run(&site, batch);
    CHECK_INT(deferred_until(&site, 1), 0);
    site_close(&site);
}

void suite_waiting(const struct store_suite *suite)
{
    CASE("order", order);
    CASE("records", life);
    CASE("records", many_outcomes);
    CASE("timers", timers);
    CASE("deferred", deferred);
}
