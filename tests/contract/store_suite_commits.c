/* The one transaction: fencing, all or nothing, look-ups, records, outcome numbers. */
#include "store_suite_parts.h"

static void commit_fence(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    struct batch *batch = batch_new(0, 1, 0);
    CHECK_INT(batch_commit(&site, batch), -ESTALE); /* nobody holds it */
    uint64_t epoch = claim_all(&site, "a", 4);
    batch->commit.epoch = epoch + 1;
    CHECK_INT(batch_commit(&site, batch), -ESTALE);
    batch->commit.epoch = epoch;
    batch->commit.batch = 1;
    CHECK_INT(batch_commit(&site, batch), -ESTALE);
    batch->commit.batch = 0;
    batch_insert(batch, "t", "e", "one", 1);
    CHECK_INT(batch_commit(&site, batch), 0);
    CHECK_INT(batch_commit(&site, batch), -ESTALE); /* as after a lost reply: it is in, once */
    batch_free(batch);
    site_reopen(&site);
    batch = batch_new(0, epoch, 1);
    batch_insert(batch, "t", "e", "two", 1);
    claim_all(&site, "b", 4);
    CHECK_INT(batch_commit(&site, batch), -ESTALE);
    batch->commit.epoch = epoch + 1;
    CHECK_INT(batch_commit(&site, batch), 0);
    batch_free(batch);
    site_close(&site);
}

/* Whoever dies before the answer does not know. The next one reads the partition's batch: it says whether the commit is
 * in, and what is in is not done again. */
static void reply_lost(const struct store_suite *suite)
{
    for (unsigned round = 0; round < 8; round++) {
        struct site site;
        struct answer never = {0};
        site_open(&site, suite, true);
        uint64_t epoch = claim_all(&site, "a", 2);
        struct batch *batch = batch_new(0, epoch, 0);
        batch_insert(batch, "t", "e", "one", 1);
        batch_outcome(batch, 0, 1, "t");
        batch->commit.taken = batch->commit.ended = 1;
        batch->commit.req.done = answer_done;
        batch->commit.req.ctx = &never;
        store_commit(site.store, &batch->commit);
        if (round % 2) {
            site_reopen(&site); /* the process dies */
        } else {
            struct error err;
            store_close(site.store); /* or only does not read the answer */
            CHECK_INT(store_open(site.backend, &site.store, &err), 0);
        }
        CHECK(!never.done);
        batch_free(batch);
        struct lease lease = lease_of(&site, "a", 2, 0);
        CHECK(lease.batch <= 1);
        CHECK_INT(lease.taken, lease.batch);
        CHECK_INT(lease.outcomes_open, lease.batch);
        batch = batch_new(0, lease.epoch, 0); /* as if nothing were known */
        batch_insert(batch, "t", "e", "one", 1);
        batch_outcome(batch, 0, 1, "t");
        batch->commit.taken = batch->commit.ended = 1;
        CHECK_INT(batch_commit(&site, batch), lease.batch ? -ESTALE : 0);
        batch_free(batch);
        lease = lease_of(&site, "a", 2, 0);
        CHECK_INT(lease.batch, 1);
        CHECK_INT(lease.ended, 1);
        CHECK_INT(lease.outcomes_open, 1);
        site_close(&site);
    }
}

static void counters(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 4);
    struct batch *batch = batch_new(3, epoch, 0);
    batch->commit.clock_ms = 5000;
    batch->commit.taken = 10, batch->commit.requeued = 1, batch->commit.ended = 6, batch->commit.duplicates = 2;
    batch->commit.waiting = 2, batch->commit.acting = 1, batch->commit.next_line = 77;
    batch_governor(batch, "t", "e", true);
    batch_outcome(batch, 0, 1, "t");
    batch_outcome(batch, 1, 1, "t");
    batch_run(&site, batch);
    batch = batch_new(3, epoch, 1);
    batch->commit.clock_ms = 4000; /* never back */
    batch->commit.waiting = -2, batch->commit.ended = 2, batch->commit.next_line = 78;
    batch_run(&site, batch);
    struct lease lease = lease_of(&site, "a", 4, 3);
    CHECK_INT(lease.batch, 2);
    CHECK_INT(lease.clock_ms, 5000);
    CHECK_INT(lease.taken, 10);
    CHECK_INT(lease.requeued, 1);
    CHECK_INT(lease.ended, 8);
    CHECK_INT(lease.duplicates, 2);
    CHECK_INT(lease.waiting, 0);
    CHECK_INT(lease.acting, 1);
    CHECK_INT(lease.governors, 1);
    CHECK_INT(lease.next_line, 78);
    CHECK_INT(lease.outcomes_open, 2);
    CHECK_INT(lease_of(&site, "a", 4, 2).outcomes_open, 0);
    site_close(&site);
}

