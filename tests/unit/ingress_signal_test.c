/* The signal table, rule by rule: what is taken, with which defaults, and the exact words of every refusal. */
#include "ingress/signal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIGNAL_MAX = 64 * 1024 };
static const int64_t NOW_MS = 1767225600000;

struct rig {
    struct signal_reader reader;
    struct json_doc doc;
    struct arena arena;
    struct buf scratch;
    struct entropy entropy;
    struct signal signal;
    struct error err;
};

static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

static void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    json_init(&rig->doc);
    buf_init(&rig->scratch, SIGNAL_SCRATCH);
    memset(rig->entropy.bytes, 0x5a, sizeof(rig->entropy.bytes));
    rig->entropy.left = sizeof(rig->entropy.bytes);
    rig->reader = (struct signal_reader){
        .hasher = hasher_new(),
        .sender = {.may_event = true, .source = SPAN("unsigned")},
        .traceparent = span_of(trace),
        .now_ms = NOW_MS,
        .max_signal = SIGNAL_MAX,
        .entropy = &rig->entropy,
        .arena = &rig->arena,
        .scratch = &rig->scratch,
    };
}

static void rig_done(struct rig *rig)
{
    hasher_free((struct hasher *)rig->reader.hasher);
    json_done(&rig->doc);
    arena_done(&rig->arena);
    buf_done(&rig->scratch);
}

static int read_text(struct rig *rig, struct span text)
{
    cr_assert_eq(json_parse(&rig->doc, text, &rig->err), 0, "%s: %s", text.ptr, rig->err.text);
    return signal_read(&rig->reader, &rig->doc, &rig->doc.nodes[0], text, &rig->signal, &rig->err);
}

static void assert_span(struct span got, const char *expected)
{
    cr_assert(span_is(got, expected), "got \"%.*s\", expected \"%s\"", (int)got.len, got.ptr, expected);
}

/* A signal with the given members besides those it must have. */
static char *with(const char *members)
{
    char *text;
    cr_assert(asprintf(&text, "{\"tenant_id\":\"acme\",\"sku_id\":\"sku-1\",\"type\":\"usage\"%s%s}",
                       *members ? "," : "", members) > 0);
    return text;
}

Test(signal, defaults)
{
    struct rig rig;
    rig_init(&rig);
    const char *text = "{\"tenant_id\":\"acme\",\"sku_id\":\"sku-1\",\"type\":\"usage\"}";
    cr_assert_eq(read_text(&rig, span_of(text)), 0, "%s", rig.err.text);
    const struct signal *s = &rig.signal;
    assert_span(s->tenant_id, "acme");
    assert_span(s->sku_id, "sku-1");
    assert_span(s->entitlement_id, "sku-1");
    assert_span(s->type, "usage");
    assert_span(s->source, "unsigned");
    assert_span(s->data, "null");
    assert_span(s->traceparent, trace);
    cr_assert_eq(s->severity, SEVERITY_INFO);
    cr_assert_eq(s->time_ms, NOW_MS);
    cr_assert_eq(s->accepted_at_ms, NOW_MS);
    cr_assert_eq(s->redrive, 0);
    cr_assert(s->may_event);
    char id[UUID_TEXT + 1];
    uint8_t random[10];
    memset(random, 0x5a, sizeof(random));
    uuid7(NOW_MS, random, id);
    assert_span(s->id, id);
    rig_done(&rig);
}

Test(signal, all_fields)
{
    struct rig rig;
    rig_init(&rig);
    const char *text =
        " {\"id\":\"s:1/@+=~-._Z\",\"tenant_id\":\"A.c-m_e\",\"entitlement_id\":\"e/1\",\"sku_id\":\"k\",\"type\":"
        "\"a.b_c-9\",\"source\":\"https://x.example/a?b#c\",\"time\":\"1970-01-01T01:00:01.5+01:00\",\"severity\":"
        "\"critical\",\"data\":{ \"cost\" : 1.50 },\"traceparent\":"
        "\"00-11111111111111111111111111111111-2222222222222222-00\"}\n";
    cr_assert_eq(read_text(&rig, span_of(text)), 0, "%s", rig.err.text);
    const struct signal *s = &rig.signal;
    assert_span(s->id, "s:1/@+=~-._Z");
    assert_span(s->tenant_id, "A.c-m_e");
    assert_span(s->entitlement_id, "e/1");
    assert_span(s->sku_id, "k");
    assert_span(s->source, "https://x.example/a?b#c");
    assert_span(s->data, "{ \"cost\" : 1.50 }");
    assert_span(s->traceparent, "00-11111111111111111111111111111111-2222222222222222-00");
    cr_assert_eq(s->severity, SEVERITY_CRITICAL);
    cr_assert_eq(s->time_ms, 1500);
    cr_assert(s->bytes.ptr == text && s->bytes.len == strlen(text), "the hash covers the body as it came");
    cr_assert(s->data.ptr > text && s->data.ptr < text + strlen(text), "data is kept where it stands");
    uint8_t sha[SHA256_SIZE];
    hasher_sha256((struct hasher *)rig.reader.hasher, span_of(text), sha);
    cr_assert_eq(memcmp(sha, s->sha256, sizeof(sha)), 0);
    rig_done(&rig);
}

