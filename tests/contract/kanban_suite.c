/* The cases every queue backend must pass. */
#include "kanban_suite_parts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void publish_confirm_deliver_in_order(struct suite *suite)
{
    enum { FRAMES = 400 };
    struct client *client = open_plain(suite);
    client_subscribe_all(client, SUITE_PARTITIONS);
    for (int i = 0; i < FRAMES; i++)
        CHECK_INT(client_publish(client, (uint32_t)i % SUITE_PARTITIONS, (uint64_t)i, i + 1), 0);
    CHECK_INT(client->answered, 0); /* never from within publish */
    CHECK_INT(client->delivered, 0);
    client_wait(client, &client->answered, FRAMES);
    CHECK_INT(client->failed, 0);
    CHECK(client->in_order);
    CHECK_INT(kanban_unanswered(client->kanban), 0);
    size_t seen[SUITE_PARTITIONS] = {0};
    uint64_t confirmed[SUITE_PARTITIONS] = {0};
    for (size_t next = 0; next < FRAMES; next++) {
        client_wait(client, &client->delivered, next + 1);
        struct kanban_delivery *delivery = client->held[next];
        uint32_t p = delivery->partition;
        CHECK_INT(delivery_id(delivery), seen[p] * SUITE_PARTITIONS + p);
        const struct frame_header *header = &delivery->frame->header;
        CHECK_INT(header->partition, p);
        CHECK_INT(header->sequence, ++seen[p]);
        CHECK_INT(strlen(header->boot), 16);
        CHECK(header->confirmed >= confirmed[p] && header->confirmed < header->sequence);
        CHECK_INT(header->void_count, 0);
        CHECK(delivery->attempt <= 1);
        CHECK(span_is(delivery->frame->signals[0].bytes, "{\"type\":\"usage\"}"));
        confirmed[p] = header->confirmed;
        client_settle(client, next);
    }
    wait_depth(client, 0);
    client_quiet(client);
    CHECK_INT(client->delivered, FRAMES);
    client_close(client);
}

static void prefetch_holds_back(struct suite *suite)
{
    struct client *client =
        client_open(&(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .prefetch = 3});
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    CHECK_INT(kanban_subscribe(client->kanban, 2), 0);
    publish_range(client, 1, 0, 10);
    client_wait(client, &client->answered, 10);
    client_wait(client, &client->delivered, 3);
    client_quiet(client);
    CHECK_INT(client->delivered, 3);
    publish_range(client, 2, 100, 101); /* partitions do not hold back each other */
    client_wait(client, &client->delivered, 4);
    CHECK_INT(delivery_id(client->held[3]), 100);
    client_settle(client, 1); /* any of them makes room */
    client_wait(client, &client->delivered, 5);
    client_quiet(client);
    CHECK_INT(client->delivered, 5);
    CHECK_INT(delivery_id(client->held[4]), 3);
    client_settle(client, 0);
    client_settle(client, 2);
    client_wait(client, &client->delivered, 7);
    check_ids(client, 5, 4, 2);
    wait_depth(client, 8);
    client_close(client);
}

static void unsettled_come_again_after_close(struct suite *suite)
{
    struct client *first = open_plain(suite);
    CHECK_INT(kanban_subscribe(first->kanban, 0), 0);
    publish_range(first, 0, 0, 6);
    client_wait(first, &first->delivered, 6);
    client_settle(first, 0);
    client_settle(first, 2);
    client_close(first);
    struct client *second = open_plain(suite);
    CHECK_INT(kanban_subscribe(second->kanban, 0), 0);
    client_wait(second, &second->delivered, 4);
    client_quiet(second);
    CHECK_INT(second->delivered, 4);
    CHECK_INT(delivery_id(second->held[0]), 1);
    check_ids(second, 1, 3, 3);
    for (size_t i = 0; i < 4; i++) {
        CHECK(second->held[i]->attempt == 0 || second->held[i]->attempt == 2);
        client_settle(second, i);
    }
    client_close(second);
}

