/* Writing files that must survive a crash. Any thread; blocks. */
#include "andon/ledger/durable.h"

#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <unistd.h>

int durable_write(int fd, struct span data, off_t at)
{
    while (data.len) {
        ssize_t n = pwrite(fd, data.ptr, data.len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data.ptr += n;
        data.len -= (size_t)n;
        at += n;
    }
    return 0;
}

int durable_sync_directory_of(const char *path)
{
    _cleanup_free_ char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}
