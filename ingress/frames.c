/* From signals to frames: what one loop turn accepts is collected per partition and published when the turn's events
 * are done, or earlier when a frame is full. A flight remembers whose signals a frame holds until the queue has
 * answered; it is freed with its answer, or by frames_done. Signals point into request bodies, which live that long. */
#include "ingress/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { HEADER_ROOM = 4096 /* of a frame, for its header line */ };

void frames_init(struct frames *frames, uint32_t partitions)
{
    *frames = (struct frames){.partitions = partitions, .flights = {&frames->flights, &frames->flights}};
    frames->lanes = xcalloc(partitions, sizeof(*frames->lanes));
    frames->used = xcalloc(partitions, sizeof(*frames->used));
}

void frames_done(struct frames *frames)
{
    for (uint32_t p = 0; p < frames->partitions; p++) {
        free(frames->lanes[p].signals);
        free(frames->lanes[p].owners);
    }
    free(frames->lanes);
    free(frames->used);
    for (struct flight_link *link = frames->flights.next, *next; link != &frames->flights; link = next) {
        next = link->next;
        free(link);
    }
}

/* Only the turns of the tide are logged, not every frame. A full queue is no failure. */
static void note_status(struct ingress *ingress, int status)
{
    struct frames *frames = &ingress->frames;
    if (status == -EAGAIN)
        return;
    if (status)
        frames->failed_at_us = clock_mono_us(ingress->options.clock);
    if (frames->failing == (status != 0))
        return;
    frames->failing = status != 0;
    if (status)
        log_event(ingress->options.log, LOG_ERROR, "queue_failing", LOG_S("error", error_text(status)));
    else
        log_event(ingress->options.log, LOG_INFO, "queue_recovered");
}

static void flight_end(struct ingress *ingress, struct flight *flight, int status)
{
    struct frames *frames = &ingress->frames;
    flight->link.prev->next = flight->link.next;
    flight->link.next->prev = flight->link.prev;
    frames->in_flight--;
    note_status(ingress, status);
    for (uint32_t i = 0; i < flight->count; i++)
        post_settle(ingress, flight->owners[i], status);
    free(flight);
}

void frames_published(void *ctx, void *token, int status)
{
    struct ingress *ingress = ctx;
    if (token == ingress->refusals)
        refuse_published(ingress, status);
    else
        flight_end(ingress, token, status);
}

/* Tells the shares what became of the lane's signals, run by run of one tenant. */
static void note_shares(struct ingress *ingress, uint32_t partition, const struct signal *signals, uint32_t count,
                        bool queued)
{
    for (uint32_t i = 0, end; i < count; i = end) {
        struct span tenant_id = signals[i].tenant_id;
        for (end = i + 1; end < count && span_eq(signals[end].tenant_id, tenant_id);)
            end++;
        if (queued)
            shares_queued(ingress->shares, partition, tenant_id, end - i);
        else
            shares_dropped(ingress->shares, tenant_id, end - i);
    }
}

static void publish(struct ingress *ingress, uint32_t partition)
{
    struct frames *frames = &ingress->frames;
    struct lane *lane = &frames->lanes[partition];
    size_t owners_size = lane->count * sizeof(*lane->owners);
    struct flight *flight = xmalloc(sizeof(*flight) + owners_size);
    flight->count = lane->count;
    memcpy(flight->owners, lane->owners, owners_size);
    flight->link = (struct flight_link){&frames->flights, frames->flights.prev};
    frames->flights.prev->next = &flight->link;
    frames->flights.prev = &flight->link;
    frames->in_flight++;
    lane->count = 0;
    lane->bytes = 0;
    int rc = kanban_publish(ingress->kanban, partition, lane->signals, flight->count, flight);
    note_shares(ingress, partition, lane->signals, flight->count, rc == 0);
    if (rc)
        flight_end(ingress, flight, rc);
}

void frames_add(struct ingress *ingress, const struct signal *signal, struct post *post, size_t index)
{
    struct frames *frames = &ingress->frames;
    uint32_t partition = hash_bucket(signal->tenant_id, signal->entitlement_id, frames->partitions);
    struct lane *lane = &frames->lanes[partition];
    size_t size = frame_signal_size(signal);
    if (lane->count == FRAME_SIGNALS_MAX || (lane->count > 0 && lane->bytes + size > FRAME_BYTES_MAX - HEADER_ROOM)) {
        publish(ingress, partition);
    } else if (lane->count == 0) {
        if (frames->used_count == 0)
            ingress_schedule_flush(ingress);
        frames->used[frames->used_count++] = partition;
    }
    mem_grow(&lane->signals, &lane->signals_cap, lane->count + 1, sizeof(*lane->signals));
    mem_grow(&lane->owners, &lane->owners_cap, lane->count + 1, sizeof(*lane->owners));
    lane->signals[lane->count] = *signal;
    lane->owners[lane->count] = (struct owner){post, index};
    lane->count++;
    lane->bytes += size;
}

void frames_flush(struct ingress *ingress)
{
    struct frames *frames = &ingress->frames;
    for (uint32_t i = 0; i < frames->used_count; i++)
        publish(ingress, frames->used[i]);
    frames->used_count = 0;
}
