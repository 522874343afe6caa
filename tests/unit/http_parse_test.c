/* Request heads, good and bad, over sockets: exact statuses, whatever the packets' cuts. */
#include "support/http_harness.h"

struct sample {
    const char *name;
    struct span request;
    int status;
};
#define SAMPLE(name, request, status)                                                                                  \
    {                                                                                                                  \
        name, {request, sizeof(request) - 1}, status                                                                   \
    }
#define GET  "GET /hello HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /echo HTTP/1.1\r\nHost: a\r\n"

static const struct sample bad[] = {
    SAMPLE("two different lengths", POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    SAMPLE("two equal lengths", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    SAMPLE("signed length", POST "Content-Length: +3\r\n\r\nabc", 400),
    SAMPLE("negative length", POST "Content-Length: -3\r\n\r\nabc", 400),
    SAMPLE("hex length", POST "Content-Length: 0x3\r\n\r\nabc", 400),
    SAMPLE("length list", POST "Content-Length: 3, 3\r\n\r\nabc", 400),
    SAMPLE("two numbers", POST "Content-Length: 3 3\r\n\r\nabc", 400),
    SAMPLE("empty length", POST "Content-Length:\r\n\r\nabc", 400),
    SAMPLE("empty length, spaces", POST "Content-Length:  \r\n\r\nabc", 400),
    SAMPLE("space before the colon", POST "Content-Length : 3\r\n\r\nabc", 400),
    SAMPLE("length beyond 64 bits", POST "Content-Length: 99999999999999999999999\r\n\r\n", 413),
    SAMPLE("length and coding", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("coding and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("coding unknown", POST "Transfer-Encoding: gzip\r\n\r\n", 501),
    SAMPLE("coding identity", POST "Transfer-Encoding: identity\r\n\r\n", 501),
    SAMPLE("coding not chunked", POST "Transfer-Encoding: xchunked\r\n\r\n", 501),
    SAMPLE("two codings", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    SAMPLE("chunked not last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("coding twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("coding empty", POST "Transfer-Encoding:\r\n\r\n", 400),
    SAMPLE("coding in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    SAMPLE("empty header name", GET ": x\r\n\r\n", 400),
    SAMPLE("empty header name first", "GET /hello HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n", 400),
    SAMPLE("NUL in a value", GET "X-A: a\0b\r\n\r\n", 400),
    SAMPLE("control character in a value", GET "X-A: a\001b\r\n\r\n", 400),
    SAMPLE("DEL in a value", GET "X-A: a\177b\r\n\r\n", 400),
    SAMPLE("CR in a value", GET "X-A: a\rb\r\n\r\n", 400),
    SAMPLE("NUL in a name", GET "X\0A: a\r\n\r\n", 400),
    SAMPLE("high byte in a name", GET "X\303\244: a\r\n\r\n", 400),
    SAMPLE("space in a name", GET "X A: a\r\n\r\n", 400),
    SAMPLE("no colon", GET "Xabc\r\n\r\n", 400),
    SAMPLE("bare LF everywhere", "GET /hello HTTP/1.1\nHost: a\n\n", 400),
    SAMPLE("bare LF after the request line", "GET /hello HTTP/1.1\nHost: a\r\n\r\n", 400),
    SAMPLE("bare LF after a header", "GET /hello HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    SAMPLE("bare LF at the end", GET "X-A: a\r\n\n", 400),
    SAMPLE("bare LF at the end, no field", "GET /hello HTTP/1.0\r\n\n", 400),
    SAMPLE("obs-fold, space", GET "X-A: a\r\n b\r\n\r\n", 400),
    SAMPLE("obs-fold, tab", GET "X-A: a\r\n\tb\r\n\r\n", 400),
    SAMPLE("obs-fold of an empty value", GET "X-A:\r\n b\r\n\r\n", 400),
    SAMPLE("obs-fold of nothing", GET "X-A: a\r\n \r\n\r\n", 400),
    SAMPLE("obs-fold of Connection", GET "Connection: keep-alive,\r\n close\r\n\r\n", 400),
    SAMPLE("obs-fold of a length", POST "Content-Length: 3\r\n 4\r\n\r\nabc", 400),
    SAMPLE("obs-fold first", "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    SAMPLE("no Host", "GET /hello HTTP/1.1\r\nX: a\r\n\r\n", 400),
    SAMPLE("no header at all", "GET /hello HTTP/1.1\r\n\r\n", 400),
    SAMPLE("two Hosts", GET "Host: b\r\n\r\n", 400),
    SAMPLE("two equal Hosts", GET "host: a\r\n\r\n", 400),
    SAMPLE("empty Host", "GET /hello HTTP/1.1\r\nHost:\r\n\r\n", 400),
    SAMPLE("blank in Host", "GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    SAMPLE("path in Host", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    SAMPLE("user in Host", "GET /hello HTTP/1.1\r\nHost: u@b\r\n\r\n", 400),
    SAMPLE("high byte in Host", "GET /hello HTTP/1.1\r\nHost: \303\244\r\n\r\n", 400),
    SAMPLE("two Authorizations", GET "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
    SAMPLE("empty Authorization", GET "Authorization: \r\n\r\n", 400),
    SAMPLE("two Content-Types", POST "Content-Type: a/b\r\ncontent-type: a/b\r\nContent-Length: 0\r\n\r\n", 400),
    SAMPLE("other protocol", "SOURCE /hello ICE/1.0\r\nHost: a\r\n\r\n", 400),
    SAMPLE("RTSP method", "DESCRIBE /hello RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    SAMPLE("RTSP", "OPTIONS /hello RTSP/1.0\r\nHost: a\r\n\r\n", 400),
    SAMPLE("misspelt protocol", "GET /hello HTTX/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("lower-case protocol", "GET /hello http/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("high byte in the target", "GET /h\303\244llo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("0x80 in the query", "GET /hello?\200 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("0xff in the query", "GET /hello?a=\377 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("control character in the target", "GET /hel\001lo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("NUL in the target", "GET /hel\0lo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("DEL in the target", "GET /hel\177lo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("tab in the target", "GET /hel\tlo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("fragment", "GET /hello#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("fragment in the query", "GET /hello?a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("no slash", "GET hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("two spaces before the target", "GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("two spaces behind the target", "GET /hello  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("tab behind the method", "GET\t/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("space behind the version", "GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    SAMPLE("space before the method", " GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("LF before the method", "\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("CR before the method", "\rGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("longer version", "GET /hello HTTP/1.11\r\nHost: a\r\n\r\n", 400),
    SAMPLE("no version", "GET /hello\r\nHost: a\r\n\r\n", 400),
    SAMPLE("HTTP/0.9 as it was", "GET /hello\r\n\r\n", 400),
    SAMPLE("HTTP/0.9", "GET /hello HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    SAMPLE("HTTP/1.2", "GET /hello HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    SAMPLE("HTTP/2.0", "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    SAMPLE("HTTP/3.0", "GET /hello HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    SAMPLE("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    SAMPLE("TLS", "\026\003\001\002\000\001\000\001\374\003\003", 400),
    SAMPLE("garbage", "garbage\r\n\r\n", 400),
    SAMPLE("JSON", "{\"id\":1}\r\n\r\n", 400),
    SAMPLE("SSH", "SSH-2.0-OpenSSH_9.2\r\n", 400),
    SAMPLE("unknown method", "FOO /hello HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    SAMPLE("unknown longer method", "GETX /hello HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    SAMPLE("lower-case method", "get /hello HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    SAMPLE("unknown method, other protocol", "FOO /hello SIP/2.0\r\nHost: a\r\n\r\n", 400),
    SAMPLE("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    SAMPLE("absolute form without host", "GET http:///hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("absolute form with user", "GET http://u:p@a/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("absolute form, other scheme", "GET ftp://a/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    SAMPLE("other expectation", POST "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417),
};
enum { BAD_COUNT = sizeof(bad) / sizeof(bad[0]) };

static const struct sample good[] = {
    SAMPLE("plain", GET "\r\n", 200),
    SAMPLE("empty lines first", "\r\n\r\n" GET "\r\n", 200),
    SAMPLE("empty value", GET "X-A:\r\nX-B: \t \r\n\r\n", 200),
    SAMPLE("no space behind the colon", "GET /hello HTTP/1.1\r\nHost:a\r\n\r\n", 200),
    SAMPLE("obs-text in a value", GET "X-A: \303\244\r\n\r\n", 200),
    SAMPLE("port in Host", "GET /hello HTTP/1.1\r\nHost: a:8080\r\n\r\n", 200),
    SAMPLE("IPv6 Host", "GET /hello HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
    SAMPLE("absolute form", "GET http://other:80/hello?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    SAMPLE("absolute form, https", "GET HTTPS://other/hello HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    SAMPLE("HTTP/1.0 without Host", "GET /hello HTTP/1.0\r\n\r\n", 200),
    SAMPLE("HTTP/1.0, unknown expectation", "POST /echo HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\na", 200),
    SAMPLE("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204),
    SAMPLE("body", POST "Content-Length: 3\r\n\r\nabc", 200),
    SAMPLE("length with spaces and zeros", POST "Content-Length:  003 \r\n\r\nabc", 200),
    SAMPLE("no body", POST "\r\n", 200),
    SAMPLE("length 0", POST "Content-Length: 0\r\n\r\n", 200),
    SAMPLE("upgrade is not taken up", GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    SAMPLE("upgrade with a body", POST "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc", 200),
    SAMPLE("chunks", POST "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
    SAMPLE("repeated harmless header", GET "X-A: 1\r\nX-A: 2\r\n\r\n", 200),
};
enum { GOOD_COUNT = sizeof(good) / sizeof(good[0]) };

Test(http_parse, bad_requests_are_refused_and_the_connection_closed)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < BAD_COUNT; i++) {
        struct client c = client_open(&h);
        client_send(&h, &c, bad[i].request.ptr, bad[i].request.len);
        struct answer a = client_answer(&h, &c);
        cr_expect_eq(a.status, bad[i].status, "%s: %d", bad[i].name, a.status);
        if (a.status) {
            cr_expect(has_text(a.head, "Content-Type: application/problem+json\r\n"), "%s", bad[i].name);
            cr_expect(has_text(a.head, "Connection: close\r\n"), "%s", bad[i].name);
            cr_expect(has_text(a.body, "\"detail\":\""), "%s", bad[i].name);
        }
        cr_expect(client_closed(&h, &c), "%s: not closed", bad[i].name);
        cr_expect_eq(c.in.len, c.read, "%s: more than one answer", bad[i].name);
        client_close(&c);
        pump(&h);
    }
    cr_expect_eq(http_server_stats(h.server)->rejected_total, BAD_COUNT);
    cr_expect_eq(http_server_stats(h.server)->connections_open, 0);
    cr_expect_eq(h.observed, BAD_COUNT);
    harness_stop(&h);
}

Test(http_parse, good_requests_are_answered)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < GOOD_COUNT; i++)
        cr_expect_eq(ask(&h, good[i].request, NULL), good[i].status, "%s", good[i].name);
    cr_expect_eq(http_server_stats(h.server)->rejected_total, 0);
    harness_stop(&h);
}

static void check_every_cut(const struct sample *sample)
{
    struct harness h = {0};
    clock_manual_init(&h.clock, 784111777000);
    struct http_options options = harness_options(&h);
    struct buf whole, cut;
    buf_init(&whole, 1 << 20);
    buf_init(&cut, 1 << 20);
    cr_expect_eq(fuzz_status(&options, sample->request, 0, &whole), sample->status, "%s", sample->name);
    for (size_t at = 1; at < sample->request.len; at++) {
        int status = fuzz_status(&options, sample->request, at, &cut);
        cr_expect(status == sample->status && span_eq(buf_span(&whole), buf_span(&cut)), "%s cut at %zu: %.*s",
                  sample->name, at, (int)cut.len, buf_cstr(&cut));
    }
    buf_done(&whole);
    buf_done(&cut);
}

Test(http_parse, no_verdict_depends_on_the_cut)
{
    for (int i = 0; i < BAD_COUNT; i++)
        check_every_cut(&bad[i]);
    for (int i = 0; i < GOOD_COUNT; i++)
        check_every_cut(&good[i]);
}

Test(http_parse, byte_at_a_time)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < GOOD_COUNT; i++) {
        struct client c = client_open(&h);
        for (size_t at = 0; at < good[i].request.len; at++) {
            cr_expect(client_quiet(&h, &c), "%s: answered after %zu bytes", good[i].name, at);
            client_send(&h, &c, good[i].request.ptr + at, 1);
        }
        cr_expect_eq(client_answer(&h, &c).status, good[i].status, "%s", good[i].name);
        client_close(&c);
    }
    for (int i = 0; i < BAD_COUNT; i++) {
        struct client c = client_open(&h);
        for (size_t at = 0; at < bad[i].request.len; at++)
            client_send(&h, &c, bad[i].request.ptr + at, 1);
        cr_expect_eq(client_answer(&h, &c).status, bad[i].status, "%s", bad[i].name);
        client_close(&c);
    }
    harness_stop(&h);
}

static const struct span whole = {
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n", 83};

Test(http_parse, a_request_cut_anywhere_waits_for_its_rest)
{
    struct harness h;
    harness_start(&h, NULL);
    for (size_t cut = 1; cut < whole.len; cut++) {
        struct client c = client_open(&h);
        client_send(&h, &c, whole.ptr, cut);
        cr_expect(client_quiet(&h, &c), "cut at %zu", cut);
        client_send(&h, &c, whole.ptr + cut, whole.len - cut);
        struct answer a = client_answer(&h, &c);
        cr_expect(a.status == 200 && span_is(a.body, "abc"), "cut at %zu: %d", cut, a.status);
        client_close(&c);
    }
    harness_stop(&h);
}

Test(http_parse, a_request_cut_anywhere_ends_in_408)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c[83];
    for (size_t cut = 0; cut < whole.len; cut++) {
        c[cut] = client_open(&h);
        client_send(&h, &c[cut], whole.ptr, cut);
        cr_expect(client_quiet(&h, &c[cut]), "cut at %zu", cut);
    }
    pass_ms(&h, 199);
    for (size_t cut = 0; cut < whole.len; cut++)
        cr_expect(client_quiet(&h, &c[cut]), "cut at %zu: too early", cut);
    pass_ms(&h, 1);
    cr_expect(client_quiet(&h, &c[0]), "nothing was begun");
    for (size_t cut = 1; cut < whole.len; cut++) {
        cr_expect_eq(client_answer(&h, &c[cut]).status, 408, "cut at %zu", cut);
        cr_expect(client_closed(&h, &c[cut]) && c[cut].in.len == c[cut].read, "cut at %zu", cut);
        client_close(&c[cut]);
    }
    client_close(&c[0]);
    harness_stop(&h);
}

Test(http_parse, a_client_that_stops_sending_gets_no_answer)
{
    struct harness h;
    harness_start(&h, NULL);
    for (size_t cut = 0; cut < whole.len; cut++) {
        struct client c = client_open(&h);
        client_send(&h, &c, whole.ptr, cut);
        shutdown(c.fd, SHUT_WR);
        cr_expect(client_closed(&h, &c) && c.in.len == 0, "cut at %zu", cut);
        client_close(&c);
    }
    cr_expect_eq(http_server_stats(h.server)->connections_open, 0);
    harness_stop(&h);
}
