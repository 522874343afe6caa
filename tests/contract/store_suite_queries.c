/* What the API asks, and retention. */
#include "store_suite_parts.h"

static void ask(struct site *site, struct store_signal *request, const char *tenant, const char *id,
                const char *entitlement)
{
    *request =
        (struct store_signal){.tenant_id = span_of(tenant), .id = span_of(id), .entitlement_id = span_of(entitlement)};
    CHECK_INT(CALL(site->store, signal, request), 0);
}

static void signals(const struct store_suite *suite)
{
    struct site site;
    struct store_signal got;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 4);
    struct batch *batch = batch_new(3, epoch, 0);
    batch_insert(batch, "t", "e1", "s", 1)->accepted_at_ms = 10;
    struct signal_row *row = batch_insert(batch, "t", "e1", "s", 1);
    row->identity.redrive = 2, row->accepted_at_ms = 20, row->status = SIGNAL_DENIED;
    row->reason = SPAN("policy_denied:cost_governance:over_budget");
    row = batch_insert(batch, "t", "e1", "s", 2);
    row->identity.redrive = 2, row->conflict = true, row->status = SIGNAL_DEADLETTERED, row->accepted_at_ms = 99;
    row = batch_insert(batch, "t", "e1", "s", 3);
    row->identity.redrive = 3, row->conflict = true, row->status = SIGNAL_DEADLETTERED, row->accepted_at_ms = 99;
    batch_insert(batch, "t", "e2", "s", 1)->accepted_at_ms = 30;
    batch_insert(batch, "t", "e0", "s", 1)->accepted_at_ms = 5;
    batch_insert(batch, "other", "e9", "s", 1)->accepted_at_ms = 1000;
    row = batch_insert(batch, "t", "e1", "only", 9);
    row->conflict = true, row->status = SIGNAL_DEADLETTERED;
    batch_run(&site, batch);

    ask(&site, &got, "t", "s", "");
    CHECK(got.found && span_is(got.row.identity.entitlement_id, "e2"));
    CHECK_INT(got.partition_of_row, 3);
    CHECK_INT(got.also_count, 2);
    CHECK(got.also_count == 2 && span_is(got.also_under[0], "e0") && span_is(got.also_under[1], "e1"));
    arena_done(&got.req.arena);
    ask(&site, &got, "t", "s", "e1");
    CHECK(got.found && !got.row.conflict);
    CHECK_INT(got.row.identity.redrive, 2);
    CHECK_INT(got.row.status, SIGNAL_DENIED);
    CHECK(span_is(got.row.reason, "policy_denied:cost_governance:over_budget"));
    CHECK_INT(got.also_count, 2);
    arena_done(&got.req.arena);
    ask(&site, &got, "t", "only", "");
    CHECK(got.found && got.row.conflict && got.row.sha256[0] == 9);
    CHECK_INT(got.also_count, 0);
    arena_done(&got.req.arena);
    ask(&site, &got, "t", "s", "e7");
    CHECK(!got.found);
    CHECK_INT(got.also_count, 3);
    arena_done(&got.req.arena);
    ask(&site, &got, "t", "nobody", "");
    CHECK(!got.found);
    CHECK_INT(got.also_count, 0);
    arena_done(&got.req.arena);
    site_close(&site);
}

enum { GOVERNORS = 90 };

/* Three tenants; every ninth is halted, every tenth suspended; those with number 5 wait for two signals. */
static void make_governors(struct site *site)
{
    uint64_t epoch = claim_all(site, "a", 4);
    struct batch *batch = batch_new(2, epoch, 0);
    char tenant[24], name[24];
    for (int i = 0; i < GOVERNORS; i++) {
        snprintf(tenant, sizeof(tenant), "t%d", i % 3);
        snprintf(name, sizeof(name), "e%02d", i / 3);
        struct governor_record *record = batch_governor(batch, tenant, name, true);
        record->state = i % 9 == 0 ? GOVERNOR_HALTED : i % 10 == 0 ? GOVERNOR_SUSPENDED : GOVERNOR_ACTIVE;
        record->failures = (uint32_t)i;
    }
    batch_wait(batch, "t2", "e01", "one", 1);
    batch_wait(batch, "t2", "e01", "two", 2);
    batch_run(site, batch);
}

