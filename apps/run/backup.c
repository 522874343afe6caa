/* The order makes the copy one that can be started: first the key and what the signer remembers, then the database,
 * which from then on only grows beyond what was signed; last the manifest, which until then is marked as missing. Each
 * file is on disk before the next begins.
 *
 * Failure: the directory and all in it is removed, the service is not touched; before the disk is full the backup gives
 * up, so that nobody else meets a full disk for its sake. The status is shared under a lock; the rest is the thread's.
 */
#include "apps/run/backup.h"
#include "andon/ledger/keys.h"
#include "andon/ledger/signer.h"
#include "apps/cli/manifest.h"
#include "common/db/backup.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const uint64_t reserve_max = UINT64_C(64) << 20; /* bytes of the disk a backup leaves free */

struct backup {
    struct andon_backup interface;
    const struct config *config;
    struct db *db;
    const struct log *log;
    char (*names)[256]; /* of the files made so far */
    size_t name_count;
    atomic_bool stop;
    pthread_t thread;
    bool started; /* a thread is to be joined */
    pthread_mutex_t lock;
    struct andon_backup_status status; /* under the lock */
};

/* --- files ------------------------------------------------------------------------------------------------------- */

static void path_of(const struct backup *backup, const char *name, char ret[PATH_MAX + 256])
{
    snprintf(ret, PATH_MAX + 256, "%s/%s", backup->status.directory, name);
}

static void add_name(struct backup *backup, const char *name)
{
    snprintf(backup->names[backup->name_count++], sizeof(backup->names[0]), "%s", name);
}

/* Copies a small file that does not change. */
static int copy_file(const char *from, const char *to, struct error *err)
{
    char data[8192];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = in < 0 || out < 0 ? -errno : 0;
    ssize_t n;
    while (!r && (n = read(in, data, sizeof(data))) != 0)
        r = n < 0 || write(out, data, (size_t)n) != n ? -errno : 0;
    if (!r && fsync(out) < 0)
        r = -errno;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return r ? error_set(err, r, "cannot copy %s: %s", from, error_text(r)) : 0;
}

static int copy_key(struct backup *backup, const char *from, const char *name, struct error *err)
{
    char to[PATH_MAX + 256];
    path_of(backup, name, to);
    add_name(backup, name);
    return copy_file(from, to, err);
}

static int copy_public_keys(struct backup *backup, struct error *err)
{
    char name[256];
    int r = ledger_keys_copy(backup->config->andon.ledger.origin, backup->config->run.data, backup->status.directory,
                             name, err);
    if (!r)
        add_name(backup, name);
    return r;
}

static int copy_memories(struct backup *backup, struct error *err)
{
    const struct ledger_config *ledger = &backup->config->andon.ledger;
    int r = 0;
    for (uint32_t i = 0; !r && i < (uint32_t)ledger->shards; i++) {
        char name[256];
        r = signer_copy(ledger->origin, backup->config->run.data, i, backup->status.directory, name, err);
        if (!r)
            add_name(backup, name);
        r = r == -ENOENT ? 0 : r; /* nothing of that shard was signed yet */
    }
    return r;
}

static int sync_parent(const char *dir)
{
    char path[BACKUP_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s/..", dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

/* --- room -------------------------------------------------------------------------------------------------------- */

struct room {
    uint64_t free, reserve;
};

static int room_in(const char *dir, struct room *ret)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) < 0)
        return -errno;
    uint64_t size = (uint64_t)disk.f_blocks * disk.f_frsize;
    *ret = (struct room){(uint64_t)disk.f_bavail * disk.f_frsize, size / 10 < reserve_max ? size / 10 : reserve_max};
    return 0;
}

