/* Blocking; any thread. */
#include "apps/cli/manifest.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 + 256, TEXT_MAX = 1 << 18 };

static const char header[] = "# tai-backup/1 ";

static const char *join(struct buf *path, const char *dir, const char *name)
{
    buf_clear(path);
    buf_addf(path, "%s/%s", dir, name);
    return buf_cstr(path);
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

static int write_file(const char *path, struct span text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = 0;
    while (!r && text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR)
            r = -errno;
        text.ptr += n > 0 ? n : 0;
        text.len -= n > 0 ? (size_t)n : 0;
    }
    if (!r && fsync(fd) < 0)
        r = -errno;
    close(fd);
    return r;
}

static int add_file(struct buf *text, const char *path, const char *name, const struct manifest_watch *watch)
{
    uint8_t sum[SHA256_SIZE];
    char hex[SHA256_HEX];
    int r = hash_file(path, watch->go_on, watch->ctx, sum);
    hex_encode(sum, sizeof(sum), hex);
    if (!r) {
        buf_add(text, hex, sizeof(hex));
        buf_addf(text, "  %s\n", name);
    }
    return r;
}

/* Whole under its name or not at all. */
static int put_manifest(const char *dir, struct buf *path, struct span text)
{
    char *part = NULL, *whole = NULL;
    join(path, dir, MANIFEST_PART);
    part = buf_take(path);
    buf_init(path, PATH_BYTES);
    join(path, dir, MANIFEST_NAME);
    whole = buf_take(path);
    buf_init(path, PATH_BYTES);
    int r = write_file(part, text);
    if (!r)
        r = sync_dir(dir); /* the files it speaks of are there before it is */
    if (!r && rename(part, whole) < 0)
        r = -errno;
    if (!r)
        r = sync_dir(dir);
    free(part);
    free(whole);
    return r;
}

int manifest_begin(const char *dir, struct error *err)
{
    struct buf path;
    buf_init(&path, PATH_BYTES);
    int r =
        write_file(join(&path, dir, MANIFEST_PART), SPAN("# a backup that was not finished: remove this directory\n"));
    if (!r)
        r = sync_dir(dir);
    buf_done(&path);
    return r ? error_set(err, r, "%s: cannot write: %s", dir, error_text(r)) : 0;
}

static bool has(const char *dir, const char *name)
{
    struct buf path;
    buf_init(&path, PATH_BYTES);
    bool found = access(join(&path, dir, name), F_OK) == 0;
    buf_done(&path);
    return found;
}

int manifest_finished(const char *dir, struct error *err)
{
    return has(dir, MANIFEST_PART) ? error_set(err, -EBADMSG,
                                               "%s is a backup that was not finished (it holds %s): remove it, and use "
                                               "another one",
                                               dir, MANIFEST_PART)
                                   : 0;
}

bool manifest_in(const char *dir)
{
    return has(dir, MANIFEST_NAME);
}

int manifest_write(const char *dir, const char *const *names, size_t count, int64_t wall_ms,
                   const struct manifest_watch *watch, struct error *err)
{
    struct buf path, text;
    char time[TIME_RFC3339 + 1];
    int r = 0;
    buf_init(&path, PATH_BYTES);
    buf_init(&text, TEXT_MAX);
    time_format_rfc3339(wall_ms, time);
    buf_addf(&text, "%s" TAI_VERSION " %s\n", header, time);
    for (size_t i = 0; !r && i < count; i++)
        r = add_file(&text, join(&path, dir, names[i]), names[i], watch);
    if (!r)
        r = put_manifest(dir, &path, buf_span(&text));
    if (r)
        error_set(err, r, "%s: cannot write the manifest: %s", dir, error_text(r));
    buf_done(&text);
    buf_done(&path);
    return r;
}

/* --- verification ------------------------------------------------------------------------------------------------ */

static int read_manifest(const char *path, struct buf *ret, struct error *err)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return error_set(err, -errno, "cannot open %s: %s", path, error_text(-errno));
    char *room = buf_reserve(ret, TEXT_MAX - 1);
    size_t len = room ? fread(room, 1, TEXT_MAX - 1, in) : 0;
    ret->len = len;
    int r = ferror(in) || len == 0 || len == TEXT_MAX - 1 ? -EBADMSG : 0;
    fclose(in);
    if (!r && (memchr(ret->data, 0, len) || ret->data[len - 1] != '\n' ||
               strncmp(buf_cstr(ret), header, sizeof(header) - 1) != 0))
        r = -EBADMSG;
    return r ? error_set(err, r, "%s is no manifest of a backup", path) : 0;
}

/* "<hex>  <name>" */
static int verify_line(const char *dir, char *line, const struct manifest_watch *watch, struct error *err)
{
    uint8_t stated[SHA256_SIZE], sum[SHA256_SIZE];
    const char *name = line + SHA256_HEX + 2;
    if (strlen(line) <= SHA256_HEX + 2 || !hex_decode((struct span){line, SHA256_HEX}, stated, SHA256_SIZE) ||
        strncmp(line + SHA256_HEX, "  ", 2) != 0 || strchr(name, '/'))
        return error_set(err, -EBADMSG, "%s/" MANIFEST_NAME ": a line cannot be read", dir);
    struct buf path;
    buf_init(&path, PATH_BYTES);
    int r = hash_file(join(&path, dir, name), watch->go_on, watch->ctx, sum);
    if (r == -ENOENT)
        r = error_set(err, -EBADMSG, "%s/%s is missing", dir, name);
    else if (r)
        error_set(err, r, "cannot read %s/%s: %s", dir, name, error_text(r));
    else if (memcmp(stated, sum, SHA256_SIZE) != 0)
        r = error_set(err, -EBADMSG, "%s/%s is not what was written: its SHA-256 is another", dir, name);
    buf_done(&path);
    return r;
}

int manifest_verify(const char *dir, const struct manifest_watch *watch, size_t *ret_files, struct error *err)
{
    struct buf path, text;
    size_t files = 0;
    buf_init(&path, PATH_BYTES);
    buf_init(&text, TEXT_MAX);
    int r = read_manifest(join(&path, dir, MANIFEST_NAME), &text, err);
    char *rest = r ? NULL : text.data, *line;
    while (!r && (line = strsep(&rest, "\n"))) {
        if (*line == '\0' || *line == '#')
            continue;
        r = verify_line(dir, line, watch, err);
        files++;
    }
    if (!r && files == 0)
        r = error_set(err, -EBADMSG, "%s/" MANIFEST_NAME " names no files", dir);
    if (!r && ret_files)
        *ret_files = files;
    buf_done(&text);
    buf_done(&path);
    return r;
}
