/* The listener: routes, calls under way, health. */
#include "andon/api/triage.h"

#include <errno.h>
#include <stdlib.h>

/* Beyond these lags the ledger is behind, or stands still. */
enum { LAG_WARN_S = 10, LAG_FAIL_S = 300, API_SCRATCH_MAX = 1 << 20 };

struct api_call *api_call_new(struct api *api, struct http_request *req, store_done *done)
{
    struct api_call *call = xcalloc(1, sizeof(*call));
    call->api = api;
    call->access = api->access;
    call->req = req;
    call->request.done = done;
    call->request.ctx = call;
    call->next = api->calls;
    call->link = &api->calls;
    if (call->next)
        call->next->link = &call->next;
    api->calls = call;
    call->at_work = true;
    api->turns.at_work++;
    buf_init(&call->out, API_BODY_MAX);
    return call;
}

struct span api_keep(struct api_call *call, struct span text)
{
    return text.len ? (struct span){arena_copy(&call->request.arena, text.ptr, text.len), text.len} : (struct span){0};
}

void api_call_free(struct api_call *call)
{
    api_turn_over(call);
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    arena_done(&call->request.arena);
    arena_done(&call->look.req.arena);
    api_triage_free(call->triage);
    api_proof_free(call->proof);
    buf_done(&call->out);
    free(call);
}

void api_call_reply(struct api_call *call, int status)
{
    if (call->out.failed)
        http_problem(call->req, 500, NULL, "the answer exceeds %d bytes: ask for fewer items", API_BODY_MAX);
    else
        http_reply(call->req, status, "application/json", buf_span(&call->out));
    api_call_free(call);
}

void api_call_damaged(struct api_call *call, const char *what)
{
    http_problem(call->req, 500, NULL,
                 "the database is damaged: %s. Nothing of it was served; the runbook says what to do", what);
    api_call_free(call);
}

bool api_call_failed(struct api_call *call, const struct store_request *request, int status)
{
    if (!status)
        return false;
    if (status == -EUCLEAN) {
        api_call_damaged(call, request->error ? request->error : error_text(status));
        return true;
    }
    http_problem(call->req, 503, NULL, "the store cannot be read: %s", error_text(status));
    api_call_free(call);
    return true;
}

/* --- the process itself --------------------------------------------------------------------------------------------
 */

void api_index(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply(req, 200, "application/json",
               SPAN("{\"name\":\"andon\",\"version\":\"" TAI_VERSION "\",\"links\":{"
                    "\"signal\":\"/v1/signals/{id}?tenant_id={tenant_id}\",\"receipts\":\"/v1/receipts\","
                    "\"receipt\":\"/v1/receipts/{id}\",\"proof\":\"/v1/receipts/{id}/proof\","
                    "\"tlog_proof\":\"/v1/receipts/{id}/tlog-proof\",\"jws\":\"/v1/receipts/{id}/"
                    "jws\",\"governors\":\"/v1/governors\","
                    "\"governor\":\"/v1/governors/{tenant}/{entitlement}\",\"deadletters\":\"/v1/deadletters\","
                    "\"deadletter\":\"/v1/deadletters/{id}\",\"commands\":\"/v1/commands\",\"command\":\"/v1/commands/"
                    "{id}\",\"partitions\":\"/v1/partitions\",\"backup\":\"/v1/backup\","
                    "\"status\":\"/v1/status\",\"openapi\":\"/openapi.json\","
                    "\"checkpoint\":\"/checkpoint\","
                    "\"consistency\":\"/v1/ledger/consistency?shard={shard}&old={size}\",\"vkey\":\"/v1/ledger/"
                    "vkey\",\"jwks\":\"/.well-known/jwks.json\","
                    "\"livez\":\"/livez\",\"readyz\":\"/readyz\",\"health\":\"/health\",\"metrics\":\"/metrics\"}}"));
}

void api_livez(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    health_livez(api->health, req);
}

void api_readyz(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    health_readyz(api->health, req);
}

void api_health(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    health_health(api->health, req);
}

void api_metrics(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    http_metrics_refresh(api->http_metrics, http_server_stats(api->server));
    health_metrics(api->health, req);
}

static enum health_status check_ledger(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct api *api = ctx;
    const struct shard *shard;
    *ret_output = tail_trouble(api->options.tail);
    for (uint32_t i = 0; (shard = tail_shard(api->options.tail, i)); i++)
        *ret_value += (int64_t)shard->head.size;
    return *ret_output ? HEALTH_FAIL : HEALTH_PASS;
}

