/* The ingress layer on its event loop: the listener, its routes, and the queue's descriptor and deadline. Owns the HTTP
 * server and its queue handle; borrows configuration, queue backend, clock and metrics. Everything but ingress_accepted
 * runs on the loop's thread. */
#include "ingress/internal.h"

#include "common/http/guard.h"

#include <errno.h>
#include <stdlib.h>

enum { FAILED_US = 5 * 1000 * 1000 /* how long a failed publish keeps the layer unready */ };

bool ingress_guard(struct ingress *ingress, struct http_request *req)
{
    return !keys_none(ingress->keys) || http_guard_local(req, "keys (ingress.keys)");
}

static void livez(void *ctx, struct http_request *req)
{
    health_livez(((struct ingress *)ctx)->health, req);
}

static void readyz(void *ctx, struct http_request *req)
{
    health_readyz(((struct ingress *)ctx)->health, req);
}

static void health(void *ctx, struct http_request *req)
{
    struct ingress *ingress = ctx;
    if (ingress_guard(ingress, req))
        health_health(ingress->health, req);
}

static void metrics(void *ctx, struct http_request *req)
{
    struct ingress *ingress = ctx;
    if (!ingress_guard(ingress, req))
        return;
    http_metrics_refresh(ingress->http_metrics, http_server_stats(ingress->server));
    health_metrics(ingress->health, req);
}

const struct http_route ingress_routes[] = {
    {"POST", "/v1/signals", post_handle},
    {"GET", "/openapi.json", openapi_handle},
    {"GET", "/livez", livez},
    {"GET", "/readyz", readyz},
    {"GET", "/health", health},
    {"GET", "/metrics", metrics},
    {NULL},
};

static void observe(void *ctx, const struct http_route *route, int status, int64_t duration_us)
{
    http_metrics_observe(((struct ingress *)ctx)->http_metrics, route, status, duration_us);
}

static enum health_status check_depth(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct ingress *ingress = ctx;
    uint64_t depth = kanban_depth(ingress->kanban);
    uint64_t max = (uint64_t)ingress->options.kanban->max_depth;
    *ret_value = (int64_t)depth;
    if (depth < max - max / 5)
        return HEALTH_PASS;
    *ret_output = "the queue is nearly full: signals arrive faster than they are worked off";
    return HEALTH_WARN;
}

static enum health_status check_publish(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct frames *frames = &((struct ingress *)ctx)->frames;
    int64_t now = clock_mono_us(((struct ingress *)ctx)->options.clock);
    *ret_value = frames->in_flight;
    if (!frames->failing || now - frames->failed_at_us >= FAILED_US)
        return HEALTH_PASS;
    *ret_output = "the queue does not take signals";
    return HEALTH_FAIL;
}

static void rearm(struct ingress *ingress)
{
    int64_t deadline = kanban_deadline_us(ingress->kanban);
    if (deadline == ingress->deadline_us)
        return;
    ingress->deadline_us = deadline;
    if (deadline == INT64_MAX) {
        event_del(ingress->deadline);
        return;
    }
    int64_t wait = deadline - clock_mono_us(ingress->options.clock);
    if (wait < 0)
        wait = 0;
    event_add(ingress->deadline, &(struct timeval){.tv_sec = wait / 1000000, .tv_usec = wait % 1000000});
}

/* Also what clients no longer wait for is brought to its end, and the queue's reader is told the last sequence. May
 * free the ingress. */
static void finish_drain(struct ingress *ingress)
{
    void (*drained)(void *ctx) = ingress->drained;
    if (!drained || !ingress->http_drained || ingress->frames.in_flight > 0 || ingress->frames.used_count > 0)
        return;
    if (!refuse_drained(ingress)) {
        rearm(ingress);
        return;
    }
    if (!ingress->announced) {
        ingress->announced = true;
        kanban_announce(ingress->kanban);
        rearm(ingress);
    }
    if (kanban_unanswered(ingress->kanban) > 0)
        return;
    ingress->drained = NULL;
    drained(ingress->drained_ctx);
}

static void on_flush(evutil_socket_t fd, short what, void *ctx)
{
    struct ingress *ingress = ctx;
    (void)fd;
    (void)what;
    frames_flush(ingress);
    post_answer_ready(ingress);
    rearm(ingress);
    finish_drain(ingress);
}

static void on_queue(evutil_socket_t fd, short what, void *ctx)
{
    struct ingress *ingress = ctx;
    (void)fd;
    if (what & EV_TIMEOUT)
        ingress->deadline_us = INT64_MAX;
    kanban_dispatch(ingress->kanban);
    post_answer_ready(ingress);
    rearm(ingress);
    finish_drain(ingress);
}

