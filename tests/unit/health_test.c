/* Health answers over HTTP: the worst check decides, a drain is not ready, metrics in the format asked for. */
#include "kaizen/health.h"
#include "kaizen/http_metrics.h"

#include "common/loop.h"

#include <criterion/criterion.h>

struct subject {
    struct metrics *metrics;
    struct health *health;
    enum health_status depth, disk;
};

static enum health_status check_depth(void *ctx, int64_t *ret_value, const char **ret_output)
{
    const struct subject *subject = ctx;
    *ret_value = -3;
    if (subject->depth != HEALTH_PASS)
        *ret_output = "too \"deep\"";
    return subject->depth;
}

static enum health_status check_disk(void *ctx, int64_t *ret_value, const char **ret_output)
{
    (void)ret_output;
    *ret_value = 7;
    return ((const struct subject *)ctx)->disk;
}

static void subject_init(struct subject *subject)
{
    *subject = (struct subject){.metrics = metrics_new()};
    subject->health = health_new(subject->metrics, "1.2.3");
    health_add(subject->health, &(struct health_check){"kanban:depth", "signals", check_depth, subject});
    health_add(subject->health, &(struct health_check){"disk:free", NULL, check_disk, subject});
}

static void subject_done(struct subject *subject)
{
    health_free(subject->health);
    metrics_free(subject->metrics);
}

static void livez(void *ctx, struct http_request *req)
{
    health_livez(((struct subject *)ctx)->health, req);
}

static void readyz(void *ctx, struct http_request *req)
{
    health_readyz(((struct subject *)ctx)->health, req);
}

static void whole(void *ctx, struct http_request *req)
{
    health_health(((struct subject *)ctx)->health, req);
}

static void metrics(void *ctx, struct http_request *req)
{
    health_metrics(((struct subject *)ctx)->health, req);
}

static const struct http_route routes[] = {
    {"GET", "/livez", livez},
    {"GET", "/readyz", readyz},
    {"GET", "/health", whole},
    {"GET", "/metrics", metrics},
    {NULL},
};

/* The answer's text, valid until the next call. */
static const char *get(struct subject *subject, const char *path, const char *headers)
{
    static char text[16384];
    char request[512];
    struct buf out;
    struct event_base *base = loop_base_new();
    const struct http_options options = {
        .base = base, .routes = routes, .ctx = subject, .clock = &clock_system, .limits = http_limits_default};
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);
    buf_init(&out, sizeof(text) - 1);
    http_fuzz(&options, span_of(request), strlen(request), &out);
    cr_assert_not(out.failed);
    memcpy(text, buf_cstr(&out), out.len + 1);
    buf_done(&out);
    event_base_free(base);
    return text;
}

static void expect(const char *answer, int status, const char *type, const char *body)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
    cr_assert_eq(strncmp(answer, line, strlen(line)), 0, "%s", answer);
    cr_assert_not_null(strstr(answer, type), "%s", answer);
    const char *got = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(got);
    cr_assert_str_eq(got + 4, body, "%s", got);
    cr_assert_eq(strstr(answer, "Retry-After: 1\r\n") != NULL, status == 503);
    cr_assert_not_null(strstr(answer, "Cache-Control: no-store\r\n"));
}

static const char type[] = "\r\nContent-Type: application/health+json\r\n";

Test(health, passing)
{
    struct subject s;
    subject_init(&s);
    expect(get(&s, "/livez", ""), 200, type, "{\"status\":\"pass\"}");
    expect(get(&s, "/readyz", ""), 200, type, "{\"status\":\"pass\"}");
    expect(get(&s, "/health", ""), 200, type,
           "{\"status\":\"pass\",\"version\":\"1.2.3\",\"checks\":{\"kanban:depth\":[{\"observedValue\":-3,"
           "\"observedUnit\":\"signals\",\"status\":\"pass\"}],\"disk:free\":[{\"observedValue\":7,\"status\":\"pass\"}"
           "]}}");
    subject_done(&s);
}

