/* The database thread: turns, order, notification, ports, opening. */
#include "../support/check.h"
#include "../support/db_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

enum { MANY = 20 };

static void group_commit_groups(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct db_port *other;
    CHECK_INT(db_port_open(f.db, &other, NULL), 0);
    struct db_stats before;
    struct db_stats after;
    db_stats(f.db, &before);
    struct hold hold;
    hold_begin(&hold, f.port);
    struct step steps[MANY];
    for (int i = 0; i < MANY; i++) {
        steps[i] = step_write(i);
        db_submit(i % 2 ? other : f.port, &steps[i].job);
    }
    hold_end(&hold);
    for (int i = 0; i < MANY; i++)
        port_wait(i % 2 ? other : f.port, &steps[i].finished);
    hold_done(&hold, f.port);
    db_stats(f.db, &after);
    CHECK_INT(after.commits - before.commits, 1);
    CHECK_INT(after.turns - before.turns, 2);
    CHECK_INT(after.jobs - before.jobs, MANY + 1);
    CHECK(after.commit_us_total > before.commit_us_total);
    for (int i = 0; i < MANY; i++)
        CHECK_INT(steps[i].status, 0);
    CHECK_INT(fixture_rows(&f), MANY);
    db_port_close(other);
    fixture_close(&f);
    fixture_remove(&f);
}

static void reads_see_only_what_was_committed(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct step first = step_write(1);
    CHECK_INT(step_do(f.port, &first), 0);
    int orders = 0;
    struct hold hold;
    hold_begin(&hold, f.port);
    struct step write = step_write(2);
    struct step read = step_read();
    write.orders = read.orders = &orders;
    db_submit(f.port, &write.job);
    db_submit(f.port, &read.job);
    hold_end(&hold);
    port_wait(f.port, &write.finished);
    CHECK(read.finished);
    CHECK_INT(read.rows, 1);
    CHECK_INT(read.order, 1);
    CHECK_INT(write.order, 2);
    CHECK_INT(fixture_rows(&f), 2);
    hold_done(&hold, f.port);
    fixture_close(&f);
    fixture_remove(&f);
}

static int slow_read(struct db_conn *conn, struct db_job *job)
{
    const struct timespec pause = {.tv_nsec = 8000000};
    nanosleep(&pause, NULL);
    return step_run(conn, job);
}

static void slow_reads_do_not_hold_writes_up(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    int orders = 0;
    struct hold hold;
    hold_begin(&hold, f.port);
    struct step reads[3];
    struct step write = step_write(1);
    write.orders = &orders;
    for (int i = 0; i < 3; i++) {
        reads[i] = step_read();
        reads[i].job.run = slow_read;
        reads[i].orders = &orders;
        db_submit(f.port, &reads[i].job);
    }
    db_submit(f.port, &write.job);
    hold_end(&hold);
    port_wait(f.port, &reads[2].finished);
    hold_done(&hold, f.port);
    CHECK_INT(reads[0].rows, 0);
    CHECK_INT(write.order, 2);
    CHECK_INT(reads[1].order, 3);
    CHECK_INT(reads[2].rows, 1);
    fixture_close(&f);
    fixture_remove(&f);
}

static int reads_while_writing(struct db_conn *conn, struct db_job *job)
{
    (void)job;
    /* Leaves a SELECT half read and a binding behind: the next user of either must not notice. */
    sqlite3_stmt *rows = db_stmt(conn, "SELECT id FROM item");
    if (db_step(rows) < 0)
        return -EIO;
    sqlite3_stmt *echo = db_stmt(conn, "SELECT ?1 IS NULL");
    if (db_step(echo) != 1 || sqlite3_column_int(echo, 0) != 1)
        return -EINVAL;
    sqlite3_reset(echo);
    sqlite3_bind_int(echo, 1, 7);
    return db_step(echo) == 1 && sqlite3_column_int(echo, 0) == 0 ? 0 : -EINVAL;
}

static void statements_come_back_clean(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct step write = step_write(1);
    CHECK_INT(step_do(f.port, &write), 0);
    for (int i = 0; i < 4; i++) {
        struct step step = step_write(0);
        step.job.run = reads_while_writing;
        step.job.read = i % 2 == 0;
        CHECK_INT(step_do(f.port, &step), 0);
    }
    fixture_close(&f);
    fixture_remove(&f);
}

