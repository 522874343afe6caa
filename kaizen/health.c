/* Health answers of one process. The list of checks is fixed before the listeners start; only `draining` changes after,
 * atomically, so one health may serve listeners on several threads as long as its checks may run there. Owns copies of
 * the checks, borrows the registry. */
#include "kaizen/health.h"

#include "common/json/json.h"
#include "common/mem.h"

#include <stdlib.h>

enum { REPORT_MAX = 64 * 1024, METRICS_MAX = 16 * 1024 * 1024 };

static const char health_type[] = "application/health+json";

struct health {
    struct metrics *metrics;
    char *version;
    struct health_check *checks;
    size_t count;
    size_t cap;
    _Atomic bool draining;
};

struct health *health_new(struct metrics *metrics, const char *version)
{
    struct health *health = xcalloc(1, sizeof(*health));
    health->metrics = metrics;
    health->version = xstrdup(version);
    return health;
}

void health_add(struct health *health, const struct health_check *check)
{
    mem_grow(&health->checks, &health->cap, health->count + 1, sizeof(*health->checks));
    health->checks[health->count++] = *check;
}

void health_drain(struct health *health)
{
    atomic_store(&health->draining, true);
}

void health_free(struct health *health)
{
    if (!health)
        return;
    free(health->version);
    free(health->checks);
    free(health);
}

static struct span status_word(enum health_status status)
{
    static const char *const words[] = {"pass", "warn", "fail"};
    return span_of(words[status]);
}

/* A drain first, then the worst of all checks; *ret_output is the reason of the first that is as bad. checks: the
 * details are appended to it, or NULL. */
static enum health_status judge(const struct health *health, struct buf *checks, const char **ret_output)
{
    enum health_status worst = HEALTH_PASS;
    *ret_output = NULL;
    if (atomic_load(&health->draining)) {
        worst = HEALTH_FAIL;
        *ret_output = "draining: this process is about to exit";
    }
    for (size_t i = 0; i < health->count; i++) {
        const struct health_check *check = &health->checks[i];
        int64_t value = 0;
        const char *output = NULL;
        enum health_status status = check->check(check->ctx, &value, &output);
        if (status > worst) {
            worst = status;
            *ret_output = output ? output : check->name;
        }
        if (!checks)
            continue;
        json_add_key(checks, check->name);
        buf_addf(checks, "[{\"observedValue\":%lld", (long long)value);
        if (check->unit)
            json_add_member(checks, "observedUnit", span_of(check->unit));
        json_add_member(checks, "status", status_word(status));
        if (output)
            json_add_member(checks, "output", span_of(output));
        buf_add_str(checks, "}]");
    }
    return worst;
}

static void answer(struct http_request *req, enum health_status status, const struct buf *body)
{
    http_add_header(req, "Cache-Control", SPAN("no-store"));
    if (status == HEALTH_FAIL)
        http_add_header(req, "Retry-After", SPAN("1"));
    http_reply(req, status == HEALTH_FAIL ? 503 : 200, health_type, buf_span(body));
}

void health_livez(struct health *health, struct http_request *req)
{
    (void)health;
    http_add_header(req, "Cache-Control", SPAN("no-store"));
    http_reply(req, 200, health_type, SPAN("{\"status\":\"pass\"}"));
}

void health_readyz(struct health *health, struct http_request *req)
{
    struct buf body;
    const char *output;
    buf_init(&body, REPORT_MAX);
    enum health_status status = judge(health, NULL, &output);
    buf_add_char(&body, '{');
    json_add_member(&body, "status", status_word(status));
    if (output)
        json_add_member(&body, "output", span_of(output));
    buf_add_char(&body, '}');
    answer(req, status, &body);
    buf_done(&body);
}

void health_health(struct health *health, struct http_request *req)
{
    struct buf body;
    struct buf checks;
    const char *output;
    buf_init(&body, REPORT_MAX);
    buf_init(&checks, REPORT_MAX / 2);
    buf_add_char(&checks, '{');
    enum health_status status = judge(health, &checks, &output);
    buf_add_char(&checks, '}');
    buf_add_char(&body, '{');
    json_add_member(&body, "status", status_word(status));
    json_add_member(&body, "version", span_of(health->version));
    if (output)
        json_add_member(&body, "output", span_of(output));
    json_add_member_raw(&body, "checks", buf_span(&checks));
    buf_add_char(&body, '}');
    answer(req, status, &body);
    buf_done(&checks);
    buf_done(&body);
}

void health_metrics(struct health *health, struct http_request *req)
{
    struct buf body;
    buf_init(&body, METRICS_MAX);
    enum metrics_format format = metrics_negotiate(http_header(req, "Accept"));
    metrics_write(health->metrics, format, &body);
    if (body.failed)
        http_problem(req, 500, NULL, "the metrics exceed %d bytes", METRICS_MAX);
    else
        http_reply(req, 200, metrics_content_type(format), buf_span(&body));
    buf_done(&body);
}
