/* X-Signature and the choice of the key; header checks of a POST. */
#include "ingress/guard.h"
#include "ingress/keys.h"

#include "common/hash.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static const char secret_text[] = "It's a Secret to Everybody";
/* The published example of GitHub's documentation. */
static const char vector[] = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

static struct key_config key(const char *id, const char *tenant)
{
    return (struct key_config){
        .id = id, .tenant = tenant, .secret = secret_text, .secret_len = sizeof(secret_text) - 1};
}

static int verify(const struct keys *keys, const char *id, const char *signature, const char *tenant,
                  const struct key_config **ret, struct error *err)
{
    const struct key_claim claim = {span_of(id), span_of(signature), SPAN("Hello, World!")};
    *ret = NULL;
    return keys_verify(keys, &claim, span_of(tenant), ret, err);
}

Test(keys, known_vector_in_every_spelling)
{
    const struct key_config configs[] = {key("k1", "acme")};
    struct keys *keys = keys_new(configs, 1);
    const struct key_config *found;
    struct error err;
    char prefixed[80];
    char upper[65];
    snprintf(prefixed, sizeof(prefixed), "sha256=%s", vector);
    for (size_t i = 0; i <= 64; i++)
        upper[i] = (char)(vector[i] >= 'a' ? vector[i] - 32 : vector[i]);
    cr_assert_eq(verify(keys, NULL, vector, NULL, &found, &err), 0, "%s", err.text);
    cr_assert_str_eq(found->id, "k1");
    cr_assert_eq(verify(keys, "k1", prefixed, NULL, &found, &err), 0, "%s", err.text);
    cr_assert_eq(verify(keys, "k1", upper, NULL, &found, &err), 0, "%s", err.text);
    keys_free(keys);
}

#define MISSING "X-Signature is missing: send the hex HMAC-SHA256 of the body with your key's secret"
#define FORM    "X-Signature must be 64 hexadecimal digits, with or without sha256= before them"
#define MISMATCH                                                                                                       \
    "X-Signature does not match: it must be the HMAC-SHA256 of exactly the bytes of the body with the secret of key "  \
    "k1"

struct bad {
    const char *id;
    const char *signature;
    const char *message;
};

