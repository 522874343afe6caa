/* The gathering VFS by itself: what reaches the file when, and who is told of a failure. */
#include "common/db/vfs.h"
#include "common/mem.h"
#include "support/fault_vfs.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct db_vfs *vfs;
static char path[] = "/tmp/db_vfs_test_XXXXXX";
static sqlite3_file *file;

static void open_over(const char *below)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    cr_assert_eq(db_vfs_new(below, &vfs), 0);
    sqlite3_vfs *found = sqlite3_vfs_find(db_vfs_name(vfs));
    file = xcalloc(1, (size_t)found->szOsFile);
    /* SQLite looks for parameters of an URI behind the name's NUL */
    static char name[sizeof(path) + 2];
    memcpy(name, path, sizeof(path));
    cr_assert_eq(found->xOpen(found, name, file, flags, &flags), SQLITE_OK);
}

static void set_up(void)
{
    open_over(NULL);
}

static void set_up_faulty(void)
{
    fault_vfs_register();
    open_over("fault");
}

static void tear_down(void)
{
    file->pMethods->xClose(file);
    free(file);
    db_vfs_free(vfs);
    unlink(path);
}

static int put(const char *text, sqlite3_int64 offset)
{
    return file->pMethods->xWrite(file, text, (int)strlen(text), offset);
}

static long on_disk(void)
{
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    return st.st_size;
}

static void expect_file(const char *text)
{
    char data[64] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, data, sizeof(data) - 1);
    close(fd);
    cr_assert_eq(n, (ssize_t)strlen(text));
    cr_assert_str_eq(data, text);
}

TestSuite(db_vfs, .init = set_up, .fini = tear_down);
TestSuite(db_vfs_faulty, .init = set_up_faulty, .fini = tear_down);

Test(db_vfs, adjoining_writes_reach_the_file_with_the_sync)
{
    cr_assert_eq(put("one ", 0), SQLITE_OK);
    cr_assert_eq(put("two", 4), SQLITE_OK);
    cr_assert_eq(on_disk(), 0);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    expect_file("one two");
}

Test(db_vfs, the_size_counts_what_is_gathered)
{
    sqlite3_int64 size;
    cr_assert_eq(put("12345", 10), SQLITE_OK);
    cr_assert_eq(file->pMethods->xFileSize(file, &size), SQLITE_OK);
    cr_assert_eq(size, 15);
    cr_assert_eq(put("x", 0), SQLITE_OK);
    cr_assert_eq(file->pMethods->xFileSize(file, &size), SQLITE_OK);
    cr_assert_eq(size, 15);
}

Test(db_vfs, what_is_gathered_can_be_read)
{
    char data[8] = {0};
    cr_assert_eq(put("abc", 0), SQLITE_OK);
    cr_assert_eq(put("def", 3), SQLITE_OK);
    cr_assert_eq(file->pMethods->xRead(file, data, 3, 3), SQLITE_OK);
    cr_assert_str_eq(data, "def");
    cr_assert_eq(on_disk(), 0);
}

Test(db_vfs, a_read_across_the_edge_sees_both)
{
    char data[8] = {0};
    cr_assert_eq(put("abc", 0), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    cr_assert_eq(put("def", 3), SQLITE_OK);
    cr_assert_eq(file->pMethods->xRead(file, data, 4, 1), SQLITE_OK);
    cr_assert_str_eq(data, "bcde");
}

Test(db_vfs, a_later_write_wins)
{
    cr_assert_eq(put("aaaa", 0), SQLITE_OK);
    cr_assert_eq(put("bb", 1), SQLITE_OK);
    cr_assert_eq(put("c", 2), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    expect_file("abca");
}

Test(db_vfs, closing_writes)
{
    cr_assert_eq(put("kept", 0), SQLITE_OK);
    file->pMethods->xClose(file);
    expect_file("kept");
    sqlite3_vfs *found = sqlite3_vfs_find(db_vfs_name(vfs));
    static char name[sizeof(path) + 2];
    memcpy(name, path, sizeof(path));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB;
    cr_assert_eq(found->xOpen(found, name, file, flags, &flags), SQLITE_OK);
}

Test(db_vfs, a_truncation_comes_after_what_was_written)
{
    cr_assert_eq(put("abcdef", 0), SQLITE_OK);
    cr_assert_eq(file->pMethods->xTruncate(file, 2), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    expect_file("ab");
}

Test(db_vfs, more_than_is_gathered_at_once_arrives_whole)
{
    enum { PIECE = 4120, COUNT = 100 };
    char piece[PIECE];
    for (int i = 0; i < COUNT; i++) {
        memset(piece, 'a' + i % 26, PIECE);
        cr_assert_eq(file->pMethods->xWrite(file, piece, PIECE, (sqlite3_int64)i * PIECE), SQLITE_OK);
    }
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    cr_assert_eq(on_disk(), (long)COUNT * PIECE);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(file->pMethods->xRead(file, piece, PIECE, (sqlite3_int64)i * PIECE), SQLITE_OK);
        cr_assert_eq(piece[0], 'a' + i % 26);
        cr_assert_eq(piece[PIECE - 1], 'a' + i % 26);
    }
}

Test(db_vfs_faulty, the_sync_tells_of_a_failed_write)
{
    fault_write.code = SQLITE_FULL;
    atomic_store(&fault_write.countdown, 0);
    cr_assert_eq(put("lost", 0), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_FULL);
    cr_assert_eq(put("kept", 0), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    expect_file("kept");
}

Test(db_vfs_faulty, a_later_write_tells_of_a_failed_one)
{
    fault_write.code = SQLITE_FULL;
    atomic_store(&fault_write.countdown, 0);
    cr_assert_eq(put("lost", 0), SQLITE_OK);
    cr_assert_eq(put("far", 100), SQLITE_FULL);
}

Test(db_vfs_faulty, a_failure_met_by_a_read_stays_until_the_sync)
{
    char data[8];
    cr_assert_eq(put("lost", 0), SQLITE_OK);
    atomic_store(&fault_write.countdown, 0);
    cr_assert_neq(file->pMethods->xRead(file, data, 8, 2), SQLITE_OK);
    cr_assert_eq(put("more", 0), SQLITE_OK);
    cr_assert_neq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
    cr_assert_eq(file->pMethods->xSync(file, SQLITE_SYNC_FULL), SQLITE_OK);
}