static void abandoned_come_again_after_subscribing(struct suite *suite)
{
    struct client *client = open_plain(suite);
    CHECK_INT(kanban_subscribe(client->kanban, 3), 0);
    publish_range(client, 3, 0, 4);
    client_wait(client, &client->delivered, 4);
    kanban_unsubscribe(client->kanban, 3);
    client_abandon(client, 1);
    client_abandon(client, 3);
    client_settle(client, 0);
    client_settle(client, 2); /* committed: allowed without the subscription */
    client_quiet(client);
    CHECK_INT(client->delivered, 4);
    CHECK_INT(kanban_subscribe(client->kanban, 3), 0);
    client_wait(client, &client->delivered, 6);
    client_quiet(client);
    CHECK_INT(client->delivered, 6);
    CHECK_INT(delivery_id(client->held[4]), 1);
    CHECK_INT(delivery_id(client->held[5]), 3);
    client_close(client);
}

static void unsubscribe_first(struct client *client, struct kanban_delivery *delivery)
{
    kanban_unsubscribe(client->kanban, delivery->partition);
}

static void unsubscribe_stops_deliveries(struct suite *suite)
{
    struct client *client = open_plain(suite);
    client->on_delivered = unsubscribe_first;
    publish_range(client, 0, 0, 20);
    client_wait(client, &client->answered, 20);
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    client_wait(client, &client->delivered, 1);
    client_quiet(client);
    CHECK_INT(client->delivered, 1); /* not even those at hand already */
    client->on_delivered = NULL;
    struct client *other = open_plain(suite);
    CHECK_INT(kanban_subscribe(other->kanban, 0), 0);
    client_wait(other, &other->delivered, 20);
    check_ids(other, 0, 0, 20);
    kanban_unsubscribe(other->kanban, 0);
    publish_range(client, 0, 20, 25);
    client_wait(client, &client->answered, 25);
    client_quiet(other);
    CHECK_INT(other->delivered, 20);
    client_close(client);
    client_close(other);
}

/* The next owner gets all that the last one did not settle, in order; what that one settles late is harmless. */
static void a_partition_changes_hands(struct suite *suite)
{
    struct client *first = open_plain(suite), *second = open_plain(suite);
    CHECK_INT(kanban_subscribe(first->kanban, 2), 0);
    publish_range(first, 2, 0, 8);
    client_wait(first, &first->delivered, 8);
    client_settle(first, 0);
    client_settle(first, 1);
    kanban_unsubscribe(first->kanban, 2);
    for (size_t i = 4; i < 8; i++)
        client_abandon(first, i);
    CHECK_INT(kanban_subscribe(second->kanban, 2), 0);
    client_wait(second, &second->delivered, 6);
    check_ids(second, 0, 2, 6);
    client_settle(first, 2); /* committed before the lease was lost */
    publish_range(first, 2, 8, 10);
    client_wait(first, &first->answered, 10);
    client_wait(second, &second->delivered, 8);
    check_ids(second, 6, 8, 2);
    client_quiet(first);
    CHECK_INT(first->delivered, 8); /* nothing comes to who has no subscription */
    for (size_t i = 0; i < 8; i++)
        client_settle(second, i);
    client_abandon(first, 3);
    wait_depth(second, 0);
    CHECK_INT(second->delivered, 8);
    client_close(first);
    kanban_unsubscribe(second->kanban, 2);
    client_close(second);
}

/* One frame is given up in every round, as by workers that die of it; each of the others is delivered, and settled,
 * once. */
static void a_frame_given_up_harms_no_neighbour(struct suite *suite)
{
    enum { ROUNDS = 6 };
    struct client *client = open_plain(suite);
    publish_range(client, 1, 0, 1);
    size_t seen = 0;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
        publish_range(client, 1, round, round + 1);
        client_wait(client, &client->delivered, seen + 2);
        CHECK_INT(delivery_id(client->held[seen]), 0);
        CHECK(client->held[seen]->attempt == 0 || client->held[seen]->attempt == round);
        CHECK_INT(delivery_id(client->held[seen + 1]), round);
        CHECK(client->held[seen + 1]->attempt <= 1);
        client_settle(client, seen + 1);
        wait_depth(client, 1);
        kanban_unsubscribe(client->kanban, 1);
        client_abandon(client, seen);
        seen += 2;
    }
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_wait(client, &client->delivered, seen + 1);
    client_settle(client, seen); /* somebody puts it aside */
    wait_depth(client, 0);
    CHECK_INT(client->delivered, seen + 1);
    client_close(client);
}