Test(keys, refusals)
{
    static const struct bad cases[] = {
        {NULL, NULL, MISSING},
        {"k1", NULL, MISSING},
        {"k1", "", FORM},
        {"k1", "sha256=", FORM},
        {"k1", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1", FORM},
        {"k1", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e177", FORM},
        {"k1", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1g", FORM},
        {"k1", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", FORM},
        {"k1", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e18", MISMATCH},
        {"k1", "0000000000000000000000000000000000000000000000000000000000000000", MISMATCH},
        {"k2", vector, "X-Key-Id names no key of this server"},
        {"", vector, "X-Key-Id names no key of this server"},
        {"K1", vector, "X-Key-Id names no key of this server"},
    };
    const struct key_config configs[] = {key("k1", "acme")};
    struct keys *keys = keys_new(configs, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct key_config *found;
        struct error err;
        cr_assert_eq(verify(keys, cases[i].id, cases[i].signature, NULL, &found, &err), -EACCES, "case %zu", i);
        cr_assert_str_eq(err.text, cases[i].message, "case %zu: %s", i, err.text);
        cr_assert_null(found);
        cr_assert_null(strstr(err.text, vector), "the right signature must not be told");
    }
    keys_free(keys);
}

Test(keys, every_wrong_digit_is_noticed)
{
    const struct key_config configs[] = {key("k1", "acme")};
    struct keys *keys = keys_new(configs, 1);
    for (size_t i = 0; i < 64; i++) {
        const struct key_config *found;
        char wrong[65];
        memcpy(wrong, vector, sizeof(wrong));
        wrong[i] = wrong[i] == '0' ? '1' : '0';
        cr_assert_eq(verify(keys, NULL, wrong, NULL, &found, NULL), -EACCES, "digit %zu", i);
    }
    keys_free(keys);
}

Test(keys, default_key_is_the_only_one_of_the_tenant)
{
    const struct key_config configs[] = {key("k1", "acme"), key("k2", "beta"), key("k3", "beta"), key("k4", "*")};
    struct keys *keys = keys_new(configs, 4);
    const struct key_config *found;
    struct error err;
    const char *ambiguous = "X-Key-Id is missing: this server has several keys, so name yours";
    const struct key_claim unnamed = {.signature = span_of(vector)};
    const struct key_claim named = {.signature = span_of(vector), .key_id = SPAN("k1")};
    cr_assert(keys_need_tenant(keys, &unnamed));
    cr_assert_not(keys_need_tenant(keys, &named));
    cr_assert_eq(verify(keys, NULL, vector, "acme", &found, &err), 0, "%s", err.text);
    cr_assert_str_eq(found->id, "k1");
    static const char *const tenants[] = {"beta", "other", "*x", NULL};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(verify(keys, NULL, vector, tenants[i], &found, &err), -EACCES);
        cr_assert_str_eq(err.text, ambiguous);
    }
    cr_assert_eq(verify(keys, "k3", vector, "acme", &found, &err), 0);
    cr_assert_str_eq(found->id, "k3", "the named key counts; the tenant is checked with the signal");
    keys_free(keys);
}

Test(keys, the_body_is_what_is_signed)
{
    const struct key_config configs[] = {key("k1", "acme")};
    struct keys *keys = keys_new(configs, 1);
    const struct key_config *found;
    const struct key_claim claim = {.signature = span_of(vector), .body = SPAN("Hello, World! ")};
    cr_assert_eq(keys_verify(keys, &claim, (struct span){NULL, 0}, &found, NULL), -EACCES);
    keys_free(keys);
}

Test(keys, the_previous_secret_is_taken_as_well)
{
    struct key_config config = key("k1", "acme");
    const struct key_config *found;
    struct error err;
    config.previous = config.secret, config.previous_len = config.secret_len;
    config.secret = "another secret, the new one", config.secret_len = strlen(config.secret);
    struct keys *keys = keys_new(&config, 1);
    cr_assert_eq(verify(keys, NULL, vector, NULL, &found, &err), 0, "%s", err.text);
    config.previous = NULL;
    keys_set(keys, &config, 1);
    cr_assert_eq(verify(keys, NULL, vector, NULL, &found, &err), -EACCES);
    keys_free(keys);
}

Test(keys, others_are_taken_over_and_names_that_were_handed_out_stay)
{
    char id[] = "k1", tenant[] = "acme";
    const struct key_config first = key(id, tenant), other = key("k2", "beta");
    const struct key_config *found;
    struct error err;
    struct keys *keys = keys_new(&first, 1);
    cr_assert_not(keys_none(keys));
    cr_assert_eq(verify(keys, "k1", vector, NULL, &found, &err), 0, "%s", err.text);
    const char *handed_out = found->id, *of = found->tenant;
    memset(id, 'x', 2), memset(tenant, 'x', 4); /* the configuration is gone */
    keys_set(keys, &other, 1);
    cr_assert_eq(verify(keys, "k1", vector, NULL, &found, &err), -EACCES);
    cr_assert_eq(verify(keys, "k2", vector, NULL, &found, &err), 0, "%s", err.text);
    keys_set(keys, NULL, 0);
    cr_assert(keys_none(keys));
    cr_assert_str_eq(handed_out, "k1");
    cr_assert_str_eq(of, "acme");
    keys_free(keys);
}

Test(guard, content_types)
{
    static const char *const good[] = {"application/json",
                                       "APPLICATION/JSON",
                                       "application/json; charset=utf-8",
                                       "application/json;charset=UTF-8",
                                       "application/json ; charset=\"utf-8\"",
                                       "application/json;"};
    static const char *const bad[] = {"",
                                      "text/plain",
                                      "application/jsonx",
                                      "application/x-www-form-urlencoded",
                                      "application/json; charset=latin1",
                                      "application/json; boundary=x",
                                      "application/json, text/plain",
                                      "application/cloudevents+json",
                                      "application/json; charset",
                                      "application/json; charset=\""};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(guard_content_type(span_of(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(guard_content_type(span_of(bad[i])), "%s", bad[i]);
    cr_assert_not(guard_content_type((struct span){NULL, 0}));
}
