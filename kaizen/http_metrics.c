/* Handles of all series are looked up once, so that observing a request is two atomic additions. Routes are found by
 * their index in the borrowed table; what matched none counts under route "none". */
#include "kaizen/http_metrics.h"

#include "common/mem.h"

#include <stdlib.h>

enum { CLASSES = 4 };

struct route_metrics {
    struct metric_counter *requests[CLASSES]; /* by class of the status */
    struct metric_histogram *duration;
};

struct http_metrics {
    const struct http_route *routes;
    size_t count; /* of routes; the one behind them is "none" */
    struct route_metrics *series;
    struct metric_gauge *open;
    struct metric_counter *connections;
    struct metric_counter *rejected;
    struct metric_counter *received;
    struct metric_counter *sent;
    struct http_stats seen;
};

static const char *const class_names[] = {"2xx", "3xx", "4xx", "5xx", NULL};

static struct metric *listener_family(struct metrics *metrics, const char *name, const char *help,
                                      enum metric_type type)
{
    struct metric_desc desc = {.name = name, .help = help, .type = type, .labels = {{.name = "listener"}}};
    return metrics_register(metrics, &desc);
}

static struct metric_counter *listener_counter(struct metrics *metrics, const char *listener, const char *name,
                                               const char *help)
{
    return metric_counter(listener_family(metrics, name, help, METRIC_COUNTER), &listener);
}

static void add_connection_series(struct http_metrics *hm, struct metrics *metrics, const char *listener)
{
    struct metric *open = listener_family(metrics, "tai_http_connections", "HTTP connections now open.", METRIC_GAUGE);
    hm->open = metric_gauge(open, &listener);
    hm->connections = listener_counter(metrics, listener, "tai_http_connections_total", "HTTP connections accepted.");
    hm->rejected = listener_counter(metrics, listener, "tai_http_rejected_requests_total",
                                    "HTTP requests answered by the server itself: malformed, too large, too slow.");
    hm->received =
        listener_counter(metrics, listener, "tai_http_received_bytes_total", "Bytes read from HTTP connections.");
    hm->sent = listener_counter(metrics, listener, "tai_http_sent_bytes_total", "Bytes written to HTTP connections.");
}

struct http_metrics *http_metrics_new(struct metrics *metrics, const char *listener, const struct http_route *routes)
{
    const struct metric_desc requests = {
        .name = "tai_http_requests_total",
        .help = "HTTP requests answered, by route and class of the status.",
        .type = METRIC_COUNTER,
        .labels = {{.name = "listener"}, {.name = "route"}, {.name = "code", .values = class_names}},
    };
    const struct metric_desc durations = {
        .name = "tai_http_request_duration_seconds",
        .help = "From the first byte of a request to its answer.",
        .type = METRIC_HISTOGRAM,
        .labels = {{.name = "listener"}, {.name = "route"}},
        .bounds = metric_bounds_seconds,
        .bounds_count = metric_bounds_seconds_count,
    };
    struct http_metrics *hm = xcalloc(1, sizeof(*hm));
    struct metric *requests_family = metrics_register(metrics, &requests);
    struct metric *durations_family = metrics_register(metrics, &durations);
    hm->routes = routes;
    while (routes[hm->count].method)
        hm->count++;
    hm->series = xcalloc(hm->count + 1, sizeof(*hm->series));
    for (size_t i = 0; i <= hm->count; i++) {
        const char *route = i < hm->count ? routes[i].path : "none";
        for (size_t c = 0; c < CLASSES; c++)
            hm->series[i].requests[c] =
                metric_counter(requests_family, (const char *const[]){listener, route, class_names[c]});
        hm->series[i].duration = metric_histogram(durations_family, (const char *const[]){listener, route});
    }
    add_connection_series(hm, metrics, listener);
    return hm;
}

void http_metrics_free(struct http_metrics *hm)
{
    if (!hm)
        return;
    free(hm->series);
    free(hm);
}

void http_metrics_observe(struct http_metrics *hm, const struct http_route *route, int status, int64_t duration_us)
{
    const struct route_metrics *series = &hm->series[route ? (size_t)(route - hm->routes) : hm->count];
    if (status >= 200 && status < 600)
        metric_inc(series->requests[status / 100 - 2]);
    metric_observe(series->duration, (double)duration_us / 1e6);
}

void http_metrics_refresh(struct http_metrics *hm, const struct http_stats *stats)
{
    metric_set(hm->open, (int64_t)stats->connections_open);
    metric_add(hm->connections, stats->connections_total - hm->seen.connections_total);
    metric_add(hm->rejected, stats->rejected_total - hm->seen.rejected_total);
    metric_add(hm->received, stats->bytes_in_total - hm->seen.bytes_in_total);
    metric_add(hm->sent, stats->bytes_out_total - hm->seen.bytes_out_total);
    hm->seen = *stats;
}
