/* The database thread when the disk is full, fsync fails, the file is damaged, or the process is killed. */
#include "../support/check.h"
#include "../support/db_fixture.h"
#include "../support/fault_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static int limit_pages(struct db_conn *conn, struct db_job *job)
{
    const struct step *step = (const struct step *)job;
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %d", step->value);
    return sqlite3_exec(db_handle(conn), sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int check_integrity(struct db_conn *conn, struct db_job *job)
{
    (void)job;
    sqlite3_stmt *stmt = db_stmt(conn, "PRAGMA integrity_check");
    return db_step(stmt) == 1 && strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0 ? 0 : -EUCLEAN;
}

static void set_pages(struct fixture *f, int pages)
{
    struct step limit = step_read();
    limit.job.run = limit_pages;
    limit.value = pages;
    CHECK_INT(step_do(f->port, &limit), 0);
}

static void check_file(struct fixture *f)
{
    struct step check = step_read();
    check.job.run = check_integrity;
    CHECK_INT(step_do(f->port, &check), 0);
}

static int64_t disk_full(struct fixture *f)
{
    struct db_stats stats;
    db_stats(f->db, &stats);
    return stats.disk_full;
}

/* Inserts of 16 KiB until one is refused; returns how many were taken. */
static int fill(struct fixture *f, int max)
{
    for (int i = 0; i < max; i++) {
        struct step write = step_write(i);
        write.body = 16 * 1024;
        int status = step_do(f->port, &write);
        CHECK(status == 0 || status == -ENOSPC);
        if (status)
            return i;
    }
    CHECK(!"the disk never became full");
    return max;
}

static void page_limit_fails_and_recovers(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    set_pages(&f, 100);
    int taken = fill(&f, 1000);
    CHECK(taken > 5 && taken < 100);
    CHECK_INT(disk_full(&f), 1);
    CHECK_INT(fixture_rows(&f), taken);
    /* A job that needs no room, in one turn with one that does: it alone goes through. */
    struct hold hold;
    hold_begin(&hold, f.port);
    struct step big = step_write(-1);
    big.body = 64 * 1024;
    struct step small = step_write(-2);
    db_submit(f.port, &big.job);
    db_submit(f.port, &small.job);
    hold_end(&hold);
    port_wait(f.port, &small.finished);
    hold_done(&hold, f.port);
    CHECK_INT(big.status, -ENOSPC);
    CHECK_INT(small.status, 0);
    set_pages(&f, 1000000);
    struct step after = step_write(-3);
    after.body = 64 * 1024;
    CHECK_INT(step_do(f.port, &after), 0);
    CHECK_INT(disk_full(&f), 0);
    CHECK_INT(fixture_rows(&f), taken + 2);
    check_file(&f);
    fixture_close(&f);
    fixture_remove(&f);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void file_limit_fails_the_commit_and_recovers(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    set_file_limit((rlim_t)2 * 1024 * 1024);
    int taken = fill(&f, 1000);
    CHECK(taken > 5);
    CHECK_INT(disk_full(&f), 1);
    struct db_stats stats;
    db_stats(f.db, &stats);
    CHECK(stats.failed_turns >= 1);
    CHECK_INT(fixture_rows(&f), taken);
    set_file_limit(old.rlim_cur);
    struct step after = step_write(-3);
    CHECK_INT(step_do(f.port, &after), 0);
    CHECK_INT(disk_full(&f), 0);
    CHECK_INT(fixture_rows(&f), taken + 1);
    check_file(&f);
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_INT(fixture_rows(&f), taken + 1);
    fixture_close(&f);
    fixture_remove(&f);
}

static void woken(void *ctx)
{
    (*(int *)ctx)++;
}

/* The n-th write of a turn of three jobs meets a full disk, for every n until none does: all or nothing, nobody woken.
 */
static void full_disk_at_every_write(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, "fault");
    int wakes = 0;
    int64_t rows = 0;
    db_listen(f.port, 1, woken, &wakes);
    bool failed = true;
    for (int n = 0; n < 100 && failed; n++) {
        struct hold hold;
        hold_begin(&hold, f.port);
        struct step steps[3];
        for (int i = 0; i < 3; i++) {
            steps[i] = step_write(i);
            steps[i].body = 10000;
            steps[i].channel = 1;
            db_submit(f.port, &steps[i].job);
        }
        wakes = 0;
        fault_arm(&fault_write, n, false);
        hold_end(&hold);
        port_wait(f.port, &steps[2].finished);
        hold_done(&hold, f.port);
        failed = atomic_load(&fault_write.countdown) < 0;
        fault_arm(&fault_write, -1, false);
        for (int i = 0; i < 3; i++)
            CHECK_INT(steps[i].status, failed ? -ENOSPC : 0);
        CHECK_INT(wakes, failed ? 0 : 1);
        CHECK_INT(disk_full(&f), failed ? 1 : 0);
        rows += failed ? 0 : 3;
        CHECK_INT(fixture_rows(&f), rows);
    }
    CHECK(!failed);
    check_file(&f);
    fixture_close(&f);
    fixture_remove(&f);
}

/* A child runs body with its stderr in a file; returns its wait status and what it printed. */
static int in_child(void (*body)(struct fixture *), struct fixture *f, char *ret_text, size_t size)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/stderr", f->dir);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(fd, STDERR_FILENO);
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        body(f);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    FILE *file = fopen(log, "r");
    size_t n = file ? fread(ret_text, 1, size - 1, file) : 0;
    ret_text[n] = '\0';
    if (file)
        fclose(file);
    unlink(log);
    return status;
}

static void sync_fails(struct fixture *f)
{
    fixture_open(f, "fault");
    struct step first = step_write(1);
    if (step_do(f->port, &first))
        _exit(3);
    fault_arm(&fault_sync, 0, true);
    struct step second = step_write(2);
    (void)step_do(f->port, &second);
}

static void commit_write_fails(struct fixture *f)
{
    fixture_open(f, "fault");
    struct step first = step_write(1);
    if (step_do(f->port, &first))
        _exit(3);
    fault_write.code = SQLITE_IOERR_WRITE;
    fault_arm(&fault_write, 0, true);
    struct step second = step_write(2);
    (void)step_do(f->port, &second);
}

static void check_aborts(void (*body)(struct fixture *), const char *word)
{
    struct fixture f;
    fixture_dir(&f);
    char text[1024];
    int status = in_child(body, &f, text, sizeof(text));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, word) && strstr(text, f.path));
    fixture_open(&f, NULL);
    int64_t rows = fixture_rows(&f);
    CHECK(rows == 1 || rows == 2); /* the first was acknowledged, the second may be there */
    fixture_close(&f);
    fixture_remove(&f);
}

