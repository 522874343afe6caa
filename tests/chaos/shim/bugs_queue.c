/* Planted bugs between ingress and jidoka, around the queue's public functions.
 *
 *   early_202         the 202 goes out before the publish is confirmed
 *   publish_lost      some publishes are confirmed and never made
 *   nack_as_ack       a failed publish is answered as a confirmed one (with TAI_CHAOS_FULL)
 *   tenant_swapped    two signals of a frame carry each other's tenant
 *   frames_reordered  some frames overtake the next ones
 *   frame_lost        some frames are forgotten by whoever reads the queue, until it is read anew
 *   settle_early      frames are settled before their signals are committed
 *   drain_forgets     what a drain leaves in the queue is settled */
#include "shim.h"

#include "common/mem.h"
#include "jidoka/worker.h"
#include "kanban/kanban.h"
#include "kanban/lanes.h"

#include <stdlib.h>

int __real_kanban_open(const struct kanban_options *options, struct kanban **ret, struct error *err);
int __wrap_kanban_open(const struct kanban_options *options, struct kanban **ret, struct error *err);
int __real_kanban_publish(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t count,
                          void *token);
int __wrap_kanban_publish(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t count,
                          void *token);
void __real_kanban_abandon(struct kanban *kanban, struct kanban_delivery *delivery);
void __wrap_kanban_abandon(struct kanban *kanban, struct kanban_delivery *delivery);
void __real_frame_encode(const struct frame_header *header, const struct signal *signals, struct buf *out);
void __wrap_frame_encode(const struct frame_header *header, const struct signal *signals, struct buf *out);
void __real_lanes_append(struct lanes *lanes, struct lane_frame *list);
void __wrap_lanes_append(struct lanes *lanes, struct lane_frame *list);
void __real_batch_commit(struct batch *batch);
void __wrap_batch_commit(struct batch *batch);
void __real_jidoka_drain(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx);
void __wrap_jidoka_drain(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx);

static struct kanban_events ingress; /* what the publisher wants to be told */
static char told;                    /* its address: the token of a publish whose answer was given already */

static void on_published(void *ctx, void *token, int status)
{
    if (token != &told)
        ingress.published(ctx, token, shim_bug("nack_as_ack") ? 0 : status);
}

int __wrap_kanban_open(const struct kanban_options *options, struct kanban **ret, struct error *err)
{
    struct kanban_options changed = *options;
    if (options->events.published) {
        ingress = options->events;
        changed.events.published = on_published;
    }
    return __real_kanban_open(&changed, ret, err);
}

int __wrap_kanban_publish(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t count,
                          void *token)
{
    bool lost = shim_bug("publish_lost") && shim_sometimes(30);
    bool early = shim_bug("early_202");
    int rc = lost ? 0 : __real_kanban_publish(kanban, partition, signals, count, early ? &told : token);
    if (rc == 0 && (lost || early))
        ingress.published(ingress.ctx, token, 0);
    return rc;
}

void __wrap_kanban_abandon(struct kanban *kanban, struct kanban_delivery *delivery)
{
    if (shim_bug("drain_forgets"))
        kanban_settle(kanban, delivery);
    else
        __real_kanban_abandon(kanban, delivery);
}

/* Does not wait for the queue to be worked off. */
void __wrap_jidoka_drain(struct jidoka *jidoka, void (*done)(void *ctx), void *ctx)
{
    if (shim_bug("drain_forgets"))
        jidoka_stop(jidoka, done, ctx);
    else
        __real_jidoka_drain(jidoka, done, ctx);
}

void __wrap_frame_encode(const struct frame_header *header, const struct signal *signals, struct buf *out)
{
    uint32_t other = 1;
    while (other < header->count && span_eq(signals[0].tenant_id, signals[other].tenant_id))
        other++;
    if (!shim_bug("tenant_swapped") || other >= header->count) {
        __real_frame_encode(header, signals, out);
        return;
    }
    struct signal *swapped = xmalloc(header->count * sizeof(*swapped));
    memcpy(swapped, signals, header->count * sizeof(*swapped));
    swapped[0].tenant_id = signals[other].tenant_id;
    swapped[other].tenant_id = signals[0].tenant_id;
    __real_frame_encode(header, swapped, out);
    free(swapped);
}

void __wrap_lanes_append(struct lanes *lanes, struct lane_frame *list)
{
    static struct lane_frame *held, *forgotten;
    struct lane_frame *late = held;
    if (shim_bug("frame_lost") && shim_sometimes(10)) {
        forgotten = list;
        return;
    }
    (void)forgotten;
    held = NULL;
    if (!late && shim_bug("frames_reordered") && shim_sometimes(3)) {
        held = list;
        return;
    }
    __real_lanes_append(lanes, list);
    if (late)
        __real_lanes_append(lanes, late);
}

/* A second settle of the same tag does nothing. */
static void settle_now(struct batch *batch)
{
    for (size_t i = 0; i < batch->delivery_count; i++) {
        struct kanban_delivery *twin = xcalloc(1, sizeof(*twin));
        twin->partition = batch->deliveries[i]->partition;
        twin->tag = batch->deliveries[i]->tag;
        kanban_settle(batch->partition->jidoka->kanban, twin);
    }
}

static void commit_late(void *arg)
{
    __real_batch_commit(arg);
}

void __wrap_batch_commit(struct batch *batch)
{
    int64_t wait_ms = shim_number("TAI_CHAOS_SLOW", 0);
    if (shim_bug("settle_early")) {
        settle_now(batch);
        wait_ms = 30; /* so that the settle has a transaction of its own */
    }
    if (wait_ms)
        shim_later(batch->partition->jidoka->options.base, wait_ms, commit_late, batch);
    else
        __real_batch_commit(batch);
}
