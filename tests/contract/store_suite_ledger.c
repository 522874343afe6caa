/* Outcomes become receipts: order, fencing, chains, pages. */
#include "store_suite_parts.h"

/* One commit of `count` outcomes for a shard, tenants in turn; numbers go on from *next. */
static void commit_outcomes(struct site *site, uint32_t partition, uint64_t epoch, uint64_t number, uint32_t shard,
                            uint64_t *next, int count, int tenants)
{
    struct batch *batch = batch_new(partition, epoch, number);
    char tenant[32];
    for (int i = 0; i < count; i++, (*next)++) {
        snprintf(tenant, sizeof(tenant), "tenant-%d", (int)(*next % (uint64_t)tenants));
        batch_outcome(batch, shard, *next, *next % (uint64_t)tenants ? tenant : ""); /* one of them is nobody */
    }
    batch_run(site, batch);
}

static void check_outcomes(struct site *site, uint32_t shard, uint32_t limit, size_t count, uint64_t first)
{
    struct store_outcomes request = {.shard = shard, .limit = limit};
    CHECK_INT(CALL(site->store, outcomes, &request), 0);
    CHECK_INT(request.outcome_count, count);
    for (size_t i = 0; i < request.outcome_count; i++) {
        const struct outcome *outcome = &request.outcomes[i];
        char text[64];
        snprintf(text, sizeof(text), "{\"n\":%llu,", (unsigned long long)outcome->number);
        CHECK_INT(outcome->number, first + i);
        CHECK(memcmp(outcome->text.ptr, text, strlen(text)) == 0);
    }
    arena_done(&request.req.arena);
}

static void partial(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledger;
    uint64_t next = 1;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    commit_outcomes(&site, 1, epoch, 0, 0, &next, 10, 3);
    commit_outcomes(&site, 1, epoch, 1, 0, &next, 5, 3);
    check_outcomes(&site, 0, 100, 15, 1);
    check_outcomes(&site, 0, 12, 12, 1);
    check_outcomes(&site, 1, 100, 0, 1);
    ledger_open(&ledger, &site, "andon", 0, 2);
    CHECK_INT(ledger_step(&ledger, site.store, 4), 4);
    check_outcomes(&site, 0, 100, 11, 5);
    CHECK_INT(lease_of(&site, "a", 2, 1).outcomes_open, 11);
    CHECK_INT(ledger_step(&ledger, site.store, 8), 8);
    check_outcomes(&site, 0, 100, 3, 13);
    site_reopen(&site);
    epoch = claim_all(&site, "b", 2);
    ledger_close(&ledger);
    ledger_open(&ledger, &site, "andon", 0, 2);
    CHECK(ledger.head.claimed);
    CHECK_INT(ledger.head.epoch, 2);
    CHECK_INT(ledger.head.batch, 2);
    CHECK_INT(ledger.head.size, 12);
    CHECK_INT(ledger.head.frontier_count, 2);
    CHECK_INT(ledger.head.frontier[0][31], 12);
    CHECK_INT(ledger.head.frontier[1][0], 13);
    CHECK_INT(ledger_step(&ledger, site.store, 8), 3);
    check_outcomes(&site, 0, 100, 0, 0);
    CHECK_INT(lease_of(&site, "b", 2, 1).outcomes_open, 0);
    commit_outcomes(&site, 1, epoch, 2, 0, &next, 3, 3);
    check_outcomes(&site, 0, 100, 3, 16);
    ledger_close(&ledger);
    site_close(&site);
}

/* Each partition's in order, the oldest commits first. */
static void interleaved(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledger;
    uint64_t next[2] = {1, 1}, seen[2] = {0, 0};
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    for (uint64_t i = 0; i < 10; i++)
        commit_outcomes(&site, i % 2, epoch, i / 2, 0, &next[i % 2], 3, 2);
    ledger_open(&ledger, &site, "andon", 0, 1);
    for (int count = 1; count > 0;) {
        struct ledger_append append;
        ledger_prepare(&ledger, site.store, 7, &append);
        for (size_t i = 0; i < append.append.outcome_count; i++) {
            const struct outcome *outcome = &append.append.outcomes[i];
            CHECK_INT(outcome->number, ++seen[outcome->partition]);
        }
        count = (int)append.append.outcome_count;
        if (count)
            CHECK_INT(CALL(site.store, append, &append.append), 0);
        ledger.head = count ? append.append.committed : ledger.head;
        ledger_drop(&append);
    }
    CHECK_INT(seen[0], 15);
    CHECK_INT(seen[1], 15);
    ledger_close(&ledger);
    site_close(&site);
}

