/* The two-slot file behind a signer. Blocks on fdatasync: belongs to the signing thread once loaded. */
#include "andon/ledger/signer_memory.h"

#include "andon/ledger/durable.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOT = 8192, FIELDS = 9, FRONTIER_HEX_MAX = MERKLE_LEVELS * SHA256_HEX };

void signer_memory_init(struct signer_memory *memory, const char *path, const char *vkey, const char *previous_vkey,
                        const char *origin, uint32_t shard)
{
    *memory = (struct signer_memory){.path = xstrdup(path),
                                     .fd = -1,
                                     .vkey = vkey ? xstrdup(vkey) : NULL,
                                     .previous_vkey = previous_vkey ? xstrdup(previous_vkey) : NULL,
                                     .origin = xstrdup(origin),
                                     .shard = shard};
}

void signer_memory_done(struct signer_memory *memory)
{
    if (memory->fd >= 0)
        close(memory->fd);
    free(memory->path);
    free(memory->vkey);
    free(memory->previous_vkey);
    free(memory->origin);
}

static void add_sum(struct buf *out, struct hasher *hasher)
{
    uint8_t sum[SHA256_SIZE];
    char hex[SHA256_HEX];
    hasher_sha256(hasher, buf_span(out), sum);
    hex_encode(sum, sizeof(sum), hex);
    buf_add(out, hex, sizeof(hex));
}

static void write_record(const struct signer_memory *memory, struct hasher *hasher, const struct merkle *tree,
                         struct buf *out)
{
    uint8_t root[SHA256_SIZE];
    char hex[SHA256_HEX];
    merkle_root(tree, hasher, root);
    hex_encode(root, sizeof(root), hex);
    buf_addf(out, "tai-signer/1 %" PRIu64 " %s %s %" PRIu32 " %" PRIu64 " ", memory->generation, memory->vkey,
             memory->origin, memory->shard, tree->size);
    buf_add(out, hex, sizeof(hex));
    buf_add_char(out, ' ');
    for (uint32_t i = 0; i < tree->count; i++) {
        hex_encode(tree->frontier[i], SHA256_SIZE, hex);
        buf_add(out, hex, sizeof(hex));
    }
    buf_add_str(out, tree->count ? " " : "- ");
    add_sum(out, hasher);
    buf_add_char(out, '\n');
}

static bool parse_u64(struct span text, uint64_t *ret)
{
    char digits[21], *end;
    if (text.len == 0 || text.len >= sizeof(digits))
        return false;
    memcpy(digits, text.ptr, text.len);
    digits[text.len] = '\0';
    errno = 0;
    *ret = strtoull(digits, &end, 10);
    return digits[0] >= '0' && digits[0] <= '9' && *end == '\0' && errno == 0;
}

static bool split(struct span line, struct span fields[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++) {
        const char *space = i + 1 < FIELDS && line.len ? memchr(line.ptr, ' ', line.len) : NULL;
        if (i + 1 < FIELDS && !space)
            return false;
        fields[i] = (struct span){line.ptr, space ? (size_t)(space - line.ptr) : line.len};
        line.ptr += fields[i].len + (space ? 1 : 0);
        line.len -= fields[i].len + (space ? 1 : 0);
    }
    return true;
}

struct record {
    uint64_t generation, shard;
    struct span vkey, origin;
    struct merkle tree;
};

static bool parse_tree(struct span size, struct span root, struct span frontier, struct hasher *hasher,
                       struct merkle *ret)
{
    if (!parse_u64(size, &ret->size))
        return false;
    ret->count = (uint32_t)__builtin_popcountll(ret->size);
    if (ret->count == 0 ? !span_is(frontier, "-") : frontier.len != (size_t)ret->count * SHA256_HEX)
        return false;
    for (uint32_t i = 0; i < ret->count; i++)
        if (!hex_decode((struct span){frontier.ptr + (size_t)i * SHA256_HEX, SHA256_HEX}, ret->frontier[i],
                        SHA256_SIZE))
            return false;
    uint8_t stated[SHA256_SIZE], computed[SHA256_SIZE];
    merkle_root(ret, hasher, computed);
    return hex_decode(root, stated, sizeof(stated)) && memcmp(stated, computed, sizeof(stated)) == 0;
}

static bool parse_slot(const char slot[SLOT], struct hasher *hasher, struct record *ret)
{
    const char *end = memchr(slot, '\n', SLOT);
    struct span fields[FIELDS];
    uint8_t stated[SHA256_SIZE], computed[SHA256_SIZE];
    if (!end || !split((struct span){slot, (size_t)(end - slot)}, fields) || !span_is(fields[0], "tai-signer/1") ||
        !hex_decode(fields[8], stated, sizeof(stated)))
        return false;
    hasher_sha256(hasher, (struct span){slot, (size_t)(fields[8].ptr - slot)}, computed);
    *ret = (struct record){.vkey = fields[2], .origin = fields[3]};
    return memcmp(stated, computed, sizeof(stated)) == 0 && parse_u64(fields[1], &ret->generation) &&
           parse_u64(fields[4], &ret->shard) && parse_tree(fields[5], fields[6], fields[7], hasher, &ret->tree);
}

