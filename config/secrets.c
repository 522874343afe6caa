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

static void read_secret(struct loader *loader, size_t index)
{
    struct key_item *item = list_item(loader->config, LIST_KEYS, index);
    struct origin origin = item_origin(loader->config, LIST_KEYS, index, "secret_file");
    char text[SECRET_MAX + 1];
    size_t len = 0;
    int code = read_file(item->secret_file, text, &len);
    if (code < 0) {
        problems_add(loader->problems, &origin, "keys[%zu].secret_file: %.200s: %s", index, item->secret_file,
                     code == -EINVAL ? "not a regular file" : error_text(code));
    } else if (len < CONFIG_SECRET_MIN) {
        problems_add(loader->problems, &origin, "keys[%zu].secret_file: the secret has %zu bytes, fewer than %d", index,
                     len, CONFIG_SECRET_MIN);
    } else {
        item->key.secret = arena_copy(&loader->config->detail->arena, text, len);
        item->key.secret_len = len;
    }
    explicit_bzero(text, sizeof(text));
}

void loader_read_secrets(struct loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->detail->lists[LIST_KEYS].count; i++) {
        struct key_item *item = list_item(config, LIST_KEYS, i);
        struct origin origin = item_origin(config, LIST_KEYS, i, NULL);
        bool in_file = item_origin(config, LIST_KEYS, i, "secret").kind == ORIGIN_FILE;
        if (item->key.secret || !item->key.id || in_file)
            continue; /* a secret in the file was refused where it stands */
        if (item->secret_file)
            read_secret(loader, i);
        else if (item_origin(config, LIST_KEYS, i, "secret_file").kind == ORIGIN_DEFAULT)
            problems_add(loader->problems, &origin,
                         "keys[%zu]: has no secret: write secret_file: PATH, or set the "
                         "environment variable TAI_KEYS_<ID>_SECRET",
                         i);
    }
}
