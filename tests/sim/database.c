/* Jobs wait here, port by port, until a turn pushes some of them into the real intake and calls the real thread
 * function, which runs them and comes back at the stop behind them. */
#include "sim/database.h"

#include "common/buf.h"
#include "common/db/internal.h"
#include "common/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORTS_MAX = 64, NOBODY = UINT32_MAX };

struct queue { /* of one port */
    struct db_port *port;
    unsigned owner;
    struct db_job *first, **last;
    size_t count;
};

struct database {
    struct db *db;
    struct random *random;
    struct database_faults faults;
    uint64_t hits;
    struct queue queues[PORTS_MAX];
    size_t queue_count;
    unsigned owner, dying;
    size_t queued;
    bool in_turn, spare;
};

/* The wrapped functions know nothing of their database: there is one. */
static struct database *the_database;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __real_db_port_open(struct db *db, struct db_port **ret, struct error *err);
int __wrap_db_port_open(struct db *db, struct db_port **ret, struct error *err);
void __wrap_db_port_close(struct db_port *port);
void __wrap_db_submit(struct db_port *port, struct db_job *job);
int __real_db_exec(struct db_conn *conn, const char *sql);
int __wrap_db_exec(struct db_conn *conn, const char *sql);
int __real_db_run(sqlite3_stmt *stmt);
int __wrap_db_run(sqlite3_stmt *stmt);
int __real_db_step(sqlite3_stmt *stmt);
int __wrap_db_step(sqlite3_stmt *stmt);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

/* --- the thread that is none -------------------------------------------------------------------------------------- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
    if (run != db_thread)
        return __real_pthread_create(thread, attributes, run, arg);
    *thread = pthread_self();
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
    if (!pthread_equal(thread, pthread_self()))
        return __real_pthread_join(thread, ret);
    db_thread(the_database->db); /* the stop is queued */
    return 0;
}

static void run_turn(struct database *database)
{
    db_push(database->db, &database->db->stop);
    database->in_turn = true;
    db_thread(database->db);
    database->in_turn = false;
}

