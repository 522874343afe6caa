/* Pages with checksums: a byte flipped anywhere in the file, or two pages swapped, is an error when it is read, never
 * other contents. */
#include "common/db/db.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 2000, PAGE = DB_PAGE_SIZE };

static const char *const schema[] = {"CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;", NULL};
static int failures;

struct request {
    struct db_job job;
    int64_t sum;
    int status;
    bool done;
};

static int fill(struct db_conn *conn, struct db_job *job)
{
    (void)job;
    int rc = 0;
    for (int i = 0; i < ROWS && rc == 0; i++) {
        sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO t(id, text) VALUES(?1, printf('%0100d', ?1))");
        sqlite3_bind_int(stmt, 1, i);
        rc = db_run(stmt);
        sqlite3_reset(stmt);
    }
    return rc;
}

/* The sum of all numbers the rows hold, twice each: as key and as text. */
static int read_all(struct db_conn *conn, struct db_job *job)
{
    struct request *request = (struct request *)job;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT id, CAST(text AS INTEGER) FROM t");
    if (!stmt)
        return -EUCLEAN;
    int rc;
    while ((rc = db_step(stmt)) == 1)
        request->sum += sqlite3_column_int64(stmt, 0) + sqlite3_column_int64(stmt, 1);
    return rc;
}

static void on_done(struct db_job *job, int status)
{
    struct request *request = (struct request *)job;
    request->status = status;
    request->done = true;
}

static int perform(const char *path, int (*run)(struct db_conn *, struct db_job *), int64_t *ret_sum)
{
    struct error error;
    struct db *db;
    struct db_port *port;
    int rc = db_open(&(struct db_options){.path = path, .schema = schema, .sync = true}, &db, &error);
    if (rc < 0)
        return rc;
    if (db_port_open(db, &port, &error) < 0)
        abort();
    struct request request = {.job = {.run = run, .done = on_done, .read = run == read_all}};
    db_submit(port, &request.job);
    while (!request.done) {
        struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
        (void)poll(&fd, 1, -1);
        db_port_dispatch(port);
    }
    db_port_close(port);
    db_close(db);
    *ret_sum = request.sum;
    return request.status;
}

static void flip(const char *path, off_t at)
{
    char byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (pread(fd, &byte, 1, at) != 1)
        abort();
    byte = (char)(byte ^ 0x10);
    if (pwrite(fd, &byte, 1, at) != 1)
        abort();
    close(fd);
}

static void swap_pages(const char *path, off_t a, off_t b)
{
    char one[PAGE], two[PAGE];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (pread(fd, one, PAGE, a * PAGE) != PAGE || pread(fd, two, PAGE, b * PAGE) != PAGE ||
        pwrite(fd, two, PAGE, a * PAGE) != PAGE || pwrite(fd, one, PAGE, b * PAGE) != PAGE)
        abort();
    close(fd);
}

static void expect_damage(const char *path, const char *what, off_t at)
{
    int64_t sum = 0;
    int rc = perform(path, read_all, &sum);
    if (rc < 0)
        return;
    printf("%s at %lld: read as if nothing were wrong (sum %lld)\n", what, (long long)at, (long long)sum);
    failures++;
}

static void test_flips(const char *path)
{
    struct stat info;
    if (stat(path, &info) < 0)
        abort();
    off_t pages = info.st_size / PAGE;
    for (off_t page = 0; page < pages; page++) {
        off_t at = page * PAGE + (page * 977) % PAGE;
        flip(path, at);
        expect_damage(path, "a flipped bit", at);
        flip(path, at);
    }
    swap_pages(path, pages - 2, pages - 3);
    expect_damage(path, "two swapped pages", pages - 2);
    swap_pages(path, pages - 2, pages - 3);
}

int main(void)
{
    char dir[] = "/tmp/tai-checksum-XXXXXX", path[64];
    const int64_t expected = (int64_t)ROWS * (ROWS - 1);
    int64_t sum = 0;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/x.db", dir);
    if (perform(path, fill, &sum) != 0 || perform(path, read_all, &sum) != 0 || sum != expected) {
        printf("the untouched file: sum %lld, expected %lld\n", (long long)sum, (long long)expected);
        failures++;
    }
    test_flips(path);
    sum = 0;
    if (perform(path, read_all, &sum) != 0 || sum != expected) {
        printf("the restored file: sum %lld, expected %lld\n", (long long)sum, (long long)expected);
        failures++;
    }
    unlink(path);
    rmdir(dir);
    printf("%s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
