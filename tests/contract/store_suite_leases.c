/* Leases of partitions and shards: shares, hand-over, expiry, crashes; fixed values. */
#include "store_suite_parts.h"

#include <unistd.h>

enum { PARTITIONS = 16, WORKERS = 5 };

static const char *const workers[WORKERS] = {"worker-a", "worker-b", "worker-c", "worker-d", "worker-e"};

struct member {
    uint32_t held[PARTITIONS];
    uint32_t count, share;
};

/* One heartbeat that gives back what exceeds the share it was last told. */
static void beat(struct site *site, const char *worker, struct member *member, bool leaving)
{
    uint32_t excess = member->share && member->count > member->share ? member->count - member->share : 0;
    struct store_lease lease = {.worker = worker,
                                .partitions = PARTITIONS,
                                .ttl_ms = 600000,
                                .leaving = leaving,
                                .release = member->held + member->count - excess,
                                .release_count = excess};
    CHECK_INT(CALL(site->store, lease, &lease), 0);
    member->count = lease.lease_count;
    member->share = lease.share;
    for (uint32_t i = 0; i < lease.lease_count; i++) {
        member->held[i] = lease.leases[i].partition;
        CHECK_INT(lease.leases[i].crashes, 0);
        CHECK(i == 0 || member->held[i] > member->held[i - 1]);
    }
    arena_done(&lease.req.arena);
}

static void check_spread(const struct member *members, int count)
{
    bool taken[PARTITIONS] = {false};
    uint32_t sum = 0;
    for (int w = 0; w < count; w++) {
        CHECK_INT(members[w].share, (PARTITIONS + count - 1) / count);
        CHECK(members[w].count <= members[w].share);
        sum += members[w].count;
        for (uint32_t i = 0; i < members[w].count; i++) {
            CHECK(!taken[members[w].held[i]]);
            taken[members[w].held[i]] = true;
        }
    }
    CHECK_INT(sum, PARTITIONS);
}

static void shares(const struct store_suite *suite)
{
    struct site site;
    struct member members[WORKERS] = {0};
    site_open(&site, suite, true);
    for (int count = 1; count <= WORKERS; count++) {
        for (int round = 0; round < 3; round++)
            for (int w = 0; w < count; w++)
                beat(&site, workers[w], &members[w], false);
        check_spread(members, count);
    }
    /* One leaves cleanly: the others share again, nothing counts as a crash. */
    beat(&site, workers[WORKERS - 1], &members[WORKERS - 1], true);
    CHECK_INT(members[WORKERS - 1].count, 0);
    for (int round = 0; round < 3; round++)
        for (int w = 0; w < WORKERS - 1; w++)
            beat(&site, workers[w], &members[w], false);
    check_spread(members, WORKERS - 1);
    site_close(&site);
}

static void take_leases(struct site *site, struct store_lease *request, const char *worker, int64_t ttl_ms)
{
    arena_done(&request->req.arena);
    *request = (struct store_lease){.worker = worker, .partitions = 4, .ttl_ms = ttl_ms};
    CHECK_INT(CALL(site->store, lease, request), 0);
}

static void expiry(const struct store_suite *suite)
{
    struct site site;
    struct store_lease request = {0};
    site_open(&site, suite, true);
    take_leases(&site, &request, "a", 1);
    CHECK_INT(request.lease_count, 4);
    uint64_t epoch = request.leases[2].epoch;
    CHECK(request.leases[2].claimed);
    CHECK_INT(request.leases[2].crashes, 0);
    CHECK_INT(request.leases[2].next_line, 1);
    usleep(20000);
    /* Late, but nobody took it: it goes on under the same epoch. */
    take_leases(&site, &request, "a", 1);
    CHECK_INT(request.lease_count, 4);
    CHECK(!request.leases[2].claimed);
    CHECK_INT(request.leases[2].epoch, epoch);
    usleep(20000);
    take_leases(&site, &request, "b", 600000);
    CHECK_INT(request.lease_count, 4);
    CHECK_INT(request.share, 4);
    CHECK(request.leases[2].claimed);
    CHECK_INT(request.leases[2].epoch, epoch + 1);
    CHECK_INT(request.leases[2].crashes, 1);
    /* The late one has nothing any more, and its commits do not get through. */
    struct batch *batch = batch_new(2, epoch, 0);
    CHECK_INT(batch_commit(&site, batch), -ESTALE);
    batch_free(batch);
    take_leases(&site, &request, "a", 600000);
    CHECK_INT(request.lease_count, 0);
    CHECK_INT(request.share, 2);
    arena_done(&request.req.arena);
    site_close(&site);
}

