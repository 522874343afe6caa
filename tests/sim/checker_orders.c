/* Operators' commands against what became of them, and the store of dead letters against the endings. */
#include "sim/checker.h"
#include "sim/operator.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 1000 };

static bool resolves(const struct ordered *order)
{
    return order->command.kind == COMMAND_REQUEUE || order->command.kind == COMMAND_DISCARD;
}

static void check_found(struct world *world, struct ordered *order, const struct command *found)
{
    unsigned expected = found->status == COMMAND_APPLIED;
    if (found->status == COMMAND_PENDING)
        world_violation(world, "command", "%s is still pending", order->id);
    if (order->receipts != expected)
        world_violation(world, "command", "%s (%s) was %s and has %u receipts", order->id,
                        command_kind_names[order->command.kind], command_status_names[found->status], order->receipts);
    if (found->status != COMMAND_APPLIED)
        return;
    world->requeued += order->command.kind == COMMAND_REQUEUE;
    if (order->runs)
        order->runs->applied++;
}

static void check_order(struct world *world, struct drill *drill, struct ordered *order)
{
    struct awaited awaited = {0};
    struct store_command request = {.req = {.done = awaited_done, .ctx = &awaited}, .id = order->command.id};
    store_command(drill_store(drill), &request);
    if (drill_answered(world, drill, &awaited, "command")) {
        if (request.found)
            check_found(world, order, &request.command);
        else if (order->answered && order->status == 0)
            world_violation(world, "command", "%s was accepted and is not there", order->id);
        else if (order->receipts)
            world_violation(world, "command", "%s has a receipt and is not there", order->id);
    }
    arena_done(&request.req.arena);
}

/* --- dead letters ------------------------------------------------------------------------------------------------- */

static bool is_open(const struct sent *sent)
{
    bool dead = strcmp(sent->ending, "deadlettered") == 0 || strcmp(sent->ending, "failed") == 0;
    return sent->endings && dead && !sent->resolved;
}

static void check_letter(struct world *world, const struct deadletter *letter)
{
    const struct identity *identity = &letter->row.identity;
    struct sent *sent = history_find(&world->history, identity->tenant_id, identity->entitlement_id, identity->id,
                                     identity->redrive, letter->row.sha256);
    if (!sent || !is_open(sent)) {
        world_violation(world, "triage", "%.*s is listed as a dead letter, but %s", (int)identity->id.len,
                        identity->id.ptr, sent && sent->endings ? sent->ending : "has no ending");
        return;
    }
    if (strcmp(sent->receipt_id, letter->id) != 0)
        world_violation(world, "triage", "%.*s is the dead letter %s, its ending is %s", (int)identity->id.len,
                        identity->id.ptr, letter->id, sent->receipt_id);
    sent->listed = true;
}

static void check_letters(struct world *world, struct drill *drill)
{
    uint64_t after = 0;
    bool more = true;
    while (more) {
        struct awaited awaited = {0};
        struct store_deadletters page = {
            .req = {.done = awaited_done, .ctx = &awaited}, .class = -1, .after = after, .limit = PAGE};
        store_deadletters(drill_store(drill), &page);
        more = drill_answered(world, drill, &awaited, "dead letters") && page.more;
        for (size_t i = 0; awaited.status == 0 && i < page.deadletter_count; i++) {
            check_letter(world, &page.deadletters[i]);
            after = page.deadletters[i].order;
        }
        arena_done(&page.req.arena);
    }
    for (size_t i = 0; i < world->history.count; i++) {
        const struct sent *sent = world->history.list[i];
        if (is_open(sent) && !sent->listed)
            world_violation(world, "triage", "%.*s ended %s and is not listed", (int)sent->signal.id.len,
                            sent->signal.id.ptr, sent->ending);
    }
}

void check_orders(struct world *world, struct drill *drill)
{
    for (struct ordered *order = world->orders; order; order = order->next)
        check_order(world, drill, order);
    check_letters(world, drill);
}

void check_operation(struct world *world, struct span command_id, struct span kind, struct sent *resolved)
{
    for (struct ordered *order = world->orders; order; order = order->next) {
        if (!span_eq(order->command.id, command_id))
            continue;
        order->receipts++;
        if (!span_is(kind, command_kind_names[order->command.kind]) || resolves(order) != (resolved != NULL))
            world_violation(world, "command", "%s is another command in its receipt", order->id);
        if (resolved)
            resolved->resolved++;
        return;
    }
    world_violation(world, "command", "nobody gave the command %.*s", (int)command_id.len, command_id.ptr);
}
