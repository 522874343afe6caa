/* The signer of one shard's log. It signs only trees that extend the last one it signed, which it remembers on disk
 * (signer_memory.h) before a checkpoint leaves it.
 *
 * Two halves that may run on two threads: extend and check follow the log leaf by leaf (the loop's thread); sign
 * remembers and signs a tree that was checked (the signing thread). */
#ifndef TAI_ANDON_LEDGER_SIGNER_H
#define TAI_ANDON_LEDGER_SIGNER_H

#include "andon/ledger/merkle.h"
#include "andon/ledger/note.h"

struct signer;

struct signer_options {
    const char *state_dir;
    const char *origin; /* ledger.origin: the log's origin is this for shard 0, origin/<shard> for the others */
    const struct note_key *key;
    const struct note_key *previous; /* signs as well while keys are rotated; NULL: none */
    uint32_t shard;
};

/* The origin line of a shard's checkpoints. ret holds 128 bytes. -ENAMETOOLONG beyond. */
must_check int signer_origin(const char *origin, uint32_t shard, char ret[128]);

/* Loads key_file, or makes it on the first start of a ledger. A missing key file beside a memory of signed checkpoints
 * is refused: a new key would not verify the old ledger. */
must_check int signer_key_open(const char *key_file, const char *origin, const char *state_dir, uint32_t shards,
                               struct note_key **ret, struct error *err);

/* Copies what the signer of a shard remembers into another directory, on disk, whole though it may be written
 * meanwhile; ret_name: the file's name. -ENOENT: it remembers nothing. Any thread. */
must_check int signer_copy(const char *origin, const char *state_dir, uint32_t shard, const char *to,
                           char ret_name[256], struct error *err);

/* <state_dir>/<origin>, with what a file name should not carry as underscores: how the signer's files begin. */
void signer_file(struct buf *out, const char *state_dir, const char *origin);

/* -EKEYREJECTED: what was signed last was signed by neither key. */
must_check int signer_open(const struct signer_options *options, struct signer **ret, struct error *err);
/* What a signer of these options would remember, read at rest: the tree signed last. key NULL: under any key. -ENOENT:
 * nothing; -EUCLEAN; -EKEYREJECTED. ret_half: part of the memory is damaged, the rest is told. ret_path: 4096 bytes,
 * set in any case. */
must_check int signer_recall(const struct signer_options *options, struct merkle *ret, bool *ret_half, char *ret_path,
                             struct error *err);
void signer_free(struct signer *signer);
/* Takes over what another process has signed since, when the shard comes from it. Nothing may be being signed. */
must_check int signer_reload(struct signer *signer, struct error *err);
const char *signer_path(const struct signer *signer); /* of its memory */
bool signer_is_new(const struct signer *signer);      /* it had no memory when it was opened */

/* Leaves followed so far: those up to here were checked. */
uint64_t signer_size(const struct signer *signer);
void signer_extend(struct signer *signer, struct hasher *hasher, const uint8_t leaf[SHA256_SIZE]);
/* -EBADMSG unless head is the tree followed so far: a log that shrank, or other leaves than those signed. */
must_check int signer_check(const struct signer *signer, struct hasher *hasher, const struct merkle *head,
                            struct error *err);

/* Remembers tree on disk, then appends the signed checkpoint to note. -EBADMSG, with nothing signed, if tree is smaller
 * than the last one signed, of its size with another root, or does not keep its perfect subtrees. */
must_check int signer_sign(struct signer *signer, const struct merkle *tree, struct buf *note, struct error *err);

#endif
