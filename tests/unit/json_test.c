/* What the JSON scanner accepts and refuses. Texts are parsed from exactly sized heap copies, so that a sanitizer sees
 * any read beyond them. */
#include "common/json/json.h"
#include "common/mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct outcome {
    int status;
    size_t offset;
    struct error err;
};

static struct outcome parse(struct span text)
{
    struct outcome o = {.err = {"untouched"}};
    char *copy = xmalloc(text.len);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    struct json_doc doc;
    json_init(&doc);
    o.status = json_parse(&doc, (struct span){copy, text.len}, &o.err);
    o.offset = doc.error_offset;
    cr_expect_eq(doc.count == 0, o.status != 0, "a refused text leaves no nodes");
    json_done(&doc);
    free(copy);
    return o;
}

struct refusal {
    struct span text;
    size_t offset;
    const char *says;
};

#define REFUSED(text, offset, says)                                                                                    \
    {                                                                                                                  \
        {(text), sizeof(text) - 1}, (offset), (says)                                                                   \
    }

static void expect_refused(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct refusal *c = &cases[i];
        struct outcome o = parse(c->text);
        char where[32];
        snprintf(where, sizeof(where), "byte %zu: ", c->offset);
        cr_expect_eq(o.status, -EINVAL, "accepted: %.*s", (int)c->text.len, c->text.ptr);
        cr_expect_eq(o.offset, c->offset, "%.*s: offset %zu, expected %zu (%s)", (int)c->text.len, c->text.ptr,
                     o.offset, c->offset, o.err.text);
        cr_expect_eq(strncmp(o.err.text, where, strlen(where)), 0, "%s", o.err.text);
        cr_expect(strstr(o.err.text, c->says), "%.*s: says %s, expected %s", (int)c->text.len, c->text.ptr, o.err.text,
                  c->says);
    }
}

#define EXPECT_REFUSED(cases) expect_refused((cases), sizeof(cases) / sizeof((cases)[0]))

Test(json, refuses_what_loose_parsers_accept)
{
    static const struct refusal cases[] = {
        REFUSED("{\"a\":1,\"a\":2}", 7, "second member"),
        REFUSED("{\"id\\u0000x\":1}", 4, "NUL"),
        REFUSED("[\"id\\u0000x\"]", 4, "NUL"),
        REFUSED("NaN", 0, "expected a value"),
        REFUSED("Infinity", 0, "expected a value"),
        REFUSED("-Infinity", 1, "digit"),
        REFUSED("{'a':1}", 1, "double quotes"),
        REFUSED("['a']", 1, "expected a value"),
        REFUSED("[\"a\tb\"]", 3, "control character"),
        REFUSED("[\"a\nb\"]", 3, "control character"),
        REFUSED("[\"a\0b\"]", 3, "control character"),
        REFUSED("[\"\x1f\"]", 2, "control character"),
        REFUSED("[\"\\ud800\"]", 2, "lone surrogate"),
        REFUSED("[\"\\udc00\"]", 2, "lone surrogate"),
        REFUSED("[\"\\udc00\\ud800\"]", 2, "lone surrogate"),
        REFUSED("[\"\\ud800\\ud800\"]", 2, "lone surrogate"),
        REFUSED("[\"\\ud800\\n\"]", 2, "lone surrogate"),
        REFUSED("[\"\\ud800x\"]", 2, "lone surrogate"),
        REFUSED("[1e999]", 1, "too large"),
        REFUSED("[1,-1e999]", 3, "too large"),
        REFUSED("1e99999999999999999999999", 0, "too large"),
        REFUSED("1.7976931348623159e308", 0, "too large"),
        REFUSED("// c\n1", 0, "expected a value"),
        REFUSED("/* c */1", 0, "expected a value"),
        REFUSED("[1,/**/2]", 3, "expected a value"),
        REFUSED("{a:1}", 1, "double quotes"),
        REFUSED("True", 0, "expected a value"),
        REFUSED("NULL", 0, "expected a value"),
        REFUSED("[0x10]", 2, "expected , or ]"),
        REFUSED("\"\\x41\"", 2, "unknown escape"),
        REFUSED("\"\\'\"", 2, "unknown escape"),
        REFUSED("\"\\a\"", 2, "unknown escape"),
    };
    EXPECT_REFUSED(cases);
}

