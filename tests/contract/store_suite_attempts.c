/* Attempts at signals that may end their worker, and frames that never came. */
#include "store_suite_parts.h"

static uint32_t attempts_of(struct site *site, const char *id, bool asked)
{
    uint8_t sha256[SHA256_SIZE] = {0};
    struct lookup_signal signal = {.identity = identity_of("t", "e", id, 0), .sha256 = sha256, .attempts = 99};
    struct store_lookup request = {.partition = 1, .signals = &signal, .signal_count = 1, .attempts = asked};
    CHECK_INT(CALL(site->store, lookup, &request), 0);
    arena_done(&request.req.arena);
    return signal.attempts;
}

static void attempt(struct site *site, uint64_t epoch, uint64_t number, const char *begins, const char *finishes,
                    bool settles)
{
    struct batch *batch = batch_new(1, epoch, number);
    struct identity first = identity_of("t", "e", begins ? begins : "", 0);
    struct identity second = identity_of("t", "e", finishes ? finishes : "", 0);
    batch->commit.attempt_begins = begins ? &first : NULL;
    batch->commit.attempt_finishes = finishes ? &second : NULL;
    batch->commit.settles = settles;
    batch_run(site, batch);
}

static void heartbeat(struct site *site, const char *worker, bool leaving)
{
    struct store_lease request = {.worker = worker, .partitions = 2, .ttl_ms = 60000, .leaving = leaving};
    CHECK_INT(CALL(site->store, lease, &request), 0);
    arena_done(&request.req.arena);
}

/* What the workers before died of counts; what a worker begins under the lease it has does not, however often. */
static void attempts(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    attempt(&site, epoch, 0, "s", NULL, false);
    attempt(&site, epoch, 1, "other", NULL, false);
    attempt(&site, epoch, 2, "s", "other", false);
    CHECK_INT(attempts_of(&site, "s", true), 0);
    site_reopen(&site);
    epoch = claim_all(&site, "b", 2);
    CHECK_INT(attempts_of(&site, "s", true), 1);
    CHECK_INT(attempts_of(&site, "s", false), 0);
    CHECK_INT(attempts_of(&site, "other", true), 0);
    attempt(&site, epoch, 3, "s", NULL, false);
    CHECK_INT(attempts_of(&site, "s", true), 1);
    site_reopen(&site);
    epoch = claim_all(&site, "c", 2);
    CHECK_INT(attempts_of(&site, "s", true), 2);
    attempt(&site, epoch, 4, "other", NULL, false);
    attempt(&site, epoch, 5, NULL, NULL, true);
    site_reopen(&site);
    claim_all(&site, "d", 2);
    CHECK_INT(attempts_of(&site, "s", true), 0);
    CHECK_INT(attempts_of(&site, "other", true), 0);
    site_close(&site);
}

/* A worker that is heard of again did not die of what it had begun under a lease that it lost or gave back. */
static void attempts_withdrawn(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t number = 0;
    for (const char *worker = "a\0b\0"; *worker; worker += 2) {
        attempt(&site, claim_all(&site, worker, 2), number++, "s", NULL, false);
        heartbeat(&site, worker, false); /* it has the lease */
        site_reopen(&site);
    }
    uint64_t epoch = claim_all(&site, "c", 2);
    attempt(&site, epoch, number++, "s", NULL, false);
    CHECK_INT(attempts_of(&site, "s", true), 2);
    heartbeat(&site, "b", false);
    CHECK_INT(attempts_of(&site, "s", true), 1);
    heartbeat(&site, "a", true);
    CHECK_INT(attempts_of(&site, "s", true), 0);
    heartbeat(&site, "c", true);
    heartbeat(&site, "b", true);
    claim_all(&site, "d", 2);
    CHECK_INT(attempts_of(&site, "s", true), 0);
    site_reopen(&site);
    claim_all(&site, "d", 2); /* the same one again, under a new lease */
    CHECK_INT(attempts_of(&site, "s", true), 0);
    site_close(&site);
}

/* --- frames that never came -------------------------------------------------------------------------------------- */

static void take(struct site *site, uint64_t epoch, uint64_t number, struct intake_range range, uint64_t missing)
{
    struct batch *batch = batch_new(1, epoch, number);
    batch->intake[0] = range;
    batch->commit.intake_count = 1;
    batch_run(site, batch);
    CHECK_INT(lease_of(site, "a", 2, 1).missing, missing);
    CHECK_INT(lease_of(site, "a", 2, 0).missing, 0);
    struct store_totals totals = {0};
    CHECK_INT(CALL(site->store, totals, &totals), 0);
    CHECK_INT(totals.missing, missing);
    arena_done(&totals.req.arena);
}

static void missing(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    take(&site, epoch, 0, (struct intake_range){"boot-a", 1, 3, 0}, 0);
    take(&site, epoch, 1, (struct intake_range){"boot-a", 4, 4, 3}, 0);
    take(&site, epoch, 2, (struct intake_range){"boot-a", 7, 8, 4}, 0); /* 5 and 6 may still come */
    take(&site, epoch, 3, (struct intake_range){"boot-a", 9, 9, 8}, 2);
    take(&site, epoch, 4, (struct intake_range){"boot-b", 3, 3, 2}, 4);
    take(&site, epoch, 5, (struct intake_range){"boot-a", 6, 6, 0}, 3);
    take(&site, epoch, 6, (struct intake_range){"boot-b", 1, 2, 0}, 1);
    take(&site, epoch, 7, (struct intake_range){"boot-a", 5, 5, 0}, 0);
    site_close(&site);
}

void suite_attempts(const struct store_suite *suite)
{
    CASE("poison isolation", attempts);
    CASE("poison isolation", attempts_withdrawn);
    CASE("conservation", missing);
}
