/* What clients were told against what became of their signals. */
#include "sim/checker.h"

#include <stdio.h>
#include <stdlib.h>

#define ID(sent)                                                                                                       \
    (int)(sent)->signal.entitlement_id.len, (sent)->signal.entitlement_id.ptr, (int)(sent)->signal.id.len,             \
        (sent)->signal.id.ptr

static void check_endings(struct world *world)
{
    for (size_t i = 0; i < world->history.count; i++) {
        const struct sent *sent = world->history.list[i];
        bool maybe = sent->ok || sent->info || sent->pending || sent->applied;
        if ((sent->ok || sent->applied) && sent->endings == 0)
            world_violation(world, "loss", "%.*s %.*s was %s and has no ending", ID(sent),
                            sent->ok ? "answered 202" : "requeued");
        if (sent->endings > 1)
            world_violation(world, "endings", "%.*s %.*s has %u endings", ID(sent), sent->endings);
        if (!maybe && sent->endings)
            world_violation(world, "invention", "%.*s %.*s ended %s, but no post of it can have been accepted",
                            ID(sent), sent->ending);
    }
}

/* The row of each signal says what its receipt says. */
static void check_rows(struct world *world, struct drill *drill)
{
    const struct history *history = &world->history;
    struct awaited awaited = {0};
    struct store_lookup lookup = {.req = {.done = awaited_done, .ctx = &awaited}, .signal_count = history->count};
    lookup.signals = xcalloc(history->count + 1, sizeof(*lookup.signals));
    for (size_t i = 0; i < history->count; i++) {
        const struct signal *signal = &history->list[i]->signal;
        lookup.signals[i] =
            (struct lookup_signal){.identity = {signal->tenant_id, signal->entitlement_id, signal->id, signal->redrive},
                                   .sha256 = signal->sha256};
    }
    store_lookup(drill_store(drill), &lookup);
    bool answered = drill_answered(world, drill, &awaited, "lookup");
    for (size_t i = 0; answered && i < history->count; i++) {
        const struct sent *sent = history->list[i];
        const struct lookup_signal *row = &lookup.signals[i];
        const char *status = row->found && row->same_hash ? signal_status_names[row->status] : "absent";
        if (strcmp(status, sent->endings ? sent->ending : "absent") != 0)
            world_violation(world, "rows", "%.*s %.*s is %s in its row, and %s by its receipts", ID(sent), status,
                            sent->endings ? sent->ending : "absent");
    }
    free(lookup.signals);
    arena_done(&lookup.req.arena);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Signals that a governor was asked about; the others were put aside before. */
static bool decided(const struct sent *sent)
{
    static const char *const aside[] = {"id_conflict",    "overflow",      "wait_expired", "too_old",
                                        "governor_limit", "role_required", "poison"};
    for (size_t i = 0; i < sizeof(aside) / sizeof(*aside); i++)
        if (strcmp(sent->reason, aside[i]) == 0)
            return false;
    return sent->decided != 0;
}

static bool same_line(const struct sent *a, const struct sent *b)
{
    return a->event == b->event && span_eq(a->signal.tenant_id, b->signal.tenant_id) &&
           span_eq(a->signal.entitlement_id, b->signal.entitlement_id);
}

/* a's 202 before b's first POST, same governor: a is decided before b; signals among signals, events among events. */
static void check_order(struct world *world)
{
    const struct history *history = &world->history;
    for (size_t i = 0; i < history->count; i++) {
        const struct sent *a = history->list[i];
        for (size_t j = 0; a->ok && decided(a) && j < history->count; j++) {
            const struct sent *b = history->list[j];
            if (a->first_ok < b->first_invoked && b->first_invoked != UINT64_MAX && decided(b) && same_line(a, b) &&
                b->decided < a->decided)
                world_violation(world, "order", "%.*s %.*s was accepted before %.*s was posted, but decided after it",
                                ID(a), (int)b->signal.id.len, b->signal.id.ptr);
        }
    }
}

/* The signal that kills is dead-lettered as poison, and where nothing else kills no other is. (An action that was under
 * way as often as it may be tried fails with that reason; whoever it was.) */
static void check_poison(struct world *world)
{
    for (size_t i = 0; i < world->history.count; i++) {
        const struct sent *sent = world->history.list[i];
        bool poison = strcmp(sent->reason, "poison") == 0;
        bool dead = strcmp(sent->ending, "deadlettered") == 0;
        bool kills = world->killer && memcmp(sent->signal.sha256, world->killer->signal.sha256, SHA256_SIZE) == 0;
        if (poison && dead && !kills && !world->killed)
            world_violation(world, "poison", "%.*s %.*s is innocent", ID(sent));
        if (kills && sent->endings && !poison && strcmp(sent->reason, "id_conflict") != 0)
            world_violation(world, "poison", "%.*s %.*s killed, yet ended %s", ID(sent), sent->ending);
    }
}

void check_history(struct world *world, struct drill *drill)
{
    check_endings(world);
    check_rows(world, drill);
    check_order(world);
    check_poison(world);
}