Test(json, refuses_bad_structure)
{
    static const struct refusal cases[] = {
        REFUSED("", 0, "empty text"),
        REFUSED(" \t\r\n", 4, "unexpected end"),
        REFUSED("\xef\xbb\xbf{}", 0, "byte order mark"),
        REFUSED("{} {}", 3, "behind the value"),
        REFUSED("1 x", 2, "behind the value"),
        REFUSED("{}\0", 2, "behind the value"),
        REFUSED("[]]", 2, "behind the value"),
        REFUSED("null,", 4, "behind the value"),
        REFUSED("[1,]", 3, "expected a value"),
        REFUSED("[,1]", 1, "expected a value"),
        REFUSED("[1 2]", 3, "expected , or ]"),
        REFUSED("[1}", 2, "expected , or ]"),
        REFUSED("{\"a\":1]", 6, "expected , or }"),
        REFUSED("{\"a\":1,}", 7, "member name"),
        REFUSED("{,}", 1, "member name"),
        REFUSED("{\"a\"}", 4, "colon"),
        REFUSED("{\"a\" 1}", 5, "colon"),
        REFUSED("{\"a\":}", 5, "expected a value"),
        REFUSED("{\"a\"::1}", 5, "expected a value"),
        REFUSED("{1:2}", 1, "member name"),
        REFUSED("{null:2}", 1, "member name"),
        REFUSED("]", 0, "expected a value"),
        REFUSED(":", 0, "expected a value"),
        REFUSED("\f1", 0, "expected a value"),
        REFUSED("\xc2\xa0"
                "1",
                0, "expected a value"),
        REFUSED("nul", 3, "unexpected end"),
        REFUSED("nulL", 3, "expected a value"),
        REFUSED("nullx", 4, "behind the value"),
        REFUSED("[trux]", 4, "expected a value"),
        REFUSED("[falze]", 4, "expected a value"),
        REFUSED("\"abc", 4, "unexpected end"),
        REFUSED("\"abc\\", 5, "unexpected end"),
        REFUSED("\"\\u12", 5, "unexpected end"),
        REFUSED("\"\\u12g4\"", 5, "hexadecimal"),
        REFUSED("\"\\u 123\"", 3, "hexadecimal"),
        REFUSED("\"\\ud83d\\", 8, "unexpected end"),
        REFUSED("\"\\ud83d\\u", 9, "unexpected end"),
        REFUSED("\"\\ud83d\\ude0x\"", 12, "hexadecimal"),
    };
    EXPECT_REFUSED(cases);
}

Test(json, refuses_bad_numbers)
{
    static const struct refusal cases[] = {
        REFUSED("+1", 0, "expected a value"), REFUSED(".5", 0, "expected a value"), REFUSED("1.", 2, "unexpected end"),
        REFUSED("[1.]", 3, "digit"),          REFUSED("01", 1, "leading zero"),     REFUSED("-01", 2, "leading zero"),
        REFUSED("00", 1, "leading zero"),     REFUSED("-", 1, "unexpected end"),    REFUSED("[-]", 2, "digit"),
        REFUSED("--1", 1, "digit"),           REFUSED("-.5", 1, "digit"),           REFUSED("1e", 2, "unexpected end"),
        REFUSED("[1e]", 3, "digit"),          REFUSED("[1e+]", 4, "digit"),         REFUSED("[1E-]", 4, "digit"),
        REFUSED("[1e1.5]", 4, "expected ,"),  REFUSED("1.2.3", 3, "behind"),        REFUSED("1_000", 1, "behind"),
        REFUSED("1f", 1, "behind"),           REFUSED("\xd9\xa1", 0, "a value"),
    };
    EXPECT_REFUSED(cases);
}

