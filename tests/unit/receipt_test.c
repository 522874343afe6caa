/* Receipts as bytes: what enters the hash, where members go, what is refused. */
#include "andon/ledger/receipt.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static struct receipt_builder builder;
static struct arena arena;
static struct error err;

static void setup(void)
{
    receipt_builder_init(&builder, hasher_new());
}

static void teardown(void)
{
    hasher_free(builder.hasher);
    receipt_builder_done(&builder);
    arena_done(&arena);
}

TestSuite(receipt, .init = setup, .fini = teardown);

static int build(const char *tenant, const char *text, struct chain_head *head, struct receipt *ret)
{
    const struct outcome outcome = {.partition = 3, .number = 17, .tenant_id = span_of(tenant), .text = span_of(text)};
    err.text[0] = '\0';
    return receipt_build(&builder, &outcome, 0, head, &arena, ret, &err);
}

static const char full[] =
    "{\"action_id\":\"a1\",\"body\":{\"b\":[1,{\"chain\":\"x\"}],\"z\":null},"
    "\"config_sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"ending\":\"denied\","
    "\"entitlement_id\":\"sku/1\",\"policy\":\"cost\",\"reason\":\"policy_denied:cost:over \\\"budget\\\"\","
    "\"redrive\":2,\"signal_id\":\"s:1\","
    "\"signal_sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
    "\"state_after\":\"active\",\"state_before\":\"testing\",\"tenant_id\":\"acme\",\"timestamp\":1700000000123,"
    "\"type\":\"refusal\"}";

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

Test(receipt, four_members_at_their_sorted_places)
{
    struct chain_head head = {.chain = SPAN("acme")};
    struct receipt receipt;
    cr_assert_eq(build("acme", full, &head, &receipt), 0, "%s", err.text);
    char expected[2048];
    char id[UUID_TEXT + 1];
    receipt_id_of(builder.hasher, 3, 0, 17, id);
    snprintf(expected, sizeof(expected),
             "{\"action_id\":\"a1\",\"body\":{\"b\":[1,{\"chain\":\"x\"}],\"z\":null},\"chain\":\"acme\","
             "\"config_sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
             "\"ending\":\"denied\",\"entitlement_id\":\"sku/1\",\"policy\":\"cost\",\"previous_hash\":\"" ZEROS
             "\",\"reason\":\"policy_denied:cost:over \\\"budget\\\"\",\"receipt_id\":\"%s\",\"redrive\":2,\"seq\":1,"
             "\"signal_id\":\"s:1\","
             "\"signal_sha256\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\","
             "\"state_after\":\"active\",\"state_before\":\"testing\",\"tenant_id\":\"acme\","
             "\"timestamp\":1700000000123,\"type\":\"refusal\"}",
             id);
    cr_assert_eq(receipt.body.len, strlen(expected));
    cr_assert(span_is(receipt.body, expected), "%.*s", (int)receipt.body.len, receipt.body.ptr);
    cr_assert_str_eq(receipt.receipt_id, id);
    uint8_t hash[SHA256_SIZE];
    hasher_sha256(builder.hasher, span_of(expected), hash);
    cr_assert_arr_eq(receipt.hash, hash, SHA256_SIZE);
    cr_assert(span_is(receipt.tenant_id, "acme") && span_is(receipt.entitlement_id, "sku/1"));
    cr_assert(span_is(receipt.signal_id, "s:1") && span_is(receipt.type, "refusal"));
    cr_assert(span_is(receipt.chain, "acme") && receipt.timestamp_ms == 1700000000123 && receipt.seq == 1);
    cr_assert_eq(head.seq, 1);
    cr_assert_arr_eq(head.hash, hash, SHA256_SIZE);
}

Test(receipt, bytes_are_those_of_the_canonical_writer)
{
    struct chain_head head = {.chain = SPAN("acme"), .seq = 9007199254740000};
    struct receipt receipt;
    struct json_doc doc;
    struct buf canonical;
    json_init(&doc);
    buf_init(&canonical, 8192);
    cr_assert_eq(build("acme", full, &head, &receipt), 0, "%s", err.text);
    cr_assert_eq(json_parse(&doc, receipt.body, &err), 0, "%s", err.text);
    cr_assert_eq(json_canonical(&doc, &doc.nodes[0], &canonical), 0);
    cr_assert(span_eq(buf_span(&canonical), receipt.body));
    json_done(&doc);
    buf_done(&canonical);
}