static void check_unchanged(struct site *site, uint64_t size)
{
    struct store_receipts receipts = {.limit = 1000};
    CHECK_INT(CALL(site->store, receipts, &receipts), 0);
    CHECK_INT(receipts.receipt_count, size);
    arena_done(&receipts.req.arena);
    check_outcomes(site, 0, 1000, 20, size + 1);
    struct chain_head head = {.chain = SPAN("tenant-1")};
    struct store_chains chains = {.chains = &head, .chain_count = 1};
    CHECK_INT(CALL(site->store, chains, &chains), 0);
    CHECK_INT(head.seq, size / 2);
    arena_done(&chains.req.arena);
}

/* One wrong thing in an append that is otherwise right. */
static int wrong_append(struct ledger *ledger, struct site *site, int wrong)
{
    struct ledger_append append;
    ledger_prepare(ledger, site->store, 20, &append);
    struct store_append *request = &append.append;
    struct outcome *outcomes = append.outcomes.outcomes;
    switch (wrong) {
    case 0:
        request->head.epoch++;
        break;
    case 1:
        request->head.batch++;
        break;
    case 2: /* the log is not where the receipts begin */
        for (size_t i = 0; i < request->receipt_count; i++)
            append.receipts[i].index++;
        request->head.size++;
        request->head.frontier_count = (uint32_t)__builtin_popcountll(request->head.size);
        break;
    case 3: /* a chain that forks */
        for (size_t i = 0; i < request->receipt_count; i++)
            append.receipts[i].seq--;
        for (size_t i = 0; i < request->chain_count; i++)
            append.heads[i].seq--;
        break;
    case 4: /* a chain with a hole */
        append.receipts[request->receipt_count - 1].seq++;
        break;
    case 5:
        append.heads[0].hash[0]++;
        break;
    case 6: /* outcomes in another order */
        outcomes[0].number = outcomes[1].number;
        break;
    case 7: /* an outcome that does not exist */
        outcomes[19].partition = 1;
        outcomes[19].number = 1;
        break;
    default:
        snprintf(append.receipts[3].receipt_id, sizeof(append.receipts[3].receipt_id), "no uuid");
        break;
    }
    int status = CALL(site->store, append, request);
    ledger_drop(&append);
    return status;
}

static void append_fence(const struct store_suite *suite)
{
    static const int expected[] = {-ESTALE, -ESTALE, -ESTALE, 0, -EINVAL, -EINVAL, -ENOENT, -ENOENT, -EINVAL};
    struct site site;
    struct ledger ledger;
    uint64_t next = 1;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    commit_outcomes(&site, 0, epoch, 0, 0, &next, 30, 2);
    commit_outcomes(&site, 0, epoch, 1, 0, &next, 20, 2);
    ledger_open(&ledger, &site, "andon", 0, 1);
    CHECK_INT(ledger_step(&ledger, site.store, 30), 30);
    for (int wrong = 0; wrong < 9; wrong++) {
        int status = wrong_append(&ledger, &site, wrong);
        if (wrong == 3)
            CHECK(status == -ENOENT || status == -EEXIST);
        else
            CHECK_INT(status, expected[wrong]);
        check_unchanged(&site, 30);
    }
    struct ledger_append append;
    ledger_prepare(&ledger, site.store, 20, &append);
    CHECK_INT(CALL(site.store, append, &append.append), 0);
    CHECK_INT(append.append.committed.size, 50);
    CHECK_INT(CALL(site.store, append, &append.append), -ESTALE); /* as after a lost reply */
    /* All is receipted: an outcome that was never written cannot be consumed. */
    struct shard_head head = append.append.head;
    head.batch++;
    struct outcome none = {.partition = 0, .number = 51};
    struct store_append beyond = {.head = head, .outcomes = &none, .outcome_count = 1};
    CHECK_INT(CALL(site.store, append, &beyond), -ENOENT);
    arena_done(&beyond.req.arena);
    ledger_drop(&append);
    ledger_close(&ledger);
    site_close(&site);
}

