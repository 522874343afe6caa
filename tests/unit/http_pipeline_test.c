/* Order and lifetime: pipelining with answers now and later, clients that leave, the drain, the end of the server. */
#include "support/http_harness.h"

#define HOST " HTTP/1.1\r\nHost: a\r\n\r\n"

static void say_echo(struct buf *out, int n)
{
    char body[16];
    int len = snprintf(body, sizeof(body), "%d", n);
    buf_addf(out, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len, body);
}

Test(http_pipeline, a_long_burst_is_answered_in_order)
{
    enum { COUNT = 20000 };
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    struct buf burst;
    buf_init(&burst, 64 << 20);
    for (int i = 0; i < COUNT; i++)
        say_echo(&burst, i);
    client_send(&h, &c, burst.data, burst.len);
    for (int i = 0; i < COUNT; i++) {
        struct answer a = client_answer(&h, &c);
        char want[16];
        snprintf(want, sizeof(want), "%d", i);
        cr_assert(a.status == 200 && span_is(a.body, want), "answer %d: %d %.*s", i, a.status, (int)a.body.len,
                  a.body.ptr);
    }
    cr_expect_eq(http_server_stats(h.server)->requests_total, COUNT);
    cr_expect_eq(http_server_stats(h.server)->bytes_in_total, burst.len);
    cr_expect_eq(http_server_stats(h.server)->bytes_out_total, c.in.len);
    cr_expect_eq(h.observed, COUNT);
    buf_done(&burst);
    client_close(&c);
    harness_stop(&h);
}

Test(http_pipeline, nothing_overtakes_an_answer_that_comes_later)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /later?1" HOST "GET /hello" HOST "GET /later?2" HOST "GET /later?3" HOST "GET /hello" HOST);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect(client_quiet(&h, &c));
        cr_assert_eq(h.held_count, i + 1, "one request at a time");
        http_reply(h.held[i], 201, NULL, http_target(h.held[i]));
        cr_assert_eq(h.held_count, i + 1, "no handler runs inside of an answer");
        struct answer a = client_answer(&h, &c);
        char want[16];
        snprintf(want, sizeof(want), "/later?%u", i + 1);
        cr_expect(a.status == 201 && span_is(a.body, want), "%.*s", (int)a.body.len, a.body.ptr);
        if (i != 1)
            cr_expect(span_is(client_answer(&h, &c).body, "hello"));
    }
    cr_expect(client_quiet(&h, &c));
    client_close(&c);
    harness_stop(&h);
}

Test(http_pipeline, reading_pauses_while_an_answer_is_outstanding)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /later" HOST);
    pump(&h);
    uint64_t taken = http_server_stats(h.server)->bytes_in_total;
    struct buf burst;
    buf_init(&burst, 1 << 20);
    for (int i = 0; i < 100; i++)
        say_echo(&burst, i);
    client_send(&h, &c, burst.data, burst.len);
    pump(&h);
    cr_expect_eq(http_server_stats(h.server)->bytes_in_total, taken);
    http_reply(h.held[0], 200, NULL, (struct span){0});
    for (int i = 0; i <= 100; i++)
        cr_expect_eq(client_answer(&h, &c).status, 200);
    buf_done(&burst);
    client_close(&c);
    harness_stop(&h);
}

Test(http_pipeline, a_request_behind_a_body_cut_anywhere)
{
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /hello" HOST;
    struct harness h;
    harness_start(&h, NULL);
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        struct client c = client_open(&h);
        client_send(&h, &c, text, cut);
        pump(&h);
        client_send(&h, &c, text + cut, sizeof(text) - 1 - cut);
        cr_expect(span_is(client_answer(&h, &c).body, "abc"), "cut at %zu", cut);
        cr_expect(span_is(client_answer(&h, &c).body, "hello"), "cut at %zu", cut);
        client_close(&c);
    }
    harness_stop(&h);
}

Test(http_pipeline, a_half_closed_client_gets_its_answers)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /later" HOST "GET /hello" HOST "GET /later" HOST);
    shutdown(c.fd, SHUT_WR);
    pump(&h);
    http_reply(h.held[0], 200, NULL, SPAN("one"));
    cr_expect(span_is(client_answer(&h, &c).body, "one"));
    cr_expect(span_is(client_answer(&h, &c).body, "hello"));
    pump(&h);
    cr_assert_eq(h.held_count, 2);
    http_reply(h.held[1], 200, NULL, SPAN("three"));
    cr_expect(span_is(client_answer(&h, &c).body, "three"));
    cr_expect(client_closed(&h, &c));
    client_close(&c);
    harness_stop(&h);
}

Test(http_pipeline, the_client_leaves_before_the_answer)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < 4; i++) {
        struct client c = client_open(&h);
        client_say(&h, &c, "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcdeGET /hello" HOST);
        pump(&h);
        if (i % 2)
            client_reset(&c);
        else
            client_close(&c);
        pump(&h);
    }
    cr_assert_eq(h.held_count, 4);
    for (int i = 0; i < 4; i++) {
        cr_expect(span_is(http_body(h.held[i]), "abcde"), "still there");
        http_add_header(h.held[i], "X", SPAN("y"));
        if (i < 2)
            http_reply(h.held[i], 200, "text/plain", SPAN("nobody"));
        else
            http_problem(h.held[i], 503, NULL, "nobody");
        pump(&h);
    }
    pump_ms(&h, 20);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 0);
    cr_expect_eq(ask(&h, SPAN("GET /hello" HOST), NULL), 200);
    harness_stop(&h);
}

