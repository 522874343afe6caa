/* Routes, parameters, the query, what a handler can ask and answer, and the answers' exact form. */
#include "support/http_harness.h"

#include "common/json/json.h"

#define HOST " HTTP/1.1\r\nHost: a\r\n\r\n"

static void expect_body(struct harness *h, const char *target, int status, const char *body)
{
    struct client c = client_open(h);
    struct buf request;
    buf_init(&request, 65536);
    buf_addf(&request, "GET %s" HOST, target);
    client_send(h, &c, request.data, request.len);
    struct answer a = client_answer(h, &c);
    cr_expect_eq(a.status, status, "%s: %d", target, a.status);
    if (body)
        cr_expect(span_is(a.body, body), "%s: %.*s", target, (int)a.body.len, a.body.ptr);
    buf_done(&request);
    client_close(&c);
}

Test(http_route, path_parameters)
{
    struct harness h;
    harness_start(&h, NULL);
    expect_body(&h, "/items/7", 200, "[7][none][none]");
    expect_body(&h, "/items/7/parts/x", 200, "[7][x][none]");
    expect_body(&h, "/items/a%2Fb%20c/parts/%c3%A4", 200, "[a/b c][\303\244][none]");
    expect_body(&h, "/items/a+b", 200, "[a+b][none][none]");
    expect_body(&h, "/items/%7Bid%7D?x", 200, "[{id}][none][none]");
    expect_body(&h, "http://other/items/7/parts/8?9", 200, "[7][8][none]");
    static const char *const missing[] = {"/items",
                                          "/items/",
                                          "/items/7/",
                                          "/items/7/parts",
                                          "/items/7/parts/",
                                          "/items//parts/x",
                                          "/items/7/other/x",
                                          "/items/7/parts/x/y",
                                          "/",
                                          "/hello/",
                                          "//hello",
                                          "/Hello",
                                          "/hell",
                                          "/helloo",
                                          "/%68ello"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        expect_body(&h, missing[i], 404, NULL);
    static const char *const malformed[] = {"/items/%",   "/items/%2",          "/items/%zz",
                                            "/items/%00", "/items/a%2/parts/b", "/items/a/parts/%g1"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        expect_body(&h, malformed[i], 400, NULL);
    harness_stop(&h);
}

Test(http_route, query)
{
    static const struct {
        const char *query, *body;
    } samples[] = {
        {"", "[none][none][none]"},
        {"?", "[none][none][none]"},
        {"?a=1", "[1][none][none]"},
        {"?a=1&b=2", "[1][2][none]"},
        {"?b=2&&a=1&", "[1][2][none]"},
        {"?a", "[][none][none]"},
        {"?a=", "[][none][none]"},
        {"?a&b", "[][][none]"},
        {"?a=1&a=2", "[1][none][none]"},
        {"?a=x+y%2Bz", "[x y+z][none][none]"},
        {"?a=b=c", "[b=c][none][none]"},
        {"?a=%26%3d&b=%25", "[&=][%][none]"},
        {"?c+d=1", "[none][none][1]"},
        {"?c%20d=1", "[none][none][1]"},
        {"?%61=1", "[1][none][none]"},
        {"?a=?/:@", "[?/:@][none][none]"},
        {"?=x&a=1", "[1][none][none]"},
        {"?aa=1", "[none][none][none]"},
        {"?a=%C3%A4", "[\303\244][none][none]"},
    };
    static const char *const malformed[] = {"?a=%", "?a=%1",       "?a=%zz", "?%",    "?a=%00",
                                            "?%00", "?a=1&b=%1&c", "?a%=1",  "?a=%+1"};
    struct harness h;
    harness_start(&h, NULL);
    char target[64];
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        snprintf(target, sizeof(target), "/query%s", samples[i].query);
        expect_body(&h, target, 200, samples[i].body);
    }
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        snprintf(target, sizeof(target), "/query%s", malformed[i]);
        expect_body(&h, target, 400, NULL);
    }
    harness_stop(&h);
}

Test(http_route, a_bad_query_keeps_the_connection)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c, "GET /query?a=%" HOST "GET /nothing" HOST "PATCH /hello" HOST "GET /hello" HOST);
    cr_expect_eq(client_answer(&h, &c).status, 400);
    cr_expect_eq(client_answer(&h, &c).status, 404);
    cr_expect_eq(client_answer(&h, &c).status, 405);
    cr_expect_eq(client_answer(&h, &c).status, 200);
    cr_expect_eq(http_server_stats(h.server)->rejected_total, 3);
    cr_expect_eq(http_server_stats(h.server)->requests_total, 4);
    client_close(&c);
    harness_stop(&h);
}

static void expect_allow(struct harness *h, const char *request, const char *allow)
{
    struct client c = client_open(h);
    client_say(h, &c, request);
    struct answer a = client_answer(h, &c);
    cr_expect_eq(a.status, 405, "%s", request);
    cr_expect(has_text(a.head, allow), "%s: %.*s", request, (int)a.head.len, a.head.ptr);
    client_close(&c);
}

