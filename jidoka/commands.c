/* Operators' commands, ahead of waiting signals and frames: read oldest first with the dead letters they name, looked
 * up, carried out and ended in one transaction, each once: a command is pending or has ended by the very commit that
 * did what it says. What cannot be done is rejected with a reason that an operator understands.
 *
 * A requeue is a new identity, redrive one higher, accepted now and stepped like any signal; the dead letter it
 * resolves is closed with its receipt. */
#include "jidoka/worker.h"

enum { COMMANDS_MAX = 64 };

/* One command of the batch. */
struct order {
    const struct pending_command *pending;
    const struct lookup_signal *redriven; /* requeue: the identity that would be new */
    struct span reason;                   /* the operator's */
    const char *wrong;                    /* why it is rejected */
};

static const char not_open[] = "the dead letter is not open: it was requeued or discarded, or there never was one";

/* --- the receipt -------------------------------------------------------------------------------------------------- */

static struct receipt_operation operation_of(const struct order *order)
{
    const struct command *command = &order->pending->command;
    return (struct receipt_operation){.command = command_kind_names[command->kind],
                                      .command_id = command->id,
                                      .operator= command->operator,
                                      .reason = order->reason,
                                      .deadletter_id = command->deadletter_id[0] ? command->deadletter_id : NULL};
}

/* Of a requeue or discard; also named by the row, which keeps its ending. */
static void receipt_resolution(struct batch *batch, const struct order *order, const uint8_t *edited_sha256)
{
    const struct signal_row *row = &order->pending->deadletter->row;
    struct receipt_operation operation = operation_of(order);
    operation.edited_sha256 = edited_sha256;
    struct receipt_fields fields = {
        .type = RECEIPT_OPERATOR,
        .timestamp_ms = batch->now.wall_ms,
        .tenant_id = row->identity.tenant_id,
        .entitlement_id = row->identity.entitlement_id,
        .signal_id = row->identity.id,
        .redrive = row->identity.redrive,
        .signal_sha256 = row->sha256,
        .reason = order->reason.len ? order->reason : SPAN("requeued"),
        .config_sha256 = span_of(batch->partition->jidoka->config->config_sha256),
        .operation = &operation,
    };
    struct signal_change *change = batch_signal(batch, false);
    change->row = *row;
    change->row.outcomes[0] = batch_outcome(batch, &fields);
    change->row.outcome_count = 1;
}

/* --- requeue and discard ------------------------------------------------------------------------------------------ */

static bool resolved_before(const struct batch *batch, const char *deadletter_id)
{
    for (size_t i = 0; i < batch->commit.command_count; i++)
        if (strcmp(batch->commit.commands[i].resolves, deadletter_id) == 0)
            return true;
    return false;
}

/* The signal to run, or NULL with order->wrong. */
static struct signal *redriven_signal(struct batch *batch, struct order *order)
{
    const struct command *command = &order->pending->command;
    const struct signal_row *row = &order->pending->deadletter->row;
    bool edited = command->bytes.len > 0;
    struct signal *signal = arena_alloc(&batch->arena, sizeof(*signal));
    struct error error;
    if (frame_decode_envelope(edited ? command->envelope : row->envelope, edited ? command->bytes : row->bytes, signal,
                              &error) < 0) {
        order->wrong = "what is kept of the signal cannot be read: requeue it edited, or discard it";
        return NULL;
    }
    if (edited)
        hasher_sha256(batch->partition->jidoka->hasher, signal->bytes, signal->sha256);
    signal->tenant_id = row->identity.tenant_id;
    signal->entitlement_id = row->identity.entitlement_id;
    signal->id = row->identity.id;
    signal->redrive = row->identity.redrive + 1;
    signal->accepted_at_ms = batch->now.wall_ms;
    return signal;
}

