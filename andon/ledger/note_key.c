/* Ed25519 keys of signed notes: made, loaded, and written as vkey. The private key lives in OpenSSL's object only and
 * is wiped by it. A key file others can read is refused: whoever reads it signs ledgers. Any thread. */
#include "andon/ledger/note_key.h"

#include "andon/ledger/durable.h"
#include "common/mem.h"
#include "common/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALGORITHM_ED25519 = 1, KEY_FILE_MAX = 64 * 1024 };

bool note_name_valid(struct span name)
{
    if (name.len == 0 || name.len > NOTE_NAME_MAX || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == '+' || name.ptr[i] == 0x7f)
            return false;
    return true;
}

/* keyID = SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4] */
static void fill_id(struct note_key *key)
{
    char algorithm[] = {'\n', ALGORITHM_ED25519};
    const struct span parts[] = {
        span_of(key->name), {algorithm, sizeof(algorithm)}, {(const char *)key->public_key, ED25519_PUBLIC}};
    struct hasher *hasher = hasher_new();
    uint8_t sum[SHA256_SIZE];
    hasher_sha256v(hasher, parts, 3, sum);
    hasher_free(hasher);
    memcpy(key->id, sum, NOTE_KEY_ID);
}

static void fill_vkey(struct note_key *key)
{
    uint8_t raw[1 + ED25519_PUBLIC] = {ALGORITHM_ED25519};
    memcpy(raw + 1, key->public_key, ED25519_PUBLIC);
    char hex[2 * NOTE_KEY_ID], base64[4 * ((sizeof(raw) + 2) / 3) + 1];
    hex_encode(key->id, NOTE_KEY_ID, hex);
    size_t len = base64_encode(raw, sizeof(raw), base64);
    struct buf out;
    buf_init(&out, NOTE_NAME_MAX + sizeof(hex) + sizeof(base64) + 3);
    buf_add_str(&out, key->name);
    buf_add_char(&out, '+');
    buf_add(&out, hex, sizeof(hex));
    buf_add_char(&out, '+');
    buf_add(&out, base64, len);
    key->vkey = buf_take(&out);
}

/* Takes pkey whatever happens. */
static int key_of(EVP_PKEY *pkey, struct span name, bool can_sign, struct note_key **ret, struct error *err)
{
    struct note_key *key = xcalloc(1, sizeof(*key));
    key->pkey = pkey;
    key->can_sign = can_sign;
    size_t len = ED25519_PUBLIC;
    if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519 || !EVP_PKEY_get_raw_public_key(pkey, key->public_key, &len) ||
        len != ED25519_PUBLIC) {
        note_key_free(key);
        return error_set(err, -EINVAL, "the key is not an Ed25519 key");
    }
    for (size_t i = 0; i < name.len; i++)
        key->name[i] = name.ptr[i];
    fill_id(key);
    fill_vkey(key);
    *ret = key;
    return 0;
}

static int bad_name(const char *name, struct error *err)
{
    return error_set(err, -EINVAL, "the key name \"%.128s\" must be 1 to %d characters without white space and \"+\"",
                     name, NOTE_NAME_MAX);
}

static int write_key_file(const char *path, struct span pem, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, -errno, "cannot create the key file %s: %s", path, error_text(-errno));
    int r = durable_write(fd, pem, 0);
    if (!r && fsync(fd) < 0)
        r = -errno;
    close(fd);
    if (!r)
        r = durable_sync_directory_of(path);
    if (r) {
        unlink(path);
        return error_set(err, r, "cannot write the key file %s: %s", path, error_text(r));
    }
    return 0;
}

int note_key_create(const char *path, const char *name, struct note_key **ret, struct error *err)
{
    if (!note_name_valid(span_of(name)))
        return bad_name(name, err);
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    long len = 0;
    if (pkey && bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL))
        len = BIO_get_mem_data(bio, &pem);
    int r = len > 0 ? write_key_file(path, (struct span){pem, (size_t)len}, err)
                    : error_set(err, -EIO, "OpenSSL cannot make an Ed25519 key");
    BIO_free(bio);
    if (r) {
        EVP_PKEY_free(pkey);
        return r;
    }
    return key_of(pkey, span_of(name), true, ret, err);
}

