/* Health of a process: /livez, /readyz, /health (application/health+json) and /metrics, the same for every listener. */
#ifndef TAI_KAIZEN_HEALTH_H
#define TAI_KAIZEN_HEALTH_H

#include "common/http/http.h"
#include "kaizen/metrics.h"

enum health_status { HEALTH_PASS, HEALTH_WARN, HEALTH_FAIL };

struct health_check {
    const char *name; /* "component:measurement", e.g. "kanban:depth" */
    const char *unit; /* observedUnit, or NULL */
    /* On the listener's thread. ret_value: observedValue; ret_output: says what is wrong, or NULL. */
    enum health_status (*check)(void *ctx, int64_t *ret_value, const char **ret_output);
    void *ctx;
};

struct health;
struct health *health_new(struct metrics *metrics, const char *version);
void health_add(struct health *health, const struct health_check *check); /* copied; before the listener starts */
void health_drain(struct health *health);                                 /* from now on not ready; any thread */
void health_free(struct health *health);

/* /livez 200 always; /readyz 200 or 503 (draining, or a check fails); /health the whole; /metrics by Accept. */
void health_livez(struct health *health, struct http_request *req);
void health_readyz(struct health *health, struct http_request *req);
void health_health(struct health *health, struct http_request *req);
void health_metrics(struct health *health, struct http_request *req);

#endif
