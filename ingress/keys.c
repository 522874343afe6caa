/* X-Signature: hex HMAC-SHA256 of the body, with or without `sha256=`, compared in constant time. Key ids are names,
 * not secrets: that there is no such key may be told. Messages never hold the expected signature. Ingress loop only. */
#include "ingress/keys.h"

#include "common/hash.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>

struct key {
    const struct key_config *config;
    struct hmac *hmac;
};

struct keys {
    struct key *items;
    size_t count;
};

struct keys *keys_new(const struct key_config *configs, size_t count)
{
    struct keys *keys = xcalloc(1, sizeof(*keys));
    keys->items = xcalloc(count ? count : 1, sizeof(*keys->items));
    keys->count = count;
    for (size_t i = 0; i < count; i++) {
        keys->items[i].config = &configs[i];
        keys->items[i].hmac = hmac_new((struct span){configs[i].secret, configs[i].secret_len});
    }
    return keys;
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        hmac_free(keys->items[i].hmac);
    free(keys->items);
    free(keys);
}

bool keys_need_tenant(const struct keys *keys, const struct key_claim *claim)
{
    return !claim->key_id.ptr && keys->count > 1;
}

static const struct key *find_by_id(const struct keys *keys, struct span id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (span_is(id, keys->items[i].config->id))
            return &keys->items[i];
    return NULL;
}

/* NULL if the tenant has none or several. */
static const struct key *find_by_tenant(const struct keys *keys, struct span tenant_id)
{
    const struct key *found = NULL;
    for (size_t i = 0; i < keys->count; i++) {
        if (!span_is(tenant_id, keys->items[i].config->tenant))
            continue;
        if (found)
            return NULL;
        found = &keys->items[i];
    }
    return found;
}

/* NULL with err saying why. */
static const struct key *select_key(const struct keys *keys, const struct key_claim *claim, struct span tenant_id,
                                    struct error *err)
{
    if (claim->key_id.ptr) {
        const struct key *named = find_by_id(keys, claim->key_id);
        if (!named)
            (void)error_set(err, -EACCES, "X-Key-Id names no key of this server");
        return named;
    }
    if (keys->count == 1)
        return &keys->items[0];
    const struct key *only = tenant_id.ptr ? find_by_tenant(keys, tenant_id) : NULL;
    if (!only)
        (void)error_set(err, -EACCES, "X-Key-Id is missing: this server has several keys, so name yours");
    return only;
}

static bool decode_signature(struct span text, uint8_t ret[SHA256_SIZE])
{
    static const char prefix[] = "sha256=";
    if (text.len >= sizeof(prefix) - 1 && memcmp(text.ptr, prefix, sizeof(prefix) - 1) == 0) {
        text.ptr += sizeof(prefix) - 1;
        text.len -= sizeof(prefix) - 1;
    }
    return text.len == SHA256_HEX && hex_decode(text, ret, SHA256_SIZE);
}

int keys_verify(const struct keys *keys, const struct key_claim *claim, struct span tenant_id,
                const struct key_config **ret, struct error *err)
{
    uint8_t sent[SHA256_SIZE];
    uint8_t expected[SHA256_SIZE];
    if (!claim->signature.ptr)
        return error_set(err, -EACCES,
                         "X-Signature is missing: send the hex HMAC-SHA256 of the body with your key's secret");
    const struct key *key = select_key(keys, claim, tenant_id, err);
    if (!key)
        return -EACCES;
    if (!decode_signature(claim->signature, sent))
        return error_set(err, -EACCES,
                         "X-Signature must be 64 hexadecimal digits, with or without sha256= before them");
    hmac_sha256(key->hmac, claim->body, expected);
    if (!hash_equal(sent, expected, sizeof(expected)))
        return error_set(err, -EACCES,
                         "X-Signature does not match: it must be the HMAC-SHA256 of exactly the bytes of the body with "
                         "the secret of key %s",
                         key->config->id);
    *ret = key->config;
    return 0;
}
