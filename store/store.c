/* The store's front: checks what a request asks for, then hands it to the backend. A request that breaks the contract
 * is answered -EINVAL like any other answer, from dispatch. Runs on the thread that opened the handle. */
#include "store/backend.h"

#include <stdlib.h>

struct store {
    const struct store_backend_ops *ops;
    struct store_link *link;
};

int store_open(struct store_backend *backend, struct store **ret, struct error *err)
{
    struct store_link *link;
    int rc = backend->ops->link_open(backend, &link, err);
    if (rc < 0)
        return rc;
    struct store *store = xcalloc(1, sizeof(*store));
    *store = (struct store){.ops = backend->ops, .link = link};
    *ret = store;
    return 0;
}

int store_poll_fd(const struct store *store)
{
    return store->ops->poll_fd(store->link);
}

void store_dispatch(struct store *store)
{
    store->ops->dispatch(store->link);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store->ops->link_close(store->link);
    free(store);
}

void store_backend_free(struct store_backend *backend)
{
    if (backend)
        backend->ops->free(backend);
}

void store_on_outcomes(struct store *store, void (*wake)(void *ctx), void *ctx)
{
    store->ops->on_outcomes(store->link, wake, ctx);
}

void store_on_commands(struct store *store, void (*wake)(void *ctx), void *ctx)
{
    store->ops->on_commands(store->link, wake, ctx);
}

/* Each check returns what is wrong, or NULL. */
static const char *const ids = "an id is empty or longer than STORE_ID_MAX";
static const char *const numbers = "a number is outside its bounds";
static const char *const limits = "limit is 0 or beyond STORE_LIMIT_MAX";
static const char *const texts = "a text is longer than its bound";

static bool good_id(struct span id)
{
    return id.len > 0 && id.len <= STORE_ID_MAX;
}

static bool good_key(struct span tenant_id, struct span entitlement_id)
{
    return good_id(tenant_id) && good_id(entitlement_id);
}

static bool good_identity(const struct identity *identity)
{
    return good_key(identity->tenant_id, identity->entitlement_id) && good_id(identity->id);
}

static const char *check_heartbeat(const char *worker, uint32_t slots, uint32_t max, int64_t ttl_ms)
{
    if (!worker || !good_id(span_of(worker)))
        return ids;
    if (slots == 0 || slots > max || ttl_ms <= 0 || ttl_ms > INT32_MAX)
        return numbers;
    return NULL;
}

static const char *check_lookup(const struct store_lookup *request)
{
    for (size_t i = 0; i < request->signal_count; i++)
        if (!good_identity(&request->signals[i].identity))
            return ids;
    for (size_t i = 0; i < request->governor_count; i++)
        if (!good_key(request->governors[i].tenant_id, request->governors[i].entitlement_id))
            return ids;
    return NULL;
}

static const char *check_row(const struct signal_row *row)
{
    if (!good_identity(&row->identity))
        return ids;
    if ((unsigned)row->status >= SIGNAL_STATUS_COUNT || row->outcome_count > SIGNAL_OUTCOMES_MAX)
        return numbers;
    if (row->reason.len > STORE_REASON_MAX || row->envelope.len > STORE_TEXT_MAX || row->bytes.len > STORE_TEXT_MAX)
        return texts;
    for (uint32_t i = 0; i < row->outcome_count; i++)
        if (row->outcomes[i] > INT64_MAX || row->outcomes[i] <= (i ? row->outcomes[i - 1] : 0))
            return "outcome numbers of a signal must rise from 1";
    return NULL;
}

static bool good_uuid(const char text[UUID_TEXT + 1])
{
    return strnlen(text, UUID_TEXT + 1) == UUID_TEXT;
}

