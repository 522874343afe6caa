/* The turns of the database thread: take everything queued, reads first, then all writes in one transaction, deliver,
 * then checkpoint if the log has grown. Reads that would keep writes waiting for long are left for the next turn.
 * Sleeps on a semaphore while nothing is queued.
 *
 * Savepoints make SQLite copy each page a job touches, and nearly always all jobs of a turn succeed: so they run in one
 * transaction without, and if one fails, all of it is rolled back and they run again, each in its savepoint (but for
 * the first: while nothing stands in the transaction, rolling back all of it is rolling back that job alone). Failure:
 * a COMMIT that fails for space rolls the turn back; one that fails otherwise while writing aborts (stmt.c says
 * why). */
#include "common/clock.h"
#include "common/db/internal.h"

#include <errno.h>
#include <unistd.h>

enum { READS_US = 5000 }; /* of a turn, while writes wait */

struct chain {
    struct db_job *first;
    struct db_job **tail;
};

struct work {
    struct chain reads, writes;
    struct chain closes; /* ports to forget */
    uint64_t count;
    bool stop;
};

static void chain_init(struct chain *chain)
{
    chain->first = NULL;
    chain->tail = &chain->first;
}

static void chain_add(struct chain *chain, struct db_job *job)
{
    job->next = NULL;
    *chain->tail = job;
    chain->tail = &job->next;
}

void db_push(struct db *db, struct db_job *job)
{
    struct db_job *head = atomic_load_explicit(&db->intake, memory_order_relaxed);
    do
        job->next = head == &db->asleep ? NULL : head;
    while (!atomic_compare_exchange_weak_explicit(&db->intake, &head, job, memory_order_acq_rel, memory_order_relaxed));
    if (head == &db->asleep)
        sem_post(&db->wake);
}

/* All that is queued, newest first; if wait, until there is something. */
static struct db_job *take(struct db *db, bool wait)
{
    struct db_job *head = atomic_exchange_explicit(&db->intake, NULL, memory_order_acq_rel);
    while ((!head && wait) || head == &db->asleep) {
        struct db_job *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&db->intake, &none, &db->asleep, memory_order_acq_rel,
                                                    memory_order_relaxed))
            sem_wait(&db->wake);
        head = atomic_exchange_explicit(&db->intake, NULL, memory_order_acq_rel);
    }
    return head;
}

