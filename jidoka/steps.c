/* What happens to a signal that has no row yet: it ends, waits in line, or is stepped. Signals of a governor with
 * waiting rows line up behind them; entitlement and refund events pass. Governors that do not exist are created here,
 * within the caps. */
#include "jidoka/worker.h"

#include "common/charset.h"

struct signal_change *signal_insert(struct batch *batch, const struct signal *signal, bool conflict)
{
    struct signal_change *change = batch_signal(batch, true);
    change->row.identity = (struct identity){signal->tenant_id, signal->entitlement_id, signal->id, signal->redrive};
    change->row.conflict = conflict;
    change->row.accepted_at_ms = signal->accepted_at_ms;
    memcpy(change->row.sha256, signal->sha256, SHA256_SIZE);
    return change;
}

void signal_keep_bytes(struct batch *batch, struct signal_change *change, const struct signal *signal)
{
    if (change->row.status != SIGNAL_WAITING && change->row.status != SIGNAL_ACTING &&
        change->row.status != SIGNAL_DEADLETTERED && change->row.status != SIGNAL_FAILED)
        return;
    struct buf *scratch = &batch->partition->jidoka->scratch;
    buf_clear(scratch);
    frame_encode_envelope(signal, scratch);
    change->row.envelope = (struct span){arena_copy(&batch->arena, scratch->data, scratch->len), scratch->len};
    change->row.bytes = signal->bytes;
}

void signal_dead_letter(struct batch *batch, struct governor_entry *entry, const struct signal *signal, bool conflict,
                        const char *reason)
{
    struct signal_change *change = signal_insert(batch, signal, conflict);
    apply_ending(batch, entry, SIGNAL_DEADLETTERED, reason, &(struct applied_signal){signal, change});
    signal_keep_bytes(batch, change, signal);
}

static void refuse(struct batch *batch, const struct signal *signal, const char *reason)
{
    struct signal_change *change = signal_insert(batch, signal, false);
    apply_ending(batch, NULL, SIGNAL_REFUSED, reason, &(struct applied_signal){signal, change});
}

/* --- stepping ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *type;
    enum governor_input_kind kind;
} event_types[] = {
    {"tai.entitlement.activated", INPUT_ACTIVATED},
    {"tai.entitlement.suspended", INPUT_SUSPENDED_BY_MARKET},
    {"tai.entitlement.cancelled", INPUT_CANCELLED},
    {"tai.entitlement.refund_started", INPUT_REFUND_STARTED},
    {"tai.entitlement.refund_completed", INPUT_REFUND_COMPLETED},
};

static enum governor_input_kind input_kind(struct span type)
{
    for (size_t i = 0; i < sizeof(event_types) / sizeof(*event_types); i++)
        if (span_is(type, event_types[i].type))
            return event_types[i].kind;
    return INPUT_SIGNAL;
}

/* `data` of an activation may carry quota_limit, quota_period and sku_id; what it carries wrongly is as if absent. */
void governor_read_activation(struct jidoka *jidoka, struct governor_input *input, struct span data)
{
    if (json_parse(&jidoka->doc, data, NULL) < 0 || jidoka->doc.nodes[0].type != JSON_OBJECT)
        return;
    const struct json_doc *doc = &jidoka->doc;
    const struct json_node *limit = json_get(doc, doc->nodes, "quota_limit");
    const struct json_node *sku = json_get(doc, doc->nodes, "sku_id");
    struct span period = json_text(doc, json_get(doc, doc->nodes, "quota_period"), &jidoka->scratch);
    if (limit && limit->type == JSON_NULL) {
        input->has_quota_limit = true;
        input->quota_limit = QUOTA_NONE;
    } else if (limit && json_int(doc, limit, 0, INT64_C(1) << 53, &input->quota_limit) == 0) {
        input->has_quota_limit = true;
    }
    for (int i = 0; i < PERIOD_COUNT && period.len; i++)
        if (span_is(period, quota_period_names[i])) {
            input->has_quota_period = true;
            input->quota_period = (enum quota_period)i;
        }
    struct span sku_id = sku && !sku->escaped ? json_text(doc, sku, &jidoka->scratch) : (struct span){0};
    if (charset_made_of(sku_id, FRAME_ID_MAX, CHARSET_ID))
        input->sku_id = sku_id;
}

static void step_event(struct batch *batch, struct governor_entry *entry, const struct signal *signal,
                       enum governor_input_kind kind)
{
    struct signal_change *change = signal_insert(batch, signal, false);
    struct governor_input input = {
        .kind = kind, .event_time_ms = signal->time_ms, .signal_id = signal->id, .redrive = signal->redrive};
    if (kind == INPUT_ACTIVATED)
        governor_read_activation(batch->partition->jidoka, &input, signal->data);
    (void)apply_step(batch, entry, &input, &(struct applied_signal){signal, change});
}

