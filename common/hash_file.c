/* SHA-256 of whole files. Blocking; any thread. */
#include "common/hash.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static int add_all(int fd, EVP_MD_CTX *md, bool (*go_on)(void *ctx, uint64_t bytes), void *ctx)
{
    _cleanup_free_ char *piece = xmalloc(PIECE);
    uint64_t bytes = 0;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (EVP_DigestUpdate(md, piece, (size_t)n) != 1)
            abort();
        bytes += (uint64_t)n;
        if (go_on && !go_on(ctx, bytes))
            return -ECANCELED;
    }
}

int hash_file(const char *path, bool (*go_on)(void *ctx, uint64_t bytes), void *ctx, uint8_t ret[SHA256_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
        abort(); /* no memory, or a broken library */
    int r = add_all(fd, md, go_on, ctx);
    if (r == 0 && EVP_DigestFinal_ex(md, ret, NULL) != 1)
        abort();
    EVP_MD_CTX_free(md);
    close(fd);
    return r;
}
