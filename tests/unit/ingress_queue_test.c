/* From the POST to the queue and back: nothing is accepted before the queue has confirmed it, whatever the queue does;
 * frames; duplicates; drain. */
#include "support/ingress_rig.h"

Test(queue, no_202_before_the_confirm)
{
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&peer, &rig);
    peer_post(&rig, &peer, json_type, SIGNAL("a"));
    cr_assert(peer_is_waiting(&rig, &peer));
    cr_assert_eq(rig.gate->count, 1, "it was published");
    cr_assert_not(ingress_accepted(rig.ingress, SPAN("acme"), SPAN("sku-1"), SPAN("a")));
    rig_release(&rig, 0);
    expect(peer_take(&rig, &peer), 202, "\"signal_id\":\"a\"");
    cr_assert(ingress_accepted(rig.ingress, SPAN("acme"), SPAN("sku-1"), SPAN("a")));
    cr_assert(ingress_accepted(rig.ingress, SPAN("acme"), SPAN(""), SPAN("a")));
    cr_assert_not(ingress_accepted(rig.ingress, SPAN("acme"), SPAN("sku-2"), SPAN("a")));
    cr_assert_not(ingress_accepted(rig.ingress, SPAN("beta"), SPAN(""), SPAN("a")));
    peer_done(&peer);
    rig_done(&rig);
}

Test(queue, a_batch_waits_for_all_its_frames)
{
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&peer, &rig);
    struct buf body;
    buf_init(&body, 1 << 20);
    for (int i = 0; i < 8; i++)
        buf_addf(&body, "%c{\"id\":\"%d\",\"tenant_id\":\"t%d\",\"sku_id\":\"k\",\"type\":\"u\"}", i ? ',' : '[', i, i);
    buf_add_char(&body, ']');
    peer_post(&rig, &peer, json_type, buf_cstr(&body));
    cr_assert(peer_is_waiting(&rig, &peer));
    cr_assert_gt(rig.gate->count, 1);
    for (size_t i = 0; i + 1 < rig.gate->count; i++) {
        struct gate_frame *frame = &rig.gate->frames[i];
        frame->answered = true;
        rig.gate->sink.published(rig.gate->sink.ctx, frame->request, 0);
        cr_assert(peer_is_waiting(&rig, &peer), "one frame is still out");
    }
    rig_release(&rig, 0);
    expect(peer_take(&rig, &peer), 202, "{\"index\":7,\"status\":202,\"signal_id\":\"7\"}");
    buf_done(&body);
    peer_done(&peer);
    rig_done(&rig);
}

Test(queue, one_turn_one_frame_a_partition)
{
    struct rig rig;
    struct peer peers[5];
    rig_init(&rig);
    rig_start(&rig);
    for (int i = 0; i < 5; i++)
        peer_init(&peers[i], &rig);
    rig_turn(&rig);
    for (int i = 0; i < 5; i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"id\":\"%d\",\"tenant_id\":\"acme\",\"sku_id\":\"k\",\"type\":\"u\"}", i);
        char *text = post_text(json_type, span_of(body));
        cr_assert_eq(send(peers[i].fd, text, strlen(text), 0), (ssize_t)strlen(text));
        free(text);
    }
    poll(NULL, 0, 20);
    for (int i = 0; i < 5; i++) {
        expect(peer_take(&rig, &peers[i]), 202, NULL);
        peer_done(&peers[i]);
    }
    cr_assert_eq(rig.gate->count, 1, "%zu frames", rig.gate->count);
    cr_assert_eq(rig_signals(&rig), 5);
    rig_done(&rig);
}

static void post_many(struct rig *rig, size_t count, size_t size)
{
    struct buf body;
    buf_init(&body, 4 << 20);
    char *data = xcalloc(1, size + 1);
    memset(data, 'x', size);
    for (size_t i = 0; i < count; i++)
        buf_addf(&body, "%c{\"id\":\"%zu\",\"tenant_id\":\"t\",\"sku_id\":\"k\",\"type\":\"u\",\"data\":\"%s\"}",
                 i ? ',' : '[', i, data);
    buf_add_char(&body, ']');
    expect(rig_post(rig, json_type, buf_cstr(&body)), 202, NULL);
    free(data);
    buf_done(&body);
}

