/* What tests do to a pipeline: publish, run the loop, move the clock. */
#include "jidoka/worker.h"
#include "kanban/backend.h"
#include "support/pipeline.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static const char *or_default(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

static struct span keep(struct pipeline *p, const char *text)
{
    size_t len = strlen(text);
    return (struct span){arena_copy(&p->arena, text, len), len};
}

static struct signal make_signal(struct pipeline *p, const struct send *send)
{
    const char *data = or_default(send->data, "null");
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_addf(&body, "{\"id\":\"%s\",\"data\":%s}", send->id, data);
    struct signal signal = {.tenant_id = keep(p, or_default(send->tenant, "acme")),
                            .entitlement_id = keep(p, or_default(send->entitlement, "ent")),
                            .id = keep(p, send->id),
                            .type = keep(p, or_default(send->type, "usage")),
                            .source = SPAN("test"),
                            .accepted_at_ms = p->clock.wall_ms - send->age_ms,
                            .time_ms = send->time_ms ? send->time_ms : p->clock.wall_ms,
                            .severity = send->critical ? SEVERITY_CRITICAL : SEVERITY_INFO,
                            .may_event = !send->powerless,
                            .redrive = send->redrive};
    signal.bytes = (struct span){arena_copy(&p->arena, body.data, body.len), body.len};
    signal.data = (struct span){signal.bytes.ptr + body.len - 1 - strlen(data), strlen(data)};
    hasher_sha256(p->hasher, signal.bytes, signal.sha256);
    buf_done(&body);
    return signal;
}

static void publish(struct pipeline *p, uint32_t partition, const struct signal *signals, uint32_t count)
{
    int rc = kanban_publish(p->publisher, partition, signals, count, (void *)(uintptr_t)count);
    if (rc < 0) {
        fprintf(stderr, "pipeline: publish: %s\n", error_text(rc));
        abort();
    }
}

void pipeline_send(struct pipeline *p, const struct send *signals, size_t count)
{
    struct signal *made = xcalloc(count, sizeof(*made));
    size_t first = 0;
    uint32_t last_partition = 0;
    for (size_t i = 0; i < count; i++) {
        made[i] = make_signal(p, &signals[i]);
        pipeline_sent(p, &made[i]);
        uint32_t partition = hash_bucket(made[i].tenant_id, made[i].entitlement_id, (uint32_t)p->config.partitions);
        if (i > first && (partition != last_partition || i - first == FRAME_SIGNALS_MAX)) {
            publish(p, last_partition, &made[first], (uint32_t)(i - first));
            first = i;
        }
        last_partition = partition;
    }
    publish(p, last_partition, &made[first], (uint32_t)(count - first));
    free(made);
}

static void ignore_published(void *ctx, uint64_t request, int status)
{
    (void)ctx, (void)request, (void)status;
}

static void ignore_delivered(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes,
                             size_t len)
{
    (void)ctx, (void)partition, (void)tag, (void)attempt, (void)len;
    free(take_bytes);
}

void pipeline_send_raw(struct pipeline *p, uint32_t partition, struct span bytes)
{
    struct error err;
    struct kanban_link *link;
    struct kanban_sink sink = {.published = ignore_published, .delivered = ignore_delivered};
    if (p->queue->ops->link_open(p->queue, &sink, 1, &link, &err) < 0 ||
        p->queue->ops->publish(link, partition, 0, bytes, 1) < 0) {
        fprintf(stderr, "pipeline: a raw frame cannot be sent\n");
        abort();
    }
    p->queue->ops->link_close(link); /* waits until it is durable */
}

static void on_guard(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
}

/* The tick, and the pauses before failed requests are tried again, are not waited for. */
static void hurry(const struct jidoka *worker)
{
    event_active(worker->tick, EV_TIMEOUT, 0);
    for (int64_t i = 0; i < worker->config->partitions; i++)
        if (event_pending(worker->partitions[i].retry, EV_TIMEOUT, NULL))
            event_active(worker->partitions[i].retry, EV_TIMEOUT, 0);
}

static void turn(struct pipeline *p, bool tick)
{
    struct timeval soon = {0, 2000};
    if (tick && p->worker)
        hurry(p->worker);
    event_base_once(p->base, -1, EV_TIMEOUT, on_guard, NULL, &soon); /* so that the loop comes back */
    event_base_loop(p->base, EVLOOP_ONCE);
    kanban_dispatch(p->publisher);
    if (p->on_turn)
        p->on_turn(p);
}

void pipeline_turn(struct pipeline *p)
{
    turn(p, true);
}

void pipeline_linger(struct pipeline *p, int64_t ms)
{
    int64_t until = clock_mono_ms(&clock_system) + ms;
    while (clock_mono_ms(&clock_system) < until)
        turn(p, true);
}

bool pipeline_until(struct pipeline *p, bool (*condition)(const struct pipeline *p))
{
    int64_t deadline = clock_mono_ms(&clock_system) + PIPELINE_WAIT_MS;
    for (unsigned turns = 0; turns < 2 || !condition(p); turns++) {
        if (clock_mono_ms(&clock_system) > deadline)
            return false;
        turn(p, turns % 4 == 0);
    }
    return true;
}

bool pipeline_calm(const struct pipeline *p)
{
    if (kanban_unanswered(p->publisher) || kanban_depth(p->publisher) || !p->worker || p->worker->lease_pending)
        return false;
    for (int64_t i = 0; i < p->config.partitions; i++) {
        const struct partition *partition = &p->worker->partitions[i];
        if (partition->state != PARTITION_RUNNING || partition->batch || partition->results ||
            partition->delivery_count || partition->release_head)
            return false;
    }
    return true;
}

bool pipeline_settled(const struct pipeline *p)
{
    for (int64_t i = 0; p->worker && i < p->config.partitions; i++)
        if (p->worker->partitions[i].acting)
            return false;
    return pipeline_calm(p);
}

void pipeline_settle(struct pipeline *p)
{
    if (pipeline_until(p, pipeline_settled))
        return;
    fprintf(stderr, "pipeline: not settled: depth %llu, unanswered %zu\n",
            (unsigned long long)kanban_depth(p->publisher), kanban_unanswered(p->publisher));
    for (int64_t i = 0; i < p->config.partitions; i++) {
        const struct partition *partition = &p->worker->partitions[i];
        fprintf(stderr, "  partition %lld: state %d, batch %d, deliveries %u, waiting %llu, acting %llu\n",
                (long long)i, partition->state, partition->batch ? (int)partition->batch->kind : -1,
                partition->delivery_count, (unsigned long long)partition->waiting,
                (unsigned long long)partition->acting);
    }
    abort();
}

void pipeline_advance(struct pipeline *p, int64_t ms)
{
    clock_manual_advance(&p->clock, ms);
    if (!pipeline_until(p, pipeline_calm)) {
        fprintf(stderr, "pipeline: not calm after the clock was moved\n");
        abort();
    }
}