static const char *check_deadletter(const struct signal_change *change)
{
    const struct deadletter_change *deadletter = change->deadletter;
    if (!deadletter)
        return NULL;
    if (change->row.status != SIGNAL_DEADLETTERED && change->row.status != SIGNAL_FAILED)
        return "only what is deadlettered or failed becomes a dead letter";
    if (!good_uuid(deadletter->id))
        return ids;
    return (unsigned)deadletter->class >= CLASS_COUNT || (unsigned)deadletter->state > GOVERNOR_STATE_COUNT ? numbers
                                                                                                            : NULL;
}

static const char *check_signals(const struct store_commit *request)
{
    for (size_t i = 0; i < request->signal_count; i++) {
        const struct signal_row *row = &request->signals[i].row;
        const char *wrong = check_row(row);
        if (wrong)
            return wrong;
        if (request->signals[i].insert && row->status <= SIGNAL_ACTING && (row->line == 0 || row->line > INT64_MAX))
            return "a waiting or acting row needs a line";
        bool deferred = row->status == SIGNAL_WAITING && span_is(row->reason, WAITING_DEFERRED);
        if (row->due_ms < 0 || (deferred && (row->due_ms == 0 || row->deferrals == 0)))
            return numbers;
        wrong = check_deadletter(&request->signals[i]);
        if (wrong)
            return wrong;
    }
    return NULL;
}

static const char *check_governors(const struct store_commit *request)
{
    for (size_t i = 0; i < request->governor_count; i++) {
        const struct governor_change *change = &request->governors[i];
        const struct governor_record *record = change->record;
        if (!good_key(change->tenant_id, change->entitlement_id))
            return ids;
        if ((unsigned)record->state >= GOVERNOR_STATE_COUNT || (unsigned)record->entitlement >= ENTITLEMENT_COUNT ||
            (unsigned)record->quota_period >= PERIOD_COUNT || (unsigned)record->opened_by > OPENED_BY_OPERATOR ||
            record->quota_limit < QUOTA_NONE || record->quota_used < 0 || record->boot_due < 0 ||
            record->breaker_due < 0)
            return numbers;
        if ((record->pending != NULL) != (record->state == GOVERNOR_ACTION_PENDING))
            return "pending must be set exactly in action_pending";
        if ((record->policy_state &&
             (strlen(record->policy_state) > POLICY_STATE_MAX || *record->policy_state != '{')) ||
            (record->sku_id && strlen(record->sku_id) > STORE_ID_MAX))
            return texts;
    }
    return NULL;
}

static const char *check_outcomes(const struct store_commit *request)
{
    for (size_t i = 0; i < request->outcome_count; i++) {
        const struct outcome *outcome = &request->outcomes[i];
        if (request->outcome_shards[i] >= STORE_SHARDS_MAX || outcome->number == 0 || outcome->number > INT64_MAX - 1)
            return numbers;
        if (outcome->tenant_id.len > STORE_ID_MAX || outcome->text.len > STORE_TEXT_MAX)
            return texts;
    }
    return NULL;
}

static bool good_command_id(struct span id)
{
    return id.len > 0 && id.len <= COMMAND_ID_MAX;
}

static const char *check_command_ends(const struct store_commit *request)
{
    for (size_t i = 0; i < request->command_count; i++) {
        const struct command_change *change = &request->commands[i];
        if (!good_command_id(change->id) || (change->resolves[0] && !good_uuid(change->resolves)))
            return ids;
        if (change->status != COMMAND_APPLIED && change->status != COMMAND_REJECTED)
            return numbers;
        if (change->reason.len > STORE_REASON_MAX)
            return texts;
    }
    if ((request->attempt_begins && !good_identity(request->attempt_begins)) ||
        (request->attempt_finishes && !good_identity(request->attempt_finishes)))
        return ids;
    return NULL;
}

