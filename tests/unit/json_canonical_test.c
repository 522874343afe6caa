/* RFC 8785: the samples of the RFC, number formatting, member order. */
#include "common/json/json.h"
#include "common/mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

static void expect(const char *text, const char *canonical)
{
    struct json_doc doc;
    struct buf out;
    struct error err = {""};
    json_init(&doc);
    buf_init(&out, 4096);
    cr_assert_eq(json_parse(&doc, span_of(text), &err), 0, "%s: %s", text, err.text);
    cr_expect_eq(json_canonical(&doc, doc.nodes, &out), 0);
    cr_expect_str_eq(buf_cstr(&out), canonical, "%s gives %s", text, buf_cstr(&out));
    buf_done(&out);
    json_done(&doc);
}

Test(json_canonical, sample_of_section_3_2_2)
{
    expect("{\n"
           "  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
           "              2e-3, 0.000000000000000000000000001],\n"
           "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
           "  \"literals\": [null, true, false]\n"
           "}",
           "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
           "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

Test(json_canonical, sample_of_section_3_2_3_sorting)
{
    expect("{\n"
           "  \"\\u20ac\": \"Euro Sign\",\n"
           "  \"\\r\": \"Carriage Return\",\n"
           "  \"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\",\n"
           "  \"1\": \"One\",\n"
           "  \"\\ud83d\\ude00\": \"Emoji: Grinning Face\",\n"
           "  \"\\u0080\": \"Control\",\n"
           "  \"\\u00f6\": \"Latin Small Letter O With Diaeresis\"\n"
           "}",
           "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
           "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
           "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

Test(json_canonical, members_are_sorted_at_every_level)
{
    expect("{\"b\":[{\"z\":1,\"y\":{\"d\":1,\"c\":2}}],\"a\":0}",
           "{\"a\":0,\"b\":[{\"y\":{\"c\":2,\"d\":1},\"z\":1}]}");
    expect("{\"aa\":1,\"a\":2,\"\":3,\"A\":4,\"10\":5,\"9\":6}", "{\"\":3,\"10\":5,\"9\":6,\"A\":4,\"a\":2,\"aa\":1}");
    expect(" [ ] ", "[]");
    expect("{ }", "{}");
    expect("[ 1 , [ ] , { } , \"a b\" ]", "[1,[],{},\"a b\"]");
    /* UTF-16 order around the surrogates: U+D7FF, U+10000, U+10FFFF, U+E000, U+FFFF */
    expect("{\"\\uffff\":5,\"\\ue000\":4,\"\\udbff\\udfff\":3,\"\\ud800\\udc00\":2,\"\\ud7ff\":1}",
           "{\"\xed\x9f\xbf\":1,\"\xf0\x90\x80\x80\":2,\"\xf4\x8f\xbf\xbf\":3,\"\xee\x80\x80\":4,\"\xef\xbf\xbf\":5}");
}

static int name_of(int i)
{
    return i * 7919 % 1000;
}

Test(json_canonical, sorts_large_objects)
{
    for (int count = 15; count < 1000; count += 31) {
        struct buf text, sorted;
        buf_init(&text, 1 << 16);
        buf_init(&sorted, 1 << 16);
        bool used[1000] = {false};
        for (int i = 0; i < count; i++) {
            buf_addf(&text, "%s\"%03d\":%d", i ? "," : "{", name_of(i), i);
            used[name_of(i)] = true;
        }
        for (int name = 0; name < 1000; name++)
            for (int i = 0; used[name] && i < count; i++)
                if (name_of(i) == name)
                    buf_addf(&sorted, "%s\"%03d\":%d", sorted.len ? "," : "{", name, i);
        buf_add_char(&text, '}');
        buf_add_char(&sorted, '}');
        struct json_doc doc;
        struct buf out;
        json_init(&doc);
        buf_init(&out, 1 << 16);
        cr_assert_eq(json_parse(&doc, buf_span(&text), NULL), 0);
        cr_assert_eq(json_canonical(&doc, doc.nodes, &out), 0);
        cr_assert(span_eq(buf_span(&out), buf_span(&sorted)), "%d members", count);
        buf_done(&out);
        json_done(&doc);
        buf_done(&text);
        buf_done(&sorted);
    }
}

/* Appendix B, and values at the edges of shortest formatting. */
Test(json_canonical, doubles)
{
    static const struct {
        uint64_t bits;
        const char *text;
    } cases[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
        {0x3d30000000000000, "5.684341886080802e-14"}, /* 2^-44: the closest 16 digits do not read back */
        {0x0010000000000000, "2.2250738585072014e-308"},
        {0x000fffffffffffff, "2.225073858507201e-308"},
        {0x0000000000000002, "1e-323"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double value;
        struct buf out;
        memcpy(&value, &cases[i].bits, sizeof(value));
        buf_init(&out, 64);
        json_add_double(&out, value);
        cr_expect_str_eq(buf_cstr(&out), cases[i].text, "%s, expected %s", buf_cstr(&out), cases[i].text);
        buf_done(&out);
    }
    struct buf out;
    buf_init(&out, 64);
    json_add_double(&out, NAN);
    cr_expect(out.failed);
    buf_clear(&out);
    json_add_double(&out, -INFINITY);
    cr_expect(out.failed);
    buf_done(&out);
}

Test(json_canonical, numbers_as_written)
{
    static const char *const cases[][2] = {
        {"0", "0"},
        {"-0", "0"},
        {"-0.0", "0"},
        {"0e5", "0"},
        {"1e-999", "0"},
        {"-1e-999", "0"},
        {"-1", "-1"},
        {"1.0", "1"},
        {"10.50", "10.5"},
        {"100", "100"},
        {"0.5", "0.5"},
        {"-0.5", "-0.5"},
        {"0.05", "0.05"},
        {"0.000001", "0.000001"},
        {"0.0000001", "1e-7"},
        {"123.45", "123.45"},
        {"-123.45", "-123.45"},
        {"0.00000012", "1.2e-7"},
        {"1e2", "100"},
        {"1E-2", "0.01"},
        {"1e20", "100000000000000000000"},
        {"1e21", "1e+21"},
        {"123456789012345", "123456789012345"},
        {"1234567890123456", "1234567890123456"},
        {"9007199254740993", "9007199254740992"},
        {"12345678901234567890", "12345678901234567000"},
        {"0.1000000000000000055511151231257827", "0.1"},
        {"1.00000000000000000000000000000000000000000000000000000000000000000000000001", "1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect(cases[i][0], cases[i][1]);
}

/* Whatever double: reads back as itself from at most 25 bytes. */
Test(json_canonical, random_doubles_read_back)
{
    uint64_t state = 88172645463325252;
    struct buf out;
    buf_init(&out, 64);
    for (int i = 0; i < 20000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t bits = i % 4 ? state : state & 0xfff0000000000000; /* powers of two too */
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value))
            continue;
        buf_clear(&out);
        json_add_double(&out, value);
        char *end;
        cr_assert(strtod(buf_cstr(&out), &end) == value && *end == '\0', "%a gives %s", value, buf_cstr(&out));
        cr_assert_leq(out.len, 25);
    }
    buf_done(&out);
}

Test(json_canonical, strings)
{
    expect("\"\\u0001\\u001F\\u007f\\/\\\"\\\\\\b\\f\\n\\r\\t\"", "\"\\u0001\\u001f\x7f/\\\"\\\\\\b\\f\\n\\r\\t\"");
    expect("\"\\u00e9 \\ud83d\\ude00 plain\"", "\"\xc3\xa9 \xf0\x9f\x98\x80 plain\"");
    expect("{\"\\u0061\\n\":\"\\u0061\"}", "{\"a\\n\":\"a\"}");
}

Test(json_canonical, of_a_part)
{
    struct json_doc doc;
    struct buf out;
    json_init(&doc);
    buf_init(&out, 64);
    cr_assert_eq(json_parse(&doc, SPAN("{\"data\":{\"b\": 1, \"a\": 2},\"x\":0}"), NULL), 0);
    cr_assert_eq(json_canonical(&doc, json_get(&doc, doc.nodes, "data"), &out), 0);
    cr_assert_str_eq(buf_cstr(&out), "{\"a\":2,\"b\":1}");
    cr_assert_eq(json_canonical(&doc, NULL, &out), -EINVAL);
    buf_done(&out);
    json_done(&doc);
}

static bool is_plain(const char *text)
{
    struct json_doc doc;
    json_init(&doc);
    bool plain = json_plain_object(&doc, span_of(text));
    json_done(&doc);
    return plain;
}

Test(json_canonical, plain_objects_are_known_at_first_sight)
{
    const char *const yes[] = {"{}", "{\"a\":1,\"b\":\"twelve bytes and more\",\"c\":{\"d\":[1,2,{}],\"e\":null}}",
                               "{\"\":\"\",\"0\":[],\"aa\":true,\"ab\":false,\"b\":999999999999999}"};
    const char *const no[] = {"",
                              "[]",
                              "{",
                              "{\"a\"}",
                              "{\"a\":}",
                              "{\"a\":1",
                              "{\"a\":1,}",
                              "{\"a\":01}",
                              "{ \"a\":1}",
                              "{\"a\": 1}",
                              "{\"a\":1} ",
                              "{\"b\":1,\"a\":2}",
                              "{\"a\":1,\"a\":2}",
                              "{\"a\":1000000000000000}",
                              "{\"a\":-1}",
                              "{\"a\":1.5}",
                              "{\"a\":\"\\n\"}",
                              "{\"a\":\"\xc3\xb6 and so on\"}",
                              "{\"a\":\"tab\there, and more\"}",
                              "{\"a\":nul}",
                              "{\"a\":[1,]}",
                              "{\"a\":[1 ]}",
                              "{\"a\":{\"c\":1,\"b\":2}}",
                              "{\"a\":\"open, and long enough"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
        cr_expect(is_plain(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
        cr_expect_not(is_plain(no[i]), "%s", no[i]);
}

Test(json_canonical, plain_objects_tell_their_members)
{
    const char *text = "{\"a\":{\"x\":1},\"name\":\"value\",\"z\":12}";
    struct json_doc doc;
    json_init(&doc);
    cr_assert(json_plain_object(&doc, span_of(text)));
    const struct json_node *root = &doc.nodes[0];
    cr_expect_eq(root->count, 3);
    cr_expect(span_is(json_raw(&doc, json_get(&doc, root, "a")), "{\"x\":1}"));
    cr_expect(span_is(json_raw(&doc, json_get(&doc, root, "name")), "\"value\""));
    int64_t z;
    cr_expect_eq(json_int(&doc, json_get(&doc, root, "z"), 0, 100, &z), 0);
    cr_expect_eq(z, 12);
    cr_expect_null(json_get(&doc, root, "x"));
    json_done(&doc);
}