static int read_key_file(const char *path, char *ret, size_t cap, size_t *ret_len, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, -errno, "cannot open the key file %s: %s", path, error_text(-errno));
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    ssize_t n = r ? 0 : read(fd, ret, cap);
    if (n < 0)
        r = -errno;
    close(fd);
    if (r)
        return error_set(err, r, "cannot read the key file %s: %s", path, error_text(r));
    if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) {
        OPENSSL_cleanse(ret, (size_t)n);
        return error_set(err, -EACCES, "the key file %s has mode %04o: others must not have access, chmod 600 it", path,
                         (unsigned)(st.st_mode & 07777));
    }
    *ret_len = (size_t)n;
    return 0;
}

static int no_passphrase(char *buf, int size, int for_writing, void *ctx)
{
    (void)buf, (void)size, (void)for_writing, (void)ctx;
    return 0; /* otherwise OpenSSL would ask on the terminal */
}

int note_key_load(const char *path, const char *name, struct note_key **ret, struct error *err)
{
    if (!note_name_valid(span_of(name)))
        return bad_name(name, err);
    char *text = xmalloc(KEY_FILE_MAX);
    size_t len = 0;
    int r = read_key_file(path, text, KEY_FILE_MAX, &len, err);
    BIO *bio = r ? NULL : BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, KEY_FILE_MAX);
    free(text);
    if (r)
        return r;
    if (!pkey)
        return error_set(err, -EINVAL, "the key file %s holds no unencrypted private key in PEM", path);
    r = key_of(pkey, span_of(name), true, ret, err);
    return r ? error_prefix(err, r, "%s", path) : 0;
}

int note_key_from_vkey(struct span vkey, struct note_key **ret, struct error *err)
{
    const char *first = vkey.len ? memchr(vkey.ptr, '+', vkey.len) : NULL;
    size_t name_len = first ? (size_t)(first - vkey.ptr) : 0;
    size_t hex_at = name_len + 1, key_at = hex_at + 2 * (size_t)NOTE_KEY_ID + 1;
    uint8_t raw[1 + ED25519_PUBLIC], id[NOTE_KEY_ID];
    bool good =
        first && key_at < vkey.len && note_name_valid((struct span){vkey.ptr, name_len}) &&
        hex_decode((struct span){vkey.ptr + hex_at, 2 * (size_t)NOTE_KEY_ID}, id, NOTE_KEY_ID) &&
        vkey.ptr[key_at - 1] == '+' &&
        base64_decode((struct span){vkey.ptr + key_at, vkey.len - key_at}, raw, sizeof(raw)) == (long)sizeof(raw);
    if (!good || raw[0] != ALGORITHM_ED25519)
        return error_set(err, -EINVAL, "not an Ed25519 vkey: write name+<8 hex digits>+<base64>");
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw + 1, ED25519_PUBLIC);
    if (!pkey)
        return error_set(err, -EINVAL, "the vkey holds no Ed25519 public key");
    struct note_key *key = NULL;
    int r = key_of(pkey, (struct span){vkey.ptr, name_len}, false, &key, err);
    if (!key)
        return r;
    if (!span_eq(vkey, span_of(key->vkey))) { /* the id, or its spelling */
        r = error_set(err, -EINVAL, "the vkey's key id does not belong to its name and key: it was mistyped");
        note_key_free(key);
        return r;
    }
    *ret = key;
    return 0;
}

void note_key_free(struct note_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key->vkey);
    free(key);
}

const char *note_key_vkey(const struct note_key *key)
{
    return key->vkey;
}

const char *note_key_name(const struct note_key *key)
{
    return key->name;
}

void note_key_public(const struct note_key *key, uint8_t ret[32])
{
    memcpy(ret, key->public_key, ED25519_PUBLIC);
}