/* A batch with everything in it, of which one thing is wrong. */
static struct batch *mixed(uint64_t epoch, uint64_t number)
{
    struct batch *batch = batch_new(0, epoch, number);
    char id[32];
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "new-%d", i);
        batch_insert(batch, "t", "e", id, 1)->outcomes[0] = 2;
        batch_outcome(batch, 0, 2 + (uint64_t)i, "t");
    }
    batch_update(batch, "t", "e", "waits", SIGNAL_ACTING);
    batch_governor(batch, "t", "known", false)->failures = 4;
    batch_governor(batch, "t", "new", true);
    batch->commit.taken = 20;
    batch->intake[0] = (struct intake_range){.boot = "0123456789abcdef", .first = 1, .last = 1};
    batch->commit.intake_count = 1;
    batch->commit.next_line = 2;
    return batch;
}

static void check_untouched(struct site *site)
{
    struct lookup_signal signals[2] = {{.identity = identity_of("t", "e", "new-0", 0), .sha256 = (uint8_t[32]){0}},
                                       {.identity = identity_of("t", "e", "waits", 0), .sha256 = (uint8_t[32]){0}}};
    struct lookup_governor governors[2] = {{.tenant_id = SPAN("t"), .entitlement_id = SPAN("known")},
                                           {.tenant_id = SPAN("t"), .entitlement_id = SPAN("new")}};
    struct store_lookup lookup = {.signals = signals, .signal_count = 2, .governors = governors, .governor_count = 2};
    CHECK_INT(CALL(site->store, lookup, &lookup), 0);
    CHECK(!signals[0].found);
    CHECK(signals[1].found);
    CHECK_INT(signals[1].status, SIGNAL_WAITING);
    CHECK(governors[0].found && governors[0].record.failures == 0);
    CHECK(!governors[1].found);
    CHECK_INT(governors[1].tenant_governors, 1);
    CHECK_INT(lookup.governors_total, 1);
    governor_record_done(&governors[0].record);
    arena_done(&lookup.req.arena);
    struct lease lease = lease_of(site, "a", 1, 0);
    CHECK_INT(lease.batch, 1);
    CHECK_INT(lease.taken, 0);
    CHECK_INT(lease.outcomes_open, 1);
    struct store_outcome_numbers numbers = {.shards = 1};
    CHECK_INT(CALL(site->store, outcome_numbers, &numbers), 0);
    CHECK_INT(numbers.next[0], 2);
    arena_done(&numbers.req.arena);
}

static void all_or_nothing(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    struct batch *batch = batch_new(0, epoch, 0);
    batch_wait(batch, "t", "e", "waits", 1);
    batch_governor(batch, "t", "known", true);
    batch_outcome(batch, 0, 1, "t");
    batch_run(&site, batch);
    for (int wrong = 0; wrong < 8; wrong++) {
        int expected = wrong % 2 ? -ENOENT : -EEXIST;
        batch = mixed(epoch, 1);
        if (wrong == 0)
            batch_insert(batch, "t", "e", "waits", 9);
        else if (wrong == 1)
            batch_update(batch, "t", "e", "unknown", SIGNAL_EXECUTED);
        else if (wrong == 2)
            batch_governor(batch, "t", "known", true);
        else if (wrong == 3)
            batch_governor(batch, "t", "unknown", false);
        else if (wrong == 4)
            batch_insert(batch, "t", "e", "new-19", 1); /* twice in one batch */
        else if (wrong == 5)
            batch_update(batch, "t", "e", "waits", SIGNAL_EXECUTED)->conflict = true;
        else {
            expected = -EINVAL;
            batch->outcomes[wrong == 6 ? 0 : 19].number++; /* a gap before, a gap inside */
        }
        CHECK_INT(batch_commit(&site, batch), expected);
        CHECK(batch->commit.req.error != NULL);
        batch_free(batch);
        check_untouched(&site);
    }
    batch_run(&site, mixed(epoch, 1));
    site_close(&site);
}