/* A heartbeat in time keeps what would have run out. */
static void renewal(const struct store_suite *suite)
{
    struct site site;
    struct store_lease request = {0};
    site_open(&site, suite, true);
    take_leases(&site, &request, "a", 1000);
    usleep(600000);
    take_leases(&site, &request, "a", 1000);
    CHECK_INT(request.lease_count, 4);
    usleep(600000);
    take_leases(&site, &request, "b", 1000);
    CHECK_INT(request.lease_count, 0);
    CHECK_INT(request.share, 2);
    arena_done(&request.req.arena);
    site_close(&site);
}

static void crashes_settle(const struct store_suite *suite)
{
    struct site site;
    struct store_lease request = {0};
    site_open(&site, suite, true);
    for (uint32_t crashes = 0; crashes < 3; crashes++) {
        take_leases(&site, &request, "a", 600000);
        CHECK_INT(request.lease_count, 4);
        CHECK(request.lease_count && request.leases[0].claimed);
        CHECK_INT(request.leases[0].crashes, crashes);
        CHECK_INT(request.leases[0].epoch, crashes + 1);
        site_reopen(&site); /* under the same name, and long before the term ends */
    }
    take_leases(&site, &request, "b", 600000);
    uint64_t epoch = request.leases[0].epoch;
    struct batch *batch = batch_new(0, epoch, 0);
    batch->commit.settles = true;
    batch_run(&site, batch);
    take_leases(&site, &request, "b", 600000);
    CHECK_INT(request.leases[0].crashes, 0);
    CHECK_INT(request.leases[0].batch, 1);
    CHECK_INT(request.leases[1].crashes, 3);
    CHECK(!request.leases[0].claimed);
    arena_done(&request.req.arena);
    site_close(&site);
}

static void release(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 4);
    const uint32_t given[] = {1, 3};
    struct store_lease request = {
        .worker = "a", .partitions = 4, .ttl_ms = 600000, .release = given, .release_count = 2};
    CHECK_INT(CALL(site.store, lease, &request), 0);
    CHECK_INT(request.lease_count, 2);
    CHECK_INT(request.leases[1].partition, 2);
    arena_done(&request.req.arena);
    /* Given back means given back: no commit of the former owner gets in. */
    struct batch *batch = batch_new(1, epoch, 0);
    CHECK_INT(batch_commit(&site, batch), -ESTALE);
    batch_free(batch);
    /* Releasing what one does not hold changes nothing. */
    request = (struct store_lease){
        .worker = "b", .partitions = 4, .ttl_ms = 600000, .release = (const uint32_t[]){0}, .release_count = 1};
    CHECK_INT(CALL(site.store, lease, &request), 0);
    CHECK_INT(request.lease_count, 2);
    CHECK_INT(request.leases[0].partition, 1);
    CHECK_INT(request.leases[0].epoch, epoch + 1);
    CHECK_INT(request.leases[0].crashes, 0);
    arena_done(&request.req.arena);
    lease_of(&site, "a", 4, 0);
    site_close(&site);
}

