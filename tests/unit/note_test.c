/* Signed notes: the example of golang.org/x/mod/sumdb/note, round trips, and every byte tampered with. */
#include "andon/ledger/note.h"
#include "common/mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char peter[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
#define PETER_TEXT                                                                                                     \
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
#define PETER_SIGNATURE                                                                                                \
    "\xe2\x80\x94 PeterNeumann "                                                                                       \
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

static char dir[] = "/tmp/tai-note.XXXXXX";
static char key_path[64];
static struct note_key *key;
static struct error err;

static void setup(void)
{
    cr_assert(mkdtemp(dir));
    snprintf(key_path, sizeof(key_path), "%s/ledger.key", dir);
    cr_assert_eq(note_key_create(key_path, "tai.test/log", &key, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    note_key_free(key);
    unlink(key_path);
    rmdir(dir);
}

TestSuite(note, .init = setup, .fini = teardown);

static int verify(const char *note, size_t len, const struct note_key *by, struct checkpoint *ret)
{
    /* A copy of exactly this size: reading behind it is seen by the sanitizer. */
    char *copy = xmalloc(len);
    memcpy(copy, note, len);
    err.text[0] = '\0';
    int r = checkpoint_verify((struct span){copy, len}, by, ret, &err);
    free(copy);
    return r;
}

static void sign(struct buf *out, uint64_t size)
{
    struct checkpoint checkpoint = {.origin = "tai.test/log", .size = size};
    memset(checkpoint.root, 0x5a, sizeof(checkpoint.root));
    buf_init(out, 4096);
    cr_assert_eq(checkpoint_sign(&checkpoint, key, out, &err), 0, "%s", err.text);
}

Test(note, signature_of_the_go_example_verifies)
{
    struct note_key *other;
    struct checkpoint checkpoint;
    cr_assert_eq(note_key_from_vkey(span_of(peter), &other, &err), 0, "%s", err.text);
    cr_assert_str_eq(note_key_name(other), "PeterNeumann");
    cr_assert_str_eq(note_key_vkey(other), peter);
    const char note[] = PETER_TEXT "\n" PETER_SIGNATURE;
    /* The signature is good, so what is refused is the text: it is no checkpoint. */
    cr_assert_eq(verify(note, sizeof(note) - 1, other, &checkpoint), -EBADMSG);
    cr_assert(strstr(err.text, "size"), "%s", err.text);
    const char forged[] = "X" PETER_TEXT "\n" PETER_SIGNATURE;
    cr_assert_eq(verify(forged, sizeof(forged) - 1, other, &checkpoint), -EBADMSG);
    cr_assert(strstr(err.text, "does not verify"), "%s", err.text);
    note_key_free(other);
}

Test(note, round_trip)
{
    struct buf note;
    struct checkpoint checkpoint;
    sign(&note, 12345678901234567890u);
    cr_assert_eq(verify(note.data, note.len, key, &checkpoint), 0, "%s", err.text);
    cr_assert_str_eq(checkpoint.origin, "tai.test/log");
    cr_assert_eq(checkpoint.size, 12345678901234567890u);
    cr_assert_eq(checkpoint.root[31], 0x5a);
    static const char head[] = "tai.test/log\n12345678901234567890\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n\n"
                               "\xe2\x80\x94 tai.test/log ";
    cr_assert(note.len > sizeof(head) && memcmp(note.data, head, sizeof(head) - 1) == 0);
    buf_done(&note);
}

Test(note, public_half_verifies_and_cannot_sign)
{
    struct note_key *public_half;
    struct buf note, out;
    struct checkpoint checkpoint;
    sign(&note, 7);
    cr_assert_eq(note_key_from_vkey(span_of(note_key_vkey(key)), &public_half, &err), 0, "%s", err.text);
    cr_assert_eq(verify(note.data, note.len, public_half, &checkpoint), 0, "%s", err.text);
    buf_init(&out, 4096);
    cr_assert_eq(checkpoint_sign(&checkpoint, public_half, &out, &err), -EINVAL);
    cr_assert_eq(out.len, 0);
    buf_done(&note);
    note_key_free(public_half);
}

Test(note, every_bit_of_every_byte_counts)
{
    struct buf note;
    struct checkpoint checkpoint;
    sign(&note, 42);
    for (size_t i = 0; i < note.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            note.data[i] ^= (char)(1 << bit);
            cr_assert_eq(verify(note.data, note.len, key, &checkpoint), -EBADMSG, "byte %zu bit %d", i, bit);
            note.data[i] ^= (char)(1 << bit);
        }
    buf_done(&note);
}

Test(note, every_truncation_insertion_and_deletion_is_refused)
{
    struct buf note;
    struct checkpoint checkpoint;
    sign(&note, 42);
    for (size_t i = 0; i < note.len; i++)
        cr_assert_eq(verify(note.data, i, key, &checkpoint), -EBADMSG, "cut at %zu", i);
    char *changed = xmalloc(note.len + 1);
    for (size_t i = 0; i <= note.len; i++)
        for (const char *c = "\n \r0=\xe2"; *c; c++) {
            memcpy(changed, note.data, i);
            changed[i] = *c;
            memcpy(changed + i + 1, note.data + i, note.len - i);
            cr_assert_eq(verify(changed, note.len + 1, key, &checkpoint), -EBADMSG, "0x%02x put in at %zu",
                         (unsigned char)*c, i);
        }
    for (size_t i = 0; i < note.len; i++) {
        memcpy(changed, note.data, i);
        memcpy(changed + i, note.data + i + 1, note.len - i - 1);
        cr_assert_eq(verify(changed, note.len - 1, key, &checkpoint), -EBADMSG, "byte %zu taken out", i);
    }
    free(changed);
    buf_done(&note);
}

Test(note, signatures_of_other_keys_are_passed_over)
{
    struct buf note, both;
    struct checkpoint checkpoint;
    sign(&note, 9);
    buf_init(&both, 8192);
    buf_add_span(&both, buf_span(&note));
    buf_add_str(&both, PETER_SIGNATURE);
    cr_assert_eq(verify(both.data, both.len, key, &checkpoint), 0, "%s", err.text);
    cr_assert_eq(checkpoint.size, 9);
    struct note_key *other;
    cr_assert_eq(note_key_from_vkey(span_of(peter), &other, &err), 0);
    cr_assert_eq(verify(note.data, note.len, other, &checkpoint), -EBADMSG);
    cr_assert(strstr(err.text, "not signed by the key"), "%s", err.text);
    note_key_free(other);
    buf_done(&note);
    buf_done(&both);
}

Test(note, a_forged_second_signature_of_our_key_is_refused)
{
    struct buf first, second, both;
    struct checkpoint checkpoint;
    sign(&first, 1);
    sign(&second, 2);
    const char *line = strstr(buf_cstr(&second), "\n\n") + 2;
    buf_init(&both, 8192);
    buf_add_span(&both, buf_span(&first));
    buf_add_str(&both, line);
    cr_assert_eq(verify(both.data, both.len, key, &checkpoint), -EBADMSG);
    cr_assert(strstr(err.text, "does not verify"), "%s", err.text);
    buf_done(&first);
    buf_done(&second);
    buf_done(&both);
}

Test(note, bad_vkeys)
{
    static const char *const bad[] = {
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", /* the id of another key */
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", /* another algorithm */
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumanX+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct note_key *other = NULL;
        err.text[0] = '\0';
        cr_expect_eq(note_key_from_vkey(span_of(bad[i]), &other, &err), -EINVAL, "%s", bad[i]);
        cr_expect(err.text[0] && !other);
    }
}

Test(note, key_file_is_private_and_not_overwritten)
{
    struct stat st;
    struct note_key *again = NULL;
    cr_assert_eq(stat(key_path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(note_key_create(key_path, "tai.test/log", &again, &err), -EEXIST);
    cr_assert_null(again);
    cr_assert_eq(note_key_load(key_path, "tai.test/log", &again, &err), 0, "%s", err.text);
    cr_assert_str_eq(note_key_vkey(again), note_key_vkey(key));
    note_key_free(again);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0 && chmod(path, mode) == 0);
}

Test(note, unusable_key_files)
{
    static const struct {
        const char *text;
        mode_t mode;
        int code;
        const char *says;
    } files[] = {
        {"", 0600, -EINVAL, "no unencrypted private key"},
        {"not a key", 0600, -EINVAL, "no unencrypted private key"},
        {"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n", 0600, -EINVAL,
         "no unencrypted private key"},
        /* An X25519 key: the right size, the wrong algorithm. */
        {"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHDjHkJmFJ0dFkDTKx0gf2IBzVG0Gt9Cnk0nyxhUXnRJ\n"
         "-----END PRIVATE KEY-----\n",
         0600, -EINVAL, "not an Ed25519 key"},
        {"whatever", 0644, -EACCES, "chmod 600"},
        {"whatever", 0620, -EACCES, "chmod 600"},
    };
    char path[80];
    snprintf(path, sizeof(path), "%s/other.key", dir);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct note_key *other = NULL;
        write_file(path, files[i].text, files[i].mode);
        cr_expect_eq(note_key_load(path, "n", &other, &err), files[i].code, "file %zu: %s", i, err.text);
        cr_expect(strstr(err.text, files[i].says) && strstr(err.text, path), "file %zu: %s", i, err.text);
    }
    unlink(path);
    struct note_key *other = NULL;
    cr_expect_eq(note_key_load(path, "n", &other, &err), -ENOENT);
    cr_expect(strstr(err.text, path));
    cr_expect_eq(note_key_load(dir, "n", &other, &err), -EISDIR, "%s", err.text);
    cr_expect_eq(note_key_create(path, "with space", &other, &err), -EINVAL);
    cr_expect_eq(note_key_create("/nonexistent/ledger.key", "n", &other, &err), -ENOENT);
}
