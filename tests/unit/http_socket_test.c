/* Sockets in trouble: no descriptors, resets at every moment, answers larger than the socket takes, no buffer memory.
 */
#include "support/http_harness.h"

#include "common/http/internal.h"

#include <sys/resource.h>

#define HOST " HTTP/1.1\r\nHost: a\r\n\r\n"

static unsigned turns_in_ms(struct harness *h, int ms)
{
    unsigned turns = 0;
    struct timeval step = {0, 1000};
    for (int64_t end = real_ms() + ms; real_ms() < end; turns++) {
        event_base_loopexit(h->base, &step);
        event_base_loop(h->base, EVLOOP_ONCE);
    }
    return turns;
}

/* A client whose socket exists before descriptors run out. */
static struct client client_prepare(void)
{
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    buf_init(&c.in, 1 << 20);
    return c;
}

static void client_connect(struct harness *h, struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(http_server_port(h->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(connect(c->fd, (struct sockaddr *)&to, sizeof(to)), 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = count;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static rlim_t next_descriptor(void)
{
    int fd = dup(0);
    close(fd);
    return (rlim_t)fd;
}

Test(http_socket, without_descriptors_newcomers_are_refused)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client held = client_open(&h), c[2] = {client_prepare(), client_prepare()};
    client_say(&h, &held, "GET /later" HOST);
    pump(&h);
    limit_descriptors(next_descriptor());
    for (int i = 0; i < 2; i++) {
        client_connect(&h, &c[i]);
        cr_expect(client_closed(&h, &c[i]) || c[i].reset, "refused by the spare descriptor");
        client_close(&c[i]);
        limit_descriptors(next_descriptor());
    }
    cr_expect_lt(turns_in_ms(&h, 50), 100, "the loop must not spin");
    limit_descriptors(1000);
    cr_expect_eq(ask(&h, SPAN("GET /hello" HOST), NULL), 200, "recovered");
    http_reply(h.held[0], 200, NULL, SPAN("late"));
    cr_expect_eq(client_answer(&h, &held).status, 200);
    client_close(&held);
    harness_stop(&h);
}

Test(http_socket, without_descriptors_the_idle_give_way)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client idle = client_open(&h), c = client_prepare();
    limit_descriptors(next_descriptor());
    client_connect(&h, &c);
    cr_expect(client_closed(&h, &idle));
    client_say(&h, &c, "GET /hello" HOST);
    cr_expect_eq(client_answer(&h, &c).status, 200);
    limit_descriptors(1000);
    client_close(&idle);
    client_close(&c);
    harness_stop(&h);
}

Test(http_socket, without_even_the_spare_accepting_pauses)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client held = client_open(&h), c = client_prepare();
    client_say(&h, &held, "GET /later" HOST);
    pump(&h);
    limit_descriptors(3); /* below the spare one: given up, it is of no use and cannot be had back */
    client_connect(&h, &c);
    cr_expect_lt(turns_in_ms(&h, 50), 100, "the loop must not spin");
    limit_descriptors(1000);
    client_say(&h, &c, "GET /hello" HOST);
    cr_expect_eq(client_answer(&h, &c).status, 200, "taken from the backlog");
    cr_expect_geq(h.server->spare_fd, 0, "there is a spare one again");
    client_close(&held);
    client_close(&c);
    pump(&h);
    http_reply(h.held[0], 200, NULL, SPAN("nobody"));
    harness_stop(&h);
}

Test(http_socket, resets_at_every_moment)
{
    struct harness h;
    harness_start(&h, NULL);
    static const char *const said[] = {"",
                                       "GET",
                                       "GET /big" HOST,
                                       "GET /big" HOST "GET /big" HOST,
                                       "garbage\r\n\r\n",
                                       "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"};
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        for (int pumps = 0; pumps < 4; pumps++) {
            struct client c = client_open(&h);
            ssize_t n = send(c.fd, said[i], strlen(said[i]), MSG_NOSIGNAL);
            cr_assert_eq(n, (ssize_t)strlen(said[i]));
            for (int j = 0; j < pumps; j++)
                event_base_loop(h.base, EVLOOP_NONBLOCK);
            client_reset(&c);
            pump(&h);
            cr_expect_eq(http_server_stats(h.server)->connections_open, 0, "%s after %d turns", said[i], pumps);
        }
    }
    cr_expect_eq(h.server->buffered, 0);
    harness_stop(&h);
}

