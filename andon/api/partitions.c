/* GET /v1/partitions: who works on which, what it counted, what is open in it. */
#include "andon/api/internal.h"

static void add_partition(struct api_call *call, const struct partition_item *item)
{
    const struct api_options *options = &call->api->options;
    struct buf *out = &call->out;
    uint64_t in = item->taken + item->requeued;
    buf_add_char(out, '{');
    json_add_member_u64(out, "partition", item->partition);
    if (item->owner.len)
        json_add_member(out, "owner", item->owner);
    json_add_member_u64(out, "epoch", item->epoch);
    json_add_member_u64(out, "batch", item->batch);
    api_add_i64(out, "lease_ms", item->lease_ms);
    json_add_member_u64(out, "crashes", item->crashes);
    json_add_member_u64(out, "taken", item->taken);
    json_add_member_u64(out, "requeued", item->requeued);
    json_add_member_u64(out, "ended", item->ended);
    json_add_member_u64(out, "duplicates", item->duplicates);
    json_add_member_u64(out, "waiting", item->waiting);
    json_add_member_u64(out, "acting", item->acting);
    json_add_member_u64(out, "governors", item->governors);
    if (options->depth)
        json_add_member_u64(out, "depth", options->depth(options->depth_ctx, item->partition));
    json_add_member_u64(out, "outcomes_open", item->outcomes_open);
    json_add_member_u64(out, "deadletters", item->deadletters);
    json_add_member_u64(out, "commands_pending", item->commands);
    json_add_member_u64(out, "gap", item->missing);
    api_add_i64(out, "balance", (int64_t)(in - item->ended - item->duplicates - item->waiting - item->acting));
    buf_add_char(out, '}');
}

static void on_partitions(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_partitions *page = &call->partitions;
    if (api_call_failed(call, request, status))
        return;
    struct buf *out = &call->out;
    buf_add_str(out, "{\"partitions\":[");
    for (size_t i = 0; i < page->partition_count; i++) {
        if (i)
            buf_add_char(out, ',');
        add_partition(call, &page->partitions[i]);
    }
    buf_add_char(out, ']');
    if (page->more && page->partition_count)
        api_add_next_number(call, page->partitions[page->partition_count - 1].partition);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

void api_partition_list(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_range range;
    struct span given;
    uint64_t after;
    if (!api_range_read(req, &range))
        return;
    struct api_call *call = api_call_new(api, req, on_partitions);
    struct store_partitions *page = &call->partitions;
    call->query = api_range_query(api_query_hash('p', NULL, 0), &range);
    if (!api_position_read(req, call->query, &call->request.arena, &after)) {
        api_call_free(call);
        return;
    }
    page->after = http_query(req, "after", &given) ? (int64_t)after : -1;
    page->limit = range.limit;
    page->descending = range.descending;
    store_partitions(api->options.store, page);
}