static enum health_status check_lag(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct api *api = ctx;
    *ret_value = andon_metrics_lag_ms(api->options.metrics) / 1000;
    if (*ret_value < LAG_WARN_S)
        return HEALTH_PASS;
    *ret_output = "receipts are written later than they are due";
    return *ret_value < LAG_FAIL_S ? HEALTH_WARN : HEALTH_FAIL;
}

/* Once met, damage is there until somebody mends it and starts again. */
static enum health_status check_integrity(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct api *api = ctx;
    *ret_value = (int64_t)atomic_load_explicit(&api->options.metrics->corruptions->value, memory_order_relaxed);
    if (*ret_value == 0)
        return HEALTH_PASS;
    *ret_output = "the database is damaged: the log names what was met, `tai config check --data` finds all of it";
    return HEALTH_FAIL;
}

/* --- the listener ---------------------------------------------------------------------------------------------------
 */

const struct api_route *api_route(const struct api *api, const struct http_request *req)
{
    return &api_routes[http_route_of(req) - api->routes];
}

/* What is answered from memory, or by a thread of its own, waits for nobody. */
static bool asks_store(const struct api_route *route)
{
    return !(route->roles & (API_ANYBODY | API_PROBE)) && route->handler != api_metrics &&
           route->handler != api_checkpoint && route->handler != api_backup_get && route->handler != api_backup_start;
}

static void enter(void *ctx, struct http_request *req)
{
    const struct api_route *route = api_route(ctx, req);
    if (!api_admit(ctx, req, route))
        return;
    if (!asks_store(route) || api_turn_now(ctx, req))
        route->handler(ctx, req);
}

static void add_routes(struct api *api)
{
    size_t count = 0;
    while (api_routes[count].method)
        count++;
    api->routes = xcalloc(count + 1, sizeof(*api->routes));
    for (size_t i = 0; i < count; i++)
        api->routes[i] = (struct http_route){api_routes[i].method, api_routes[i].path, enter};
}

static void observe(void *ctx, const struct http_route *route, int status, int64_t duration_us)
{
    struct api *api = ctx;
    http_metrics_observe(api->http_metrics, route, status, duration_us);
}

int api_new(const struct api_options *options, struct api **ret, struct error *err)
{
    struct api *api = xcalloc(1, sizeof(*api));
    api->options = *options;
    api->hasher = hasher_new();
    api_turns_init(api);
    add_routes(api);
    api_access_metrics(api, options->metrics->registry);
    api_set_tokens(api, options->config);
    json_init(&api->doc);
    buf_init(&api->scratch, API_SCRATCH_MAX);
    api->health = health_new(options->metrics->registry, TAI_VERSION);
    const struct health_check ledger = {.name = "ledger:receipts", .check = check_ledger, .ctx = api};
    const struct health_check lag = {.name = "ledger:lag", .unit = "s", .check = check_lag, .ctx = api};
    health_add(api->health, &ledger);
    const struct health_check integrity = {.name = "store:corruptions", .check = check_integrity, .ctx = api};
    health_add(api->health, &lag);
    health_add(api->health, &integrity);
    api->http_metrics = http_metrics_new(options->metrics->registry, "andon", api->routes);
    struct http_options http = {.base = options->base,
                                .address = options->config->listen.host,
                                .port = options->config->listen.port,
                                .limits = http_limits_default,
                                .routes = api->routes,
                                .ctx = api,
                                .observer = observe,
                                .clock = options->clock,
                                .server_name = "tai"};
    if (options->config->max_connections > 0)
        http.limits.connections = (unsigned)options->config->max_connections;
    int r = http_server_new(&http, &api->server, err);
    if (r) {
        api_free(api);
        return r;
    }
    *ret = api;
    return 0;
}

void api_set_tokens(struct api *api, const struct andon_config *config)
{
    tokens_free(api->tokens);
    api->tokens = tokens_new(config->tokens, config->tokens_count);
}

uint16_t api_port(const struct api *api)
{
    return http_server_port(api->server);
}

void api_refuse_ready(struct api *api)
{
    api->draining = true;
    health_drain(api->health);
}

void api_drain(struct api *api, void (*done)(void *ctx), void *ctx)
{
    http_server_drain(api->server, done, ctx);
}

void api_free(struct api *api)
{
    if (!api)
        return;
    while (api->calls) {
        http_problem(api->calls->req, 503, NULL, "this process is about to exit");
        api_call_free(api->calls);
    }
    api_turns_done(api);
    http_server_free(api->server);
    http_metrics_free(api->http_metrics);
    health_free(api->health);
    hasher_free(api->hasher);
    tokens_free(api->tokens);
    json_done(&api->doc);
    buf_done(&api->scratch);
    free(api->routes);
    free(api);
}
