/* The inside of a note key, shared by the files that sign and verify. */
#ifndef TAI_ANDON_LEDGER_NOTE_KEY_H
#define TAI_ANDON_LEDGER_NOTE_KEY_H

#include "andon/ledger/note.h"

#include <openssl/evp.h>

enum { ED25519_PUBLIC = 32, ED25519_SIGNATURE = 64, NOTE_KEY_ID = 4, NOTE_NAME_MAX = 127 };

struct note_key {
    EVP_PKEY *pkey;
    bool can_sign;
    uint8_t public_key[ED25519_PUBLIC];
    uint8_t id[NOTE_KEY_ID];
    char name[NOTE_NAME_MAX + 1];
    char *vkey;
};

/* A name a vkey and a signature line can carry: 1..127 bytes of UTF-8 without white space, control characters and '+'.
 */
bool note_name_valid(struct span name);

/* Ed25519 over text. 0 or -EIO. */
must_check int note_sign(const struct note_key *key, struct span text, uint8_t ret[ED25519_SIGNATURE]);
bool note_signature_valid(const struct note_key *key, struct span text, const uint8_t signature[ED25519_SIGNATURE]);

#endif