static void look_up(struct site *site, size_t count, int known)
{
    uint8_t same[32], other[32];
    memset(same, 1, sizeof(same));
    memset(other, 2, sizeof(other));
    struct lookup_signal signals[70];
    char ids[70][32];
    for (size_t i = 0; i < count; i++) {
        snprintf(ids[i], sizeof(ids[i]), "s-%zu", i);
        signals[i] = (struct lookup_signal){
            .identity = identity_of("t", "e", ids[i], 0), .sha256 = i % 2 ? same : other, .found = true};
    }
    struct store_lookup lookup = {.signals = signals, .signal_count = count};
    CHECK_INT(CALL(site->store, lookup, &lookup), 0);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(signals[i].found, (int)i < known);
        CHECK_INT(signals[i].same_hash, (int)i < known && i % 2);
        CHECK(!signals[i].conflict_known);
        CHECK(!signals[i].redrivable);
    }
    arena_done(&lookup.req.arena);
}

static struct lookup_signal look_up_one(struct site *site, struct identity identity, uint8_t hash)
{
    uint8_t sha256[32];
    memset(sha256, hash, sizeof(sha256));
    struct lookup_signal signal = {.identity = identity, .sha256 = sha256};
    struct store_lookup lookup = {.signals = &signal, .signal_count = 1};
    CHECK_INT(CALL(site->store, lookup, &lookup), 0);
    arena_done(&lookup.req.arena);
    return signal;
}

static void conflicts_and_redrives(struct site *site, uint64_t epoch)
{
    struct batch *batch = batch_new(0, epoch, 1);
    struct signal_row *row = batch_insert(batch, "t", "e", "s-0", 3);
    row->conflict = true;
    row->status = SIGNAL_DEADLETTERED;
    static const enum signal_status endings[] = {SIGNAL_EXECUTED, SIGNAL_FAILED, SIGNAL_DENIED, SIGNAL_REFUSED,
                                                 SIGNAL_DEADLETTERED};
    char id[32];
    for (size_t i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "end-%zu", i);
        batch_insert(batch, "t", "e", id, 1)->status = endings[i];
    }
    batch_insert(batch, "t2", "e", "s-0", 4); /* another tenant's has nothing to do with it */
    batch_run(site, batch);
    struct lookup_signal signal = look_up_one(site, identity_of("t", "e", "s-0", 0), 1);
    CHECK(signal.found && signal.same_hash && !signal.conflict_known && signal.status == SIGNAL_EXECUTED);
    signal = look_up_one(site, identity_of("t", "e", "s-0", 0), 2);
    CHECK(signal.found && !signal.same_hash && !signal.conflict_known);
    signal = look_up_one(site, identity_of("t", "e", "s-0", 0), 3);
    CHECK(signal.found && signal.same_hash && signal.conflict_known && signal.status == SIGNAL_DEADLETTERED);
    signal = look_up_one(site, identity_of("t", "e2", "s-0", 0), 1);
    CHECK(!signal.found);
    signal = look_up_one(site, identity_of("t", "e", "nowhere", 1), 1);
    CHECK(!signal.found && !signal.redrivable);
    for (size_t i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "end-%zu", i);
        signal = look_up_one(site, identity_of("t", "e", id, 1), 1);
        CHECK(!signal.found);
        CHECK_INT(signal.redrivable, endings[i] == SIGNAL_FAILED || endings[i] == SIGNAL_DEADLETTERED);
        CHECK(!look_up_one(site, identity_of("t", "e", id, 2), 1).redrivable);
    }
}

static void lookups(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    struct batch *batch = batch_new(0, epoch, 0);
    char id[32];
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof(id), "s-%d", i);
        batch_insert(batch, "t", "e", id, 1);
    }
    batch_run(&site, batch);
    static const size_t counts[] = {0, 1, 15, 16, 17, 33, 70};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        look_up(&site, counts[i], 40);
    conflicts_and_redrives(&site, epoch);
    site_close(&site);
}

