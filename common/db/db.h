/* One thread that owns one SQLite connection and group-commits everybody's work: each turn takes all queued jobs, runs
 * the reads first (after some ms of them the others wait for the next turn, if there are writes), then every write,
 * undone by itself if it fails, in one transaction, one COMMIT (one fsync) for all.
 * A job's `done` runs on the thread that submitted it, after that COMMIT (or the failure). Knows no domain words.
 *
 * SQLite 3.40.1 lacks the WAL-reset fix, so no second connection ever writes or checkpoints the file. An fsync failure
 * cannot be retried: the thread aborts the process; what was acknowledged is on disk, the rest is sent again. A full
 * disk (SQLITE_FULL) fails that turn's writes with -ENOSPC and goes on. */
#ifndef TAI_COMMON_DB_DB_H
#define TAI_COMMON_DB_DB_H

#include "common/error.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of a page in files made now; others keep theirs. 8 KiB hold twice the rows of 4, and a commit copies, sums up
 * and indexes half as many. */
enum { DB_PAGE_SIZE = 8192 };

struct db;      /* the thread; shared by all mailboxes */
struct db_port; /* one per submitting thread: where completions arrive */

struct db_options {
    const char *path; /* file; created if absent, mode 0600 */
    const char *const
        *schema;     /* SQL scripts, one per version; PRAGMA user_version counts those applied; NULL-terminated */
    bool sync;       /* false only for tests and benchmarks: synchronous=OFF */
    const char *vfs; /* or NULL */
    /* Called on the database thread for each job that fails with -EUCLEAN; what: one line. Or NULL. */
    void (*on_damage)(void *ctx, const char *what);
    void *damage_ctx;
};

must_check int db_open(const struct db_options *options, struct db **ret, struct error *err);
/* Runs what is queued, checkpoints, closes. No job may be submitted after. */
void db_close(struct db *db);

struct db_stats {
    uint64_t turns, jobs, commits, failed_turns;
    uint64_t commit_us_total; /* wall time of the COMMITs */
    uint64_t corruptions;     /* jobs that failed with -EUCLEAN */
    int64_t disk_full;        /* 1 while the last write turn failed for space */
};
void db_stats(struct db *db, struct db_stats *ret); /* any thread */

must_check int db_port_open(struct db *db, struct db_port **ret, struct error *err);
/* Waits for jobs under way; their completions are dropped. Not from within a callback of the port. */
void db_port_close(struct db_port *port);
int db_port_fd(const struct db_port *port);  /* readable when db_port_dispatch has something to do */
void db_port_dispatch(struct db_port *port); /* runs the done callbacks that have arrived */
void db_port_wake(struct db_port *port);     /* any thread: makes the fd readable */

/* Statements are prepared once per db and slot: db_stmt(conn, "SQL") in a job returns it reset and unbound. sql must be
 * a string literal: it is cached by its address. SQL that does not compile aborts. When the job returns, statements are
 * reset and bindings dropped. NULL (which sqlite3_bind_…, db_run and db_step take) if the file is damaged. */
struct db_conn;
sqlite3_stmt *db_stmt(struct db_conn *conn, const char *sql);
sqlite3 *db_handle(struct db_conn *conn);
/* Runs a statement that returns no rows: 0 or -errno (-EUCLEAN: corrupt; -ENOSPC: full; -EEXIST: constraint; -EIO). */
must_check int db_run(sqlite3_stmt *stmt);
/* One step: 1 a row, 0 done, or -errno. */
must_check int db_step(sqlite3_stmt *stmt);

/* In a job that fails with -EUCLEAN: what is damaged, as far as known ("table t: page 17 …"). Without a text of the
 * job's own it is made of what SQLite met. The text holds until the job returns, and goes to on_damage. */
const char *db_damage(struct db_conn *conn);
void db_damage_say(struct db_conn *conn, const char *what);

/* A job is embedded in the caller's struct and must live until done ran. */
struct db_job {
    /* On the database thread. 0 commits; -errno rolls back this job alone, and done gets it. A write may run twice in a
     * turn, what the first run wrote being rolled back: when another job of the turn has failed. */
    int (*run)(struct db_conn *conn, struct db_job *job);
    /* On the submitter's thread; status is run's result, or what the COMMIT failed with. */
    void (*done)(struct db_job *job, int status);
    bool read; /* runs before the turn's writes and is done at once: sees only what was committed */
    /* private */
    struct db_port *port;
    struct db_job *next;
    int status;
};
void db_submit(struct db_port *port, struct db_job *job);

/* Called on the database thread after a COMMIT in which a job called db_notify(conn, channel); posts `wake` to the
 * port. */
void db_notify(struct db_conn *conn, unsigned channel); /* channel 0..31, in a job */
void db_listen(struct db_port *port, unsigned channel, void (*wake)(void *ctx), void *ctx); /* one listener per port */

#endif
