/* Frames: every identity is looked up first, only unknown ones are stepped, once each (steps.c). While the partition's
 * owners crash a batch is one frame, and if that goes on, one signal, which is an attempt (attempts.c). */
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

static void judge(struct batch *batch, struct seen **seen, const struct signal *signal,
                  const struct lookup_signal *lookup)
{
    enum met met = meet(batch, seen, signal);
    batch->commit.taken++;
    if (met == MET_BODY || (lookup->found && (lookup->same_hash || lookup->conflict_known)))
        batch->commit.duplicates++;
    else if (lookup->found || met == MET_IDENTITY)
        signal_dead_letter(batch, partition_find(batch->partition, signal->tenant_id, signal->entitlement_id), signal,
                           true, "id_conflict");
    else if (span_is(signal->tenant_id, "_system"))
        signal_dead_letter(batch, NULL, signal, false, "unparseable");
    else if (batch->poison)
        signal_dead_letter(batch, partition_find(batch->partition, signal->tenant_id, signal->entitlement_id), signal,
                           false, "poison");
    else
        signal_step(batch, signal, lookup->redrivable);
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
    for (size_t i = 0; i < batch->delivery_count; i++)
        if (batch->deliveries[i]->frame)
            batch_intake(batch, &batch->deliveries[i]->frame->header);
    for (size_t i = 0; i < batch->lookup.signal_count; i++)
        judge(batch, &seen, batch->signals[i], &batch->lookup.signals[i]);
    HASH_CLEAR(hh, seen);
    batch_commit(batch);
}

static void look_up(struct batch *batch);

static void on_lookup(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    status = partition_verify(batch->partition, &batch->lookup, status);
    if (batch_failed(request, status, "lookup_failed", look_up))
        return;
    partition_cache(batch->partition, &batch->lookup);
    const struct lookup_signal *first = batch->lookup.signals;
    if (!batch->single || !batch->lookup.signal_count || first->found || span_is(first->identity.tenant_id, "_system"))
        step_all(batch);
    else
        attempt_guard(batch, &first->identity, first->attempts, step_all);
}

static void look_up(struct batch *batch)
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

/* Those of the delivery from `first` on, at most `most`. */
static void gather_signals(struct batch *batch, struct kanban_delivery *delivery, uint32_t first, uint32_t most)
{
    uint32_t count = count_signals(delivery);
    struct signal *signals = delivery->frame ? delivery->frame->signals : unparseable(batch, delivery);
    struct store_lookup *lookup = &batch->lookup;
    for (uint32_t i = first; i < count && i - first < most; i++) {
        const struct signal *s = &signals[i];
        batch->signals[lookup->signal_count] = s;
        lookup->signals[lookup->signal_count++] = (struct lookup_signal){
            .identity = {s->tenant_id, s->entitlement_id, s->id, s->redrive}, .sha256 = s->sha256};
    }
}

static void make_room(struct batch *batch, size_t deliveries, size_t signals)
{
    batch->deliveries = xcalloc(deliveries, sizeof(struct kanban_delivery *));
    batch->signals = xcalloc(signals, sizeof(struct signal *));
    batch->lookup.signals = xcalloc(signals, sizeof(*batch->lookup.signals));
}

/* The next signal of the first delivery, which is taken with its last one. */
static void take_single(struct partition *p, struct batch *batch)
{
    struct kanban_delivery *delivery = p->deliveries[p->delivery_head];
    batch->single = batch->lookup.attempts = true;
    make_room(batch, 1, 1);
    gather_signals(batch, delivery, p->frame_at, 1);
    if (p->frame_at + 1 >= count_signals(delivery))
        take_delivery(p, batch);
}

/* Takes the next deliveries with as many signals as a batch may have. */
static void take_deliveries(struct partition *p, struct batch *batch)
{
    /* Whichever frame its owners crash on comes by itself. */
    uint32_t frames = p->crashes ? 1 : p->delivery_count, taken = 0;
    size_t signals = 0;
    for (; taken < frames && signals < BATCH_SIGNALS_MAX; taken++)
        signals += count_signals(p->deliveries[(p->delivery_head + taken) % (uint32_t)p->jidoka->config->prefetch]);
    make_room(batch, taken, signals);
    while (batch->delivery_count < taken) {
        take_delivery(p, batch);
        gather_signals(batch, batch->deliveries[batch->delivery_count - 1], 0, UINT32_MAX);
    }
}

void frames_begin(struct partition *p)
{
    struct batch *batch = batch_new(p, BATCH_FRAMES);
    if (attempts_single(p))
        take_single(p, batch);
    else
        take_deliveries(p, batch);
    for (size_t i = 0; i < batch->lookup.signal_count; i++)
        if (!span_is(batch->signals[i]->tenant_id, "_system"))
            batch_look_up_governor(batch, batch->signals[i]->tenant_id, batch->signals[i]->entitlement_id);
    look_up(batch);
}