sqlite3 *database_handle(struct database *database)
{
    return database->db->conn.handle;
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static struct queue *queue_of(struct database *database, const struct db_port *port)
{
    for (size_t i = 0; i < database->queue_count; i++)
        if (database->queues[i].port == port)
            return &database->queues[i];
    abort();
}

int __wrap_db_port_open(struct db *db, struct db_port **ret, struct error *err)
{
    struct database *database = the_database;
    int status = __real_db_port_open(db, ret, err);
    if (status)
        return status;
    if (database->queue_count == PORTS_MAX)
        abort();
    struct queue *queue = &database->queues[database->queue_count++];
    *queue = (struct queue){.port = *ret, .owner = database->owner};
    queue->last = &queue->first;
    return 0;
}

static void answer(struct db_job *job, int status)
{
    struct db_port *port = job->port;
    job->status = status;
    job->next = atomic_load(&port->done);
    atomic_store(&port->done, job);
    db_signal(port);
}

void __wrap_db_submit(struct db_port *port, struct db_job *job)
{
    struct database *database = the_database;
    struct queue *queue = queue_of(database, port);
    job->port = port;
    job->next = NULL;
    if (queue->owner == database->dying) {
        answer(job, -ESHUTDOWN);
        return;
    }
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
    database->queued++;
}

static struct db_job *shift(struct database *database, struct queue *queue)
{
    struct db_job *job = queue->first;
    queue->first = job->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    database->queued--;
    return job;
}

static void push_first(struct database *database, struct queue *queue, size_t count)
{
    while (count-- > 0)
        db_push(database->db, shift(database, queue));
}

/* Waits for what was submitted, as the real one does, unless its owner is dying. */
void __wrap_db_port_close(struct db_port *port)
{
    struct database *database = the_database;
    if (!port)
        return;
    struct queue *queue = queue_of(database, port);
    push_first(database, queue, queue->count);
    db_push(database->db, &port->close);
    run_turn(database);
    close(port->fd);
    sem_destroy(&port->closed);
    free(port);
    struct queue *last = &database->queues[--database->queue_count];
    *queue = *last;
    if (!queue->first)
        queue->last = &queue->first;
}

/* Whoever waits for a port waits for a turn. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    struct database *database = the_database;
    for (size_t i = 0; database && i < database->queue_count; i++) {
        struct queue *queue = &database->queues[i];
        if (count != 1 || queue->port->fd != fds->fd)
            continue;
        push_first(database, queue, queue->count);
        run_turn(database);
        return 1;
    }
    return __real_poll(fds, count, timeout);
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

size_t database_queued(const struct database *database)
{
    return database->queued;
}

bool database_signaled(const struct database *database, unsigned owner)
{
    for (size_t i = 0; i < database->queue_count; i++)
        if (database->queues[i].owner == owner && atomic_load(&database->queues[i].port->signaled))
            return true;
    return false;
}

/* The queues are merged by chance: they are connections of their own. */
static void merge(struct database *database, size_t *take)
{
    size_t left = 0;
    for (size_t i = 0; i < database->queue_count; i++)
        left += take[i];
    for (; left > 0; left--) {
        size_t pick = random_below(database->random, (unsigned)left), i = 0;
        while (pick >= take[i])
            pick -= take[i++];
        take[i]--;
        push_first(database, &database->queues[i], 1);
    }
}

void database_turn(struct database *database)
{
    size_t take[PORTS_MAX], total = 0;
    if (!database->queued)
        return;
    for (size_t i = 0; i < database->queue_count; i++)
        total += take[i] = random_below(database->random, (unsigned)database->queues[i].count + 1);
    for (size_t i = 0; total == 0; i++)
        if (database->queues[i].count)
            total = take[i] = 1;
    merge(database, take);
    run_turn(database);
}

void database_turn_all(struct database *database)
{
    size_t take[PORTS_MAX];
    for (size_t i = 0; i < database->queue_count; i++)
        take[i] = database->queues[i].count;
    merge(database, take);
    run_turn(database);
}

void database_turn_port(struct database *database, struct db_port *port)
{
    struct queue *queue = queue_of(database, port);
    push_first(database, queue, queue->count);
    run_turn(database);
}

void database_own(struct database *database, unsigned owner)
{
    database->owner = owner;
}

void database_dying(struct database *database, unsigned owner, bool last_turn)
{
    size_t take[PORTS_MAX] = {0}, total = 0;
    last_turn = last_turn && random_chance(database->random, 500);
    for (size_t i = 0; last_turn && i < database->queue_count; i++)
        if (database->queues[i].owner == owner)
            total += take[i] = random_below(database->random, (unsigned)database->queues[i].count + 1);
    if (total) {
        merge(database, take);
        run_turn(database);
    }
    database->dying = owner;
    for (size_t i = 0; i < database->queue_count; i++)
        while (database->queues[i].owner == owner && database->queues[i].first)
            answer(shift(database, &database->queues[i]), -ESHUTDOWN);
}

void database_dead(struct database *database)
{
    database->dying = NOBODY;
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

static bool strikes(unsigned per_mille)
{
    struct database *database = the_database;
    if (!database || !database->in_turn || database->spare || !per_mille || !random_chance(database->random, per_mille))
        return false;
    database->hits++;
    return true;
}

int __wrap_db_exec(struct db_conn *conn, const char *sql)
{
    bool writes = sqlite3_txn_state(conn->handle, NULL) == SQLITE_TXN_WRITE; /* one that has only read cannot fail so */
    if (writes && strcmp(sql, "COMMIT") == 0 && strikes(the_database->faults.commit_full))
        return SQLITE_FULL;
    return __real_db_exec(conn, sql);
}

int __wrap_db_run(sqlite3_stmt *stmt)
{
    if (stmt && strikes(the_database->faults.statement_full))
        return -ENOSPC;
    if (stmt && strikes(the_database->faults.transaction_lost)) {
        sqlite3_exec(sqlite3_db_handle(stmt), "ROLLBACK", NULL, NULL, NULL);
        return -ENOSPC;
    }
    return __real_db_run(stmt);
}

int __wrap_db_step(sqlite3_stmt *stmt)
{
    if (stmt && strikes(the_database->faults.read_error))
        return -EIO;
    return __real_db_step(stmt);
}

void database_set_faults(struct database *database, struct database_faults faults)
{
    database->faults = faults;
}

void database_spare(struct database *database, bool spare)
{
    database->spare = spare;
}

uint64_t database_faults_hit(const struct database *database)
{
    return database->hits;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void execute(struct database *database, const char *sql)
{
    if (sqlite3_exec(database_handle(database), sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(database_handle(database)));
        abort();
    }
}

/* Every commit of a batch as the database did it, for the checker. */
static const char audit[] =
    "CREATE TEMP TABLE sim_commits(partition INTEGER, epoch INTEGER, batch INTEGER, clock INTEGER);"
    "CREATE TEMP TRIGGER sim_commit AFTER UPDATE OF batch ON main.partitions BEGIN"
    " INSERT INTO sim_commits VALUES(new.partition, new.epoch, new.batch, new.clock); END";

struct database *database_open(const char *const *schema)
{
    struct error err;
    struct db_options options = {.path = ":memory:", .schema = schema, .vfs = "unix"};
    struct database *database = xcalloc(1, sizeof(*database));
    database->dying = NOBODY;
    the_database = database;
    if (db_open(&options, &database->db, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    execute(database, audit);
    return database;
}

void database_close(struct database *database)
{
    db_close(database->db);
    the_database = NULL;
    free(database);
}

struct db *database_db(struct database *database)
{
    return database->db;
}

void database_reset(struct database *database, struct random *random)
{
    sqlite3_stmt *tables;
    struct buf sql;
    buf_init(&sql, 1 << 16);
    if (database->queued || database->queue_count)
        abort();
    sqlite3_prepare_v2(database_handle(database),
                       "SELECT name FROM sqlite_schema WHERE type = 'table' UNION ALL "
                       "SELECT 'temp.' || name FROM sqlite_temp_schema WHERE type = 'table'",
                       -1, &tables, NULL);
    buf_add_str(&sql, "BEGIN;");
    while (sqlite3_step(tables) == SQLITE_ROW)
        buf_addf(&sql, "DELETE FROM %s;", (const char *)sqlite3_column_text(tables, 0));
    sqlite3_finalize(tables);
    buf_add_str(&sql, "COMMIT");
    execute(database, buf_cstr(&sql));
    buf_done(&sql);
    database->random = random;
    database->hits = 0;
    database->faults = (struct database_faults){0};
}
