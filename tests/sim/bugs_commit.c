/* Planted bugs of what is written: a batch's commit, andon's append. A change is made in the request and undone when
 * its answer comes; what it points to lives in the ticket. */
#include "sim/shims.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void *copy_array(struct ticket *ticket, const void *items, size_t count, size_t size, size_t more)
{
    char *copy = arena_alloc(&ticket->arena, (count + more) * size + 1);
    if (count)
        memcpy(copy, items, count * size);
    ticket->changed = true;
    return copy;
}

/* --- the fence ---------------------------------------------------------------------------------------------------- */

static void read_fence(struct world *world, uint32_t partition, uint64_t *ret_epoch, uint64_t *ret_batch)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3_prepare_v2(database_handle(world->lab->database), "SELECT epoch, batch FROM partitions WHERE partition = ?",
                       -1, &stmt, NULL);
    sqlite3_bind_int64(stmt, 1, partition);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        *ret_epoch = (uint64_t)sqlite3_column_int64(stmt, 0);
        *ret_batch = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
}

static void spoil_fence(struct ticket *ticket, struct store_commit *commit)
{
    struct world *world = ticket->world;
    uint64_t epoch = commit->epoch, batch = commit->batch;
    if (!bug_is(world, BUG_EPOCH_UNCHECKED) && !bug_is(world, BUG_BATCH_UNCHECKED))
        return;
    read_fence(world, commit->partition, &epoch, &batch);
    if (epoch != commit->epoch ? bug_is(world, BUG_BATCH_UNCHECKED) : batch == commit->batch)
        return;
    commit->epoch = epoch;
    commit->batch = batch;
    ticket->changed = true;
}

/* --- what a look-up denied is no new row ----------------------------------------------------------------------------
 */

static void own_up(struct ticket *ticket, struct store_commit *commit)
{
    struct shim_memory *shims = ticket->world->shims;
    char key[HISTORY_KEY_MAX];
    if (shims->hidden_signals)
        commit->signals = copy_array(ticket, commit->signals, commit->signal_count, sizeof(*commit->signals), 0);
    for (size_t i = 0; shims->hidden_signals && i < commit->signal_count; i++) {
        struct signal_change *change = &commit->signals[i];
        if (change->insert && !change->row.conflict &&
            shim_key_known(shims->hidden_signals, key, signal_key(&change->row.identity, key)))
            change->insert = false;
    }
    if (shims->hidden_governors)
        commit->governors =
            copy_array(ticket, commit->governors, commit->governor_count, sizeof(*commit->governors), 0);
    for (size_t i = 0; shims->hidden_governors && i < commit->governor_count; i++) {
        struct governor_change *change = &commit->governors[i];
        if (change->insert &&
            shim_key_known(shims->hidden_governors, key, governor_key(change->tenant_id, change->entitlement_id, key)))
            change->insert = false;
    }
}

/* --- rows and governors ------------------------------------------------------------------------------------------- */

static void lose_row(struct ticket *ticket, struct store_commit *commit)
{
    for (size_t i = 0; i < commit->signal_count; i++) {
        if (commit->signals[i].insert || !bug_strikes(ticket->world, BUG_ROW_LOST, 2))
            continue;
        commit->signals = copy_array(ticket, commit->signals, commit->signal_count, sizeof(*commit->signals), 0);
        commit->signals[i] = commit->signals[--commit->signal_count];
        return;
    }
}

static void lose_deadletter(struct ticket *ticket, struct store_commit *commit)
{
    for (size_t i = 0; i < commit->signal_count; i++) {
        if (!commit->signals[i].deadletter || !bug_strikes(ticket->world, BUG_DEADLETTER_LOST, 4))
            continue;
        commit->signals = copy_array(ticket, commit->signals, commit->signal_count, sizeof(*commit->signals), 0);
        commit->signals[i].deadletter = NULL;
    }
}

static void lose_governor(struct ticket *ticket, struct store_commit *commit)
{
    for (size_t i = 0; i < commit->governor_count; i++) {
        if (commit->governors[i].insert || !bug_strikes(ticket->world, BUG_GOVERNOR_LOST, 4))
            continue;
        commit->governors =
            copy_array(ticket, commit->governors, commit->governor_count, sizeof(*commit->governors), 0);
        commit->governors[i] = commit->governors[--commit->governor_count];
        return;
    }
}

static void spoil_record(struct ticket *ticket, struct store_commit *commit, size_t i)
{
    struct world *world = ticket->world;
    const struct governor_record *record = commit->governors[i].record;
    bool quota = record->quota_used > 0 && bug_strikes(world, BUG_QUOTA_LOST, 2);
    bool attempt = record->pending && record->pending->attempt > 1 && bug_is(world, BUG_ATTEMPT_LOST);
    if (!quota && !attempt)
        return;
    struct governor_record *copy = arena_alloc(&ticket->arena, sizeof(*copy));
    *copy = *record;
    if (quota)
        copy->quota_used--;
    if (attempt) {
        copy->pending = arena_alloc(&ticket->arena, sizeof(*copy->pending));
        *copy->pending = *record->pending;
        copy->pending->attempt--;
    }
    commit->governors = copy_array(ticket, commit->governors, commit->governor_count, sizeof(*commit->governors), 0);
    commit->governors[i].record = copy;
}

