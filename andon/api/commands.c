/* Commands to governors, and what became of a command. A command is a row that the partition's owner takes; 202 says
 * that the row is durable. Its id is the client's, so that a repeat is harmless, or a new UUIDv7. */
#include "andon/api/triage.h"
#include "common/charset.h"

#include <errno.h>
#include <stdlib.h>

static const int64_t quota_max = INT64_C(1) << 53;

struct api_call *api_triage_new(struct api *api, struct http_request *req)
{
    struct api_call *call = api_call_new(api, req, NULL);
    call->triage = xcalloc(1, sizeof(*call->triage));
    return call;
}

void api_triage_free(struct api_triage *triage)
{
    if (!triage)
        return;
    arena_done(&triage->deadletter.req.arena);
    arena_done(&triage->list.req.arena);
    for (size_t i = 0; i < triage->governor.governor_count; i++)
        governor_record_done(&triage->governor.governors[i].record);
    arena_done(&triage->governor.req.arena);
    arena_done(&triage->add.req.arena);
    arena_done(&triage->command.req.arena);
    arena_done(&triage->commands.req.arena);
    arena_done(&triage->arena);
    free(triage);
}

struct span api_triage_keep(struct api_call *call, struct span text)
{
    return text.len ? (struct span){arena_copy(&call->triage->arena, text.ptr, text.len), text.len} : SPAN("");
}

/* --- what every command has --------------------------------------------------------------------------------------- */

static bool printable(struct span text, char first)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < first || text.ptr[i] > '~')
            return false;
    return text.len > 0;
}

void api_command_new_id(struct api_call *call)
{
    uint8_t random[10];
    char id[UUID_TEXT + 1];
    random_bytes(random, sizeof(random));
    uuid7(clock_wall_ms(call->api->options.clock), random, id);
    call->triage->add.command.id = api_triage_keep(call, span_of(id));
}

static bool read_operator(struct api_call *call, struct span *ret)
{
    struct span name = http_header(call->req, "X-Operator");
    *ret = call->access.named ? api_triage_keep(call, span_of(call->access.name)) : SPAN("local");
    if (!name.ptr)
        return true;
    if (call->access.named && !span_is(name, call->access.name)) {
        http_problem(call->req, 403, NULL, "the receipt names the owner of the token, %s: leave X-Operator out",
                     call->access.name);
        return false;
    }
    if (http_header_count(call->req, "X-Operator") > 1 || name.len > COMMAND_OPERATOR_MAX || !printable(name, ' ')) {
        http_problem(call->req, 400, NULL, "X-Operator must be given once, 1 to %d printable ASCII characters",
                     COMMAND_OPERATOR_MAX);
        return false;
    }
    *ret = api_triage_keep(call, name);
    return true;
}

bool api_command_begin(struct api_call *call, enum command_kind kind)
{
    struct command *command = &call->triage->add.command;
    command->kind = kind;
    command->created_at_ms = clock_wall_ms(call->api->options.clock);
    if (!read_operator(call, &command->operator) ||
        !api_body_text(call, NULL, "command_id", COMMAND_ID_MAX, &command->id))
        return false;
    call->triage->own_id = command->id.len > 0;
    if (!call->triage->own_id)
        api_command_new_id(call);
    if (printable(command->id, '!'))
        return true;
    http_problem(call->req, 400, NULL, "\"command_id\" must be 1 to %d printable ASCII characters without spaces",
                 COMMAND_ID_MAX);
    return false;
}

struct span api_command_args(struct api_call *call, struct span reason, const uint8_t *sha256)
{
    struct buf *out = &call->api->scratch;
    char hex[SHA256_HEX];
    buf_clear(out);
    buf_add_char(out, '{');
    if (reason.len)
        json_add_member(out, "reason", reason);
    if (sha256) {
        hex_encode(sha256, SHA256_SIZE, hex);
        json_add_member(out, "signal_sha256", (struct span){hex, sizeof(hex)});
    }
    buf_add_char(out, '}');
    return api_triage_keep(call, buf_span(out));
}

void api_command_accepted(struct api_call *call)
{
    struct span id = call->triage->add.command.id;
    struct buf location;
    buf_init(&location, 1024);
    buf_add_str(&location, "/v1/commands/");
    for (size_t i = 0; i < id.len; i++) {
        bool bare = (id.ptr[i] >= 'a' && id.ptr[i] <= 'z') || (id.ptr[i] >= 'A' && id.ptr[i] <= 'Z') ||
                    (id.ptr[i] >= '0' && id.ptr[i] <= '9') || strchr("-._~", id.ptr[i]);
        buf_addf(&location, bare ? "%c" : "%%%02X", (unsigned char)id.ptr[i]);
    }
    http_add_header(call->req, "Location", buf_span(&location));
    buf_done(&location);
    buf_add_char(&call->out, '{');
    json_add_member(&call->out, "command_id", id);
    buf_add_char(&call->out, '}');
    api_call_reply(call, 202);
}

