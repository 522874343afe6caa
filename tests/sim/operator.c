/* The operators: each sits at an andon process and gives commands through its store handle, as andon's API does: halts,
 * resumes, activations and resets of any governor, and now and then of one that is not there; requeues, edited or not,
 * and discards of dead letters from the list. */
#include "sim/operator.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 20, PENDING_MAX = 100 };

struct desk {
    struct process *process;
    bool busy;
    enum command_kind kind; /* of the order that waits for the list */
    struct store_deadletters list;
    struct store_command_add add;
    struct ordered *order;
};

struct desk *desk_new(struct process *process)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    desk->process = process;
    return desk;
}

bool desk_busy(const struct desk *desk)
{
    return desk && desk->busy;
}

void desk_free(struct desk *desk)
{
    if (!desk)
        return;
    arena_done(&desk->list.req.arena);
    arena_done(&desk->add.req.arena);
    free(desk);
}

static struct span keep(struct world *world, struct span text)
{
    return (struct span){arena_copy(world->history.arena, text.ptr, text.len), text.len};
}

/* --- giving ------------------------------------------------------------------------------------------------------- */

static void on_added(struct store_request *request, int status)
{
    struct desk *desk = request->ctx;
    struct world *world = desk->process->world;
    world_trace(world, "command %s (%s) is answered %d", desk->order->id, command_kind_names[desk->order->command.kind],
                status);
    desk->busy = false;
    desk->order->answered = true;
    desk->order->status = status;
    arena_done(&request->arena);
}

static struct ordered *order_new(struct world *world, enum command_kind kind, struct span tenant_id,
                                 struct span entitlement_id)
{
    struct ordered *order = arena_alloc(world->history.arena, sizeof(*order));
    *order = (struct ordered){.next = world->orders};
    world->orders = order;
    snprintf(order->id, sizeof(order->id), "command-%u", ++world->ordered);
    order->command = (struct command){.id = span_of(order->id),
                                      .kind = kind,
                                      .tenant_id = keep(world, tenant_id),
                                      .entitlement_id = keep(world, entitlement_id),
                                      .args = SPAN("{\"reason\":\"simulated\"}"),
                                      .operator= SPAN("sim"),
                                      .created_at_ms = world->time.wall_us / 1000};
    order->command.partition = hash_bucket(tenant_id, entitlement_id, (uint32_t)world->config.partitions);
    return order;
}

static void give(struct desk *desk, struct ordered *order)
{
    desk->busy = true;
    desk->order = order;
    desk->add = (struct store_command_add){
        .req = {.done = on_added, .ctx = desk}, .command = order->command, .max_pending = PENDING_MAX};
    store_command_add(desk->process->andon_store, &desk->add);
}

/* --- governors ---------------------------------------------------------------------------------------------------- */

static void govern(struct desk *desk, enum command_kind kind)
{
    struct world *world = desk->process->world;
    struct random *random = &world->random;
    char tenant[8], entitlement[16];
    workload_governor(world, tenant, sizeof(tenant), entitlement, sizeof(entitlement));
    struct ordered *order = order_new(world, kind, span_of(tenant), span_of(entitlement));
    if (kind == COMMAND_ACTIVATE && random_chance(random, 500))
        order->command.args = SPAN("{\"quota_limit\":5,\"quota_period\":\"day\",\"reason\":\"simulated\"}");
    give(desk, order);
}

/* --- dead letters ------------------------------------------------------------------------------------------------- */

/* What an edited requeue runs instead. */
static void edit(struct world *world, struct ordered *order, const struct signal *original, struct signal *signal)
{
    struct buf envelope;
    char tenant[65];
    snprintf(tenant, sizeof(tenant), "%.*s", (int)original->tenant_id.len, original->tenant_id.ptr);
    workload_body(world, signal, false, tenant);
    order->command.bytes = keep(world, signal->bytes);
    signal->data.ptr = order->command.bytes.ptr + (signal->data.ptr - signal->bytes.ptr);
    signal->bytes = order->command.bytes;
    buf_init(&envelope, 1 << 16);
    frame_encode_envelope(signal, &envelope);
    order->command.envelope = keep(world, buf_span(&envelope));
    buf_done(&envelope);
}

static void order_requeue(struct desk *desk, struct ordered *order, const struct deadletter *letter)
{
    struct world *world = desk->process->world;
    const struct identity *identity = &letter->row.identity;
    const struct sent *sent = history_find(&world->history, identity->tenant_id, identity->entitlement_id, identity->id,
                                           identity->redrive, letter->row.sha256);
    if (!sent)
        return;
    struct signal signal = sent->signal;
    signal.redrive++;
    if (!sent->event && random_chance(&world->random, 300))
        edit(world, order, &sent->signal, &signal);
    struct sent *runs = history_find(&world->history, signal.tenant_id, signal.entitlement_id, signal.id,
                                     signal.redrive, signal.sha256);
    order->runs = runs ? runs : history_add(&world->history, &signal, sent->event, sent->partition);
    order->runs->redriven = true;
}

static void resolve(struct desk *desk, const struct deadletter *letter)
{
    struct world *world = desk->process->world;
    struct ordered *order =
        order_new(world, desk->kind, letter->row.identity.tenant_id, letter->row.identity.entitlement_id);
    memcpy(order->command.deadletter_id, letter->id, sizeof(letter->id));
    order->command.partition = letter->partition;
    if (desk->kind == COMMAND_REQUEUE)
        order_requeue(desk, order, letter);
    give(desk, order);
}

static void on_list(struct store_request *request, int status)
{
    struct desk *desk = request->ctx;
    struct random *random = &desk->process->world->random;
    desk->busy = false;
    if (status == 0 && desk->list.deadletter_count)
        resolve(desk, &desk->list.deadletters[random_below(random, (unsigned)desk->list.deadletter_count)]);
    arena_done(&request->arena);
}

static void look(struct desk *desk, enum command_kind kind)
{
    desk->busy = true;
    desk->kind = kind;
    desk->list = (struct store_deadletters){.req = {.done = on_list, .ctx = desk}, .class = -1, .limit = LIST_MAX};
    store_deadletters(desk->process->andon_store, &desk->list);
}

/* --- the step ----------------------------------------------------------------------------------------------------- */

void operator_step(struct world *world)
{
    struct random *random = &world->random;
    struct process *process = &world->processes[random_below(random, world->process_count)];
    if (!process->up || process_stalled(process) || !process->desk || desk_busy(process->desk))
        return;
    enum command_kind kind = (enum command_kind)random_below(random, COMMAND_KIND_COUNT);
    if (world->calm)
        kind = COMMAND_DISCARD; /* what fills the store of dead letters would hold up the rest */
    world_active(world);
    if (kind == COMMAND_REQUEUE || kind == COMMAND_DISCARD)
        look(process->desk, kind);
    else
        govern(process->desk, kind);
}
