/* Keys of a ledger from its first start over rotations: what signs, what is published, and what is refused. */
#include "andon/ledger/keys.h"
#include "andon/ledger/signer.h"
#include "common/mem.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/tai-keys.XXXXXX";
static char paths[4][64];
static struct error err;
static struct ledger_keys *keys;

static void setup(void)
{
    cr_assert(mkdtemp(dir));
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/%d.key", dir, i);
}

static void teardown(void)
{
    char command[64];
    ledger_keys_free(keys);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(ledger_keys, .init = setup, .fini = teardown);

static int reopen(const char *current, const char *previous)
{
    const struct ledger_config config = {
        .shards = 1, .origin = "tai.test/log", .key_file = current, .previous_key_file = previous};
    ledger_keys_free(keys);
    keys = NULL;
    err.text[0] = '\0';
    return ledger_keys_open(&config, dir, &keys, &err);
}

static void make(int i, char ret_vkey[256])
{
    struct note_key *key;
    cr_assert_eq(note_key_create(paths[i], "tai.test/log", &key, &err), 0, "%s", err.text);
    snprintf(ret_vkey, 256, "%s", note_key_vkey(key));
    note_key_free(key);
}

/* Signs a checkpoint of the empty log with the keys that are open; how many signatures it carries. */
static int sign(void)
{
    const struct signer_options options = {
        .state_dir = dir, .origin = "tai.test/log", .key = keys->current, .previous = keys->previous};
    struct signer *signer;
    struct merkle tree = {0};
    struct buf note;
    int signatures = 0;
    buf_init(&note, 4096);
    cr_assert_eq(signer_open(&options, &signer, &err), 0, "%s", err.text);
    cr_assert_eq(signer_sign(signer, &tree, &note, &err), 0, "%s", err.text);
    const struct note_key *const signers[] = {keys->current, keys->previous};
    for (int i = 0; i < 2 && signers[i]; i++) {
        struct checkpoint checkpoint;
        cr_assert_eq(checkpoint_verify(buf_span(&note), signers[i], &checkpoint, &err), 0, "%s", err.text);
        signatures++;
    }
    for (const char *at = buf_cstr(&note); (at = strstr(at, "\n\xe2\x80\x94 ")); at++)
        signatures -= 1;
    cr_assert_eq(signatures, 0, "a signature of somebody else");
    signer_free(signer);
    buf_done(&note);
    return keys->previous ? 2 : 1;
}

static const char *published(size_t i)
{
    const struct note_key *key = ledger_keys_at(keys, i);
    return key ? note_key_vkey(key) : "";
}

Test(ledger_keys, two_rotations)
{
    char first[256], second[256], third[256];
    cr_assert_eq(reopen(paths[0], NULL), 0, "%s", err.text);
    snprintf(first, sizeof(first), "%s", published(0));
    cr_assert_eq(sign(), 1);
    make(1, second);
    cr_assert_eq(reopen(paths[1], paths[0]), 0, "%s", err.text);
    cr_assert_str_eq(published(0), second);
    cr_assert_str_eq(published(1), first);
    cr_assert_eq(sign(), 2);
    cr_assert_eq(reopen(paths[1], NULL), 0, "%s", err.text);
    cr_assert_str_eq(published(1), first);
    cr_assert_eq(sign(), 1);
    make(2, third);
    cr_assert_eq(reopen(paths[2], paths[1]), 0, "%s", err.text);
    cr_assert_eq(sign(), 2);
    cr_assert_str_eq(published(0), third);
    cr_assert_str_eq(published(1), second);
    cr_assert_str_eq(published(2), first);
    cr_assert_str_eq(published(3), "");
    char name[256], copy[] = "/tmp/tai-keys-copy.XXXXXX", path[512];
    cr_assert(mkdtemp(copy));
    cr_assert_eq(ledger_keys_copy("tai.test/log", dir, copy, name, &err), 0, "%s", err.text);
    snprintf(path, sizeof(path), "%s/%s", copy, name);
    cr_assert_eq(access(path, R_OK), 0);
    unlink(path);
    rmdir(copy);
}

/* The new key signs nothing unless the old one was at hand to sign with it. */
Test(ledger_keys, refused)
{
    char second[256];
    cr_assert_eq(reopen(paths[0], NULL), 0, "%s", err.text);
    cr_assert_eq(sign(), 1);
    make(1, second);
    cr_assert_eq(reopen(paths[1], NULL), -EKEYREJECTED);
    cr_assert(strstr(err.text, "ledger.previous_key_file"), "%s", err.text);
    cr_assert_eq(reopen(paths[1], paths[3]), -ENOKEY);
    cr_assert(strstr(err.text, paths[3]), "%s", err.text);
    cr_assert_eq(reopen(paths[0], paths[0]), -EINVAL);
    cr_assert(strstr(err.text, "the same key"), "%s", err.text);
    cr_assert_eq(reopen(paths[3], paths[0]), -ENOKEY);
    cr_assert_eq(access(paths[3], F_OK), -1, "no key is made beside a signed ledger");
    cr_assert_eq(reopen(paths[0], NULL), 0, "nothing of it was kept: %s", err.text);
    cr_assert_str_eq(published(1), "");
    cr_assert_eq(reopen(paths[1], paths[0]), 0, "%s", err.text);
    cr_assert_eq(sign(), 2);
    cr_assert_eq(reopen(paths[0], NULL), -EKEYREJECTED, "and back only with both");
    cr_assert_eq(reopen(paths[0], paths[1]), 0, "%s", err.text);
}

Test(ledger_keys, a_damaged_list)
{
    char path[128];
    cr_assert_eq(reopen(paths[0], NULL), 0, "%s", err.text);
    snprintf(path, sizeof(path), "%s/tai.test_log.keys", dir);
    FILE *file = fopen(path, "a");
    cr_assert(file);
    fputs("tai.test/log+00000000+nonsense\n", file);
    fclose(file);
    cr_assert_eq(reopen(paths[0], NULL), -EUCLEAN);
    cr_assert(strstr(err.text, path), "%s", err.text);
    unlink(path);
    cr_assert_eq(reopen(paths[0], NULL), 0, "%s", err.text);
}
