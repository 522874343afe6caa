/* The parts in order, and the tools they share. Everything is one translation unit: the program that tests a backend
 * includes this file. */
#include "store_suite_parts.h"

#include <poll.h>
#include <stdarg.h>

int store_suite_run(const struct store_suite *suite)
{
    int before = atomic_load(&check_failures);
    suite_leases(suite);
    suite_commits(suite);
    suite_waiting(suite);
    suite_ledger(suite);
    suite_tiles(suite);
    suite_queries(suite);
    suite_lists(suite);
    suite_damage(suite);
    suite_triage(suite);
    suite_attempts(suite);
    suite_threads(suite);
    return atomic_load(&check_failures) - before;
}

void suite_case(const struct store_suite *suite, const char *promise, const char *name,
                void (*run)(const struct store_suite *suite))
{
    int before = atomic_load(&check_failures);
    run(suite);
    printf("%s store %s, %s: %s\n", atomic_load(&check_failures) == before ? "ok    " : "FAILED", suite->name, promise,
           name);
    fflush(stdout);
}

void site_open(struct site *site, const struct store_suite *suite, bool fresh)
{
    struct error err;
    *site = (struct site){.suite = suite, .backend = suite->open(suite->ctx, fresh)};
    if (store_open(site->backend, &site->store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

void site_close(struct site *site)
{
    store_close(site->store);
    site->suite->close(site->suite->ctx, site->backend);
}

void site_reopen(struct site *site)
{
    site_close(site);
    site_open(site, site->suite, false);
}

void answer_done(struct store_request *request, int status)
{
    struct answer *answer = request->ctx;
    answer->done = true;
    answer->status = status;
}

int answer_wait(struct store *store, struct answer *answer)
{
    while (!answer->done) {
        struct pollfd fd = {.fd = store_poll_fd(store), .events = POLLIN};
        if (poll(&fd, 1, 10000) == 0) {
            fprintf(stderr, "no answer for 10 s\n");
            abort();
        }
        store_dispatch(store);
    }
    return answer->status;
}

struct batch *batch_new(uint32_t partition, uint64_t epoch, uint64_t number)
{
    struct batch *batch = xcalloc(1, sizeof(*batch));
    batch->commit = (struct store_commit){.partition = partition,
                                          .epoch = epoch,
                                          .batch = number,
                                          .next_line = 1,
                                          .signals = batch->signals,
                                          .governors = batch->governors,
                                          .outcomes = batch->outcomes,
                                          .outcome_shards = batch->shards,
                                          .intake = batch->intake};
    return batch;
}

void batch_free(struct batch *batch)
{
    arena_done(&batch->arena);
    arena_done(&batch->commit.req.arena);
    free(batch);
}

struct span batch_text(struct batch *batch, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return (struct span){arena_copy(&batch->arena, text, (size_t)len), (size_t)len};
}

static struct signal_row *add_row(struct batch *batch, bool insert, const char *tenant, const char *entitlement,
                                  const char *id)
{
    struct signal_change *change = &batch->signals[batch->commit.signal_count++];
    *change = (struct signal_change){.insert = insert};
    change->row.identity = (struct identity){.tenant_id = batch_text(batch, "%s", tenant),
                                             .entitlement_id = batch_text(batch, "%s", entitlement),
                                             .id = batch_text(batch, "%s", id)};
    change->row.accepted_at_ms = 1000;
    change->row.changed_at_ms = 2000;
    return &change->row;
}

struct signal_row *batch_insert(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                                uint8_t hash)
{
    struct signal_row *row = add_row(batch, true, tenant, entitlement, id);
    memset(row->sha256, hash, sizeof(row->sha256));
    row->status = SIGNAL_EXECUTED;
    return row;
}

struct signal_row *batch_update(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                                enum signal_status status)
{
    struct signal_row *row = add_row(batch, false, tenant, entitlement, id);
    row->status = status;
    return row;
}

struct signal_row *batch_wait(struct batch *batch, const char *tenant, const char *entitlement, const char *id,
                              uint64_t line)
{
    struct signal_row *row = batch_insert(batch, tenant, entitlement, id, 7);
    row->status = SIGNAL_WAITING;
    row->line = line;
    row->reason = SPAN("boot");
    row->envelope = batch_text(batch, "{\"i\":\"%s\"}", id);
    row->bytes = batch_text(batch, "bytes of %s", id);
    batch->commit.next_line = line + 1;
    return row;
}

struct governor_record *batch_governor(struct batch *batch, const char *tenant, const char *entitlement, bool insert)
{
    size_t i = batch->commit.governor_count++;
    batch->records[i] = (struct governor_record){
        .state = GOVERNOR_ACTIVE, .entitlement = ENTITLEMENT_ACTIVE, .quota_limit = QUOTA_NONE, .created_at = 5};
    batch->governors[i] = (struct governor_change){.tenant_id = batch_text(batch, "%s", tenant),
                                                   .entitlement_id = batch_text(batch, "%s", entitlement),
                                                   .insert = insert,
                                                   .record = &batch->records[i]};
    return &batch->records[i];
}

void batch_outcome(struct batch *batch, uint32_t shard, uint64_t number, const char *tenant)
{
    size_t i = batch->commit.outcome_count++;
    batch->shards[i] = shard;
    batch->outcomes[i] = (struct outcome){
        .number = number,
        .tenant_id = batch_text(batch, "%s", tenant),
        .text = batch_text(batch, "{\"n\":%llu,\"tenant_id\":\"%s\"}", (unsigned long long)number, tenant)};
}

int batch_commit(struct site *site, struct batch *batch)
{
    return CALL(site->store, commit, &batch->commit);
}

void batch_run(struct site *site, struct batch *batch)
{
    int status = batch_commit(site, batch);
    if (status < 0 && batch->commit.req.error)
        fprintf(stderr, "commit: %s\n", batch->commit.req.error);
    CHECK_INT(status, 0);
    batch_free(batch);
}

struct identity identity_of(const char *tenant, const char *entitlement, const char *id, uint32_t redrive)
{
    return (struct identity){
        .tenant_id = span_of(tenant), .entitlement_id = span_of(entitlement), .id = span_of(id), .redrive = redrive};
}

uint64_t claim_all(struct site *site, const char *worker, uint32_t partitions)
{
    struct store_lease lease = {.worker = worker, .partitions = partitions, .ttl_ms = 600000};
    CHECK_INT(CALL(site->store, lease, &lease), 0);
    CHECK_INT(lease.lease_count, partitions);
    uint64_t epoch = lease.lease_count ? lease.leases[0].epoch : 0;
    arena_done(&lease.req.arena);
    return epoch;
}

struct lease lease_of(struct site *site, const char *worker, uint32_t partitions, uint32_t partition)
{
    struct store_lease lease = {.worker = worker, .partitions = partitions, .ttl_ms = 600000};
    struct lease found = {.partition = UINT32_MAX};
    CHECK_INT(CALL(site->store, lease, &lease), 0);
    for (uint32_t i = 0; i < lease.lease_count; i++)
        if (lease.leases[i].partition == partition)
            found = lease.leases[i];
    CHECK_INT(found.partition, partition);
    arena_done(&lease.req.arena);
    return found;
}

#include "store_suite_andon.c"
#include "store_suite_attempts.c"
#include "store_suite_commits.c"
#include "store_suite_damage.c"
#include "store_suite_leases.c"
#include "store_suite_ledger.c"
#include "store_suite_lists.c"
#include "store_suite_queries.c"
#include "store_suite_tiles.c"
#include "store_suite_triage.c"
#include "store_suite_waiting.c"
