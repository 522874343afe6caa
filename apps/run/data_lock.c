/* flock(2) on DIR/lock: released by the kernel however the process ends. */
#include "apps/run/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int held(int fd, const char *dir, const char *todo, struct error *err)
{
    char text[256] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    close(fd);
    return error_set(err, -EBUSY, "%s is in use by another tai run (%s): stop that one, or %s", dir,
                     *text ? text : "starting", todo);
}

int data_lock_take(const char *dir, int *ret_fd, struct error *err)
{
    char path[4096];
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return error_set(err, -errno, "cannot create the data directory %s: %s", dir, strerror(errno));
    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return held(fd, dir, "choose another --data directory", err);
    *ret_fd = fd;
    return 0;
}

int data_lock_try(const char *dir, int *ret_fd, struct error *err)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
        return error_set(err, -ENAMETOOLONG, "the data directory's path is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return error_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return held(fd, dir, "check a backup (`tai backup`)", err);
    *ret_fd = fd;
    return 0;
}

void data_lock_describe(int fd, const char *text)
{
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, strlen(text), 0);
}
