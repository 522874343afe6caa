/* Retention: the owner of partition 0 deletes ended signal rows of all partitions, a slice of the table each second,
 * and slice after slice while much is found. Their age is counted on the clocks of their partitions: the wall clock
 * deletes nothing, wherever it jumps, and time in which nobody owned a partition does not count. */
#include "jidoka/worker.h"

enum { SWEEP_ROWS = 1000, FAILED_PAUSE_US = 60 * 1000 * 1000 };

static void on_swept(struct store_request *request, int status)
{
    struct jidoka *jidoka = request->ctx;
    jidoka->sweeping = false;
    if (status < 0) {
        log_event(jidoka->options.log, LOG_ERROR, "sweep_failed",
                  LOG_S("error", request->error ? request->error : error_text(status)));
        jidoka->sweep_after_us = jidoka_mono_us(jidoka) + FAILED_PAUSE_US;
    } else {
        metric_add(jidoka->metrics.swept, jidoka->sweep.deleted);
    }
    arena_reset(&request->arena);
    if (status == 0 && jidoka->sweep.deleted >= SWEEP_ROWS / 4)
        sweep_slice(jidoka);
}

void sweep_init(struct jidoka *jidoka)
{
    jidoka->sweep = (struct store_sweep){.req = {.done = on_swept, .ctx = jidoka},
                                         .retention_ms = jidoka->config->signals_retention_ms,
                                         .limit = SWEEP_ROWS};
}

void sweep_slice(struct jidoka *jidoka)
{
    if (jidoka->sweeping || jidoka->stopping || jidoka->partitions[0].state != PARTITION_RUNNING ||
        jidoka_mono_us(jidoka) < jidoka->sweep_after_us)
        return;
    jidoka->sweeping = true;
    store_sweep(jidoka->store, &jidoka->sweep);
}