static uint64_t mib(uint64_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

static int check_room(const struct backup *backup, const char *dir, struct error *err)
{
    struct stat info;
    struct room room = {0};
    int r = room_in(dir, &room);
    if (r || stat(backup->config->store.path, &info) < 0)
        return 0; /* what is wrong shows when it is used */
    if (room.free >= (uint64_t)info.st_size + room.reserve)
        return 0;
    return error_set(err, -ENOSPC,
                     "%s: the backup needs %llu MiB and leaves %llu MiB free, but the disk has only %llu MiB: choose "
                     "another disk",
                     dir, (unsigned long long)mib((uint64_t)info.st_size), (unsigned long long)mib(room.reserve),
                     (unsigned long long)mib(room.free));
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static int on_slice(void *ctx, const struct db_backup_progress *progress, struct error *err)
{
    struct backup *backup = ctx;
    pthread_mutex_lock(&backup->lock);
    backup->status.pages = progress->pages;
    backup->status.total = progress->total;
    backup->status.slice_us_max = progress->slice_us_max;
    backup->status.cpu_us_max = progress->cpu_us_max;
    pthread_mutex_unlock(&backup->lock);
    if (atomic_load(&backup->stop))
        return error_set(err, -ECANCELED, "the service is being stopped");
    struct room room = {0};
    if (progress->slices % 16 == 1 && room_in(backup->status.directory, &room) == 0 && room.free < room.reserve)
        return error_set(err, -ENOSPC, "the disk has only %llu MiB left, which the service may need",
                         (unsigned long long)mib(room.free));
    return 0;
}

static bool go_on(void *ctx, uint64_t bytes)
{
    (void)bytes;
    return !atomic_load(&((struct backup *)ctx)->stop);
}

static int copy_all(struct backup *backup, struct error *err)
{
    const struct manifest_watch watch = {.go_on = go_on, .ctx = backup};
    const char *names[MANIFEST_FILES_MAX];
    char database[PATH_MAX + 256];
    const struct ledger_config *ledger = &backup->config->andon.ledger;
    int r = manifest_begin(backup->status.directory, err);
    if (!r)
        r = copy_key(backup, ledger->key_file, "ledger.key", err);
    if (!r && ledger->previous_key_file)
        r = copy_key(backup, ledger->previous_key_file, "ledger-previous.key", err);
    if (!r)
        r = copy_public_keys(backup, err);
    if (!r)
        r = copy_memories(backup, err);
    if (r)
        return r;
    path_of(backup, "tai.db", database);
    add_name(backup, "tai.db");
    const struct db_backup_options options = {.path = database, .step = on_slice, .ctx = backup};
    r = db_backup(backup->db, &options, err);
    if (r)
        return error_prefix(err, r, "the database");
    for (size_t i = 0; i < backup->name_count; i++)
        names[i] = backup->names[i];
    r = manifest_write(backup->status.directory, names, backup->name_count, clock_wall_ms(&clock_system), &watch, err);
    if (!r && (r = sync_parent(backup->status.directory)))
        error_set(err, r, "cannot sync the directory above %s: %s", backup->status.directory, error_text(r));
    return r;
}

static void remove_all(const struct backup *backup)
{
    static const char *const others[] = {MANIFEST_NAME, MANIFEST_PART, "tai.db-journal"};
    char path[PATH_MAX + 256];
    for (size_t i = 0; i < backup->name_count; i++) {
        path_of(backup, backup->names[i], path);
        (void)unlink(path);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        path_of(backup, others[i], path);
        (void)unlink(path);
    }
    (void)rmdir(backup->status.directory);
}

static void *run(void *arg)
{
    struct backup *backup = arg;
    struct error err = {0};
    int r = copy_all(backup, &err);
    if (r)
        remove_all(backup);
    pthread_mutex_lock(&backup->lock);
    struct andon_backup_status *status = &backup->status;
    status->state = r ? BACKUP_FAILED : BACKUP_DONE;
    status->ended_ms = clock_wall_ms(&clock_system);
    if (r)
        snprintf(status->error, sizeof(status->error), "%.460s: what was copied is removed", err.text);
    pthread_mutex_unlock(&backup->lock);
    log_event(backup->log, r ? LOG_ERROR : LOG_INFO, r ? "backup_failed" : "backup_done",
              LOG_S("directory", status->directory), LOG_I("pages", (int64_t)status->pages),
              LOG_I("longest_slice_us", status->slice_us_max), LOG_S("error", err.text));
    return NULL;
}

static int start_thread(struct backup *backup)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&backup->thread, NULL, run, backup);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

/* With the lock held and no thread under way. */
static int begin(struct backup *backup, const char *directory, struct error *err)
{
    if (atomic_load(&backup->stop))
        return error_set(err, -ESHUTDOWN, "the service is being stopped");
    if (mkdir(directory, 0700) < 0)
        return errno == EEXIST ? error_set(err, -EEXIST, "%s exists: a backup is made in a new directory", directory)
                               : error_set(err, -errno, "cannot create %s: %s", directory, error_text(-errno));
    backup->status = (struct andon_backup_status){.state = BACKUP_RUNNING, .began_ms = clock_wall_ms(&clock_system)};
    snprintf(backup->status.directory, sizeof(backup->status.directory), "%s", directory);
    backup->name_count = 0;
    int r = check_room(backup, directory, err);
    if (!r && (r = start_thread(backup)))
        error_set(err, r, "cannot start the backup's thread: %s", error_text(r));
    backup->started = !r;
    if (!r)
        return 0;
    (void)rmdir(directory);
    backup->status.state = BACKUP_FAILED;
    backup->status.ended_ms = backup->status.began_ms;
    snprintf(backup->status.error, sizeof(backup->status.error), "%s", err->text);
    return r;
}

static int start(void *ctx, const char *directory, struct error *err)
{
    struct backup *backup = ctx;
    pthread_mutex_lock(&backup->lock);
    bool running = backup->status.state == BACKUP_RUNNING;
    pthread_mutex_unlock(&backup->lock);
    if (running)
        return error_set(err, -EBUSY, "a backup into %s is under way", backup->status.directory);
    if (backup->started)
        pthread_join(backup->thread, NULL);
    backup->started = false;
    pthread_mutex_lock(&backup->lock);
    int r = begin(backup, directory, err);
    pthread_mutex_unlock(&backup->lock);
    return r;
}

static void status(void *ctx, struct andon_backup_status *ret)
{
    struct backup *backup = ctx;
    pthread_mutex_lock(&backup->lock);
    *ret = backup->status;
    pthread_mutex_unlock(&backup->lock);
}

struct backup *backup_new(const struct config *config, struct db *db, const struct log *log)
{
    struct backup *backup = xcalloc(1, sizeof(*backup));
    backup->interface = (struct andon_backup){.start = start, .status = status, .ctx = backup};
    backup->config = config;
    backup->db = db;
    backup->log = log;
    backup->names = xcalloc(MANIFEST_FILES_MAX, sizeof(*backup->names));
    pthread_mutex_init(&backup->lock, NULL);
    return backup;
}

void backup_stop(struct backup *backup)
{
    if (backup)
        atomic_store(&backup->stop, true);
}

void backup_free(struct backup *backup)
{
    if (!backup)
        return;
    backup_stop(backup);
    if (backup->started)
        pthread_join(backup->thread, NULL);
    pthread_mutex_destroy(&backup->lock);
    free(backup->names);
    free(backup);
}

const struct andon_backup *backup_interface(struct backup *backup)
{
    return &backup->interface;
}
