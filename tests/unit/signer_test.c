/* The signer never signs two histories: roll-backs, forks, restarts, damaged and foreign memories, lost keys. */
#include "andon/ledger/signer.h"
#include "common/mem.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/tai-signer.XXXXXX";
static char key_path[64], memory_path[96];
static struct note_key *key;
static struct hasher *hasher;
static struct error err;

static void setup(void)
{
    hasher = hasher_new();
    cr_assert(mkdtemp(dir));
    snprintf(key_path, sizeof(key_path), "%s/ledger.key", dir);
    snprintf(memory_path, sizeof(memory_path), "%s/tai.test_log.checkpoint-0", dir);
    cr_assert_eq(signer_key_open(key_path, "tai.test/log", dir, 1, &key, &err), 0, "%s", err.text);
}

static void teardown(void)
{
    DIR *all = opendir(dir);
    for (struct dirent *entry; all && (entry = readdir(all));) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    if (all)
        closedir(all);
    rmdir(dir);
    note_key_free(key);
    hasher_free(hasher);
}

TestSuite(signer, .init = setup, .fini = teardown);

static int try_open(struct signer **ret)
{
    const struct signer_options options = {.state_dir = dir, .origin = "tai.test/log", .key = key, .shard = 0};
    err.text[0] = '\0';
    return signer_open(&options, ret, &err);
}

static struct signer *must_open(void)
{
    struct signer *signer;
    cr_assert_eq(try_open(&signer), 0, "%s", err.text);
    return signer;
}

static void leaf_of(uint64_t n, char salt, uint8_t ret[SHA256_SIZE])
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%c%llu", salt, (unsigned long long)n);
    merkle_leaf(hasher, (struct span){text, (size_t)len}, ret);
}

/* The tree of leaves 0..size-1; those from `fork` on are others. */
static struct merkle tree_of(uint64_t size, uint64_t fork)
{
    struct merkle tree = {0};
    uint8_t leaf[SHA256_SIZE];
    for (uint64_t i = 0; i < size; i++) {
        leaf_of(i, i < fork ? 'a' : 'b', leaf);
        merkle_append(&tree, hasher, leaf);
    }
    return tree;
}

static void follow(struct signer *signer, uint64_t size)
{
    uint8_t leaf[SHA256_SIZE];
    for (uint64_t i = signer_size(signer); i < size; i++) {
        leaf_of(i, 'a', leaf);
        signer_extend(signer, hasher, leaf);
    }
}

static int sign(struct signer *signer, const struct merkle *tree, struct checkpoint *ret)
{
    struct buf note;
    buf_init(&note, 4096);
    err.text[0] = '\0';
    int r = signer_sign(signer, tree, &note, &err);
    if (r)
        cr_assert_eq(note.len, 0, "something was signed");
    else
        cr_assert_eq(checkpoint_verify(buf_span(&note), key, ret, &err), 0, "%s", err.text);
    buf_done(&note);
    return r;
}

Test(signer, grows_and_signs)
{
    struct signer *signer = must_open();
    struct checkpoint checkpoint;
    uint8_t root[SHA256_SIZE];
    cr_assert(signer_is_new(signer));
    for (uint64_t size = 0; size < 70; size += 7) {
        struct merkle tree = tree_of(size, UINT64_MAX);
        follow(signer, size);
        cr_assert_eq(signer_check(signer, hasher, &tree, &err), 0, "%s", err.text);
        cr_assert_eq(sign(signer, &tree, &checkpoint), 0, "%s", err.text);
        cr_assert_eq(checkpoint.size, size);
        merkle_root(&tree, hasher, root);
        cr_assert_arr_eq(checkpoint.root, root, SHA256_SIZE);
        cr_assert_str_eq(checkpoint.origin, "tai.test/log");
        cr_assert_eq(sign(signer, &tree, &checkpoint), 0, "the same tree again: %s", err.text);
    }
    signer_free(signer);
}

