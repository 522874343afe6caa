/* A partition this worker owns: claim and load, its caches, and the choice of the next batch. What is cached is valid
 * for one lease only. */
#include "jidoka/worker.h"

#include <errno.h>
#include <stdlib.h>

enum { RECOVERED_US = 1000000 };

size_t governor_key_of(struct span tenant_id, struct span entitlement_id, char ret[GOVERNOR_KEY_MAX])
{
    memcpy(ret, tenant_id.ptr, tenant_id.len);
    ret[tenant_id.len] = '\0';
    memcpy(ret + tenant_id.len + 1, entitlement_id.ptr, entitlement_id.len);
    return tenant_id.len + 1 + entitlement_id.len;
}

struct span governor_tenant(const struct governor_entry *entry)
{
    return (struct span){entry->key, entry->tenant_len};
}

struct span governor_entitlement(const struct governor_entry *entry)
{
    return (struct span){entry->key + entry->tenant_len + 1, entry->entitlement_len};
}

struct governor_entry *partition_find(struct partition *p, struct span tenant_id, struct span entitlement_id)
{
    char key[GOVERNOR_KEY_MAX];
    struct governor_entry *entry;
    size_t len = governor_key_of(tenant_id, entitlement_id, key);
    HASH_FIND(hh, p->governors, key, len, entry);
    return entry;
}

struct governor_entry *partition_add(struct partition *p, struct span tenant_id, struct span entitlement_id)
{
    char key[GOVERNOR_KEY_MAX];
    size_t len = governor_key_of(tenant_id, entitlement_id, key);
    struct governor_entry *entry = xcalloc(1, sizeof(*entry) + len);
    memcpy(entry->key, key, len);
    entry->tenant_len = (uint16_t)tenant_id.len;
    entry->entitlement_len = (uint16_t)entitlement_id.len;
    HASH_ADD_KEYPTR(hh, p->governors, entry->key, len, entry);
    return entry;
}

static void verify_failed(struct partition *p, struct store_lookup *lookup, const struct lookup_governor *governor,
                          const char *broken)
{
    struct buf text;
    buf_init(&text, 1024);
    buf_addf(&text, "table governors, row tenant=%.*s entitlement=%.*s: %s", (int)governor->tenant_id.len,
             governor->tenant_id.ptr, (int)governor->entitlement_id.len, governor->entitlement_id.ptr, broken);
    lookup->req.error = arena_copy(&lookup->req.arena, buf_cstr(&text), text.len);
    buf_done(&text);
    metric_inc(p->jidoka->metrics.corruptions);
    for (size_t i = 0; i < lookup->governor_count; i++) {
        if (lookup->governors[i].found)
            governor_record_done(&lookup->governors[i].record);
        lookup->governors[i].found = false;
    }
}

int partition_verify(struct partition *p, struct store_lookup *lookup, int status)
{
    for (size_t i = 0; status == 0 && i < lookup->governor_count; i++) {
        const struct lookup_governor *governor = &lookup->governors[i];
        const char *broken = governor->found ? governor_check(&governor->record) : NULL;
        if (broken) {
            verify_failed(p, lookup, governor, broken);
            return -EUCLEAN;
        }
    }
    return status;
}

void partition_cache(struct partition *p, struct store_lookup *lookup)
{
    for (size_t i = 0; i < lookup->governor_count; i++) {
        struct lookup_governor *found = &lookup->governors[i];
        if (!found->found || partition_find(p, found->tenant_id, found->entitlement_id))
            continue;
        partition_add(p, found->tenant_id, found->entitlement_id)->record = found->record;
        found->found = false;
        metric_move(p->jidoka->metrics.governors, 1);
    }
}

void partition_lookup_done(struct store_lookup *lookup)
{
    for (size_t i = 0; i < lookup->governor_count; i++)
        if (lookup->governors[i].found)
            governor_record_done(&lookup->governors[i].record);
    free(lookup->governors);
    lookup->governors = NULL;
    lookup->governor_count = 0;
    arena_done(&lookup->req.arena);
}

struct tenant_entry *partition_tenant(struct partition *p, struct span tenant_id)
{
    struct tenant_entry *tenant;
    HASH_FIND(hh, p->tenants, tenant_id.ptr, tenant_id.len, tenant);
    if (tenant)
        return tenant;
    tenant = xcalloc(1, sizeof(*tenant) + tenant_id.len);
    memcpy(tenant->tenant_id, tenant_id.ptr, tenant_id.len);
    HASH_ADD_KEYPTR(hh, p->tenants, tenant->tenant_id, tenant_id.len, tenant);
    return tenant;
}

