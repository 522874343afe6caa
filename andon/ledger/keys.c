/* Rotation in two restarts: with both keys every checkpoint carries both signatures; later, with the new one alone, the
 * old one is published still. What the signers remember must have been signed by a key that signs now: a ledger cannot
 * be taken over by a key its readers have never heard of. Blocks on files; at start only. */
#include "andon/ledger/keys.h"

#include "andon/ledger/durable.h"
#include "andon/ledger/note_key.h"
#include "andon/ledger/signer.h"
#include "andon/ledger/signer_memory.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILE_MAX = 1 << 18 };

static int read_file(const char *path, struct buf *ret, struct error *err)
{
    char block[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, -errno, "cannot open %s: %s", path, error_text(-errno));
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0)
        buf_add(ret, block, (size_t)n);
    int r = n < 0 ? -errno : ret->failed ? -EFBIG : 0;
    close(fd);
    return r ? error_set(err, r, "cannot read %s: %s", path, error_text(r)) : 0;
}

static bool same_key(const struct note_key *a, const struct note_key *b)
{
    return a && b && strcmp(note_key_vkey(a), note_key_vkey(b)) == 0;
}

/* A key of the file; the newest stands last in it and first in the list. */
static void add_retired(struct ledger_keys *keys, struct note_key *key)
{
    if (same_key(key, keys->current) || same_key(key, keys->previous)) {
        note_key_free(key);
        return;
    }
    keys->retired = xrealloc((void *)keys->retired, (keys->retired_count + 1) * sizeof(struct note_key *));
    memmove((void *)(keys->retired + 1), (void *)keys->retired, keys->retired_count * sizeof(struct note_key *));
    keys->retired[0] = key;
    keys->retired_count++;
}

static int parse_known(struct ledger_keys *keys, struct span text, struct error *err)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct span line = {text.ptr, end ? (size_t)(end - text.ptr) : text.len};
        struct note_key *key;
        int r = note_key_from_vkey(line, &key, err);
        if (r || keys->retired_count == LEDGER_KEYS_MAX)
            return r ? error_prefix(err, -EUCLEAN, "%s, the public keys of this ledger, is damaged", keys->path)
                     : error_set(err, -E2BIG, "%s holds more than %d keys", keys->path, LEDGER_KEYS_MAX);
        add_retired(keys, key);
        text.ptr += line.len + (end ? 1 : 0);
        text.len -= line.len + (end ? 1 : 0);
    }
    return 0;
}

const struct note_key *ledger_keys_at(const struct ledger_keys *keys, size_t i)
{
    if (i == 0)
        return keys->current;
    if (keys->previous && i == 1)
        return keys->previous;
    i -= keys->previous ? 2 : 1;
    return i < keys->retired_count ? keys->retired[i] : NULL;
}

