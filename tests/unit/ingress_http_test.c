/* POST /v1/signals over real HTTP: what is accepted, what is refused and in which words, batches, keys, limits. */
#include "support/ingress_rig.h"

Test(http, one_signal)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, SIGNAL("sig/1+2"));
    cr_assert_eq(reply.status, 202);
    cr_assert_str_eq(reply.body, "{\"status\":\"accepted\",\"signal_id\":\"sig/1+2\"}");
    cr_assert_not_null(strstr(reply.head, "\r\nX-Signal-Id: sig/1+2\r\n"), "%s", reply.head);
    cr_assert_not_null(strstr(reply.head, "\r\nLocation: http://127.0.0.1:8081/v1/signals/sig%2F1%2B2?tenant_id=acme&"
                                          "entitlement_id=sku-1\r\n"),
                       "%s", reply.head);
    cr_assert_not_null(strstr(reply.head, "\r\nContent-Type: application/json\r\n"));
    reply_done(&reply);
    cr_assert_eq(rig.gate->count, 1);
    const struct frame *frame = rig.gate->frames[0].frame;
    cr_assert_eq(frame->header.count, 1);
    cr_assert_eq(frame->header.partition, hash_bucket(SPAN("acme"), SPAN("sku-1"), 16));
    cr_assert(span_is(frame->signals[0].bytes, SIGNAL("sig/1+2")));
    cr_assert(span_is(frame->signals[0].source, "unsigned"));
    cr_assert(frame->signals[0].may_event);
    cr_assert_eq(frame->signals[0].accepted_at_ms, rig.clock.wall_ms);
    cr_assert_eq(frame->signals[0].traceparent.len, (size_t)55);
    rig_done(&rig);
}

Test(http, an_id_is_made_where_none_is_sent)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    const char *body = "{\"tenant_id\":\"acme\",\"entitlement_id\":\"e\",\"type\":\"usage\"}";
    struct reply first = rig_post(&rig, json_type, body);
    struct reply second = rig_post(&rig, json_type, body);
    cr_assert_eq(first.status, 202);
    cr_assert_eq(second.status, 202);
    cr_assert_str_neq(first.body, second.body, "the same body without an id is a new signal");
    cr_assert_null(strstr(second.body, "duplicate"));
    reply_done(&first);
    reply_done(&second);
    rig_done(&rig);
}

Test(http, batch)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, "[" SIGNAL("a") ", " SIGNAL("b") "]");
    cr_assert_eq(reply.status, 202);
    cr_assert_str_eq(reply.body, "{\"results\":[{\"index\":0,\"status\":202,\"signal_id\":\"a\"},"
                                 "{\"index\":1,\"status\":202,\"signal_id\":\"b\"}]}");
    reply_done(&reply);
    cr_assert_eq(rig_signals(&rig), 2);
    reply = rig_post(&rig, json_type, " [ ] ");
    cr_assert_eq(reply.status, 202);
    cr_assert_str_eq(reply.body, "{\"results\":[]}");
    reply_done(&reply);
    cr_assert_eq(rig_signals(&rig), 2);
    rig_done(&rig);
}

Test(http, one_bad_item_is_named_and_the_others_accepted)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, "[" SIGNAL("a") ",{\"typo\":1}," SIGNAL("c") ",7]");
    cr_assert_eq(reply.status, 207);
    cr_assert_str_eq(
        reply.body,
        "{\"results\":[{\"index\":0,\"status\":202,\"signal_id\":\"a\"},"
        "{\"index\":1,\"status\":400,\"problem\":{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
        "\"detail\":\"byte 65: unknown field \\\"typo\\\", did you mean \\\"type\\\"?\"}},"
        "{\"index\":2,\"status\":202,\"signal_id\":\"c\"},"
        "{\"index\":3,\"status\":400,\"problem\":{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
        "\"detail\":\"byte 136: a signal must be a JSON object\"}}]}");
    reply_done(&reply);
    cr_assert_eq(rig_signals(&rig), 2);
    rig_done(&rig);
}