Test(queue, frames_are_cut_by_number_and_by_bytes)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    post_many(&rig, 600, 10);
    cr_assert_eq(rig.gate->count, 3);
    cr_assert_eq(rig.gate->frames[0].frame->header.count, 256);
    cr_assert_eq(rig.gate->frames[2].frame->header.count, 88);
    uint64_t next = 0;
    for (size_t f = 0; f < rig.gate->count; f++) {
        for (uint32_t i = 0; i < rig.gate->frames[f].frame->header.count; i++, next++) {
            char id[24];
            snprintf(id, sizeof(id), "%llu", (unsigned long long)next);
            cr_assert(span_is(rig.gate->frames[f].frame->signals[i].id, id), "in the order they came");
        }
    }
    post_many(&rig, 15, 60000);
    cr_assert_eq(rig.gate->count, 3 + 4, "the gate checks that none exceeds 256 KiB");
    rig_done(&rig);
}

struct failure {
    int status;
    const char *detail;
};

Test(queue, a_failed_publish_is_503)
{
    static const struct failure failures[] = {
        {-EIO, "the signal could not be stored"},
        {-ESHUTDOWN, "the signal could not be stored"},
        {-ENOSPC, "the disk of the queue is full"},
        {-EAGAIN, "the queue is full"},
    };
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < 4; i++) {
        rig.gate->status = failures[i].status;
        struct reply reply = rig_post(&rig, json_type, SIGNAL("a"));
        cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"), "%s", reply.head);
        expect(reply, 503, failures[i].detail);
        reply = rig_post(&rig, json_type, "[" SIGNAL("a") ",{}]");
        cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"), "%s", reply.head);
        expect(reply, 207, "{\"index\":0,\"status\":503,\"problem\":{");
    }
    cr_assert_not(ingress_accepted(rig.ingress, SPAN("acme"), SPAN(""), SPAN("a")));
    rig.gate->status = 0;
    struct reply reply = rig_post(&rig, json_type, SIGNAL("a"));
    cr_assert_null(strstr(reply.body, "duplicate"), "what failed was never accepted: %s", reply.body);
    expect(reply, 202, NULL);
    rig_done(&rig);
}

Test(queue, a_failing_queue_is_not_ready)
{
    static const char readyz[] = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig.gate->status = -EIO;
    expect(rig_post(&rig, json_type, SIGNAL("a")), 503, NULL);
    struct reply reply = rig_request(&rig, readyz);
    cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"));
    expect(reply, 503, "{\"status\":\"fail\",\"output\":\"the queue does not take signals\"}");
    expect(rig_request(&rig, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 200, NULL);
    clock_manual_advance(&rig.clock, 5000);
    expect(rig_request(&rig, readyz), 200, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("a")), 503, NULL);
    expect(rig_request(&rig, readyz), 503, NULL);
    rig.gate->status = 0;
    expect(rig_post(&rig, json_type, SIGNAL("a")), 202, NULL);
    expect(rig_request(&rig, readyz), 200, NULL);
    rig_done(&rig);
}

Test(queue, full)
{
    struct rig rig;
    rig_init(&rig);
    rig.kanban.max_depth = 5;
    rig_start(&rig);
    post_many(&rig, 4, 1);
    expect(rig_request(&rig, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200, "{\"status\":\"warn\",");
    struct reply reply = rig_post(&rig, json_type, "[" SIGNAL("a") "," SIGNAL("b") "]");
    cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"));
    expect(reply, 207, "the queue is full: send the signal again later");
    expect(rig_post(&rig, json_type, SIGNAL("a")), 202, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("b")), 503, "the queue is full: send the signal again later");
    cr_assert_eq(rig_signals(&rig), 5);
    rig.gate->depth = 0;
    expect(rig_post(&rig, json_type, SIGNAL("b")), 202, NULL);
    rig.gate->refuse = -EIO;
    expect(rig_post(&rig, json_type, SIGNAL("c")), 503, "the signal could not be stored");
    rig_done(&rig);
}

/* Frames that are full are published while the handler still reads: what the queue refuses then must not end the post.
 */
