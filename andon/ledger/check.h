/* Verifying a ledger at rest: each receipt's form, hash and identity, its link to the one before it, the tree against
 * its tiles, the head of each log and what the signer remembers, and the key. Its calls are the callbacks of
 * store/check.h. */
#ifndef TAI_ANDON_LEDGER_CHECK_H
#define TAI_ANDON_LEDGER_CHECK_H

#include "store/check.h"

struct ledger_check;

struct ledger_check_options {
    struct check *check;
    const char *state_dir; /* where the signer's memory is */
    const char *origin;    /* ledger.origin */
    const char *key_file;
    const char *previous_key_file; /* NULL: keys are not being rotated */
};

struct ledger_check *ledger_check_new(const struct ledger_check_options *options);
void ledger_check_free(struct ledger_check *ledger);

void ledger_check_shard(void *ledger, uint32_t shard);
void ledger_check_receipt(void *ledger, const struct checked_receipt *receipt);
void ledger_check_outcome(void *ledger, uint32_t shard, const struct outcome *outcome);
void ledger_check_head(void *ledger, const struct shard_head *head);
/* When all shards were seen: the key. ret_*: how many receipts are in the logs, and how many of them were signed. */
void ledger_check_end(struct ledger_check *ledger, uint64_t *ret_receipts, uint64_t *ret_signed);

#endif