Test(signal, data_of_any_kind_is_kept)
{
    static const char *const values[] = {
        "null", "true", "0", "-1.50e+2", "\"\\u00e4\"", "[]", "{}", "\"\"", "[ 1 , { \"a\" : [ ] } ]"};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char *member;
        cr_assert(asprintf(&member, "\"data\" : %s ", values[i]) > 0);
        char *text = with(member);
        cr_assert_eq(read_text(&rig, span_of(text)), 0, "%s", rig.err.text);
        assert_span(rig.signal.data, values[i]);
        free(text);
        free(member);
    }
    rig_done(&rig);
}

Test(signal, escapes_are_read)
{
    struct rig rig;
    rig_init(&rig);
    char *text = with("\"s\\u006furce\":\"https:\\/\\/x.example\\/\",\"id\":\"a\\u0062c\",\"severity\":\"\\u0069nfo\"");
    cr_assert_eq(read_text(&rig, span_of(text)), 0, "%s", rig.err.text);
    assert_span(rig.signal.source, "https://x.example/");
    assert_span(rig.signal.id, "abc");
    free(text);
    rig_done(&rig);
}

#define ID_RULE       "must be a string of 1 to 128 characters of A-Z a-z 0-9 . _ : @ / + = ~ -"
#define TENANT_RULE   "must be a string of 1 to 64 characters of A-Z a-z 0-9 . _ -, the first of them not _"
#define TYPE_RULE     "must be a string of 1 to 128 characters of a-z 0-9 . _ -"
#define SOURCE_RULE   "must be a string with a URI reference (RFC 3986) of 1 to 256 characters"
#define TIME_RULE     "must be a string with an RFC 3339 time, like 2026-01-31T12:00:00Z"
#define SEVERITY_RULE "must be \"info\", \"warning\" or \"critical\""
#define TRACE_RULE    "must be a W3C trace context 00-<32 hex>-<16 hex>-<2 hex>, lower case, ids not all zero"

struct refusal {
    const char *text;
    const char *message;
};

