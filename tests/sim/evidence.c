/* Kept until the run is over. What is judged at once: sequences are used once, a header claims as confirmed only what
 * is, attempts start behind their commit, once, under one idempotency key, with their signal's bytes. */
#include "sim/evidence.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void saw_checkpoint(struct signing_witness *witness, uint32_t shard, uint64_t size,
                           const uint8_t root[SHA256_SIZE])
{
    struct world *world = (struct world *)((char *)witness - offsetof(struct world, witness));
    evidence_checkpoint(world, shard, size, root);
}

struct evidence *evidence_new(struct world *world)
{
    world->witness.saw = saw_checkpoint;
    signing_watch(&world->witness);
    return xcalloc(1, sizeof(struct evidence));
}

void evidence_free(struct evidence *evidence)
{
    if (!evidence)
        return;
    signing_watch(NULL);
    for (struct lane_of_boot *lane = evidence->lanes; lane; lane = lane->next)
        free(lane->frames);
    HASH_CLEAR(hh, evidence->attempts);
    HASH_CLEAR(hh, evidence->actions);
    free(evidence->commits);
    free(evidence->checkpoints);
    arena_done(&evidence->arena);
    free(evidence);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static struct lane_of_boot *lane_of(struct evidence *evidence, const struct frame_header *header)
{
    struct lane_of_boot *lane = evidence->lanes;
    while (lane && (lane->partition != header->partition || strcmp(lane->boot, header->boot) != 0))
        lane = lane->next;
    if (lane)
        return lane;
    lane = arena_alloc(&evidence->arena, sizeof(*lane));
    *lane = (struct lane_of_boot){.next = evidence->lanes, .partition = header->partition};
    memcpy(lane->boot, header->boot, sizeof(lane->boot));
    evidence->lanes = lane;
    return lane;
}

struct fate_ref evidence_published(struct world *world, const struct frame_header *header)
{
    struct lane_of_boot *lane = lane_of(world->evidence, header);
    if (header->sequence != lane->count + 1)
        world_violation(world, "sequence", "partition %u of boot %s: sequence %llu follows %zu", header->partition,
                        header->boot, (unsigned long long)header->sequence, lane->count);
    if (header->confirmed > lane->count)
        world_violation(world, "confirmed", "partition %u: header %llu calls %llu confirmed", header->partition,
                        (unsigned long long)header->sequence, (unsigned long long)header->confirmed);
    for (uint64_t s = 0; s < header->confirmed && s < lane->count; s++)
        if (lane->frames[s].fate == FATE_UNANSWERED)
            world_violation(world, "confirmed", "partition %u: header %llu calls %llu confirmed, %llu is unanswered",
                            header->partition, (unsigned long long)header->sequence,
                            (unsigned long long)header->confirmed, (unsigned long long)s + 1);
    mem_grow(&lane->frames, &lane->cap, lane->count + 1, sizeof(*lane->frames));
    struct fate_of_frame *frame = &lane->frames[lane->count++];
    *frame = (struct fate_of_frame){
        .count = header->count, .confirmed = header->confirmed, .void_count = header->void_count};
    memcpy(frame->voided, header->voided, header->void_count * sizeof(*frame->voided));
    return (struct fate_ref){lane, lane->count - 1};
}

void evidence_answered(struct fate_ref ref, bool confirmed)
{
    if (ref.lane)
        ref.lane->frames[ref.index].fate = confirmed ? FATE_CONFIRMED : FATE_VOID;
}

/* --- commits ------------------------------------------------------------------------------------------------------ */

void evidence_commit(struct world *world, const struct acked_commit *commit)
{
    struct evidence *evidence = world->evidence;
    mem_grow(&evidence->commits, &evidence->commit_cap, evidence->commit_count + 1, sizeof(*evidence->commits));
    evidence->commits[evidence->commit_count++] = *commit;
}

/* --- actions ------------------------------------------------------------------------------------------------------ */

static struct attempt_seen *attempt_of(struct evidence *evidence, const char *action_id, uint32_t attempt, bool add)
{
    char key[64];
    struct attempt_seen *seen;
    int len = snprintf(key, sizeof(key), "%s %u", action_id, attempt);
    HASH_FIND(hh, evidence->attempts, key, (size_t)len, seen);
    if (seen || !add)
        return seen;
    seen = arena_alloc(&evidence->arena, sizeof(*seen) + (size_t)len);
    *seen = (struct attempt_seen){0};
    memcpy(seen->key, key, (size_t)len);
    HASH_ADD_KEYPTR(hh, evidence->attempts, seen->key, (size_t)len, seen);
    return seen;
}

static struct span keep(struct evidence *evidence, struct span text)
{
    return (struct span){arena_copy(&evidence->arena, text.ptr, text.len), text.len};
}

/* One action id for a signal, whatever the attempt. */
static void note_action(struct world *world, const struct governor_change *change)
{
    struct evidence *evidence = world->evidence;
    const struct governor_pending *pending = change->record->pending;
    char key[HISTORY_KEY_MAX];
    struct action_seen *seen;
    int len =
        snprintf(key, sizeof(key), "%.*s\n%.*s\n%s\n%u", (int)change->tenant_id.len, change->tenant_id.ptr,
                 (int)change->entitlement_id.len, change->entitlement_id.ptr, pending->signal_id, pending->redrive);
    HASH_FIND(hh, evidence->actions, key, (size_t)len, seen);
    if (!seen) {
        seen = arena_alloc(&evidence->arena, sizeof(*seen) + (size_t)len);
        *seen = (struct action_seen){0};
        memcpy(seen->key, key, (size_t)len);
        snprintf(seen->action_id, sizeof(seen->action_id), "%s", pending->action_id);
        HASH_ADD_KEYPTR(hh, evidence->actions, seen->key, (size_t)len, seen);
    } else if (strcmp(seen->action_id, pending->action_id) != 0) {
        world_violation(world, "action_id", "%s has the actions %s and %s", pending->signal_id, seen->action_id,
                        pending->action_id);
    }
}

void evidence_pending(struct world *world, const struct governor_change *change)
{
    struct evidence *evidence = world->evidence;
    const struct governor_pending *pending = change->record->pending;
    note_action(world, change);
    struct attempt_seen *seen = attempt_of(evidence, pending->action_id, pending->attempt, true);
    if (seen->committed++)
        return;
    seen->signal_id = keep(evidence, span_of(pending->signal_id));
    seen->tenant_id = keep(evidence, change->tenant_id);
    seen->entitlement_id = keep(evidence, change->entitlement_id);
}

void evidence_started(struct world *world, const char *action_id, uint32_t attempt, struct span bytes)
{
    uint8_t sha256[SHA256_SIZE];
    struct attempt_seen *seen = attempt_of(world->evidence, action_id, attempt, false);
    world->evidence->effects++;
    if (!seen || !seen->committed) {
        world_violation(world, "intent", "attempt %u of action %s was started, but never committed", attempt,
                        action_id);
        return;
    }
    if (seen->started++)
        world_violation(world, "attempt", "attempt %u of action %s was started twice", attempt, action_id);
    hasher_sha256(world->hasher, bytes, sha256);
    const struct sent *sent = history_find_sha(&world->history, sha256);
    if (!sent || !span_eq(sent->signal.id, seen->signal_id) || !span_eq(sent->signal.tenant_id, seen->tenant_id) ||
        !span_eq(sent->signal.entitlement_id, seen->entitlement_id))
        world_violation(world, "action_signal", "action %s got other bytes than those of signal %.*s", action_id,
                        (int)seen->signal_id.len, seen->signal_id.ptr);
}

/* --- checkpoints -------------------------------------------------------------------------------------------------- */

static uint64_t committed_receipts(struct world *world, uint32_t shard)
{
    sqlite3_stmt *stmt = NULL;
    uint64_t count = 0;
    sqlite3_prepare_v2(database_handle(world->lab->database), "SELECT size FROM shards WHERE shard = ?", -1, &stmt,
                       NULL);
    sqlite3_bind_int64(stmt, 1, shard);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        count = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return count;
}

void evidence_checkpoint(struct world *world, uint32_t shard, uint64_t size, const uint8_t root[SHA256_SIZE])
{
    struct evidence *evidence = world->evidence;
    mem_grow(&evidence->checkpoints, &evidence->checkpoint_cap, evidence->checkpoint_count + 1,
             sizeof(*evidence->checkpoints));
    struct checkpoint_seen *seen = &evidence->checkpoints[evidence->checkpoint_count++];
    *seen = (struct checkpoint_seen){.shard = shard, .size = size};
    memcpy(seen->root, root, SHA256_SIZE);
    if (committed_receipts(world, shard) < size)
        world_violation(world, "checkpoint",
                        "shard %u: a checkpoint of %llu receipts, of which only %llu are committed", shard,
                        (unsigned long long)size, (unsigned long long)committed_receipts(world, shard));
}