static char *array_of(size_t count)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    for (size_t i = 0; i < count; i++)
        buf_addf(&out, "%c{\"id\":\"%zu\",\"tenant_id\":\"t%zu\",\"sku_id\":\"k\",\"type\":\"u\"}", i ? ',' : '[', i,
                 i % 40);
    buf_add_char(&out, ']');
    return buf_take(&out);
}

Test(http, a_thousand_items_and_one_more)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    char *most = array_of(1000);
    struct reply reply = rig_post(&rig, json_type, most);
    cr_assert_eq(reply.status, 202, "%s", reply.body);
    cr_assert_not_null(strstr(reply.body, "{\"index\":999,\"status\":202,\"signal_id\":\"999\"}]}"));
    reply_done(&reply);
    cr_assert_eq(rig_signals(&rig), 1000);
    cr_assert_leq(rig.gate->count, 16 * 2, "a frame per partition, not per signal");
    char *more = array_of(1001);
    expect(rig_post(&rig, json_type, more), 413, "the array has 1001 signals, at most 1000 are taken in one POST");
    cr_assert_eq(rig_signals(&rig), 1000);
    free(most);
    free(more);
    rig_done(&rig);
}

static char *signal_of_size(size_t size)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    buf_add_str(&out, "{\"id\":\"big\",\"tenant_id\":\"t\",\"sku_id\":\"k\",\"type\":\"u\",\"data\":\"");
    while (out.len < size - 2)
        buf_add_char(&out, 'x');
    buf_add_str(&out, "\"}");
    return buf_take(&out);
}

Test(http, sizes_are_exact)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    char *fits = signal_of_size(65536);
    char *over = signal_of_size(65537);
    expect(rig_post(&rig, json_type, fits), 202, NULL);
    expect(rig_post(&rig, json_type, over), 413, "the signal has 65537 bytes, at most 65536 are taken");
    char *batch;
    cr_assert(asprintf(&batch, "[%s,%s]", over, SIGNAL("x")) > 0);
    expect(rig_post(&rig, json_type, batch), 207, "{\"index\":0,\"status\":413,\"problem\":{");
    cr_assert_eq(rig_signals(&rig), 2);
    free(batch);
    free(fits);
    free(over);
    struct buf body;
    buf_init(&body, 4 << 20);
    buf_add_char(&body, '[');
    while (body.len < (1 << 20) - 1)
        buf_add_char(&body, ' ');
    buf_add_char(&body, ']');
    expect(rig_post(&rig, json_type, buf_cstr(&body)), 202, "{\"results\":[]}");
    buf_add_char(&body, ' ');
    expect(rig_post(&rig, json_type, buf_cstr(&body)), 413, NULL);
    buf_done(&body);
    rig_done(&rig);
}

struct body_case {
    const char *body;
    const char *detail;
};

Test(http, bodies_that_are_no_signals)
{
    static const struct body_case cases[] = {
        {"", "the body is not JSON: byte 0: "},
        {"{\"id\":1,\"id\":2}", "the body is not JSON: byte 8: a second member of the same name"},
        {"{\"id\":\"\xff\"}", "the body is not JSON: byte 7: "},
        {"{\"id\":\"\\u0000\"}", "the body is not JSON: byte 7: "},
        {"{\"id\":NaN}", "the body is not JSON: byte 6: "},
        {"{} {}", "the body is not JSON: byte 3: "},
        {"\"text\"", "byte 0: the body must be a signal (a JSON object) or an array of signals"},
        {"null", "byte 0: the body must be a signal (a JSON object) or an array of signals"},
        {"{}", "tenant_id is missing"},
        {"{\"tenantid\":1}", "byte 2: unknown field \\\"tenantid\\\", did you mean \\\"tenant_id\\\"?"},
    };
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply reply = rig_post(&rig, json_type, cases[i].body);
        cr_assert_not_null(strstr(reply.head, "\r\nContent-Type: application/problem+json\r\n"));
        expect(reply, 400, cases[i].detail);
    }
    cr_assert_eq(rig.gate->count, 0);
    rig_done(&rig);
}