static size_t list_governors(struct site *site, struct span tenant, int state, uint32_t limit)
{
    char after_tenant[24] = "", after_entitlement[24] = "";
    size_t count = 0;
    bool more = true;
    while (more && count < 1000) {
        struct store_governors page = {.tenant_id = tenant,
                                       .state = state,
                                       .limit = limit,
                                       .after_tenant = span_of(after_tenant),
                                       .after_entitlement = span_of(after_entitlement)};
        CHECK_INT(CALL(site->store, governors, &page), 0);
        CHECK(page.governor_count <= limit && (page.governor_count || !page.more));
        for (size_t i = 0; i < page.governor_count; i++, count++) {
            struct governor_item *item = &page.governors[i];
            int order = span_cmp(span_of(after_tenant), item->tenant_id);
            CHECK(order < 0 || (order == 0 && span_cmp(span_of(after_entitlement), item->entitlement_id) < 0));
            snprintf(after_tenant, sizeof(after_tenant), "%.*s", (int)item->tenant_id.len, item->tenant_id.ptr);
            snprintf(after_entitlement, sizeof(after_entitlement), "%.*s", (int)item->entitlement_id.len,
                     item->entitlement_id.ptr);
            CHECK_INT(item->partition, 2);
            CHECK_INT(item->record.failures, atoi(after_entitlement + 1) * 3 + atoi(after_tenant + 1));
            CHECK_INT(item->waiting, item->record.failures == 5 ? 2 : 0);
            CHECK(state < 0 || (int)item->record.state == state);
            governor_record_done(&item->record);
        }
        more = page.more;
        arena_done(&page.req.arena);
    }
    return count;
}

static void governors(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    CHECK_INT(list_governors(&site, SPAN(""), -1, 10), 0);
    make_governors(&site);
    static const uint32_t limits[] = {1, 7, 30, 1000};
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(list_governors(&site, SPAN(""), -1, limits[i]), GOVERNORS);
        CHECK_INT(list_governors(&site, SPAN("t1"), -1, limits[i]), GOVERNORS / 3);
        CHECK_INT(list_governors(&site, SPAN("t9"), -1, limits[i]), 0);
        CHECK_INT(list_governors(&site, SPAN(""), GOVERNOR_HALTED, limits[i]), 10);
        CHECK_INT(list_governors(&site, SPAN(""), GOVERNOR_SUSPENDED, limits[i]), 8);
        CHECK_INT(list_governors(&site, SPAN(""), GOVERNOR_ACTIVE, limits[i]), 72);
        CHECK_INT(list_governors(&site, SPAN("t0"), GOVERNOR_HALTED, limits[i]), 10);
        CHECK_INT(list_governors(&site, SPAN("t1"), GOVERNOR_HALTED, limits[i]), 0);
        CHECK_INT(list_governors(&site, SPAN("t1"), GOVERNOR_TESTING, limits[i]), 0);
    }
    struct store_governors one = {
        .tenant_id = SPAN("t2"), .entitlement_id = SPAN("e01"), .exact = true, .state = -1, .limit = 1};
    CHECK_INT(CALL(site.store, governors, &one), 0);
    CHECK_INT(one.governor_count, 1);
    CHECK(one.governor_count && one.governors[0].record.failures == 5 && one.governors[0].waiting == 2);
    if (one.governor_count)
        governor_record_done(&one.governors[0].record);
    arena_done(&one.req.arena);
    one = (struct store_governors){
        .tenant_id = SPAN("t2"), .entitlement_id = SPAN("e0"), .exact = true, .state = -1, .limit = 1};
    CHECK_INT(CALL(site.store, governors, &one), 0);
    CHECK_INT(one.governor_count, 0);
    arena_done(&one.req.arena);
    struct store_totals totals = {.taken = 7};
    CHECK_INT(CALL(site.store, totals, &totals), 0);
    CHECK_INT(totals.governors, GOVERNORS);
    CHECK_INT(totals.governors_in[GOVERNOR_ACTIVE], 72);
    CHECK_INT(totals.governors_in[GOVERNOR_HALTED], 10);
    CHECK_INT(totals.governors_in[GOVERNOR_SUSPENDED], 8);
    CHECK_INT(totals.governors_in[GOVERNOR_TESTING], 0);
    site_close(&site);
}