Test(json, refuses_invalid_utf8)
{
    static const struct refusal cases[] = {
        REFUSED("\"\x80\"", 1, "UTF-8"),
        REFUSED("\"a\xbf\"", 2, "UTF-8"),
        REFUSED("\"\xc0\x80\"", 1, "UTF-8"),
        REFUSED("\"\xc1\xbf\"", 1, "UTF-8"),
        REFUSED("\"\xc3\"", 1, "UTF-8"),
        REFUSED("\"\xc3(\"", 1, "UTF-8"),
        REFUSED("\"\xe0\x80\x80\"", 1, "UTF-8"),
        REFUSED("\"\xe0\x9f\xbf\"", 1, "UTF-8"),
        REFUSED("\"\xe2\x82\"", 1, "UTF-8"),
        REFUSED("\"\xe2(\xa1\"", 1, "UTF-8"),
        REFUSED("\"\xe2\x82(\"", 1, "UTF-8"),
        REFUSED("\"\xed\xa0\x80\"", 1, "UTF-8"), /* U+D800 */
        REFUSED("\"\xed\xbf\xbf\"", 1, "UTF-8"), /* U+DFFF */
        REFUSED("\"\xf0\x80\x80\x80\"", 1, "UTF-8"),
        REFUSED("\"\xf0\x8f\xbf\xbf\"", 1, "UTF-8"),
        REFUSED("\"\xf0\x9f\x98\"", 1, "UTF-8"),
        REFUSED("\"\xf4\x90\x80\x80\"", 1, "UTF-8"), /* U+110000 */
        REFUSED("\"\xf5\x80\x80\x80\"", 1, "UTF-8"),
        REFUSED("\"\xfe\"", 1, "UTF-8"),
        REFUSED("\"\xff\"", 1, "UTF-8"),
        REFUSED("\"12345678\xff\"", 9, "UTF-8"),
        REFUSED("{\"\xff\":1}", 2, "UTF-8"),
        REFUSED("\"\xe2\x82", 1, "UTF-8"),
    };
    EXPECT_REFUSED(cases);
}

/* The word-at-a-time skip must see a bad byte at every place of a word. */
Test(json, sees_bad_bytes_at_every_alignment)
{
    static const char bad[] = {0x00, 0x01, 0x1f, (char)0x80, (char)0xff};
    for (size_t len = 1; len <= 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t b = 0; b < sizeof(bad); b++) {
                char text[64];
                memset(text, 'x', sizeof(text));
                text[0] = text[len + 1] = '"';
                text[1 + at] = bad[b];
                struct outcome o = parse((struct span){text, len + 2});
                cr_assert_eq(o.status, -EINVAL, "len %zu at %zu", len, at);
                cr_assert_eq(o.offset, at + 1);
            }
        }
    }
}

Test(json, accepts)
{
    static const struct span cases[] = {
        SPAN("null"),
        SPAN(" true "),
        SPAN("\t\r\n false\n"),
        SPAN("0"),
        SPAN("-0"),
        SPAN("-0.0e-0"),
        SPAN("1E+2"),
        SPAN("1e-999"),
        SPAN("0e999999999"),
        SPAN("123456789012345678901234567890"),
        SPAN("1.7976931348623157e308"),
        SPAN("\"\""),
        SPAN("\"\\u0001\""),
        SPAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDe00\""),
        SPAN("\"\x7f\""),
        SPAN("\"\xc2\x80\""),
        SPAN("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
        SPAN("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""),
        SPAN("[]"),
        SPAN("[ ]"),
        SPAN("{}"),
        SPAN("{ }"),
        SPAN("{\"\":1}"),
        SPAN("[[],{},[[]],\"\"]"),
        SPAN("{\"a\":{\"a\":{\"a\":1}},\"A\":1}"),
        SPAN(" { \"a\" : [ 1 , 2 ] , \"b\" : null } "),
        SPAN("{\"a\":1,\"a \":1,\"aa\":1,\"\":1}"),
        SPAN("\"\\ufffe\\uffff\""),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome o = parse(cases[i]);
        cr_expect_eq(o.status, 0, "%.*s: %s", (int)cases[i].len, cases[i].ptr, o.err.text);
    }
}

Test(json, null_span_is_an_empty_text)
{
    struct json_doc doc;
    json_init(&doc);
    cr_assert_eq(json_parse(&doc, (struct span){NULL, 0}, NULL), -EINVAL);
    cr_assert_eq(doc.error_offset, 0);
    json_done(&doc);
}

Test(json, duplicate_names_are_compared_unescaped)
{
    static const struct refusal cases[] = {
        REFUSED("{\"a\":1,\"\\u0061\":2}", 7, "second member"),
        REFUSED("{\"\\u0061\":1,\"a\":2}", 12, "second member"),
        REFUSED("{\"\\n\":1,\"\\u000a\":2}", 8, "second member"),
        REFUSED("{\"\\/\":1,\"/\":2}", 8, "second member"),
        REFUSED("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", 18, "second member"),
        REFUSED("{\"\":1,\"\":2}", 6, "second member"),
        REFUSED("[{},{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]", 22, "second member"),
        REFUSED("{\"b\":1,\"a\":1,\"a\":1,\"b\":1}", 13, "second member"),
    };
    EXPECT_REFUSED(cases);
}

static size_t write_members(char *text, int count, int repeat, size_t *ret_offset)
{
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < count; i++) {
        if (i)
            text[n++] = ',';
        if (i == count - 1)
            *ret_offset = n;
        n += (size_t)sprintf(text + n, "\"k%d\":0", i == count - 1 && repeat >= 0 ? repeat : i);
    }
    text[n++] = '}';
    return n;
}