Test(signer, refuses_a_smaller_tree)
{
    struct signer *signer = must_open();
    struct checkpoint checkpoint;
    struct merkle tree = tree_of(20, UINT64_MAX);
    follow(signer, 20);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    tree = tree_of(19, UINT64_MAX);
    cr_assert_eq(signer_check(signer, hasher, &tree, &err), -EBADMSG);
    cr_assert(strstr(err.text, "holds 19 receipts, but 20"), "%s", err.text);
    cr_assert_eq(sign(signer, &tree, &checkpoint), -EBADMSG);
    signer_free(signer);
    /* Nor after a restart. */
    signer = must_open();
    cr_assert(!signer_is_new(signer));
    cr_assert_eq(signer_size(signer), 20);
    cr_assert_eq(signer_check(signer, hasher, &tree, &err), -EBADMSG);
    cr_assert_eq(sign(signer, &tree, &checkpoint), -EBADMSG);
    signer_free(signer);
}

Test(signer, refuses_another_root_of_the_same_size)
{
    for (uint64_t fork = 0; fork < 20; fork++) {
        struct signer *signer = must_open();
        struct checkpoint checkpoint;
        struct merkle tree = tree_of(20, UINT64_MAX), other = tree_of(20, fork);
        follow(signer, 20);
        cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
        cr_assert_eq(signer_check(signer, hasher, &other, &err), -EBADMSG);
        cr_assert(strstr(err.text, "signed receipts were changed"), "%s", err.text);
        cr_assert_eq(sign(signer, &other, &checkpoint), -EBADMSG);
        signer_free(signer);
    }
}

Test(signer, a_fork_behind_a_larger_tree_is_seen_leaf_by_leaf)
{
    struct signer *signer = must_open();
    struct checkpoint checkpoint;
    struct merkle tree = tree_of(13, UINT64_MAX);
    follow(signer, 13);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    signer_free(signer);
    for (uint64_t fork = 0; fork < 13; fork++) {
        signer = must_open();
        struct merkle other = tree_of(21, fork);
        follow(signer, 21); /* the leaves behind the signed ones are those of the log */
        cr_assert_eq(signer_check(signer, hasher, &other, &err), -EBADMSG, "forked at %llu", (unsigned long long)fork);
        signer_free(signer);
    }
    /* When signing, the subtrees that both trees keep are compared once more: of 13 and 14 leaves those of 8 and 4. */
    signer = must_open();
    for (uint64_t fork = 0; fork < 12; fork++) {
        struct merkle other = tree_of(14, fork);
        cr_assert_eq(sign(signer, &other, &checkpoint), -EBADMSG, "forked at %llu", (unsigned long long)fork);
    }
    signer_free(signer);
}

Test(signer, a_restart_continues)
{
    struct checkpoint checkpoint;
    for (uint64_t size = 1; size < 40; size++) {
        struct signer *signer = must_open();
        struct merkle tree = tree_of(size, UINT64_MAX);
        cr_assert_eq(signer_size(signer), size - 1);
        follow(signer, size);
        cr_assert_eq(signer_check(signer, hasher, &tree, &err), 0, "%s", err.text);
        cr_assert_eq(sign(signer, &tree, &checkpoint), 0, "%s", err.text);
        signer_free(signer);
    }
}

Test(signer, what_was_not_signed_may_be_rolled_back_by_a_restart)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    struct merkle tree = tree_of(5, UINT64_MAX);
    follow(signer, 5);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    follow(signer, 9); /* checked, but the process dies before it signs */
    signer_free(signer);
    signer = must_open();
    cr_assert_eq(signer_size(signer), 5);
    signer_free(signer);
}

static void scribble(off_t at, const char *text)
{
    FILE *file = fopen(memory_path, "r+");
    cr_assert(file && fseek(file, at, SEEK_SET) == 0 && fputs(text, file) >= 0 && fclose(file) == 0);
}

Test(signer, a_torn_write_leaves_the_one_before)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    for (uint64_t size = 1; size <= 3; size++) {
        struct merkle tree = tree_of(size, UINT64_MAX);
        follow(signer, size);
        cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    }
    signer_free(signer);
    struct stat st;
    cr_assert_eq(stat(memory_path, &st), 0);
    cr_assert_eq(st.st_size, 2 * 8192);
    cr_assert_eq(st.st_mode & 07777, 0600);
    scribble(8192 + 100, "torn"); /* the third record: odd generations stand in the second slot */
    signer = must_open();
    cr_assert_eq(signer_size(signer), 2);
    signer_free(signer);
    scribble(30, "torn");
    cr_assert_eq(try_open(&signer), -EUCLEAN);
    cr_assert(strstr(err.text, memory_path), "%s", err.text);
}

