/* Frames: every identity is looked up first, only unknown ones are stepped, once each. Signals of a governor with
 * waiting rows line up behind them; entitlement and refund events pass. */
#include "jidoka/worker.h"

/* An identity met in this batch, or another body under it. */
struct seen {
    UT_hash_handle hh;
    struct seen *more; /* further bodies */
    uint8_t sha256[SHA256_SIZE];
    char key[];
};

enum met { MET_NEVER, MET_IDENTITY, MET_BODY };

enum { IDENTITY_KEY_MAX = GOVERNOR_KEY_MAX + FRAME_ID_MAX + 2 + sizeof(uint32_t) };

static size_t identity_key(const struct signal *signal, char *out)
{
    char *p = out;
    p = mempcpy(p, signal->tenant_id.ptr, signal->tenant_id.len);
    *p++ = '\0';
    p = mempcpy(p, signal->entitlement_id.ptr, signal->entitlement_id.len);
    *p++ = '\0';
    p = mempcpy(p, signal->id.ptr, signal->id.len);
    *p++ = '\0';
    p = mempcpy(p, &signal->redrive, sizeof(signal->redrive));
    return (size_t)(p - out);
}

/* What of the signal was met before in this batch; all of it is from now on. */
static enum met meet(struct batch *batch, struct seen **seen, const struct signal *signal)
{
    char key[IDENTITY_KEY_MAX];
    size_t len = identity_key(signal, key);
    unsigned hash;
    struct seen *found;
    HASH_VALUE(key, len, hash);
    HASH_FIND_BYHASHVALUE(hh, *seen, key, len, hash, found);
    for (const struct seen *body = found; body; body = body->more)
        if (memcmp(body->sha256, signal->sha256, SHA256_SIZE) == 0)
            return MET_BODY;
    struct seen *added = arena_alloc(&batch->arena, sizeof(*added) + (found ? 0 : len));
    memcpy(added->sha256, signal->sha256, SHA256_SIZE);
    added->more = NULL;
    if (found) {
        added->more = found->more;
        found->more = added;
        return MET_IDENTITY;
    }
    memcpy(added->key, key, len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, *seen, added->key, len, hash, added);
    return MET_NEVER;
}

static struct signal_change *insert_row(struct batch *batch, const struct signal *signal, bool conflict)
{
    struct signal_change *change = batch_signal(batch, true);
    change->row.identity = (struct identity){signal->tenant_id, signal->entitlement_id, signal->id, signal->redrive};
    change->row.conflict = conflict;
    change->row.accepted_at_ms = signal->accepted_at_ms;
    memcpy(change->row.sha256, signal->sha256, SHA256_SIZE);
    return change;
}

/* Rows that are not over, or over without having been executed, keep what is needed to run them (again). */
static void keep_bytes(struct batch *batch, struct signal_change *change, const struct signal *signal)
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

static void dead_letter(struct batch *batch, struct governor_entry *entry, const struct signal *signal, bool conflict,
                        const char *reason)
{
    struct signal_change *change = insert_row(batch, signal, conflict);
    apply_ending(batch, entry, SIGNAL_DEADLETTERED, reason, &(struct applied_signal){signal, change});
    keep_bytes(batch, change, signal);
}