Test(http_route, method_not_allowed_says_what_is)
{
    struct harness h;
    harness_start(&h, NULL);
    expect_allow(&h, "DELETE /hello" HOST, "\r\nAllow: GET, HEAD, POST\r\n");
    expect_allow(&h, "OPTIONS /hello" HOST, "\r\nAllow: GET, HEAD, POST\r\n");
    expect_allow(&h, "TRACE /only" HOST, "\r\nAllow: PUT\r\n");
    expect_allow(&h, "POST /items/%zz" HOST, "\r\nAllow: GET, HEAD\r\n");
    harness_stop(&h);
}

Test(http_route, head_is_get_without_the_body)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c = client_open(&h);
    client_say(&h, &c,
               "HEAD /hello" HOST "HEAD /items/x/parts/y" HOST "HEAD /nothing" HOST "HEAD /only" HOST
               "GET /hello" HOST);
    struct answer a = client_answer_of(&h, &c, true);
    cr_expect(a.status == 200 && has_text(a.head, "\r\nContent-Length: 5\r\n"));
    a = client_answer_of(&h, &c, true);
    cr_expect(a.status == 200 && has_text(a.head, "\r\nContent-Length: 12\r\n"));
    cr_expect_eq(client_answer_of(&h, &c, true).status, 404);
    cr_expect_eq(client_answer_of(&h, &c, true).status, 405, "HEAD of what cannot be got");
    a = client_answer(&h, &c);
    cr_expect(a.status == 200 && span_is(a.body, "hello"), "nothing of a body came before");
    client_close(&c);
    harness_stop(&h);
}