Test(http_pipeline, the_server_ends_before_the_answer)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = client_open(&h);
        client_say(&h, &c[i], "GET /later" HOST);
        pump(&h);
    }
    cr_assert_eq(h.held_count, 3);
    http_server_free(h.server);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect(span_is(http_path(h.held[i]), "/later"));
        http_reply(h.held[i], 200, NULL, SPAN("nobody"));
        client_close(&c[i]);
    }
    event_base_free(h.base);
    free(h.big);
}

Test(http_pipeline, many_held_answers_given_in_any_order)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c[HELD_MAX];
    for (int i = 0; i < HELD_MAX; i++) {
        c[i] = client_open(&h);
        char text[64];
        snprintf(text, sizeof(text), "GET /later?%d" HOST, i);
        client_say(&h, &c[i], text);
        pump(&h);
    }
    for (int i = HELD_MAX - 1; i >= 0; i--)
        http_reply(h.held[i], 200, NULL, http_target(h.held[i]));
    for (int i = 0; i < HELD_MAX; i++) {
        char want[64];
        snprintf(want, sizeof(want), "/later?%d", i);
        cr_expect(span_is(client_answer(&h, &c[i]).body, want));
        client_close(&c[i]);
    }
    harness_stop(&h);
}

static void note_drained(void *ctx)
{
    ((struct harness *)ctx)->drained++;
}

Test(http_pipeline, drain_closes_the_idle_and_finishes_what_was_begun)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client idle = client_open(&h), begun = client_open(&h), pending = client_open(&h), arrived = client_open(&h);
    client_say(&h, &begun, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    client_say(&h, &pending, "GET /later" HOST);
    pump(&h);
    cr_assert_eq(send(arrived.fd, "GET /hello" HOST, strlen("GET /hello" HOST), 0), strlen("GET /hello" HOST));
    http_server_drain(h.server, note_drained, &h);
    http_server_drain(h.server, note_drained, &h);
    cr_expect(client_closed(&h, &idle) && idle.in.len == 0);
    struct answer a = client_answer(&h, &arrived);
    cr_expect(a.status == 200 && has_text(a.head, "\r\nConnection: close\r\n"), "it was in the kernel already");
    cr_expect(client_quiet(&h, &begun) && client_quiet(&h, &pending));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(http_server_port(h.server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_expect(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ECONNREFUSED);
    close(fd);
    client_say(&h, &begun, "bc");
    a = client_answer(&h, &begun);
    cr_expect(a.status == 200 && span_is(a.body, "abc") && has_text(a.head, "\r\nConnection: close\r\n"));
    cr_expect(client_closed(&h, &begun));
    cr_expect_eq(h.drained, 0);
    http_reply(h.held[0], 202, NULL, SPAN("late"));
    a = client_answer(&h, &pending);
    cr_expect(a.status == 202 && has_text(a.head, "\r\nConnection: close\r\n"));
    cr_expect(client_closed(&h, &pending));
    client_close(&idle);
    client_close(&begun);
    client_close(&pending);
    client_close(&arrived);
    pump_ms(&h, 20);
    cr_expect_eq(h.drained, 1);
    cr_expect_eq(event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED), 0);
    harness_stop(&h);
}

Test(http_pipeline, drain_answers_only_the_request_that_was_begun)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /later" HOST "GET /hello" HOST);
    pump(&h);
    http_server_drain(h.server, note_drained, &h);
    http_reply(h.held[0], 200, NULL, SPAN("one"));
    struct answer a = client_answer(&h, &c);
    cr_expect(has_text(a.head, "\r\nConnection: close\r\n"));
    cr_expect(client_closed(&h, &c) && c.in.len == c.read && !c.reset);
    client_close(&c);
    pump(&h);
    cr_expect_eq(h.drained, 1);
    harness_stop(&h);
}

static void free_server(void *ctx)
{
    struct harness *h = ctx;
    h->drained++;
    http_server_free(h->server);
    h->server = NULL;
}

Test(http_pipeline, drain_without_connections_may_free_the_server)
{
    struct harness h;
    harness_start(&h, NULL);
    http_server_drain(h.server, free_server, &h);
    cr_expect_eq(h.drained, 0, "from the loop only");
    pump(&h);
    cr_expect_eq(h.drained, 1);
    harness_stop(&h);
}

Test(http_pipeline, drain_ends_although_clients_do_nothing)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client begun = client_open(&h), slow = client_open(&h), blank = client_open(&h);
    client_say(&h, &begun, "GET");
    client_say(&h, &slow, "GET /big" HOST);
    client_say(&h, &blank, "\r");
    pump(&h);
    http_server_drain(h.server, note_drained, &h);
    pump(&h);
    cr_expect_eq(h.drained, 0);
    cr_expect(client_closed(&h, &blank));
    pass_ms(&h, 400);
    cr_expect_eq(client_answer(&h, &begun).status, 408);
    pass_ms(&h, 400);
    cr_expect_eq(h.drained, 1);
    client_close(&begun);
    client_close(&slow);
    client_close(&blank);
    harness_stop(&h);
}