/* Who meets -EAGAIN and comes again is served as room is made: every signal passes, and never are there more. */
static void a_full_queue_takes_more_once_settled(struct suite *suite)
{
    enum { ROOM = 8, FRAMES = 60 };
    struct client *client = client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .max_depth = ROOM});
    size_t published = 0, settled = 0, refused = 0;
    CHECK_INT(kanban_subscribe(client->kanban, 3), 0);
    int64_t end = clock_mono_ms(&clock_system) + CLIENT_WAIT_MS;
    while (settled < FRAMES && clock_mono_ms(&clock_system) < end) {
        int status = published < FRAMES ? client_publish(client, 3, published, (intptr_t)published + 1) : -ENODATA;
        CHECK(kanban_depth(client->kanban) <= ROOM);
        published += status == 0;
        refused += status == -EAGAIN;
        if (status == 0)
            continue;
        client_turn(client, 5);
        for (; settled < client->delivered; settled++)
            client_settle(client, settled);
    }
    CHECK_INT(settled, FRAMES);
    CHECK(refused > 0);
    CHECK_INT(client->failed, 0);
    client_close(client);
}

static void depth_and_full(struct suite *suite)
{
    struct client *client = client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .max_depth = 10});
    char text[24];
    struct signal signals[4];
    for (int i = 0; i < 4; i++)
        signals[i] = client_signal(text, 7);
    CHECK_INT(kanban_depth(client->kanban), 0);
    CHECK_INT(kanban_publish(client->kanban, 0, signals, 4, (void *)1), 0);
    CHECK_INT(kanban_publish(client->kanban, 1, signals, 4, (void *)2), 0);
    CHECK_INT(kanban_publish(client->kanban, 2, signals, 3, (void *)3), -EAGAIN);
    CHECK_INT(kanban_publish(client->kanban, 2, signals, 2, (void *)3), 0);
    CHECK_INT(kanban_publish(client->kanban, 2, signals, 1, (void *)4), -EAGAIN);
    CHECK_INT(kanban_depth(client->kanban), 10);
    CHECK_INT(kanban_backend_depth(suite->backend, 1), 4);
    CHECK_INT(kanban_backend_depth(suite->backend, 2), 2);
    CHECK_INT(kanban_backend_depth(suite->backend, SUITE_PARTITIONS), 0);
    client_wait(client, &client->answered, 3);
    CHECK_INT(client->failed, 0);
    client_subscribe_all(client, SUITE_PARTITIONS);
    client_wait(client, &client->delivered, 3);
    CHECK_INT(kanban_depth(client->kanban), 10); /* delivered is not settled */
    uint64_t depths = 0;
    for (uint32_t p = 0; p < SUITE_PARTITIONS; p++)
        depths += kanban_backend_depth(suite->backend, p);
    CHECK_INT(depths, 10);
    CHECK_INT(kanban_publish(client->kanban, 2, signals, 1, (void *)4), -EAGAIN);
    client_settle(client, 0);
    wait_depth(client, 6);
    CHECK_INT(kanban_publish(client->kanban, 2, signals, 4, (void *)4), 0);
    client_wait(client, &client->delivered, 4);
    CHECK_INT(client->held[3]->frame->header.sequence, 2); /* refused ones took no sequence */
    CHECK_INT(client->held[3]->frame->header.void_count, 0);
    client_close(client);
}

/* The queue of refusals: beside the partitions, counted apart, with a bound of its own. */
static void refusals_stand_apart(struct suite *suite)
{
    struct client *client = client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .max_depth = 2});
    char text[24];
    static struct signal many[FRAME_SIGNALS_MAX];
    for (int i = 0; i < FRAME_SIGNALS_MAX; i++)
        many[i] = client_signal(text, 1);
    size_t frames = KANBAN_REFUSALS_MAX / FRAME_SIGNALS_MAX;
    for (size_t i = 0; i < frames; i++)
        CHECK_INT(kanban_publish(client->kanban, KANBAN_REFUSALS, many, FRAME_SIGNALS_MAX, NULL), 0);
    CHECK_INT(kanban_publish(client->kanban, KANBAN_REFUSALS, many, FRAME_SIGNALS_MAX, NULL), -EAGAIN);
    CHECK_INT(kanban_depth(client->kanban), 0);
    CHECK_INT(kanban_backend_depth(suite->backend, KANBAN_REFUSALS), frames * FRAME_SIGNALS_MAX);
    CHECK_INT(kanban_publish(client->kanban, 0, many, 2, NULL), 0);
    client_wait(client, &client->answered, frames + 1);
    CHECK_INT(client->failed, 0);
    client_subscribe_all(client, SUITE_PARTITIONS);
    client_wait(client, &client->delivered, 1);
    CHECK_INT(client->held[0]->partition, 0);
    CHECK_INT(kanban_subscribe(client->kanban, KANBAN_REFUSALS), 0);
    client_wait(client, &client->delivered, 1 + frames);
    for (size_t i = 1; i <= frames; i++) {
        CHECK(client->held[i]->partition == KANBAN_REFUSALS);
        CHECK_INT(client->held[i]->frame->header.sequence, i);
        client_settle(client, i);
    }
    client_close(client);
    int64_t until = clock_mono_ms(&clock_system) + CLIENT_WAIT_MS;
    while (kanban_backend_depth(suite->backend, KANBAN_REFUSALS) && clock_mono_ms(&clock_system) < until)
        usleep(1000);
    CHECK_INT(kanban_backend_depth(suite->backend, KANBAN_REFUSALS), 0);
}

