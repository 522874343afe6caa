/* What andon does with the store, for the suite: a receipt for each outcome, the way the ledger demands. */
#include "store_suite_parts.h"

void ledger_open(struct ledger *ledger, struct site *site, const char *worker, uint32_t shard, uint32_t shards)
{
    struct store_shards request = {.worker = worker, .shards = shards, .ttl_ms = 600000};
    CHECK_INT(CALL(site->store, shards, &request), 0);
    CHECK(shard < request.head_count);
    *ledger = (struct ledger){.hasher = hasher_new()};
    if (shard < request.head_count)
        ledger->head = request.heads[shard];
    arena_done(&request.req.arena);
}

void ledger_close(struct ledger *ledger)
{
    hasher_free(ledger->hasher);
}

static struct chain_head *head_of(struct ledger_append *append, struct span chain)
{
    for (size_t i = 0; i < append->chains.chain_count; i++)
        if (span_eq(append->heads[i].chain, chain))
            return &append->heads[i];
    append->heads[append->chains.chain_count] = (struct chain_head){.chain = chain};
    return &append->heads[append->chains.chain_count++];
}

static void fill_receipt(struct ledger *ledger, struct receipt *ret, const struct outcome *outcome,
                         struct chain_head *head)
{
    *ret = (struct receipt){.index = ledger->head.size,
                            .chain = head->chain,
                            .seq = ++head->seq,
                            .partition = outcome->partition,
                            .number = outcome->number,
                            .body = outcome->text,
                            .tenant_id = outcome->tenant_id,
                            .entitlement_id = outcome->number % 2 ? SPAN("odd") : SPAN("even"),
                            .signal_id = outcome->number % 10 ? SPAN("") : SPAN("ten"),
                            .type = outcome->number % 7 ? SPAN("refusal") : SPAN("state_change"),
                            .timestamp_ms = (int64_t)outcome->number};
    receipt_id_of(ledger->hasher, outcome->partition, ledger->head.shard, outcome->number, ret->receipt_id);
    hasher_sha256(ledger->hasher, ret->body, ret->hash);
    memcpy(head->hash, ret->hash, SHA256_SIZE);
    ledger->head.size++;
}

void ledger_prepare(struct ledger *ledger, struct store *store, uint32_t limit, struct ledger_append *ret)
{
    *ret = (struct ledger_append){.outcomes = {.shard = ledger->head.shard, .limit = limit}};
    CHECK_INT(CALL(store, outcomes, &ret->outcomes), 0);
    size_t count = ret->outcomes.outcome_count;
    ret->receipts = xcalloc(count + 1, sizeof(*ret->receipts));
    ret->heads = xcalloc(count + 1, sizeof(*ret->heads));
    ret->append = (struct store_append){.head = ledger->head,
                                        .receipts = ret->receipts,
                                        .receipt_count = count,
                                        .chains = ret->heads,
                                        .outcomes = ret->outcomes.outcomes,
                                        .outcome_count = count};
    const struct outcome *outcomes = ret->outcomes.outcomes;
    for (size_t i = 0; i < count; i++)
        head_of(ret, outcomes[i].tenant_id.len ? outcomes[i].tenant_id : SPAN("_system"));
    ret->chains.shard = ledger->head.shard;
    ret->chains.chains = ret->heads;
    CHECK_INT(CALL(store, chains, &ret->chains), 0);
    ret->append.chain_count = ret->chains.chain_count;
    uint64_t size = ledger->head.size;
    for (size_t i = 0; i < count; i++)
        fill_receipt(ledger, &ret->receipts[i], &outcomes[i],
                     head_of(ret, outcomes[i].tenant_id.len ? outcomes[i].tenant_id : SPAN("_system")));
    ret->append.head.size = ledger->head.size;
    ledger->head.size = size;
    ret->append.head.frontier_count = (uint32_t)__builtin_popcountll(ret->append.head.size);
    for (uint32_t i = 0; i < ret->append.head.frontier_count; i++)
        memset(ret->append.head.frontier[i], (int)(ret->append.head.size + i), SHA256_SIZE);
}

void ledger_drop(struct ledger_append *append)
{
    free(append->receipts);
    free(append->heads);
    arena_done(&append->outcomes.req.arena);
    arena_done(&append->chains.req.arena);
    arena_done(&append->append.req.arena);
}

static void check_committed(const struct shard_head *got, const struct shard_head *want)
{
    CHECK_INT(got->shard, want->shard);
    CHECK_INT(got->epoch, want->epoch);
    CHECK_INT(got->batch, want->batch + 1);
    CHECK_INT(got->size, want->size);
    CHECK_INT(got->frontier_count, want->frontier_count);
    CHECK(memcmp(got->frontier, want->frontier, (size_t)want->frontier_count * SHA256_SIZE) == 0);
}

int ledger_step(struct ledger *ledger, struct store *store, uint32_t limit)
{
    struct ledger_append append;
    ledger_prepare(ledger, store, limit, &append);
    int count = (int)append.append.receipt_count;
    int status = count ? CALL(store, append, &append.append) : 0;
    if (status == 0 && count) {
        check_committed(&append.append.committed, &append.append.head);
        ledger->head = append.append.committed;
    } else if (status < 0 && append.append.req.error) {
        fprintf(stderr, "append: %s\n", append.append.req.error);
    }
    ledger_drop(&append);
    return status < 0 ? status : count;
}
