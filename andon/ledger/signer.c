/* Refuses before it signs: the private key is the only thing that makes a ledger provable, so it must never sign two
 * histories. */
#include "andon/ledger/signer.h"

#include "andon/ledger/signer_memory.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct signer {
    struct merkle followed; /* the loop's half */
    bool is_new;
    /* the signing half */
    struct hasher *hasher;
    const struct note_key *key, *previous;
    struct signer_memory memory;
    struct merkle last;
    bool stored; /* last is on disk */
    char origin[128];
};

int signer_origin(const char *origin, uint32_t shard, char ret[128])
{
    struct buf out;
    buf_init(&out, 127);
    buf_add_str(&out, origin);
    if (shard)
        buf_addf(&out, "/%" PRIu32, shard);
    int r = out.failed || out.len == 0 ? -ENAMETOOLONG : 0;
    if (!r)
        memcpy(ret, buf_cstr(&out), out.len + 1);
    buf_done(&out);
    return r;
}

void signer_file(struct buf *out, const char *state_dir, const char *origin)
{
    buf_addf(out, "%s/", state_dir);
    for (const char *c = origin; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
                     *c == '_' || (*c == '.' && c != origin);
        buf_add_char(out, plain ? *c : '_');
    }
}

static char *memory_path(const char *state_dir, const char *origin, uint32_t shard)
{
    struct buf out;
    buf_init(&out, PATH_BYTES);
    signer_file(&out, state_dir, origin);
    buf_addf(&out, ".checkpoint-%" PRIu32, shard);
    return buf_take(&out);
}

static int find_memory(const char *key_file, const char *origin, const char *state_dir, uint32_t shards,
                       struct error *err)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < shards; i++) {
        _cleanup_free_ char *path = memory_path(state_dir, origin, i);
        if (access(path, F_OK) == 0)
            r = error_set(err, -ENOKEY,
                          "the key file %s is missing, but %s shows that this ledger was signed before: restore the "
                          "key file",
                          key_file, path);
    }
    return r;
}

int signer_key_open(const char *key_file, const char *origin, const char *state_dir, uint32_t shards,
                    struct note_key **ret, struct error *err)
{
    int r = note_key_load(key_file, origin, ret, err);
    if (r != -ENOENT)
        return r;
    r = find_memory(key_file, origin, state_dir, shards, err);
    if (r)
        return r;
    r = note_key_create(key_file, origin, ret, err);
    return r == -EEXIST ? note_key_load(key_file, origin, ret, err) : r;
}

int signer_copy(const char *origin, const char *state_dir, uint32_t shard, const char *to, char ret_name[256],
                struct error *err)
{
    _cleanup_free_ char *from = memory_path(state_dir, origin, shard);
    const char *name = strrchr(from, '/') + 1;
    struct buf path;
    buf_init(&path, PATH_BYTES);
    buf_addf(&path, "%s/%s", to, name);
    struct hasher *hasher = hasher_new();
    int r = path.failed || strlen(name) > 255 ? error_set(err, -ENAMETOOLONG, "%s/%s: the path is too long", to, name)
                                              : signer_memory_copy(from, buf_cstr(&path), hasher, err);
    if (!r)
        memcpy(ret_name, name, strlen(name) + 1);
    hasher_free(hasher);
    buf_done(&path);
    return r;
}

int signer_recall(const struct signer_options *options, struct merkle *ret, bool *ret_half, char *ret_path,
                  struct error *err)
{
    char origin[128];
    _cleanup_free_ char *path = memory_path(options->state_dir, options->origin, options->shard);
    snprintf(ret_path, PATH_BYTES, "%s", path);
    if (signer_origin(options->origin, options->shard, origin))
        return error_set(err, -EINVAL, "ledger.origin \"%s\" is too long: at most 120 characters", options->origin);
    struct signer_memory memory;
    struct hasher *hasher = hasher_new();
    signer_memory_init(&memory, path, options->key ? note_key_vkey(options->key) : NULL,
                       options->previous ? note_key_vkey(options->previous) : NULL, origin, options->shard);
    int r = signer_memory_peek(&memory, hasher, ret, ret_half, err);
    signer_memory_done(&memory);
    hasher_free(hasher);
    return r;
}

