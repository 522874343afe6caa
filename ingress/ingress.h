/* Layer 1: the HTTP API that verifies, rate-limits and queues signals. Runs on one event loop; knows the queue, no
 * database. A 202 leaves only after kanban says the signal is durable. */
#ifndef TAI_INGRESS_INGRESS_H
#define TAI_INGRESS_INGRESS_H

#include "common/http/http.h"
#include "common/log.h"
#include "config/config.h"
#include "kanban/backend.h"
#include "kanban/kanban.h"

struct ingress;

struct ingress_options {
    struct event_base *base;
    const struct ingress_config *config;
    const struct kanban_config *kanban;
    struct kanban_backend *queue;
    const char *status_url; /* prefix of Location, "http://127.0.0.1:8081"; NULL: a path only */
    const struct clock *clock;
    const struct log *log;
    struct metrics *metrics;
};

must_check int ingress_new(const struct ingress_options *options, struct ingress **ret, struct error *err);
/* Takes over keys and rates of config. On the loop's thread. */
void ingress_reload(struct ingress *ingress, const struct ingress_config *config);
uint16_t ingress_port(const struct ingress *ingress);
/* Stops accepting, answers what was begun (waiting for its publishes), then calls done from the loop. */
void ingress_drain(struct ingress *ingress, void (*done)(void *ctx), void *ctx);
void ingress_free(struct ingress *ingress);

/* Whether a signal of that id was answered 202 recently (a bounded memory; any thread). For "status":"accepted" before
 * a worker has taken it. entitlement_id may be empty: any. */
bool ingress_accepted(struct ingress *ingress, struct span tenant_id, struct span entitlement_id, struct span id);

#endif