static void bad_arguments_are_refused(struct suite *suite)
{
    struct client *client = open_plain(suite);
    char text[24];
    static struct signal many[FRAME_SIGNALS_MAX + 1];
    for (int i = 0; i <= FRAME_SIGNALS_MAX; i++)
        many[i] = client_signal(text, 1);
    CHECK_INT(kanban_publish(client->kanban, SUITE_PARTITIONS, many, 1, NULL), -EINVAL);
    CHECK_INT(kanban_publish(client->kanban, 0, many, FRAME_SIGNALS_MAX + 1, NULL), -EMSGSIZE);
    struct signal bad = many[0];
    bad.source = SPAN("quo\"te");
    CHECK_INT(kanban_publish(client->kanban, 0, &bad, 1, NULL), -EINVAL);
    CHECK_INT(kanban_subscribe(client->kanban, SUITE_PARTITIONS), -EINVAL);
    kanban_unsubscribe(client->kanban, SUITE_PARTITIONS);
    CHECK_INT(kanban_publish(client->kanban, 0, many, FRAME_SIGNALS_MAX, NULL), 0);
    client_wait(client, &client->answered, 1);
    CHECK_INT(client->failed, 0);
    CHECK_INT(kanban_depth(client->kanban), FRAME_SIGNALS_MAX);
    client_close(client);
}

static void raw_published(void *ctx, uint64_t request, int status)
{
    CHECK_INT(request, 1);
    CHECK_INT(status, 0);
    (*(size_t *)ctx)++;
}

/* Puts bytes on the queue that kanban.c would not. */
static void publish_raw(struct suite *suite, uint32_t partition, struct span bytes)
{
    const struct kanban_backend_ops *ops = suite->backend->ops;
    size_t answers = 0;
    struct kanban_sink sink = {.published = raw_published, .ctx = &answers};
    struct kanban_link *link;
    CHECK_INT(ops->link_open(suite->backend, &sink, 1, &link, NULL), 0);
    CHECK_INT(ops->publish(link, partition, 1, bytes, 1), 0);
    for (int i = 0; i < 500 && !answers; i++) {
        struct pollfd fd = {.fd = ops->poll_fd(link), .events = POLLIN};
        (void)poll(&fd, 1, 10);
        ops->dispatch(link);
    }
    CHECK_INT(answers, 1);
    ops->link_close(link);
}

static struct buf frame_for(uint32_t partition)
{
    char text[24];
    struct signal signal = client_signal(text, 1);
    struct frame_header header = {.boot = "0123456789abcdef", .partition = partition, .sequence = 1, .count = 1};
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    frame_encode(&header, &signal, &out);
    return out;
}

static void undecodable_frames_surface(struct suite *suite)
{
    struct buf misplaced = frame_for(2);
    publish_raw(suite, 1, SPAN("this is no frame\n"));
    publish_raw(suite, 1, (struct span){"", 0});
    publish_raw(suite, 1, buf_span(&misplaced));
    struct client *client = open_plain(suite);
    publish_range(client, 1, 9, 10);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_wait(client, &client->delivered, 4);
    const struct span expected[] = {SPAN("this is no frame\n"), {"", 0}, buf_span(&misplaced)};
    for (size_t i = 0; i < 3; i++) {
        CHECK(!client->held[i]->frame);
        CHECK(span_eq(client->held[i]->raw, expected[i]));
        CHECK(client->held[i]->error.text[0] != '\0');
        CHECK_INT(client->held[i]->partition, 1);
        client_settle(client, i);
    }
    CHECK_INT(delivery_id(client->held[3]), 9); /* its neighbour is unharmed */
    client_settle(client, 3);
    client_close(client);
    client = open_plain(suite);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_quiet(client);
    CHECK_INT(client->delivered, 0);
    client_close(client);
    buf_done(&misplaced);
}

