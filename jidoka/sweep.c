/* Retention: the owner of partition 0 deletes ended signal rows of all partitions, a slice of the table each second,
 * and slice after slice while much is found. A wall clock that jumps ahead deletes nothing early: the cutoff follows
 * the monotonic clock from where the wall clock stood at the start. */
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
    jidoka->started_us = jidoka_mono_us(jidoka);
    jidoka->started_wall_ms = clock_wall_ms(jidoka->options.clock);
    jidoka->sweep = (struct store_sweep){.req = {.done = on_swept, .ctx = jidoka}, .limit = SWEEP_ROWS};
}

void sweep_slice(struct jidoka *jidoka)
{
    if (jidoka->sweeping || jidoka->stopping || jidoka->partitions[0].state != PARTITION_RUNNING ||
        jidoka_mono_us(jidoka) < jidoka->sweep_after_us)
        return;
    int64_t wall_ms = clock_wall_ms(jidoka->options.clock);
    int64_t steady_ms = jidoka->started_wall_ms + (jidoka_mono_us(jidoka) - jidoka->started_us) / 1000;
    jidoka->sweep.cutoff_ms = (wall_ms < steady_ms ? wall_ms : steady_ms) - jidoka->config->signals_retention_ms;
    jidoka->sweeping = true;
    store_sweep(jidoka->store, &jidoka->sweep);
}
