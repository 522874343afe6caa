/* Keys and checkpoints of a verification. Pure apart from OpenSSL; any thread. */
#include "andon/ledger/verify.h"

#include "andon/ledger/signer.h"

#include <errno.h>
#include <inttypes.h>

int verify_keys_add(struct verify_keys *keys, struct span vkey, struct error *err)
{
    if (keys->count == VERIFY_KEYS_MAX)
        return error_set(err, -E2BIG, "more than %d keys", VERIFY_KEYS_MAX);
    int r = note_key_from_vkey(vkey, &keys->keys[keys->count], err);
    if (!r)
        keys->count++;
    return r;
}

void verify_keys_done(struct verify_keys *keys)
{
    while (keys->count)
        note_key_free(keys->keys[--keys->count]);
}

int verify_checkpoint(const struct verify_keys *keys, struct span note, struct checkpoint *ret,
                      const struct note_key **ret_key, struct error *err)
{
    struct error first = {0};
    const struct note_key *signer = NULL;
    for (size_t i = 0; i < keys->count; i++) {
        struct error why;
        int r = checkpoint_open(note, keys->keys[i], ret, &why);
        if (r && r != -ENOKEY)
            return error_set(err, r, "%s", why.text);
        if (!r && !signer)
            signer = keys->keys[i];
        if (r && i == 0)
            first = why;
    }
    if (!signer)
        return error_set(err, -EBADMSG, "%s%s", first.text, keys->count > 1 ? ", nor by the other keys given" : "");
    if (ret_key)
        *ret_key = signer;
    return 0;
}

int verify_named_key(const struct verify_keys *keys, struct span vkey, struct span note, struct error *err)
{
    for (size_t i = 0; i < keys->count; i++)
        if (span_is(vkey, note_key_vkey(keys->keys[i])))
            return 0;
    struct note_key *key;
    struct checkpoint checkpoint;
    int r = note_key_from_vkey(vkey, &key, NULL);
    if (!r) {
        r = checkpoint_open(note, key, &checkpoint, NULL);
        note_key_free(key);
    }
    return r ? error_set(err, -EBADMSG, "it names another key than the one to verify with") : 0;
}

int verify_origin(const struct note_key *key, const struct checkpoint *checkpoint, uint32_t shard, struct error *err)
{
    char expected[128];
    if (signer_origin(note_key_name(key), shard, expected) == 0 && strcmp(checkpoint->origin, expected) == 0)
        return 0;
    return error_set(err, -EBADMSG, "the checkpoint is of the log %s, not of shard %" PRIu32 " of %s",
                     checkpoint->origin, shard, note_key_name(key));
}