static void confirmed_is_announced(struct suite *suite)
{
    struct clock_manual manual;
    clock_manual_init(&manual, 1767225600000);
    struct client *client = client_open(
        &(struct client_options){.backend = suite->backend, .partitions = SUITE_PARTITIONS, .clock = &manual.clock});
    client_subscribe_all(client, SUITE_PARTITIONS);
    client->settle_at_once = true;
    publish_range(client, 1, 0, 3);
    client_wait(client, &client->answered, 3);
    client_wait(client, &client->delivered, 3);
    CHECK_INT(kanban_deadline_us(client->kanban), manual.mono_us + 5000000);
    clock_manual_advance(&manual, 4999);
    client_quiet(client);
    CHECK_INT(client->delivered, 3);
    client->settle_at_once = false;
    clock_manual_advance(&manual, 1);
    kanban_dispatch(client->kanban);
    CHECK_INT(kanban_unanswered(client->kanban), 1);
    client_wait(client, &client->delivered, 4);
    const struct frame_header *header = &client->held[3]->frame->header;
    CHECK_INT(header->count, 0);
    CHECK_INT(header->sequence, 4);
    CHECK_INT(header->confirmed, 3);
    clock_manual_advance(&manual, 60000);
    client_quiet(client);
    CHECK_INT(client->delivered, 4); /* an empty frame begets no other */
    CHECK_INT(client->answered, 3);  /* and is answered to nobody */
    publish_range(client, 2, 0, 1);
    client_wait(client, &client->answered, 4);
    kanban_announce(client->kanban); /* the way out: at once */
    while (kanban_unanswered(client->kanban))
        client_turn(client, 20);
    client_wait(client, &client->delivered, 6);
    CHECK_INT(client->held[5]->frame->header.confirmed, 1);
    CHECK_INT(client->held[5]->partition, 2);
    CHECK_INT(kanban_deadline_us(client->kanban), INT64_MAX);
    client_close(client);
}

/* Whoever closes, or dies, before the answer came does not know: the frames are there, once, up to one of them. */
static void an_unanswered_publish_is_there_once_or_not(struct suite *suite)
{
    struct client *client = open_plain(suite);
    publish_range(client, 0, 0, 50);
    client_close(client);
    client = open_plain(suite);
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    client_quiet(client);
    CHECK(client->delivered <= 50);
    check_ids(client, 0, 0, client->delivered); /* in order, none in between missing */
    CHECK_INT(kanban_depth(client->kanban), client->delivered);
    size_t known = client->delivered;
    publish_range(client, 0, 50, 51); /* the next one comes behind them */
    client_wait(client, &client->delivered, known + 1);
    CHECK_INT(delivery_id(client->held[client->delivered - 1]), 50);
    client_close(client);
}

static void fd_is_quiet_when_idle(struct suite *suite)
{
    struct client *client = open_plain(suite);
    struct pollfd fd = {.fd = kanban_poll_fd(client->kanban), .events = POLLIN};
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    kanban_dispatch(client->kanban);
    CHECK_INT(poll(&fd, 1, 20), 0);
    publish_range(client, 0, 0, 1);
    CHECK_INT(poll(&fd, 1, 5000), 1);
    client_wait(client, &client->delivered, 1);
    client_settle(client, 0);
    client_quiet(client);
    CHECK_INT(poll(&fd, 1, 20), 0);
    client_close(client);
}