static int accept_record(struct signer_memory *memory, const struct record *record, struct merkle *ret,
                         struct error *err)
{
    bool current = !memory->vkey || span_eq(record->vkey, span_of(memory->vkey));
    bool previous = memory->previous_vkey && span_eq(record->vkey, span_of(memory->previous_vkey));
    if ((!current && !previous) || !span_eq(record->origin, span_of(memory->origin)) || record->shard != memory->shard)
        return error_set(err, -EKEYREJECTED,
                         "%s: the ledger was signed as %.*s with the key %.*s, not with %s: restore that key file and "
                         "ledger.origin; to rotate keys, name the old key file in ledger.previous_key_file",
                         memory->path, (int)record->origin.len, record->origin.ptr, (int)record->vkey.len,
                         record->vkey.ptr, memory->vkey ? memory->vkey : memory->origin);
    memory->generation = record->generation;
    memory->other_key = !current;
    *ret = record->tree;
    return 0;
}

/* The newer of the slots that are whole. */
static int choose(struct signer_memory *memory, const char *slots, struct hasher *hasher, struct merkle *ret,
                  bool *ret_half, struct error *err)
{
    struct record first = {0}, second = {0};
    bool has_first = parse_slot(slots, hasher, &first), has_second = parse_slot(slots + SLOT, hasher, &second);
    *ret_half = (!has_first && slots[0]) || (!has_second && slots[SLOT]);
    if (!has_first && !has_second)
        return error_set(err, -EUCLEAN,
                         "%s, in which the signer remembers its last checkpoint, is damaged: restore it, or remove it "
                         "to let the signer start from what the database holds",
                         memory->path);
    bool newer = !has_second || (has_first && first.generation > second.generation);
    return accept_record(memory, newer ? &first : &second, ret, err);
}

int signer_memory_load(struct signer_memory *memory, struct hasher *hasher, struct merkle *ret, struct error *err)
{
    int fd = open(memory->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", memory->path, error_text(-errno));
    char *slots = xcalloc(2, SLOT);
    ssize_t n = pread(fd, slots, (size_t)2 * SLOT, 0);
    int r = n < 0 ? error_set(err, -errno, "cannot read %s: %s", memory->path, error_text(-errno)) : 0;
    bool half;
    if (!r)
        r = choose(memory, slots, hasher, ret, &half, err);
    free(slots);
    if (r) {
        close(fd);
        return r;
    }
    if (memory->fd >= 0)
        close(memory->fd);
    memory->fd = fd;
    return 0;
}

static int read_slots(const char *path, char slots[2 * SLOT], struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", path, error_text(-errno));
    memset(slots, 0, 2 * SLOT);
    ssize_t n = pread(fd, slots, 2 * SLOT, 0);
    int r = n < 0 ? error_set(err, -errno, "cannot read %s: %s", path, error_text(-errno)) : 0;
    close(fd);
    return r;
}

int signer_memory_peek(struct signer_memory *memory, struct hasher *hasher, struct merkle *ret, bool *ret_half,
                       struct error *err)
{
    _cleanup_free_ char *slots = xcalloc(2, SLOT);
    int r = read_slots(memory->path, slots, err);
    return r ? r : choose(memory, slots, hasher, ret, ret_half, err);
}

static int write_new(const char *path, struct span data, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : durable_write(fd, data, 0);
    if (!r && fsync(fd) < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    return r ? error_set(err, r, "cannot write %s: %s", path, error_text(r)) : 0;
}

int signer_memory_copy(const char *from, const char *to, struct hasher *hasher, struct error *err)
{
    enum { TRIES = 20 };
    _cleanup_free_ char *slots = xcalloc(2, SLOT);
    for (int i = 0; i < TRIES; i++) {
        struct record record;
        int r = read_slots(from, slots, err);
        if (r)
            return r;
        /* The signer may have written both while they were read. */
        if (parse_slot(slots, hasher, &record) || parse_slot(slots + SLOT, hasher, &record))
            return write_new(to, (struct span){slots, 2 * SLOT}, err);
        usleep(1000);
    }
    return error_set(err, -EUCLEAN, "%s, in which the signer remembers its last checkpoint, is damaged", from);
}

static int write_slot(int fd, const struct buf *record, off_t at)
{
    int r = durable_write(fd, buf_span(record), at);
    return !r && fdatasync(fd) < 0 ? -errno : r;
}

/* A whole file appears under the name or none. */
static int create(struct signer_memory *memory, const struct buf *record, off_t at)
{
    struct buf temporary;
    buf_init(&temporary, SLOT);
    buf_addf(&temporary, "%s.new", memory->path);
    const char *path = buf_cstr(&temporary);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = fd < 0 || ftruncate(fd, 2 * SLOT) < 0 ? -errno : write_slot(fd, record, at);
    if (!r && (fsync(fd) < 0 || rename(path, memory->path) < 0))
        r = -errno;
    if (!r)
        r = durable_sync_directory_of(memory->path);
    if (r && fd >= 0)
        close(fd);
    if (!r)
        memory->fd = fd;
    buf_done(&temporary);
    return r;
}

int signer_memory_store(struct signer_memory *memory, struct hasher *hasher, const struct merkle *tree,
                        struct error *err)
{
    struct buf record;
    buf_init(&record, SLOT);
    memory->generation++;
    write_record(memory, hasher, tree, &record);
    off_t at = memory->generation % 2 ? SLOT : 0;
    int r = record.failed     ? -ENOBUFS
            : memory->fd >= 0 ? write_slot(memory->fd, &record, at)
                              : create(memory, &record, at);
    if (r && memory->fd >= 0) {
        close(memory->fd);
        memory->fd = -1;
    }
    if (!r)
        memory->other_key = false;
    buf_done(&record);
    return r ? error_set(err, r, "cannot write %s: %s", memory->path, error_text(r)) : 0;
}
