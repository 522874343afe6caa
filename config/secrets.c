/* The secrets of keys from their files. Only regular files are read (a FIFO would hang the start), and their contents
 * go nowhere but into the key; config_free overwrites them. */
#include "config/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MAX = 4096 };

static int read_fd(int fd, char ret[SECRET_MAX + 1], size_t *ret_len)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return -EPERM; /* who can write it can sign */
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, ret + len, SECRET_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        len += (size_t)n;
        if (n == 0 || len > SECRET_MAX)
            break;
    }
    *ret_len = len;
    return len > SECRET_MAX ? -EFBIG : 0;
}

static int read_file(const char *path, char ret[SECRET_MAX + 1], size_t *ret_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int code = read_fd(fd, ret, ret_len);
    close(fd);
    if (code == 0 && *ret_len > 0 && ret[*ret_len - 1] == '\n')
        (*ret_len)--;
    if (code == 0 && *ret_len > 0 && ret[*ret_len - 1] == '\r')
        (*ret_len)--;
    return code;
}

/* The secret in the file of the item's option called key; NULL and a problem if there is none. */
static const char *read_secret(struct loader *loader, size_t index, const char *key, const char *path, size_t *ret_len)
{
    struct origin origin = item_origin(loader->config, LIST_KEYS, index, key);
    const char *secret = NULL;
    char text[SECRET_MAX + 1];
    size_t len = 0;
    int code = read_file(path, text, &len);
    if (code < 0) {
        problems_add(loader->problems, &origin, "keys[%zu].%s: %.200s: %s", index, key, path,
                     code == -EINVAL  ? "not a regular file"
                     : code == -EPERM ? "others than its owner can write it, and so sign as this key: chmod go-w"
                                      : error_text(code));
    } else if (len < CONFIG_SECRET_MIN) {
        problems_add(loader->problems, &origin, "keys[%zu].%s: the secret has %zu bytes, fewer than %d", index, key,
                     len, CONFIG_SECRET_MIN);
    } else {
        secret = arena_copy(&loader->config->detail->arena, text, len);
        *ret_len = len;
    }
    explicit_bzero(text, sizeof(text));
    return secret;
}

void loader_read_secrets(struct loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->detail->lists[LIST_KEYS].count; i++) {
        struct key_item *item = list_item(config, LIST_KEYS, i);
        struct origin origin = item_origin(config, LIST_KEYS, i, NULL);
        if (item->previous_file)
            item->key.previous =
                read_secret(loader, i, "previous_secret_file", item->previous_file, &item->key.previous_len);
        bool in_file = item_origin(config, LIST_KEYS, i, "secret").kind == ORIGIN_FILE;
        if (item->key.secret || !item->key.id || in_file)
            continue; /* a secret in the file was refused where it stands */
        if (item->secret_file)
            item->key.secret = read_secret(loader, i, "secret_file", item->secret_file, &item->key.secret_len);
        else if (item_origin(config, LIST_KEYS, i, "secret_file").kind == ORIGIN_DEFAULT)
            problems_add(loader->problems, &origin,
                         "keys[%zu]: has no secret: write secret_file: PATH, or set the "
                         "environment variable TAI_KEYS_<ID>_SECRET",
                         i);
    }
}
