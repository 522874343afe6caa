/* Rows that cannot be true are refused with a message, never served as good; and threads at work at once. */
#include "store_suite_parts.h"

#include <pthread.h>

static void make_data(struct site *site)
{
    struct ledger ledger;
    uint64_t epoch = claim_all(site, "a", 2);
    struct batch *batch = batch_new(0, epoch, 0);
    struct signal_row *row = batch_insert(batch, "t", "e", "ended", 1);
    row->outcome_count = 2;
    row->outcomes[0] = 1, row->outcomes[1] = 2;
    batch_wait(batch, "t", "e", "waits", 1)->due_ms = 10;
    batch_governor(batch, "t", "e", true)->quota_used = 3;
    struct governor_pending pending = {.action_id = "id", .policy = "p", .action = "none", .signal_id = "s"};
    struct governor_record *record = batch_governor(batch, "t", "acts", true);
    record->state = GOVERNOR_ACTION_PENDING;
    record->pending = &pending;
    for (uint64_t n = 1; n <= 12; n++)
        batch_outcome(batch, 0, n, "t");
    batch_run(site, batch);
    ledger_open(&ledger, site, "andon", 0, 1);
    CHECK_INT(ledger_step(&ledger, site->store, 5), 5);
    ledger_close(&ledger);
}

static int say(struct store_request *request, int status)
{
    if (status == -EUCLEAN)
        CHECK(request->error && *request->error);
    arena_done(&request->arena);
    return status;
}

static int ask_signal(struct site *site)
{
    struct store_signal request = {.tenant_id = SPAN("t"), .id = SPAN("ended")};
    int status = CALL(site->store, signal, &request);
    return say(&request.req, status);
}

static int ask_lookup(struct site *site)
{
    uint8_t sha256[SHA256_SIZE] = {0};
    struct lookup_signal signal = {.identity = identity_of("t", "e", "ended", 0), .sha256 = sha256};
    struct lookup_governor governors[] = {{.tenant_id = SPAN("t"), .entitlement_id = SPAN("e")},
                                          {.tenant_id = SPAN("t"), .entitlement_id = SPAN("acts")}};
    struct store_lookup request = {.signals = &signal, .signal_count = 1, .governors = governors, .governor_count = 2};
    int status = CALL(site->store, lookup, &request);
    for (int i = 0; i < 2; i++) {
        CHECK(status == 0 || !governors[i].found);
        if (governors[i].found)
            governor_record_done(&governors[i].record);
    }
    return say(&request.req, status);
}

static int ask_waiting(struct site *site)
{
    struct store_waiting request = {.tenant_id = SPAN("t"), .entitlement_id = SPAN("e"), .limit = 10};
    int status = CALL(site->store, waiting, &request);
    return say(&request.req, status);
}

static int ask_due(struct site *site)
{
    struct store_due request = {.clock_ms = 1000, .limit = 10};
    int status = CALL(site->store, due, &request);
    return say(&request.req, status);
}

static int ask_governors(struct site *site)
{
    struct store_governors request = {.state = -1, .limit = 10};
    int status = CALL(site->store, governors, &request);
    for (size_t i = 0; status == 0 && i < request.governor_count; i++)
        governor_record_done(&request.governors[i].record);
    return say(&request.req, status);
}

static int ask_outcomes(struct site *site)
{
    struct store_outcomes request = {.limit = 100};
    int status = CALL(site->store, outcomes, &request);
    return say(&request.req, status);
}

static int ask_shards(struct site *site)
{
    struct store_shards request = {.worker = "b", .shards = 1, .ttl_ms = 1000};
    int status = CALL(site->store, shards, &request);
    return say(&request.req, status);
}

static int ask_chains(struct site *site)
{
    struct chain_head head = {.chain = SPAN("t")};
    struct store_chains request = {.chains = &head, .chain_count = 1};
    int status = CALL(site->store, chains, &request);
    return say(&request.req, status);
}

static int ask_chain(struct site *site)
{
    struct store_receipts request = {.chain = SPAN("t"), .limit = 100};
    int status = CALL(site->store, receipts, &request);
    return say(&request.req, status);
}

static int ask_shard(struct site *site)
{
    struct store_receipts request = {.limit = 100};
    int status = CALL(site->store, receipts, &request);
    return say(&request.req, status);
}

static int ask_lease(struct site *site)
{
    struct store_lease request = {.worker = "b", .partitions = 2, .ttl_ms = 1000};
    int status = CALL(site->store, lease, &request);
    return say(&request.req, status);
}

static int (*const questions[])(struct site *site) = {ask_signal,    ask_lookup,   ask_waiting, ask_due,
                                                      ask_governors, ask_outcomes, ask_shards,  ask_chains,
                                                      ask_chain,     ask_shard,    ask_lease};
enum { QUESTIONS = sizeof(questions) / sizeof(*questions) };