int signer_open(const struct signer_options *options, struct signer **ret, struct error *err)
{
    struct signer *signer = xcalloc(1, sizeof(*signer));
    signer->key = options->key;
    signer->previous = options->previous;
    if (signer_origin(options->origin, options->shard, signer->origin)) {
        free(signer);
        return error_set(err, -EINVAL, "ledger.origin \"%s\" is too long: at most 120 characters", options->origin);
    }
    _cleanup_free_ char *path = memory_path(options->state_dir, options->origin, options->shard);
    signer_memory_init(&signer->memory, path, note_key_vkey(options->key),
                       options->previous ? note_key_vkey(options->previous) : NULL, signer->origin, options->shard);
    signer->hasher = hasher_new();
    int r = signer_memory_load(&signer->memory, signer->hasher, &signer->last, err);
    signer->is_new = r == -ENOENT;
    signer->stored = !r;
    if (r && r != -ENOENT) {
        signer_free(signer);
        return r;
    }
    signer->followed = signer->last;
    *ret = signer;
    return 0;
}

int signer_reload(struct signer *signer, struct error *err)
{
    struct merkle tree;
    int r = signer_memory_load(&signer->memory, signer->hasher, &tree, err);
    if (r == -ENOENT && !signer->stored)
        return 0;
    if (r)
        return r;
    if (tree.size > signer->last.size)
        signer->last = tree;
    if (signer->last.size > signer->followed.size)
        signer->followed = signer->last;
    signer->stored = true;
    return 0;
}

void signer_free(struct signer *signer)
{
    if (!signer)
        return;
    signer_memory_done(&signer->memory);
    hasher_free(signer->hasher);
    free(signer);
}

const char *signer_path(const struct signer *signer)
{
    return signer->memory.path;
}

bool signer_is_new(const struct signer *signer)
{
    return signer->is_new;
}

uint64_t signer_size(const struct signer *signer)
{
    return signer->followed.size;
}

void signer_extend(struct signer *signer, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE])
{
    merkle_append(&signer->followed, hasher, leaf);
}

int signer_check(const struct signer *signer, struct hasher *hasher, const struct merkle *head, struct error *err)
{
    if (merkle_same(&signer->followed, head))
        return 0;
    if (head->size != signer->followed.size)
        return error_set(err, -EBADMSG,
                         "the ledger holds %" PRIu64 " receipts, but %" PRIu64 " were signed or committed before: it "
                         "is not the one %s belongs to",
                         head->size, signer->followed.size, signer->memory.path);
    uint8_t ours[SHA256_SIZE], theirs[SHA256_SIZE];
    char ours_hex[SHA256_HEX], theirs_hex[SHA256_HEX];
    merkle_root(&signer->followed, hasher, ours);
    merkle_root(head, hasher, theirs);
    hex_encode(ours, SHA256_SIZE, ours_hex);
    hex_encode(theirs, SHA256_SIZE, theirs_hex);
    return error_set(err, -EBADMSG,
                     "the ledger of %" PRIu64 " receipts has the root %.*s, but what %s remembers leads to %.*s: "
                     "signed receipts were changed",
                     head->size, SHA256_HEX, theirs_hex, signer->memory.path, SHA256_HEX, ours_hex);
}

/* Perfect subtrees both trees have at the same place: all of an extension's frontier that begins at 0 and is in the old
 * one. A cheap second opinion behind the leaf by leaf check. */
static bool keeps_subtrees(const struct merkle *old, const struct merkle *tree)
{
    uint64_t common = old->size ^ tree->size, at = 0;
    uint64_t mask = common ? ~UINT64_C(0) << (63 - __builtin_clzll(common)) : ~UINT64_C(0);
    mask = common ? mask << 1 : mask;
    at = old->size & mask;
    uint32_t shared = (uint32_t)__builtin_popcountll(at);
    return memcmp(old->frontier, tree->frontier, (size_t)shared * SHA256_SIZE) == 0;
}

int signer_sign(struct signer *signer, const struct merkle *tree, struct buf *note, struct error *err)
{
    const struct merkle *last = &signer->last;
    if (tree->count != (uint32_t)__builtin_popcountll(tree->size) || tree->size < last->size ||
        !keeps_subtrees(last, tree))
        return error_set(err, -EBADMSG,
                         "refused to sign %" PRIu64 " receipts for %s: they do not extend the %" PRIu64
                         " signed before",
                         tree->size, signer->origin, last->size);
    if (!signer->stored || tree->size != last->size || signer->memory.other_key) {
        int r = signer_memory_store(&signer->memory, signer->hasher, tree, err);
        if (r)
            return r;
        signer->last = *tree;
        signer->stored = true;
    }
    struct checkpoint checkpoint = {.size = tree->size};
    memcpy(checkpoint.origin, signer->origin, sizeof(checkpoint.origin));
    merkle_root(tree, signer->hasher, checkpoint.root);
    int r = checkpoint_sign(&checkpoint, signer->key, note, err);
    return r || !signer->previous ? r : note_cosign(note, signer->previous, err);
}
