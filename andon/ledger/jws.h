/* A receipt as JWS (RFC 7515, RFC 8037): compact serialization, EdDSA with the ledger's key, the payload exactly the
 * hashed bytes. The protected header is `{"alg":"EdDSA","kid":"<key id>","typ":"tai-receipt+jws"}`, in this spelling.
 */
#ifndef TAI_ANDON_LEDGER_JWS_H
#define TAI_ANDON_LEDGER_JWS_H

#include "andon/ledger/note.h"

enum { JWS_OVERHEAD = 512 }; /* bytes beyond those of the payload in base64 */

/* The JWS appended to out. Any thread, one at a time per key. */
must_check int jws_sign(const struct note_key *key, struct span payload, struct buf *out, struct error *err);
/* Verifies text (one line feed behind it is allowed) under the one of keys that its kid names; the payload appended to
 * out. -EBADMSG with what is wrong. */
must_check int jws_verify(struct span text, struct note_key *const *keys, size_t key_count, struct buf *payload,
                          struct error *err);

#endif