/* Which questions each damage spoils; all others must go on being answered. */
static const struct {
    enum store_damage damage;
    bool spoils[QUESTIONS];
} cases[] = {
    /*                          signal lookup wait due governors outcomes shards chains chain shard lease */
    {DAMAGE_SIGNAL_STATUS, {1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_SIGNAL_HASH, {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_SIGNAL_OUTCOMES, {1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_WAITING_BYTES, {0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_GOVERNOR_STATE, {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_GOVERNOR_NUMBERS, {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_GOVERNOR_PENDING, {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_GOVERNOR_NO_ACTION, {0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
    {DAMAGE_OUTCOMES, {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
    {DAMAGE_FRONTIER, {0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}},
    {DAMAGE_CHAIN_HASH, {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}},
    {DAMAGE_CHAIN_ORDER, {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}},
    {DAMAGE_RECEIPT_HASH, {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}},
    {DAMAGE_LEASE_NUMBERS, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
};

static void damages(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    make_data(&site);
    for (size_t question = 0; question < QUESTIONS; question++)
        CHECK_INT(questions[question](&site), 0);
    site_close(&site);
    _Static_assert(sizeof(cases) / sizeof(*cases) == DAMAGE_DEADLETTER_CLASS, "the rest is store_suite_triage.c's");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        site_open(&site, suite, true);
        make_data(&site);
        site_close(&site);
        suite->damage(suite->ctx, cases[i].damage);
        site_open(&site, suite, false);
        for (size_t question = 0; question < QUESTIONS; question++) {
            int status = questions[question](&site), expected = cases[i].spoils[question] ? -EUCLEAN : 0;
            if (status != expected)
                fprintf(stderr, "damage %d, question %zu:\n", (int)cases[i].damage, question);
            CHECK_INT(status, expected);
        }
        site_close(&site);
    }
}

void suite_damage(const struct store_suite *suite)
{
    CASE("damage", damages);
}

/* --- threads: two workers, andon and a reader at once ----------------------------------------------------------------
 */

enum { THREAD_BATCHES = 60, THREAD_OUTCOMES = 20 };

struct thread {
    struct site *site;
    uint32_t partition;
    uint64_t epoch;
};

static void *work(void *arg)
{
    struct thread *thread = arg;
    struct site own = *thread->site;
    struct error err;
    CHECK_INT(store_open(own.backend, &own.store, &err), 0);
    uint64_t next = 1;
    char id[32], tenant[32];
    snprintf(tenant, sizeof(tenant), "tenant-%u", thread->partition);
    for (uint64_t i = 0; i < THREAD_BATCHES; i++) {
        struct batch *batch = batch_new(thread->partition, thread->epoch, i);
        for (int k = 0; k < THREAD_OUTCOMES; k++, next++) {
            snprintf(id, sizeof(id), "s-%llu", (unsigned long long)next);
            batch_insert(batch, tenant, "e", id, 1);
            batch_outcome(batch, 0, next, tenant);
        }
        batch_governor(batch, tenant, "e", i == 0);
        batch->commit.taken = batch->commit.ended = THREAD_OUTCOMES;
        batch_run(&own, batch);
    }
    store_close(own.store);
    return NULL;
}

static void *receipt(void *arg)
{
    struct thread *thread = arg;
    struct site own = *thread->site;
    struct ledger ledger;
    struct error err;
    CHECK_INT(store_open(own.backend, &own.store, &err), 0);
    ledger_open(&ledger, &own, "andon", 0, 1);
    int count = 0, total = 2 * THREAD_BATCHES * THREAD_OUTCOMES;
    while (ledger.head.size < (uint64_t)total && count >= 0)
        count = ledger_step(&ledger, own.store, 100);
    CHECK_INT(ledger.head.size, total);
    ledger_close(&ledger);
    store_close(own.store);
    return NULL;
}

static void threads(const struct store_suite *suite)
{
    struct site site;
    pthread_t running[3];
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct thread args[3] = {{&site, 0, epoch}, {&site, 1, epoch}, {&site, 0, 0}};
    for (int i = 0; i < 3; i++)
        CHECK_INT(pthread_create(&running[i], NULL, i < 2 ? work : receipt, &args[i]), 0);
    for (int i = 0; i < 50; i++) {
        struct store_totals totals = {0};
        CHECK_INT(CALL(site.store, totals, &totals), 0);
        CHECK_INT(totals.taken, totals.ended);
        CHECK_INT(totals.taken, totals.receipts + totals.outcomes_open);
    }
    /* Requests in flight when their handle closes are dropped. */
    struct store *brief;
    struct error err;
    struct store_totals dropped[3] = {0};
    CHECK_INT(store_open(site.backend, &brief, &err), 0);
    for (int i = 0; i < 3; i++)
        store_totals(brief, &dropped[i]);
    store_close(brief);
    for (int i = 0; i < 3; i++)
        pthread_join(running[i], NULL);
    struct store_totals totals = {0};
    CHECK_INT(CALL(site.store, totals, &totals), 0);
    CHECK_INT(totals.receipts, 2 * THREAD_BATCHES * THREAD_OUTCOMES);
    CHECK_INT(totals.outcomes_open, 0);
    CHECK_INT(totals.chains, 2);
    site_close(&site);
}

void suite_threads(const struct store_suite *suite)
{
    CASE("order", threads);
}