Test(http, a_body_cut_at_every_byte)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    const char *whole = "[" SIGNAL("a") "," SIGNAL("b") "]";
    for (size_t len = 0; len < strlen(whole); len++) {
        char *part = xstrndup(whole, len);
        char message[64];
        snprintf(message, sizeof(message), "the body is not JSON: byte %zu: ", len);
        expect(rig_post(&rig, json_type, part), 400, message);
        free(part);
    }
    cr_assert_eq(rig.gate->count, 0);
    expect(rig_post(&rig, json_type, whole), 202, NULL);
    rig_done(&rig);
}

Test(http, media_types)
{
    static const char *const refused[] = {"",
                                          "Content-Type: application/x-www-form-urlencoded\r\n",
                                          "Content-Type: text/plain\r\n",
                                          "Content-Type: application/json, text/plain\r\n",
                                          "Content-Type: application/json; charset=latin1\r\n",
                                          "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"};
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect(rig_post(&rig, refused[i], SIGNAL("a")), 415,
               i < 5 ? "Content-Type must be application/json" : "Encoding");
    expect(rig_post(&rig, "Content-Type: application/json; charset=utf-8\r\n", SIGNAL("a")), 202, NULL);
    rig_done(&rig);
}

Test(http, without_keys_no_web_page_can_post)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    expect(rig_post(&rig, "Content-Type: application/json\r\nOrigin: http://evil.example\r\n", SIGNAL("a")), 403,
           "requests of web pages");
    expect(rig_post(&rig, "Content-Type: application/json\r\nOrigin: null\r\n", SIGNAL("a")), 403, NULL);
    static const char rebound[] = "POST /v1/signals HTTP/1.1\r\nHost: evil.example:8080\r\nContent-Type: "
                                  "application/json\r\nContent-Length: 2\r\n\r\n[]";
    expect(rig_request(&rig, rebound), 403, "Host must be localhost, 127.0.0.1 or [::1]");
    expect(rig_request(&rig, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 403, "Host must be");
    expect(rig_request(&rig, "GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"), 403,
           "web pages");
    cr_assert_eq(rig.gate->count, 0);
    rig_done(&rig);
}

static const char secret_a[] = "0123456789abcdef";
static const char secret_b[] = "fedcba9876543210";

static struct reply post_signed(struct rig *rig, const char *id, const char *secret, const char *body)
{
    uint8_t mac[SHA256_SIZE];
    char hex[SHA256_HEX + 1] = "";
    char headers[300];
    struct hmac *hmac = hmac_new(span_of(secret));
    hmac_sha256(hmac, span_of(body), mac);
    hmac_free(hmac);
    hex_encode(mac, sizeof(mac), hex);
    snprintf(headers, sizeof(headers), "%sOrigin: https://app.example\r\n%s%s%sX-Signature: sha256=%s\r\n", json_type,
             id ? "X-Key-Id: " : "", id ? id : "", id ? "\r\n" : "", hex);
    return rig_post(rig, headers, body);
}

