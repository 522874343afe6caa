/* What verification of anything starts from: public keys that came from elsewhere, and checkpoints kept from earlier
 * days. A note may carry signatures of several keys: while keys are rotated, of two. */
#ifndef TAI_ANDON_LEDGER_VERIFY_H
#define TAI_ANDON_LEDGER_VERIFY_H

#include "andon/ledger/note.h"

enum { VERIFY_KEYS_MAX = 16 };

struct verify_keys {
    struct note_key *keys[VERIFY_KEYS_MAX]; /* owned */
    size_t count;
};
/* -EINVAL: no vkey; -E2BIG: too many. */
must_check int verify_keys_add(struct verify_keys *keys, struct span vkey, struct error *err);
void verify_keys_done(struct verify_keys *keys);

/* Verifies a checkpoint: at least one of the keys signed it, and no signature under any of them is false. ret_key: one
 * that did; may be NULL. -EBADMSG with what is wrong. */
must_check int verify_checkpoint(const struct verify_keys *keys, struct span note, struct checkpoint *ret,
                                 const struct note_key **ret_key, struct error *err);
/* The key a file names, in its second line: one of those given, or one that signed the checkpoint as well. -EBADMSG. */
must_check int verify_named_key(const struct verify_keys *keys, struct span vkey, struct span note, struct error *err);
/* That the checkpoint is of this shard of the key's log. */
must_check int verify_origin(const struct note_key *key, const struct checkpoint *checkpoint, uint32_t shard,
                             struct error *err);

#endif
