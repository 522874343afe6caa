/* X-Signature: hex HMAC-SHA256 of the body, with or without `sha256=`, compared in constant time. Key ids are names,
 * not secrets: that there is no such key may be told. Messages never hold the expected signature. Ingress loop only. */
#include "ingress/keys.h"

#include "common/hash.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>

struct key {
    struct key_config config; /* without secrets */
    struct hmac *hmac;
    struct hmac *previous; /* of the secret before, or NULL */
};

struct keys {
    struct key *items;
    size_t count;
    struct arena names;
};

/* The text in the arena: the one that is there if a key has it. */
static const char *keep_name(struct keys *keys, const char *text)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->items[i].config.id, text) == 0)
            return keys->items[i].config.id;
        if (strcmp(keys->items[i].config.tenant, text) == 0)
            return keys->items[i].config.tenant;
    }
    return arena_copy(&keys->names, text, strlen(text));
}

static void free_items(struct key *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hmac_free(items[i].hmac);
        hmac_free(items[i].previous);
    }
    free(items);
}

void keys_set(struct keys *keys, const struct key_config *configs, size_t count)
{
    struct key *items = xcalloc(count ? count : 1, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        const struct key_config *config = &configs[i];
        items[i].config = (struct key_config){.id = keep_name(keys, config->id),
                                              .tenant = keep_name(keys, config->tenant),
                                              .scheme = config->scheme,
                                              .role = config->role};
        items[i].hmac = hmac_new((struct span){config->secret, config->secret_len});
        if (config->previous)
            items[i].previous = hmac_new((struct span){config->previous, config->previous_len});
    }
    free_items(keys->items, keys->count);
    keys->items = items;
    keys->count = count;
}

struct keys *keys_new(const struct key_config *configs, size_t count)
{
    struct keys *keys = xcalloc(1, sizeof(*keys));
    keys_set(keys, configs, count);
    return keys;
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    free_items(keys->items, keys->count);
    arena_done(&keys->names);
    free(keys);
}

bool keys_none(const struct keys *keys)
{
    return keys->count == 0;
}

bool keys_need_tenant(const struct keys *keys, const struct key_claim *claim)
{
    return !claim->key_id.ptr && keys->count > 1;
}

static const struct key *find_by_id(const struct keys *keys, struct span id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (span_is(id, keys->items[i].config.id))
            return &keys->items[i];
    return NULL;
}

/* NULL if the tenant has none or several. */
static const struct key *find_by_tenant(const struct keys *keys, struct span tenant_id)
{
    const struct key *found = NULL;
    for (size_t i = 0; i < keys->count; i++) {
        if (!span_is(tenant_id, keys->items[i].config.tenant))
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

/* hmac: NULL: no. */
static bool signed_with(struct hmac *hmac, struct span body, const uint8_t sent[SHA256_SIZE])
{
    uint8_t expected[SHA256_SIZE];
    if (!hmac)
        return false;
    hmac_sha256(hmac, body, expected);
    return hash_equal(sent, expected, sizeof(expected));
}

int keys_verify(const struct keys *keys, const struct key_claim *claim, struct span tenant_id,
                const struct key_config **ret, struct error *err)
{
    uint8_t sent[SHA256_SIZE];
    if (!claim->signature.ptr)
        return error_set(err, -EACCES,
                         "X-Signature is missing: send the hex HMAC-SHA256 of the body with your key's secret");
    const struct key *key = select_key(keys, claim, tenant_id, err);
    if (!key)
        return -EACCES;
    if (!decode_signature(claim->signature, sent))
        return error_set(err, -EACCES,
                         "X-Signature must be 64 hexadecimal digits, with or without sha256= before them");
    if (!signed_with(key->hmac, claim->body, sent) && !signed_with(key->previous, claim->body, sent))
        return error_set(err, -EACCES,
                         "X-Signature does not match: it must be the HMAC-SHA256 of exactly the bytes of the body with "
                         "the secret of key %s",
                         key->config.id);
    *ret = &key->config;
    return 0;
}