Test(receipt, chain_links_and_reads_back)
{
    struct chain_head head = {.chain = SPAN("acme")};
    struct receipt first, second;
    struct receipt_fields fields;
    cr_assert_eq(build("acme", full, &head, &first), 0);
    cr_assert_eq(build("acme", full, &head, &second), 0);
    cr_assert_eq(receipt_parse(&builder, second.body, &fields, &err), 0, "%s", err.text);
    cr_assert_eq(fields.seq, 2);
    cr_assert_arr_eq(fields.previous_hash, first.hash, SHA256_SIZE);
    cr_assert(span_is(fields.chain, "acme") && span_is(fields.tenant_id, "acme") && span_is(fields.type, "refusal"));
    cr_assert(span_is(fields.receipt_id, second.receipt_id));
    cr_assert_eq(fields.timestamp_ms, 1700000000123);
}

Test(receipt, least_members_and_the_system_chain)
{
    struct chain_head head = {.chain = SPAN("_system")};
    struct receipt receipt;
    struct receipt_fields fields;
    cr_assert_eq(build("", "{\"timestamp\":5,\"type\":\"refusal_summary\"}", &head, &receipt), 0, "%s", err.text);
    static const char start[] = "{\"chain\":\"_system\",\"previous_hash\":\"" ZEROS "\",\"receipt_id\":\"";
    static const char end[] = "\",\"seq\":1,\"timestamp\":5,\"type\":\"refusal_summary\"}";
    cr_assert_eq(receipt.body.len, sizeof(start) - 1 + UUID_TEXT + sizeof(end) - 1);
    cr_assert(memcmp(receipt.body.ptr, start, sizeof(start) - 1) == 0);
    cr_assert(memcmp(receipt.body.ptr + sizeof(start) - 1 + UUID_TEXT, end, sizeof(end) - 1) == 0);
    cr_assert_eq(receipt_parse(&builder, receipt.body, &fields, &err), 0, "%s", err.text);
    cr_assert_eq(fields.tenant_id.len, 0);
}

Test(receipt, every_type_is_known)
{
    for (size_t i = 0; receipt_types[i]; i++) {
        char text[128];
        struct chain_head head = {.chain = SPAN("_system")};
        struct receipt receipt;
        snprintf(text, sizeof(text), "{\"timestamp\":5,\"type\":\"%s\"}", receipt_types[i]);
        cr_expect_eq(build("", text, &head, &receipt), 0, "%s", err.text);
    }
}