static void step_signal(struct batch *batch, struct governor_entry *entry, const struct signal *signal)
{
    bool critical = signal->severity == SEVERITY_CRITICAL;
    if (entry->waiting || governor_waits(&entry->record, critical)) {
        waiting_join(batch, entry, signal);
        return;
    }
    struct signal_change *change = signal_insert(batch, signal, false);
    struct governor_input input = {
        .kind = INPUT_SIGNAL, .critical = critical, .signal_id = signal->id, .redrive = signal->redrive};
    (void)apply_step(batch, entry, &input, &(struct applied_signal){signal, change});
    signal_keep_bytes(batch, change, signal);
}

/* --- governors ---------------------------------------------------------------------------------------------------- */

static struct lookup_governor *looked_up(const struct batch *batch, struct span tenant_id, struct span entitlement_id)
{
    char key[GOVERNOR_KEY_MAX];
    struct governor_ref *ref;
    size_t len = governor_key_of(tenant_id, entitlement_id, key);
    HASH_FIND(hh, batch->governor_refs, key, len, ref);
    return ref ? &batch->lookup.governors[ref->index] : NULL;
}

void batch_look_up_governor(struct batch *batch, struct span tenant_id, struct span entitlement_id)
{
    struct store_lookup *lookup = &batch->lookup;
    char key[GOVERNOR_KEY_MAX];
    size_t len = governor_key_of(tenant_id, entitlement_id, key);
    if (partition_find(batch->partition, tenant_id, entitlement_id) || looked_up(batch, tenant_id, entitlement_id))
        return;
    struct governor_ref *ref = arena_alloc(&batch->arena, sizeof(*ref) + len);
    memcpy(ref->key, key, len);
    ref->index = lookup->governor_count;
    HASH_ADD_KEYPTR(hh, batch->governor_refs, ref->key, len, ref);
    mem_grow(&lookup->governors, &batch->governor_cap, lookup->governor_count + 1, sizeof(*lookup->governors));
    lookup->governors[lookup->governor_count++] =
        (struct lookup_governor){.tenant_id = tenant_id, .entitlement_id = entitlement_id};
}

struct governor_entry *governor_new(struct batch *batch, struct span tenant_id, struct span entitlement_id,
                                    struct span sku_id)
{
    struct partition *p = batch->partition;
    struct jidoka *jidoka = p->jidoka;
    const struct lookup_governor *lookup = looked_up(batch, tenant_id, entitlement_id);
    if (batch->lookup.governors_total >= (uint64_t)jidoka->config->governors_max)
        return NULL; /* before its tenant is remembered: refused ones must not fill the memory */
    struct tenant_entry *tenant = partition_tenant(p, tenant_id);
    if (tenant->creating != p->batch_number + 1) {
        tenant->creating = p->batch_number + 1;
        tenant->created = 0;
    }
    if (lookup->tenant_governors + tenant->created >= (uint64_t)jidoka->config->governors_max_per_tenant)
        return NULL;
    struct governor_entry *entry = partition_add(p, tenant_id, entitlement_id);
    struct governor_result result;
    governor_create(&entry->record, &jidoka->env, batch->now, sku_id, &result);
    entry->insert = true;
    batch->lookup.governors_total++;
    tenant->created++;
    apply_created(batch, entry, &result);
    return entry;
}

/* --- a signal ----------------------------------------------------------------------------------------------------- */

/* Its row may have been there and be gone. */
static bool too_old(const struct batch *batch, const struct signal *signal)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    const struct partition *p = batch->partition;
    return wall_trust_ms(&p->wall, batch->now.clock_ms) - signal->accepted_at_ms >
           p->jidoka->config->signals_retention_ms - DAY_MS;
}

void signal_step(struct batch *batch, const struct signal *signal, bool redrivable)
{
    struct partition *p = batch->partition;
    enum governor_input_kind kind = input_kind(signal->type);
    struct governor_entry *entry = partition_find(p, signal->tenant_id, signal->entitlement_id);
    if (too_old(batch, signal)) {
        signal_dead_letter(batch, entry, signal, false, "too_old");
        return;
    }
    const char *refused = NULL;
    if (signal->redrive && !redrivable)
        refused = "not_redrivable";
    else if (kind != INPUT_SIGNAL && !signal->may_event)
        refused = "role_required";
    else if (!entry && !(entry = governor_new(batch, signal->tenant_id, signal->entitlement_id, signal->sku_id)))
        refused = "governor_limit";
    if (refused)
        refuse(batch, signal, refused);
    else if (kind != INPUT_SIGNAL)
        step_event(batch, entry, signal, kind);
    else
        step_signal(batch, entry, signal);
}
