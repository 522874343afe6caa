/* What a signer must not forget: the last tree it signed, in a file of its own outside the database. Two slots of 8
 * KiB, written in turn and in place, each one line:
 *
 *   tai-signer/1 <generation> <vkey> <origin> <shard> <size> <root hex> <frontier hex, or -> <SHA-256 of the line so
 * far>\n
 *
 * A write torn by a crash leaves the other slot, which is the one that was published last. */
#ifndef TAI_ANDON_LEDGER_SIGNER_MEMORY_H
#define TAI_ANDON_LEDGER_SIGNER_MEMORY_H

#include "andon/ledger/merkle.h"
#include "andon/ledger/note.h"

struct signer_memory {
    char *path;
    int fd; /* -1: not open; the next write makes the file anew */
    uint64_t generation;
    char *vkey;
    char *previous_vkey; /* accepted as well; or NULL */
    bool other_key;      /* what is on disk was signed by the previous key */
    char *origin;
    uint32_t shard;
};

void signer_memory_init(struct signer_memory *memory, const char *path, const char *vkey, const char *previous_vkey,
                        const char *origin, uint32_t shard);
void signer_memory_done(struct signer_memory *memory);

/* Opens the file, again if it was open. 0, -ENOENT if there is no file yet; -EUCLEAN if no slot is whole; -EKEYREJECTED
 * if it belongs to another key, origin or shard. */
must_check int signer_memory_load(struct signer_memory *memory, struct hasher *hasher, struct merkle *ret,
                                  struct error *err);
/* As load, but changes nothing and keeps nothing open, so that it may be read at rest. vkey NULL in the memory: of any
 * key. ret_half: one of the two slots has something in it that cannot be read. */
must_check int signer_memory_peek(struct signer_memory *memory, struct hasher *hasher, struct merkle *ret,
                                  bool *ret_half, struct error *err);
/* Copies the file at from to a new one, on disk, with at least one whole slot. -ENOENT: there is none. */
must_check int signer_memory_copy(const char *from, const char *to, struct hasher *hasher, struct error *err);
/* Returns once the record is on disk. After a failure the old record still holds, and the next write starts a new file:
 * what a failed fsync left in this one is unknown. */
must_check int signer_memory_store(struct signer_memory *memory, struct hasher *hasher, const struct merkle *tree,
                                   struct error *err);

#endif
