/* The caps and time-outs of the HTTP server: sizes to the byte, deadlines, slow clients, connection cap, running out of
 * descriptors, and that an idle server has no timer. */
#include "support/http_harness.h"

/* A request with a body of so many bytes, announced by length. */
static int post(struct harness *h, size_t len)
{
    struct buf request;
    buf_init(&request, 64 << 20);
    buf_addf(&request, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
    memset(buf_reserve(&request, len), 'x', len);
    request.len += len;
    int status = ask(h, buf_span(&request), NULL);
    buf_done(&request);
    return status;
}

Test(http_limits, body_to_the_byte)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(post(&h, 1 << 20), 200);
    cr_expect_eq(post(&h, (1 << 20) + 1), 413);
    cr_expect_eq(ask(&h, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n"), NULL), 413,
                 "without waiting for the body");
    harness_stop(&h);
}

/* A client that uploads far more than the cap before it reads must still see the answer, not a reset. */
Test(http_limits, the_413_arrives_in_spite_of_a_long_upload)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < 5; i++) {
        struct client c = client_open(&h);
        size_t len = 4 << 20;
        char *body = xcalloc(1, len);
        client_say(&h, &c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
        client_send(&h, &c, body, len);
        cr_expect_eq(client_answer(&h, &c).status, 413);
        cr_expect(client_closed(&h, &c) && !c.reset);
        free(body);
        client_close(&c);
    }
    pump(&h);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 0);
    harness_stop(&h);
}

Test(http_limits, lingering_ends)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "garbage\r\n\r\n");
    cr_expect_eq(client_answer(&h, &c).status, 400);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 1, "waits for the client to finish");
    pass_ms(&h, 400);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 0);
    client_close(&c);
    harness_stop(&h);
}

static int get_with_head(struct harness *h, size_t len, size_t cut)
{
    static const char start[] = "GET /hello HTTP/1.1\r\nHost: a\r\nX: ";
    struct buf request;
    buf_init(&request, 1 << 20);
    buf_add_str(&request, start);
    while (request.len < len - 4)
        buf_add_char(&request, 'x');
    buf_add_str(&request, "\r\n\r\n");
    struct client c = client_open(h);
    client_send(h, &c, request.data, cut);
    pump(h);
    client_send(h, &c, request.data + cut, request.len - cut);
    int status = client_answer(h, &c).status;
    client_close(&c);
    buf_done(&request);
    return status;
}

Test(http_limits, header_section_to_the_byte)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(get_with_head(&h, 16384, 0), 200);
    cr_expect_eq(get_with_head(&h, 16385, 0), 431);
    cr_expect_eq(get_with_head(&h, 16384, 16383), 200);
    cr_expect_eq(get_with_head(&h, 16385, 16384), 431);
    cr_expect_eq(get_with_head(&h, 100000, 5000), 431);
    harness_stop(&h);
}

static int get_with_fields(struct harness *h, int count)
{
    struct buf request;
    buf_init(&request, 1 << 20);
    buf_add_str(&request, "GET /hello HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < count; i++)
        buf_add_str(&request, "X: y\r\n");
    buf_add_str(&request, "\r\n");
    int status = ask(h, buf_span(&request), NULL);
    buf_done(&request);
    return status;
}

Test(http_limits, header_count_and_endless_lines)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(get_with_fields(&h, 100), 200);
    cr_expect_eq(get_with_fields(&h, 101), 431);
    struct buf line;
    buf_init(&line, 1 << 20);
    buf_add_str(&line, "GET /");
    memset(buf_reserve(&line, 20000), 'x', 20000);
    line.len += 20000;
    cr_expect_eq(ask(&h, buf_span(&line), NULL), 431, "a target");
    memset(line.data, 'x', line.len);
    cr_expect_eq(ask(&h, buf_span(&line), NULL), 431, "a method");
    buf_done(&line);
    harness_stop(&h);
}

#define EXPECT "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"