static void totals(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledger;
    struct store_totals got = {0};
    site_open(&site, suite, true);
    CHECK_INT(CALL(site.store, totals, &got), 0);
    CHECK_INT(got.taken + got.governors + got.receipts + got.chains + got.outcomes_open, 0);
    uint64_t epoch = claim_all(&site, "a", 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct batch *batch = batch_new(i, epoch, 0);
        batch->commit.taken = 10 + i, batch->commit.requeued = 2, batch->commit.ended = 5, batch->commit.duplicates = 4;
        batch->commit.waiting = 2, batch->commit.acting = 1;
        for (uint64_t n = 1; n <= 5; n++)
            batch_outcome(batch, 0, n, n % 2 ? "odd" : "even");
        batch_run(&site, batch);
    }
    ledger_open(&ledger, &site, "andon", 0, 1);
    CHECK_INT(ledger_step(&ledger, site.store, 7), 7);
    CHECK_INT(CALL(site.store, totals, &got), 0);
    CHECK_INT(got.taken, 46);
    CHECK_INT(got.requeued, 8);
    CHECK_INT(got.ended, 20);
    CHECK_INT(got.duplicates, 16);
    CHECK_INT(got.waiting, 8);
    CHECK_INT(got.acting, 4);
    CHECK_INT(got.outcomes_open, 13);
    CHECK_INT(got.receipts, 7);
    CHECK_INT(got.chains, 2);
    ledger_close(&ledger);
    site_close(&site);
}

static bool exists(struct site *site, const char *id)
{
    struct store_signal signal;
    ask(site, &signal, "t", id, "e");
    arena_done(&signal.req.arena);
    return signal.found;
}

static uint64_t sweep(struct site *site, uint32_t limit, int slices)
{
    uint64_t deleted = 0;
    for (int i = 0; i < slices; i++) {
        struct store_sweep request = {.retention_ms = 5000, .limit = limit};
        CHECK_INT(CALL(site->store, sweep, &request), 0);
        CHECK(request.deleted <= limit);
        deleted += request.deleted;
    }
    return deleted;
}

/* Ages count on the clock of the partition, as the commits say it. */
static void advance(struct site *site, uint64_t epoch, uint64_t number, int64_t clock_ms)
{
    struct batch *batch = batch_new(0, epoch, number);
    batch->commit.clock_ms = clock_ms;
    batch_run(site, batch);
}

static void end_some(struct site *site, uint64_t epoch, uint64_t number, int first, int last, int64_t clock_ms)
{
    char id[32];
    struct batch *batch = batch_new(0, epoch, number);
    batch->commit.clock_ms = clock_ms;
    for (int i = first; i < last; i++) {
        snprintf(id, sizeof(id), "s-%02d", i);
        struct signal_row *row =
            i % 10 == 9 ? batch_wait(batch, "t", "e", id, (uint64_t)i) : batch_insert(batch, "t", "e", id, 1);
        row->changed_at_ms = i % 2 ? INT64_MAX : INT64_MIN; /* wherever the wall clock was */
        if (i % 10 < 5)
            row->status = (enum signal_status[]){SIGNAL_EXECUTED, SIGNAL_FAILED, SIGNAL_DENIED, SIGNAL_REFUSED,
                                                 SIGNAL_DEADLETTERED}[i % 10];
    }
    batch_run(site, batch);
}

static void retention(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    CHECK_INT(sweep(&site, 10, 2), 0);
    uint64_t epoch = claim_all(&site, "a", 1);
    end_some(&site, epoch, 0, 0, 50, 1000);
    end_some(&site, epoch, 1, 50, 100, 1001);
    CHECK_INT(sweep(&site, 7, 15), 0);
    advance(&site, epoch, 2, 6001);
    /* Of the old ones a tenth each fails, is a dead letter, waits. */
    CHECK_INT(sweep(&site, 7, 15), 35);
    CHECK_INT(sweep(&site, 7, 15), 0);
    for (int i = 0; i < 100; i++) {
        char id[32];
        snprintf(id, sizeof(id), "s-%02d", i);
        int kind = i % 10;
        CHECK_INT(exists(&site, id), i >= 50 || kind == 1 || kind == 4 || kind == 9);
    }
    struct batch *batch = batch_new(0, epoch, 3);
    batch_insert(batch, "t", "e", "a", 1);
    batch_insert(batch, "t", "e", "z", 1);
    batch_run(&site, batch);
    CHECK_INT(sweep(&site, 1000, 2), 2); /* wherever the walk stands: it comes round */
    advance(&site, epoch, 4, 6002);
    CHECK_INT(sweep(&site, 1000, 2), 35);
    site_close(&site);
}

void suite_queries(const struct store_suite *suite)
{
    CASE("queries", signals);
    CASE("queries", governors);
    CASE("depth", totals);
    CASE("retention", retention);
}
