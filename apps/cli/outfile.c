/* The .part file is locked, so that two commands do not write into one; a leftover of a killed one is written over. */
#include "apps/cli/outfile.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *doing, const char *path, struct error *err)
{
    int code = errno ? -errno : -EIO;
    return error_set(err, code, "cannot %s %s: %s", doing, path, error_text(code));
}

static int open_part(struct outfile *out, struct error *err)
{
    if (asprintf(&out->part, "%s.part", out->path) < 0)
        abort();
    int fd = open(out->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return failed("write", out->part, err);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        close(fd);
        return error_set(err, -EBUSY, "%s is being written by another process", out->part);
    }
    if (ftruncate(fd, 0) < 0 || !(out->file = fdopen(fd, "w"))) {
        int code = failed("write", out->part, err);
        close(fd);
        return code;
    }
    return 0;
}

int outfile_open(struct outfile *out, const char *path, struct error *err)
{
    struct stat st;
    *out = (struct outfile){.file = stdout};
    if (!path || strcmp(path, "-") == 0)
        return 0;
    out->path = path;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        out->file = S_ISDIR(st.st_mode) ? NULL : fopen(path, "we");
        if (S_ISDIR(st.st_mode))
            errno = EISDIR;
        return out->file ? 0 : failed("write", path, err);
    }
    int rc = open_part(out, err);
    if (rc) {
        free(out->part);
        *out = (struct outfile){0};
    }
    return rc;
}

/* So that the new name survives a power cut. */
static void sync_directory(const char *path)
{
    char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

int outfile_commit(struct outfile *out, struct error *err)
{
    const char *name = out->path ? out->path : "the output";
    if (fflush(out->file) || ferror(out->file) || (out->part && fsync(fileno(out->file)) < 0)) {
        int code = failed("write", name, err);
        outfile_drop(out);
        return code;
    }
    if (out->part && rename(out->part, out->path) < 0) {
        int code = failed("write", name, err);
        outfile_drop(out);
        return code;
    }
    if (out->path)
        (void)fclose(out->file); /* the lock goes with it */
    if (out->part)
        sync_directory(out->part);
    free(out->part);
    *out = (struct outfile){0};
    return 0;
}

void outfile_drop(struct outfile *out)
{
    if (out->part)
        unlink(out->part);
    if (out->file && out->path)
        (void)fclose(out->file);
    free(out->part);
    *out = (struct outfile){0};
}
