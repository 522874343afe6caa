/* POST /v1/deadletters/bulk: one page of a filtered list, each item with a command of its own, so that each has its own
 * end and its own receipt. What is taken is limited to BULK_RATE dead letters a second. */
#include "andon/api/triage.h"

#include <errno.h>
#include <inttypes.h>

enum { BULK_DEFAULT = 100, BULK_MAX = 1000, DRY_RUN_MAX = STORE_LIMIT_MAX, SAMPLE = 10, BULK_RATE = 1000 };

static const char *action_name(const struct api_bulk *bulk)
{
    return command_kind_names[bulk->action];
}

static void add_page(struct api_call *call)
{
    const struct store_deadletters *page = &call->triage->list;
    struct buf *out = &call->out;
    json_add_member_u64(out, "matched", page->deadletter_count);
    json_add_member_raw(out, "more", page->more ? SPAN("true") : SPAN("false"));
    if (page->more && page->deadletter_count)
        api_add_next_number(call, page->deadletters[page->deadletter_count - 1].order);
}

static void reply_dry_run(struct api_call *call)
{
    const struct store_deadletters *page = &call->triage->list;
    struct buf *out = &call->out;
    buf_add_char(out, '{');
    json_add_member(out, "action", span_of(action_name(&call->triage->bulk)));
    json_add_member_raw(out, "dry_run", SPAN("true"));
    add_page(call);
    json_add_key(out, "sample");
    buf_add_char(out, '[');
    for (size_t i = 0; i < page->deadletter_count && i < SAMPLE; i++) {
        if (i)
            buf_add_char(out, ',');
        api_add_deadletter(out, &page->deadletters[i]);
    }
    buf_add_str(out, "]}");
    api_call_reply(call, 200);
}

static void reply_bulk(struct api_call *call)
{
    const struct api_bulk *bulk = &call->triage->bulk;
    struct buf *out = &call->out;
    buf_add_char(out, ']');
    json_add_member(out, "action", span_of(action_name(bulk)));
    json_add_member_raw(out, "dry_run", SPAN("false"));
    json_add_member_u64(out, "commands", bulk->added);
    json_add_member_u64(out, "refused", bulk->refused);
    add_page(call);
    buf_add_char(out, '}');
    api_call_reply(call, 202);
}

static void add_next(struct api_call *call);

static void on_added(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    struct api_bulk *bulk = &call->triage->bulk;
    const struct command *command = &call->triage->add.command;
    struct buf *out = &call->out;
    buf_add_str(out, bulk->at > 1 ? ",{" : "{");
    json_add_member(out, "deadletter_id", span_of(command->deadletter_id));
    if (status == 0)
        json_add_member(out, "command_id", command->id);
    else
        json_add_member(out, "problem",
                        status == -EDQUOT ? SPAN("too many commands are pending") : span_of(error_text(status)));
    buf_add_char(out, '}');
    bulk->added += status == 0;
    bulk->refused += status != 0;
    arena_done(&request->arena);
    add_next(call);
}

static void add_next(struct api_call *call)
{
    struct api_triage *triage = call->triage;
    struct store_command_add *add = &triage->add;
    if (triage->bulk.at == triage->list.deadletter_count) {
        reply_bulk(call);
        return;
    }
    const struct deadletter *deadletter = &triage->list.deadletters[triage->bulk.at++];
    add->req = (struct store_request){.done = on_added, .ctx = call};
    add->max_pending = API_COMMANDS_MAX;
    api_command_new_id(call);
    add->command.kind = triage->bulk.action;
    add->command.tenant_id = deadletter->row.identity.tenant_id;
    add->command.entitlement_id = deadletter->row.identity.entitlement_id;
    add->command.partition = deadletter->partition;
    memcpy(add->command.deadletter_id, deadletter->id, sizeof(add->command.deadletter_id));
    store_command_add(call->api->options.store, add);
}

static void on_page(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    struct api *api = call->api;
    size_t count = call->triage->list.deadletter_count;
    if (api_call_failed(call, request, status))
        return;
    if (call->triage->bulk.dry_run) {
        reply_dry_run(call);
        return;
    }
    api->bulk_us = clock_mono_us(api->options.clock) + (int64_t)count * 1000000 / BULK_RATE;
    buf_add_str(&call->out, "{\"items\":[");
    api_turn_over(call); /* one command after another: each costs little, all of them take long */
    add_next(call);
}