static void refuse(struct batch *batch, const struct signal *signal, const char *reason)
{
    struct signal_change *change = insert_row(batch, signal, false);
    apply_ending(batch, NULL, SIGNAL_REFUSED, reason, &(struct applied_signal){signal, change});
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static bool overflows(struct batch *batch, const struct governor_entry *entry)
{
    struct partition *p = batch->partition;
    const struct jidoka_config *config = p->jidoka->config;
    uint64_t waiting = p->waiting + (uint64_t)batch->commit.waiting;
    return entry->waiting >= (uint64_t)config->governor.max_waiting || waiting >= (uint64_t)config->max_waiting ||
           partition_tenant(p, governor_tenant(entry))->waiting >= (uint64_t)config->max_waiting / 2;
}

static void wait_in_line(struct batch *batch, struct governor_entry *entry, const struct signal *signal)
{
    if (overflows(batch, entry)) {
        dead_letter(batch, entry, signal, false, "overflow");
        return;
    }
    struct signal_change *change = insert_row(batch, signal, false);
    change->row.status = SIGNAL_WAITING;
    change->row.changed_at_ms = batch->now.wall_ms;
    change->row.line = batch->commit.next_line++;
    change->row.due_ms = batch->now.clock_ms + batch->partition->jidoka->config->governor.max_wait_ms;
    if (change->row.due_ms < batch->partition->next_due)
        batch->partition->next_due = change->row.due_ms;
    keep_bytes(batch, change, signal);
    entry->record.last_signal_at = batch->now.wall_ms;
    batch_change(batch, entry);
    entry->waiting++;
    partition_tenant(batch->partition, governor_tenant(entry))->waiting++;
    batch->commit.waiting++;
    if (!governor_waits(&entry->record, false))
        partition_release(batch->partition, entry);
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
static void read_activation(struct jidoka *jidoka, struct governor_input *input, struct span data)
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
    if (sku && !sku->escaped && sku->len - 2 <= 128)
        input->sku_id = json_text(doc, sku, &jidoka->scratch);
}

static void step_event(struct batch *batch, struct governor_entry *entry, const struct signal *signal,
                       enum governor_input_kind kind)
{
    struct signal_change *change = insert_row(batch, signal, false);
    struct governor_input input = {
        .kind = kind, .event_time_ms = signal->time_ms, .signal_id = signal->id, .redrive = signal->redrive};
    if (kind == INPUT_ACTIVATED)
        read_activation(batch->partition->jidoka, &input, signal->data);
    apply_step(batch, entry, &input, &(struct applied_signal){signal, change});
}

static void step_signal(struct batch *batch, struct governor_entry *entry, const struct signal *signal)
{
    bool critical = signal->severity == SEVERITY_CRITICAL;
    if (entry->waiting || governor_waits(&entry->record, critical)) {
        wait_in_line(batch, entry, signal);
        return;
    }
    struct signal_change *change = insert_row(batch, signal, false);
    struct governor_input input = {
        .kind = INPUT_SIGNAL, .critical = critical, .signal_id = signal->id, .redrive = signal->redrive};
    apply_step(batch, entry, &input, &(struct applied_signal){signal, change});
    keep_bytes(batch, change, signal);
}

static struct lookup_governor *looked_up(const struct batch *batch, const struct signal *signal)
{
    char key[GOVERNOR_KEY_MAX];
    struct governor_ref *ref;
    size_t len = governor_key_of(signal->tenant_id, signal->entitlement_id, key);
    HASH_FIND(hh, batch->governor_refs, key, len, ref);
    return ref ? &batch->lookup.governors[ref->index] : NULL;
}

static struct governor_entry *create_governor(struct batch *batch, const struct signal *signal)
{
    struct partition *p = batch->partition;
    struct jidoka *jidoka = p->jidoka;
    const struct lookup_governor *lookup = looked_up(batch, signal);
    struct tenant_entry *tenant = partition_tenant(p, signal->tenant_id);
    if (tenant->creating != p->batch_number + 1) {
        tenant->creating = p->batch_number + 1;
        tenant->created = 0;
    }
    if (lookup->tenant_governors + tenant->created >= (uint64_t)jidoka->config->governors_max_per_tenant ||
        batch->lookup.governors_total >= (uint64_t)jidoka->config->governors_max)
        return NULL;
    struct governor_entry *entry = partition_add(p, signal->tenant_id, signal->entitlement_id);
    struct governor_result result;
    governor_create(&entry->record, &jidoka->env, batch->now, signal->sku_id, &result);
    entry->insert = true;
    batch->lookup.governors_total++;
    tenant->created++;
    apply_created(batch, entry, &result);
    return entry;
}

static bool too_old(const struct batch *batch, const struct signal *signal)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    return batch->now.wall_ms - signal->accepted_at_ms >
           batch->partition->jidoka->config->signals_retention_ms - DAY_MS;
}

