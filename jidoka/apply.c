/* One governor step and what follows from it: rows, outcomes, actions to start, waiting rows to release. Turns the pure
 * core's result into the batch's transaction; nothing leaves before it commits. */
#include "jidoka/worker.h"

#include <stdlib.h>

static const enum signal_status status_of[] = {
    [SIGNAL_WAITS] = SIGNAL_WAITING,        [SIGNAL_IS_DEFERRED] = SIGNAL_WAITING,
    [SIGNAL_ACTS] = SIGNAL_ACTING,          [SIGNAL_ENDS_EXECUTED] = SIGNAL_EXECUTED,
    [SIGNAL_ENDS_FAILED] = SIGNAL_FAILED,   [SIGNAL_ENDS_DENIED] = SIGNAL_DENIED,
    [SIGNAL_ENDS_REFUSED] = SIGNAL_REFUSED, [SIGNAL_ENDS_DEADLETTERED] = SIGNAL_DEADLETTERED,
};

static struct receipt_fields fields_of(const struct batch *batch, const struct governor_entry *entry,
                                       const struct governor_result *result)
{
    struct receipt_fields fields = {.type = result->receipt,
                                    .timestamp_ms = batch->now.wall_ms,
                                    .action_id = span_of(result->action_id),
                                    .policy = span_of(result->policy),
                                    .action = span_of(result->action),
                                    .reason = span_of(result->reason),
                                    .config_sha256 = span_of(batch->partition->jidoka->config->config_sha256),
                                    .state_before = governor_state_names[result->state_before],
                                    .state_after = governor_state_names[result->state_after],
                                    .alerts = result->alerts,
                                    .alert_count = result->alert_count};
    fields.tenant_id = governor_tenant(entry);
    fields.entitlement_id = governor_entitlement(entry);
    if (result->receipt != RECEIPT_OPERATOR || !batch->operation)
        return fields;
    fields.operation = batch->operation;
    if (batch->operation->reason.len)
        fields.reason = batch->operation->reason;
    return fields;
}

static void fields_signal(struct receipt_fields *fields, const struct signal *signal)
{
    fields->signal_id = signal->id;
    fields->redrive = signal->redrive;
    fields->signal_sha256 = signal->sha256;
    fields->signal_type = signal->type;
    fields->accepted_at_ms = signal->accepted_at_ms;
}

static void row_status(struct batch *batch, struct signal_change *change, enum signal_status status, const char *reason)
{
    change->row.status = status;
    change->row.changed_at_ms = batch->now.wall_ms;
    change->row.reason = (struct span){arena_copy(&batch->arena, reason, strlen(reason)), strlen(reason)};
    if (status >= SIGNAL_EXECUTED) {
        batch->endings[status]++;
        batch->commit.ended++;
    }
}

static void row_outcome(struct signal_change *change, uint64_t number)
{
    if (change->row.outcome_count < SIGNAL_OUTCOMES_MAX)
        change->row.outcomes[change->row.outcome_count++] = number;
}

/* What did not end well is kept in triage, under the id of the receipt that says so. */
static void open_deadletter(struct batch *batch, struct signal_change *change, uint64_t number,
                            const struct governor_entry *entry)
{
    const struct signal_row *row = &change->row;
    struct jidoka *jidoka = batch->partition->jidoka;
    if (row->status != SIGNAL_DEADLETTERED && row->status != SIGNAL_FAILED)
        return;
    struct deadletter_change *deadletter = arena_alloc(&batch->arena, sizeof(*deadletter));
    deadletter->class =
        deadletter_class_of(row->status, row->reason, entry ? entry->record.opened_by : OPENED_BY_NOBODY);
    deadletter->state = entry ? entry->record.state : GOVERNOR_STATE_COUNT;
    receipt_id_of(jidoka->hasher, batch->partition->id,
                  shard_of(row->identity.tenant_id, (uint32_t)jidoka->config->shards), number, deadletter->id);
    change->deadletter = deadletter;
    batch->deadletters[deadletter->class]++;
}

void apply_created(struct batch *batch, struct governor_entry *entry, const struct governor_result *result)
{
    struct receipt_fields fields = fields_of(batch, entry, result);
    fields.after = &entry->record;
    batch_outcome(batch, &fields);
    batch_change(batch, entry);
    partition_timers(batch->partition, &entry->record);
}

/* The signal whose action this governor waited for ends here. */
static void end_acting(struct batch *batch, struct governor_entry *entry, const struct governor_result *result,
                       struct receipt_fields *fields)
{
    struct signal_change *change = batch_signal(batch, false);
    struct acting *acting = entry->acting;
    struct span tenant = governor_tenant(entry), entitlement = governor_entitlement(entry);
    size_t id_len = strlen(result->acting_id);
    change->row.identity =
        (struct identity){{arena_copy(&batch->arena, tenant.ptr, tenant.len), tenant.len},
                          {arena_copy(&batch->arena, entitlement.ptr, entitlement.len), entitlement.len},
                          {arena_copy(&batch->arena, result->acting_id, id_len), id_len},
                          result->acting_redrive};
    row_status(batch, change, status_of[result->acting], result->acting_reason);
    fields->signal_id = change->row.identity.id;
    fields->redrive = result->acting_redrive;
    fields->signal_sha256 = acting ? acting->sha256 : NULL;
    fields->ending = signal_status_names[change->row.status];
    uint64_t number;
    if (fields->type != RECEIPT_ACTION_SUCCESS && fields->type != RECEIPT_ACTION_FAILURE) {
        struct receipt_fields extra = *fields;
        extra.type = RECEIPT_ACTION_FAILURE;
        extra.reason = span_of(result->acting_reason);
        extra.after = NULL;
        extra.state_after = extra.state_before; /* the move is in the receipt that follows */
        extra.alert_count = 0;
        extra.operation = NULL;
        number = batch_outcome(batch, &extra);
        fields->signal_id = (struct span){0};
        fields->signal_sha256 = NULL;
        fields->ending = NULL;
    } else {
        number = batch_outcome(batch, fields);
        fields->type = RECEIPT_TYPE_COUNT; /* written */
    }
    row_outcome(change, number);
    open_deadletter(batch, change, number, entry);
    batch->commit.acting--;
    acting_free(acting);
    entry->acting = NULL;
}

