/* Some receipts of a log, each with the proof that it is in it:
 *
 *   tai-bundle/1\n
 *   vkey <vkey>\n
 *   shard <decimal>\n
 *   c <line>\n                       the lines of one signed checkpoint, the blank one included
 *   r <receipt>\n                    exactly the hashed bytes, in log order
 *   p <index>[ <base64 hash>]…\n     its inclusion proof in the tree of the checkpoint
 *   …
 *   end <receipts>\n
 */
#ifndef TAI_ANDON_LEDGER_BUNDLE_H
#define TAI_ANDON_LEDGER_BUNDLE_H

#include "andon/ledger/export.h"
#include "andon/ledger/merkle_proof.h"

#define BUNDLE_TITLE "tai-bundle/1"

/* The line p. */
void bundle_write_proof(struct buf *out, uint64_t index, const struct merkle_proof *proof);

/* Checks that every receipt is canonical, in the checkpoint's tree at its index, and that those of a chain that follow
 * one another link. As export_verify; options->olds must be empty; report->leaves is the size of the log. */
must_check int bundle_verify(FILE *in, const struct export_options *options, struct export_report *ret,
                             struct error *err);

#endif