void acting_free(struct acting *acting)
{
    if (!acting)
        return;
    free(acting->bytes);
    free(acting);
}

void partition_release(struct partition *p, struct governor_entry *entry)
{
    if (entry->releasing)
        return;
    entry->releasing = true;
    entry->next_release = NULL;
    if (p->release_tail)
        p->release_tail->next_release = entry;
    else
        p->release_head = entry;
    p->release_tail = entry;
}

static int64_t clock_of(const struct partition *p)
{
    return p->clock_base_ms + (jidoka_mono_us(p->jidoka) - p->clock_base_us) / 1000;
}

static struct governor_entry *next_release(struct partition *p)
{
    struct governor_entry *entry;
    while ((entry = p->release_head)) {
        p->release_head = entry->next_release;
        if (!p->release_head)
            p->release_tail = NULL;
        entry->releasing = false;
        p->retrying -= entry->retrying;
        entry->retrying = false;
        if (entry->waiting && !governor_waits(&entry->record, false) && entry->deferred_until <= clock_of(p))
            return entry;
    }
    return NULL;
}

void partition_timers(struct partition *p, const struct governor_record *record)
{
    int64_t due = governor_next_due(record), quota_due = governor_quota_due(record);
    if (due < p->next_due)
        p->next_due = due;
    if (quota_due < p->quota_due)
        p->quota_due = quota_due;
}

struct governor_now partition_now(struct partition *p)
{
    struct governor_now now = {.wall_ms = clock_wall_ms(p->jidoka->options.clock), .clock_ms = clock_of(p)};
    wall_trust_note(&p->wall, now.clock_ms, now.wall_ms);
    return now;
}

/* --- dropping -------------------------------------------------------------------------------------------------------
 */

static void drop_governors(struct partition *p)
{
    struct governor_entry *entry = p->governors;
    struct tenant_entry *tenant = p->tenants;
    HASH_CLEAR(hh, p->governors); /* the entries stay linked */
    HASH_CLEAR(hh, p->tenants);
    for (struct governor_entry *next; entry; entry = next) {
        next = entry->hh.next;
        if (entry->job)
            runner_cancel(entry->job);
        if (!entry->insert)
            metric_move(p->jidoka->metrics.governors, -1);
        acting_free(entry->acting);
        governor_record_done(&entry->record);
        free(entry);
    }
    for (struct tenant_entry *next; tenant; tenant = next) {
        next = tenant->hh.next;
        free(tenant);
    }
}

static void drop_queued(struct partition *p)
{
    uint32_t prefetch = (uint32_t)p->jidoka->config->prefetch;
    for (; p->delivery_count; p->delivery_count--) {
        kanban_abandon(p->jidoka->kanban, p->deliveries[p->delivery_head]);
        p->delivery_head = (p->delivery_head + 1) % prefetch;
    }
    struct action_result *result;
    while ((result = p->results)) {
        p->results = result->next;
        free(result);
    }
    p->results_tail = &p->results;
}

void partition_drop(struct partition *p)
{
    struct jidoka *jidoka = p->jidoka;
    if (p->state == PARTITION_UNOWNED)
        return;
    kanban_unsubscribe(jidoka->kanban, p->id);
    p->subscribed = false;
    event_del(p->retry);
    batch_free(p->batch);
    p->batch = NULL;
    drop_queued(p);
    if (p->id == 0)
        refusal_frames_drop(jidoka);
    drop_governors(p);
    arena_done(&p->load.req.arena);
    arena_done(&p->numbers.req.arena);
    partition_lookup_done(&p->restore);
    p->release_head = p->release_tail = NULL;
    p->frame_at = p->retrying = 0;
    attempts_dropped(p);
    triage_dropped(p);
    metric_move(jidoka->metrics.waiting, -(int64_t)p->waiting);
    metric_move(jidoka->metrics.acting, -(int64_t)p->acting);
    metric_move(jidoka->metrics.leases, -1);
    p->waiting = p->acting = 0;
    p->state = PARTITION_UNOWNED;
    p->leaving = false;
    jidoka->dropped = true;
    jidoka_check_drained(jidoka);
}

/* What it is made of cannot be used now: not claimed again for a while. */
static void rest(struct partition *p)
{
    enum { REST_MS = 500, REST_SHIFT_MAX = 6 };
    unsigned shift = p->rests < REST_SHIFT_MAX ? p->rests : REST_SHIFT_MAX;
    p->rests++;
    p->rest_until_us = jidoka_mono_us(p->jidoka) + (((int64_t)REST_MS * 1000) << shift);
}

