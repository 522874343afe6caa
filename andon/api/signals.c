/* GET /v1/signals/{id}: where a signal stands and which receipts it has so far. */
#include "andon/api/internal.h"

static void add_row(struct api_call *call)
{
    const struct signal_row *row = &call->signal.row;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member(out, "status", span_of(signal_status_names[row->status]));
    json_add_member(out, "signal_id", row->identity.id);
    json_add_member(out, "tenant_id", row->identity.tenant_id);
    json_add_member(out, "entitlement_id", row->identity.entitlement_id);
    json_add_member_u64(out, "redrive", row->identity.redrive);
    if (row->reason.len)
        json_add_member(out, "reason", row->reason);
    api_add_i64(out, "accepted_at", row->accepted_at_ms);
    api_add_i64(out, "changed_at", row->changed_at_ms);
}

static void finish(struct api_call *call)
{
    struct buf *out = &call->out;
    if (call->signal.also_count) {
        json_add_key(out, "also_under");
        buf_add_char(out, '[');
        for (size_t i = 0; i < call->signal.also_count; i++) {
            if (i)
                buf_add_char(out, ',');
            json_add_string(out, call->signal.also_under[i]);
        }
        buf_add_char(out, ']');
    }
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

static void add_receipt(struct buf *out, const char *receipt_id)
{
    if (out->data[out->len - 1] != '[')
        buf_add_char(out, ',');
    json_add_string(out, (struct span){receipt_id, UUID_TEXT});
}

enum written { WRITTEN, NOT_YET, UNKNOWN };

/* What this process receipted itself since it holds the shard needs no look-up. */
static enum written written(const struct api_call *call, uint32_t shard_number, uint64_t number)
{
    const struct shard *shard = tail_shard(call->api->options.tail, shard_number);
    uint32_t partition = call->row_partition;
    if (shard->state == SHARD_FREE || partition >= shard->partitions || !shard->last_numbers[partition])
        return UNKNOWN;
    return number <= shard->last_numbers[partition] ? WRITTEN : NOT_YET;
}

static void next_outcome(struct api_call *call);

static void on_look(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (!status && call->look.found)
        add_receipt(&call->out, call->look.receipt_id);
    if (api_call_failed(call, request, status))
        return;
    arena_done(&call->look.req.arena);
    next_outcome(call);
}

/* Lists the receipts that can be read; those of the last moment follow. */
static void next_outcome(struct api_call *call)
{
    const struct signal_row *row = call->row;
    uint32_t shard = shard_of(row->identity.tenant_id, (uint32_t)call->api->options.config->ledger.shards);
    while (call->outcome < row->outcome_count) {
        uint64_t number = row->outcomes[call->outcome++];
        char receipt_id[UUID_TEXT + 1];
        receipt_id_of(call->api->hasher, call->row_partition, shard, number, receipt_id);
        enum written known = written(call, shard, number);
        if (known == WRITTEN)
            add_receipt(&call->out, receipt_id);
        if (known != UNKNOWN)
            continue;
        call->look = (struct store_receipt){.req = {.done = on_look, .ctx = call}};
        memcpy(call->look.receipt_id, receipt_id, sizeof(receipt_id));
        store_receipt(call->api->options.store, &call->look);
        return;
    }
    buf_add_char(&call->out, ']');
    call->listed(call);
}

void api_list_receipts(struct api_call *call, const struct signal_row *row, uint32_t partition,
                       void (*listed)(struct api_call *call))
{
    call->row = row;
    call->row_partition = partition;
    call->listed = listed;
    json_add_key(&call->out, "receipts");
    buf_add_char(&call->out, '[');
    next_outcome(call);
}

/* Answered 202, but no worker has taken it yet. */
static bool reply_accepted(struct api_call *call)
{
    const struct api_options *options = &call->api->options;
    const struct store_signal *asked = &call->signal;
    if (!options->accepted ||
        !options->accepted(options->accepted_ctx, asked->tenant_id, asked->entitlement_id, asked->id))
        return false;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member(out, "status", SPAN("accepted"));
    json_add_member(out, "signal_id", asked->id);
    json_add_member(out, "tenant_id", asked->tenant_id);
    if (asked->entitlement_id.len)
        json_add_member(out, "entitlement_id", asked->entitlement_id);
    json_add_member_u64(out, "redrive", 0);
    json_add_member_raw(out, "receipts", SPAN("[]"));
    buf_add_char(out, '}');
    api_call_reply(call, 200);
    return true;
}

static void on_signal(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    if (call->signal.found) {
        add_row(call);
        api_list_receipts(call, &call->signal.row, call->signal.partition_of_row, finish);
    } else if (!reply_accepted(call)) {
        http_problem(call->req, 404, NULL, "no signal with this id is known for this tenant%s",
                     call->signal.entitlement_id.len ? " and entitlement" : "");
        api_call_free(call);
    }
}

void api_signal_get(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span id, tenant_id, entitlement_id;
    if (!api_path_text(req, "id", API_ID_MAX, &id) || !api_param_tenant(api, req, true, &tenant_id) ||
        !api_param_text(req, "entitlement_id", false, API_ID_MAX, &entitlement_id))
        return;
    struct api_call *call = api_call_new(api, req, on_signal);
    call->signal.id = api_keep(call, id);
    call->signal.tenant_id = api_keep(call, tenant_id);
    call->signal.entitlement_id = api_keep(call, entitlement_id);
    store_signal(api->options.store, &call->signal);
}