static const struct refusal refusals[] = {
    {"[]", "byte 0: a signal must be a JSON object"},
    {" 7", "byte 1: a signal must be a JSON object"},
    {"null", "byte 0: a signal must be a JSON object"},
    {"{}", "tenant_id is missing"},
    {"{\"tenant_id\":\"a\"}", "entitlement_id is missing: a signal names entitlement_id, sku_id or both"},
    {"{\"tenant_id\":\"a\",\"sku_id\":\"b\"}", "type is missing: what kind of event it is, like \"usage.report\""},
    {"{\"id\":\"\"}", "byte 6: id " ID_RULE},
    {"{\"id\":7}", "byte 6: id " ID_RULE},
    {"{\"id\":null}", "byte 6: id " ID_RULE},
    {"{\"id\":\"a b\"}", "byte 6: id " ID_RULE},
    {"{\"id\":\"a%\"}", "byte 6: id " ID_RULE},
    {"{\"id\":\"\xc3\xa4\"}", "byte 6: id " ID_RULE},
    {"{\"id\":\"a\\\"b\"}", "byte 6: id " ID_RULE},
    {"{\"id\":\"a\\nb\"}", "byte 6: id " ID_RULE},
    {"{\"entitlement_id\":\"\"}", "byte 18: entitlement_id " ID_RULE},
    {"{\"entitlement_id\":\"a?\"}", "byte 18: entitlement_id " ID_RULE},
    {"{\"sku_id\":[\"a\"]}", "byte 10: sku_id " ID_RULE},
    {"{\"tenant_id\":\"\"}", "byte 13: tenant_id " TENANT_RULE},
    {"{\"tenant_id\":\"_system\"}", "byte 13: tenant_id " TENANT_RULE},
    {"{\"tenant_id\":\"a/b\"}", "byte 13: tenant_id " TENANT_RULE},
    {"{\"tenant_id\":\"a:b\"}", "byte 13: tenant_id " TENANT_RULE},
    {"{\"type\":\"\"}", "byte 8: type " TYPE_RULE},
    {"{\"type\":\"Usage\"}", "byte 8: type " TYPE_RULE},
    {"{\"type\":\"a/b\"}", "byte 8: type " TYPE_RULE},
    {"{\"type\":{}}", "byte 8: type " TYPE_RULE},
    {"{\"source\":\"\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"a b\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"<a>\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"a\\\\b\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"a%2\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"a%zz\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"a#b#c\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"1a:b\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\":a\"}", "byte 10: source " SOURCE_RULE},
    {"{\"source\":\"\xc3\xa4\"}", "byte 10: source " SOURCE_RULE},
    {"{\"time\":\"yesterday\"}", "byte 8: time " TIME_RULE},
    {"{\"time\":1767225600}", "byte 8: time " TIME_RULE},
    {"{\"time\":\"2026-02-30T00:00:00Z\"}", "byte 8: time " TIME_RULE},
    {"{\"time\":\"2026-01-31T12:00:00\"}", "byte 8: time " TIME_RULE},
    {"{\"severity\":\"INFO\"}", "byte 12: severity " SEVERITY_RULE},
    {"{\"severity\":\"\"}", "byte 12: severity " SEVERITY_RULE},
    {"{\"severity\":1}", "byte 12: severity " SEVERITY_RULE},
    {"{\"traceparent\":\"\"}", "byte 15: traceparent " TRACE_RULE},
    {"{\"traceparent\":\"00-00000000000000000000000000000000-2222222222222222-00\"}",
     "byte 15: traceparent " TRACE_RULE},
    {"{\"traceparent\":\"00-1111111111111111111111111111111A-2222222222222222-00\"}",
     "byte 15: traceparent " TRACE_RULE},
    {"{\"traceparent\":\"00-11111111111111111111111111111111-0000000000000000-00\"}",
     "byte 15: traceparent " TRACE_RULE},
    {"{\"traceparent\":\"ff-11111111111111111111111111111111-2222222222222222-00\"}",
     "byte 15: traceparent " TRACE_RULE},
    {"{\"tennant_id\":\"a\"}", "byte 2: unknown field \"tennant_id\", did you mean \"tenant_id\"?"},
    {"{\"Type\":\"a\"}", "byte 2: unknown field \"Type\", did you mean \"type\"?"},
    {"{\"entitlementid\":\"a\"}", "byte 2: unknown field \"entitlementid\", did you mean \"entitlement_id\"?"},
    {"{\"cost\":1}",
     "byte 2: unknown field \"cost\"; a signal has id, tenant_id, entitlement_id, sku_id, type, source, "
     "time, severity, data and traceparent (put what is yours into data)"},
    {"{\"\":1}", "byte 2: unknown field \"\"; a signal has id, tenant_id, entitlement_id, sku_id, type, source, time, "
                 "severity, data and traceparent (put what is yours into data)"},
    {"{\"a\\nb\":1}", "byte 2: unknown field \"a\\nb\"; a signal has id, tenant_id, entitlement_id, sku_id, type, "
                      "source, time, severity, data and traceparent (put what is yours into data)"},
    {"{\"sever\\u0069ti\":1}", "byte 2: unknown field \"sever\\u0069ti\", did you mean \"severity\"?"},
};

Test(signal, refusals_name_field_and_rule)
{
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        int rc = read_text(&rig, span_of(refusals[i].text));
        cr_assert_eq(rc, -EINVAL, "%s: %d", refusals[i].text, rc);
        cr_assert_str_eq(rig.err.text, refusals[i].message, "%s\n got: %s", refusals[i].text, rig.err.text);
    }
    rig_done(&rig);
}