static bool read_action(struct api_call *call)
{
    struct api_bulk *bulk = &call->triage->bulk;
    struct span action;
    if (!api_body_text(call, NULL, "action", 16, &action) || !api_body_flag(call, "dry_run", &bulk->dry_run) ||
        !api_body_text(call, NULL, "reason", COMMAND_REASON_MAX, &bulk->reason))
        return false;
    bulk->action = span_is(action, "discard") ? COMMAND_DISCARD : COMMAND_REQUEUE;
    if (!span_is(action, action_name(bulk))) {
        http_problem(call->req, 400, NULL, "\"action\" must be \"requeue\" or \"discard\"");
        return false;
    }
    if (bulk->action == COMMAND_REQUEUE || bulk->dry_run || bulk->reason.len)
        return true;
    http_problem(call->req, 400, NULL, "\"reason\" is required: it says in the receipts why the signals are given up");
    return false;
}

/* What it is filled in with must outlive the handler. */
static bool own_tenant(struct api_call *call, struct store_deadletters *list)
{
    struct span given = list->tenant_id;
    if (!api_access_tenant(call->api, call->req, &list->tenant_id))
        return false;
    if (!given.len)
        list->tenant_id = api_triage_keep(call, list->tenant_id);
    return true;
}

static bool read_filter(struct api_call *call)
{
    static const char *const fields[] = {"class", "reason", "tenant_id", "entitlement_id", "before", NULL};
    struct store_deadletters *list = &call->triage->list;
    const struct json_node *filter = api_body_get(call->api, "filter");
    struct span class, before;
    list->class = -1;
    if (!filter) {
        http_problem(call->req, 400, NULL, "\"filter\" is required; {} matches all");
        return false;
    }
    return api_body_fields(call, filter, "filter", fields) &&
           api_body_text(call, filter, "tenant_id", API_TENANT_MAX, &list->tenant_id) && own_tenant(call, list) &&
           api_body_text(call, filter, "entitlement_id", API_ID_MAX, &list->entitlement_id) &&
           api_body_text(call, filter, "reason", STORE_REASON_MAX, &list->reason) &&
           api_body_text(call, filter, "class", API_ID_MAX, &class) &&
           api_class_parse(call->req, class, &list->class) &&
           api_body_text(call, filter, "before", API_ID_MAX, &before) &&
           api_time_parse(call->req, "before", before, &list->before_ms);
}

static bool read_page(struct api_call *call)
{
    struct store_deadletters *list = &call->triage->list;
    struct span after, position = SPAN("");
    int64_t limit = BULK_DEFAULT;
    bool given;
    if (!api_body_int(call, "limit", 1, call->triage->bulk.dry_run ? DRY_RUN_MAX : BULK_MAX, &limit, &given) ||
        !api_body_text(call, NULL, "after", 1024, &after))
        return false;
    list->limit = (uint32_t)limit;
    call->query = api_deadletters_query(list);
    if ((!after.len || api_cursor_parse(after, call->query, &call->triage->arena, &position)) &&
        api_position_parse(position, &list->after))
        return true;
    http_problem(call->req, 400, NULL, "\"after\" must be the \"next\" of an earlier answer to the same filter");
    return false;
}

static bool too_fast(struct api_call *call)
{
    char seconds[21];
    int64_t left = call->api->bulk_us - clock_mono_us(call->api->options.clock);
    if (call->triage->bulk.dry_run || left <= 0)
        return false;
    snprintf(seconds, sizeof(seconds), "%" PRId64, (left + 999999) / 1000000);
    http_add_header(call->req, "Retry-After", span_of(seconds));
    http_problem(call->req, 429, NULL, "at most %d dead letters a second are taken in bulk: send it again later",
                 BULK_RATE);
    return true;
}

void api_deadletter_bulk(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    if (!api_body_open(api, req))
        return;
    struct api_call *call = api_triage_new(api, req);
    struct store_deadletters *list = &call->triage->list;
    if (!read_action(call) || !read_filter(call) || !read_page(call) || !api_command_begin(call, COMMAND_REQUEUE) ||
        too_fast(call)) {
        api_call_free(call);
        return;
    }
    call->triage->add.command.args = api_command_args(call, call->triage->bulk.reason, NULL);
    list->req.done = on_page;
    list->req.ctx = call;
    store_deadletters(api->options.store, list);
}