Test(http, keys)
{
    const struct key_config keys[] = {
        {.id = "ka", .role = CONFIG_ROLE_PUBLISHER, .tenant = "acme", .secret = secret_a, .secret_len = 16},
        {.id = "kb", .role = CONFIG_ROLE_MARKETPLACE, .tenant = "*", .secret = secret_b, .secret_len = 16},
    };
    static const char event[] =
        "{\"id\":\"e1\",\"tenant_id\":\"acme\",\"sku_id\":\"k\",\"type\":\"tai.entitlement.activated\"}";
    struct rig rig;
    rig_init(&rig);
    rig.config.keys = keys;
    rig.config.keys_count = 2;
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, SIGNAL("a"));
    cr_assert_not_null(strstr(reply.head, "\r\nWWW-Authenticate: X-Signature\r\n"), "%s", reply.head);
    expect(reply, 401, "X-Signature is missing");
    expect(post_signed(&rig, "ka", secret_a, SIGNAL("a")), 202, NULL);
    expect(post_signed(&rig, NULL, secret_a, SIGNAL("b")), 202, NULL);
    expect(post_signed(&rig, NULL, secret_a, "[" SIGNAL("c") "]"), 202, NULL);
    expect(post_signed(&rig, "ka", secret_b, SIGNAL("d")), 401, "X-Signature does not match");
    expect(post_signed(&rig, "kz", secret_b, SIGNAL("d")), 401, "X-Key-Id names no key");
    expect(post_signed(&rig, NULL, secret_b, "{\"id\":\"d\",\"tenant_id\":\"zeta\"}"), 401, "X-Key-Id is missing");
    expect(post_signed(&rig, NULL, secret_a, "not json"), 400, "the body is not JSON: byte 1: ");
    expect(post_signed(&rig, "ka", secret_a, "{\"sku_id\":\"k\",\"type\":\"t\"}"), 400, "id is missing");
    expect(post_signed(&rig, "ka", secret_a, "{\"id\":\"1\",\"tenant_id\":\"zeta\",\"sku_id\":\"k\",\"type\":\"t\"}"),
           403, "tenant_id is zeta, but the key may only send for acme");
    expect(post_signed(&rig, "ka", secret_a, event), 403, "only a key with role marketplace");
    expect(post_signed(&rig, "kb", secret_b, event), 202, NULL);
    cr_assert_eq(rig_signals(&rig), 4);
    const struct signal *a = &rig.gate->frames[0].frame->signals[0];
    const struct signal *last = &rig.gate->frames[3].frame->signals[0];
    cr_assert(span_is(a->source, "ka"));
    cr_assert_not(a->may_event);
    cr_assert(span_is(last->source, "kb"));
    cr_assert(last->may_event);
    rig_done(&rig);
}

Test(http, no_keys_beyond_loopback_do_not_start)
{
    struct rig rig;
    rig_init(&rig);
    rig.config.listen = (struct config_address){.text = "0.0.0.0:0", .host = "0.0.0.0"};
    struct error err;
    const struct ingress_options options = {.base = rig.base,
                                            .config = &rig.config,
                                            .kanban = &rig.kanban,
                                            .queue = &rig.gate->base,
                                            .clock = &rig.clock.clock,
                                            .log = &rig.log,
                                            .metrics = rig.metrics};
    cr_assert_eq(ingress_new(&options, &rig.ingress, &err), -EINVAL);
    cr_assert_not_null(strstr(err.text, "but there are no keys"), "%s", err.text);
    rig_done(&rig);
}

Test(http, rate_of_the_process)
{
    struct rig rig;
    rig_init(&rig);
    rig.config.rate = 1;
    rig.config.rate_burst = 2;
    rig_start(&rig);
    struct reply reply = rig_post(&rig, json_type, "[" SIGNAL("a") ",{}," SIGNAL("b") "," SIGNAL("c") "]");
    cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"), "%s", reply.head);
    cr_assert_not_null(strstr(reply.body, "{\"index\":2,\"status\":202,"), "a bad one costs nothing: %s", reply.body);
    expect(
        reply, 207,
        "{\"index\":3,\"status\":429,\"problem\":{\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":"
        "429,\"detail\":\"more than 1 signals a second in all: send it again in 1 s\",\"retry_after\":1}}");
    reply = rig_post(&rig, json_type, SIGNAL("c"));
    cr_assert_not_null(strstr(reply.head, "\r\nRetry-After: 1\r\n"), "%s", reply.head);
    expect(reply, 429, "more than 1 signals a second in all");
    clock_manual_advance(&rig.clock, 1000);
    expect(rig_post(&rig, json_type, SIGNAL("c")), 202, NULL);
    cr_assert_eq(rig_signals(&rig), 3);
    rig_done(&rig);
}