static void requeue(struct batch *batch, struct order *order)
{
    const struct signal_row *row = &order->pending->deadletter->row;
    if (row->conflict)
        order->wrong = "a further body under a known id cannot be requeued, only discarded";
    else if (span_is(row->identity.tenant_id, "_system"))
        order->wrong = "a frame that could not be read cannot be requeued, only discarded";
    else if (row->identity.redrive == UINT32_MAX || order->redriven->found || !order->redriven->redrivable)
        order->wrong = "the signal has been requeued already";
    struct signal *signal = order->wrong ? NULL : redriven_signal(batch, order);
    if (!signal)
        return;
    receipt_resolution(batch, order, order->pending->command.bytes.len ? signal->sha256 : NULL);
    batch->commit.requeued++;
    if (batch->poison)
        signal_dead_letter(batch, partition_find(batch->partition, signal->tenant_id, signal->entitlement_id), signal,
                           false, "poison");
    else
        signal_step(batch, signal, true);
}

static void resolve(struct batch *batch, struct order *order)
{
    const struct deadletter *deadletter = order->pending->deadletter;
    if (!deadletter || resolved_before(batch, deadletter->id))
        order->wrong = not_open;
    else if (order->pending->command.kind == COMMAND_REQUEUE)
        requeue(batch, order);
    else
        receipt_resolution(batch, order, NULL);
    if (!order->wrong)
        batch->deadletters[deadletter->class]--;
}

/* --- governors ---------------------------------------------------------------------------------------------------- */

static void govern(struct batch *batch, struct order *order)
{
    static const enum governor_input_kind inputs[] = {[COMMAND_HALT] = INPUT_HALT,
                                                      [COMMAND_RESUME] = INPUT_RESUME,
                                                      [COMMAND_ACTIVATE] = INPUT_ACTIVATE,
                                                      [COMMAND_RESET_QUOTA] = INPUT_RESET_QUOTA};
    const struct command *command = &order->pending->command;
    struct governor_input input = {.kind = inputs[command->kind], .reason = order->reason};
    struct receipt_operation operation = operation_of(order);
    struct governor_entry *entry = partition_find(batch->partition, command->tenant_id, command->entitlement_id);
    if (command->kind == COMMAND_ACTIVATE) {
        governor_read_activation(batch->partition->jidoka, &input, command->args);
        if (!entry)
            entry = governor_new(batch, command->tenant_id, command->entitlement_id, input.sku_id);
    }
    if (!entry) {
        order->wrong = command->kind == COMMAND_ACTIVATE
                           ? "there are as many governors as there may be (governors.max, governors.max_per_tenant)"
                           : "there is no governor for this tenant and entitlement";
        return;
    }
    batch->operation = &operation;
    (void)apply_step(batch, entry, &input, NULL);
    batch->operation = NULL;
}

/* --- the batch ---------------------------------------------------------------------------------------------------- */

static struct span read_reason(struct batch *batch, const struct command *command)
{
    struct jidoka *jidoka = batch->partition->jidoka;
    if (json_parse(&jidoka->doc, command->args, NULL) < 0 || jidoka->doc.nodes[0].type != JSON_OBJECT)
        return SPAN("");
    struct span text = json_text(&jidoka->doc, json_get(&jidoka->doc, jidoka->doc.nodes, "reason"), &jidoka->scratch);
    return (struct span){arena_copy(&batch->arena, text.ptr, text.len), text.len};
}

static void carry_out(struct batch *batch, struct order *order, struct command_change *changes)
{
    const struct command *command = &order->pending->command;
    order->reason = read_reason(batch, command);
    if (command->kind == COMMAND_REQUEUE || command->kind == COMMAND_DISCARD)
        resolve(batch, order);
    else
        govern(batch, order);
    struct command_change *change = &changes[batch->commit.command_count++];
    *change = (struct command_change){.id = command->id,
                                      .status = order->wrong ? COMMAND_REJECTED : COMMAND_APPLIED,
                                      .reason = order->wrong ? span_of(order->wrong) : SPAN("")};
    if (!order->wrong)
        memcpy(change->resolves, command->deadletter_id, sizeof(change->resolves));
    log_event(batch->partition->jidoka->options.log, LOG_INFO, "command", LOG_B("command_id", command->id),
              LOG_S("kind", command_kind_names[command->kind]), LOG_S("status", command_status_names[change->status]),
              LOG_B("operator", command->operator), LOG_B("tenant_id", command->tenant_id),
              LOG_B("entitlement_id", command->entitlement_id), LOG_S("reason", order->wrong ? order->wrong : ""));
}