Test(health, a_warning_is_ready)
{
    struct subject s;
    subject_init(&s);
    s.depth = HEALTH_WARN;
    expect(get(&s, "/readyz", ""), 200, type, "{\"status\":\"warn\",\"output\":\"too \\\"deep\\\"\"}");
    expect(get(&s, "/health", ""), 200, type,
           "{\"status\":\"warn\",\"version\":\"1.2.3\",\"output\":\"too \\\"deep\\\"\",\"checks\":{\"kanban:depth\":["
           "{\"observedValue\":-3,\"observedUnit\":\"signals\",\"status\":\"warn\",\"output\":\"too \\\"deep\\\"\"}],"
           "\"disk:free\":[{\"observedValue\":7,\"status\":\"pass\"}]}}");
    subject_done(&s);
}

Test(health, the_worst_check_decides)
{
    struct subject s;
    subject_init(&s);
    s.depth = HEALTH_WARN;
    s.disk = HEALTH_FAIL;
    expect(get(&s, "/readyz", ""), 503, type, "{\"status\":\"fail\",\"output\":\"disk:free\"}");
    expect(get(&s, "/livez", ""), 200, type, "{\"status\":\"pass\"}");
    cr_assert_not_null(strstr(get(&s, "/health", ""), "{\"status\":\"fail\",\"version\":"));
    subject_done(&s);
}

Test(health, draining_is_alive_but_not_ready)
{
    struct subject s;
    subject_init(&s);
    health_drain(s.health);
    expect(get(&s, "/readyz", ""), 503, type,
           "{\"status\":\"fail\",\"output\":\"draining: this process is about to exit\"}");
    expect(get(&s, "/livez", ""), 200, type, "{\"status\":\"pass\"}");
    subject_done(&s);
}

Test(health, metrics_by_accept)
{
    struct subject s;
    subject_init(&s);
    metric_inc(metrics_counter(s.metrics, "tai_things_total", "Things."));
    const char *text = get(&s, "/metrics", "");
    cr_assert_not_null(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4"), "%s", text);
    cr_assert_not_null(strstr(text, "\ntai_things_total 1\n"), "%s", text);
    cr_assert_null(strstr(text, "# EOF"));
    text = get(&s, "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
    cr_assert_not_null(strstr(text, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
                       "%s", text);
    cr_assert_not_null(strstr(text, "# EOF\n"), "%s", text);
    subject_done(&s);
}

Test(http_metrics, routes_classes_and_connections)
{
    static const char *const lines[] = {
        "\ntai_http_requests_total{listener=\"l\",route=\"/livez\",code=\"2xx\"} 2\n",
        "\ntai_http_requests_total{listener=\"l\",route=\"/livez\",code=\"5xx\"} 0\n",
        "\ntai_http_requests_total{listener=\"l\",route=\"/readyz\",code=\"5xx\"} 1\n",
        "\ntai_http_requests_total{listener=\"l\",route=\"none\",code=\"4xx\"} 1\n",
        "\ntai_http_request_duration_seconds_bucket{listener=\"l\",route=\"/livez\",le=\"0.005\"} 1\n",
        "\ntai_http_request_duration_seconds_count{listener=\"l\",route=\"/livez\"} 2\n",
        "\ntai_http_connections{listener=\"l\"} 2\n",
        "\ntai_http_connections_total{listener=\"l\"} 9\n",
        "\ntai_http_rejected_requests_total{listener=\"l\"} 1\n",
        "\ntai_http_received_bytes_total{listener=\"l\"} 300\n",
        "\ntai_http_sent_bytes_total{listener=\"l\"} 30\n",
    };
    struct metrics *registry = metrics_new();
    struct http_metrics *hm = http_metrics_new(registry, "l", routes);
    http_metrics_observe(hm, &routes[0], 200, 1000);
    http_metrics_observe(hm, &routes[0], 204, 2000000);
    http_metrics_observe(hm, &routes[1], 503, 10);
    http_metrics_observe(hm, NULL, 404, 10);
    http_metrics_observe(hm, NULL, 0, 10);
    struct http_stats stats = {
        .connections_total = 5, .connections_open = 3, .rejected_total = 1, .bytes_in_total = 100};
    http_metrics_refresh(hm, &stats);
    stats = (struct http_stats){9, 2, 0, 1, 300, 30};
    http_metrics_refresh(hm, &stats);
    http_metrics_refresh(hm, &stats);
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(registry, METRICS_TEXT, &out);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert_not_null(strstr(buf_cstr(&out), lines[i]), "no %s in\n%s", lines[i], buf_cstr(&out));
    buf_done(&out);
    http_metrics_free(hm);
    metrics_free(registry);
}
