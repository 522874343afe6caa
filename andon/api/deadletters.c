/* GET /v1/deadletters and /v1/deadletters/{id}; POST …/requeue and …/discard. */
#include "andon/api/triage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* --- items -------------------------------------------------------------------------------------------------------- */

static void add_fields(struct buf *out, const struct deadletter *deadletter)
{
    const struct signal_row *row = &deadletter->row;
    char hex[SHA256_HEX];
    hex_encode(row->sha256, SHA256_SIZE, hex);
    json_add_member(out, "id", span_of(deadletter->id));
    json_add_member(out, "class", span_of(deadletter_class_names[deadletter->class]));
    json_add_member(out, "status", span_of(signal_status_names[row->status]));
    json_add_member(out, "reason", row->reason);
    json_add_member(out, "tenant_id", row->identity.tenant_id);
    json_add_member(out, "entitlement_id", row->identity.entitlement_id);
    json_add_member(out, "signal_id", row->identity.id);
    json_add_member_u64(out, "redrive", row->identity.redrive);
    json_add_member(out, "signal_sha256", (struct span){hex, sizeof(hex)});
    if (deadletter->state < GOVERNOR_STATE_COUNT)
        json_add_member(out, "state", span_of(governor_state_names[deadletter->state]));
    bool runnable = !row->conflict && !span_is(row->identity.tenant_id, "_system");
    json_add_member_raw(out, "requeuable", runnable ? SPAN("true") : SPAN("false"));
    api_add_i64(out, "accepted_at", row->accepted_at_ms);
    api_add_i64(out, "ended_at", row->changed_at_ms);
    json_add_member_u64(out, "partition", deadletter->partition);
}