static void step_unknown(struct batch *batch, const struct signal *signal, bool redrivable)
{
    struct partition *p = batch->partition;
    enum governor_input_kind kind = input_kind(signal->type);
    struct governor_entry *entry = partition_find(p, signal->tenant_id, signal->entitlement_id);
    if (too_old(batch, signal)) {
        dead_letter(batch, entry, signal, false, "too_old");
        return;
    }
    const char *refused = NULL;
    if (signal->redrive && !redrivable)
        refused = "not_redrivable";
    else if (kind != INPUT_SIGNAL && !signal->may_event)
        refused = "role_required";
    else if (!entry && !(entry = create_governor(batch, signal)))
        refused = "governor_limit";
    if (refused)
        refuse(batch, signal, refused);
    else if (kind != INPUT_SIGNAL)
        step_event(batch, entry, signal, kind);
    else
        step_signal(batch, entry, signal);
}

static void judge(struct batch *batch, struct seen **seen, const struct signal *signal,
                  const struct lookup_signal *lookup)
{
    enum met met = meet(batch, seen, signal);
    batch->commit.taken++;
    if (met == MET_BODY || (lookup->found && (lookup->same_hash || lookup->conflict_known)))
        batch->commit.duplicates++;
    else if (lookup->found || met == MET_IDENTITY)
        dead_letter(batch, partition_find(batch->partition, signal->tenant_id, signal->entitlement_id), signal, true,
                    "id_conflict");
    else if (span_is(signal->tenant_id, "_system"))
        dead_letter(batch, NULL, signal, false, "unparseable");
    else
        step_unknown(batch, signal, lookup->redrivable);
}

/* A frame that cannot be read is kept whole, as one signal of _system under its hash. */
static struct signal *unparseable(struct batch *batch, const struct kanban_delivery *delivery)
{
    struct signal *signal = arena_alloc(&batch->arena, sizeof(*signal));
    char hex[SHA256_HEX];
    *signal = (struct signal){.tenant_id = SPAN("_system"),
                              .entitlement_id = SPAN("_frame"),
                              .type = SPAN("tai.frame"),
                              .data = SPAN("null"),
                              .bytes = {delivery->raw.ptr, delivery->raw.len},
                              .accepted_at_ms = batch->now.wall_ms,
                              .time_ms = batch->now.wall_ms};
    if (signal->bytes.len > STORE_TEXT_MAX)
        signal->bytes.len = STORE_TEXT_MAX; /* the hash tells what was cut */
    hasher_sha256(batch->partition->jidoka->hasher, delivery->raw, signal->sha256);
    hex_encode(signal->sha256, SHA256_SIZE, hex);
    signal->id = (struct span){arena_copy(&batch->arena, hex, sizeof(hex)), sizeof(hex)};
    log_event(batch->partition->jidoka->options.log, LOG_ERROR, "frame_unparseable",
              LOG_I("partition", batch->partition->id), LOG_S("error", delivery->error.text));
    return signal;
}

/* --- the batch ---------------------------------------------------------------------------------------------------- */

static void step_all(struct batch *batch)
{
    struct seen *seen = NULL;
    batch_reserve(batch, batch->lookup.signal_count);
    partition_cache(batch->partition, &batch->lookup);
    for (size_t i = 0; i < batch->delivery_count; i++)
        if (batch->deliveries[i]->frame)
            batch_intake(batch, &batch->deliveries[i]->frame->header);
    for (size_t i = 0; i < batch->lookup.signal_count; i++)
        judge(batch, &seen, batch->signals[i], &batch->lookup.signals[i]);
    HASH_CLEAR(hh, seen);
}

