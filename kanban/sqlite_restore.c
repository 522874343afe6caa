/* Starting the SQLite queue: its table, and what an earlier process left in it. Runs on the thread that opens the
 * queue. */
#include "common/mem.h"
#include "kanban/frame.h"
#include "kanban/sqlite_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

struct restore {
    struct db_job job;
    struct lanes *lanes;
    struct lane_frame *frames;
    struct lane_frame **tail;
    uint64_t last_no;
    uint64_t foreign; /* a partition that is not ours */
    struct error damage;
    bool finished;
    int status;
};

enum { LENGTH_MAX = 1 << 24 };

struct lane_frame *sqlite_frame_row(sqlite3_stmt *stmt)
{
    int64_t values[4];
    for (int i = 0; i < 4; i++) {
        values[i] = sqlite3_column_int64(stmt, i);
        if (sqlite3_column_type(stmt, i) != SQLITE_INTEGER || values[i] < 0)
            return NULL;
    }
    if (values[0] == 0 || values[1] > UINT32_MAX || values[2] > FRAME_SIGNALS_MAX || values[3] > LENGTH_MAX)
        return NULL;
    struct lane_frame *frame = xcalloc(1, sizeof(*frame));
    frame->no = (uint64_t)values[0];
    frame->partition = (uint32_t)values[1];
    frame->count = (uint32_t)values[2];
    frame->len = (size_t)values[3];
    return frame;
}

static int damaged_row(struct db_conn *conn, sqlite3_stmt *stmt)
{
    char text[128];
    snprintf(text, sizeof(text), "table kanban_frames, row no=%lld: it cannot be true",
             (long long)sqlite3_column_int64(stmt, 0));
    db_damage_say(conn, text);
    return -EUCLEAN;
}

static int restore_rows(struct db_conn *conn, struct restore *restore)
{
    int status = db_run(db_stmt(conn, "CREATE TABLE IF NOT EXISTS kanban_frames(no INTEGER PRIMARY KEY, "
                                      "partition INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL)"));
    if (status)
        return status;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT no, partition, count, length(body) FROM kanban_frames ORDER BY no");
    while ((status = db_step(stmt)) > 0) {
        struct lane_frame *frame = sqlite_frame_row(stmt);
        if (!frame)
            return damaged_row(conn, stmt);
        *restore->tail = frame;
        restore->tail = &frame->next;
        restore->last_no = frame->no;
        if (!lanes_has(restore->lanes, frame->partition)) {
            restore->foreign = frame->partition;
            frame->partition = 0; /* freed with the rest */
            return -EINVAL;
        }
    }
    return status;
}

static int restore_run(struct db_conn *conn, struct db_job *job)
{
    struct restore *restore = (struct restore *)job;
    int status = restore_rows(conn, restore);
    if (status == -EUCLEAN)
        error_set(&restore->damage, status, "%s", db_damage(conn));
    return status;
}

static void restore_done(struct db_job *job, int status)
{
    struct restore *restore = (struct restore *)job;
    restore->finished = true;
    restore->status = status;
}

void sqlite_wait(struct db_port *port)
{
    struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
    (void)poll(&fd, 1, -1); /* interrupted: dispatch finds nothing and the caller comes back */
    db_port_dispatch(port);
}

int sqlite_restore(struct db *db, struct lanes *lanes, uint64_t *ret_last_no, struct error *err)
{
    struct db_port *port;
    int status = db_port_open(db, &port, err);
    if (status)
        return status;
    struct restore restore = {.job = {.run = restore_run, .done = restore_done}, .lanes = lanes};
    restore.tail = &restore.frames;
    db_submit(port, &restore.job);
    while (!restore.finished)
        sqlite_wait(port);
    db_port_close(port);
    for (const struct lane_frame *frame = restore.frames; frame && !restore.status; frame = frame->next)
        lanes_depth_add(lanes, frame->partition, frame->count);
    lanes_append(lanes, restore.frames); /* on failure too: they are freed with the lanes */
    if (!restore.status) {
        *ret_last_no = restore.last_no;
        return 0;
    }
    if (restore.foreign)
        return error_set(err, restore.status,
                         "the queue holds frames of partition %llu, but kanban.partitions is %u: start with the "
                         "number it was made with, let the queue run empty, then change it",
                         (unsigned long long)restore.foreign, lanes_partitions(lanes));
    if (restore.status == -EUCLEAN)
        return error_set(err, restore.status, "the queue is damaged: %s: restore a backup", restore.damage.text);
    return error_set(err, restore.status, "cannot read the queue: %s", error_text(restore.status));
}