Test(http_socket, a_large_answer_and_then_the_end)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /big HTTP/1.0\r\n\r\n");
    struct answer a = client_answer(&h, &c);
    cr_expect(a.status == 200 && a.body.len == BIG_BODY);
    cr_expect(client_closed(&h, &c));
    client_close(&c);
    harness_stop(&h);
}

static void note_drained(void *ctx)
{
    ((struct harness *)ctx)->drained++;
}

Test(http_socket, a_large_answer_begun_before_the_drain)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /big" HOST);
    pump(&h);
    http_server_drain(h.server, note_drained, &h);
    pump(&h);
    cr_expect_eq(h.drained, 0);
    struct answer a = client_answer(&h, &c);
    cr_expect(a.status == 200 && a.body.len == BIG_BODY);
    cr_expect(client_closed(&h, &c));
    pump(&h);
    cr_expect_eq(h.drained, 1);
    client_close(&c);
    harness_stop(&h);
}

/* An upload of half a mebibyte of which the last byte is missing. */
static struct client begin_upload(struct harness *h)
{
    struct client c = client_open(h);
    char *body = xcalloc(1, 1 << 19);
    client_say(h, &c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 524288\r\n\r\n");
    client_send(h, &c, body, (1 << 19) - 1);
    pump(h);
    free(body);
    return c;
}

Test(http_socket, buffer_memory_is_bounded)
{
    struct harness h;
    harness_start(&h, NULL);
    h.server->buffered_max = 1 << 20;
    struct client first = begin_upload(&h);
    cr_expect(client_quiet(&h, &first));
    cr_expect_gt(h.server->buffered, 500000);
    struct client second = begin_upload(&h);
    cr_expect(client_quiet(&h, &second));
    struct client third = begin_upload(&h);
    struct answer a = client_answer(&h, &third);
    cr_expect_eq(a.status, 503);
    cr_expect(has_text(a.head, "\r\nRetry-After: 1\r\n"));
    cr_expect_eq(ask(&h, SPAN("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nsmall"), NULL), 200);
    client_say(&h, &first, "x");
    cr_expect_eq(client_answer(&h, &first).status, 200);
    client_close(&third);
    third = begin_upload(&h);
    client_say(&h, &third, "x");
    cr_expect_eq(client_answer(&h, &third).status, 200, "there is room again");
    client_close(&first);
    client_close(&second);
    client_close(&third);
    pump(&h);
    cr_expect_eq(h.server->buffered, 0);
    harness_stop(&h);
}

Test(http_socket, ipv6_and_loopback)
{
    struct harness h;
    harness_start(&h, NULL);
    struct http_options options = h.options;
    struct http_server *server = NULL;
    options.address = "::";
    if (http_server_new(&options, &server, NULL) == 0) { /* machines without IPv6 exist */
        http_server_free(h.server);
        h.server = server;
        int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in6 to = {
            .sin6_family = AF_INET6, .sin6_port = htons(http_server_port(server)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        cr_assert_eq(send(fd, "GET /later" HOST, strlen("GET /later" HOST), 0), strlen("GET /later" HOST));
        struct client mapped = client_open(&h); /* by IPv4, seen as ::ffff:127.0.0.1 */
        client_say(&h, &mapped, "GET /later" HOST);
        pump(&h);
        cr_assert_eq(h.held_count, 2);
        for (unsigned i = 0; i < 2; i++) {
            cr_expect(http_from_loopback(h.held[i]));
            http_reply(h.held[i], 200, NULL, (struct span){0});
        }
        close(fd);
        client_close(&mapped);
    }
    harness_stop(&h);
}