void api_add_deadletter(struct buf *out, const struct deadletter *deadletter)
{
    buf_add_char(out, '{');
    add_fields(out, deadletter);
    buf_add_char(out, '}');
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

bool api_class_parse(struct http_request *req, struct span text, int *ret)
{
    return api_name_parse(req, "class", text, deadletter_class_names, CLASS_COUNT, ret);
}

uint32_t api_deadletters_query(const struct store_deadletters *list)
{
    const struct span parts[] = {
        list->tenant_id, list->entitlement_id, list->reason, {(const char *)&list->class, sizeof(list->class)}};
    const struct api_range range = {
        .descending = list->descending, .since_ms = list->since_ms, .before_ms = list->before_ms};
    return api_range_query(api_query_hash('d', parts, sizeof(parts) / sizeof(parts[0])), &range);
}

static void on_list(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_deadletters *page = &call->triage->list;
    if (api_call_failed(call, request, status))
        return;
    struct buf *out = &call->out;
    size_t i = 0;
    buf_add_str(out, "{\"deadletters\":[");
    for (; i < page->deadletter_count && out->len < API_PAGE_BYTES; i++) {
        if (i)
            buf_add_char(out, ',');
        api_add_deadletter(out, &page->deadletters[i]);
    }
    buf_add_char(out, ']');
    if (i && (i < page->deadletter_count || page->more))
        api_add_next_number(call, page->deadletters[i - 1].order);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

/* A reason may hold spaces. */
static bool read_reason(struct http_request *req, struct span *ret)
{
    *ret = SPAN("");
    if (!http_query(req, "reason", ret) || (ret->len && ret->len <= STORE_REASON_MAX))
        return true;
    http_problem(req, 400, NULL, "\"reason\" must be 1 to %d bytes", STORE_REASON_MAX);
    return false;
}

static bool read_list(struct api_call *call, struct store_deadletters *list)
{
    struct http_request *req = call->req;
    struct span tenant, entitlement, reason, class;
    struct api_range range;
    if (!api_param_tenant(call->api, req, false, &tenant) ||
        !api_param_text(req, "entitlement_id", false, API_ID_MAX, &entitlement) || !read_reason(req, &reason) ||
        !api_param_text(req, "class", false, API_ID_MAX, &class) || !api_class_parse(req, class, &list->class) ||
        !api_range_read(req, &range))
        return false;
    list->tenant_id = api_triage_keep(call, tenant);
    list->entitlement_id = api_triage_keep(call, entitlement);
    list->reason = api_triage_keep(call, reason);
    list->limit = range.limit;
    list->descending = range.descending;
    list->since_ms = range.since_ms;
    list->before_ms = range.before_ms;
    call->query = api_deadletters_query(list);
    return api_position_read(req, call->query, &call->triage->arena, &list->after);
}

void api_deadletter_list(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_triage_new(api, req);
    struct store_deadletters *list = &call->triage->list;
    list->req.done = on_list;
    list->req.ctx = call;
    if (read_list(call, list))
        store_deadletters(api->options.store, list);
    else
        api_call_free(call);
}

/* --- one ---------------------------------------------------------------------------------------------------------- */

static bool not_found(struct api_call *call)
{
    const struct store_deadletter *one = &call->triage->deadletter;
    if (one->found && api_sees(call, one->deadletter.row.identity.tenant_id))
        return false;
    http_problem(call->req, 404, NULL,
                 "no dead letter with this id is open: it was requeued or discarded, or there never was one");
    api_call_free(call);
    return true;
}

/* The bytes as they are if they are JSON, else in base64. */
static void add_bytes(struct api_call *call, struct span bytes)
{
    struct buf *out = &call->out;
    if (json_parse(&call->api->doc, bytes, NULL) == 0) {
        json_add_member_raw(out, "signal", bytes);
        return;
    }
    size_t len = 4 * ((bytes.len + 2) / 3);
    json_add_key(out, "bytes_base64");
    buf_add_char(out, '"');
    char *text = buf_reserve(out, len + 1);
    if (text) {
        base64_encode((const uint8_t *)bytes.ptr, bytes.len, text);
        out->len += len;
    }
    buf_add_char(out, '"');
}

static void add_rest(struct api_call *call)
{
    const struct store_governors *governor = &call->triage->governor;
    if (governor->governor_count) {
        json_add_key(&call->out, "governor");
        api_add_governor(&call->out, &governor->governors[0]);
    }
    add_bytes(call, call->triage->deadletter.deadletter.row.bytes);
    buf_add_char(&call->out, '}');
    api_call_reply(call, 200);
}

static void on_governor(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct deadletter *deadletter = &call->triage->deadletter.deadletter;
    if (api_call_failed(call, request, status))
        return;
    buf_add_char(&call->out, '{');
    add_fields(&call->out, deadletter);
    api_list_receipts(call, &deadletter->row, deadletter->partition, add_rest);
}

static void on_one(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status) || not_found(call))
        return;
    const struct identity *identity = &call->triage->deadletter.deadletter.row.identity;
    struct store_governors *governor = &call->triage->governor;
    governor->req.done = on_governor;
    governor->req.ctx = call;
    governor->tenant_id = identity->tenant_id;
    governor->entitlement_id = identity->entitlement_id;
    governor->exact = true;
    governor->state = -1;
    governor->limit = 1;
    store_governors(call->api->options.store, governor);
}

/* The dead letter of the path; done goes on. */
static void look_up(struct api_call *call, store_done *done)
{
    struct store_deadletter *one = &call->triage->deadletter;
    struct span id = http_param(call->req, "id");
    one->req.done = done;
    one->req.ctx = call;
    if (id.len == UUID_TEXT)
        memcpy(one->id, id.ptr, id.len);
    store_deadletter(call->api->options.store, one);
}

void api_deadletter_get(void *ctx, struct http_request *req)
{
    look_up(api_triage_new(ctx, req), on_one);
}

/* --- requeue and discard ------------------------------------------------------------------------------------------ */

