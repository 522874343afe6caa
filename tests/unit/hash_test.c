/* Hashes, HMAC, encodings, UUIDs against published vectors. */
#include "common/hash.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *hex(const uint8_t *data, size_t len, char *ret)
{
    hex_encode(data, len, ret);
    ret[2 * len] = '\0';
    return ret;
}

Test(hash, sha256)
{
    uint8_t hash[SHA256_SIZE];
    char text[SHA256_HEX + 1];
    struct hasher *hasher = hasher_new();
    for (int again = 0; again < 2; again++) {
        hasher_sha256(hasher, SPAN("abc"), hash);
        cr_assert_str_eq(hex(hash, sizeof(hash), text),
                         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        hasher_sha256(hasher, (struct span){NULL, 0}, hash);
        cr_assert_str_eq(hex(hash, sizeof(hash), text),
                         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        const struct span parts[] = {SPAN("a"), {NULL, 0}, SPAN("bc")};
        hasher_sha256v(hasher, parts, 3, hash);
        cr_assert_str_eq(hex(hash, sizeof(hash), text),
                         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        hasher_sha256v(hasher, NULL, 0, hash);
        cr_assert_eq(hash[0], 0xe3);
    }
    hasher_free(hasher);
    hasher_free(NULL);
}

Test(hash, hmac)
{
    static char long_key[131], block_key[64], above_block_key[65];
    memset(long_key, 0xaa, sizeof(long_key));
    memset(block_key, 'k', sizeof(block_key));
    memset(above_block_key, 'k', sizeof(above_block_key));
    const struct {
        struct span key, data;
        const char *expected;
    } cases[] = {
        {SPAN("It's a Secret to Everybody"), SPAN("Hello, World!"),
         "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        {SPAN("Jefe"), SPAN("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{long_key, sizeof(long_key)},
         SPAN("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {{block_key, sizeof(block_key)}, SPAN("x"), "f91c4c403625fb06910ef93999265bbd2d62baeaec6ff36455498cc124fe3e66"},
        {{above_block_key, sizeof(above_block_key)},
         SPAN("x"),
         "75092ca3ee2b307470c227697b42b3e65376aa3bae98fb5a1f7b7536daa9588a"},
        {{NULL, 0}, {NULL, 0}, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t mac[SHA256_SIZE];
        char text[SHA256_HEX + 1];
        struct hmac *hmac = hmac_new(cases[i].key);
        for (int again = 0; again < 2; again++) {
            hmac_sha256(hmac, cases[i].data, mac);
            cr_expect_str_eq(hex(mac, sizeof(mac), text), cases[i].expected);
            hmac_sha256(hmac, SPAN("another text between"), mac);
        }
        hmac_free(hmac);
    }
    hmac_free(NULL);
}

Test(hash, standard_webhooks_vector)
{
    uint8_t key[24], mac[SHA256_SIZE];
    char text[4 * ((SHA256_SIZE + 2) / 3) + 1];
    cr_assert_eq(base64_decode(SPAN("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), key, sizeof(key)), 24);
    struct hmac *hmac = hmac_new((struct span){(const char *)key, sizeof(key)});
    hmac_sha256(hmac, SPAN("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}"), mac);
    cr_assert_eq(base64_encode(mac, sizeof(mac), text), sizeof(text) - 1);
    cr_assert_str_eq(text, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    hmac_free(hmac);
}

Test(hash, equal)
{
    cr_assert(hash_equal("abcd", "abcd", 4));
    cr_assert(hash_equal("abcd", "abce", 3));
    cr_assert_not(hash_equal("abcd", "abce", 4));
    cr_assert_not(hash_equal("abcd", "bbcd", 4));
    cr_assert(hash_equal("a", "b", 0));
}

/* The values are part of every data set: partitions and shards are chosen by them. */
Test(hash, pair)
{
    cr_expect_eq(hash_pair(SPAN(""), SPAN("")), 0xb9034ad37056f5fb);
    cr_expect_eq(hash_pair((struct span){NULL, 0}, (struct span){NULL, 0}), 0xb9034ad37056f5fb);
    cr_expect_eq(hash_pair(SPAN("acme"), SPAN("ent-1")), 0xc98f139ce5d2b7a2);
    cr_expect_eq(hash_pair(SPAN("acmee"), SPAN("nt-1")), 0x3008597a9d287a60);
    cr_expect_eq(hash_pair(SPAN("ent-1"), SPAN("acme")), 0x5eebf364ca71fbab);
    cr_expect_eq(hash_pair(SPAN("a"), SPAN("")), 0x86fc2d0407502de5);
    cr_expect_eq(hash_pair(SPAN(""), SPAN("a")), 0x60de25dbfdce3954);
    cr_expect_eq(hash_pair(SPAN("\xc3\xa9"), SPAN("\xff")), 0x15f04b4ce96a3b0c);
}

Test(hash, pair_spreads_numbered_names)
{
    unsigned count[16] = {0};
    for (int i = 0; i < 16000; i++) {
        char name[16];
        int n = snprintf(name, sizeof(name), "ent-%d", i);
        count[hash_pair(SPAN("tenant"), (struct span){name, (size_t)n}) % 16]++;
    }
    for (int p = 0; p < 16; p++) {
        cr_expect_gt(count[p], 850, "partition %d", p);
        cr_expect_lt(count[p], 1150, "partition %d", p);
    }
}

Test(hash, quick_tells_lengths_contents_and_seeds_apart)
{
    static const char zeros[17];
    uint64_t seen[64];
    size_t count = 0;
    for (size_t len = 0; len < sizeof(zeros); len++)
        for (uint64_t seed = 0; seed < 2; seed++)
            seen[count++] = hash_quick((struct span){zeros, len}, seed);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(seen[i], seen[k], "%zu and %zu", i, k);
    char text[] = "tenant-1/entitlement-22";
    uint64_t whole = hash_quick(span_of(text), 7);
    cr_assert_eq(hash_quick(span_of("tenant-1/entitlement-22"), 7), whole);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] ^= 1;
        cr_assert_neq(hash_quick(span_of(text), 7), whole, "byte %zu", i);
        text[i] ^= 1;
    }
}

Test(hash, quick_spreads_numbered_names)
{
    enum { NAMES = 16000, BUCKETS = 16 };
    int counts[BUCKETS] = {0};
    char name[32];
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "entitlement-%d", i);
        counts[hash_quick(span_of(name), 0) % BUCKETS]++;
    }
    for (int i = 0; i < BUCKETS; i++)
        cr_assert(counts[i] > 850 && counts[i] < 1150, "bucket %d has %d", i, counts[i]);
}

Test(encoding, hex)
{
    uint8_t bytes[4] = {0, 0, 0, 0};
    char text[9];
    cr_assert(hex_decode(SPAN("00ffA1b2"), bytes, 4));
    cr_assert_str_eq(hex(bytes, 4, text), "00ffa1b2");
    cr_assert(hex_decode(SPAN(""), bytes, 0));
    static const struct span bad[] = {SPAN(""),           SPAN("00ffa1"),     SPAN("00ffa1b"),  SPAN("00ffa1b20"),
                                      SPAN("00ffa1b2c3"), SPAN("00ffa1bg"),   SPAN("0x00ffa1"), SPAN(" 0ffa1b2"),
                                      SPAN("00ffa1b\0"),  SPAN("00ffa1b/"),   SPAN("00ffa1b:"), SPAN("00ffa1b@"),
                                      SPAN("00ffa1b`"),   SPAN("00ffa1b\x10")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(hex_decode(bad[i], bytes, 4), "accepted: %.*s", (int)bad[i].len, bad[i].ptr);
}

Test(encoding, base64)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len = strlen(cases[i][0]);
        cr_expect_eq(base64_encode((const uint8_t *)cases[i][0], len, text), strlen(cases[i][1]));
        cr_expect_str_eq(text, cases[i][1]);
        cr_expect_eq(base64_decode(span_of(cases[i][1]), bytes, len), (long)len, "%s", cases[i][1]);
        cr_expect_eq(memcmp(bytes, cases[i][0], len), 0);
        if (len)
            cr_expect_eq(base64_decode(span_of(cases[i][1]), bytes, len - 1), -1, "no room: %s", cases[i][1]);
    }
}

Test(encoding, base64_malformed)
{
    static const struct span bad[] = {
        SPAN("Z"),    SPAN("Zg"),   SPAN("Zg="),    SPAN("Zm8"),      SPAN("="),        SPAN("=="),
        SPAN("===="), SPAN("Z==="), SPAN("Zg==="),  SPAN("Zg==Zg=="), SPAN("Zg==Zm9v"), SPAN("Zm8=Zm9v"),
        SPAN("Zh=="), SPAN("Zm9="), SPAN("Zm9v\n"), SPAN("Zm9v\r\n"), SPAN(" Zm9v"),    SPAN("Zm 9"),
        SPAN("Zm9-"), SPAN("Zm9_"), SPAN("Zm9\0"),  SPAN("Zm9\xc3"),  SPAN("Zm9v===="), SPAN("Zg=a"),
        SPAN("=m9v"), SPAN("Z=9v"), SPAN("Zm9,"),   SPAN("Zm9."),     SPAN("Zm9["),     SPAN("Zm9{"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t bytes[16];
        cr_expect_eq(base64_decode(bad[i], bytes, sizeof(bytes)), -1, "accepted: %.*s", (int)bad[i].len, bad[i].ptr);
    }
}

Test(encoding, base64_round_trip)
{
    uint8_t bytes[100], back[100];
    char text[4 * ((100 + 2) / 3) + 1];
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        random_bytes(bytes, len);
        size_t n = base64_encode(bytes, len, text);
        cr_assert_eq(text[n], '\0');
        cr_assert_eq(base64_decode((struct span){text, n}, back, sizeof(back)), (long)len);
        cr_assert_eq(memcmp(bytes, back, len), 0);
    }
}

Test(uuid, vectors_of_rfc_9562)
{
    static const uint8_t dns[16] = {0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                    0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
    char text[UUID_TEXT + 1];
    struct hasher *hasher = hasher_new();
    for (int again = 0; again < 2; again++) {
        uuid5(hasher, dns, SPAN("www.example.com"), text);
        cr_assert_str_eq(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
        uint8_t hash[SHA256_SIZE];
        hasher_sha256(hasher, SPAN("abc"), hash);
        cr_assert_eq(hash[0], 0xba, "SHA-1 and SHA-256 share a hasher");
    }
    hasher_free(hasher);
    static const uint8_t random[10] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    uuid7(0x017F22E279B0, random, text);
    cr_assert_str_eq(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

Test(uuid, version_7_sorts_by_time)
{
    static const uint8_t high[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, low[10] = {0};
    char first[UUID_TEXT + 1], second[UUID_TEXT + 1];
    uuid7(1795186560123, high, first);
    uuid7(1795186560124, low, second);
    cr_assert_lt(strcmp(first, second), 0);
    cr_assert_str_eq(first + 14, "7fff-bfff-ffffffffffff");
    cr_assert_str_eq(second + 14, "7000-8000-000000000000");
}

Test(random, differs)
{
    uint8_t a[32] = {0}, b[32] = {0};
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    cr_assert(memcmp(a, b, sizeof(a)) != 0);
    random_bytes(a, 0);
}
