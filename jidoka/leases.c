/* Leases: the heartbeat, what its answer says about each partition, and giving back what exceeds this worker's share.
 */
#include "jidoka/worker.h"

static void take_lease(struct jidoka *jidoka, struct partition *p, const struct lease *lease)
{
    if (p->state != PARTITION_UNOWNED && (!lease || lease->claimed || lease->epoch != p->epoch)) {
        metric_inc(jidoka->metrics.leases_lost);
        partition_leave(p);
    }
    if (!lease) {
        p->giving = false;
        if (p->state == PARTITION_UNOWNED)
            attempts_withdrawn(p);
    }
    if (!lease || p->giving || jidoka->stopping)
        return;
    p->outcomes_open = lease->outcomes_open;
    if (p->state != PARTITION_UNOWNED)
        partition_run(p);
    else if (!p->rest_until_us || partition_rested(p))
        partition_claim(p, lease);
}

/* Those beyond the share are left at once and released by the next heartbeat. */
static void give_surplus(struct jidoka *jidoka)
{
    const struct store_lease *request = &jidoka->lease;
    for (uint32_t i = request->lease_count; i > request->share; i--) {
        struct partition *p = &jidoka->partitions[request->leases[i - 1].partition];
        if (p->giving)
            continue;
        p->giving = true;
        partition_leave(p);
    }
}

static void take_leases(struct jidoka *jidoka)
{
    const struct store_lease *request = &jidoka->lease;
    uint32_t at = 0;
    triage_leases(jidoka, request);
    for (uint32_t id = 0; id < (uint32_t)jidoka->config->partitions; id++) {
        bool held = at < request->lease_count && request->leases[at].partition == id;
        take_lease(jidoka, &jidoka->partitions[id], held ? &request->leases[at] : NULL);
        at += held;
    }
    give_surplus(jidoka);
}

static void on_leases(struct store_request *request, int status)
{
    struct jidoka *jidoka = request->ctx;
    jidoka->lease_pending = false;
    if (status < 0) {
        unsigned failures = jidoka->lease_failures++;
        jidoka->dropped = true;               /* the next tick asks again */
        if ((failures & (failures + 1)) == 0) /* the 1st, 2nd, 4th, … in a row */
            log_event(jidoka->options.log, LOG_ERROR, "lease_heartbeat_failed",
                      LOG_S("error", request->error ? request->error : error_text(status)),
                      LOG_I("failures", failures + 1));
    } else if (!jidoka->lease.leaving) {
        jidoka->lease_failures = 0;
        take_leases(jidoka);
    }
    arena_reset(&jidoka->lease.req.arena);
    jidoka_check_drained(jidoka);
}

void leases_init(struct jidoka *jidoka)
{
    jidoka->release = xcalloc((size_t)jidoka->config->partitions, sizeof(*jidoka->release));
    jidoka->lease = (struct store_lease){.req = {.done = on_leases, .ctx = jidoka},
                                         .worker = jidoka->options.worker,
                                         .partitions = (uint32_t)jidoka->config->partitions,
                                         .ttl_ms = jidoka->options.lease_ttl_ms,
                                         .release = jidoka->release};
}

void leases_heartbeat(struct jidoka *jidoka)
{
    if (jidoka->lease_pending)
        return;
    jidoka->lease.release_count = 0;
    for (int64_t id = 0; id < jidoka->config->partitions; id++)
        if (jidoka->partitions[id].giving && jidoka->partitions[id].state == PARTITION_UNOWNED)
            jidoka->release[jidoka->lease.release_count++] = (uint32_t)id;
    jidoka->lease_pending = true;
    jidoka->dropped = false;
    jidoka->forecast.moved = false;
    jidoka->leased_us = jidoka_mono_us(jidoka);
    store_lease(jidoka->store, &jidoka->lease);
}

/* A third of the term has passed; sooner when its answer is awaited: who holds what was dropped, outcomes receipted,
 * dead letters that others resolved, a partition that has rested, or a lease to give back. */
bool leases_due(const struct jidoka *jidoka)
{
    if (jidoka->lease.leaving)
        return false;
    if (jidoka->dropped || jidoka->forecast.full ||
        jidoka_mono_us(jidoka) - jidoka->leased_us >= jidoka->options.lease_ttl_ms * 1000 / 3)
        return true;
    for (int64_t id = 0; id < jidoka->config->partitions; id++)
        if (jidoka->partitions[id].giving || partition_lagging(&jidoka->partitions[id]) ||
            partition_rested(&jidoka->partitions[id]))
            return true;
    return false;
}
