/* What the files of the database thread share: db.c (open, ports), thread.c (turns), stmt.c (statements, codes).
 */
#ifndef TAI_COMMON_DB_INTERNAL_H
#define TAI_COMMON_DB_INTERNAL_H

#include "common/db/db.h"
#include "common/db/vfs.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* With three times the pages a signal costs 4% less, but a checkpoint holds everything up for 100 ms instead of 40. */
enum { DB_CHANNELS = 32, DB_WAL_PAGES = 16000 * 1024 / DB_PAGE_SIZE };

struct db_slot {
    const char *sql; /* the literal's address is the key; NULL: free */
    sqlite3_stmt *stmt;
    uint64_t job; /* the last that was handed it */
};

/* The connection and what the running job has done with it; the database thread's alone once that has started. */
struct db_conn {
    sqlite3 *handle;
    struct db_slot *slots; /* open addressing */
    size_t slot_cap;       /* a power of two */
    size_t slot_count;
    sqlite3_stmt **used; /* to be reset when the job returns */
    size_t used_count;
    size_t used_cap;
    uint64_t job;      /* counts jobs, from 1 */
    uint32_t notified; /* channels the running job named */
    int wal_pages;     /* in the log after the last COMMIT */
    char damage[512];  /* what the running job found damaged, empty if nothing */
};

struct db_port {
    struct db *db;
    int fd;
    atomic_bool signaled;          /* fd has been written since the last dispatch */
    _Atomic(struct db_job *) done; /* completions, newest first */
    atomic_uint notified;          /* channels to wake */
    atomic_uint listening;         /* channels that have a listener */
    struct {                       /* the port's thread's */
        void (*wake)(void *ctx);
        void *ctx;
    } listeners[DB_CHANNELS];
    struct db_job close; /* asks the database thread to forget the port */
    sem_t closed;
    /* the database thread's */
    struct db_job *fresh; /* completions of this turn, newest first */
    struct db_job *fresh_last;
    /* under db->ports_lock */
    struct db_port *next;
};

struct db {
    struct db_conn conn;
    struct db_vfs *gather; /* over the VFS that was asked for, or NULL */
    struct db_checksum *checksums;
    pthread_t thread;
    _Atomic(struct db_job *) intake; /* submitted, newest first; &asleep while the thread waits for work */
    sem_t wake;
    struct db_job asleep; /* only its address is used */
    struct db_job stop;
    pthread_mutex_t ports_lock;
    struct db_port *ports;
    void (*on_damage)(void *ctx, const char *what);
    void *damage_ctx;
    int checkpoint_at; /* pages in the log at which the next checkpoint is due */
    struct {
        atomic_uint_least64_t turns, jobs, commits, failed_turns, commit_us_total, corruptions;
        atomic_int_least64_t disk_full;
    } stats;
};

/* stmt.c */
void db_conn_init(struct db_conn *conn, sqlite3 *handle);
void db_conn_done(struct db_conn *conn);            /* finalizes, does not close */
void db_conn_reset(struct db_conn *conn);           /* after each job: no statement stays open, no binding stays */
int db_exec(struct db_conn *conn, const char *sql); /* a literal: BEGIN, COMMIT, …; the raw SQLite code */
int db_code(sqlite3 *handle, int rc);               /* SQLite's code as -errno; aborts where going on would lose data */
bool db_no_room(sqlite3 *handle); /* the last write to the database or its log met a full disk, quota or size limit */
_Noreturn void db_fatal(sqlite3 *handle, const char *doing);

/* vfs_over.c: a VFS that opens its own files and passes everything else to the one below, to be registered by the
 * caller. name and below outlive it; file_size: of a file of its own, with what below needs where that opens one too.
 */
typedef int db_vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags);
sqlite3_vfs db_vfs_over(sqlite3_vfs *below, const char *name, size_t file_size, db_vfs_open *open);
static inline sqlite3_vfs *db_vfs_below(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

/* checksum.c: a VFS over the one named (NULL: the default one), for databases with DB_CHECKSUM_SIZE reserved bytes a
 * page */
enum {
    DB_CHECKSUM_SIZE = 8,
    DB_FCNTL_BAD = 0x7a10, /* file control, struct db_bad *: what was met since it was asked for */
    DB_FCNTL_BLAME         /* file control, sqlite3_stmt *: which met it */
};
struct db_bad {
    int64_t page; /* the last one damaged, from 1; 0: none */
    sqlite3_stmt *stmt;
};
/* name: what it is registered as; NULL: a name of its own */
must_check int db_checksum_new(const char *below, const char *name, struct db_checksum **ret);
const char *db_checksum_name(const struct db_checksum *checksums);
void db_checksum_free(struct db_checksum *checksums); /* after its files are closed */
const char *db_default_vfs(void);                     /* db.c: gathering, with checksums, over the default one */
bool db_page_valid(const char *page, size_t len, int64_t offset);

/* rest_vfs.c: a VFS for files at rest, which it never changes */
struct db_rest;
must_check int db_rest_new(struct db_rest **ret);
const char *db_rest_name(const struct db_rest *rest);
void db_rest_free(struct db_rest *rest); /* after its files are closed */

/* damage.c */
void db_damage_note(struct db *db); /* a job failed with -EUCLEAN: counts it and tells */
struct db_bad db_bad(sqlite3 *handle);

/* cache.c */
void db_cache_configure(void); /* before SQLite's first use, and before there are threads of it */

/* thread.c */
void *db_thread(void *db);
void db_push(struct db *db, struct db_job *job);
void db_signal(struct db_port *port);

#endif
