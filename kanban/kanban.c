/* The queue as the layers see it, over any backend: framing, sequences, checks, metrics. One handle per thread; nothing
 * is shared but the backend and the metrics.
 *
 * Ownership: a delivery is the callee's from `delivered` on. Failure: a publish that the backend refuses at once takes
 * its sequence back; one that it answers with an error is void. A frame that cannot be read is handed over as it came.
 */
#include "kanban/kanban.h"

#include "common/mem.h"
#include "kanban/backend.h"
#include "kanban/sequence.h"

#include <errno.h>
#include <stdlib.h>

enum { ANNOUNCE_US = 5 * 1000 * 1000 };

/* A publish without its answer yet. */
struct pending {
    void *token;
    uint64_t sequence;
    int64_t sent_us;
    uint32_t partition;
    uint32_t count;
    uint32_t next_free;
    bool own; /* an announcement: nobody waits for it */
};

struct partition {
    struct sequence sequence;
    int64_t owed_us; /* since when confirmed signals are unannounced; INT64_MAX: none are */
};

struct kanban_metrics {
    struct metric_counter *confirmed, *refused, *voided; /* frames by the fate of their publish */
    struct metric_counter *signals, *bytes;              /* published */
    struct metric_counter *delivered, *redelivered, *undecodable, *delivered_signals;
    struct metric_counter *settled, *abandoned;
    struct metric_histogram *confirm_seconds;
};

struct kanban {
    struct kanban_options options;
    const struct kanban_backend_ops *ops;
    struct kanban_link *link;
    char boot[17];
    struct buf frame; /* the one being encoded */
    struct pending *pending;
    size_t pending_cap;
    uint32_t free_pending; /* index + 1 of the first free one; 0: none */
    size_t unanswered;
    int64_t announce_us; /* not before this is an announcement due */
    struct kanban_metrics metrics;
    struct partition partitions[]; /* the last is that of the refusals */
};

static bool sample_depth(void *ctx, double *ret_value)
{
    *ret_value = (double)kanban_depth(ctx);
    return true;
}

static void register_metrics(struct kanban *kanban, struct metrics *metrics)
{
    static const char *const results[] = {"confirmed", "refused", "void", NULL};
    struct metric *frames = metrics_register(
        metrics, &(struct metric_desc){.name = "tai_kanban_published_frames_total",
                                       .help = "Frames published, by answer: refused ones met a full queue, void ones "
                                               "failed in the backend.",
                                       .type = METRIC_COUNTER,
                                       .labels = {{.name = "result", .values = results}}});
    struct metric *depth = metrics_register(
        metrics, &(struct metric_desc){.name = "tai_kanban_depth_signals",
                                       .help = "Signals in the queue, delivered but unsettled ones included.",
                                       .type = METRIC_GAUGE});
    metric_sample(depth, NULL, sample_depth, kanban);
    kanban->metrics = (struct kanban_metrics){
        .confirmed = metric_counter(frames, &results[0]),
        .refused = metric_counter(frames, &results[1]),
        .voided = metric_counter(frames, &results[2]),
        .signals = metrics_counter(metrics, "tai_kanban_published_signals_total", "Signals confirmed by the queue."),
        .bytes = metrics_counter(metrics, "tai_kanban_published_bytes_total", "Bytes of frames handed to the queue."),
        .delivered = metrics_counter(metrics, "tai_kanban_delivered_frames_total", "Frames delivered."),
        .redelivered =
            metrics_counter(metrics, "tai_kanban_redelivered_frames_total", "Frames delivered again, as far as known."),
        .undecodable = metrics_counter(metrics, "tai_kanban_undecodable_frames_total",
                                       "Frames delivered that could not be decoded."),
        .delivered_signals = metrics_counter(metrics, "tai_kanban_delivered_signals_total", "Signals delivered."),
        .settled = metrics_counter(metrics, "tai_kanban_settled_frames_total", "Frames settled."),
        .abandoned = metrics_counter(metrics, "tai_kanban_abandoned_frames_total", "Deliveries given back unsettled."),
        .confirm_seconds = metrics_histogram(metrics, "tai_kanban_confirm_seconds", "From publish to its confirmation.",
                                             metric_bounds_seconds, metric_bounds_seconds_count),
    };
}

