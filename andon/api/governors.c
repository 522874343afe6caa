/* GET /v1/governors and /v1/governors/{tenant}/{entitlement}: the records, field for field. Times are milliseconds
 * since 1970 UTC; what runs on the partition clock is left out. */
#include "andon/api/internal.h"

void api_add_i64(struct buf *out, const char *name, int64_t value)
{
    json_add_key(out, name);
    buf_add_i64(out, value);
}

static void add_bool(struct buf *out, const char *name, bool value)
{
    json_add_member_raw(out, name, value ? SPAN("true") : SPAN("false"));
}

static void add_pending(struct buf *out, const struct governor_pending *pending)
{
    json_add_key(out, "pending");
    buf_add_char(out, '{');
    json_add_member(out, "action_id", span_of(pending->action_id));
    json_add_member(out, "policy", span_of(pending->policy));
    json_add_member(out, "action", span_of(pending->action));
    json_add_member_u64(out, "attempt", pending->attempt);
    add_bool(out, "probe", pending->probe);
    json_add_member(out, "signal_id", span_of(pending->signal_id));
    json_add_member_u64(out, "redrive", pending->redrive);
    buf_add_char(out, '}');
}

static void add_quota_and_breaker(struct buf *out, const struct governor_record *record)
{
    static const char *const openers[] = {
        [OPENED_BY_NOBODY] = NULL, [OPENED_BY_BREAKER] = "breaker", [OPENED_BY_OPERATOR] = "operator"};
    if (record->quota_limit == QUOTA_NONE)
        json_add_member_raw(out, "quota_limit", SPAN("null"));
    else
        api_add_i64(out, "quota_limit", record->quota_limit);
    api_add_i64(out, "quota_used", record->quota_used);
    json_add_member(out, "quota_period", span_of(quota_period_names[record->quota_period]));
    api_add_i64(out, "period_start", record->period_start);
    json_add_key(out, "breaker");
    buf_add_char(out, '{');
    json_add_member_u64(out, "failures", record->failures);
    if (openers[record->opened_by])
        json_add_member(out, "opened_by", span_of(openers[record->opened_by]));
    buf_add_char(out, '}');
}

void api_add_governor(struct buf *out, const struct governor_item *item)
{
    const struct governor_record *record = &item->record;
    buf_add_char(out, '{');
    json_add_member(out, "tenant_id", item->tenant_id);
    json_add_member(out, "entitlement_id", item->entitlement_id);
    if (record->sku_id)
        json_add_member(out, "sku_id", span_of(record->sku_id));
    json_add_member(out, "state", span_of(governor_state_names[record->state]));
    json_add_member(out, "entitlement", span_of(entitlement_names[record->entitlement]));
    add_bool(out, "refund_open", record->refund_open);
    add_quota_and_breaker(out, record);
    if (record->pending)
        add_pending(out, record->pending);
    if (record->policy_state)
        json_add_member_raw(out, "policy_state", span_of(record->policy_state));
    json_add_member_u64(out, "waiting", item->waiting);
    json_add_member_u64(out, "partition", item->partition);
    api_add_i64(out, "last_signal_at", record->last_signal_at);
    api_add_i64(out, "created_at", record->created_at);
    api_add_i64(out, "updated_at", record->updated_at);
    buf_add_char(out, '}');
}

static void free_records(struct api_call *call)
{
    for (size_t i = 0; i < call->governors.governor_count; i++)
        governor_record_done(&call->governors.governors[i].record);
}

/* A tenant id holds no slash, so the first one ends it. */
static void add_next(struct api_call *call, const struct governor_item *last)
{
    struct buf position;
    buf_init(&position, API_TENANT_MAX + 1 + API_ID_MAX);
    buf_add_span(&position, last->tenant_id);
    buf_add_char(&position, '/');
    buf_add_span(&position, last->entitlement_id);
    api_add_next(call, buf_span(&position));
    buf_done(&position);
}

static void on_governors(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_governors *page = &call->governors;
    if (api_call_failed(call, request, status))
        return;
    struct buf *out = &call->out;
    size_t i = 0;
    buf_add_str(out, "{\"governors\":[");
    for (; i < page->governor_count && out->len < API_PAGE_BYTES; i++) {
        if (i)
            buf_add_char(out, ',');
        api_add_governor(out, &page->governors[i]);
    }
    buf_add_char(out, ']');
    if (i && (i < page->governor_count || page->more))
        add_next(call, &page->governors[i - 1]);
    buf_add_char(out, '}');
    free_records(call);
    api_call_reply(call, 200);
}

static bool read_cursor(struct api_call *call)
{
    struct span position;
    if (!api_cursor_read(call->req, call->query, &call->request.arena, &position))
        return false;
    if (position.len == 0)
        return true;
    const char *slash = memchr(position.ptr, '/', position.len);
    if (!slash) {
        http_problem(call->req, 400, NULL, "\"after\" is no cursor of this list");
        return false;
    }
    call->governors.after_tenant = (struct span){position.ptr, (size_t)(slash - position.ptr)};
    call->governors.after_entitlement = (struct span){slash + 1, position.len - call->governors.after_tenant.len - 1};
    return true;
}

void api_governor_list(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span tenant_id, state_name;
    struct api_range range;
    int state;
    if (!api_param_tenant(api, req, false, &tenant_id) ||
        !api_param_text(req, "state", false, API_TENANT_MAX, &state_name) ||
        !api_name_parse(req, "state", state_name, governor_state_names, GOVERNOR_STATE_COUNT, &state) ||
        !api_range_read(req, &range))
        return;
    struct api_call *call = api_call_new(api, req, on_governors);
    call->query = api_range_query(api_query_hash('g', (const struct span[]){tenant_id, state_name}, 2), &range);
    if (!read_cursor(call)) {
        api_call_free(call);
        return;
    }
    call->governors.tenant_id = api_keep(call, tenant_id);
    call->governors.state = state;
    call->governors.limit = range.limit;
    call->governors.descending = range.descending;
    store_governors(api->options.store, &call->governors);
}

static void on_governor(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    if (call->governors.governor_count == 0) {
        http_problem(call->req, 404, NULL, "this tenant has no governor for this entitlement");
        api_call_free(call);
        return;
    }
    api_add_governor(&call->out, &call->governors.governors[0]);
    free_records(call);
    api_call_reply(call, 200);
}

void api_governor_get(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span tenant_id, entitlement_id;
    if (!api_path_text(req, "tenant", API_TENANT_MAX, &tenant_id) ||
        !api_path_text(req, "entitlement", API_ID_MAX, &entitlement_id))
        return;
    struct api_call *call = api_call_new(api, req, on_governor);
    call->governors.tenant_id = api_keep(call, tenant_id);
    call->governors.entitlement_id = api_keep(call, entitlement_id);
    call->governors.exact = true;
    call->governors.state = -1;
    call->governors.limit = 1;
    store_governors(api->options.store, &call->governors);
}
