/* Reading parsed documents: navigation, strings, integers. */
#include "common/json/json.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct json_doc doc;
static struct buf out;

static void setup(void)
{
    json_init(&doc);
    buf_init(&out, 64);
}

static void teardown(void)
{
    buf_done(&out);
    json_done(&doc);
}

TestSuite(json_read, .init = setup, .fini = teardown);

static const struct json_node *parse(const char *text)
{
    struct error err = {""};
    cr_assert_eq(json_parse(&doc, span_of(text), &err), 0, "%s", err.text);
    return doc.nodes;
}

static bool is(struct span span, const char *text)
{
    return span_is(span, text);
}

Test(json_read, walks_members_and_items)
{
    const struct json_node *root = parse(" {\"a\" : [1,[2,3],{\"x\":4}], \"b\":{}, \"c\":\"s\" }");
    cr_assert_eq(root->type, JSON_OBJECT);
    cr_assert_eq(root->count, 3);
    cr_assert_eq(root->end, doc.count);
    const struct json_node *a = json_first(&doc, root);
    cr_assert(is(json_key(&doc, a), "a"));
    cr_assert(is(json_raw(&doc, a), "[1,[2,3],{\"x\":4}]"));
    cr_assert_eq(a->count, 3);
    const struct json_node *item = json_first(&doc, a);
    cr_assert(is(json_raw(&doc, item), "1"));
    cr_assert_eq(item->key_len, 0);
    item = json_next(&doc, a, item);
    cr_assert(is(json_raw(&doc, item), "[2,3]"));
    item = json_next(&doc, a, item);
    cr_assert(is(json_raw(&doc, item), "{\"x\":4}"));
    cr_assert_null(json_next(&doc, a, item), "the end of the items is not the next member");
    const struct json_node *b = json_next(&doc, root, a);
    cr_assert(is(json_key(&doc, b), "b"));
    cr_assert_null(json_first(&doc, b));
    const struct json_node *c = json_next(&doc, root, b);
    cr_assert(is(json_raw(&doc, c), "\"s\""));
    cr_assert_null(json_next(&doc, root, c));
}

Test(json_read, absent_things_read_as_null)
{
    const struct json_node *root = parse("[1]");
    cr_assert_null(json_first(&doc, NULL));
    cr_assert_null(json_next(&doc, root, NULL));
    cr_assert_null(json_get(&doc, NULL, "a"));
    cr_assert_null(json_get(&doc, root, "a"), "an array has no members");
    cr_assert_null(json_first(&doc, json_first(&doc, root)), "a number has no items");
    cr_assert_null(json_raw(&doc, NULL).ptr);
    cr_assert_null(json_key(&doc, NULL).ptr);
    cr_assert_null(json_text(&doc, NULL, &out).ptr);
    cr_assert_null(json_text(&doc, json_first(&doc, root), &out).ptr);
    cr_assert_eq(json_string(&doc, NULL, &out), -EINVAL);
    cr_assert_eq(json_string(&doc, root, &out), -EINVAL);
    cr_assert_eq(json_key_string(&doc, NULL, &out), -EINVAL);
    int64_t n;
    cr_assert_eq(json_int(&doc, NULL, 0, 9, &n), -EINVAL);
}