bool partition_rested(const struct partition *p)
{
    return p->state == PARTITION_UNOWNED && p->rest_until_us && jidoka_mono_us(p->jidoka) >= p->rest_until_us;
}

void partition_leave(struct partition *p)
{
    bool under_way =
        p->state == PARTITION_LOADING || (p->batch && !p->parked && !event_pending(p->retry, EV_TIMEOUT, NULL));
    p->leaving = p->state != PARTITION_UNOWNED;
    if (!under_way)
        partition_drop(p);
}

/* --- claiming: load, outcome numbers, governors with waiting or acting rows, then subscribe ---------------------- */

/* Tried again with a later heartbeat. */
static bool load_failed(struct store_request *request, int status, const char *what)
{
    struct partition *p = request->ctx;
    if (status == 0 && !p->leaving)
        return false;
    if (status < 0)
        log_event(p->jidoka->options.log, LOG_ERROR, "partition_load_failed", LOG_I("partition", p->id),
                  LOG_S("request", what), LOG_S("error", request->error ? request->error : error_text(status)));
    if (status == -EUCLEAN)
        rest(p);
    partition_drop(p);
    return true;
}

static void restore_acting(struct partition *p, const struct signal_row *row)
{
    struct governor_entry *entry = partition_find(p, row->identity.tenant_id, row->identity.entitlement_id);
    struct governor_pending *pending = entry ? entry->record.pending : NULL;
    if (!pending) {
        log_event(p->jidoka->options.log, LOG_ERROR, "acting_row_without_action", LOG_I("partition", p->id),
                  LOG_B("signal_id", row->identity.id));
        return;
    }
    entry->acting = xcalloc(1, sizeof(*entry->acting));
    entry->acting->bytes = xstrndup(row->bytes.ptr, row->bytes.len);
    entry->acting->len = row->bytes.len;
    memcpy(entry->acting->sha256, row->sha256, SHA256_SIZE);
    /* The attempt under way when the last owner stopped has an unknown end: the next one has the same idempotency key.
     */
    struct action_result *again = xcalloc(1, sizeof(*again));
    *again = (struct action_result){.governor = entry, .again = true, .restored = true};
    memcpy(again->action_id, pending->action_id, sizeof(again->action_id));
    *p->results_tail = again;
    p->results_tail = &again->next;
}

static void run_loaded(struct partition *p)
{
    for (size_t i = 0; i < p->load.waiting_count; i++) {
        const struct waiting_count *waiting = &p->load.waiting[i];
        struct governor_entry *entry = partition_find(p, waiting->tenant_id, waiting->entitlement_id);
        if (!entry)
            continue;
        entry->waiting = (uint32_t)waiting->count;
        entry->deferred_until = waiting->deferred_until;
        partition_tenant(p, waiting->tenant_id)->waiting += waiting->count;
        if (!governor_waits(&entry->record, false))
            partition_release(p, entry);
    }
    for (size_t i = 0; i < p->load.acting_count; i++)
        restore_acting(p, &p->load.acting[i]);
    partition_lookup_done(&p->restore); /* its keys lie in the load's arena */
    arena_done(&p->load.req.arena);
    p->state = PARTITION_RUNNING;
    partition_subscribe(p);
    partition_run(p);
}

/* Refused while the last owner of the lease has not let go: the tick tries again. */
void partition_subscribe(struct partition *p)
{
    int rc = kanban_subscribe(p->jidoka->kanban, p->id);
    if (p->id == 0)
        refusal_frames_subscribe(p->jidoka);
    p->subscribed = rc == 0;
    if (rc < 0)
        log_event(p->jidoka->options.log, LOG_WARN, "subscribe_failed", LOG_I("partition", p->id),
                  LOG_S("error", error_text(rc)));
}

static void on_restored(struct store_request *request, int status)
{
    struct partition *p = request->ctx;
    status = partition_verify(p, &p->restore, status);
    if (load_failed(request, status, "lookup"))
        return;
    partition_cache(p, &p->restore);
    run_loaded(p);
}