static void begin_acting(struct batch *batch, struct governor_entry *entry, const struct signal *signal)
{
    struct acting *acting = xcalloc(1, sizeof(*acting));
    acting->bytes = xstrndup(signal->bytes.ptr, signal->bytes.len);
    acting->len = signal->bytes.len;
    memcpy(acting->sha256, signal->sha256, SHA256_SIZE);
    entry->acting = acting;
    batch->commit.acting++;
    batch_start(batch, entry);
}

static void end_signal(struct batch *batch, struct governor_entry *entry, const struct governor_result *result,
                       struct applied_signal *signal, struct receipt_fields *fields)
{
    enum signal_status status = status_of[result->disposition];
    fields_signal(fields, signal->signal);
    if (status >= SIGNAL_EXECUTED)
        fields->ending = signal_status_names[status];
    row_status(batch, signal->change, status, result->reason);
    if (result->disposition != SIGNAL_ACTS)
        return;
    if (signal->change->insert)
        signal->change->row.line = batch->commit.next_line++;
    begin_acting(batch, entry, signal->signal);
}

static void after_step(struct batch *batch, struct governor_entry *entry, const struct governor_result *result)
{
    struct partition *p = batch->partition;
    if (result->changed)
        batch_change(batch, entry);
    if (result->cancel_action && entry->job) {
        runner_cancel(entry->job);
        entry->job = NULL;
    }
    if (result->state_before != result->state_after) {
        entry->deferred_until = 0; /* the one that is deferred may now be decided otherwise */
        metric_inc(p->jidoka->metrics.moves);
        log_event(p->jidoka->options.log, LOG_DEBUG, "governor_moved", LOG_B("tenant_id", governor_tenant(entry)),
                  LOG_B("entitlement_id", governor_entitlement(entry)),
                  LOG_S("from", governor_state_names[result->state_before]),
                  LOG_S("to", governor_state_names[result->state_after]), LOG_S("reason", result->reason));
    }
    if (entry->waiting && !governor_waits(&entry->record, false))
        partition_release(p, entry);
    partition_timers(p, &entry->record);
}

enum disposition apply_step(struct batch *batch, struct governor_entry *entry, const struct governor_input *input,
                            struct applied_signal *signal)
{
    struct jidoka *jidoka = batch->partition->jidoka;
    struct governor_record before;
    struct governor_result result;
    governor_record_copy(&before, &entry->record);
    jidoka->deciding = signal ? signal->signal : NULL;
    governor_step(&entry->record, &jidoka->env, input, batch->now, &result);
    jidoka->deciding = NULL;
    if (signal && result.disposition == SIGNAL_IS_DEFERRED) {
        governor_record_done(&before);
        waiting_defer(batch, entry, signal, result.wait_ms);
        return signal->change->row.status == SIGNAL_WAITING ? SIGNAL_IS_DEFERRED : SIGNAL_ENDS_DEADLETTERED;
    }

    struct receipt_fields fields = fields_of(batch, entry, &result);
    fields.before = &before;
    fields.after = result.changed ? &entry->record : NULL;
    if (signal && result.disposition != SIGNAL_KEEPS)
        end_signal(batch, entry, &result, signal, &fields);
    if (result.acting != SIGNAL_KEEPS)
        end_acting(batch, entry, &result, &fields);
    if (result.receipted && fields.type != RECEIPT_TYPE_COUNT) {
        uint64_t number = batch_outcome(batch, &fields);
        if (signal && result.disposition != SIGNAL_KEEPS) {
            row_outcome(signal->change, number);
            open_deadletter(batch, signal->change, number, entry);
        }
    }
    governor_record_done(&before);
    after_step(batch, entry, &result);
    return result.disposition;
}

void apply_ending(struct batch *batch, struct governor_entry *entry, enum signal_status status, const char *reason,
                  struct applied_signal *signal)
{
    const struct signal *s = signal->signal;
    struct receipt_fields fields = {.type = status == SIGNAL_DEADLETTERED ? RECEIPT_DEADLETTER : RECEIPT_REFUSAL,
                                    .timestamp_ms = batch->now.wall_ms,
                                    .tenant_id = s->tenant_id,
                                    .entitlement_id = s->entitlement_id,
                                    .reason = span_of(reason),
                                    .config_sha256 = span_of(batch->partition->jidoka->config->config_sha256),
                                    .ending = signal_status_names[status]};
    if (entry)
        fields.state_before = fields.state_after = governor_state_names[entry->record.state];
    fields_signal(&fields, s);
    row_status(batch, signal->change, status, reason);
    uint64_t number = batch_outcome(batch, &fields);
    row_outcome(signal->change, number);
    open_deadletter(batch, signal->change, number, entry);
}