Test(json_read, get_compares_unescaped_names)
{
    const struct json_node *root = parse("{\"id\":1,\"\\u0069d2\":2,\"i\":3,\"idx\":4,\"\":5,\"\\u00e9\":6}");
    static const struct {
        const char *name, *raw;
    } cases[] = {{"id", "1"}, {"id2", "2"}, {"i", "3"}, {"idx", "4"}, {"", "5"}, {"\xc3\xa9", "6"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect(is(json_raw(&doc, json_get(&doc, root, cases[i].name)), cases[i].raw), "%s", cases[i].name);
    cr_expect_null(json_get(&doc, root, "\\u0069d2"));
    cr_expect_null(json_get(&doc, root, "ID"));
    cr_expect_null(json_get(&doc, root, "id3"));
    cr_expect_null(json_get(&doc, parse("{\"a\":{\"b\":1}}"), "b"), "only the object's own members");
}

Test(json_read, strings_are_unescaped)
{
    const struct json_node *root = parse("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00E9\\u20aC\\uD83D\\uDE00z\"]");
    const struct json_node *s = json_first(&doc, root);
    cr_assert(s->escaped);
    cr_assert_eq(json_string(&doc, s, &out), 0);
    static const char expected[] = "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    cr_assert(is(buf_span(&out), expected));
    cr_assert(is(json_text(&doc, s, &out), expected));
    s = json_first(&doc, parse("[\"plain\"]"));
    struct span text = json_text(&doc, s, &out);
    cr_assert(is(text, "plain"));
    cr_assert_eq(text.ptr, doc.text.ptr + 2, "borrowed");
    text = json_text(&doc, parse("\"\""), &out);
    cr_assert(text.ptr && text.len == 0, "an empty string is not an absent one");
    const struct json_node *member = json_first(&doc, parse("{\"a\\u0062\":1}"));
    buf_clear(&out);
    cr_assert_eq(json_key_string(&doc, member, &out), 0);
    cr_assert(is(buf_span(&out), "ab"));
}

Test(json_read, strings_beyond_the_cap)
{
    struct buf small;
    buf_init(&small, 3);
    cr_assert_eq(json_string(&doc, parse("\"abc\""), &small), 0);
    buf_clear(&small);
    cr_assert_eq(json_string(&doc, parse("\"abcd\""), &small), -ENOBUFS);
    buf_clear(&small);
    cr_assert_eq(json_string(&doc, parse("\"ab\\u20ac\""), &small), -ENOBUFS);
    buf_clear(&small);
    cr_assert_eq(json_canonical(&doc, parse("[1,2,3]"), &small), -ENOBUFS);
    buf_done(&small);
}

Test(json_read, integers)
{
    static const struct {
        const char *text;
        int64_t min, max;
        int status;
        int64_t value;
    } cases[] = {
        {"0", 0, 9, 0, 0},
        {"-0", 0, 9, 0, 0},
        {"9", 0, 9, 0, 9},
        {"10", 0, 9, -ERANGE, 0},
        {"-1", 0, 9, -ERANGE, 0},
        {"-1", INT64_MIN, INT64_MAX, 0, -1},
        {"9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX},
        {"9223372036854775808", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN},
        {"-9223372036854775809", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"18446744073709551616", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"18446744073709551617", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"99999999999999999999999999", INT64_MIN, INT64_MAX, -ERANGE, 0},
        {"1.0", 0, 9, -ERANGE, 0},
        {"1e0", 0, 9, -ERANGE, 0},
        {"\"1\"", 0, 9, -EINVAL, 0},
        {"true", 0, 9, -EINVAL, 0},
        {"null", 0, 9, -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 4711;
        int status = json_int(&doc, parse(cases[i].text), cases[i].min, cases[i].max, &value);
        cr_expect_eq(status, cases[i].status, "%s: %d", cases[i].text, status);
        cr_expect_eq(value, status ? 4711 : cases[i].value, "%s: written only on success", cases[i].text);
    }
}

Test(json_read, writes_objects_by_hand)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_add_char(&text, '{');
    json_add_member(&text, "s", SPAN("a\"b\\c\b\t\n\f\r\x01\x1f/\x7f\xc3\xa9"));
    json_add_member_u64(&text, "n", UINT64_MAX);
    json_add_key(&text, "o");
    buf_add_char(&text, '{');
    json_add_member_raw(&text, "r", SPAN("[1,2]"));
    buf_add_char(&text, '}');
    json_add_member(&text, "e", SPAN(""));
    buf_add_char(&text, '}');
    cr_assert_str_eq(buf_cstr(&text), "{\"s\":\"a\\\"b\\\\c\\b\\t\\n\\f\\r\\u0001\\u001f/\x7f\xc3\xa9\","
                                      "\"n\":18446744073709551615,\"o\":{\"r\":[1,2]},\"e\":\"\"}");
    cr_assert_eq(json_parse(&doc, buf_span(&text), NULL), 0);
    buf_done(&text);
}