Test(http_route, the_answer_byte_for_byte)
{
    struct harness h;
    harness_start(&h, NULL);
    struct buf text;
    buf_init(&text, 65536);
    ask(&h, SPAN("GET /hello" HOST), &text);
    cr_expect_str_eq(text.data, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: test\r\n"
                                "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    clock_manual_advance(&h.clock, 1000);
    ask(&h, SPAN("OPTIONS *" HOST), &text);
    cr_expect_str_eq(text.data,
                     "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:38 GMT\r\nServer: test\r\n\r\n");
    buf_done(&text);
    harness_stop(&h);
}

static void expect_close(struct harness *h, const char *request, bool closes)
{
    struct client c = client_open(h);
    client_say(h, &c, request);
    struct answer a = client_answer(h, &c);
    cr_expect_eq(a.status, 200, "%s", request);
    cr_expect_eq(has_text(a.head, "\r\nConnection: close\r\n"), closes, "%s", request);
    cr_expect_eq(closes ? client_closed(h, &c) : !client_quiet(h, &c), closes, "%s", request);
    client_close(&c);
}

Test(http_route, keep_alive)
{
    struct harness h;
    harness_start(&h, NULL);
    expect_close(&h, "GET /hello" HOST, false);
    expect_close(&h, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true);
    expect_close(&h, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", true);
    expect_close(&h, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", false);
    expect_close(&h, "GET /hello HTTP/1.0\r\nHost: a\r\n\r\n", true);
    expect_close(&h, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true);
    expect_close(&h, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /hello" HOST, true);
    harness_stop(&h);
}

/* The held request of the test, asked over a connection of its own. */
static struct http_request *hold(struct harness *h, struct client *c, const char *request)
{
    unsigned before = h->held_count;
    *c = client_open(h);
    client_say(h, c, request);
    pump(h);
    cr_assert_eq(h->held_count, before + 1);
    return h->held[before];
}

Test(http_route, what_a_handler_can_ask)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c;
    clock_manual_advance(&h.clock, 1234);
    int64_t began_us = h.clock.mono_us;
    struct http_request *req =
        hold(&h, &c,
             "POST http://b/later?q=1 HTTP/1.1\r\nHost: a\r\nX-Key:  some value \t\r\nx-kEy: two\r\n"
             "X-Empty:\r\nContent-Length: 4\r\n\r\nbody");
    cr_expect(span_is(http_method(req), "POST"));
    cr_expect(span_is(http_target(req), "http://b/later?q=1"));
    cr_expect(span_is(http_path(req), "/later"));
    cr_expect(span_is(http_header(req, "X-KEY"), "some value"));
    cr_expect_eq(http_header_count(req, "x-key"), 2);
    cr_expect_eq(http_header_count(req, "x-ke"), 0);
    cr_expect(http_header(req, "x-empty").ptr && http_header(req, "x-empty").len == 0);
    cr_expect_null(http_header(req, "x-other").ptr);
    cr_expect(span_is(http_body(req), "body"));
    cr_expect(http_from_loopback(req));
    cr_expect_eq(http_started_us(req), began_us);
    clock_manual_advance(&h.clock, 7);
    http_reply(req, 201, NULL, (struct span){0});
    cr_expect_eq(client_answer(&h, &c).status, 201);
    cr_expect_eq(h.observed, 1);
    cr_expect_eq(h.observed_status, 201);
    cr_expect_str_eq(h.observed_route->path, "/later");
    cr_expect_eq(h.observed_us, 7000);
    client_close(&c);
    harness_stop(&h);
}

Test(http_route, headers_of_an_answer)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c;
    struct http_request *req = hold(&h, &c, "GET /later" HOST);
    http_add_header(req, "Location", SPAN("/a\r\nSet-Cookie: b\nc\0d"));
    http_add_header(req, "X-Signal-Id", SPAN("7"));
    http_reply(req, 202, "application/json", SPAN("{}"));
    struct answer a = client_answer(&h, &c);
    cr_expect(has_text(a.head, "\r\nLocation: /a  Set-Cookie: b c d\r\nX-Signal-Id: 7\r\n\r\n"), "%.*s",
              (int)a.head.len, a.head.ptr);
    client_close(&c);
    req = hold(&h, &c, "GET /later" HOST);
    for (int i = 0; i < 1000; i++)
        http_add_header(req, "X-Much", SPAN("too much of it"));
    http_reply(req, 200, "text/plain", SPAN("x"));
    a = client_answer(&h, &c);
    cr_expect_eq(a.status, 500, "more headers than fit");
    client_close(&c);
    harness_stop(&h);
}

Test(http_route, statuses_without_a_body)
{
    struct harness h;
    harness_start(&h, NULL);
    static const int statuses[] = {204, 304};
    for (int i = 0; i < 2; i++) {
        struct client c;
        http_reply(hold(&h, &c, "GET /later" HOST), statuses[i], NULL, SPAN("not sent"));
        struct answer a = client_answer(&h, &c);
        cr_expect_eq(a.status, statuses[i]);
        cr_expect(!has_text(a.head, "Content-Length"));
        client_say(&h, &c, "GET /hello" HOST);
        cr_expect(span_is(client_answer(&h, &c).body, "hello"));
        client_close(&c);
    }
    harness_stop(&h);
}

static void expect_problem(struct answer *a, int status, const char *title, const char *detail)
{
    struct json_doc doc;
    struct buf scratch;
    struct error err = {{0}};
    json_init(&doc);
    buf_init(&scratch, 65536);
    cr_expect_eq(a->status, status);
    cr_expect(has_text(a->head, "\r\nContent-Type: application/problem+json\r\n"));
    cr_assert_eq(json_parse(&doc, a->body, &err), 0, "%s: %.*s", err.text, (int)a->body.len, a->body.ptr);
    cr_expect(span_is(json_text(&doc, json_get(&doc, doc.nodes, "type"), &scratch), "about:blank"));
    cr_expect(span_is(json_text(&doc, json_get(&doc, doc.nodes, "title"), &scratch), title));
    cr_expect_eq(atoi(json_raw(&doc, json_get(&doc, doc.nodes, "status")).ptr), status);
    struct span got = json_text(&doc, json_get(&doc, doc.nodes, "detail"), &scratch);
    cr_expect(span_is(got, detail), "%.*s", (int)got.len, got.ptr);
    buf_done(&scratch);
    json_done(&doc);
}

Test(http_route, problems)
{
    struct harness h;
    harness_start(&h, NULL);
    struct client c;
    http_problem(hold(&h, &c, "GET /later" HOST), 422, ",\"index\":3", "byte %d: a \"quote\", \303\244 and \xff", 17);
    struct answer a = client_answer(&h, &c);
    expect_problem(&a, 422, "Unprocessable Content", "byte 17: a \"quote\", \303\244 and ?");
    cr_expect(has_text(a.body, ",\"index\":3}"));
    cr_expect(!has_text(a.head, "Retry-After"));
    client_close(&c);
    static const int later[] = {429, 503};
    for (int i = 0; i < 2; i++) {
        http_problem(hold(&h, &c, "GET /later" HOST), later[i], NULL, "later");
        a = client_answer(&h, &c);
        expect_problem(&a, later[i], http_status_text(later[i]), "later");
        cr_expect(has_text(a.head, "\r\nRetry-After: 1\r\n"));
        client_close(&c);
    }
    struct http_request *req = hold(&h, &c, "GET /later" HOST);
    http_add_header(req, "retry-after", SPAN("30"));
    http_problem(req, 503, NULL, "%s", "later");
    a = client_answer(&h, &c);
    cr_expect(has_text(a.head, "\r\nretry-after: 30\r\n") && !has_text(a.head, "Retry-After: 1"));
    client_close(&c);
    struct buf item;
    buf_init(&item, 1024);
    http_problem_json(&item, 400, NULL, "%s", "no");
    cr_expect(span_is(buf_span(&item),
                      "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"no\"}"));
    buf_done(&item);
    harness_stop(&h);
}

Test(http_route, malformed_routes_are_refused)
{
    static const char *const paths[] = {"hello", "/a{b}", "/{a}b",
                                        "/{}",   "/{a",   "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"};
    struct harness h;
    harness_start(&h, NULL);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct http_route routes[] = {{"GET", paths[i], on_hello}, {NULL}};
        struct http_options options = h.options;
        struct http_server *server = NULL;
        options.routes = routes;
        cr_expect_eq(http_server_new(&options, &server, NULL), -EINVAL, "%s", paths[i]);
    }
    harness_stop(&h);
}