Test(http_limits, expect_continue)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    for (int i = 0; i < 2; i++) {
        client_say(&h, &c, EXPECT "Content-Length: 3\r\n\r\n");
        cr_expect_eq(client_answer(&h, &c).status, 100);
        cr_expect(client_quiet(&h, &c), "once");
        client_say(&h, &c, "abc");
        struct answer a = client_answer(&h, &c);
        cr_expect(a.status == 200 && span_is(a.body, "abc"));
    }
    client_say(&h, &c, EXPECT "Transfer-Encoding: chunked\r\n\r\n");
    cr_expect_eq(client_answer(&h, &c).status, 100);
    client_say(&h, &c, "1\r\nx\r\n0\r\n\r\n");
    cr_expect_eq(client_answer(&h, &c).status, 200);
    client_close(&c);
    harness_stop(&h);
}

Test(http_limits, no_100_where_the_answer_is_known)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(ask(&h, SPAN(EXPECT "Content-Length: 1048577\r\n\r\n"), NULL), 413);
    cr_expect_eq(ask(&h, SPAN(EXPECT "Content-Length: 3\r\n\r\nabc"), NULL), 200, "the body is here already");
    cr_expect_eq(ask(&h, SPAN(EXPECT "Content-Length: 0\r\n\r\n"), NULL), 200);
    cr_expect_eq(ask(&h, SPAN(EXPECT "\r\n"), NULL), 200);
    cr_expect_eq(
        ask(&h, SPAN("POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"), NULL),
        404);
    cr_expect_eq(
        ask(&h, SPAN("POST /only HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"), NULL),
        405);
    cr_expect_eq(
        ask(&h, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\nContent-Length: 3\r\n\r\n"), NULL), 417);
    harness_stop(&h);
}

Test(http_limits, the_deadline_is_for_the_whole_request)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    static const char trickle[] = "GET /hello HTTP/1.1\r\n";
    for (int i = 0; i < 19; i++) { /* a byte each 10 of 200 ms */
        client_send(&h, &c, &trickle[i], 1);
        clock_manual_advance(&h.clock, 10);
        cr_expect(client_quiet(&h, &c), "after %d bytes", i);
    }
    client_send(&h, &c, &trickle[19], 1);
    pass_ms(&h, 10);
    cr_expect_eq(client_answer(&h, &c).status, 408);
    cr_expect(client_closed(&h, &c));
    client_close(&c);
    harness_stop(&h);
}

Test(http_limits, idle_connections_are_closed_without_a_word)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client fresh = client_open(&h), used = client_open(&h);
    clock_manual_advance(&h.clock, 300);
    client_say(&h, &used, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(client_answer(&h, &used).status, 200);
    client_say(&h, &used, "\r\n"); /* an empty line begins nothing and prolongs nothing */
    pass_ms(&h, 100);
    cr_expect(client_closed(&h, &fresh) && fresh.in.len == 0);
    cr_expect(client_quiet(&h, &used));
    pass_ms(&h, 299);
    cr_expect(client_quiet(&h, &used));
    pass_ms(&h, 1);
    cr_expect(client_closed(&h, &used) && used.in.len == used.read);
    client_close(&fresh);
    client_close(&used);
    harness_stop(&h);
}

Test(http_limits, a_pending_request_has_no_time_out)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    pass_ms(&h, 100000);
    cr_expect(client_quiet(&h, &c));
    cr_assert_eq(h.held_count, 1);
    http_reply(h.held[0], 200, NULL, SPAN("late"));
    cr_expect_eq(client_answer(&h, &c).status, 200);
    client_close(&c);
    harness_stop(&h);
}

Test(http_limits, a_slow_reader_is_closed)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client slow = client_open(&h), steady = client_open(&h);
    client_say(&h, &slow, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(&h, &steady, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    pump(&h);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 2);
    for (int i = 0; i < 5; i++) { /* takes a good part now and then */
        clock_manual_advance(&h.clock, 100);
        client_receive(&steady);
        pump(&h);
    }
    pump_ms(&h, 45);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 1, "the slow one is closed");
    struct answer a = client_answer(&h, &steady);
    cr_expect_eq(a.status, 200);
    cr_expect_eq(a.body.len, BIG_BODY);
    client_receive(&slow);
    cr_expect_lt(slow.in.len, BIG_BODY);
    client_close(&slow);
    client_close(&steady);
    harness_stop(&h);
}