/* later: reads that the last turn left. */
static void sort(struct db *db, struct db_job *newest, struct db_job *later, struct work *work)
{
    struct db_job *oldest = NULL;
    while (newest) {
        struct db_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    *work = (struct work){0};
    chain_init(&work->reads);
    chain_init(&work->writes);
    chain_init(&work->closes);
    while (later) {
        struct db_job *job = later;
        later = job->next;
        chain_add(&work->reads, job);
    }
    while (oldest) {
        struct db_job *job = oldest;
        oldest = job->next;
        if (job == &db->stop)
            work->stop = true;
        else if (!job->run)
            chain_add(&work->closes, job);
        else
            chain_add(job->read ? &work->reads : &work->writes, job);
        work->count += job->run ? 1 : 0;
    }
}

void db_signal(struct db_port *port)
{
    if (atomic_exchange_explicit(&port->signaled, true, memory_order_acq_rel))
        return;
    uint64_t one = 1;
    ssize_t n = write(port->fd, &one, sizeof(one));
    (void)n; /* an eventfd only refuses when it is readable already */
}

static void finish(struct db_job *job)
{
    struct db_port *port = job->port;
    job->next = port->fresh;
    if (!port->fresh)
        port->fresh_last = job;
    port->fresh = job;
}

/* Hands each port its completions of this turn and the channels it listens to. */
static void deliver(struct db *db, uint32_t notified)
{
    pthread_mutex_lock(&db->ports_lock);
    for (struct db_port *port = db->ports; port; port = port->next) {
        uint32_t wakes = notified & atomic_load_explicit(&port->listening, memory_order_acquire);
        if (!port->fresh && !wakes)
            continue;
        if (wakes)
            atomic_fetch_or_explicit(&port->notified, wakes, memory_order_acq_rel);
        if (port->fresh) {
            struct db_job *head = atomic_load_explicit(&port->done, memory_order_relaxed);
            do
                port->fresh_last->next = head;
            while (!atomic_compare_exchange_weak_explicit(&port->done, &head, port->fresh, memory_order_acq_rel,
                                                          memory_order_relaxed));
            port->fresh = NULL;
        }
        db_signal(port);
    }
    pthread_mutex_unlock(&db->ports_lock);
}

static int run_job(struct db *db, struct db_job *job)
{
    struct db_conn *conn = &db->conn;
    conn->notified = 0;
    int status = job->run(conn, job);
    if (status == -EUCLEAN)
        db_damage_note(db);
    db_conn_reset(conn);
    return status;
}

/* Returns those left for the next turn, once the first have taken long enough of one in which patient is false. */
static struct db_job *run_reads(struct db *db, struct chain *reads, bool patient)
{
    struct db_conn *conn = &db->conn;
    struct db_job *job = reads->first;
    if (!job)
        return NULL;
    int64_t until = patient ? INT64_MAX : clock_mono_us(&clock_system) + READS_US;
    db_exec(conn, "BEGIN"); /* one snapshot for all; without it each statement opens its own */
    do {
        struct db_job *next = job->next;
        job->status = run_job(db, job);
        finish(job);
        job = next;
    } while (job && (patient || clock_mono_us(&clock_system) < until));
    if (!sqlite3_get_autocommit(conn->handle))
        db_exec(conn, "COMMIT");
    deliver(db, 0);
    return job;
}

static int begin(struct db_conn *conn)
{
    return db_code(conn->handle, db_exec(conn, "BEGIN IMMEDIATE"));
}

/* Undoes the whole transaction, if SQLite has not done so itself. */
static void roll_back(struct db_conn *conn)
{
    if (!sqlite3_get_autocommit(conn->handle) && db_exec(conn, "ROLLBACK") != SQLITE_OK)
        db_fatal(conn->handle, "ROLLBACK");
}

/* One job; alone says that nothing stands in the transaction yet. *lost is set to -errno when the transaction is gone.
 */
static int run_write(struct db *db, struct db_job *job, bool alone, int *lost)
{
    struct db_conn *conn = &db->conn;
    if (!alone) {
        *lost = db_code(conn->handle, db_exec(conn, "SAVEPOINT job"));
        if (*lost)
            return *lost;
    }
    int status = run_job(db, job);
    bool gone = sqlite3_get_autocommit(conn->handle); /* SQLite rolled back everything */
    if (gone && !status)
        status = -EIO;
    if (gone && !alone) {
        *lost = status;
        return status;
    }
    if (alone) {
        if (status) {
            roll_back(conn);
            *lost = begin(conn);
        }
        return status;
    }
    int rc = status ? db_exec(conn, "ROLLBACK TO job") : SQLITE_OK;
    if (rc == SQLITE_OK)
        rc = db_exec(conn, "RELEASE job");
    *lost = db_code(conn->handle, rc);
    return status ? status : *lost;
}

static int commit(struct db *db)
{
    struct db_conn *conn = &db->conn;
    int64_t started = clock_mono_us(&clock_system);
    int rc = db_exec(conn, "COMMIT");
    int64_t took = clock_mono_us(&clock_system) - started;
    atomic_fetch_add_explicit(&db->stats.commit_us_total, (uint64_t)took, memory_order_relaxed);
    int status = db_code(conn->handle, rc);
    if (status == -EIO)
        db_fatal(conn->handle, "COMMIT");
    if (status)
        roll_back(conn);
    else
        atomic_fetch_add_explicit(&db->stats.commits, 1, memory_order_relaxed);
    return status;
}

static void checkpoint(struct db *db)
{
    struct db_conn *conn = &db->conn;
    int in_log = 0;
    int copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(conn->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
    (void)db_code(conn->handle, rc); /* for fsync; anything else leaves the log as it was */
    bool complete = rc == SQLITE_OK && in_log == copied;
    /* A complete one makes the next write start the log anew. */
    db->checkpoint_at = complete ? DB_WAL_PAGES : conn->wal_pages + DB_WAL_PAGES;
    if (complete)
        conn->wal_pages = 0;
}

static void settle_stats(struct db *db, int failed, bool full)
{
    if (failed)
        atomic_fetch_add_explicit(&db->stats.failed_turns, 1, memory_order_relaxed);
    atomic_store_explicit(&db->stats.disk_full, full ? 1 : 0, memory_order_relaxed);
}

/* All of them or none: false when one failed, or the transaction is gone; then nothing stands. */
static bool run_together(struct db *db, struct chain *writes, uint32_t *notified)
{
    struct db_conn *conn = &db->conn;
    if (begin(conn))
        return false;
    for (struct db_job *job = writes->first; job; job = job->next) {
        job->status = run_job(db, job);
        if (job->status || sqlite3_get_autocommit(conn->handle)) {
            roll_back(conn);
            return false;
        }
        *notified |= conn->notified;
    }
    return true;
}

/* Each by itself; *alone: none succeeded. Returns -errno when the transaction is gone. */
static int run_apart(struct db *db, struct chain *writes, uint32_t *notified, bool *alone, bool *full)
{
    struct db_conn *conn = &db->conn;
    int lost = begin(conn);
    *notified = 0;
    for (struct db_job *job = writes->first; job; job = job->next) {
        job->status = lost ? lost : run_write(db, job, *alone, &lost);
        *full = *full || job->status == -ENOSPC;
        if (job->status)
            continue;
        *alone = false;
        *notified |= conn->notified;
    }
    return lost;
}

static void run_writes(struct db *db, struct chain *writes)
{
    if (!writes->first)
        return;
    struct db_conn *conn = &db->conn;
    uint32_t notified = 0;
    bool alone = true; /* nothing stands in the transaction */
    bool full = false;
    int lost = 0;
    if (writes->first->next && run_together(db, writes, &notified))
        alone = false;
    else
        lost = run_apart(db, writes, &notified, &alone, &full);
    if (!lost && !alone)
        lost = commit(db);
    else
        roll_back(conn);
    for (struct db_job *job = writes->first, *next; job; job = next) {
        next = job->next;
        if (lost && !job->status)
            job->status = lost;
        finish(job);
    }
    full = full || lost == -ENOSPC;
    settle_stats(db, lost, full);
    deliver(db, lost ? 0 : notified);
    /* With the disk full, emptying the log may be what makes room. */
    if (conn->wal_pages >= db->checkpoint_at || (full && conn->wal_pages > 0))
        checkpoint(db);
}

static void close_ports(struct db *db, struct chain *closes)
{
    for (struct db_job *job = closes->first, *next; job; job = next) {
        next = job->next;
        struct db_port *port = job->port;
        pthread_mutex_lock(&db->ports_lock);
        struct db_port **link = &db->ports;
        while (*link != port)
            link = &(*link)->next;
        *link = port->next;
        pthread_mutex_unlock(&db->ports_lock);
        sem_post(&port->closed); /* the port is gone from here on */
    }
}

void *db_thread(void *arg)
{
    struct db *db = arg;
    struct work work;
    struct db_job *later = NULL;
    do {
        sort(db, take(db, !later), later, &work);
        atomic_fetch_add_explicit(&db->stats.turns, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&db->stats.jobs, work.count, memory_order_relaxed);
        later = run_reads(db, &work.reads, !work.writes.first || work.closes.first || work.stop);
        run_writes(db, &work.writes);
        close_ports(db, &work.closes);
    } while (!work.stop);
    if (db->conn.wal_pages > 0)
        checkpoint(db);
    return NULL;
}