enum { TENANTS = 3, RECEIPTS = 2570 };

static bool is_receipt(const struct receipt *receipt, uint64_t number, struct hasher *hasher)
{
    char id[UUID_TEXT + 1];
    uint8_t hash[SHA256_SIZE];
    receipt_id_of(hasher, 0, 0, number, id);
    hasher_sha256(hasher, receipt->body, hash);
    return receipt->index == number - 1 && receipt->number == number && receipt->partition == 0 &&
           strcmp(receipt->receipt_id, id) == 0 && memcmp(hash, receipt->hash, SHA256_SIZE) == 0 &&
           receipt->timestamp_ms == (int64_t)number && span_is(receipt->entitlement_id, number % 2 ? "odd" : "even") &&
           span_is(receipt->type, number % 7 ? "refusal" : "state_change");
}

static void page_by_shard(struct site *site, struct hasher *hasher)
{
    uint64_t seen = 0;
    bool more = true;
    for (uint64_t after = 0; more;) {
        struct store_receipts page = {.after = after, .limit = 999};
        CHECK_INT(CALL(site->store, receipts, &page), 0);
        for (size_t i = 0; i < page.receipt_count; i++)
            CHECK(is_receipt(&page.receipts[i], ++seen, hasher));
        more = page.more;
        after = page.next;
        CHECK_INT(page.more, seen < RECEIPTS);
        CHECK_INT(page.next, more ? seen : 0);
        arena_done(&page.req.arena);
    }
    CHECK_INT(seen, RECEIPTS);
}

static void page_by_chain(struct site *site, struct hasher *hasher, const char *chain, uint64_t rest, uint32_t limit)
{
    uint64_t seen = 0, expected = (RECEIPTS - rest) / TENANTS + (rest > 0);
    bool more = true;
    for (uint64_t after = 0; more;) {
        struct store_receipts page = {.chain = span_of(chain), .after = after, .limit = limit};
        CHECK_INT(CALL(site->store, receipts, &page), 0);
        for (size_t i = 0; i < page.receipt_count; i++, seen++) {
            uint64_t number = rest ? seen * TENANTS + rest : (seen + 1) * TENANTS;
            CHECK(is_receipt(&page.receipts[i], number, hasher));
            CHECK_INT(page.receipts[i].seq, seen + 1);
            CHECK(span_is(page.receipts[i].chain, chain));
            CHECK(span_is(page.receipts[i].tenant_id, rest ? chain : ""));
        }
        more = page.more;
        after = page.next;
        CHECK_INT(page.next, more ? seen : 0);
        arena_done(&page.req.arena);
    }
    CHECK_INT(seen, expected);
}

static uint64_t count_filtered(struct site *site, struct store_receipts filter)
{
    uint64_t found = 0;
    int pages = 0;
    do {
        struct store_receipts page = filter;
        page.limit = 50;
        CHECK_INT(CALL(site->store, receipts, &page), 0);
        for (size_t i = 0; i < page.receipt_count; i++) {
            CHECK(!filter.type.len || span_eq(page.receipts[i].type, filter.type));
            CHECK(!filter.entitlement_id.len || span_eq(page.receipts[i].entitlement_id, filter.entitlement_id));
            CHECK(!filter.signal_id.len || span_eq(page.receipts[i].signal_id, filter.signal_id));
        }
        found += page.receipt_count;
        filter.after = page.next;
        filter.limit = page.more;
        arena_done(&page.req.arena);
    } while (filter.limit && ++pages < 1000);
    return found;
}

static void by_id(struct site *site, struct hasher *hasher)
{
    for (uint64_t number = 1; number <= RECEIPTS; number += number < 20 || number > RECEIPTS - 20 ? 1 : 97) {
        struct store_receipt request = {.found = false};
        receipt_id_of(hasher, 0, 0, number, request.receipt_id);
        CHECK_INT(CALL(site->store, receipt, &request), 0);
        CHECK(request.found && request.shard == 0 && is_receipt(&request.receipt, number, hasher));
        arena_done(&request.req.arena);
    }
    static const char *const unknown[] = {"7d6b3c9e-5f0a-4c1e-9b1d-2e8f4a6c0d35", "x", "", "7d6b3c9e-5f0a-4c1e-9b1d"};
    for (size_t i = 0; i < 4; i++) {
        struct store_receipt request = {.found = true};
        snprintf(request.receipt_id, sizeof(request.receipt_id), "%s", unknown[i]);
        CHECK_INT(CALL(site->store, receipt, &request), 0);
        CHECK(!request.found);
        arena_done(&request.req.arena);
    }
}

