/* A receipt as JWS: what is signed comes back byte for byte, anything else is refused. (That it is a JWS to others is
 * what tests/peers shows.) */
#include "andon/ledger/jws.h"
#include "support/ledger_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct note_key *key, *other;
static struct buf token, payload;
static struct error err;

static const char receipt[] = "{\"chain\":\"acme\",\"seq\":1,\"text\":\"\xc3\xa9\"}";

static void setup(void)
{
    key = ledger_key("tai.test/log");
    other = ledger_key("tai.test/log");
    buf_init(&token, 1 << 16);
    buf_init(&payload, 1 << 16);
    cr_assert_eq(jws_sign(key, SPAN(receipt), &token, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    buf_done(&token);
    buf_done(&payload);
    note_key_free(key);
    note_key_free(other);
}

TestSuite(jws, .init = setup, .fini = teardown);

static int verify(struct span text, struct note_key *first, struct note_key *second)
{
    struct note_key *keys[] = {first, second};
    buf_clear(&payload);
    err.text[0] = '\0';
    return jws_verify(text, keys, second ? 2 : 1, &payload, &err);
}

Test(jws, round_trip)
{
    cr_assert_eq(verify(buf_span(&token), key, NULL), 0, "%s", err.text);
    cr_assert(span_eq(buf_span(&payload), SPAN(receipt)));
    cr_assert_eq(verify(buf_span(&token), other, key), 0, "either key's");
    cr_assert_eq(verify(buf_span(&token), other, NULL), -EBADMSG);
    cr_assert(strstr(err.text, "key given"), "%s", err.text);
    buf_add_char(&token, '\n');
    cr_assert_eq(verify(buf_span(&token), key, NULL), 0, "a line feed may follow");
    buf_add_char(&token, '\n');
    cr_assert_eq(verify(buf_span(&token), key, NULL), -EBADMSG);
}

Test(jws, every_byte_counts)
{
    for (size_t i = 0; i < token.len; i++) {
        char kept = token.data[i];
        for (const char *c = "A_-.=+/ \n{"; *c; c++) {
            if (*c == kept || (*c == '\n' && i + 1 == token.len))
                continue;
            token.data[i] = *c;
            cr_assert_eq(verify(buf_span(&token), key, NULL), -EBADMSG, "byte %zu: %c", i, *c);
            cr_assert(err.text[0]);
        }
        token.data[i] = kept;
        cr_assert_eq(verify((struct span){token.data, i}, key, NULL), -EBADMSG, "cut off at %zu", i);
    }
}

/* "none", another algorithm or another type is no choice of the sender's. */
Test(jws, another_header)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"EdDSA\"}", "{}", ""};
    struct span rest = {memchr(token.data, '.', token.len), 0};
    rest.len = token.len - (size_t)(rest.ptr - token.data);
    for (size_t i = 0; i < 4; i++) {
        struct buf changed;
        char base64[128];
        buf_init(&changed, 1 << 16);
        base64url_encode((const uint8_t *)headers[i], strlen(headers[i]), base64);
        buf_add_str(&changed, base64);
        buf_add_span(&changed, rest);
        cr_assert_eq(verify(buf_span(&changed), key, NULL), -EBADMSG);
        buf_done(&changed);
    }
}

Test(jws, a_public_key_does_not_sign)
{
    struct note_key *public_half;
    cr_assert_eq(note_key_from_vkey(span_of(note_key_vkey(key)), &public_half, &err), 0);
    cr_assert_neq(jws_sign(public_half, SPAN(receipt), &token, &err), 0);
    note_key_free(public_half);
}
