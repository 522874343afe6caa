/* Starting the SQLite queue: its table, and what an earlier process left in it. Runs on the thread that opens the
 * queue. */
#include "common/mem.h"
#include "kanban/sqlite_internal.h"

#include <errno.h>
#include <poll.h>

struct restore {
    struct db_job job;
    struct lanes *lanes;
    struct lane_frame *frames;
    struct lane_frame **tail;
    uint64_t last_no;
    uint64_t signals;
    uint64_t foreign; /* a partition that is not ours */
    bool finished;
    int status;
};

static int restore_run(struct db_conn *conn, struct db_job *job)
{
    struct restore *restore = (struct restore *)job;
    int status = db_run(db_stmt(conn, "CREATE TABLE IF NOT EXISTS kanban_frames(no INTEGER PRIMARY KEY, "
                                      "partition INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL)"));
    if (status)
        return status;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT no, partition, count, length(body) FROM kanban_frames ORDER BY no");
    while ((status = db_step(stmt)) > 0) {
        uint64_t partition = (uint64_t)sqlite3_column_int64(stmt, 1);
        if (partition >= lanes_partitions(restore->lanes)) {
            restore->foreign = partition;
            return -EINVAL;
        }
        struct lane_frame *frame = xcalloc(1, sizeof(*frame));
        frame->no = restore->last_no = (uint64_t)sqlite3_column_int64(stmt, 0);
        frame->partition = (uint32_t)partition;
        frame->count = (uint32_t)sqlite3_column_int64(stmt, 2);
        frame->len = (size_t)sqlite3_column_int64(stmt, 3);
        restore->signals += frame->count;
        *restore->tail = frame;
        restore->tail = &frame->next;
    }
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
    lanes_append(lanes, restore.frames); /* on failure too: they are freed with the lanes */
    if (!restore.status) {
        lanes_depth_add(lanes, restore.signals);
        *ret_last_no = restore.last_no;
        return 0;
    }
    if (restore.foreign)
        return error_set(err, restore.status,
                         "the queue holds frames of partition %llu, but kanban.partitions is %u: start with the "
                         "number it was made with, let the queue run empty, then change it",
                         (unsigned long long)restore.foreign, lanes_partitions(lanes));
    return error_set(err, restore.status, "cannot read the queue: %s", error_text(restore.status));
}