/* Unread answers must not pile up: while one is not taken, the next request is not even read. */
Test(http_limits, output_is_bounded)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    for (int i = 0; i < 20; i++)
        client_say(&h, &c, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    pump_ms(&h, 20);
    cr_expect_eq(http_server_stats(h.server)->requests_total, 1);
    for (int i = 0; i < 20; i++) {
        struct answer a = client_answer(&h, &c);
        cr_assert_eq(a.status, 200);
        cr_assert_eq(a.body.len, BIG_BODY);
        client_forget(&c);
    }
    cr_expect_eq(http_server_stats(h.server)->requests_total, 20);
    client_close(&c);
    harness_stop(&h);
}

static struct harness *start_with_cap(struct harness *h, unsigned connections)
{
    struct http_options options = harness_options(h);
    options.limits.connections = connections;
    harness_start(h, &options);
    return h;
}

Test(http_limits, the_connection_idle_longest_makes_room)
{
    struct harness h;
    start_with_cap(&h, 3);
    struct client c[5];
    for (int i = 0; i < 3; i++) {
        c[i] = client_open(&h);
        clock_manual_advance(&h.clock, 1);
    }
    client_say(&h, &c[0], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"); /* now c[1] is idle longest */
    cr_expect_eq(client_answer(&h, &c[0]).status, 200);
    client_say(&h, &c[2], "GET /hel");
    pump(&h);
    c[3] = client_open(&h);
    cr_expect(client_closed(&h, &c[1]));
    cr_expect(client_quiet(&h, &c[0]) && client_quiet(&h, &c[2]) && client_quiet(&h, &c[3]));
    c[4] = client_open(&h);
    cr_expect(client_closed(&h, &c[0]), "idle before the one that is in a request");
    cr_expect(client_quiet(&h, &c[2]));
    cr_expect_eq(http_server_stats(h.server)->connections_open, 3);
    cr_expect_eq(http_server_stats(h.server)->connections_total, 5);
    for (int i = 0; i < 5; i++)
        client_close(&c[i]);
    harness_stop(&h);
}

Test(http_limits, begun_requests_make_room_pending_ones_do_not)
{
    struct harness h;
    start_with_cap(&h, 2);
    struct client pending = client_open(&h), begun = client_open(&h);
    client_say(&h, &pending, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(&h, &begun, "GET");
    pump(&h);
    struct client third = client_open(&h);
    cr_expect(client_closed(&h, &begun) && begun.in.len == 0);
    client_say(&h, &third, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    pump(&h);
    struct client fourth = client_open(&h);
    cr_expect(client_closed(&h, &fourth), "nobody can make room");
    cr_expect_eq(h.held_count, 2);
    for (unsigned i = 0; i < h.held_count; i++)
        http_reply(h.held[i], 200, NULL, SPAN("late"));
    cr_expect_eq(client_answer(&h, &pending).status, 200);
    cr_expect_eq(client_answer(&h, &third).status, 200);
    client_close(&pending);
    client_close(&begun);
    client_close(&third);
    client_close(&fourth);
    harness_stop(&h);
}

Test(http_limits, an_idle_server_has_no_timer)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED), 1, "the listener alone");
    struct client c = client_open(&h);
    cr_expect_eq(event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED), 3, "and a connection, and the timer");
    client_close(&c);
    pump(&h);
    cr_expect_eq(event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED), 1);
    harness_stop(&h);
}

Test(http_limits, absurd_limits_and_addresses_are_refused)
{
    struct harness h;
    harness_start(&h, NULL);
    struct http_options options = h.options;
    struct http_server *server = NULL;
    struct error err;
    options.address = "localhost";
    cr_expect_eq(http_server_new(&options, &server, &err), -EINVAL);
    cr_expect(strstr(err.text, "localhost"));
    options = h.options;
    options.port = http_server_port(h.server);
    cr_expect_eq(http_server_new(&options, &server, &err), -EADDRINUSE);
    cr_expect(strstr(err.text, "Address already in use"));
    options = h.options;
    options.limits.connections = 0;
    cr_expect_eq(http_server_new(&options, &server, &err), -EINVAL);
    cr_expect_null(server);
    options = h.options;
    options.address = "::1";
    int r = http_server_new(&options, &server, NULL);
    cr_expect(r == 0 || r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT, "IPv6: %d", r);
    http_server_free(server);
    harness_stop(&h);
}