static void restore_governors(struct partition *p)
{
    struct store_lookup *lookup = &p->restore;
    *lookup = (struct store_lookup){.req = {.done = on_restored, .ctx = p}, .partition = p->id};
    lookup->governors = xcalloc(p->load.waiting_count + p->load.acting_count + 1, sizeof(*lookup->governors));
    for (size_t i = 0; i < p->load.waiting_count; i++)
        lookup->governors[lookup->governor_count++] = (struct lookup_governor){
            .tenant_id = p->load.waiting[i].tenant_id, .entitlement_id = p->load.waiting[i].entitlement_id};
    for (size_t i = 0; i < p->load.acting_count; i++) {
        const struct identity *identity = &p->load.acting[i].identity; /* it may have been listed for its line */
        lookup->governors[lookup->governor_count++] =
            (struct lookup_governor){.tenant_id = identity->tenant_id, .entitlement_id = identity->entitlement_id};
    }
    store_lookup(p->jidoka->store, lookup);
}

static void on_numbers(struct store_request *request, int status)
{
    struct partition *p = request->ctx;
    if (load_failed(request, status, "outcome_numbers"))
        return;
    memcpy(p->outcome_next, p->numbers.next, (size_t)p->jidoka->config->shards * sizeof(*p->outcome_next));
    arena_done(&p->numbers.req.arena);
    restore_governors(p);
}

static void on_load(struct store_request *request, int status)
{
    struct partition *p = request->ctx;
    if (load_failed(request, status, "load"))
        return;
    p->next_due = p->load.next_due;
    p->row_due = p->load.row_due;
    p->quota_due = p->load.quota_due;
    p->numbers = (struct store_outcome_numbers){
        .req = {.done = on_numbers, .ctx = p}, .partition = p->id, .shards = (uint32_t)p->jidoka->config->shards};
    store_outcome_numbers(p->jidoka->store, &p->numbers);
}

void partition_claim(struct partition *p, const struct lease *lease)
{
    struct jidoka *jidoka = p->jidoka;
    p->state = PARTITION_LOADING;
    p->rest_until_us = 0;
    p->epoch = lease->epoch;
    p->batch_number = lease->batch;
    p->next_line = lease->next_line;
    p->outcomes_open = lease->outcomes_open;
    p->waiting = lease->waiting;
    p->acting = lease->acting;
    p->clock_base_ms = lease->clock_ms;
    p->wall = lease->wall;
    p->clock_base_us = p->written_us = jidoka_mono_us(jidoka);
    p->settled_frames = 0;
    p->crashes = lease->crashes;
    p->frames_turn = false;
    p->busy_us = p->clock_base_us;
    triage_claimed(p, lease);
    metric_move(jidoka->metrics.leases, 1);
    metric_move(jidoka->metrics.waiting, (int64_t)p->waiting);
    metric_move(jidoka->metrics.acting, (int64_t)p->acting);
    p->load = (struct store_load){.req = {.done = on_load, .ctx = p}, .partition = p->id};
    store_load(jidoka->store, &p->load);
}

/* --- what comes next ------------------------------------------------------------------------------------------------
 */

bool partition_lagging(const struct partition *p)
{
    return p->state == PARTITION_RUNNING && p->outcomes_open >= (uint64_t)p->jidoka->config->max_lag;
}

static bool timers_due(const struct partition *p)
{
    int64_t clock_ms = clock_of(p);
    return p->next_due <= clock_ms || (p->row_due <= clock_ms && !p->retrying) ||
           p->quota_due <= clock_wall_ms(p->jidoka->options.clock);
}

/* Whatever its last owner had begun has been delivered and worked off without a crash. */
bool partition_recovered(const struct partition *p)
{
    return p->crashes && p->state == PARTITION_RUNNING && p->subscribed && partition_idle(p) &&
           jidoka_mono_us(p->jidoka) - p->busy_us >= RECOVERED_US;
}

void partition_run(struct partition *p)
{
    struct governor_entry *entry;
    if (p->state != PARTITION_RUNNING || p->batch)
        return;
    if (p->leaving) {
        partition_drop(p);
        return;
    }
    if (attempts_hold(p))
        return;
    bool frames = p->delivery_count && !partition_lagging(p) && !triage_full(p->jidoka);
    if (p->results) {
        results_begin(p);
    } else if (timers_due(p)) {
        due_begin(p);
    } else if (p->commands) {
        commands_begin(p);
    } else if (refusal_frames_waiting(p) && !partition_lagging(p)) {
        refusal_frames_begin(p);
    } else if (!(frames && p->frames_turn) && (entry = next_release(p))) {
        p->frames_turn = true;
        release_begin(p, entry);
    } else if (frames) {
        p->frames_turn = false;
        frames_begin(p);
    } else {
        jidoka_check_drained(p->jidoka);
    }
}

bool partition_idle(const struct partition *p)
{
    return p->state != PARTITION_LOADING && !p->batch && !p->results && !p->delivery_count && !p->release_head &&
           !p->acting && !refusal_frames_waiting(p);
}
