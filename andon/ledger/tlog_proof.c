/* Writes and reads tlog-proofs. Pure; any thread. */
#include "andon/ledger/tlog_proof.h"

#include "common/lines.h"

#include <errno.h>

enum { HASH_BASE64 = 4 * ((SHA256_SIZE + 2) / 3) };

static const char title[] = "c2sp.org/tlog-proof@v1";

void tlog_proof_write(const struct tlog_proof *proof, struct buf *out)
{
    char base64[HASH_BASE64 + 1];
    buf_add_str(out, title);
    buf_add_str(out, "\nindex ");
    buf_add_u64(out, proof->index);
    buf_add_char(out, '\n');
    for (uint32_t i = 0; i < proof->proof.count; i++) {
        base64_encode(proof->proof.hashes[i], SHA256_SIZE, base64);
        buf_add_str(out, base64);
        buf_add_char(out, '\n');
    }
    buf_add_char(out, '\n');
    buf_add_span(out, proof->checkpoint);
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "proof: %s", what);
}

int tlog_proof_parse(struct span text, struct tlog_proof *ret, struct error *err)
{
    struct tlog_proof proof = {0};
    struct span line, number;
    if (!line_take(&text, &line) || !span_is(line, title))
        return bad(err, "the first line must be c2sp.org/tlog-proof@v1");
    if (!line_take(&text, &line) || !line_behind(line, "index ", &number) ||
        !decimal_parse(number, UINT64_MAX, &proof.index))
        return bad(err, "the second line must be \"index\" and a number");
    while (line_take(&text, &line)) {
        if (line.len == 0) {
            proof.checkpoint = text;
            *ret = proof;
            return 0;
        }
        if (proof.proof.count == MERKLE_LEVELS)
            return bad(err, "it has more than 64 hashes");
        if (base64_decode(line, proof.proof.hashes[proof.proof.count++], SHA256_SIZE) != SHA256_SIZE)
            return bad(err, "a hash is not 32 bytes in base64");
    }
    return bad(err, "a blank line and the checkpoint must follow the hashes");
}