Test(signal, long_unknown_names_are_cut_at_a_character)
{
    struct rig rig;
    rig_init(&rig);
    struct buf text;
    buf_init(&text, 1024);
    buf_add_str(&text, "{\"x");
    for (int i = 0; i < 100; i++)
        buf_add_str(&text, "\xc3\xa4");
    buf_add_str(&text, "\":1}");
    cr_assert_eq(read_text(&rig, buf_span(&text)), -EINVAL);
    const char *dots = strstr(rig.err.text, "...");
    cr_assert_not_null(dots);
    cr_assert_eq((unsigned char)dots[-1], 0xa4, "a whole character precedes the cut");
    buf_done(&text);
    rig_done(&rig);
}

struct length {
    const char *field;
    size_t max;
};

Test(signal, lengths_are_exact)
{
    static const struct length lengths[] = {{"id", 128},     {"tenant_id", 64}, {"entitlement_id", 128},
                                            {"sku_id", 128}, {"type", 128},     {"source", 256}};
    struct rig rig;
    rig_init(&rig);
    rig.reader.sender.tenant_id = (struct span){NULL, 0};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t over = 0; over < 2; over++) {
            char value[300] = "";
            memset(value, 'a', lengths[i].max + over);
            char text[600];
            const char *f = lengths[i].field;
            snprintf(text, sizeof(text), "{\"%s\":\"%s\"%s%s%s}", f, value,
                     strcmp(f, "tenant_id") ? ",\"tenant_id\":\"t\"" : "",
                     strcmp(f, "entitlement_id") ? ",\"entitlement_id\":\"e\"" : "",
                     strcmp(f, "type") ? ",\"type\":\"t\"" : "");
            int rc = read_text(&rig, span_of(text));
            cr_assert_eq(rc, over ? -EINVAL : 0, "%s of %zu: %s", f, lengths[i].max + over, rig.err.text);
        }
    }
    rig_done(&rig);
}

/* An escaped text may be far longer than any scratch: it must be refused, not cut. */
Test(signal, long_escaped_texts_are_refused)
{
    struct rig rig;
    rig_init(&rig);
    struct buf members;
    buf_init(&members, 1 << 16);
    buf_add_str(&members, "\"id\":\"abc\\u0064");
    for (int i = 0; i < 30000; i++)
        buf_add_char(&members, 'x');
    buf_add_char(&members, '"');
    char *text = with(buf_cstr(&members));
    cr_assert_eq(read_text(&rig, span_of(text)), -EINVAL);
    cr_assert_not_null(strstr(rig.err.text, ": id must be"));
    free(text);
    buf_done(&members);
    rig_done(&rig);
}

Test(signal, sources_that_are_uri_references)
{
    static const char *const good[] = {"a",  "/a/b",       "//host/x", "urn:a:b",          "a/b:c", "?q",
                                       "#f", "mailto:x@y", "%41b",     "http://[::1]:80/", "./1:2", "key-1"};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char member[100];
        snprintf(member, sizeof(member), "\"source\":\"%s\"", good[i]);
        char *text = with(member);
        cr_assert_eq(read_text(&rig, span_of(text)), 0, "%s: %s", good[i], rig.err.text);
        assert_span(rig.signal.source, good[i]);
        free(text);
    }
    rig_done(&rig);
}

Test(signal, size_limit_is_exact)
{
    struct rig rig;
    rig_init(&rig);
    char *text = with("");
    rig.reader.max_signal = strlen(text);
    cr_assert_eq(read_text(&rig, span_of(text)), 0);
    rig.reader.max_signal = strlen(text) - 1;
    cr_assert_eq(read_text(&rig, span_of(text)), -EMSGSIZE);
    char expected[100];
    snprintf(expected, sizeof(expected), "the signal has %zu bytes, at most %zu are taken", strlen(text),
             strlen(text) - 1);
    cr_assert_str_eq(rig.err.text, expected);
    free(text);
    rig_done(&rig);
}

