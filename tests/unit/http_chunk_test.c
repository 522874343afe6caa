/* Chunked bodies: what is taken, what is refused, and that cuts and limits change nothing. */
#include "support/http_harness.h"

#define CHUNKED "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *name, *chunks;
    int status;
    const char *body;
} samples[] = {
    {"empty", "0\r\n\r\n", 200, ""},
    {"one", "3\r\nabc\r\n0\r\n\r\n", 200, "abc"},
    {"several", "3\r\nabc\r\n1\r\nd\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, "abcd0123456789"},
    {"lower case", "a\r\n0123456789\r\n0\r\n\r\n", 200, "0123456789"},
    {"leading zeros", "0000000000000003\r\nabc\r\n000\r\n\r\n", 200, "abc"},
    {"CRLF as data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", 200, "\r\n\r\n"},
    {"extensions", "3;a\r\nabc\r\n1;b=c;d=\"e f\"\r\nd\r\n0;last\r\n\r\n", 200, "abcd"},
    {"trailers", "3\r\nabc\r\n0\r\nX-A: b\r\nContent-Length: 99\r\nHost: c\r\nX-B:\r\n\r\n", 200, "abc"},
    {"0x", "0x3\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"plus", "+3\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"minus", "-3\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"no size", "\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"only an extension", ";a\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"no digit", "g\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"space first", " 3\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"space behind", "3 \r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"tab behind", "3\t\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"17 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"bare LF behind the size", "3\nabc\r\n0\r\n\r\n", 400, NULL},
    {"bare CR behind the size", "3\rabc\r\n0\r\n\r\n", 400, NULL},
    {"bare LF behind the data", "3\r\nabc\n0\r\n\r\n", 400, NULL},
    {"bare CR behind the data", "3\r\nabc\r0\r\n\r\n", 400, NULL},
    {"bare LF at the end", "3\r\nabc\r\n0\r\n\n", 400, NULL},
    {"bare LF behind the last size", "3\r\nabc\r\n0\n\r\n", 400, NULL},
    {"longer than its size", "3\r\nabcd\r\n0\r\n\r\n", 400, NULL},
    {"shorter than its size", "3\r\nab\r\n0\r\n\r\n", 400, NULL},
    {"LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"control character in an extension", "3;a\001\r\nabc\r\n0\r\n\r\n", 400, NULL},
    {"trailer without a name", "0\r\n: a\r\n\r\n", 400, NULL},
    {"trailer without a colon", "0\r\nabc\r\n\r\n", 400, NULL},
    {"space before the trailer's colon", "0\r\nX : a\r\n\r\n", 400, NULL},
    {"folded trailer", "0\r\nX: a\r\n b\r\n\r\n", 400, NULL},
    {"LF in a trailer", "0\r\nX: a\nY: b\r\n\r\n", 400, NULL},
    {"control character in a trailer", "0\r\nX: \001\r\n\r\n", 400, NULL},
    {"size beyond the cap", "100001\r\n", 413, NULL},
    {"size beyond 32 bits", "100000001\r\n", 413, NULL},
    {"size beyond 63 bits", "ffffffffffffffff\r\n", 413, NULL},
};
enum { COUNT = sizeof(samples) / sizeof(samples[0]) };

Test(http_chunk, every_sample_over_a_socket)
{
    struct harness h;
    harness_start(&h, NULL);
    for (int i = 0; i < COUNT; i++) {
        struct client c = client_open(&h);
        client_send(&h, &c, CHUNKED, strlen(CHUNKED));
        client_send(&h, &c, samples[i].chunks, strlen(samples[i].chunks));
        struct answer a = client_answer(&h, &c);
        cr_expect_eq(a.status, samples[i].status, "%s: %d", samples[i].name, a.status);
        if (samples[i].status == 200)
            cr_expect(span_is(a.body, samples[i].body), "%s: %.*s", samples[i].name, (int)a.body.len, a.body.ptr);
        else
            cr_expect(client_closed(&h, &c) && c.in.len == c.read, "%s: closed after one answer", samples[i].name);
        client_close(&c);
    }
    harness_stop(&h);
}

Test(http_chunk, cuts_change_nothing)
{
    struct harness h = {0};
    clock_manual_init(&h.clock, 0);
    struct http_options options = harness_options(&h);
    struct buf whole, cut, input;
    buf_init(&whole, 1 << 20);
    buf_init(&cut, 1 << 20);
    buf_init(&input, 1 << 20);
    for (int i = 0; i < COUNT; i++) {
        buf_clear(&input);
        buf_add_str(&input, CHUNKED);
        buf_add_str(&input, samples[i].chunks);
        buf_add_str(&input, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"); /* a request behind it stays one */
        cr_expect_eq(fuzz_status(&options, buf_span(&input), 0, &whole), samples[i].status, "%s", samples[i].name);
        cr_expect_eq(has_text(buf_span(&whole), "hello"), samples[i].status == 200, "%s", samples[i].name);
        for (size_t at = 1; at < input.len; at++) {
            fuzz_status(&options, buf_span(&input), at, &cut);
            cr_expect(span_eq(buf_span(&whole), buf_span(&cut)), "%s cut at %zu", samples[i].name, at);
        }
    }
    buf_done(&whole);
    buf_done(&cut);
    buf_done(&input);
}

Test(http_chunk, a_large_body_in_small_chunks)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    struct buf request;
    buf_init(&request, 16 << 20);
    buf_add_str(&request, CHUNKED);
    for (int i = 0; i < 100000; i++)
        buf_addf(&request, "5\r\n%05d\r\n", i);
    buf_add_str(&request, "0\r\n\r\n");
    client_send(&h, &c, request.data, request.len);
    struct answer a = client_answer(&h, &c);
    cr_assert_eq(a.status, 200);
    cr_assert_eq(a.body.len, 500000);
    for (int i = 0; i < 100000; i++) {
        char want[16];
        snprintf(want, sizeof(want), "%05d", i);
        cr_assert(memcmp(a.body.ptr + (size_t)i * 5, want, 5) == 0, "at %d", i);
    }
    buf_done(&request);
    client_close(&c);
    harness_stop(&h);
}

/* One request whose part of the given kind has so many bytes. */
static int ask_with(struct harness *h, const char *before, size_t count, const char *after)
{
    struct buf request;
    buf_init(&request, 64 << 20);
    buf_add_str(&request, CHUNKED);
    buf_add_str(&request, before);
    memset(buf_reserve(&request, count), 'x', count);
    request.len += count;
    buf_add_str(&request, after);
    int status = ask(h, buf_span(&request), NULL);
    buf_done(&request);
    return status;
}

Test(http_chunk, limits)
{
    struct harness h;
    harness_start(&h, NULL);
    cr_expect_eq(ask_with(&h, "100000\r\n", 1 << 20, "\r\n0\r\n\r\n"), 200, "exactly the cap");
    cr_expect_eq(ask_with(&h, "100000\r\n", 1 << 20, "\r\n1\r\nx\r\n0\r\n\r\n"), 413,
                 "one byte over, in a chunk of its own");
    cr_expect_eq(ask_with(&h, "100001\r\n", (1 << 20) + 1, "\r\n0\r\n\r\n"), 413, "one byte over");
    cr_expect_eq(ask_with(&h, "1;", 16384, "\r\nx\r\n0\r\n\r\n"), 200, "the longest extension");
    cr_expect_eq(ask_with(&h, "1;", 16385, "\r\nx\r\n0\r\n\r\n"), 413, "one byte more");
    cr_expect_eq(ask_with(&h, "1;", 100000, "\r\nx\r\n0\r\n\r\n"), 413, "an endless extension");
    cr_expect_eq(ask_with(&h, "0\r\nX:", 16382, "\r\n\r\n"), 200, "the longest trailer");
    cr_expect_eq(ask_with(&h, "0\r\nX:", 16383, "\r\n\r\n"), 431, "one byte more");
    cr_expect_eq(ask_with(&h, "0\r\n", 100000, ":\r\n\r\n"), 431, "an endless trailer name");
    harness_stop(&h);
}