static const char *check_command(const struct command *command)
{
    bool names_deadletter = command->kind == COMMAND_REQUEUE || command->kind == COMMAND_DISCARD;
    if (!good_command_id(command->id) || !good_key(command->tenant_id, command->entitlement_id) ||
        !(names_deadletter ? good_uuid(command->deadletter_id) : !command->deadletter_id[0]))
        return ids;
    if ((unsigned)command->kind >= COMMAND_KIND_COUNT || command->partition >= STORE_PARTITIONS_MAX)
        return numbers;
    if (command->operator.len == 0 || command->operator.len> COMMAND_OPERATOR_MAX || command->args.len<2 ||
        command->args.len> COMMAND_ARGS_MAX || command->envelope.len> STORE_TEXT_MAX ||
        command->bytes.len> STORE_TEXT_MAX)
        return texts;
    return (command->bytes.len > 0) != (command->envelope.len > 0) ||
                   (command->bytes.len && command->kind != COMMAND_REQUEUE)
               ? "only a requeue brings an edited signal, with its envelope"
               : NULL;
}

static const char *check_deadletters(const struct store_deadletters *request)
{
    if (request->class < -1 || request->class >= CLASS_COUNT || request->after > INT64_MAX)
        return numbers;
    return request->limit == 0 || request->limit > STORE_LIMIT_MAX ? limits : NULL;
}

static const char *check_command_list(const struct store_command_list *request)
{
    if (request->kind < -1 || request->kind >= COMMAND_KIND_COUNT || request->status < -1 ||
        request->status >= COMMAND_STATUS_COUNT || request->after > INT64_MAX)
        return numbers;
    return request->limit == 0 || request->limit > STORE_LIMIT_MAX ? limits : NULL;
}

static const char *check_commands(const struct store_commands *request)
{
    if (request->partition >= STORE_PARTITIONS_MAX)
        return numbers;
    return request->limit == 0 || request->limit > STORE_LIMIT_MAX ? limits : NULL;
}

static const char *check_commit(const struct store_commit *request)
{
    if (request->partition >= STORE_PARTITIONS_MAX || request->clock_ms < 0 || request->next_line == 0 ||
        request->next_line > INT64_MAX)
        return numbers;
    for (size_t i = 0; i < request->intake_count; i++) {
        const struct intake_range *range = &request->intake[i];
        if (range->first == 0 || range->first > range->last || range->last >= INT64_MAX ||
            range->confirmed > INT64_MAX || strnlen(range->boot, sizeof(range->boot)) == sizeof(range->boot))
            return numbers;
    }
    const char *wrong = check_signals(request);
    if (!wrong)
        wrong = check_governors(request);
    if (!wrong)
        wrong = check_command_ends(request);
    return wrong ? wrong : check_outcomes(request);
}

static const char *check_receipts(const struct store_append *request)
{
    uint64_t first = request->head.size - request->receipt_count;
    for (size_t i = 0; i < request->receipt_count; i++) {
        const struct receipt *receipt = &request->receipts[i];
        if (receipt->index != first + i || receipt->seq == 0 || receipt->seq > INT64_MAX ||
            receipt->number > INT64_MAX || receipt->partition >= STORE_PARTITIONS_MAX)
            return "receipts must continue the log and their chains";
        if (!good_id(receipt->chain))
            return ids;
        if (receipt->tenant_id.len > STORE_ID_MAX || receipt->entitlement_id.len > STORE_ID_MAX ||
            receipt->signal_id.len > STORE_ID_MAX || receipt->type.len > STORE_ID_MAX ||
            receipt->body.len > STORE_TEXT_MAX)
            return texts;
    }
    return NULL;
}

/* Level 0 whole and one after the other, up to head.tiled. */
static const char *check_tiles(const struct store_append *request)
{
    const struct shard_head *head = &request->head;
    uint64_t added = 0;
    for (size_t i = 0; i < request->tile_count; i++)
        added += request->tiles[i].level == 0;
    if (head->tiled % TILE_WIDTH || head->tiled > head->size || head->tiled / TILE_WIDTH < added)
        return numbers;
    uint64_t next = head->tiled / TILE_WIDTH - added;
    for (size_t i = 0; i < request->tile_count; i++) {
        const struct tile_part *part = &request->tiles[i];
        bool whole = part->first == 0 && part->count == TILE_WIDTH && part->number == next;
        if (part->level >= TILE_LEVELS || part->count == 0 || part->first > TILE_WIDTH ||
            part->count > TILE_WIDTH - part->first || (part->level == 0 && !whole))
            return "tiles must be whole and follow those stored";
        next += part->level == 0;
    }
    return NULL;
}