/* 0, or the answer has been given. */
static int edit(struct api_call *call, const struct deadletter *deadletter, uint8_t ret_sha256[SHA256_SIZE])
{
    const struct api_options *options = &call->api->options;
    struct command *command = &call->triage->add.command;
    struct andon_edit edit = {.text = call->triage->edited, .of = deadletter, .arena = &call->triage->arena};
    struct error err;
    int rc = options->edit ? options->edit(options->edit_ctx, &edit, &err)
                           : error_set(&err, -EINVAL, "signals cannot be edited here");
    if (rc < 0) {
        http_problem(call->req, rc == -EMSGSIZE ? 413 : 400, NULL, "the edited signal: %s", err.text);
        api_call_free(call);
        return rc;
    }
    memcpy(ret_sha256, edit.sha256, SHA256_SIZE);
    command->envelope = edit.envelope;
    command->bytes = edit.text;
    return 0;
}

/* A repeat of what has been carried out finds no dead letter any more, but its command. */
static void on_repeat(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_command *found = &call->triage->command;
    if (api_call_failed(call, request, status))
        return;
    if (found->found && api_sees(call, found->command.tenant_id) &&
        found->command.kind == call->triage->add.command.kind &&
        strcmp(found->command.deadletter_id, call->triage->deadletter.id) == 0)
        api_command_accepted(call);
    else
        (void)not_found(call);
}

static void on_target(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    struct api_triage *triage = call->triage;
    struct command *command = &triage->add.command;
    const struct deadletter *deadletter = &triage->deadletter.deadletter;
    uint8_t sha256[SHA256_SIZE];
    if (api_call_failed(call, request, status))
        return;
    if (!triage->deadletter.found && triage->own_id) {
        triage->command.req.done = on_repeat;
        triage->command.req.ctx = call;
        triage->command.id = command->id;
        store_command(call->api->options.store, &triage->command);
        return;
    }
    if (not_found(call) || (triage->edited.len && edit(call, deadletter, sha256) < 0))
        return;
    command->tenant_id = deadletter->row.identity.tenant_id;
    command->entitlement_id = deadletter->row.identity.entitlement_id;
    command->partition = deadletter->partition;
    memcpy(command->deadletter_id, deadletter->id, sizeof(command->deadletter_id));
    command->args = api_command_args(call, triage->bulk.reason, triage->edited.len ? sha256 : NULL);
    api_command_submit(call);
}

static bool read_resolution(struct api_call *call, enum command_kind kind)
{
    struct api *api = call->api;
    struct api_triage *triage = call->triage;
    if (!api_command_begin(call, kind) ||
        !api_body_text(call, NULL, "reason", COMMAND_REASON_MAX, &triage->bulk.reason))
        return false;
    const struct json_node *signal = kind == COMMAND_REQUEUE ? api_body_get(api, "signal") : NULL;
    if (signal && signal->type != JSON_OBJECT) {
        http_problem(call->req, 400, NULL, "byte %" PRIu32 ": \"signal\" must be a signal (a JSON object)",
                     signal->start);
        return false;
    }
    if (signal)
        triage->edited = api_triage_keep(call, json_raw(&api->doc, signal));
    if (kind == COMMAND_REQUEUE || triage->bulk.reason.len)
        return true;
    http_problem(call->req, 400, NULL, "\"reason\" is required: it says in the receipt why the signal is given up");
    return false;
}

static void resolve(struct api *api, struct http_request *req, enum command_kind kind)
{
    if (!api_body_open(api, req))
        return;
    struct api_call *call = api_triage_new(api, req);
    if (read_resolution(call, kind))
        look_up(call, on_target);
    else
        api_call_free(call);
}

void api_deadletter_requeue(void *ctx, struct http_request *req)
{
    resolve(ctx, req, COMMAND_REQUEUE);
}

void api_deadletter_discard(void *ctx, struct http_request *req)
{
    resolve(ctx, req, COMMAND_DISCARD);
}