static void count(struct metric_counter *counter, uint64_t amount)
{
    if (counter)
        metric_add(counter, amount);
}

static bool has(const struct kanban *kanban, uint32_t partition)
{
    return partition < kanban->options.partitions || partition == KANBAN_REFUSALS;
}

static struct partition *partition_of(struct kanban *kanban, uint32_t partition)
{
    return &kanban->partitions[partition == KANBAN_REFUSALS ? kanban->options.partitions : partition];
}

static int64_t now_us(const struct kanban *kanban)
{
    return clock_mono_us(kanban->options.clock);
}

static void on_published(void *ctx, uint64_t request, int status);
static void on_delivered(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes, size_t len);

int kanban_open(const struct kanban_options *options, struct kanban **ret, struct error *err)
{
    if (!options->backend || options->partitions == 0)
        return error_set(err, -EINVAL, "a queue needs a backend and at least one partition");
    struct kanban *kanban = xcalloc(1, sizeof(*kanban) + (options->partitions + 1) * sizeof(kanban->partitions[0]));
    kanban->options = *options;
    kanban->ops = options->backend->ops;
    struct kanban_sink sink = {.published = on_published, .delivered = on_delivered, .ctx = kanban};
    int status = kanban->ops->link_open(options->backend, &sink, options->prefetch, &kanban->link, err);
    if (status) {
        free(kanban);
        return status;
    }
    uint8_t random[8];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), kanban->boot);
    buf_init(&kanban->frame, SIZE_MAX / 2); /* bounded by frame_check */
    kanban->announce_us = INT64_MAX;
    for (uint32_t i = 0; i <= options->partitions; i++) {
        sequence_init(&kanban->partitions[i].sequence);
        kanban->partitions[i].owed_us = INT64_MAX;
    }
    if (options->metrics)
        register_metrics(kanban, options->metrics);
    *ret = kanban;
    return 0;
}

void kanban_close(struct kanban *kanban)
{
    if (!kanban)
        return;
    if (kanban->options.metrics)
        metrics_unsample(kanban->options.metrics, kanban);
    kanban->ops->link_close(kanban->link);
    for (uint32_t i = 0; i <= kanban->options.partitions; i++)
        sequence_done(&kanban->partitions[i].sequence);
    buf_done(&kanban->frame);
    free(kanban->pending);
    free(kanban);
}

static uint32_t pending_take(struct kanban *kanban)
{
    if (!kanban->free_pending) {
        uint32_t old = (uint32_t)kanban->pending_cap;
        mem_grow(&kanban->pending, &kanban->pending_cap, old + 1, sizeof(*kanban->pending));
        for (uint32_t i = (uint32_t)kanban->pending_cap; i-- > old;) {
            kanban->pending[i].next_free = kanban->free_pending;
            kanban->free_pending = i + 1;
        }
    }
    uint32_t index = kanban->free_pending - 1;
    kanban->free_pending = kanban->pending[index].next_free;
    kanban->unanswered++;
    return index;
}

static void pending_give(struct kanban *kanban, uint32_t index)
{
    kanban->pending[index].next_free = kanban->free_pending;
    kanban->free_pending = index + 1;
    kanban->unanswered--;
}

static void note_owed(struct kanban *kanban, struct partition *partition)
{
    if (partition == partition_of(kanban, KANBAN_REFUSALS))
        return;
    if (!sequence_owes(&partition->sequence)) {
        partition->owed_us = INT64_MAX;
        return;
    }
    if (partition->owed_us != INT64_MAX)
        return;
    partition->owed_us = now_us(kanban);
    if (partition->owed_us + ANNOUNCE_US < kanban->announce_us)
        kanban->announce_us = partition->owed_us + ANNOUNCE_US;
}