static struct governor_record full_record(int i)
{
    struct governor_record record = {.state = i % 2 ? GOVERNOR_ACTION_PENDING : GOVERNOR_HALTED,
                                     .entitlement = ENTITLEMENT_CANCELLED,
                                     .quota_period = PERIOD_MONTH,
                                     .opened_by = OPENED_BY_OPERATOR,
                                     .refund_open = true,
                                     .failures = 3000000000U,
                                     .quota_limit = INT64_MAX,
                                     .quota_used = i,
                                     .period_start = 1767225600000,
                                     .boot_due = 17,
                                     .breaker_due = i % 2 ? 0 : INT64_MAX,
                                     .last_entitlement_event_at = INT64_MIN,
                                     .last_refund_event_at = -1,
                                     .halt_alert_at = 12,
                                     .halt_alert_count = 4000000000U,
                                     .last_signal_at = 1767225600001,
                                     .created_at = 1,
                                     .updated_at = INT64_MAX};
    if (i % 2) {
        record.pending = xcalloc(1, sizeof(*record.pending));
        *record.pending = (struct governor_pending){.attempt = 7, .deadline_ms = INT64_MAX, .probe = i % 4 == 1};
        snprintf(record.pending->action_id, sizeof(record.pending->action_id), "0190b3c9-5f0a-7c1e-9b1d-2e8f4a6c0d35");
        snprintf(record.pending->policy, sizeof(record.pending->policy), "cost \"%d\"", i);
        snprintf(record.pending->action, sizeof(record.pending->action), "none");
        memset(record.pending->signal_id, 'x', 128);
        record.pending->redrive = UINT32_MAX;
        record.sku_id = xstrdup("sku");
        record.policy_state = xstrdup("{\"cost\":{\"spent\":1}}");
    }
    return record;
}

static bool text_eq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_record(const struct governor_record *got, const struct governor_record *want)
{
    CHECK_INT(got->state, want->state);
    CHECK_INT(got->entitlement, want->entitlement);
    CHECK_INT(got->quota_period, want->quota_period);
    CHECK_INT(got->opened_by, want->opened_by);
    CHECK_INT(got->refund_open, want->refund_open);
    CHECK_INT(got->failures, want->failures);
    CHECK_INT(got->quota_limit, want->quota_limit);
    CHECK_INT(got->quota_used, want->quota_used);
    CHECK_INT(got->period_start, want->period_start);
    CHECK_INT(got->boot_due, want->boot_due);
    CHECK_INT(got->breaker_due, want->breaker_due);
    CHECK_INT(got->last_entitlement_event_at, want->last_entitlement_event_at);
    CHECK_INT(got->last_refund_event_at, want->last_refund_event_at);
    CHECK_INT(got->halt_alert_at, want->halt_alert_at);
    CHECK_INT(got->halt_alert_count, want->halt_alert_count);
    CHECK_INT(got->last_signal_at, want->last_signal_at);
    CHECK_INT(got->created_at, want->created_at);
    CHECK_INT(got->updated_at, want->updated_at);
    CHECK(text_eq(got->sku_id, want->sku_id));
    CHECK(text_eq(got->policy_state, want->policy_state));
    CHECK(!got->pending == !want->pending);
    if (!got->pending || !want->pending)
        return;
    CHECK(text_eq(got->pending->action_id, want->pending->action_id));
    CHECK(text_eq(got->pending->policy, want->pending->policy));
    CHECK(text_eq(got->pending->action, want->pending->action));
    CHECK(text_eq(got->pending->signal_id, want->pending->signal_id));
    CHECK_INT(got->pending->attempt, want->pending->attempt);
    CHECK_INT(got->pending->deadline_ms, want->pending->deadline_ms);
    CHECK_INT(got->pending->probe, want->pending->probe);
    CHECK_INT(got->pending->redrive, want->pending->redrive);
}

enum { RECORDS = 40 };

/* first..RECORDS as full records, those from `known` on inserted. */
static void commit_records(struct site *site, uint64_t epoch, uint64_t number, int first, int known)
{
    struct batch *batch = batch_new(0, epoch, number);
    char name[32];
    for (int i = first; i < RECORDS; i++) {
        snprintf(name, sizeof(name), "e-%d", i);
        *batch_governor(batch, "t", name, i >= known) = full_record(i + (int)number);
    }
    int status = batch_commit(site, batch);
    CHECK_INT(status, 0);
    for (size_t i = 0; i < batch->commit.governor_count; i++)
        governor_record_done(&batch->records[i]);
    batch_free(batch);
}