static void counts_show_in_metrics(struct suite *suite)
{
    struct metrics *metrics = metrics_new();
    struct client *client = client_open(&(struct client_options){
        .backend = suite->backend, .partitions = SUITE_PARTITIONS, .max_depth = 3, .metrics = metrics});
    publish_range(client, 0, 0, 3);
    CHECK_INT(client_publish(client, 0, 3, 3), -EAGAIN);
    client_wait(client, &client->answered, 3);
    CHECK_INT(kanban_subscribe(client->kanban, 0), 0);
    client_wait(client, &client->delivered, 3);
    client_settle(client, 0);
    client_abandon(client, 1);
    wait_depth(client, 2);
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(metrics, METRICS_TEXT, &out);
    static const char *const lines[] = {"\ntai_kanban_published_frames_total{result=\"confirmed\"} 3\n",
                                        "\ntai_kanban_published_frames_total{result=\"refused\"} 1\n",
                                        "\ntai_kanban_published_frames_total{result=\"void\"} 0\n",
                                        "\ntai_kanban_published_signals_total 3\n",
                                        "\ntai_kanban_delivered_frames_total 3\n",
                                        "\ntai_kanban_settled_frames_total 1\n",
                                        "\ntai_kanban_abandoned_frames_total 1\n",
                                        "\ntai_kanban_undecodable_frames_total 0\n",
                                        "\ntai_kanban_confirm_seconds_count 3\n",
                                        "\ntai_kanban_depth_signals 2\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        if (!strstr(buf_cstr(&out), lines[i])) {
            fprintf(stderr, "missing:%s", lines[i]);
            CHECK(!"a line is missing in the metrics");
        }
    buf_done(&out);
    client_close(client);
    metrics_free(metrics);
}

#include "kanban_suite_faults.c"
#include "kanban_suite_load.c"

struct suite_case {
    const char *promise;
    const char *name;
    void (*run)(struct suite *suite);
    unsigned needs; /* SUITE_… */
};

enum { CALM = SUITE_IN_TIME | SUITE_ACCEPTS | SUITE_ONCE, UNREPEATED = SUITE_ACCEPTS | SUITE_ONCE };

static const struct suite_case suite_cases[] = {
    {"order", "publish_confirm_deliver_in_order", publish_confirm_deliver_in_order, CALM},
    {"order", "handles_on_several_threads", handles_on_several_threads, CALM},
    {"lease hand-over", "a_partition_changes_hands", a_partition_changes_hands, UNREPEATED},
    {"lease hand-over", "unsubscribe_stops_deliveries", unsubscribe_stops_deliveries, UNREPEATED},
    {"redelivery", "unsettled_come_again_after_close", unsettled_come_again_after_close, UNREPEATED},
    {"redelivery", "abandoned_come_again_after_subscribing", abandoned_come_again_after_subscribing, UNREPEATED},
    {"redelivery", "a_restart_keeps_what_was_confirmed", a_restart_keeps_what_was_confirmed, UNREPEATED},
    {"poison isolation", "a_frame_given_up_harms_no_neighbour", a_frame_given_up_harms_no_neighbour, UNREPEATED},
    {"poison isolation", "undecodable_frames_surface", undecodable_frames_surface, UNREPEATED},
    {"depth", "depth_and_full", depth_and_full, UNREPEATED},
    {"depth", "refusals_stand_apart", refusals_stand_apart, CALM},
    {"back-pressure", "prefetch_holds_back", prefetch_holds_back, UNREPEATED},
    {"back-pressure", "a_full_queue_takes_more_once_settled", a_full_queue_takes_more_once_settled, UNREPEATED},
    {"back-pressure", "a_backlog_is_delivered_whole", a_backlog_is_delivered_whole, CALM},
    {"commit-unknown", "an_unanswered_publish_is_there_once_or_not", an_unanswered_publish_is_there_once_or_not,
     UNREPEATED},
    {"every fault", "nothing_confirmed_is_lost", nothing_confirmed_is_lost, 0},
    {"the wrapper", "bad_arguments_are_refused", bad_arguments_are_refused, UNREPEATED},
    {"the wrapper", "confirmed_is_announced", confirmed_is_announced, CALM},
    {"the wrapper", "fd_is_quiet_when_idle", fd_is_quiet_when_idle, CALM},
    {"the wrapper", "counts_show_in_metrics", counts_show_in_metrics, CALM},
};

int kanban_suite_run(const struct kanban_suite_target *target)
{
    int start = atomic_load(&check_failures);
    for (size_t i = 0; i < sizeof(suite_cases) / sizeof(*suite_cases); i++) {
        const struct suite_case *this = &suite_cases[i];
        int before = atomic_load(&check_failures);
        if (this->needs & target->lacks)
            continue;
        struct suite suite = {.target = target, .backend = target->set_up(target->ctx)};
        this->run(&suite);
        target->tear_down(target->ctx, suite.backend);
        printf("%s %s, %s: %s\n", atomic_load(&check_failures) == before ? "ok    " : "FAILED", target->name,
               this->promise, this->name);
        fflush(stdout);
    }
    return atomic_load(&check_failures) - start;
}