static int send(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t signal_count,
                const struct pending *pending)
{
    struct sequence *sequence = &partition_of(kanban, partition)->sequence;
    struct frame_header header;
    memcpy(header.boot, kanban->boot, sizeof(header.boot));
    header.partition = partition;
    header.count = signal_count;
    header.accepted_at_ms = clock_wall_ms(kanban->options.clock);
    sequence_next(sequence, &header);
    buf_clear(&kanban->frame);
    frame_encode(&header, signals, &kanban->frame);
    uint32_t index = pending_take(kanban);
    kanban->pending[index] = *pending;
    kanban->pending[index].sequence = header.sequence;
    int status = kanban->ops->publish(kanban->link, partition, index, buf_span(&kanban->frame), signal_count);
    if (status) {
        pending_give(kanban, index);
        sequence_cancel(sequence);
    } else {
        count(kanban->metrics.bytes, kanban->frame.len);
    }
    note_owed(kanban, partition_of(kanban, partition));
    return status;
}

static bool is_full(const struct kanban *kanban, uint32_t partition, uint32_t more)
{
    if (partition == KANBAN_REFUSALS)
        return kanban_backend_depth(kanban->options.backend, partition) + more > KANBAN_REFUSALS_MAX;
    return kanban_depth(kanban) + more > kanban->options.max_depth;
}

int kanban_publish(struct kanban *kanban, uint32_t partition, const struct signal *signals, uint32_t signal_count,
                   void *token)
{
    if (!has(kanban, partition))
        return -EINVAL;
    int status = frame_check(signals, signal_count);
    if (status)
        return status;
    if (signal_count && is_full(kanban, partition, signal_count))
        status = -EAGAIN;
    if (!status)
        status = send(kanban, partition, signals, signal_count,
                      &(struct pending){
                          .token = token, .sent_us = now_us(kanban), .partition = partition, .count = signal_count});
    if (status)
        count(kanban->metrics.refused, 1);
    return status;
}

/* What callers are told, whatever the backend's own code was. */
static int published_status(int status)
{
    switch (status) {
    case 0:
    case -EAGAIN:
    case -ENOSPC:
    case -ESHUTDOWN:
        return status;
    default:
        return -EIO;
    }
}

static void on_published(void *ctx, uint64_t request, int status)
{
    struct kanban *kanban = ctx;
    if (request >= kanban->pending_cap)
        return;
    struct pending pending = kanban->pending[request];
    pending_give(kanban, (uint32_t)request);
    struct partition *partition = partition_of(kanban, pending.partition);
    sequence_answer(&partition->sequence, pending.sequence, status == 0, pending.count == 0);
    note_owed(kanban, partition);
    count(status ? kanban->metrics.voided : kanban->metrics.confirmed, 1);
    if (!status) {
        count(kanban->metrics.signals, pending.partition == KANBAN_REFUSALS ? 0 : pending.count);
        if (kanban->metrics.confirm_seconds)
            metric_observe(kanban->metrics.confirm_seconds, (double)(now_us(kanban) - pending.sent_us) / 1e6);
    }
    if (!pending.own && kanban->options.events.published)
        kanban->options.events.published(kanban->options.events.ctx, pending.token, published_status(status));
}