Test(signal, a_key_binds_tenant_source_and_id)
{
    struct rig rig;
    rig_init(&rig);
    rig.reader.sender =
        (struct sender){.is_signed = true, .tenant_id = SPAN("acme"), .source = SPAN("key-1"), .may_event = false};
    cr_assert_eq(read_text(&rig, SPAN("{\"sku_id\":\"k\",\"type\":\"t\",\"id\":\"1\"}")), 0, "%s", rig.err.text);
    assert_span(rig.signal.tenant_id, "acme");
    assert_span(rig.signal.source, "key-1");
    cr_assert_not(rig.signal.may_event);
    cr_assert_eq(read_text(&rig, SPAN("{\"sku_id\":\"k\",\"type\":\"t\"}")), -EINVAL);
    cr_assert_str_eq(rig.err.text, "id is missing: a sender that signs must name each signal");
    cr_assert_eq(read_text(&rig, SPAN("{\"tenant_id\":\"evil\",\"sku_id\":\"k\",\"type\":\"t\",\"id\":\"1\"}")),
                 -EACCES);
    cr_assert_str_eq(rig.err.text, "tenant_id is evil, but the key may only send for acme");
    rig.reader.sender.tenant_id = (struct span){NULL, 0};
    cr_assert_eq(read_text(&rig, SPAN("{\"sku_id\":\"k\",\"type\":\"t\",\"id\":\"1\"}")), -EINVAL);
    cr_assert_str_eq(rig.err.text, "tenant_id is missing: the key may send for any tenant, so the signal must name it");
    rig_done(&rig);
}

Test(signal, events_need_the_role)
{
    static const char *const events[] = {"activated", "suspended", "cancelled", "refund_started", "refund_completed"};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < 5; i++) {
        char text[200];
        snprintf(text, sizeof(text), "{\"tenant_id\":\"a\",\"sku_id\":\"k\",\"type\":\"tai.entitlement.%s\"}",
                 events[i]);
        rig.reader.sender.may_event = true;
        cr_assert_eq(read_text(&rig, span_of(text)), 0);
        rig.reader.sender.may_event = false;
        cr_assert_eq(read_text(&rig, span_of(text)), -EACCES);
        char expected[200];
        snprintf(expected, sizeof(expected),
                 "type tai.entitlement.%s is an entitlement event: only a key with role marketplace may send it",
                 events[i]);
        cr_assert_str_eq(rig.err.text, expected);
    }
    cr_assert_eq(read_text(&rig, SPAN("{\"tenant_id\":\"a\",\"sku_id\":\"k\",\"type\":\"tai.entitlement.read\"}")), 0);
    rig_done(&rig);
}

Test(signal, items_of_a_batch_hash_their_own_bytes)
{
    struct rig rig;
    rig_init(&rig);
    const char *text = "[ {\"tenant_id\":\"a\",\"sku_id\":\"k\",\"type\":\"t\"} , {\"bad\":1} ]";
    cr_assert_eq(json_parse(&rig.doc, span_of(text), &rig.err), 0);
    const struct json_node *first = json_first(&rig.doc, &rig.doc.nodes[0]);
    const struct json_node *second = json_next(&rig.doc, &rig.doc.nodes[0], first);
    struct span bytes = json_raw(&rig.doc, first);
    cr_assert_eq(signal_read(&rig.reader, &rig.doc, first, bytes, &rig.signal, &rig.err), 0, "%s", rig.err.text);
    assert_span(rig.signal.bytes, "{\"tenant_id\":\"a\",\"sku_id\":\"k\",\"type\":\"t\"}");
    uint8_t sha[SHA256_SIZE];
    hasher_sha256((struct hasher *)rig.reader.hasher, bytes, sha);
    cr_assert_eq(memcmp(sha, rig.signal.sha256, sizeof(sha)), 0);
    cr_assert_eq(signal_read(&rig.reader, &rig.doc, second, json_raw(&rig.doc, second), &rig.signal, &rig.err),
                 -EINVAL);
    cr_assert_eq(strncmp(rig.err.text, "byte 48: unknown field \"bad\"", 28), 0, "%s", rig.err.text);
    rig_done(&rig);
}

struct adoption {
    const char *header;
    const char *expected; /* NULL: a new trace */
};

Test(traceparent, header_is_adopted_or_replaced)
{
    static const struct adoption cases[] = {
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", NULL},
        {"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", NULL},
        {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
        {"00-00000000000000000000000000000000-b7ad6b7169203331-01", NULL},
        {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", NULL},
        {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
        {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entropy entropy = {.left = 0};
        char got[TRACEPARENT + 1];
        traceparent_adopt(span_of(cases[i].header), &entropy, got);
        cr_assert(traceparent_valid(span_of(got)), "%s", got);
        if (cases[i].expected)
            cr_assert_str_eq(got, cases[i].expected);
        else if (cases[i].header && *cases[i].header)
            cr_assert_neq(memcmp(got + 3, cases[i].header + 3, 32), 0, "%s was kept", cases[i].header);
    }
}