static void shard_leases(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    claim_all(&site, "a", 4); /* partitions and shards do not know of each other */
    struct store_shards request = {.worker = "a", .shards = 3, .ttl_ms = 600000};
    CHECK_INT(CALL(site.store, shards, &request), 0);
    CHECK_INT(request.head_count, 3);
    CHECK_INT(request.share, 3);
    CHECK(request.heads[2].claimed);
    CHECK_INT(request.heads[2].shard, 2);
    CHECK_INT(request.heads[2].size, 0);
    CHECK_INT(request.heads[2].frontier_count, 0);
    arena_done(&request.req.arena);
    request = (struct store_shards){.worker = "b", .shards = 3, .ttl_ms = 600000};
    CHECK_INT(CALL(site.store, shards, &request), 0);
    CHECK_INT(request.head_count, 0);
    CHECK_INT(request.share, 2);
    arena_done(&request.req.arena);
    request = (struct store_shards){
        .worker = "a", .shards = 3, .ttl_ms = 600000, .release = (const uint32_t[]){0}, .release_count = 1};
    CHECK_INT(CALL(site.store, shards, &request), 0);
    CHECK_INT(request.head_count, 2);
    CHECK(!request.heads[0].claimed);
    arena_done(&request.req.arena);
    request = (struct store_shards){.worker = "b", .shards = 3, .ttl_ms = 600000};
    CHECK_INT(CALL(site.store, shards, &request), 0);
    CHECK_INT(request.head_count, 1);
    CHECK_INT(request.heads[0].epoch, 2);
    arena_done(&request.req.arena);
    request = (struct store_shards){.worker = "a", .shards = 3, .ttl_ms = 600000, .leaving = true};
    CHECK_INT(CALL(site.store, shards, &request), 0);
    CHECK_INT(request.head_count, 0);
    arena_done(&request.req.arena);
    site_close(&site);
}

static void fixed_values(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    struct store_fix fix = {.name = "partitions", .value = 16};
    CHECK_INT(CALL(site.store, fix, &fix), 0);
    CHECK_INT(fix.stored, 16);
    fix = (struct store_fix){.name = "shards", .value = 2};
    CHECK_INT(CALL(site.store, fix, &fix), 0);
    CHECK_INT(fix.stored, 2);
    site_reopen(&site);
    fix = (struct store_fix){.name = "partitions", .value = 8};
    CHECK_INT(CALL(site.store, fix, &fix), 0);
    CHECK_INT(fix.stored, 16);
    arena_done(&fix.req.arena);
    site_close(&site);
}

static void heartbeats_refused(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    struct store_lease lease_request = {.worker = "", .partitions = 4, .ttl_ms = 1};
    CHECK_INT(CALL(site.store, lease, &lease_request), -EINVAL);
    CHECK(lease_request.req.error != NULL);
    lease_request = (struct store_lease){.worker = "a", .partitions = STORE_PARTITIONS_MAX + 1, .ttl_ms = 1};
    CHECK_INT(CALL(site.store, lease, &lease_request), -EINVAL);
    struct store_waiting waiting = {.tenant_id = SPAN("t"), .entitlement_id = SPAN("e"), .limit = 0};
    CHECK_INT(CALL(site.store, waiting, &waiting), -EINVAL);
    struct store_receipts receipts = {.limit = 1001};
    CHECK_INT(CALL(site.store, receipts, &receipts), -EINVAL);
    struct store_signal signal = {.tenant_id = SPAN("t")};
    CHECK_INT(CALL(site.store, signal, &signal), -EINVAL);
    site_close(&site);
}

void suite_leases(const struct store_suite *suite)
{
    CASE("lease hand-over", shares);
    CASE("lease hand-over", expiry);
    CASE("lease hand-over", renewal);
    CASE("poison isolation", crashes_settle);
    CASE("lease hand-over", release);
    CASE("lease hand-over", shard_leases);
    CASE("records", fixed_values);
    CASE("bad requests", heartbeats_refused);
}