static void on_lookup(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    if (batch_failed(request, status, "lookup_failed", frames_look_up))
        return;
    step_all(batch);
    batch_commit(batch);
}

static void look_up_governor(struct batch *batch, size_t *cap, const struct signal *signal)
{
    struct store_lookup *lookup = &batch->lookup;
    char key[GOVERNOR_KEY_MAX];
    size_t len = governor_key_of(signal->tenant_id, signal->entitlement_id, key);
    if (partition_find(batch->partition, signal->tenant_id, signal->entitlement_id) || looked_up(batch, signal))
        return;
    struct governor_ref *ref = arena_alloc(&batch->arena, sizeof(*ref) + len);
    memcpy(ref->key, key, len);
    ref->index = lookup->governor_count;
    HASH_ADD_KEYPTR(hh, batch->governor_refs, ref->key, len, ref);
    mem_grow(&lookup->governors, cap, lookup->governor_count + 1, sizeof(*lookup->governors));
    lookup->governors[lookup->governor_count++] =
        (struct lookup_governor){.tenant_id = signal->tenant_id, .entitlement_id = signal->entitlement_id};
}

void frames_look_up(struct batch *batch)
{
    batch->lookup.req.done = on_lookup;
    batch->lookup.req.ctx = batch;
    batch->lookup.partition = batch->partition->id;
    store_lookup(batch->partition->jidoka->store, &batch->lookup);
}

static void take_delivery(struct partition *p, struct batch *batch)
{
    batch->deliveries[batch->delivery_count++] = p->deliveries[p->delivery_head];
    p->delivery_head = (p->delivery_head + 1) % (uint32_t)p->jidoka->config->prefetch;
    p->delivery_count--;
}

static uint32_t count_signals(const struct kanban_delivery *delivery)
{
    return delivery->frame ? delivery->frame->header.count : 1;
}

static void gather_signals(struct batch *batch, struct kanban_delivery *delivery)
{
    uint32_t count = count_signals(delivery);
    struct signal *signals = delivery->frame ? delivery->frame->signals : unparseable(batch, delivery);
    struct store_lookup *lookup = &batch->lookup;
    for (uint32_t i = 0; i < count; i++) {
        const struct signal *s = &signals[i];
        batch->signals[lookup->signal_count] = s;
        lookup->signals[lookup->signal_count++] = (struct lookup_signal){
            .identity = {s->tenant_id, s->entitlement_id, s->id, s->redrive}, .sha256 = s->sha256};
    }
}

/* Takes the next deliveries with as many signals as a batch may have. */
static void take_deliveries(struct partition *p, struct batch *batch)
{
    /* Whichever frame its owners crash on comes by itself. */
    uint32_t frames = p->crashes ? 1 : p->delivery_count;
    size_t signals = 0;
    batch->deliveries = xcalloc(frames, sizeof(struct kanban_delivery *));
    while (batch->delivery_count < frames && signals < BATCH_SIGNALS_MAX) {
        take_delivery(p, batch);
        signals += count_signals(batch->deliveries[batch->delivery_count - 1]);
    }
    batch->signals = xcalloc(signals, sizeof(struct signal *));
    batch->lookup.signals = xcalloc(signals, sizeof(*batch->lookup.signals));
    for (size_t i = 0; i < batch->delivery_count; i++)
        gather_signals(batch, batch->deliveries[i]);
}

void frames_begin(struct partition *p)
{
    struct batch *batch = batch_new(p, BATCH_FRAMES);
    size_t governor_cap = 0;
    take_deliveries(p, batch);
    for (size_t i = 0; i < batch->lookup.signal_count; i++)
        if (!span_is(batch->signals[i]->tenant_id, "_system"))
            look_up_governor(batch, &governor_cap, batch->signals[i]);
    frames_look_up(batch);
}