Test(signer, every_byte_of_the_memory_is_covered)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    struct merkle tree = tree_of(3, UINT64_MAX);
    follow(signer, 3);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    signer_free(signer);
    FILE *file = fopen(memory_path, "r+");
    char slot[2048];
    cr_assert(file && fseek(file, 8192, SEEK_SET) == 0);
    size_t n = fread(slot, 1, sizeof(slot), file), len = (size_t)((char *)memchr(slot, '\n', n) - slot) + 1;
    for (size_t i = 0; i < len; i++) {
        char changed = slot[i] ^ 1;
        cr_assert(fseek(file, 8192 + (long)i, SEEK_SET) == 0 && fwrite(&changed, 1, 1, file) == 1 && fflush(file) == 0);
        cr_assert_eq(try_open(&signer), -EUCLEAN, "byte %zu", i);
        cr_assert(fseek(file, 8192 + (long)i, SEEK_SET) == 0 && fwrite(&slot[i], 1, 1, file) == 1 && fflush(file) == 0);
    }
    fclose(file);
    signer_free(must_open());
}

Test(signer, a_memory_of_another_key_is_refused)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    struct merkle tree = tree_of(3, UINT64_MAX);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    signer_free(signer);
    note_key_free(key);
    unlink(key_path);
    cr_assert_eq(note_key_create(key_path, "tai.test/log", &key, &err), 0);
    cr_assert_eq(try_open(&signer), -EKEYREJECTED);
    cr_assert(strstr(err.text, "restore that key file"), "%s", err.text);
}

Test(signer, a_lost_key_is_not_replaced)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    struct merkle tree = tree_of(3, UINT64_MAX);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0);
    signer_free(signer);
    unlink(key_path);
    struct note_key *other = NULL;
    cr_assert_eq(signer_key_open(key_path, "tai.test/log", dir, 1, &other, &err), -ENOKEY);
    cr_assert(strstr(err.text, key_path) && strstr(err.text, "restore"), "%s", err.text);
    cr_assert_eq(access(key_path, F_OK), -1);
}

Test(signer, the_key_is_made_once)
{
    struct note_key *again;
    struct stat st;
    cr_assert_eq(signer_key_open(key_path, "tai.test/log", dir, 1, &again, &err), 0, "%s", err.text);
    cr_assert_str_eq(note_key_vkey(again), note_key_vkey(key));
    cr_assert_eq(stat(key_path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    note_key_free(again);
}

Test(signer, a_memory_that_cannot_be_written_signs_nothing)
{
    struct checkpoint checkpoint;
    struct signer *signer = must_open();
    struct merkle tree = tree_of(3, UINT64_MAX);
    char moved[64];
    snprintf(moved, sizeof(moved), "%s.away", dir);
    cr_assert_eq(rename(dir, moved), 0);
    cr_assert_eq(sign(signer, &tree, &checkpoint), -ENOENT, "%s", err.text);
    cr_assert(strstr(err.text, memory_path), "%s", err.text);
    cr_assert_eq(rename(moved, dir), 0);
    cr_assert_eq(sign(signer, &tree, &checkpoint), 0, "%s", err.text);
    signer_free(signer);
}

Test(signer, origins_of_shards)
{
    char origin[128];
    cr_assert_eq(signer_origin("tai.test/log", 0, origin), 0);
    cr_assert_str_eq(origin, "tai.test/log");
    cr_assert_eq(signer_origin("tai.test/log", 12, origin), 0);
    cr_assert_str_eq(origin, "tai.test/log/12");
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[127] = '\0';
    cr_assert_eq(signer_origin(longest, 0, origin), 0);
    cr_assert_eq(signer_origin(longest, 1, origin), -ENAMETOOLONG);
}
