/* Opening, ports and submission for the database thread. Ownership: the db owns the connection and the thread; a port
 * is its opener's, closed before the db. Runs on the callers' threads; thread.c is the other side.
 *
 * Failure: opening explains itself in struct error. The file is made with mode 0600; log and index inherit that. */
#include "common/db/internal.h"
#include "common/db/wal.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The log is checkpointed by hand, after the answers are out. */
static int on_commit(void *arg, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((struct db_conn *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static int open_failed(sqlite3 *handle, int rc, const char *path, const char *what, struct error *err)
{
    int status = db_code(handle, rc);
    int64_t page = status == -EUCLEAN ? db_bad(handle).page : 0;
    if (page)
        return error_set(err, status,
                         "%s: %s: the file is damaged or not ours: page %lld does not hold what was written", path,
                         what, (long long)page);
    if (status == -EUCLEAN)
        return error_set(err, status, "%s: %s: the file is damaged or no database: %s", path, what,
                         sqlite3_errmsg(handle));
    if (status == -EBUSY)
        return error_set(err, status, "%s: %s: another process has the database open", path, what);
    return error_set(err, status ? status : -EIO, "%s: %s: %s", path, what, sqlite3_errmsg(handle));
}

static int create_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0) {
        int code = -errno;
        return error_set(err, code, "%s: cannot open or create the database file: %s", path, error_text(code));
    }
    close(fd);
    return 0;
}

static const char default_vfs[] = "tai-database";

static void configure(void)
{
    /* Counting its memory costs SQLite a lock at each allocation; nobody asks. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    db_cache_configure();
    /* SQLite keeps their addresses: for the life of the process. */
    static struct db_vfs *gather;
    static struct db_checksum *checksums;
    if (db_vfs_new(NULL, &gather) < 0 || db_checksum_new(db_vfs_name(gather), default_vfs, &checksums) < 0)
        abort();
}

const char *db_default_vfs(void)
{
    static pthread_once_t configured = PTHREAD_ONCE_INIT;
    pthread_once(&configured, configure);
    return default_vfs;
}

/* Before SQLite recovers from it. */
static int check_log(const char *path, struct error *err)
{
    struct wal_scan scan;
    int status = wal_scan(path, NULL, NULL, &scan, err);
    return status ? status : wal_verdict(path, &scan, err);
}

static int set_up(sqlite3 *handle, const struct db_options *options, struct error *err)
{
    static const char *const pragmas[] = {"PRAGMA journal_mode = WAL",  "PRAGMA wal_autocheckpoint = 0",
                                          "PRAGMA cache_size = -16384", "PRAGMA temp_store = MEMORY",
                                          "PRAGMA mmap_size = 0",       "PRAGMA journal_size_limit = -1",
                                          "PRAGMA secure_delete = OFF", "PRAGMA trusted_schema = OFF"};
    for (size_t i = 0; i < sizeof(pragmas) / sizeof(*pragmas); i++) {
        int rc = sqlite3_exec(handle, pragmas[i], NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return open_failed(handle, rc, options->path, pragmas[i], err);
    }
    int rc = sqlite3_exec(handle, options->sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF", NULL, NULL,
                          NULL);
    return rc == SQLITE_OK ? 0 : open_failed(handle, rc, options->path, "PRAGMA synchronous", err);
}

/* The integer that a query tells. */
static int query_int(sqlite3 *handle, const char *sql, int *ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        *ret = sqlite3_column_int(stmt, 0);
    int done = sqlite3_finalize(stmt);
    return rc != SQLITE_OK ? rc : done;
}

static int apply_script(sqlite3 *handle, const char *script, int version)
{
    char set[64];
    snprintf(set, sizeof(set), "PRAGMA user_version = %d", version);
    int rc = sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(handle, script, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(handle, set, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(handle, "COMMIT", NULL, NULL, NULL);
    return rc;
}

static int known_versions(const struct db_options *options)
{
    int known = 0;
    while (options->schema && options->schema[known])
        known++;
    return known;
}

/* Before anything is written: is it ours, and not of a later release? */
static int check_schema(sqlite3 *handle, const struct db_options *options, int *ret_version, struct error *err)
{
    int version = 0, tables = 0, known = known_versions(options);
    char page_size[64];
    snprintf(page_size, sizeof(page_size), "PRAGMA page_size = %d", DB_PAGE_SIZE);
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, 2000);
    /* Before the first access: the index of the log then lies in this process's memory, and no statement takes file
     * locks. Whoever else opens the file is told that it is busy. */
    int rc = sqlite3_exec(handle, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
    if (rc == SQLITE_OK) /* of a file that is made now */
        rc = sqlite3_exec(handle, page_size, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = query_int(handle, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && version == 0)
        rc = query_int(handle, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK)
        return open_failed(handle, rc, options->path, "reading the schema version", err);
    if (version < 0 || version > known)
        return error_set(
            err, -ENOTSUP,
            "%s: its schema is version %d, this program knows only %d: start the newer release that wrote it",
            options->path, version, known);
    if (known && tables)
        return error_set(err, -ENOTSUP, "%s: the database holds tables of another program: choose another path",
                         options->path);
    *ret_version = version;
    return 0;
}

static int migrate(sqlite3 *handle, const struct db_options *options, int version, struct error *err)
{
    int known = known_versions(options);
    for (; version < known; version++) {
        int rc = apply_script(handle, options->schema[version], version + 1);
        if (rc != SQLITE_OK)
            return open_failed(handle, rc, options->path, "applying the schema", err);
    }
    return 0;
}

static int start_thread(struct db *db)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&db->thread, NULL, db_thread, db);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        pthread_setname_np(db->thread, "database");
    return -rc;
}

static int open_handle(const struct db_options *options, const char *vfs, sqlite3 **ret, struct error *err)
{
    int status = options->vfs ? 0 : create_file(options->path, err);
    if (!status && !options->vfs)
        status = check_log(options->path, err);
    if (status)
        return status;
    sqlite3 *handle = NULL;
    int rc =
        sqlite3_open_v2(options->path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs);
    int version = 0;
    int reserved = DB_CHECKSUM_SIZE; /* takes effect in a file that is made now */
    if (rc == SQLITE_OK)
        (void)sqlite3_file_control(handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    status = rc == SQLITE_OK ? check_schema(handle, options, &version, err)
                             : open_failed(handle, rc, options->path, "opening", err);
    if (!status)
        status = set_up(handle, options, err);
    if (!status)
        status = migrate(handle, options, version, err);
    if (status) {
        sqlite3_close(handle);
        return status;
    }
    *ret = handle;
    return 0;
}

/* The layers over the VFS that was asked for; name: what to open the file with. */
static int stack_vfs(struct db *db, const struct db_options *options, const char **ret_name)
{
    *ret_name = db_default_vfs();
    if (!options->vfs)
        return 0;
    int status = options->sync ? db_vfs_new(options->vfs, &db->gather) : 0;
    if (!status)
        status = db_checksum_new(db->gather ? db_vfs_name(db->gather) : options->vfs, NULL, &db->checksums);
    if (!status)
        *ret_name = db_checksum_name(db->checksums);
    return status;
}

static void db_free(struct db *db)
{
    db_checksum_free(db->checksums);
    db_vfs_free(db->gather);
    free(db);
}

int db_open(const struct db_options *options, struct db **ret, struct error *err)
{
    sqlite3 *handle = NULL;
    const char *vfs;
    struct db *db = xcalloc(1, sizeof(*db));
    int status = stack_vfs(db, options, &vfs);
    if (status)
        error_set(err, status, "%s: there is no VFS %s", options->path, options->vfs);
    else
        status = open_handle(options, vfs, &handle, err);
    if (status) {
        db_free(db);
        return status;
    }
    db->on_damage = options->on_damage;
    db->damage_ctx = options->damage_ctx;
    db_conn_init(&db->conn, handle);
    sqlite3_wal_hook(handle, on_commit, &db->conn);
    db->checkpoint_at = DB_WAL_PAGES;
    sem_init(&db->wake, 0, 0);
    pthread_mutex_init(&db->ports_lock, NULL);
    status = start_thread(db);
    if (status) {
        db_conn_done(&db->conn);
        sqlite3_close(handle);
        db_free(db);
        return error_set(err, status, "%s: cannot start the database thread: %s", options->path, error_text(status));
    }
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    db_push(db, &db->stop);
    pthread_join(db->thread, NULL);
    sqlite3 *handle = db->conn.handle;
    db_conn_done(&db->conn);
    sqlite3_close(handle);
    sem_destroy(&db->wake);
    pthread_mutex_destroy(&db->ports_lock);
    db_free(db);
}

void db_stats(struct db *db, struct db_stats *ret)
{
    *ret = (struct db_stats){
        .turns = atomic_load_explicit(&db->stats.turns, memory_order_relaxed),
        .jobs = atomic_load_explicit(&db->stats.jobs, memory_order_relaxed),
        .commits = atomic_load_explicit(&db->stats.commits, memory_order_relaxed),
        .failed_turns = atomic_load_explicit(&db->stats.failed_turns, memory_order_relaxed),
        .commit_us_total = atomic_load_explicit(&db->stats.commit_us_total, memory_order_relaxed),
        .corruptions = atomic_load_explicit(&db->stats.corruptions, memory_order_relaxed),
        .disk_full = atomic_load_explicit(&db->stats.disk_full, memory_order_relaxed),
    };
}

int db_port_open(struct db *db, struct db_port **ret, struct error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        int code = -errno;
        return error_set(err, code, "eventfd: %s", error_text(code));
    }
    struct db_port *port = xcalloc(1, sizeof(*port));
    port->db = db;
    port->fd = fd;
    port->close.port = port;
    sem_init(&port->closed, 0, 0);
    pthread_mutex_lock(&db->ports_lock);
    port->next = db->ports;
    db->ports = port;
    pthread_mutex_unlock(&db->ports_lock);
    *ret = port;
    return 0;
}

void db_port_close(struct db_port *port)
{
    if (!port)
        return;
    /* Behind everything this port has submitted: no job of it is touched once this has come back. */
    db_push(port->db, &port->close);
    while (sem_wait(&port->closed) < 0)
        ;
    close(port->fd);
    sem_destroy(&port->closed);
    free(port);
}

int db_port_fd(const struct db_port *port)
{
    return port->fd;
}

void db_port_wake(struct db_port *port)
{
    db_signal(port);
}

void db_port_dispatch(struct db_port *port)
{
    uint64_t count;
    ssize_t n = read(port->fd, &count, sizeof(count));
    (void)n; /* called without need: EAGAIN */
    atomic_exchange_explicit(&port->signaled, false, memory_order_acq_rel);
    struct db_job *newest = atomic_exchange_explicit(&port->done, NULL, memory_order_acq_rel);
    uint32_t notified = atomic_exchange_explicit(&port->notified, 0, memory_order_acq_rel);
    struct db_job *job = NULL;
    while (newest) {
        struct db_job *next = newest->next;
        newest->next = job;
        job = newest;
        newest = next;
    }
    while (job) {
        struct db_job *next = job->next;
        job->done(job, job->status);
        job = next;
    }
    for (unsigned channel = 0; notified; channel++, notified >>= 1)
        if ((notified & 1) && port->listeners[channel].wake)
            port->listeners[channel].wake(port->listeners[channel].ctx);
}

void db_submit(struct db_port *port, struct db_job *job)
{
    job->port = port;
    db_push(port->db, job);
}

void db_notify(struct db_conn *conn, unsigned channel)
{
    conn->notified |= UINT32_C(1) << (channel % DB_CHANNELS);
}

void db_listen(struct db_port *port, unsigned channel, void (*wake)(void *ctx), void *ctx)
{
    uint32_t bit = UINT32_C(1) << (channel % DB_CHANNELS);
    port->listeners[channel % DB_CHANNELS].wake = wake;
    port->listeners[channel % DB_CHANNELS].ctx = ctx;
    if (wake)
        atomic_fetch_or_explicit(&port->listening, bit, memory_order_release);
    else
        atomic_fetch_and_explicit(&port->listening, ~bit, memory_order_release);
}