static void on_delivered(void *ctx, uint32_t partition, uint64_t tag, unsigned attempt, char *take_bytes, size_t len)
{
    struct kanban *kanban = ctx;
    struct kanban_delivery *delivery = xmalloc(sizeof(*delivery));
    delivery->frame = NULL;
    delivery->raw = (struct span){NULL, 0};
    delivery->error.text[0] = '\0';
    delivery->partition = partition;
    delivery->attempt = attempt;
    delivery->tag = tag;
    int status = frame_parse(take_bytes, len, &delivery->frame, &delivery->error);
    if (!status && delivery->frame->header.partition != partition) {
        status = error_set(&delivery->error, -EBADMSG, "frame: made for partition %u, delivered on %u",
                           delivery->frame->header.partition, partition);
        delivery->frame->bytes = NULL; /* raw has them */
        frame_free(delivery->frame);
        delivery->frame = NULL;
    }
    count(kanban->metrics.delivered, 1);
    count(kanban->metrics.redelivered, attempt > 1 ? 1 : 0);
    if (status || !delivery->frame) {
        delivery->raw = (struct span){take_bytes, len};
        count(kanban->metrics.undecodable, 1);
    } else {
        count(kanban->metrics.delivered_signals, partition == KANBAN_REFUSALS ? 0 : delivery->frame->header.count);
    }
    kanban->options.events.delivered(kanban->options.events.ctx, delivery);
}

static void delivery_free(struct kanban_delivery *delivery)
{
    frame_free(delivery->frame);
    free((void *)delivery->raw.ptr);
    free(delivery);
}

int kanban_subscribe(struct kanban *kanban, uint32_t partition)
{
    if (!has(kanban, partition) || !kanban->options.events.delivered)
        return -EINVAL;
    return kanban->ops->subscribe(kanban->link, partition);
}

void kanban_unsubscribe(struct kanban *kanban, uint32_t partition)
{
    if (has(kanban, partition))
        kanban->ops->unsubscribe(kanban->link, partition);
}

void kanban_settle(struct kanban *kanban, struct kanban_delivery *take_delivery)
{
    kanban->ops->settle(kanban->link, take_delivery->partition, take_delivery->tag);
    count(kanban->metrics.settled, 1);
    delivery_free(take_delivery);
}

void kanban_abandon(struct kanban *kanban, struct kanban_delivery *take_delivery)
{
    count(kanban->metrics.abandoned, 1);
    delivery_free(take_delivery);
}

uint64_t kanban_depth(const struct kanban *kanban)
{
    return kanban->ops->depth(kanban->options.backend);
}

int kanban_poll_fd(const struct kanban *kanban)
{
    return kanban->ops->poll_fd(kanban->link);
}

int64_t kanban_deadline_us(const struct kanban *kanban)
{
    int64_t backend = kanban->ops->deadline_us ? kanban->ops->deadline_us(kanban->link) : INT64_MAX;
    return backend < kanban->announce_us ? backend : kanban->announce_us;
}

/* Sends the empty frames owed since before `since`, and finds out when the next is due. */
static void announce(struct kanban *kanban, int64_t since)
{
    kanban->announce_us = INT64_MAX;
    for (uint32_t i = 0; i < kanban->options.partitions; i++) {
        struct partition *partition = &kanban->partitions[i];
        if (partition->owed_us <= since) {
            partition->owed_us = INT64_MAX;
            struct pending pending = {.sent_us = now_us(kanban), .partition = i, .own = true};
            (void)!send(kanban, i, NULL, 0, &pending); /* refused: it is still owed, and comes again in 5 s */
        }
        if (partition->owed_us != INT64_MAX && partition->owed_us + ANNOUNCE_US < kanban->announce_us)
            kanban->announce_us = partition->owed_us + ANNOUNCE_US;
    }
}

void kanban_dispatch(struct kanban *kanban)
{
    kanban->ops->dispatch(kanban->link);
    if (kanban->announce_us == INT64_MAX)
        return;
    int64_t now = now_us(kanban);
    if (now >= kanban->announce_us)
        announce(kanban, now - ANNOUNCE_US);
}

void kanban_announce(struct kanban *kanban)
{
    announce(kanban, INT64_MAX - 1);
}

size_t kanban_unanswered(const struct kanban *kanban)
{
    return kanban->unanswered;
}

uint64_t kanban_backend_depth(const struct kanban_backend *backend, uint32_t partition)
{
    return backend->ops->depth_of(backend, partition);
}

void kanban_backend_free(struct kanban_backend *backend)
{
    if (backend)
        backend->ops->free(backend);
}