static void on_release(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    post_answer_held(ctx);
    finish_drain(ctx);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct ingress *ingress = ctx;
    (void)fd;
    (void)what;
    http_metrics_refresh(ingress->http_metrics, http_server_stats(ingress->server));
    refuse_flush(ingress);
    rearm(ingress);
}

void ingress_schedule_flush(struct ingress *ingress)
{
    event_active(ingress->flush, EV_TIMEOUT, 0);
}

static int open_queue(struct ingress *ingress, struct error *err)
{
    const struct ingress_options *o = &ingress->options;
    const struct kanban_options kanban = {
        .backend = o->queue,
        .events = {.published = frames_published, .ctx = ingress},
        .partitions = (uint32_t)o->kanban->partitions,
        .prefetch = (uint32_t)o->kanban->prefetch,
        .max_depth = (uint64_t)o->kanban->max_depth,
        .clock = o->clock,
        .metrics = o->metrics,
    };
    return kanban_open(&kanban, &ingress->kanban, err);
}

static uint64_t partition_depth(void *ctx, uint32_t partition)
{
    return kanban_backend_depth(((struct ingress *)ctx)->options.queue, partition);
}

static void open_shares(struct ingress *ingress)
{
    const struct ingress_options *o = &ingress->options;
    uint64_t half = ((uint64_t)o->kanban->max_depth + 1) / 2;
    struct shares_options shares = {
        .partitions = (uint32_t)o->kanban->partitions,
        .shared = (uint64_t)o->config->tenant_depth,
        .alone = (uint64_t)o->config->tenant_depth > half ? (uint64_t)o->config->tenant_depth : half,
        .depth = partition_depth,
        .ctx = ingress,
    };
    random_bytes(&shares.seed, sizeof(shares.seed));
    ingress->shares = shares_new(&shares, clock_mono_us(o->clock));
}

static int open_server(struct ingress *ingress, struct error *err)
{
    const struct ingress_config *config = ingress->options.config;
    const struct http_options http = {
        .base = ingress->options.base,
        .address = strcmp(config->listen.host, "localhost") == 0 ? "127.0.0.1" : config->listen.host,
        .port = config->listen.port,
        .limits = {.connections = (unsigned)config->max_connections,
                   .idle_ms = (unsigned)config->idle_timeout_ms,
                   .deadline_ms = (unsigned)config->request_deadline_ms,
                   .header_bytes = config->max_header,
                   .body_bytes = config->max_body},
        .routes = ingress_routes,
        .ctx = ingress,
        .observer = observe,
        .clock = ingress->options.clock,
    };
    int rc = http_server_new(&http, &ingress->server, err);
    return rc ? error_prefix(err, rc, "ingress.listen %s", config->listen.text) : 0;
}

static int add_events(struct ingress *ingress, struct error *err)
{
    struct event_base *base = ingress->options.base;
    int fd = kanban_poll_fd(ingress->kanban);
    ingress->deadline_us = INT64_MAX;
    ingress->flush = event_new(base, -1, 0, on_flush, ingress);
    ingress->deadline = event_new(base, -1, 0, on_queue, ingress);
    ingress->tick = event_new(base, -1, EV_PERSIST, on_tick, ingress);
    ingress->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_queue, ingress);
    ingress->release = evtimer_new(base, on_release, ingress);
    if (!ingress->flush || !ingress->release || !ingress->deadline || !ingress->tick || !ingress->readable ||
        event_add(ingress->tick, &(struct timeval){.tv_sec = 1}) || (fd >= 0 && event_add(ingress->readable, NULL)))
        return error_set(err, -ENOMEM, "ingress: the event loop takes no more events");
    rearm(ingress);
    return 0;
}

const char *const result_names[RESULTS + 1] = {
    [RESULT_ACCEPTED] = "accepted",    [RESULT_DUPLICATE] = "duplicate",
    [RESULT_INVALID] = "invalid",      [RESULT_UNAUTHENTICATED] = "unauthenticated",
    [RESULT_FORBIDDEN] = "forbidden",  [RESULT_TOO_LARGE] = "too_large",
    [RESULT_RATE_LIMITED] = "limited", [RESULT_UNAVAILABLE] = "unavailable",
};