Test(json, finds_a_duplicate_in_objects_of_any_size)
{
    static char text[64 * 1024];
    for (int count = 2; count <= 80; count++) {
        size_t offset;
        size_t len = write_members(text, count, -1, &offset);
        cr_assert_eq(parse((struct span){text, len}).status, 0, "%d members", count);
        for (int repeat = 0; repeat < count - 1; repeat++) {
            len = write_members(text, count, repeat, &offset);
            struct outcome o = parse((struct span){text, len});
            cr_assert_eq(o.status, -EINVAL, "%d members, k%d twice", count, repeat);
            cr_assert_eq(o.offset, offset);
        }
    }
}

/* 1 MiB of members: quadratic work would take minutes. */
Test(json, many_members, .timeout = 20)
{
    enum { COUNT = 100000 };
    char *text = xmalloc(COUNT * 16);
    size_t offset;
    size_t len = write_members(text, COUNT, -1, &offset);
    cr_assert_eq(parse((struct span){text, len}).status, 0);
    len = write_members(text, COUNT, 4711, &offset);
    struct outcome o = parse((struct span){text, len});
    cr_assert_eq(o.status, -EINVAL);
    cr_assert_eq(o.offset, offset);
    free(text);
}

static struct outcome parse_nested(const char *open, const char *close, int depth)
{
    struct buf text;
    buf_init(&text, 4096);
    for (int i = 0; i < depth; i++)
        buf_add_str(&text, open);
    if (strchr(open, ':'))
        buf_add_char(&text, '1');
    for (int i = 0; i < depth; i++)
        buf_add_str(&text, close);
    struct outcome o = parse(buf_span(&text));
    buf_done(&text);
    return o;
}

Test(json, depth)
{
    cr_expect_eq(parse_nested("[", "]", JSON_DEPTH_MAX).status, 0);
    cr_expect_eq(parse_nested("{\"a\":", "}", JSON_DEPTH_MAX).status, 0);
    struct outcome o = parse_nested("[", "]", JSON_DEPTH_MAX + 1);
    cr_expect_eq(o.status, -EINVAL);
    cr_expect_eq(o.offset, 16);
    cr_expect(strstr(o.err.text, "nested deeper than 16"));
    o = parse_nested("{\"a\":", "}", JSON_DEPTH_MAX + 1);
    cr_expect_eq(o.status, -EINVAL);
    cr_expect_eq(o.offset, 16 * 5);
    cr_expect_eq(parse_nested("[", "]", 1000).offset, 16);
    cr_expect_eq(parse(SPAN("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]")).offset, 16, "an empty one counts too");
    cr_expect_eq(parse(SPAN("[[[[[[[[[[[[[[[[],[],{}]]]]]]]]]]]]]]]")).status, 0);
}

