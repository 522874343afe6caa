/* Planted bugs of what the store answers. */
#include "sim/shims.h"

#include "common/mem.h"

#include <errno.h>
#include <stdio.h>

size_t signal_key(const struct identity *identity, char ret[HISTORY_KEY_MAX])
{
    return (size_t)snprintf(ret, HISTORY_KEY_MAX, "%.*s\n%.*s\n%.*s\n%u", (int)identity->tenant_id.len,
                            identity->tenant_id.ptr, (int)identity->entitlement_id.len, identity->entitlement_id.ptr,
                            (int)identity->id.len, identity->id.ptr, identity->redrive);
}

size_t governor_key(struct span tenant_id, struct span entitlement_id, char ret[HISTORY_KEY_MAX])
{
    return (size_t)snprintf(ret, HISTORY_KEY_MAX, "%.*s\n%.*s", (int)tenant_id.len, tenant_id.ptr,
                            (int)entitlement_id.len, entitlement_id.ptr);
}

static void hide_signals(struct world *world, struct store_lookup *lookup)
{
    char key[HISTORY_KEY_MAX];
    for (size_t i = 0; i < lookup->signal_count; i++) {
        struct lookup_signal *signal = &lookup->signals[i];
        if (signal->found && !signal->same_hash && bug_is(world, BUG_CONFLICT_MISSED))
            signal->same_hash = true;
        if (!signal->found || !signal->same_hash || signal->conflict_known ||
            !bug_strikes(world, BUG_DEDUPE_SKIPPED, 2))
            continue;
        signal->found = signal->same_hash = false;
        shim_key_add(world, &world->shims->hidden_signals, key, signal_key(&signal->identity, key));
    }
}

static void hide_governors(struct world *world, struct store_lookup *lookup)
{
    char key[HISTORY_KEY_MAX];
    for (size_t i = 0; i < lookup->governor_count; i++) {
        struct lookup_governor *governor = &lookup->governors[i];
        if (!governor->found || !bug_strikes(world, BUG_GOVERNOR_FORGOTTEN, 4))
            continue;
        governor_record_done(&governor->record);
        governor->found = false;
        shim_key_add(world, &world->shims->hidden_governors, key,
                     governor_key(governor->tenant_id, governor->entitlement_id, key));
    }
}

static void keep_epoch(struct world *world, struct lease *lease)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "UPDATE partitions SET epoch = epoch - 1 WHERE partition = %u", lease->partition);
    sqlite3_exec(database_handle(world->lab->database), sql, NULL, NULL, NULL);
    lease->epoch--;
}

static void spoil_leases(struct world *world, struct store_lease *request)
{
    for (uint32_t i = 0; i < request->lease_count; i++) {
        struct lease *lease = &request->leases[i];
        if (!lease->claimed)
            continue;
        if (lease->epoch > 1 && bug_is(world, BUG_EPOCH_KEPT))
            keep_epoch(world, lease);
        if (bug_is(world, BUG_LINE_RESET))
            lease->next_line = 1;
        if (bug_is(world, BUG_CLOCK_BACK))
            lease->clock_ms = 0;
    }
}

static void reverse(struct store_waiting *request)
{
    for (size_t i = 0; i < request->row_count / 2; i++) {
        struct signal_row row = request->rows[i];
        request->rows[i] = request->rows[request->row_count - 1 - i];
        request->rows[request->row_count - 1 - i] = row;
    }
}

static void spoil_answer(struct ticket *ticket)
{
    struct world *world = ticket->world;
    struct store_request *request = ticket->request;
    switch (ticket->op) {
    case OP_LEASE:
        spoil_leases(world, (struct store_lease *)request);
        break;
    case OP_LOOKUP:
        hide_signals(world, (struct store_lookup *)request);
        hide_governors(world, (struct store_lookup *)request);
        break;
    case OP_WAITING:
        if (bug_is(world, BUG_WAITING_REVERSED))
            reverse((struct store_waiting *)request);
        break;
    case OP_DUE:
        if (bug_is(world, BUG_EXPIRY_IGNORED))
            ((struct store_due *)request)->row_count = 0;
        break;
    case OP_LOAD:
        if (bug_is(world, BUG_TIMERS_LOST)) {
            struct store_load *load = (struct store_load *)request;
            load->next_due = load->row_due = load->quota_due = INT64_MAX;
        }
        break;
    default:
        break;
    }
}

int bugs_after(struct ticket *ticket, int status)
{
    if (status == 0)
        spoil_answer(ticket);
    if (status == 0 && ticket->op == OP_COMMIT && bug_strikes(ticket->world, BUG_BATCH_UNCHECKED, 8))
        return -EIO;
    return status;
}

void bugs_before(struct ticket *ticket)
{
    if (ticket->op == OP_COMMIT) {
        ticket->saved.commit = *(struct store_commit *)ticket->request;
        bugs_before_commit(ticket);
    } else if (ticket->op == OP_APPEND) {
        ticket->saved.append = *(struct store_append *)ticket->request;
        bugs_before_append(ticket);
    }
}