/* Jobs i for which bit i of failing is set fail after their insert, within one turn. */
static void run_failing(unsigned failing, int count)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct hold hold;
    hold_begin(&hold, f.port);
    struct step steps[8];
    int good = 0;
    for (int i = 0; i < count; i++) {
        steps[i] = step_write(i);
        steps[i].result = failing & (1U << i) ? -EPERM : 0;
        good += steps[i].result == 0;
        db_submit(f.port, &steps[i].job);
    }
    hold_end(&hold);
    for (int i = 0; i < count; i++) {
        port_wait(f.port, &steps[i].finished);
        CHECK_INT(steps[i].status, steps[i].result);
    }
    hold_done(&hold, f.port);
    CHECK_INT(fixture_rows(&f), good);
    struct db_stats stats;
    db_stats(f.db, &stats);
    CHECK_INT(stats.failed_turns, 0);
    fixture_close(&f);
    fixture_open(&f, NULL); /* and on disk */
    CHECK_INT(fixture_rows(&f), good);
    fixture_close(&f);
    fixture_remove(&f);
}

static void failing_jobs_roll_back_alone(void)
{
    run_failing(0x1, 1);
    run_failing(0x2, 3);
    run_failing(0x1, 3);
    run_failing(0x3, 3);
    run_failing(0x4, 3);
    run_failing(0x7, 3);
    run_failing(0x15, 6);
}

struct listener {
    struct fixture *f;
    struct step read;
    int wakes;
    bool asked;
};

static void on_wake(void *ctx)
{
    struct listener *listener = ctx;
    listener->wakes++;
    if (!listener->asked) {
        listener->asked = true;
        db_submit(listener->f->port, &listener->read.job);
    }
}

static void on_other_wake(void *ctx)
{
    (*(int *)ctx)++;
}

static void notify_follows_the_commit(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct listener listener = {.f = &f, .read = step_read()};
    int others = 0;
    db_listen(f.port, 5, on_wake, &listener);
    db_listen(f.port, 6, on_other_wake, &others);
    struct step failing = step_write(1);
    failing.channel = 5;
    failing.result = -EPERM;
    CHECK_INT(step_do(f.port, &failing), -EPERM);
    CHECK_INT(fixture_rows(&f), 0);
    CHECK_INT(listener.wakes, 0);

    struct db_port *submitter;
    CHECK_INT(db_port_open(f.db, &submitter, NULL), 0);
    struct step good = step_write(2);
    good.channel = 5;
    db_submit(submitter, &good.job);
    port_wait(f.port, &listener.read.finished);
    CHECK_INT(listener.read.rows, 1);
    CHECK_INT(listener.wakes, 1);
    port_wait(submitter, &good.finished);

    db_listen(f.port, 5, NULL, NULL);
    struct step more = step_write(3);
    more.channel = 5;
    CHECK_INT(step_do(f.port, &more), 0);
    CHECK_INT(listener.wakes, 1);
    CHECK_INT(others, 0);
    db_port_close(submitter);
    fixture_close(&f);
    fixture_remove(&f);
}

enum { SUBMITTERS = 2, PER_SUBMITTER = 2000 };

struct submitter {
    struct db *db;
    int source;
    int orders;
};

static void *submit_many(void *arg)
{
    struct submitter *self = arg;
    struct db_port *port;
    CHECK_INT(db_port_open(self->db, &port, NULL), 0);
    struct step *steps = xcalloc(PER_SUBMITTER, sizeof(*steps));
    for (int i = 0; i < PER_SUBMITTER; i++) {
        steps[i] = step_write(i);
        steps[i].source = self->source;
        steps[i].orders = &self->orders;
        db_submit(port, &steps[i].job);
        if (i % 64 == 63)
            db_port_dispatch(port);
    }
    port_wait(port, &steps[PER_SUBMITTER - 1].finished);
    for (int i = 0; i < PER_SUBMITTER; i++)
        CHECK(steps[i].status == 0 && steps[i].order == i + 1);
    free(steps);
    db_port_close(port);
    return NULL;
}