Test(http, rate_of_a_tenant)
{
    struct rig rig;
    rig_init(&rig);
    rig.config.tenant_rate = 1;
    rig.config.tenant_burst = 1;
    rig_start(&rig);
    expect(rig_post(&rig, json_type, SIGNAL("a")), 202, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("b")), 429, "more than 1 signals a second of this tenant");
    expect(rig_post(&rig, json_type, "{\"tenant_id\":\"beta\",\"sku_id\":\"k\",\"type\":\"t\"}"), 202, NULL);
    rig_done(&rig);
}

Test(http, traceparent)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char headers[200];
    snprintf(headers, sizeof(headers), "%straceparent: %s\r\n", json_type, trace);
    expect(rig_post(&rig, headers, SIGNAL("a")), 202, NULL);
    expect(rig_post(&rig, "Content-Type: application/json\r\ntraceparent: bad\r\n", SIGNAL("b")), 202, NULL);
    cr_assert(span_is(rig.gate->frames[0].frame->signals[0].traceparent, trace));
    struct span made = rig.gate->frames[1].frame->signals[0].traceparent;
    cr_assert_eq(made.len, (size_t)55);
    cr_assert_not(span_is(made, trace));
    rig_done(&rig);
}

Test(http, other_routes)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    struct reply reply = rig_request(&rig, "GET /v1/signals HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert_not_null(strstr(reply.head, "\r\nAllow: POST"), "%s", reply.head);
    expect(reply, 405, NULL);
    expect(rig_request(&rig, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404, NULL);
    expect(rig_request(&rig, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "{\"status\":\"pass\"}");
    expect(rig_request(&rig, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "{\"status\":\"pass\"}");
    reply = rig_request(&rig, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    cr_assert_not_null(strstr(reply.head, "\r\nContent-Type: application/health+json\r\n"));
    expect(reply, 200, "\"kanban:depth\":[{\"observedValue\":0,\"observedUnit\":\"signals\",\"status\":\"pass\"}]");
    rig_done(&rig);
}

Test(http, metrics)
{
    static const char *const lines[] = {
        "tai_ingress_signals_total{result=\"accepted\"} 2\n",
        "tai_ingress_signals_total{result=\"duplicate\"} 1\n",
        "tai_ingress_signals_total{result=\"invalid\"} 3\n",
        "tai_ingress_signals_total{result=\"forbidden\"} 1\n",
        "tai_ingress_signals_total{result=\"too_large\"} 0\n",
        "tai_http_requests_total{listener=\"ingress\",route=\"/v1/signals\",code=\"2xx\"} 4\n",
        "tai_http_requests_total{listener=\"ingress\",route=\"/v1/signals\",code=\"4xx\"} 3\n",
        "tai_http_requests_total{listener=\"ingress\",route=\"none\",code=\"4xx\"} 1\n",
        "tai_http_request_duration_seconds_count{listener=\"ingress\",route=\"/v1/signals\"} 7\n",
        "tai_http_connections_total{listener=\"ingress\"} 9\n",
        "tai_http_connections{listener=\"ingress\"} 1\n",
    };
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    expect(rig_post(&rig, json_type, SIGNAL("a")), 202, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("b")), 202, NULL);
    expect(rig_post(&rig, json_type, SIGNAL("b")), 202, "\"duplicate\":true");
    expect(rig_post(&rig, json_type, "[{}]"), 207, NULL);
    expect(rig_post(&rig, json_type, "x"), 400, NULL);
    expect(rig_post(&rig, "", "x"), 415, NULL);
    expect(rig_post(&rig, "Content-Type: application/json\r\nOrigin: http://x\r\n", "x"), 403, NULL);
    expect(rig_request(&rig, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404, NULL);
    rig_turn(&rig);
    struct reply reply = rig_request(&rig, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    cr_assert_eq(reply.status, 200);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert_not_null(strstr(reply.body, lines[i]), "no %s in\n%s", lines[i], reply.body);
    reply_done(&reply);
    rig_done(&rig);
}
