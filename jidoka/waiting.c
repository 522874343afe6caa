/* Rows that wait: in line behind their governor, within the caps, until its state lets them go on or they expire; or at
 * the head of the line because what their action calls cannot take it now, until they are tried again, `max_deferrals`
 * times at most. */
#include "jidoka/worker.h"

enum { PAUSE_FIRST_MS = 1000, PAUSE_MAX_MS = 5 * 60 * 1000, PAUSE_SHIFT_MAX = 9, ASKED_MAX_MS = 3600 * 1000 };

struct signal_change *waiting_row(struct batch *batch, const struct signal_row *row)
{
    struct signal_change *change = batch_signal(batch, false);
    change->row.identity = row->identity;
    change->row.conflict = row->conflict;
    change->row.accepted_at_ms = row->accepted_at_ms;
    change->row.deferrals = row->deferrals;
    memcpy(change->row.sha256, row->sha256, SHA256_SIZE);
    return change;
}

struct signal waiting_signal(const struct signal_row *row)
{
    struct signal signal = {.tenant_id = row->identity.tenant_id,
                            .entitlement_id = row->identity.entitlement_id,
                            .id = row->identity.id,
                            .redrive = row->identity.redrive,
                            .accepted_at_ms = row->accepted_at_ms};
    memcpy(signal.sha256, row->sha256, SHA256_SIZE);
    return signal;
}

/* --- in line ------------------------------------------------------------------------------------------------------ */

static bool overflows(struct batch *batch, const struct governor_entry *entry)
{
    struct partition *p = batch->partition;
    const struct jidoka_config *config = p->jidoka->config;
    uint64_t waiting = p->waiting + (uint64_t)batch->commit.waiting;
    return entry->waiting >= (uint64_t)config->governor.max_waiting || waiting >= (uint64_t)config->max_waiting ||
           partition_tenant(p, governor_tenant(entry))->waiting >= (uint64_t)config->max_waiting / 2;
}

static void wait_until(struct batch *batch, struct signal_change *change, int64_t due_ms, struct span reason)
{
    change->row.status = SIGNAL_WAITING;
    change->row.reason = reason;
    change->row.changed_at_ms = batch->now.wall_ms;
    change->row.due_ms = due_ms;
    if (due_ms < batch->partition->row_due)
        batch->partition->row_due = due_ms;
}

static void wait_for_state(struct batch *batch, struct signal_change *change)
{
    int64_t max_wait_ms = batch->partition->jidoka->config->governor.max_wait_ms;
    wait_until(batch, change, batch->now.clock_ms + max_wait_ms, (struct span){0});
}

/* One more row of the line. */
static void enter(struct batch *batch, struct governor_entry *entry, struct signal_change *change)
{
    change->row.line = batch->commit.next_line++;
    entry->record.last_signal_at = batch->now.wall_ms;
    batch_change(batch, entry);
    entry->waiting++;
    partition_tenant(batch->partition, governor_tenant(entry))->waiting++;
    batch->commit.waiting++;
}

void waiting_join(struct batch *batch, struct governor_entry *entry, const struct signal *signal)
{
    if (overflows(batch, entry)) {
        signal_dead_letter(batch, entry, signal, false, "overflow");
        return;
    }
    struct signal_change *change = signal_insert(batch, signal, false);
    wait_for_state(batch, change);
    signal_keep_bytes(batch, change, signal);
    enter(batch, entry, change);
    if (!governor_waits(&entry->record, false))
        partition_release(batch->partition, entry);
}

void waiting_leave(struct batch *batch, struct governor_entry *entry)
{
    entry->waiting--;
    partition_tenant(batch->partition, governor_tenant(entry))->waiting--;
    batch->commit.waiting--;
}

/* --- deferred ----------------------------------------------------------------------------------------------------- */

/* Full jitter over a pause that doubles, on top of what the target asks for. */
static int64_t pause_ms(const struct jidoka *jidoka, uint32_t deferrals, int64_t wait_ms)
{
    unsigned shift = deferrals - 1 < PAUSE_SHIFT_MAX ? deferrals - 1 : PAUSE_SHIFT_MAX;
    int64_t ceiling = (int64_t)PAUSE_FIRST_MS << shift;
    uint32_t random;
    jidoka->options.random(&random, sizeof(random));
    wait_ms = wait_ms < 0 ? 0 : wait_ms > ASKED_MAX_MS ? ASKED_MAX_MS : wait_ms;
    return wait_ms + 1 + random % (ceiling < PAUSE_MAX_MS ? ceiling : PAUSE_MAX_MS);
}

void waiting_defer(struct batch *batch, struct governor_entry *entry, struct applied_signal *signal, int64_t wait_ms)
{
    const struct jidoka *jidoka = batch->partition->jidoka;
    struct signal_change *change = signal->change;
    bool often = change->row.deferrals >= (uint64_t)jidoka->config->max_deferrals;
    if (often || (change->insert && overflows(batch, entry))) {
        apply_ending(batch, entry, SIGNAL_DEADLETTERED, often ? "deferral_limit" : "overflow", signal);
        return;
    }
    change->row.deferrals++;
    entry->deferred_until = batch->now.clock_ms + pause_ms(jidoka, change->row.deferrals, wait_ms);
    wait_until(batch, change, entry->deferred_until, SPAN(WAITING_DEFERRED));
    if (change->insert)
        enter(batch, entry, change);
    metric_inc(jidoka->metrics.deferrals);
    log_event(jidoka->options.log, LOG_DEBUG, "signal_deferred", LOG_B("tenant_id", governor_tenant(entry)),
              LOG_B("entitlement_id", governor_entitlement(entry)), LOG_B("signal_id", signal->signal->id),
              LOG_I("deferrals", change->row.deferrals), LOG_I("for_ms", entry->deferred_until - batch->now.clock_ms));
}

void waiting_hold(struct batch *batch, struct governor_entry *entry, const struct signal_row *row)
{
    if (!span_is(row->reason, WAITING_DEFERRED))
        return;
    entry->deferred_until = 0;
    wait_for_state(batch, waiting_row(batch, row));
}

/* --- due ---------------------------------------------------------------------------------------------------------- */

static void try_again(struct batch *batch, struct governor_entry *entry, const struct signal_row *row)
{
    struct partition *p = batch->partition;
    if (governor_waits(&entry->record, false)) {
        waiting_hold(batch, entry, row);
        return;
    }
    if (!entry->retrying)
        p->retrying++;
    entry->retrying = true;
    partition_release(p, entry);
}

void waiting_due(struct batch *batch, const struct signal_row *row)
{
    struct governor_entry *entry =
        partition_find(batch->partition, row->identity.tenant_id, row->identity.entitlement_id);
    if (entry && span_is(row->reason, WAITING_DEFERRED)) {
        try_again(batch, entry, row);
        return;
    }
    struct signal *signal = arena_alloc(&batch->arena, sizeof(*signal));
    *signal = waiting_signal(row);
    if (entry)
        waiting_leave(batch, entry);
    else
        batch->commit.waiting--;
    apply_ending(batch, entry, SIGNAL_DEADLETTERED, "wait_expired",
                 &(struct applied_signal){signal, waiting_row(batch, row)});
}
