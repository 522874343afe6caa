/* The look at the log before recovery: damage in front of later commits is told from an end that was cut off. */
#include "common/db/wal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMITS = 5, PAGE = 4096, FRAME = 24 + PAGE, HEADER = 32 };

static char dir[] = "/tmp/db_wal_test_XXXXXX";
static char path[64], wal[80];
static struct wal_scan result;
static struct error err;

static void run(sqlite3 *db, const char *sql)
{
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
}

/* A log of some commits, of one frame or more each, as a kill leaves it. */
static void set_up(void)
{
    char kept[96], command[256];
    sqlite3 *db;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/db", dir);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    snprintf(kept, sizeof(kept), "%s.kept", wal);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    run(db, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x)");
    for (int i = 1; i < COMMITS; i++)
        run(db, "INSERT INTO t VALUES(zeroblob(6000))");
    snprintf(command, sizeof(command), "cp %s %s", wal, kept);
    cr_assert_eq(system(command), 0);
    sqlite3_close(db);
    cr_assert_eq(rename(kept, wal), 0);
}

static void tear_down(void)
{
    unlink(wal);
    unlink(path);
    rmdir(dir);
}

TestSuite(db_wal, .init = set_up, .fini = tear_down);

static void look(void)
{
    cr_assert_eq(wal_scan(path, NULL, NULL, &result, &err), 0);
}

static off_t size_of_wal(void)
{
    struct stat info;
    cr_assert_eq(stat(wal, &info), 0);
    return info.st_size;
}

static void flip(off_t at)
{
    char byte;
    int fd = open(wal, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void mark(void *ctx, uint32_t page)
{
    cr_assert(page > 0 && page < 100);
    ++*(int *)ctx;
}

Test(db_wal, whole)
{
    int pages = 0;
    cr_assert_eq(wal_scan(path, mark, &pages, &result, &err), 0);
    cr_assert_eq(result.frames, (uint64_t)(size_of_wal() - HEADER) / FRAME);
    cr_assert_eq((uint64_t)pages, result.frames);
    cr_assert_eq(result.end, size_of_wal());
    cr_assert_eq(result.bad + result.lost + result.torn + result.bad_header, 0);
    cr_assert_eq(wal_verdict(path, &result, &err), 0);
}

Test(db_wal, none_or_empty)
{
    cr_assert_eq(truncate(wal, 0), 0);
    look();
    cr_assert_eq(result.frames + result.torn + result.bad_header, 0);
    unlink(wal);
    look();
    cr_assert_eq(result.frames, 0);
}

Test(db_wal, damage_in_front_of_commits)
{
    look();
    uint64_t whole = result.frames;
    for (uint64_t frame = 1; frame < whole / 2; frame++) {
        off_t at = HEADER + (off_t)(frame - 1) * FRAME;
        for (int i = 0; i < 3; i++) {
            off_t where = at + (off_t[]){2, 17, 24 + 1000}[i]; /* page number, checksum, page */
            flip(where);
            look();
            cr_assert_eq(result.bad, frame, "frame %lu, byte %ld", (unsigned long)frame, (long)(where - at));
            cr_assert(result.lost > 0);
            cr_assert_eq(wal_verdict(path, &result, &err), -EUCLEAN);
            cr_assert_not_null(strstr(err.text, "damaged"));
            flip(where);
        }
    }
    look();
    cr_assert_eq(result.frames, whole);
}

Test(db_wal, the_end_cut_off)
{
    look();
    uint64_t whole = result.frames;
    off_t size = size_of_wal();
    flip(size - 100); /* the last frame, which ends the last transaction */
    look();
    cr_assert_eq(result.bad, 0);
    cr_assert(result.frames < whole);
    cr_assert_eq(result.torn, whole - result.frames);
    cr_assert_eq(wal_verdict(path, &result, &err), 0);
    cr_assert_eq(truncate(wal, size - FRAME - 500), 0);
    look();
    cr_assert_eq(result.bad, 0);
    cr_assert(result.frames < whole);
    cr_assert_eq(result.end, HEADER + (off_t)result.frames * FRAME);
}

Test(db_wal, header)
{
    static const off_t places[] = {0, 9, 17, 25}; /* magic, page size, salt, checksum */
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        flip(places[i]);
        look();
        cr_assert(result.bad_header, "byte %ld", (long)places[i]);
        cr_assert_eq(wal_verdict(path, &result, &err), -EUCLEAN);
        flip(places[i]);
    }
}
