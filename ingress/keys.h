/* Who sent this body: HMAC keys by X-Key-Id and X-Signature. One per ingress loop (the HMAC contexts are reused). */
#ifndef TAI_INGRESS_KEYS_H
#define TAI_INGRESS_KEYS_H

#include "common/error.h"
#include "common/span.h"
#include "config/config.h"

struct keys;

/* Copies what it needs. */
struct keys *keys_new(const struct key_config *configs, size_t count);
void keys_free(struct keys *keys);
/* These instead, from now on. Ids and tenants that were handed out stay valid until keys_free. */
void keys_set(struct keys *keys, const struct key_config *configs, size_t count);
bool keys_none(const struct keys *keys); /* whoever is on this machine may send */

struct key_claim {
    struct span key_id;    /* X-Key-Id; ptr NULL: none */
    struct span signature; /* X-Signature; ptr NULL: none */
    struct span body;      /* exactly the bytes received */
};

/* Whether the key can only be told from the tenant the body names: no X-Key-Id and several keys. */
bool keys_need_tenant(const struct keys *keys, const struct key_claim *claim);

/* The key whose signature the body bears: the one named, else the only one, else the only one of tenant_id (ptr NULL:
 * unknown). -EACCES with err saying what to mend (401). */
must_check int keys_verify(const struct keys *keys, const struct key_claim *claim, struct span tenant_id,
                           const struct key_config **ret, struct error *err);

#endif