static void records(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    struct batch *batch = batch_new(0, epoch, 0);
    char names[RECORDS][32];
    for (int i = 0; i < 23; i++) {
        snprintf(names[i], sizeof(names[i]), "e-%d", i);
        batch_governor(batch, "t", names[i], true);
    }
    batch_governor(batch, "t2", "e-0", true);
    batch_run(&site, batch);
    commit_records(&site, epoch, 1, 0, 23); /* 23 change, 17 are new */
    site_reopen(&site);
    struct lookup_governor governors[RECORDS + 1];
    for (int i = 0; i < RECORDS; i++) {
        snprintf(names[i], sizeof(names[i]), "e-%d", i);
        governors[i] = (struct lookup_governor){.tenant_id = SPAN("t"), .entitlement_id = span_of(names[i])};
    }
    governors[RECORDS] = (struct lookup_governor){.tenant_id = SPAN("t"), .entitlement_id = SPAN("none")};
    struct store_lookup lookup = {.governors = governors, .governor_count = RECORDS + 1};
    CHECK_INT(CALL(site.store, lookup, &lookup), 0);
    for (int i = 0; i < RECORDS; i++) {
        CHECK(governors[i].found);
        struct governor_record want = full_record(i + 1);
        if (governors[i].found)
            check_record(&governors[i].record, &want);
        governor_record_done(&want);
        governor_record_done(&governors[i].record);
    }
    CHECK(!governors[RECORDS].found);
    CHECK_INT(governors[RECORDS].tenant_governors, RECORDS);
    CHECK_INT(lookup.governors_total, RECORDS + 1);
    arena_done(&lookup.req.arena);
    site_close(&site);
}

static void outcome_numbers(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    for (uint64_t i = 0; i < 3; i++) {
        struct batch *batch = batch_new(1, epoch, i);
        batch_outcome(batch, 2, 2 * i + 1, "t2");
        batch_outcome(batch, 0, i + 1, "t0");
        batch_outcome(batch, 2, 2 * i + 2, "t2");
        batch_run(&site, batch);
    }
    site_reopen(&site);
    for (uint32_t partition = 0; partition < 2; partition++) {
        struct store_outcome_numbers numbers = {.partition = partition, .shards = 4};
        CHECK_INT(CALL(site.store, outcome_numbers, &numbers), 0);
        CHECK_INT(numbers.next[0], partition ? 4 : 1);
        CHECK_INT(numbers.next[1], 1);
        CHECK_INT(numbers.next[2], partition ? 7 : 1);
        CHECK_INT(numbers.next[3], 1);
        arena_done(&numbers.req.arena);
    }
    site_close(&site);
}

static void commits_refused(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    char no_object[] = "no object";
    for (int wrong = 0; wrong < 9; wrong++) {
        struct batch *batch = batch_new(0, epoch, 0);
        struct signal_row *row = batch_insert(batch, "t", "e", "s", 1);
        struct governor_record *record = batch_governor(batch, "t", "e", true);
        if (wrong == 0)
            row->identity.id = SPAN("");
        else if (wrong == 1)
            row->status = SIGNAL_STATUS_COUNT;
        else if (wrong == 2)
            row->outcome_count = SIGNAL_OUTCOMES_MAX + 1;
        else if (wrong == 3)
            row->status = SIGNAL_WAITING; /* without a line */
        else if (wrong == 4)
            record->state = GOVERNOR_ACTION_PENDING; /* without its action */
        else if (wrong == 5)
            record->quota_used = -1;
        else if (wrong == 6)
            record->policy_state = no_object;
        else if (wrong == 7)
            batch->commit.next_line = 0;
        else
            row->outcome_count = 2, row->outcomes[0] = row->outcomes[1] = 5;
        CHECK_INT(batch_commit(&site, batch), -EINVAL);
        CHECK(batch->commit.req.error != NULL);
        batch_free(batch);
    }
    CHECK_INT(lease_of(&site, "a", 1, 0).batch, 0);
    site_close(&site);
}

void suite_commits(const struct store_suite *suite)
{
    CASE("commit-unknown", commit_fence);
    CASE("commit-unknown", reply_lost);
    CASE("depth", counters);
    CASE("one transaction", all_or_nothing);
    CASE("redelivery", lookups);
    CASE("records", records);
    CASE("order", outcome_numbers);
    CASE("bad requests", commits_refused);
}
