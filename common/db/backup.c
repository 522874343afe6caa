/* SQLite's online backup with the owner's connection as its source: pages that a later COMMIT changes are written to
 * the copy again by SQLite itself. The copy has a connection of its own, without journal and sync; it is the database
 * thread's while jobs run. The caller's thread syncs it, a piece at a time, so that there is never so much to be
 * written back that the kernel would hold up whoever writes more. */
#include "common/db/backup.h"
#include "common/clock.h"
#include "common/db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

/* Long enough to be worth a turn, short enough that nobody waits for it. */
enum { SLICE_US = 1000, STEP_PAGES = 8, RESTARTS_MAX = 100, SYNC_PAGES = 512 };

struct backup {
    struct db_job job; /* one slice */
    sqlite3 *copy;
    int fd;                 /* of the copy too; closed after it, because closing drops locks */
    uint64_t synced;        /* pages */
    sqlite3_backup *handle; /* NULL before the first slice and after the last */
    struct db_backup_progress progress;
    bool give_up; /* the next slice only ends it */
    bool complete, answered;
    int status;
    struct error err;
};

/* SQLite's code of the backup as -errno. */
static int code_of(struct db_conn *conn, struct backup *backup, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(&backup->err, -EUCLEAN, "%s", db_damage(conn));
    case SQLITE_IOERR:
        return db_no_room(backup->copy) ? -ENOSPC : -EIO;
    default:
        return error_set(&backup->err, -EIO, "%s", sqlite3_errmsg(backup->copy));
    }
}

static int64_t thread_cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void count(struct backup *backup, int64_t began_us, int64_t began_cpu_us)
{
    struct db_backup_progress *progress = &backup->progress;
    int64_t cpu = thread_cpu_us() - began_cpu_us;
    uint64_t total = (uint64_t)sqlite3_backup_pagecount(backup->handle);
    uint64_t pages = total - (uint64_t)sqlite3_backup_remaining(backup->handle);
    int64_t took = clock_mono_us(&clock_system) - began_us;
    progress->restarts += pages < progress->pages;
    progress->pages = pages;
    progress->total = total;
    progress->slices++;
    if (took > progress->slice_us_max)
        progress->slice_us_max = took;
    if (cpu > progress->cpu_us_max)
        progress->cpu_us_max = cpu;
}

static int slice_run(struct db_conn *conn, struct db_job *job)
{
    struct backup *backup = (struct backup *)job;
    int64_t began_us = clock_mono_us(&clock_system), began_cpu_us = thread_cpu_us();
    int rc = SQLITE_OK;
    if (!backup->handle && !backup->give_up)
        backup->handle = sqlite3_backup_init(backup->copy, "main", conn->handle, "main");
    if (!backup->handle)
        return backup->give_up ? 0 : code_of(conn, backup, sqlite3_extended_errcode(backup->copy));
    while (rc == SQLITE_OK && !backup->give_up) {
        rc = sqlite3_backup_step(backup->handle, STEP_PAGES);
        if (clock_mono_us(&clock_system) - began_us >= SLICE_US)
            break;
    }
    count(backup, began_us, began_cpu_us);
    if (rc == SQLITE_OK && !backup->give_up)
        return 0;
    backup->complete = rc == SQLITE_DONE;
    (void)sqlite3_backup_finish(backup->handle); /* says again what the last step did */
    backup->handle = NULL;
    return rc == SQLITE_DONE || rc == SQLITE_OK ? 0 : code_of(conn, backup, rc);
}

static void slice_done(struct db_job *job, int status)
{
    struct backup *backup = (struct backup *)job;
    backup->answered = true;
    backup->status = status;
}

static int slice(struct db_port *port, struct backup *backup)
{
    backup->answered = false;
    db_submit(port, &backup->job);
    while (!backup->answered) {
        struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
        (void)poll(&fd, 1, -1);
        db_port_dispatch(port);
    }
    return backup->status;
}

/* Writes back what was copied since. */
static int write_back(struct backup *backup, const char *path, struct error *err)
{
    uint64_t pages = backup->progress.pages;
    if (pages >= backup->synced && pages - backup->synced < SYNC_PAGES)
        return 0;
    backup->synced = pages;
    return fdatasync(backup->fd) == 0 ? 0 : error_set(err, -errno, "cannot write %s: %s", path, error_text(-errno));
}

static int copy_all(struct db_port *port, struct backup *backup, const struct db_backup_options *options,
                    struct error *err)
{
    int status = 0;
    while (!status && !backup->complete) {
        status = slice(port, backup);
        if (status)
            error_set(err, status, "%s", backup->err.text[0] ? backup->err.text : error_text(status));
        else
            status = write_back(backup, options->path, err);
        if (!status && options->step)
            status = options->step(options->ctx, &backup->progress, err);
        if (!status && backup->progress.restarts > RESTARTS_MAX)
            status = error_set(err, -EAGAIN, "begun again %d times because transactions were rolled back: try later",
                               RESTARTS_MAX);
    }
    backup->give_up = true;
    if (backup->handle)
        (void)slice(port, backup);
    return status;
}

static int open_copy(const struct db_backup_options *options, struct backup *backup, struct error *err)
{
    const char *path = options->path;
    backup->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (backup->fd < 0)
        return error_set(err, -errno, "cannot create %s: %s", path, error_text(-errno));
    static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
                                  " PRAGMA synchronous = OFF; PRAGMA cache_size = -1024; PRAGMA mmap_size = 0";
    sqlite3 *copy = NULL;
    int rc = sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             options->vfs ? options->vfs : db_default_vfs());
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(copy, pragmas, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        error_set(err, -EIO, "cannot open %s: %s", path, sqlite3_errmsg(copy));
        sqlite3_close(copy);
        close(backup->fd);
        return -EIO;
    }
    (void)sqlite3_extended_result_codes(copy, 1);
    backup->copy = copy;
    return 0;
}

static int sync_copy(const struct backup *backup, const char *path, struct error *err)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(backup->copy, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK)
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    if (rc == SQLITE_OK)
        return 0;
    int status = db_no_room(backup->copy) ? -ENOSPC : -EIO;
    return error_set(err, status, "cannot write %s: %s", path, error_text(status));
}

int db_backup(struct db *db, const struct db_backup_options *options, struct error *err)
{
    struct backup backup = {.job = {.run = slice_run, .done = slice_done, .read = true}};
    struct db_port *port;
    int status = open_copy(options, &backup, err);
    if (status)
        return status;
    status = db_port_open(db, &port, err);
    if (!status) {
        status = copy_all(port, &backup, options, err);
        db_port_close(port);
    }
    if (!status)
        status = sync_copy(&backup, options->path, err);
    sqlite3_close(backup.copy);
    close(backup.fd);
    return status;
}