Test(json, cut_at_every_byte)
{
    static const char text[] =
        "{\"id\":\"a\\n\\u00e9\\ud83d\\ude00\",\"n\":[-1.5e+3,0,true,false,null],\"o\":{\"x\":{}}}";
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct outcome o = parse((struct span){text, len});
        cr_expect_eq(o.status, -EINVAL, "cut at %zu", len);
        cr_expect_eq(o.offset, len, "cut at %zu: %s", len, o.err.text);
    }
    cr_expect_eq(parse(SPAN(text)).status, 0);

    static const char utf8[] = "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]";
    for (size_t len = 0; len < sizeof(utf8) - 1; len++) {
        struct outcome o = parse((struct span){utf8, len});
        cr_expect_eq(o.status, -EINVAL, "cut at %zu", len);
        cr_expect_leq(o.offset, len);
        cr_expect_geq(o.offset + 3, len, "at most the cut sequence is named");
    }
}

Test(json, long_numbers)
{
    enum { DIGITS = 100000 };
    char *text = xmalloc(DIGITS + 8);
    memset(text, '9', DIGITS);
    cr_expect_eq(parse((struct span){text, 308}).status, 0);
    cr_expect_eq(parse((struct span){text, 309}).status, -EINVAL);
    struct outcome o = parse((struct span){text, DIGITS});
    cr_expect_eq(o.status, -EINVAL);
    cr_expect_eq(o.offset, 0);
    text[1] = '.';
    cr_expect_eq(parse((struct span){text, DIGITS}).status, 0);
    free(text);
}

Test(json, document_is_reusable)
{
    struct json_doc doc;
    json_init(&doc);
    char big[40001] = "[";
    for (size_t i = 1; i < sizeof(big); i++)
        big[i] = i % 2 ? '1' : ',';
    big[sizeof(big) - 1] = ']';
    cr_assert_eq(json_parse(&doc, (struct span){big, sizeof(big)}, NULL), 0);
    cr_assert_eq(doc.count, 20001);
    cr_assert_eq(json_parse(&doc, SPAN("[1,"), NULL), -EINVAL);
    cr_assert_eq(doc.count, 0);
    cr_assert_eq(json_parse(&doc, SPAN("[7]"), NULL), 0);
    cr_assert_eq(doc.count, 2);
    cr_assert_eq(doc.nodes[0].count, 1);
    cr_assert_eq(doc.error_offset, 0);
    cr_assert_lt(doc.cap, 20001, "a huge table is not kept for small texts");
    json_done(&doc);
}

/* The string by its definition, a byte at a time. */
static void write_slowly(const char *text, size_t len, struct buf *out)
{
    static const char named[] = "btnvfr"; /* of 8 to 13; 11 has no name */
    buf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c >= 8 && c <= 13 && c != 11)
            buf_addf(out, "\\%c", named[c - 8]);
        else if (c < 0x20)
            buf_addf(out, "\\u%04x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

Test(json, every_byte_at_every_place_is_escaped_where_it_must_be)
{
    char text[19];
    struct buf out, expected;
    buf_init(&out, 1024);
    buf_init(&expected, 1024);
    for (size_t at = 0; at < sizeof(text); at++)
        for (int byte = 0; byte < 256; byte++) {
            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            buf_clear(&out);
            buf_clear(&expected);
            json_add_string(&out, (struct span){text, sizeof(text)});
            write_slowly(text, sizeof(text), &expected);
            cr_assert(span_eq(buf_span(&out), buf_span(&expected)), "byte %d at %zu", byte, at);
        }
    buf_done(&out);
    buf_done(&expected);
}

Test(json, a_string_that_does_not_fit_fails_the_buffer)
{
    struct buf out;
    buf_init(&out, 10);
    json_add_string(&out, SPAN("12345678"));
    cr_assert_not(out.failed);
    cr_assert(span_is(buf_span(&out), "\"12345678\""));
    buf_clear(&out);
    json_add_string(&out, SPAN("123456789"));
    cr_assert(out.failed);
    buf_clear(&out);
    json_add_key(&out, "1234567");
    cr_assert_not(out.failed);
    json_add_key(&out, "");
    cr_assert(out.failed);
    buf_done(&out);
}