Test(queue, full_in_the_middle_of_a_batch)
{
    struct rig rig;
    rig_init(&rig);
    rig.kanban.max_depth = 256;
    rig_start(&rig);
    struct buf body;
    buf_init(&body, 1 << 20);
    for (int i = 0; i < 600; i++)
        buf_addf(&body, "%c{\"id\":\"%d\",\"tenant_id\":\"t\",\"sku_id\":\"k\",\"type\":\"u\"}", i ? ',' : '[', i);
    buf_add_char(&body, ']');
    struct reply reply = rig_post(&rig, json_type, buf_cstr(&body));
    cr_assert_not_null(strstr(reply.body, "{\"index\":255,\"status\":202,"));
    cr_assert_not_null(strstr(reply.body, "{\"index\":256,\"status\":503,"));
    cr_assert_not_null(strstr(reply.body, "{\"index\":599,\"status\":503,"));
    expect(reply, 207, NULL);
    cr_assert_eq(rig_signals(&rig), 256);
    buf_done(&body);
    rig_done(&rig);
}

Test(queue, the_same_id_twice)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, SIGNAL("a"));
    cr_assert_null(strstr(reply.body, "duplicate"));
    expect(reply, 202, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("a")), 202,
           "{\"status\":\"accepted\",\"signal_id\":\"a\",\"duplicate\":true}");
    reply = rig_post(&rig, json_type, SIGNAL("a") " ");
    cr_assert_null(strstr(reply.body, "duplicate"), "other bytes are no duplicate, but a conflict for the worker");
    expect(reply, 202, NULL);
    expect(rig_post(&rig, json_type, "[" SIGNAL("b") "," SIGNAL("b") "," SIGNAL("a") "]"), 202,
           "{\"index\":0,\"status\":202,\"signal_id\":\"b\"},"
           "{\"index\":1,\"status\":202,\"signal_id\":\"b\",\"duplicate\":true},"
           "{\"index\":2,\"status\":202,\"signal_id\":\"a\",\"duplicate\":true}");
    cr_assert_eq(rig_signals(&rig), 6, "every copy goes to the worker, which judges");
    rig_done(&rig);
}

Test(queue, the_same_id_concurrently)
{
    struct rig rig;
    struct peer a;
    struct peer b;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&a, &rig);
    peer_init(&b, &rig);
    peer_post(&rig, &a, json_type, SIGNAL("x"));
    peer_post(&rig, &b, json_type, SIGNAL("x"));
    cr_assert(peer_is_waiting(&rig, &a) && peer_is_waiting(&rig, &b));
    rig_release(&rig, 0);
    struct reply first = peer_take(&rig, &a);
    struct reply second = peer_take(&rig, &b);
    cr_assert_eq(first.status, 202);
    cr_assert_eq(second.status, 202);
    cr_assert_eq((strstr(first.body, "duplicate") != NULL) + (strstr(second.body, "duplicate") != NULL), 1);
    cr_assert_eq(rig_signals(&rig), 2);
    reply_done(&first);
    reply_done(&second);
    peer_done(&a);
    peer_done(&b);
    rig_done(&rig);
}

Test(queue, pipelined_posts_are_answered_in_order)
{
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    rig_start(&rig);
    peer_init(&peer, &rig);
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 20; i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"id\":\"n%d\",\"tenant_id\":\"t\",\"sku_id\":\"k\",\"type\":\"%s\"}", i,
                 i % 3 ? "u" : "BAD");
        char *post = post_text(json_type, span_of(body));
        buf_add_str(&text, post);
        free(post);
    }
    peer_send(&rig, &peer, buf_span(&text));
    for (int i = 0; i < 20; i++) {
        char id[32];
        snprintf(id, sizeof(id), "\"n%d\"", i);
        expect(peer_take(&rig, &peer), i % 3 ? 202 : 400, i % 3 ? id : "type must be");
    }
    buf_done(&text);
    peer_done(&peer);
    rig_done(&rig);
}

