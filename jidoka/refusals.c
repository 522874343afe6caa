/* What ingress refused: its frames come by a queue of their own to the owner of partition 0, which writes a receipt for
 * each record. There are no rows by which to know a frame again, so the commit that writes the receipts also stores its
 * (boot, sequence), and a frame whose sequence is stored is settled without another receipt.
 *
 * Ownership: deliveries wait in the jidoka until a batch takes them. A frame or record that cannot be read is logged
 * and settled: it holds nothing that was accepted. */
#include "jidoka/worker.h"

#include <errno.h>
#include <stdlib.h>

enum { TEXT_MAX = 4096 };

bool refusal_frames_waiting(const struct partition *p)
{
    return p->id == 0 && p->jidoka->refusals.count > 0;
}

void refusal_frames_subscribe(struct jidoka *jidoka)
{
    jidoka->refusals.subscribed = kanban_subscribe(jidoka->kanban, KANBAN_REFUSALS) == 0;
}

void refusal_frames_drop(struct jidoka *jidoka)
{
    struct refusal_queue *queue = &jidoka->refusals;
    kanban_unsubscribe(jidoka->kanban, KANBAN_REFUSALS);
    queue->subscribed = false;
    for (size_t i = 0; i < queue->count; i++)
        kanban_abandon(jidoka->kanban, queue->deliveries[i]);
    queue->count = 0;
}

void refusal_frames_arrived(struct jidoka *jidoka, struct kanban_delivery *take_delivery)
{
    struct refusal_queue *queue = &jidoka->refusals;
    struct partition *p = &jidoka->partitions[0];
    if (p->state == PARTITION_UNOWNED || queue->count == (size_t)jidoka->config->prefetch) {
        kanban_abandon(jidoka->kanban, take_delivery);
        kanban_unsubscribe(jidoka->kanban, KANBAN_REFUSALS);
        queue->subscribed = false; /* the tick subscribes anew, and all comes again in order */
        return;
    }
    mem_grow(&queue->deliveries, &queue->cap, queue->count + 1, sizeof(struct kanban_delivery *));
    queue->deliveries[queue->count++] = take_delivery;
    event_active(p->ready, EV_TIMEOUT, 0);
}

/* --- a record's receipt ------------------------------------------------------------------------------------------- */

static struct span member(struct batch *batch, const char *name)
{
    struct json_doc *doc = &batch->partition->jidoka->doc;
    struct span text = {0};
    struct buf unescaped;
    buf_init(&unescaped, TEXT_MAX);
    if (json_string(doc, json_get(doc, &doc->nodes[0], name), &unescaped) == 0)
        text = (struct span){arena_copy(&batch->arena, unescaped.data, unescaped.len), unescaped.len};
    buf_done(&unescaped);
    return text;
}

static int64_t number(struct batch *batch, const char *name)
{
    const struct json_doc *doc = &batch->partition->jidoka->doc;
    int64_t value = 0;
    return json_int(doc, json_get(doc, &doc->nodes[0], name), 0, INT64_C(1) << 53, &value) == 0 ? value : 0;
}

static void write_record(struct batch *batch, const struct signal *record)
{
    struct jidoka *jidoka = batch->partition->jidoka;
    struct error err;
    bool summary = span_is(record->type, REFUSAL_SUMMARY_TYPE);
    if (json_parse(&jidoka->doc, record->bytes, &err) || jidoka->doc.nodes[0].type != JSON_OBJECT) {
        log_event(jidoka->options.log, LOG_ERROR, "refusal_unreadable", LOG_B("record_id", record->id));
        return;
    }
    struct receipt_refusal refusal = {.status = summary ? 0 : (uint32_t)number(batch, "status"),
                                      .detail = member(batch, "detail"),
                                      .key_id = member(batch, "key_id"),
                                      .count = (uint64_t)number(batch, "count"),
                                      .from = number(batch, "from"),
                                      .to = number(batch, "to")};
    struct span sha256 = member(batch, "signal_sha256");
    uint8_t digest[SHA256_SIZE];
    struct receipt_fields fields = {.type = summary ? RECEIPT_REFUSAL_SUMMARY : RECEIPT_REFUSAL,
                                    .timestamp_ms = record->time_ms,
                                    .tenant_id = record->tenant_id,
                                    .entitlement_id = member(batch, "entitlement_id"),
                                    .signal_id = member(batch, "signal_id"),
                                    .reason = member(batch, "reason"),
                                    .config_sha256 = span_of(jidoka->config->config_sha256),
                                    .refusal = &refusal};
    if (span_is(fields.tenant_id, "_system"))
        fields.tenant_id = (struct span){0};
    if (hex_decode(sha256, digest, sizeof(digest)))
        fields.signal_sha256 = digest;
    (void)batch_outcome(batch, &fields);
}

/* --- the batch ---------------------------------------------------------------------------------------------------- */

static bool met_before(const struct batch *batch, size_t index)
{
    const struct lookup_refusals *frames = batch->lookup.refusals;
    for (size_t i = 0; i < index; i++)
        if (frames[i].sequence == frames[index].sequence && strcmp(frames[i].boot, frames[index].boot) == 0)
            return true;
    return false;
}

static void write_all(struct batch *batch)
{
    size_t looked_up = 0;
    for (size_t i = 0; i < batch->delivery_count; i++) {
        const struct frame *frame = batch->deliveries[i]->frame;
        if (!frame) {
            log_event(batch->partition->jidoka->options.log, LOG_ERROR, "refusals_unparseable",
                      LOG_S("error", batch->deliveries[i]->error.text));
            continue;
        }
        size_t index = looked_up++;
        if (batch->lookup.refusals[index].taken || met_before(batch, index))
            continue;
        batch_intake(batch, &frame->header);
        for (uint32_t k = 0; k < frame->header.count; k++)
            write_record(batch, &frame->signals[k]);
    }
    batch_commit(batch);
}

static void look_up(struct batch *batch);

static void on_lookup(struct store_request *request, int status)
{
    if (!batch_failed(request, status, "lookup_failed", look_up))
        write_all(request->ctx);
}

static void look_up(struct batch *batch)
{
    batch->lookup.req.done = on_lookup;
    batch->lookup.req.ctx = batch;
    batch->lookup.partition = batch->partition->id;
    store_lookup(batch->partition->jidoka->store, &batch->lookup);
}

void refusal_frames_begin(struct partition *p)
{
    struct refusal_queue *queue = &p->jidoka->refusals;
    int64_t busy_us = p->busy_us;
    struct batch *batch = batch_new(p, BATCH_REFUSALS);
    p->busy_us = busy_us; /* they come every second: a partition recovers from crashes meanwhile */
    batch->deliveries = xcalloc(queue->count, sizeof(struct kanban_delivery *));
    batch->lookup.refusals = xcalloc(queue->count, sizeof(*batch->lookup.refusals));
    size_t records = 0, taken = 0;
    for (; taken < queue->count && records < BATCH_SIGNALS_MAX; taken++) {
        const struct frame *frame = queue->deliveries[taken]->frame;
        batch->deliveries[batch->delivery_count++] = queue->deliveries[taken];
        if (!frame)
            continue;
        records += frame->header.count;
        batch->lookup.refusals[batch->lookup.refusal_count++] =
            (struct lookup_refusals){.boot = frame->header.boot, .sequence = frame->header.sequence};
    }
    queue->count -= taken;
    memmove(queue->deliveries, queue->deliveries + taken, queue->count * sizeof(struct kanban_delivery *));
    look_up(batch);
}