static void on_added(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (status == 0) {
        api_command_accepted(call);
        return;
    }
    if (status == -EEXIST) {
        http_problem(call->req, 422, NULL, "this \"command_id\" was used for another command: choose a new one");
    } else if (status == -EDQUOT) {
        http_problem(call->req, 503, NULL, "%d commands are pending: send it again when some have ended",
                     API_COMMANDS_MAX);
    } else {
        (void)api_call_failed(call, request, status);
        return;
    }
    api_call_free(call);
}

void api_command_submit(struct api_call *call)
{
    struct store_command_add *add = &call->triage->add;
    add->req.done = on_added;
    add->req.ctx = call;
    add->max_pending = API_COMMANDS_MAX;
    store_command_add(call->api->options.store, add);
}

/* --- governors ---------------------------------------------------------------------------------------------------- */

/* The rules of ids, because activate makes a governor of them. */
static bool good_names(struct http_request *req, struct span tenant, struct span entitlement)
{
    bool good = tenant.ptr[0] != '_' && charset_made_of(tenant, API_TENANT_MAX, CHARSET_NAME) &&
                charset_made_of(entitlement, API_ID_MAX, CHARSET_ID);
    if (!good)
        http_problem(req, 400, NULL,
                     "a tenant is 1 to %d characters of A-Z a-z 0-9 . _ - (the first not _), an "
                     "entitlement 1 to %d of those and : @ / + = ~",
                     API_TENANT_MAX, API_ID_MAX);
    return good;
}

static bool good_sku(struct api_call *call, struct span sku)
{
    if (sku.len == 0 || charset_made_of(sku, API_ID_MAX, CHARSET_ID))
        return true;
    http_problem(call->req, 400, NULL, "\"sku_id\" must be 1 to %d characters of A-Z a-z 0-9 . _ - : @ / + = ~",
                 API_ID_MAX);
    return false;
}

static bool period_known(struct api_call *call, struct span period)
{
    bool known = period.len == 0;
    for (int i = 0; i < PERIOD_COUNT; i++)
        known |= span_is(period, quota_period_names[i]);
    if (!known)
        http_problem(call->req, 400, NULL, "\"quota_period\" must be none, hour, day or month");
    return known;
}

/* Members in the order RFC 8785 sorts them. */
static bool activation_args(struct api_call *call, struct span reason)
{
    struct api *api = call->api;
    struct span period, sku;
    int64_t limit = 0;
    bool limited;
    const struct json_node *no_limit = json_get(&api->doc, &api->doc.nodes[0], "quota_limit");
    if (!api_body_int(call, "quota_limit", 0, quota_max, &limit, &limited) ||
        !api_body_text(call, NULL, "quota_period", 8, &period) || !period_known(call, period) ||
        !api_body_text(call, NULL, "sku_id", API_ID_MAX, &sku) || !good_sku(call, sku))
        return false;
    struct buf out;
    buf_init(&out, COMMAND_ARGS_MAX);
    buf_add_char(&out, '{');
    if (limited)
        api_add_i64(&out, "quota_limit", limit);
    else if (no_limit)
        json_add_member_raw(&out, "quota_limit", SPAN("null"));
    if (period.len)
        json_add_member(&out, "quota_period", period);
    if (reason.len)
        json_add_member(&out, "reason", reason);
    if (sku.len)
        json_add_member(&out, "sku_id", sku);
    buf_add_char(&out, '}');
    call->triage->add.command.args = api_triage_keep(call, buf_span(&out));
    buf_done(&out);
    return true;
}

static bool read_governor_command(struct api_call *call, enum command_kind kind)
{
    struct command *command = &call->triage->add.command;
    struct span tenant, entitlement, reason;
    if (!api_path_text(call->req, "tenant", API_TENANT_MAX, &tenant) ||
        !api_path_text(call->req, "entitlement", API_ID_MAX, &entitlement) ||
        !good_names(call->req, tenant, entitlement) || !api_command_begin(call, kind) ||
        !api_body_text(call, NULL, "reason", COMMAND_REASON_MAX, &reason))
        return false;
    command->tenant_id = api_triage_keep(call, tenant);
    command->entitlement_id = api_triage_keep(call, entitlement);
    command->partition = hash_bucket(tenant, entitlement, (uint32_t)call->api->options.config->partitions);
    if (kind == COMMAND_ACTIVATE)
        return activation_args(call, reason);
    command->args = api_command_args(call, reason, NULL);
    return true;
}

