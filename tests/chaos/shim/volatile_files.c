/* The signer's memory under TAI_CHAOS_FILES=volatile: what pwrite brings reaches the file with the sync of that
 * descriptor, and dies with the process before. Knows the files by their name. The signing thread's, and the loop's
 * before it. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

struct held {
    struct held *next;
    int fd;
    off_t at;
    size_t len;
    char data[];
};

static struct held *first, **last = &first;

static bool is_memory(int fd)
{
    char link[64], path[4096];
    const char *wanted = getenv("TAI_CHAOS_FILES");
    if (!wanted || strcmp(wanted, "volatile") != 0)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return strstr(path, ".checkpoint-") != NULL;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    int64_t writeback = shim_number("TAI_CHAOS_WRITEBACK", 0);
    if (!is_memory(fd) || (writeback && shim_sometimes((unsigned)writeback)))
        return __real_pwrite(fd, data, len, at);
    struct held *held = malloc(sizeof(*held) + len);
    if (!held)
        abort();
    *held = (struct held){.fd = fd, .at = at, .len = len};
    memcpy(held->data, data, len);
    *last = held;
    last = &held->next;
    return (ssize_t)len;
}

static void write_through(int fd)
{
    struct held **link = &first;
    last = &first;
    for (struct held *held; (held = *link);) {
        if (held->fd != fd) {
            link = &held->next;
            last = link;
            continue;
        }
        if (__real_pwrite(fd, held->data, held->len, held->at) != (ssize_t)held->len)
            abort();
        *link = held->next;
        free(held);
    }
}

static int sync_memory(int fd, int (*sync)(int fd))
{
    if (is_memory(fd)) {
        if (shim_skips_sync())
            return 0;
        write_through(fd);
    }
    return sync(fd);
}

int __wrap_fdatasync(int fd)
{
    return sync_memory(fd, __real_fdatasync);
}

int __wrap_fsync(int fd)
{
    return sync_memory(fd, __real_fsync);
}