static const char *check_append(const struct store_append *request)
{
    const struct shard_head *head = &request->head;
    if (head->shard >= STORE_SHARDS_MAX || head->size < request->receipt_count || head->size >> 48 ||
        head->frontier_count != (uint32_t)__builtin_popcountll(head->size))
        return numbers;
    for (size_t i = 0; i < request->chain_count; i++)
        if (!good_id(request->chains[i].chain) || request->chains[i].seq == 0 || request->chains[i].seq > INT64_MAX)
            return numbers;
    for (size_t i = 0; i < request->outcome_count; i++)
        if (request->outcomes[i].partition >= STORE_PARTITIONS_MAX)
            return numbers;
    const char *wrong = check_tiles(request);
    return wrong ? wrong : check_receipts(request);
}

static const char *check_page(uint32_t limit, uint32_t max)
{
    return limit == 0 || limit > max ? limits : NULL;
}

static bool refused(struct store *store, struct store_request *request, const char *wrong)
{
    request->error = wrong;
    if (wrong)
        store->ops->refuse(store->link, request);
    return wrong != NULL;
}

#define REQUEST(name, check)                                                                                           \
    void store_##name(struct store *store, struct store_##name *request)                                               \
    {                                                                                                                  \
        if (!refused(store, &request->req, check))                                                                     \
            store->ops->name(store->link, request);                                                                    \
    }

REQUEST(lease, check_heartbeat(request->worker, request->partitions, STORE_PARTITIONS_MAX, request->ttl_ms))
REQUEST(load, request->partition < STORE_PARTITIONS_MAX ? NULL : numbers)
REQUEST(lookup, check_lookup(request))
REQUEST(waiting, check_page(request->limit, STORE_LIMIT_MAX))
REQUEST(due, check_page(request->limit, STORE_LIMIT_MAX))
REQUEST(commit, check_commit(request))
REQUEST(outcome_numbers, request->shards > 0 && request->shards <= STORE_SHARDS_MAX ? NULL : numbers)
REQUEST(shards, check_heartbeat(request->worker, request->shards, STORE_SHARDS_MAX, request->ttl_ms))
REQUEST(outcomes, request->shard < STORE_SHARDS_MAX ? check_page(request->limit, STORE_LIMIT_MAX) : numbers)
REQUEST(chains, NULL)
REQUEST(append, check_append(request))
REQUEST(signal, good_id(request->tenant_id) && good_id(request->id) ? NULL : ids)
REQUEST(receipt, memchr(request->receipt_id, 0, sizeof(request->receipt_id)) ? NULL : ids)
REQUEST(receipts, request->shard < STORE_SHARDS_MAX ? check_page(request->limit, 1000) : numbers)
REQUEST(tiles, request->shard < STORE_SHARDS_MAX && request->tile_count <= STORE_LIMIT_MAX ? NULL : numbers)
REQUEST(governors, check_page(request->limit, STORE_LIMIT_MAX))
REQUEST(deadletter, NULL)
REQUEST(deadletters, check_deadletters(request))
REQUEST(command_add, check_command(&request->command))
REQUEST(command, good_command_id(request->id) ? NULL : ids)
REQUEST(commands, check_commands(request))
REQUEST(command_list, check_command_list(request))
REQUEST(partitions, request->after >= -1 ? check_page(request->limit, STORE_PARTITIONS_MAX) : numbers)
REQUEST(totals, NULL)
REQUEST(fix, request->name && request->value <= INT64_MAX ? NULL : numbers)
REQUEST(sweep, check_page(request->limit, INT32_MAX))