static void govern(struct api *api, struct http_request *req, enum command_kind kind)
{
    if (!api_body_open(api, req))
        return;
    struct api_call *call = api_triage_new(api, req);
    if (read_governor_command(call, kind))
        api_command_submit(call);
    else
        api_call_free(call);
}

void api_governor_halt(void *ctx, struct http_request *req)
{
    govern(ctx, req, COMMAND_HALT);
}

void api_governor_resume(void *ctx, struct http_request *req)
{
    govern(ctx, req, COMMAND_RESUME);
}

void api_governor_activate(void *ctx, struct http_request *req)
{
    govern(ctx, req, COMMAND_ACTIVATE);
}

void api_governor_reset_quota(void *ctx, struct http_request *req)
{
    govern(ctx, req, COMMAND_RESET_QUOTA);
}

/* --- GET /v1/commands/{id} ---------------------------------------------------------------------------------------- */

static void add_command(struct buf *out, const struct command *command)
{
    buf_add_char(out, '{');
    json_add_member(out, "command_id", command->id);
    json_add_member(out, "command", span_of(command_kind_names[command->kind]));
    json_add_member(out, "status", span_of(command_status_names[command->status]));
    if (command->reason.len)
        json_add_member(out, "reason", command->reason);
    json_add_member(out, "operator", command->operator);
    json_add_member(out, "tenant_id", command->tenant_id);
    json_add_member(out, "entitlement_id", command->entitlement_id);
    if (command->deadletter_id[0])
        json_add_member(out, "deadletter_id", span_of(command->deadletter_id));
    json_add_member_raw(out, "args", command->args);
    api_add_i64(out, "created_at", command->created_at_ms);
    buf_add_char(out, '}');
}

static void on_command(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    if (api_call_failed(call, request, status))
        return;
    if (!call->triage->command.found || !api_sees(call, call->triage->command.command.tenant_id)) {
        http_problem(call->req, 404, NULL, "no command with this id is known");
        api_call_free(call);
        return;
    }
    add_command(&call->out, &call->triage->command.command);
    api_call_reply(call, 200);
}

void api_command_get(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct span id;
    if (!api_path_text(req, "id", COMMAND_ID_MAX, &id))
        return;
    struct api_call *call = api_triage_new(api, req);
    struct store_command *command = &call->triage->command;
    command->req.done = on_command;
    command->req.ctx = call;
    command->id = api_triage_keep(call, id);
    store_command(api->options.store, command);
}

/* --- GET /v1/commands --------------------------------------------------------------------------------------------- */

static void on_commands(struct store_request *request, int status)
{
    struct api_call *call = request->ctx;
    const struct store_command_list *page = &call->triage->commands;
    if (api_call_failed(call, request, status))
        return;
    struct buf *out = &call->out;
    size_t i = 0;
    buf_add_str(out, "{\"commands\":[");
    for (; i < page->command_count && out->len < API_PAGE_BYTES; i++) {
        if (i)
            buf_add_char(out, ',');
        add_command(out, &page->commands[i]);
    }
    buf_add_char(out, ']');
    if (i && (i < page->command_count || page->more))
        api_add_next_number(call, page->commands[i - 1].order);
    buf_add_char(out, '}');
    api_call_reply(call, 200);
}

static bool read_list(struct api_call *call, struct store_command_list *list)
{
    struct http_request *req = call->req;
    struct span tenant, entitlement;
    struct api_range range;
    if (!api_param_tenant(call->api, req, false, &tenant) ||
        !api_param_text(req, "entitlement_id", false, API_ID_MAX, &entitlement) ||
        !api_param_name(req, "command", command_kind_names, COMMAND_KIND_COUNT, &list->kind) ||
        !api_param_name(req, "status", command_status_names, COMMAND_STATUS_COUNT, &list->status) ||
        !api_range_read(req, &range))
        return false;
    const int64_t numbers[] = {list->kind, list->status};
    const struct span parts[] = {tenant, entitlement, {(const char *)numbers, sizeof(numbers)}};
    call->query = api_range_query(api_query_hash('c', parts, 3), &range);
    list->tenant_id = api_triage_keep(call, tenant);
    list->entitlement_id = api_triage_keep(call, entitlement);
    list->limit = range.limit;
    list->descending = range.descending;
    list->since_ms = range.since_ms;
    list->before_ms = range.before_ms;
    return api_position_read(req, call->query, &call->triage->arena, &list->after);
}

void api_command_list(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct api_call *call = api_triage_new(api, req);
    struct store_command_list *list = &call->triage->commands;
    list->req.done = on_commands;
    list->req.ctx = call;
    if (read_list(call, list))
        store_command_list(api->options.store, list);
    else
        api_call_free(call);
}