static void pages(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledger;
    uint64_t next = 1;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    for (uint64_t i = 0; next <= RECEIPTS; i++)
        commit_outcomes(&site, 0, epoch, i, 0, &next, next + 250 <= RECEIPTS ? 250 : (int)(RECEIPTS - next + 1),
                        TENANTS);
    ledger_open(&ledger, &site, "andon", 0, 2);
    uint32_t limit = 1;
    for (int count; (count = ledger_step(&ledger, site.store, limit)) > 0; limit = limit * 2 % 701)
        ;
    CHECK_INT(ledger.head.size, RECEIPTS);
    page_by_shard(&site, ledger.hasher);
    page_by_chain(&site, ledger.hasher, "tenant-1", 1, 1000);
    page_by_chain(&site, ledger.hasher, "tenant-2", 2, 33);
    page_by_chain(&site, ledger.hasher, "_system", 0, 100);
    by_id(&site, ledger.hasher);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.type = SPAN("state_change")}), RECEIPTS / 7);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.signal_id = SPAN("ten")}), RECEIPTS / 10);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.signal_id = SPAN("none")}), 0);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.chain = SPAN("_system"), .entitlement_id = SPAN("odd")}),
              (RECEIPTS + 3) / 6);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.chain = SPAN("nobody")}), 0);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.shard = 1}), 0);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.after = UINT64_MAX}), 0);
    CHECK_INT(count_filtered(&site, (struct store_receipts){.after = UINT64_MAX, .chain = SPAN("_system")}), 0);
    ledger_close(&ledger);
    site_close(&site);
}

/* Two shards do not see each other's outcomes, receipts or sizes. */
static void shards(const struct store_suite *suite)
{
    struct site site;
    struct ledger ledgers[2];
    uint64_t next[2] = {1, 1};
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    for (uint64_t i = 0; i < 6; i++)
        commit_outcomes(&site, 0, epoch, i, i % 2, &next[i % 2], (int)i + 1, 2);
    for (uint32_t shard = 0; shard < 2; shard++) {
        ledger_open(&ledgers[shard], &site, "andon", shard, 2);
        CHECK_INT(ledger_step(&ledgers[shard], site.store, 1000), shard ? 12 : 9);
        CHECK_INT(ledger_step(&ledgers[shard], site.store, 1000), 0);
        struct store_receipts page = {.shard = shard, .limit = 1000};
        CHECK_INT(CALL(site.store, receipts, &page), 0);
        CHECK_INT(page.receipt_count, shard ? 12 : 9);
        arena_done(&page.req.arena);
        ledger_close(&ledgers[shard]);
    }
    site_close(&site);
}

static void woken(void *ctx)
{
    ++*(int *)ctx;
}

static void wakes(const struct store_suite *suite)
{
    struct site site;
    struct store *other;
    struct error err;
    uint64_t next = 1;
    int count = 0;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 1);
    CHECK_INT(store_open(site.backend, &other, &err), 0);
    store_on_outcomes(other, woken, &count);
    struct batch *batch = batch_new(0, epoch, 0);
    batch_run(&site, batch);
    store_dispatch(other);
    CHECK_INT(count, 0); /* nothing to receipt in it */
    commit_outcomes(&site, 0, epoch, 1, 0, &next, 1, 2);
    for (int i = 0; i < 1000 && !count; i++) {
        struct store_outcomes poll = {.limit = 1};
        CHECK_INT(CALL(other, outcomes, &poll), 0);
        CHECK_INT(poll.outcome_count, 1);
        arena_done(&poll.req.arena);
    }
    CHECK(count > 0);
    store_close(other);
    site_close(&site);
}

void suite_ledger(const struct store_suite *suite)
{
    CASE("redelivery", partial);
    CASE("order", interleaved);
    CASE("commit-unknown", append_fence);
    CASE("queries", pages);
    CASE("queries", shards);
    CASE("wake-ups", wakes);
}
