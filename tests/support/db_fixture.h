/* For tests of the database thread: a directory of its own, a table, jobs that can be waited for. */
#ifndef TAI_TESTS_DB_FIXTURE_H
#define TAI_TESTS_DB_FIXTURE_H

#include "common/db/db.h"
#include "common/mem.h"

#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    char path[96];
    struct db *db;
    struct db_port *port;
};

static const char *const fixture_schema[] = {
    "CREATE TABLE item(id INTEGER PRIMARY KEY, source INTEGER, value INTEGER, body BLOB)", NULL};

/* A job that inserts one row, or counts the rows if it reads. */
struct step {
    struct db_job job;
    int source;
    int value;
    int result;   /* what run answers after its work */
    size_t body;  /* zero bytes to store */
    int channel;  /* to notify; -1: none */
    int64_t rows; /* what a read saw */
    int status;   /* what done was told */
    int order;    /* the how-manieth done it was */
    int *orders;  /* counts them; or NULL */
    bool finished;
    sem_t *begun; /* posted when run begins */
    sem_t *go_on; /* run waits for it */
};

static inline int step_run(struct db_conn *conn, struct db_job *job)
{
    struct step *step = (struct step *)job;
    if (step->begun)
        sem_post(step->begun);
    while (step->go_on && sem_wait(step->go_on) < 0)
        ;
    if (job->read) {
        sqlite3_stmt *count = db_stmt(conn, "SELECT count(*) FROM item");
        int status = db_step(count);
        step->rows = status == 1 ? sqlite3_column_int64(count, 0) : -1;
        return status < 0 ? status : step->result;
    }
    sqlite3_stmt *insert = db_stmt(conn, "INSERT INTO item(source, value, body) VALUES(?, ?, zeroblob(?))");
    sqlite3_bind_int(insert, 1, step->source);
    sqlite3_bind_int(insert, 2, step->value);
    sqlite3_bind_int64(insert, 3, (sqlite3_int64)step->body);
    if (step->channel >= 0)
        db_notify(conn, (unsigned)step->channel);
    int status = db_run(insert);
    return status ? status : step->result;
}

static inline void step_done(struct db_job *job, int status)
{
    struct step *step = (struct step *)job;
    step->status = status;
    step->finished = true;
    if (step->orders)
        step->order = ++*step->orders;
}

static inline struct step step_write(int value)
{
    return (struct step){.job = {.run = step_run, .done = step_done}, .value = value, .channel = -1, .status = 1};
}

static inline struct step step_read(void)
{
    return (struct step){
        .job = {.run = step_run, .done = step_done, .read = true}, .channel = -1, .rows = -1, .status = 1};
}

static inline void port_wait(struct db_port *port, const bool *finished)
{
    while (!*finished) {
        struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
        (void)poll(&fd, 1, 1000);
        db_port_dispatch(port);
    }
}

static inline int step_do(struct db_port *port, struct step *step)
{
    db_submit(port, &step->job);
    port_wait(port, &step->finished);
    return step->status;
}

static inline void fixture_dir(struct fixture *f)
{
    *f = (struct fixture){.dir = "/tmp/tai-test.XXXXXX"};
    if (!mkdtemp(f->dir))
        abort();
    snprintf(f->path, sizeof(f->path), "%s/db", f->dir);
}

static inline void fixture_open(struct fixture *f, const char *vfs)
{
    struct error err;
    struct db_options options = {.path = f->path, .schema = fixture_schema, .sync = true, .vfs = vfs};
    if (db_open(&options, &f->db, &err) || db_port_open(f->db, &f->port, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

static inline void fixture_close(struct fixture *f)
{
    db_port_close(f->port);
    db_close(f->db);
    f->port = NULL;
    f->db = NULL;
}

static inline void fixture_remove(struct fixture *f)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", f->path, suffixes[i]);
        unlink(name);
    }
    rmdir(f->dir);
}

/* Holds the database thread within a job of its own until hold_end: what is submitted meanwhile makes up one turn. */
struct hold {
    struct step step;
    sem_t begun;
    sem_t go_on;
};

static inline void hold_begin(struct hold *hold, struct db_port *port)
{
    sem_init(&hold->begun, 0, 0);
    sem_init(&hold->go_on, 0, 0);
    hold->step = step_read();
    hold->step.begun = &hold->begun;
    hold->step.go_on = &hold->go_on;
    db_submit(port, &hold->step.job);
    while (sem_wait(&hold->begun) < 0)
        ;
}

static inline void hold_end(struct hold *hold)
{
    sem_post(&hold->go_on);
}

static inline void hold_done(struct hold *hold, struct db_port *port)
{
    port_wait(port, &hold->step.finished);
    sem_destroy(&hold->begun);
    sem_destroy(&hold->go_on);
}

static inline int64_t fixture_rows(struct fixture *f)
{
    struct step read = step_read();
    return step_do(f->port, &read) == 0 ? read.rows : -1;
}

#endif
