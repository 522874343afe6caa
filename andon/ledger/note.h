/* C2SP signed notes and checkpoints with Ed25519. Used by the signer and, offline, by `receipt verify`. */
#ifndef TAI_ANDON_LEDGER_NOTE_H
#define TAI_ANDON_LEDGER_NOTE_H

#include "common/buf.h"
#include "common/hash.h"

struct note_key; /* an Ed25519 key pair, or a public key alone, with its name */

/* Makes a key pair and writes it (PKCS#8 PEM, mode 0600, O_EXCL, fsynced with its directory). -EEXIST if path exists.
 */
must_check int note_key_create(const char *path, const char *name, struct note_key **ret, struct error *err);
must_check int note_key_load(const char *path, const char *name, struct note_key **ret, struct error *err);
must_check int note_key_from_vkey(struct span vkey, struct note_key **ret, struct error *err);
void note_key_free(struct note_key *key);
const char *note_key_vkey(const struct note_key *key); /* name+hex8+base64 */
const char *note_key_name(const struct note_key *key);
void note_key_public(const struct note_key *key, uint8_t ret[32]);

struct checkpoint {
    char origin[128];
    uint64_t size;
    uint8_t root[SHA256_SIZE];
};
/* The signed note over the checkpoint appended to out. */
must_check int checkpoint_sign(const struct checkpoint *checkpoint, const struct note_key *key, struct buf *out,
                               struct error *err);
/* Adds the signature of another key to the signed note that is all of note. */
must_check int note_cosign(struct buf *note, const struct note_key *key, struct error *err);
/* Parses a signed note without verifying it: for one's own. */
must_check int checkpoint_parse(struct span note, struct checkpoint *ret, struct error *err);
/* Parses a signed note and verifies it under key; -EBADMSG with what is wrong. Lines behind the root (extensions) are
 * allowed and covered by the signature; signatures of other keys are passed over. */
/* checkpoint_open: -ENOKEY instead if key did not sign it. */
must_check int checkpoint_open(struct span note, const struct note_key *key, struct checkpoint *ret, struct error *err);
must_check int checkpoint_verify(struct span note, const struct note_key *key, struct checkpoint *ret,
                                 struct error *err);

#endif
