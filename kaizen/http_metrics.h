/* The metrics of one HTTP listener, the same for every layer: requests and durations by route, connections, bytes.
 * Belongs to the listener's thread; the series live in the shared registry. */
#ifndef TAI_KAIZEN_HTTP_METRICS_H
#define TAI_KAIZEN_HTTP_METRICS_H

#include "common/http/http.h"
#include "kaizen/metrics.h"

struct http_metrics;

/* listener: the value of that label, "ingress". routes (ended by {NULL}) must be those of the server and outlive this.
 */
struct http_metrics *http_metrics_new(struct metrics *metrics, const char *listener, const struct http_route *routes);
void http_metrics_free(struct http_metrics *http_metrics);

/* For http_options.observer: call it with the struct http_metrics. */
void http_metrics_observe(struct http_metrics *http_metrics, const struct http_route *route, int status,
                          int64_t duration_us);

/* Takes over the server's counters; about once a second, on the listener's thread. */
void http_metrics_refresh(struct http_metrics *http_metrics, const struct http_stats *stats);

#endif