static void failed_fsync_aborts(void)
{
    check_aborts(sync_fails, "fsync failed");
}

static void failed_commit_aborts(void)
{
    check_aborts(commit_write_fails, "COMMIT failed");
}

/* Writes until it is killed; each number goes down the pipe only when it is acknowledged. */
static void write_for_ever(struct fixture *f, int pipe_fd)
{
    fixture_open(f, NULL);
    for (int i = 0;; i += 4) {
        struct step steps[4];
        for (int k = 0; k < 4; k++) {
            steps[k] = step_write(i + k);
            steps[k].body = 3000;
            db_submit(f->port, &steps[k].job);
        }
        for (int k = 0; k < 4; k++) {
            port_wait(f->port, &steps[k].finished);
            int value = i + k;
            if (steps[k].status || write(pipe_fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
                _exit(1);
        }
    }
}

static int count_missing(struct db_conn *conn, struct db_job *job)
{
    struct step *step = (struct step *)job;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT count(DISTINCT value), count(*) FROM item WHERE value <= ?");
    sqlite3_bind_int(stmt, 1, step->value);
    if (db_step(stmt) != 1)
        return -EIO;
    step->rows = step->value + 1 - sqlite3_column_int64(stmt, 0);
    return sqlite3_column_int64(stmt, 0) == sqlite3_column_int64(stmt, 1) ? 0 : -EUCLEAN;
}

static void kill_and_reopen(int round)
{
    struct fixture f;
    fixture_dir(&f);
    int fds[2];
    CHECK_INT(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        write_for_ever(&f, fds[1]);
    }
    close(fds[1]);
    int last = -1;
    int value;
    while (last < 20 + round * 37 && read(fds[0], &value, sizeof(value)) == (ssize_t)sizeof(value))
        last = value;
    nanosleep(&(struct timespec){.tv_nsec = round * 77 * 1000L}, NULL);
    kill(pid, SIGKILL);
    while (read(fds[0], &value, sizeof(value)) == (ssize_t)sizeof(value))
        last = value;
    close(fds[0]);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK(last >= 20);
    fixture_open(&f, NULL);
    struct step missing = step_read();
    missing.job.run = count_missing;
    missing.value = last;
    CHECK_INT(step_do(f.port, &missing), 0);
    CHECK_INT(missing.rows, 0);
    check_file(&f);
    fixture_close(&f);
    fixture_remove(&f);
}

static void acknowledged_writes_survive_a_kill(void)
{
    for (int round = 0; round < 12; round++)
        kill_and_reopen(round);
}

static int open_status(const char *path, const char *const *schema, struct error *err)
{
    struct db *db = NULL;
    struct db_options options = {.path = path, .schema = schema, .sync = true};
    int status = db_open(&options, &db, err);
    db_close(db);
    return status;
}

static void opening_says_what_is_wrong(void)
{
    static const char *const two[] = {"CREATE TABLE item(id INTEGER PRIMARY KEY)", "CREATE TABLE more(id INTEGER)",
                                      NULL};
    static const char *const broken[] = {"CREATE TABLE item(id INTEGER PRIMARY KEY)", "CREATE TABLE more(id INTEGER)",
                                         "CREATE TABLE third(id INTEGER); CREATE TABLE item(id INTEGER)", NULL};
    struct fixture f;
    fixture_dir(&f);
    struct error err;
    CHECK_INT(open_status(f.path, fixture_schema, &err), 0);
    struct stat st;
    CHECK(stat(f.path, &st) == 0 && (st.st_mode & 0777) == 0600);
    CHECK_INT(open_status(f.path, two, &err), 0);
    CHECK_INT(open_status(f.path, two, &err), 0); /* nothing is applied twice */
    CHECK_INT(open_status(f.path, fixture_schema, &err), -ENOTSUP);
    CHECK(strstr(err.text, "version 2") && strstr(err.text, f.path));
    CHECK(open_status(f.path, broken, &err) < 0); /* a failing script leaves nothing behind */
    CHECK_INT(open_status(f.path, two, &err), 0);
    CHECK_INT(open_status("/nonexistent/dir/db", two, &err), -ENOENT);
    CHECK(strstr(err.text, "/nonexistent/dir/db"));
    CHECK(open_status(f.dir, two, &err) < 0); /* a directory */
    FILE *file = fopen(f.path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    CHECK_INT(open_status(f.path, two, &err), -EUCLEAN);
    CHECK(strstr(err.text, f.path));
    fixture_remove(&f);
}

/* Pages of the table overwritten on disk: jobs that meet them fail with -EUCLEAN, the thread goes on. */
static void damage_is_reported(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    for (int i = 0; i < 50; i++) {
        struct step write = step_write(i);
        write.body = 2000;
        CHECK_INT(step_do(f.port, &write), 0);
    }
    fixture_close(&f);
    int fd = open(f.path, O_WRONLY | O_CLOEXEC);
    char junk[DB_PAGE_SIZE];
    memset(junk, 0xee, sizeof(junk));
    for (int page = 1; page < 4; page++)
        CHECK(pwrite(fd, junk, sizeof(junk), page * (long)DB_PAGE_SIZE) == (ssize_t)sizeof(junk));
    close(fd);
    fixture_open(&f, NULL);
    struct step read = step_read();
    CHECK_INT(step_do(f.port, &read), -EUCLEAN);
    struct step write = step_write(1);
    CHECK_INT(step_do(f.port, &write), -EUCLEAN);
    struct step again = step_read();
    CHECK_INT(step_do(f.port, &again), -EUCLEAN);
    fixture_close(&f);
    fixture_remove(&f);
}

int main(void)
{
    fault_vfs_register();
    return check_main((const struct check_case[]){
        {"failed_fsync_aborts", failed_fsync_aborts},
        {"failed_commit_aborts", failed_commit_aborts},
        {"acknowledged_writes_survive_a_kill", acknowledged_writes_survive_a_kill},
        {"page_limit_fails_and_recovers", page_limit_fails_and_recovers},
        {"file_limit_fails_the_commit_and_recovers", file_limit_fails_the_commit_and_recovers},
        {"full_disk_at_every_write", full_disk_at_every_write},
        {"opening_says_what_is_wrong", opening_says_what_is_wrong},
        {"damage_is_reported", damage_is_reported},
        {NULL, NULL},
    });
}
