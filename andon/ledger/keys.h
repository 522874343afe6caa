/* The keys of a ledger: the one that signs, during a rotation the one before it, which signs as well, and whatever else
 * has ever signed, as public keys, so that what was signed long ago can be verified. The public ones are remembered in
 * <state_dir>/<origin>.keys, a vkey a line, the oldest first. */
#ifndef TAI_ANDON_LEDGER_KEYS_H
#define TAI_ANDON_LEDGER_KEYS_H

#include "andon/ledger/note.h"
#include "config/config.h"

enum { LEDGER_KEYS_MAX = 1000 };

struct ledger_keys {
    struct note_key *current;
    struct note_key *previous; /* NULL unless a rotation is under way */
    struct note_key **retired; /* public halves, the newest first; neither current nor previous among them */
    size_t retired_count;
    char *path;
};

/* Loads the keys, and makes the first one on the first start of a ledger. -ENOKEY: a key file is missing although the
 * ledger was signed before; -EKEYREJECTED: what was signed last is neither key's. */
must_check int ledger_keys_open(const struct ledger_config *config, const char *state_dir, struct ledger_keys **ret,
                                struct error *err);
void ledger_keys_free(struct ledger_keys *keys);
/* The i-th published key: the current one, the previous one, the retired ones; NULL beyond the last. */
const struct note_key *ledger_keys_at(const struct ledger_keys *keys, size_t i);

/* Whether the file of the public keys, read at rest, can be read and has this key. -ENOENT: there is none yet;
 * -EUCLEAN. ret_path: 4096 bytes, set in any case. */
must_check int ledger_keys_check(const char *origin, const char *state_dir, const struct note_key *key, char *ret_path,
                                 struct error *err);

/* Copies the file of the public keys, as signer_copy. */
must_check int ledger_keys_copy(const char *origin, const char *state_dir, const char *to, char ret_name[256],
                                struct error *err);

#endif