static int write_keys(const struct ledger_keys *keys, struct span text, struct error *err)
{
    struct buf name;
    buf_init(&name, PATH_BYTES);
    buf_addf(&name, "%s.new", keys->path);
    _cleanup_free_ char *path = buf_take(&name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : durable_write(fd, text, 0);
    if (!r && (fsync(fd) < 0 || rename(path, keys->path) < 0))
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (!r)
        r = durable_sync_directory_of(keys->path);
    return r ? error_set(err, r, "cannot write %s: %s", keys->path, error_text(r)) : 0;
}

/* Writes the file if it is not what it should be. */
static int remember(const struct ledger_keys *keys, struct span known, struct error *err)
{
    struct buf text;
    size_t count = 0;
    buf_init(&text, FILE_MAX);
    while (ledger_keys_at(keys, count))
        count++;
    while (count-- > 0)
        buf_addf(&text, "%s\n", note_key_vkey(ledger_keys_at(keys, count)));
    int r = span_eq(known, buf_span(&text)) ? 0 : write_keys(keys, buf_span(&text), err);
    buf_done(&text);
    return r;
}

static int check_memories(const struct ledger_keys *keys, const struct ledger_config *config, const char *state_dir,
                          struct error *err)
{
    for (uint32_t i = 0; i < (uint32_t)config->shards; i++) {
        const struct signer_options options = {.state_dir = state_dir,
                                               .origin = config->origin,
                                               .key = keys->current,
                                               .previous = keys->previous,
                                               .shard = i};
        struct signer *signer;
        int r = signer_open(&options, &signer, err);
        if (r)
            return r;
        signer_free(signer);
    }
    return 0;
}

static int open_previous(struct ledger_keys *keys, const struct ledger_config *config, struct error *err)
{
    if (!config->previous_key_file)
        return 0;
    int r = note_key_load(config->previous_key_file, config->origin, &keys->previous, err);
    if (r)
        return error_prefix(err, r == -ENOENT ? -ENOKEY : r,
                            "ledger.previous_key_file, which must sign as well until everybody has the new key");
    if (!same_key(keys->current, keys->previous))
        return 0;
    return error_set(err, -EINVAL,
                     "ledger.previous_key_file holds the same key as ledger.key_file: make a new one with `tai key new "
                     "ledger` and name it in ledger.key_file");
}

/* The one place that knows what the file is called. */
static char *path_of(const char *origin, const char *state_dir)
{
    struct buf path;
    buf_init(&path, PATH_BYTES);
    signer_file(&path, state_dir, origin);
    buf_add_str(&path, ".keys");
    return buf_take(&path);
}

static int open_all(struct ledger_keys *keys, const struct ledger_config *config, const char *state_dir,
                    struct error *err)
{
    struct buf known;
    int r = signer_key_open(config->key_file, config->origin, state_dir, (uint32_t)config->shards, &keys->current, err);
    if (!r)
        r = open_previous(keys, config, err);
    if (!r)
        r = check_memories(keys, config, state_dir, err);
    buf_init(&known, FILE_MAX);
    if (!r)
        r = read_file(keys->path, &known, err);
    if (!r)
        r = parse_known(keys, buf_span(&known), err);
    if (!r)
        r = remember(keys, buf_span(&known), err);
    buf_done(&known);
    return r;
}

int ledger_keys_open(const struct ledger_config *config, const char *state_dir, struct ledger_keys **ret,
                     struct error *err)
{
    struct ledger_keys *keys = xcalloc(1, sizeof(*keys));
    keys->path = path_of(config->origin, state_dir);
    int r = open_all(keys, config, state_dir, err);
    if (r) {
        ledger_keys_free(keys);
        return r;
    }
    *ret = keys;
    return 0;
}

void ledger_keys_free(struct ledger_keys *keys)
{
    if (!keys)
        return;
    note_key_free(keys->current);
    note_key_free(keys->previous);
    for (size_t i = 0; i < keys->retired_count; i++)
        note_key_free(keys->retired[i]);
    free((void *)keys->retired);
    free(keys->path);
    free(keys);
}

int ledger_keys_check(const char *origin, const char *state_dir, const struct note_key *key, char *ret_path,
                      struct error *err)
{
    struct ledger_keys known = {.path = path_of(origin, state_dir)};
    struct buf text;
    bool listed = false;
    buf_init(&text, FILE_MAX);
    snprintf(ret_path, PATH_BYTES, "%s", known.path);
    int r = access(known.path, F_OK) < 0 ? -errno : read_file(known.path, &text, err);
    if (!r)
        r = parse_known(&known, buf_span(&text), err);
    for (size_t i = 0; i < known.retired_count; i++) {
        listed |= same_key(known.retired[i], key);
        note_key_free(known.retired[i]);
    }
    if (!r && !listed)
        r = error_set(err, -EUCLEAN, "%s, the public keys of this ledger, does not have the one of its key file",
                      known.path);
    free((void *)known.retired);
    free(known.path);
    buf_done(&text);
    return r;
}

int ledger_keys_copy(const char *origin, const char *state_dir, const char *to, char ret_name[256], struct error *err)
{
    struct ledger_keys from = {.path = path_of(origin, state_dir)}, copy = {.path = path_of(origin, to)};
    const char *name = strrchr(from.path, '/') + 1;
    struct buf text;
    buf_init(&text, FILE_MAX);
    int r = strlen(name) > 255 ? error_set(err, -ENAMETOOLONG, "%s: the name is too long", name)
                               : read_file(from.path, &text, err);
    if (!r)
        r = write_keys(&copy, buf_span(&text), err);
    if (!r)
        memcpy(ret_name, name, strlen(name) + 1);
    buf_done(&text);
    free(from.path);
    free(copy.path);
    return r;
}