Test(receipt, refused_outcomes_leave_the_chain_alone)
{
    static const struct {
        const char *tenant, *text, *says;
    } bad[] = {
        {"", "", "not JSON"},
        {"", "[]", "no JSON object"},
        {"", "{\"type\":\"refusal\"}", "timestamp"},
        {"", "{\"timestamp\":5}", "type"},
        {"", "{\"timestamp\":5,\"type\":\"refusal\"} ", "canonical"},
        {"", "{\"timestamp\": 5,\"type\":\"refusal\"}", "canonical"},
        {"", "{\"timestamp\":5.0,\"type\":\"refusal\"}", "timestamp"},
        {"", "{\"timestamp\":-1,\"type\":\"refusal\"}", "timestamp"},
        {"", "{\"timestamp\":9007199254740992,\"type\":\"refusal\"}", "timestamp"},
        {"", "{\"timestamp\":\"5\",\"type\":\"refusal\"}", "timestamp"},
        {"", "{\"timestamp\":5,\"type\":\"other\"}", "type"},
        {"", "{\"type\":\"refusal\",\"timestamp\":5}", "sorted place"},
        {"", "{\"surprise\":1,\"timestamp\":5,\"type\":\"refusal\"}", "surprise"},
        {"", "{\"timestamp\":5,\"type\":\"refusal\",\"zzz\":1}", "zzz"},
        {"", "{\"seq\":1,\"timestamp\":5,\"type\":\"refusal\"}", "seq"},
        {"", "{\"chain\":\"acme\",\"timestamp\":5,\"type\":\"refusal\"}", "chain"},
        {"", "{\"body\":{\"b\":1,\"a\":2},\"timestamp\":5,\"type\":\"refusal\"}", "canonical"},
        {"", "{\"body\":{\"a\":1.50},\"timestamp\":5,\"type\":\"refusal\"}", "canonical"},
        {"", "{\"body\":{\"a\":\"\\u0041\"},\"timestamp\":5,\"type\":\"refusal\"}", "canonical"},
        {"", "{\"ending\":\"waiting\",\"timestamp\":5,\"type\":\"refusal\"}", "ending"},
        {"", "{\"signal_sha256\":\"ABCDEF\",\"timestamp\":5,\"type\":\"refusal\"}", "signal_sha256"},
        {"acme", "{\"timestamp\":5,\"type\":\"refusal\"}", "tenant_id"},
        {"acme", "{\"tenant_id\":\"globex\",\"timestamp\":5,\"type\":\"refusal\"}", "tenant_id"},
        {"", "{\"tenant_id\":\"acme\",\"timestamp\":5,\"type\":\"refusal\"}", "tenant_id"},
        {"acme", "{\"tenant_id\":\"ac\\u006de\",\"timestamp\":5,\"type\":\"refusal\"}", "tenant_id"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct chain_head head = {.chain = SPAN("acme"), .seq = 4};
        struct receipt receipt;
        cr_expect_eq(build(bad[i].tenant, bad[i].text, &head, &receipt), -EBADMSG, "%s", bad[i].text);
        cr_expect(strstr(err.text, bad[i].says), "%s: %s", bad[i].text, err.text);
        cr_expect(strstr(err.text, "outcome 3/0/17"), "%s", err.text);
        cr_expect_eq(head.seq, 4);
    }
}

Test(receipt, unusual_but_canonical_values_pass)
{
    static const char *const good[] = {
        "{\"body\":{\"a\":1.5,\"b\":-7,\"c\":1e+21,\"d\":\"\xc3\xa9\"},\"timestamp\":5,\"type\":\"refusal\"}",
        "{\"body\":{\"\xc3\xa9\":\"\\n\"},\"timestamp\":5,\"type\":\"refusal\"}",
        "{\"body\":{},\"timestamp\":5,\"type\":\"refusal\"}",
        "{\"body\":[[],{},true,null],\"reason\":\"\",\"timestamp\":0,\"type\":\"refusal\"}",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct chain_head head = {.chain = SPAN("_system")};
        struct receipt receipt;
        cr_expect_eq(build("", good[i], &head, &receipt), 0, "%s: %s", good[i], err.text);
    }
}

Test(receipt, refused_when_stored)
{
    struct chain_head head = {.chain = SPAN("acme")};
    struct receipt receipt;
    cr_assert_eq(build("acme", full, &head, &receipt), 0);
    static const struct {
        const char *from, *to;
    } edits[] = {
        {"\"chain\":\"acme\"", "\"chain\":\"acmf\""},
        {"\"seq\":1", "\"seq\":0"},
        {"\"seq\":1,", ""},
        {"\"tenant_id\":\"acme\",", ""},
        {"-", "_"},
        {"\"type\":\"refusal\"", "\"type\":\"refusing\""},
        {",\"timestamp\"", ", \"timestamp\""},
        {"\"previous_hash\":\"0", "\"previous_hash\":\"G"},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct buf text;
        struct receipt_fields fields;
        buf_init(&text, 4096);
        const char *at = memmem(receipt.body.ptr, receipt.body.len, edits[i].from, strlen(edits[i].from));
        cr_assert_not_null(at, "%s", edits[i].from);
        size_t before = (size_t)(at - receipt.body.ptr), skip = before + strlen(edits[i].from);
        buf_add(&text, receipt.body.ptr, before);
        buf_add_str(&text, edits[i].to);
        buf_add(&text, receipt.body.ptr + skip, receipt.body.len - skip);
        cr_expect_eq(receipt_parse(&builder, buf_span(&text), &fields, &err), -EBADMSG, "%s -> %s", edits[i].from,
                     edits[i].to);
        buf_done(&text);
    }
}