static void carry_out_all(struct batch *batch)
{
    const struct store_commands *commands = &batch->commands;
    struct command_change *changes = arena_alloc(&batch->arena, commands->command_count * sizeof(*changes));
    batch->commit.commands = changes;
    for (size_t i = 0, redriven = 0; i < commands->command_count; i++) {
        struct order order = {.pending = &commands->commands[i]};
        if (order.pending->deadletter)
            order.redriven = &batch->lookup.signals[redriven++];
        carry_out(batch, &order, changes);
    }
    batch_commit(batch);
}

static void commands_look_up(struct batch *batch);

/* What is requeued one by one may be what the worker died of. */
static void on_lookup(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    const struct store_lookup *lookup = &batch->lookup;
    status = partition_verify(batch->partition, &batch->lookup, status);
    if (batch_failed(request, status, "lookup_failed", commands_look_up))
        return;
    partition_cache(batch->partition, &batch->lookup);
    if (batch->single && lookup->signal_count && batch->commands.commands[0].command.kind == COMMAND_REQUEUE)
        attempt_guard(batch, &lookup->signals[0].identity, lookup->signals[0].attempts, carry_out_all);
    else
        carry_out_all(batch);
}

static void commands_look_up(struct batch *batch)
{
    struct store_lookup *lookup = &batch->lookup;
    lookup->req.done = on_lookup;
    lookup->req.ctx = batch;
    lookup->partition = batch->partition->id;
    store_lookup(batch->partition->jidoka->store, lookup);
}

static void gather(struct batch *batch)
{
    struct store_lookup *lookup = &batch->lookup;
    lookup->signals = xcalloc(batch->commands.command_count, sizeof(*lookup->signals));
    for (size_t i = 0; i < batch->commands.command_count; i++) {
        const struct pending_command *pending = &batch->commands.commands[i];
        batch_look_up_governor(batch, pending->command.tenant_id, pending->command.entitlement_id);
        if (!pending->deadletter)
            continue;
        const struct signal_row *row = &pending->deadletter->row;
        struct lookup_signal *signal = &lookup->signals[lookup->signal_count++];
        *signal = (struct lookup_signal){.identity = row->identity, .sha256 = row->sha256};
        signal->identity.redrive++;
    }
}

static void read_commands(struct batch *batch);

static void on_commands(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    if (batch_failed(request, status, "commands_failed", read_commands))
        return;
    if (batch->commands.command_count == 0) {
        batch_over(batch);
        return;
    }
    batch->partition->commands |= batch->commands.command_count == batch->commands.limit;
    gather(batch);
    commands_look_up(batch);
}

static void read_commands(struct batch *batch)
{
    struct store_commands *commands = &batch->commands;
    commands->req.done = on_commands;
    commands->req.ctx = batch;
    commands->partition = batch->partition->id;
    commands->limit = batch->single ? 1 : COMMANDS_MAX;
    store_commands(batch->partition->jidoka->store, commands);
}

void commands_begin(struct partition *p)
{
    struct batch *batch = batch_new(p, BATCH_COMMANDS);
    p->commands = false;
    batch->single = batch->lookup.attempts = attempts_single(p);
    read_commands(batch);
}

static void on_wake(void *ctx)
{
    struct jidoka *jidoka = ctx;
    for (int64_t i = 0; i < jidoka->config->partitions; i++) {
        jidoka->partitions[i].commands = true;
        event_active(jidoka->partitions[i].ready, EV_TIMEOUT, 0);
    }
}

void commands_listen(struct jidoka *jidoka)
{
    store_on_commands(jidoka->store, on_wake, jidoka);
}