/* --- outcomes ----------------------------------------------------------------------------------------------------- */

static void spoil_outcomes(struct ticket *ticket, struct store_commit *commit)
{
    struct world *world = ticket->world;
    size_t count = commit->outcome_count;
    if (!count)
        return;
    bool twice = bug_strikes(world, BUG_OUTCOME_TWICE, 16), foreign = bug_strikes(world, BUG_OUTCOME_TENANT, 16);
    if (bug_strikes(world, BUG_OUTCOME_DROPPED, 16)) {
        commit->outcome_count--;
        ticket->changed = true;
    }
    if (!twice && !foreign)
        return;
    commit->outcomes = copy_array(ticket, commit->outcomes, count, sizeof(*commit->outcomes), 1);
    commit->outcome_shards = copy_array(ticket, commit->outcome_shards, count, sizeof(*commit->outcome_shards), 1);
    struct outcome *last = &commit->outcomes[count - 1];
    if (foreign)
        last->tenant_id = span_is(last->tenant_id, "acme") ? SPAN("bolt") : SPAN("acme");
    if (twice) {
        commit->outcomes[count] = *last;
        commit->outcomes[count].number++;
        commit->outcome_shards[count] = commit->outcome_shards[count - 1];
        commit->outcome_count++;
    }
}

static void lose_counts(struct ticket *ticket, struct store_commit *commit)
{
    struct world *world = ticket->world;
    bool duplicates = commit->duplicates && bug_is(world, BUG_DUPLICATES_UNCOUNTED);
    bool requeued = commit->requeued && bug_is(world, BUG_REQUEUE_UNCOUNTED);
    bool intake = commit->intake_count && bug_strikes(world, BUG_INTAKE_LOST, 8);
    bool commands = commit->command_count && bug_strikes(world, BUG_COMMAND_FORGOTTEN, 2);
    bool attempt = commit->attempt_begins && bug_is(world, BUG_POISON_UNSEEN);
    if (duplicates)
        commit->duplicates = 0;
    if (requeued)
        commit->requeued = 0;
    if (intake)
        commit->intake_count = 0;
    if (commands)
        commit->command_count = 0;
    if (attempt)
        commit->attempt_begins = NULL;
    ticket->changed |= duplicates || requeued || intake || commands || attempt;
}

void bugs_before_commit(struct ticket *ticket)
{
    struct world *world = ticket->world;
    struct store_commit *commit = (struct store_commit *)ticket->request;
    if (world->bug == BUG_NONE)
        return;
    spoil_fence(ticket, commit);
    own_up(ticket, commit);
    lose_row(ticket, commit);
    lose_deadletter(ticket, commit);
    lose_governor(ticket, commit);
    for (size_t i = 0; i < commit->governor_count; i++)
        spoil_record(ticket, commit, i);
    spoil_outcomes(ticket, commit);
    lose_counts(ticket, commit);
}

/* --- receipts ----------------------------------------------------------------------------------------------------- */

static char *own_body(struct ticket *ticket, struct receipt *receipt)
{
    char *body = arena_copy(&ticket->arena, receipt->body.ptr, receipt->body.len);
    receipt->body.ptr = body;
    return body;
}

/* The store compares the heads with the receipts. */
static void follow_head(struct ticket *ticket, struct store_append *append, const struct receipt *last)
{
    struct chain_head *heads = copy_array(ticket, append->chains, append->chain_count, sizeof(*heads), 0);
    for (size_t i = 0; i < append->chain_count; i++)
        if (span_eq(heads[i].chain, last->chain))
            memcpy(heads[i].hash, last->hash, SHA256_SIZE);
    append->chains = heads;
}

void bugs_before_append(struct ticket *ticket)
{
    struct world *world = ticket->world;
    struct store_append *append = (struct store_append *)ticket->request;
    size_t count = append->receipt_count;
    bool altered = bug_strikes(world, BUG_RECEIPT_ALTERED, 4), unlinked = bug_strikes(world, BUG_RECEIPT_UNLINKED, 4);
    if (count && bug_is(world, BUG_CHECKPOINT_EARLY)) {
        struct merkle tree = shard_tree(&append->head);
        uint8_t root[SHA256_SIZE];
        merkle_root(&tree, world->hasher, root);
        evidence_checkpoint(world, append->head.shard, tree.size, root);
    }
    if (!count || (!altered && !unlinked))
        return;
    struct receipt *receipts = copy_array(ticket, append->receipts, count, sizeof(*receipts), 0);
    struct receipt *last = &receipts[count - 1];
    char *body = own_body(ticket, last);
    const char *member = altered ? "\"timestamp\":" : "\"previous_hash\":\"";
    char *found = memmem(body, last->body.len, member, strlen(member));
    if (found)
        found[strlen(member) + 3] ^= 1; /* a digit stays a digit, of hex as well */
    append->receipts = receipts;
    if (!unlinked)
        return;
    hasher_sha256(world->hasher, last->body, last->hash);
    follow_head(ticket, append, last);
}
