/* The supervisor of one worker process: starts it, restarts it when it crashes, ends it when told. Deliberately small:
 * no threads, no allocation, no layer code. */
#ifndef TAI_APPS_RUN_SUPERVISOR_H
#define TAI_APPS_RUN_SUPERVISOR_H

#include <stdint.h>

/* What the worker tells once it serves: kept, so that a restarted one listens where the first did. */
struct worker_ready {
    uint16_t port, andon_port;
    int64_t stop_ms; /* how long it may take to end when asked to */
};

struct worker_task {
    /* In the child. lifeline: readable (end of file) once the supervisor is gone: then exit at once. ready: write one
     * struct worker_ready. known: NULL on the first start. Returns the exit code. */
    int (*main)(void *ctx, int lifeline, int ready, const struct worker_ready *known);
    /* In the supervisor, after the first worker became ready. */
    void (*on_ready)(void *ctx, const struct worker_ready *ready);
    void *ctx;
};

/* Returns the exit code for the program. A worker that ends with an exit code before it was ever ready is not
 * restarted; one that crashes is, with back-off, until 5 restarts within 60 s. SIGHUP is passed on; SIGTERM and SIGINT
 * are, and awaited for as long as the worker said. */
int supervise(const struct worker_task *task);

#endif