Test(queue, drain_finishes_what_was_begun)
{
    struct rig rig;
    struct peer waiting;
    struct peer idle;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&waiting, &rig);
    peer_init(&idle, &rig);
    peer_post(&rig, &waiting, json_type, SIGNAL("a"));
    cr_assert(peer_is_waiting(&rig, &waiting));
    ingress_drain(rig.ingress, rig_on_drained, &rig);
    cr_assert(peer_is_waiting(&rig, &waiting));
    cr_assert_not(rig.drained);
    peer_read(&idle);
    cr_assert(idle.closed);
    rig_release(&rig, 0);
    struct reply reply = peer_take(&rig, &waiting);
    cr_assert_not_null(strstr(reply.head, "\r\nConnection: close\r\n"), "%s", reply.head);
    expect(reply, 202, NULL);
    peer_done(&waiting);
    rig_turn(&rig);
    rig_turn(&rig);
    cr_assert(rig.drained);
    cr_assert_gt(rig.gate->count, 1, "the last sequence is announced");
    cr_assert_eq(rig.gate->frames[rig.gate->count - 1].frame->header.count, 0);
    cr_assert_eq(rig.gate->frames[rig.gate->count - 1].frame->header.confirmed, 1);
    peer_done(&idle);
    rig_done(&rig);
}

/* A client that has gone does not end its signals: they are confirmed or void before the drain is over. */
Test(queue, drain_waits_for_signals_whose_client_has_gone)
{
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&peer, &rig);
    peer_post(&rig, &peer, json_type, SIGNAL("a"));
    cr_assert(peer_is_waiting(&rig, &peer));
    peer_done(&peer);
    rig_turn(&rig);
    ingress_drain(rig.ingress, rig_on_drained, &rig);
    rig_turn(&rig);
    cr_assert_not(rig.drained);
    rig_release(&rig, 0);
    cr_assert(rig.drained);
    cr_assert(ingress_accepted(rig.ingress, SPAN("acme"), SPAN(""), SPAN("a")));
    rig_done(&rig);
}

Test(queue, freed_with_requests_under_way)
{
    struct rig rig;
    struct peer peer;
    rig_init(&rig);
    rig.gate->open = false;
    rig_start(&rig);
    peer_init(&peer, &rig);
    peer_post(&rig, &peer, json_type, "[" SIGNAL("a") "," SIGNAL("b") "]");
    cr_assert(peer_is_waiting(&rig, &peer));
    rig_done(&rig);
    peer_done(&peer);
}

/* The whole way with the queue of memory.c: what was answered 202 is what a reader gets. */
struct reader {
    struct kanban *kanban;
    unsigned signals;
};

static void on_delivered(void *ctx, struct kanban_delivery *delivery)
{
    struct reader *reader = ctx;
    cr_assert_not_null(delivery->frame);
    for (uint32_t i = 0; i < delivery->frame->header.count; i++) {
        cr_assert(span_is(delivery->frame->signals[i].tenant_id, "t"));
        cr_assert(span_is(delivery->frame->signals[i].data, "\"x\""));
    }
    reader->signals += delivery->frame->header.count;
    kanban_settle(reader->kanban, delivery);
}

Test(queue, memory_backend)
{
    struct rig rig;
    struct reader reader = {0};
    rig_init(&rig);
    struct kanban_backend *memory = kanban_memory_new(16);
    const struct kanban_options options = {.backend = memory,
                                           .events = {.delivered = on_delivered, .ctx = &reader},
                                           .partitions = 16,
                                           .prefetch = 10,
                                           .max_depth = 1000,
                                           .clock = &rig.clock.clock};
    const struct ingress_options ingress = {.base = rig.base,
                                            .config = &rig.config,
                                            .kanban = &rig.kanban,
                                            .queue = memory,
                                            .clock = &rig.clock.clock,
                                            .log = &rig.log,
                                            .metrics = rig.metrics};
    cr_assert_eq(kanban_open(&options, &reader.kanban, NULL), 0);
    cr_assert_eq(kanban_subscribe(reader.kanban, hash_bucket(SPAN("t"), SPAN("k"), 16)), 0);
    cr_assert_eq(ingress_new(&ingress, &rig.ingress, NULL), 0);
    post_many(&rig, 300, 1);
    struct reply reply = rig_post(&rig, json_type, SIGNAL("a"));
    cr_assert_not_null(strstr(reply.head, "\r\nLocation: /v1/signals/a?"), "without a status URL: a path");
    expect(reply, 202, NULL);
    for (int i = 0; i < 100 && reader.signals < 300; i++)
        kanban_dispatch(reader.kanban);
    cr_assert_eq(reader.signals, 300);
    ingress_free(rig.ingress);
    rig.ingress = NULL;
    kanban_close(reader.kanban);
    kanban_backend_free(memory);
    rig_done(&rig);
}