static int count_disorder(struct db_conn *conn, struct db_job *job)
{
    struct step *step = (struct step *)job;
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT count(*) FROM (SELECT value, lag(value, 1, -1) OVER (PARTITION BY source "
                      "ORDER BY id) AS before FROM item) WHERE value <> before + 1");
    int status = db_step(stmt);
    step->rows = status == 1 ? sqlite3_column_int64(stmt, 0) : -1;
    return status < 0 ? status : 0;
}

static void each_port_keeps_its_order(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    pthread_t threads[SUBMITTERS];
    struct submitter submitters[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){.db = f.db, .source = i};
        pthread_create(&threads[i], NULL, submit_many, &submitters[i]);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(fixture_rows(&f), SUBMITTERS * PER_SUBMITTER);
    struct step check = step_read();
    check.job.run = count_disorder;
    CHECK_INT(step_do(f.port, &check), 0);
    CHECK_INT(check.rows, 0);
    fixture_close(&f);
    fixture_remove(&f);
}

static void ports_close_with_jobs_under_way(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    for (int round = 0; round < 50; round++) {
        struct db_port *port;
        CHECK_INT(db_port_open(f.db, &port, NULL), 0);
        struct step *steps = xcalloc(8, sizeof(*steps));
        for (int i = 0; i < 8; i++) {
            steps[i] = step_write(i);
            db_submit(port, &steps[i].job);
        }
        db_port_close(port); /* nobody touches the jobs after this */
        for (int i = 0; i < 8; i++)
            CHECK(!steps[i].finished);
        free(steps);
    }
    CHECK_INT(fixture_rows(&f), 400);
    fixture_close(&f);
    fixture_remove(&f);
}

static void close_runs_what_is_queued(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    static struct step steps[100];
    for (int i = 0; i < 100; i++) {
        steps[i] = step_write(i);
        db_submit(f.port, &steps[i].job);
    }
    fixture_close(&f);
    fixture_open(&f, NULL);
    CHECK_INT(fixture_rows(&f), 100);
    fixture_close(&f);
    fixture_remove(&f);
}

static void the_log_stays_bounded(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    for (int i = 0; i < 60; i++) {
        struct step write = step_write(i);
        write.body = 1024 * 1024;
        CHECK_INT(step_do(f.port, &write), 0);
    }
    char log[128];
    snprintf(log, sizeof(log), "%s-wal", f.path);
    struct stat st;
    CHECK_INT(stat(log, &st), 0);
    CHECK(st.st_size < (off_t)4500 * 4120); /* 15,000 pages were written */
    CHECK_INT(fixture_rows(&f), 60);
    fixture_close(&f);
    fixture_remove(&f);
}

static long switches(void)
{
    long total = 0;
    char line[128];
    FILE *tasks = popen("cat /proc/$PPID/task/*/status", "r");
    while (tasks && fgets(line, sizeof(line), tasks))
        if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
            total += strtol(line + 24, NULL, 10);
    if (tasks)
        pclose(tasks);
    return total;
}

static void idle_is_idle(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, NULL);
    struct step write = step_write(1);
    CHECK_INT(step_do(f.port, &write), 0);
    struct db_stats before;
    struct db_stats after;
    db_stats(f.db, &before);
    long start = switches();
    nanosleep(&(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL);
    long slept = switches() - start;
    db_stats(f.db, &after);
    CHECK_INT(after.turns, before.turns);
    CHECK(slept < 40); /* this thread's own sleep and popen; a thread that polls each 10 ms would add 30 */
    struct pollfd fd = {.fd = db_port_fd(f.port), .events = POLLIN};
    CHECK_INT(poll(&fd, 1, 0), 0);
    db_port_wake(f.port);
    CHECK_INT(poll(&fd, 1, 0), 1);
    db_port_dispatch(f.port);
    CHECK_INT(poll(&fd, 1, 0), 0);
    fixture_close(&f);
    fixture_remove(&f);
}

int main(void)
{
    return check_main((const struct check_case[]){
        {"group_commit_groups", group_commit_groups},
        {"reads_see_only_what_was_committed", reads_see_only_what_was_committed},
        {"slow_reads_do_not_hold_writes_up", slow_reads_do_not_hold_writes_up},
        {"statements_come_back_clean", statements_come_back_clean},
        {"failing_jobs_roll_back_alone", failing_jobs_roll_back_alone},
        {"notify_follows_the_commit", notify_follows_the_commit},
        {"each_port_keeps_its_order", each_port_keeps_its_order},
        {"ports_close_with_jobs_under_way", ports_close_with_jobs_under_way},
        {"close_runs_what_is_queued", close_runs_what_is_queued},
        {"the_log_stays_bounded", the_log_stays_bounded},
        {"idle_is_idle", idle_is_idle},
        {NULL, NULL},
    });
}