static void add_metrics(struct ingress *ingress)
{
    const struct metric_desc desc = {
        .name = "tai_ingress_signals_total",
        .help = "Signals by what they were answered; a request refused as a whole counts once.",
        .type = METRIC_COUNTER,
        .labels = {{.name = "result", .values = result_names}},
    };
    struct metric *family = metrics_register(ingress->options.metrics, &desc);
    for (size_t i = 0; i < RESULTS; i++)
        ingress->signals[i] = metric_counter(family, &result_names[i]);
    ingress->http_metrics = http_metrics_new(ingress->options.metrics, "ingress", ingress_routes);
}

static struct limits_options rates_of(const struct ingress_config *config)
{
    return (struct limits_options){config->rate, config->rate_burst, config->tenant_rate, config->tenant_burst, 0};
}

static void add_state(struct ingress *ingress)
{
    const struct ingress_config *config = ingress->options.config;
    struct limits_options limits = rates_of(config);
    random_bytes(&limits.seed, sizeof(limits.seed));
    ingress->keys = keys_new(config->keys, config->keys_count);
    ingress->limits = limits_new(&limits, clock_mono_us(ingress->options.clock));
    ingress->recent = recent_new();
    ingress->hasher = hasher_new();
    ingress->health = health_new(ingress->options.metrics, TAI_VERSION);
    health_add(ingress->health, &(struct health_check){"kanban:depth", "signals", check_depth, ingress});
    health_add(ingress->health, &(struct health_check){"kanban:publishing", "frames", check_publish, ingress});
    json_init(&ingress->doc);
    buf_init(&ingress->scratch, SIGNAL_SCRATCH);
    buf_init(&ingress->out, ((size_t)config->max_batch + 1) * ANSWER_ITEM_MAX);
    refuse_init(ingress);
    frames_init(&ingress->frames, (uint32_t)ingress->options.kanban->partitions);
    add_metrics(ingress);
}

int ingress_new(const struct ingress_options *options, struct ingress **ret, struct error *err)
{
    const struct ingress_config *config = options->config;
    if (config->keys_count == 0 && !config->listen.loopback)
        return error_set(err, -EINVAL,
                         "ingress.listen %s is reachable from other machines, but there are no keys: configure "
                         "ingress.keys or listen on 127.0.0.1",
                         config->listen.text);
    struct ingress *ingress = xcalloc(1, sizeof(*ingress));
    ingress->options = *options;
    add_state(ingress);
    int rc = open_queue(ingress, err);
    if (rc == 0)
        open_shares(ingress);
    if (rc == 0)
        rc = add_events(ingress, err);
    if (rc == 0)
        rc = open_server(ingress, err);
    if (rc) {
        ingress_free(ingress);
        return rc;
    }
    *ret = ingress;
    return 0;
}

void ingress_reload(struct ingress *ingress, const struct ingress_config *config)
{
    const struct limits_options limits = rates_of(config);
    keys_set(ingress->keys, config->keys, config->keys_count);
    limits_set(ingress->limits, &limits, clock_mono_us(ingress->options.clock));
}

uint16_t ingress_port(const struct ingress *ingress)
{
    return http_server_port(ingress->server);
}

static void on_http_drained(void *ctx)
{
    struct ingress *ingress = ctx;
    ingress->http_drained = true;
    finish_drain(ingress);
}

void ingress_drain(struct ingress *ingress, void (*done)(void *ctx), void *ctx)
{
    ingress->drained = done;
    ingress->drained_ctx = ctx;
    health_drain(ingress->health);
    http_server_drain(ingress->server, on_http_drained, ingress);
}

static void event_end(struct event *event)
{
    if (event)
        event_free(event);
}

void ingress_free(struct ingress *ingress)
{
    if (!ingress)
        return;
    event_end(ingress->flush);
    event_end(ingress->deadline);
    event_end(ingress->tick);
    event_end(ingress->release);
    event_end(ingress->readable);
    if (ingress->server)
        http_server_free(ingress->server);
    if (ingress->kanban)
        kanban_close(ingress->kanban);
    post_free_all(ingress);
    frames_done(&ingress->frames);
    refusals_free(ingress->refusals);
    buf_done(&ingress->out);
    buf_done(&ingress->scratch);
    json_done(&ingress->doc);
    http_metrics_free(ingress->http_metrics);
    health_free(ingress->health);
    hasher_free(ingress->hasher);
    recent_free(ingress->recent);
    limits_free(ingress->limits);
    shares_free(ingress->shares);
    keys_free(ingress->keys);
    free(ingress);
}

bool ingress_accepted(struct ingress *ingress, struct span tenant_id, struct span entitlement_id, struct span id)
{
    const struct identity identity = {tenant_id, entitlement_id, id};
    return recent_has(ingress->recent, &identity, clock_mono_ms(ingress->options.clock));
}
