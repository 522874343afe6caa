/* The C2SP tlog-proof (https://c2sp.org/tlog-proof): a leaf's index, its inclusion proof, the checkpoint it leads to.
 *
 *   c2sp.org/tlog-proof@v1\n
 *   index <decimal>\n
 *   <base64 hash>\n          from the leaf to the root, at most 64
 *   \n
 *   <signed checkpoint>
 */
#ifndef TAI_ANDON_LEDGER_TLOG_PROOF_H
#define TAI_ANDON_LEDGER_TLOG_PROOF_H

#include "andon/ledger/merkle_proof.h"
#include "common/buf.h"

struct tlog_proof {
    uint64_t index;
    struct merkle_proof proof;
    struct span checkpoint; /* borrowed */
};

void tlog_proof_write(const struct tlog_proof *proof, struct buf *out);
/* Takes exactly one spelling. -EBADMSG with what is wrong. ret borrows from text. */
must_check int tlog_proof_parse(struct span text, struct tlog_proof *ret, struct error *err);

#endif
