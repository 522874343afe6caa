/* The C2SP tlog-proof: written and read, and every spelling but one refused. */
#include "andon/ledger/tlog_proof.h"

#include <criterion/criterion.h>
#include <errno.h>

#define HASH_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define NOTE   "tai.test/log\n3\n" HASH_A "\n\n\xe2\x80\x94 tai.test/log AAAA\n"

static struct error err;

Test(tlog_proof, written_and_read)
{
    struct tlog_proof proof = {.index = 1, .proof = {.count = 2}, .checkpoint = SPAN(NOTE)}, read;
    struct buf out;
    for (int i = 0; i < SHA256_SIZE; i++)
        proof.proof.hashes[0][i] = proof.proof.hashes[1][i] = (uint8_t)i;
    buf_init(&out, 4096);
    tlog_proof_write(&proof, &out);
    cr_assert(span_is(buf_span(&out), "c2sp.org/tlog-proof@v1\nindex 1\n" HASH_A "\n" HASH_A "\n\n" NOTE));
    cr_assert_eq(tlog_proof_parse(buf_span(&out), &read, &err), 0, "%s", err.text);
    cr_assert_eq(read.index, 1);
    cr_assert_eq(read.proof.count, 2);
    cr_assert(memcmp(read.proof.hashes, proof.proof.hashes, 2 * sizeof(proof.proof.hashes[0])) == 0);
    cr_assert(span_is(read.checkpoint, NOTE));
    buf_done(&out);
}

Test(tlog_proof, refused)
{
    static const char *const bad[] = {
        "",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v2\nindex 1\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nindex 01\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nindex -1\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nindex 18446744073709551616\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nIndex 1\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nindex 1\nAAEC\n\n" NOTE,
        "c2sp.org/tlog-proof@v1\nindex 1\n" HASH_A "\n",
        "c2sp.org/tlog-proof@v1\r\nindex 1\r\n\r\n" NOTE,
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tlog_proof proof;
        err.text[0] = '\0';
        cr_expect_eq(tlog_proof_parse(span_of(bad[i]), &proof, &err), -EBADMSG, "%s", bad[i]);
        cr_expect(err.text[0]);
    }
    struct buf many;
    struct tlog_proof proof;
    buf_init(&many, 1 << 16);
    buf_add_str(&many, "c2sp.org/tlog-proof@v1\nindex 1\n");
    for (int i = 0; i < MERKLE_LEVELS + 1; i++)
        buf_add_str(&many, HASH_A "\n");
    buf_add_str(&many, "\n" NOTE);
    cr_expect_eq(tlog_proof_parse(buf_span(&many), &proof, &err), -EBADMSG, "65 hashes");
    buf_done(&many);
}
