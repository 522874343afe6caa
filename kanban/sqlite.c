/* The queue in SQLite: every frame is a row until it is settled. What is committed also stands in the lanes (lanes.h),
 * bytes included while there is room, so that a delivery reads the database only behind a backlog or after a restart.
 *
 * A link gathers what is published and settled in one job until the database thread takes it. The link's thread appends
 * to the lanes when the COMMIT is reported, which wakes the reader. Failure: a publish is answered with the job's
 * status; a settle or a read that failed is tried again after RETRY_US, in a damaged file after DAMAGED_US: frames in
 * front of a damaged one are delivered, those behind it wait, other partitions go on. A row that has vanished is
 * delivered as an empty frame, which is undecodable and thereby seen. */
#include "common/clock.h"
#include "common/mem.h"
#include "kanban/backend.h"
#include "kanban/sqlite_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TURN_MAX = 256, LOAD_MAX = 64, RETRY_US = 200 * 1000, DAMAGED_US = 5 * 1000 * 1000 };

struct sqlite {
    struct kanban_backend base;
    struct db *db;
    struct lanes *lanes;
    atomic_uint_fast64_t last_no;
};

struct settled {
    uint64_t no;
    uint32_t partition;
    uint32_t count;
};

struct settled_list {
    struct settled *items;
    size_t count;
    size_t cap;
};

/* One transaction's worth of a link. */
struct write {
    struct db_job job;
    struct sqlite_link *link;
    struct lane_frame *frames; /* to insert, in order */
    struct lane_frame **frames_tail;
    size_t frame_count;
    struct settled_list settled; /* to delete */
};

struct load {
    struct db_job job;
    struct sqlite_link *link;
    struct load *next; /* among those that failed */
    uint32_t partition;
    size_t count;
    uint64_t nos[LOAD_MAX];
    char *bytes[LOAD_MAX];
    size_t lens[LOAD_MAX];
};

struct sqlite_link {
    struct sqlite *sqlite;
    struct kanban_sink sink;
    struct lanes_reader *reader;
    struct db_port *port;
    pthread_mutex_t lock; /* for open, and what is in it: the database thread takes it away */
    struct write *open;   /* submitted, not begun */
    size_t under_way;     /* jobs submitted whose done has not run */
    struct settled_list retry;
    struct load *failed_loads;
    int64_t retry_us; /* when to try again; INT64_MAX: nothing to */
    bool closing;
};

static struct sqlite *sqlite_of(const struct kanban_backend *backend)
{
    return (struct sqlite *)backend;
}

static struct sqlite_link *sqlite_link(const struct kanban_link *link)
{
    return (struct sqlite_link *)link;
}

static void settled_add(struct settled_list *list, struct settled item)
{
    mem_grow(&list->items, &list->cap, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = item;
}

static int settled_order(const void *a, const void *b)
{
    uint64_t x = ((const struct settled *)a)->no;
    uint64_t y = ((const struct settled *)b)->no;
    return (x > y) - (x < y);
}

/* One statement for each run of consecutive numbers: frames are settled about as they came. */
static int delete_frames(struct db_conn *conn, struct settled_list *list)
{
    if (!list->count)
        return 0;
    qsort(list->items, list->count, sizeof(*list->items), settled_order);
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM kanban_frames WHERE no BETWEEN ? AND ?");
    for (size_t i = 0, end; i < list->count; i = end) {
        for (end = i + 1; end < list->count && list->items[end].no == list->items[end - 1].no + 1;)
            end++;
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)list->items[i].no);
        sqlite3_bind_int64(stmt, 2, (sqlite3_int64)list->items[end - 1].no);
        int status = db_run(stmt);
        if (status)
            return status;
    }
    return 0;
}

static int insert_frames(struct db_conn *conn, const struct lane_frame *frames)
{
    if (!frames)
        return 0;
    sqlite3_stmt *stmt = db_stmt(conn, "INSERT INTO kanban_frames(no, partition, count, body) VALUES(?, ?, ?, ?)");
    for (const struct lane_frame *frame = frames; frame; frame = frame->next) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)frame->no);
        sqlite3_bind_int64(stmt, 2, frame->partition);
        sqlite3_bind_int64(stmt, 3, frame->count);
        sqlite3_bind_blob64(stmt, 4, frame->bytes, frame->len, SQLITE_STATIC);
        int status = db_run(stmt);
        if (status)
            return status;
    }
    return 0;
}

/* Nothing is added to it any more. */
static void close_write(struct write *write)
{
    struct sqlite_link *self = write->link;
    pthread_mutex_lock(&self->lock);
    if (self->open == write)
        self->open = NULL;
    pthread_mutex_unlock(&self->lock);
}

static int write_run(struct db_conn *conn, struct db_job *job)
{
    struct write *write = (struct write *)job;
    close_write(write);
    int status = delete_frames(conn, &write->settled);
    return status ? status : insert_frames(conn, write->frames);
}

static void published(struct sqlite_link *self, struct write *write, int status)
{
    if (!write->frame_count)
        return;
    uint64_t *requests = xmalloc(write->frame_count * sizeof(*requests));
    size_t count = 0;
    for (struct lane_frame *frame = write->frames, *next; frame; frame = next) {
        next = frame->next;
        requests[count++] = frame->request;
        if (!status)
            continue;
        lanes_depth_sub(self->sqlite->lanes, frame->partition, frame->count);
        free(frame->bytes);
        free(frame);
    }
    if (!status)
        lanes_append(self->sqlite->lanes, write->frames); /* theirs from here on */
    for (size_t i = 0; i < count && !self->closing; i++)
        self->sink.published(self->sink.ctx, requests[i], status);
    free(requests);
}

static void retry_later(struct sqlite_link *self, int status)
{
    int64_t at = clock_mono_us(&clock_system) + (status == -EUCLEAN ? DAMAGED_US : RETRY_US);
    if (at < self->retry_us)
        self->retry_us = at;
}

static void submit_settled(struct sqlite_link *self, const struct settled *items, size_t count);

static void write_done(struct db_job *job, int status)
{
    struct write *write = (struct write *)job;
    struct sqlite_link *self = write->link;
    close_write(write); /* it may have failed without having been run */
    self->under_way--;
    size_t count = write->settled.count;
    if (status == -EUCLEAN && count > 1 && !write->frames) { /* what is damaged shall not hold up the rest */
        submit_settled(self, write->settled.items, count / 2);
        submit_settled(self, write->settled.items + count / 2, count - count / 2);
        write->settled.count = 0;
    }
    for (size_t i = 0; i < write->settled.count; i++) {
        if (status)
            settled_add(&self->retry, write->settled.items[i]);
        else
            lanes_depth_sub(self->sqlite->lanes, write->settled.items[i].partition, write->settled.items[i].count);
    }
    if (self->retry.count)
        retry_later(self, status);
    published(self, write, status);
    free(write->settled.items);
    free(write);
}

static struct write *write_new(struct sqlite_link *self)
{
    struct write *write = xcalloc(1, sizeof(*write));
    write->job.run = write_run;
    write->job.done = write_done;
    write->link = self;
    write->frames_tail = &write->frames;
    return write;
}

static void submit_settled(struct sqlite_link *self, const struct settled *items, size_t count)
{
    struct write *write = write_new(self);
    for (size_t i = 0; i < count; i++)
        settled_add(&write->settled, items[i]);
    self->under_way++;
    db_submit(self->port, &write->job);
}

/* Adds to the job that waits for the database thread, or to a new one. Either may be absent. */
static void enqueue(struct sqlite_link *self, struct lane_frame *frame, const struct settled *settled)
{
    pthread_mutex_lock(&self->lock);
    struct write *fresh = self->open ? NULL : write_new(self);
    if (fresh)
        self->open = fresh;
    struct write *write = self->open;
    if (frame) {
        *write->frames_tail = frame;
        write->frames_tail = &frame->next;
        write->frame_count++;
    }
    if (settled)
        settled_add(&write->settled, *settled);
    pthread_mutex_unlock(&self->lock);
    if (fresh) {
        self->under_way++;
        db_submit(self->port, &fresh->job);
    }
}

static int publish(struct kanban_link *link, uint32_t partition, uint64_t request, struct span bytes, uint32_t count)
{
    struct sqlite_link *self = sqlite_link(link);
    struct lane_frame *frame = xmalloc(sizeof(*frame));
    *frame = (struct lane_frame){
        .no = atomic_fetch_add(&self->sqlite->last_no, 1) + 1,
        .request = request,
        .bytes = xmalloc(bytes.len + 1),
        .len = bytes.len,
        .partition = partition,
        .count = count,
    };
    memcpy(frame->bytes, bytes.ptr, bytes.len);
    lanes_depth_add(self->sqlite->lanes, partition, count);
    enqueue(self, frame, NULL);
    return 0;
}

static void settle(struct kanban_link *link, uint32_t partition, uint64_t tag)
{
    struct sqlite_link *self = sqlite_link(link);
    struct settled settled = {.no = tag, .partition = partition};
    if (lanes_settle(self->sqlite->lanes, partition, tag, &settled.count))
        enqueue(self, NULL, &settled);
}

static int subscribe(struct kanban_link *link, uint32_t partition)
{
    return lanes_subscribe(sqlite_link(link)->reader, partition);
}

static void unsubscribe(struct kanban_link *link, uint32_t partition)
{
    lanes_unsubscribe(sqlite_link(link)->reader, partition);
}

static int load_body(sqlite3_stmt *stmt, struct load *load, size_t i)
{
    sqlite3_reset(stmt);
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)load->nos[i]);
    int status = db_step(stmt);
    if (status < 0)
        return status;
    bool is_blob = status && sqlite3_column_type(stmt, 0) == SQLITE_BLOB;
    const void *body = is_blob ? sqlite3_column_blob(stmt, 0) : NULL;
    load->lens[i] = body ? (size_t)sqlite3_column_bytes(stmt, 0) : 0;
    load->bytes[i] = xmalloc(load->lens[i] + 1);
    if (body)
        memcpy(load->bytes[i], body, load->lens[i]);
    return 0;
}

static int load_run(struct db_conn *conn, struct db_job *job)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT body FROM kanban_frames WHERE no = ?");
    for (size_t i = 0; i < load->count; i++) {
        int status = load_body(stmt, load, i);
        if (status && i == 0)
            return status;
        if (status)
            load->count = i; /* the rest is asked for again, and fails by itself */
    }
    return 0;
}

static void load_done(struct db_job *job, int status)
{
    struct load *load = (struct load *)job;
    struct sqlite_link *self = load->link;
    self->under_way--;
    if (status && !self->closing) {
        load->next = self->failed_loads;
        self->failed_loads = load;
        retry_later(self, status);
        return;
    }
    lanes_loaded(self->sqlite->lanes, load->partition, load->nos, load->bytes, load->lens, status ? 0 : load->count);
    free(load);
}

static void load_submit(struct sqlite_link *self, struct load *load)
{
    self->under_way++;
    db_submit(self->port, &load->job);
}

static void load_missing(struct sqlite_link *self)
{
    struct load *load = NULL;
    for (;;) {
        if (!load)
            load = xmalloc(sizeof(*load));
        if (!lanes_missing(self->reader, &load->partition, load->nos, LOAD_MAX, &load->count))
            break;
        load->job = (struct db_job){.run = load_run, .done = load_done, .read = true};
        load->link = self;
        load_submit(self, load);
        load = NULL;
    }
    free(load);
}

/* Sends again what failed: the settles as a job of their own, for which room may be had where there is none for frames.
 */
static void retry(struct sqlite_link *self)
{
    self->retry_us = INT64_MAX;
    if (self->retry.count) {
        submit_settled(self, self->retry.items, self->retry.count);
        self->retry.count = 0;
    }
    struct load *load = self->failed_loads;
    self->failed_loads = NULL;
    while (load) {
        struct load *next = load->next;
        load_submit(self, load);
        load = next;
    }
}

static void dispatch(struct kanban_link *link)
{
    struct sqlite_link *self = sqlite_link(link);
    db_port_dispatch(self->port);
    if (self->retry_us != INT64_MAX && clock_mono_us(&clock_system) >= self->retry_us)
        retry(self);
    struct lane_delivery next;
    for (unsigned i = 0; i < TURN_MAX; i++) {
        if (!lanes_take(self->reader, &next)) {
            load_missing(self);
            return;
        }
        self->sink.delivered(self->sink.ctx, next.partition, next.no, next.attempt, next.bytes, next.len);
    }
    db_port_wake(self->port); /* the rest next time: the loop has others to serve */
}

static uint64_t depth(const struct kanban_backend *backend)
{
    return lanes_depth(sqlite_of(backend)->lanes);
}

static uint64_t depth_of(const struct kanban_backend *backend, uint32_t partition)
{
    return lanes_depth_of(sqlite_of(backend)->lanes, partition);
}

static int poll_fd(const struct kanban_link *link)
{
    return db_port_fd(sqlite_link(link)->port);
}

static int64_t deadline_us(const struct kanban_link *link)
{
    return sqlite_link(link)->retry_us;
}

static void wake(void *ctx)
{
    db_port_wake(((struct sqlite_link *)ctx)->port);
}

static int link_open(struct kanban_backend *backend, const struct kanban_sink *sink, uint32_t prefetch,
                     struct kanban_link **ret, struct error *err)
{
    struct sqlite *sqlite = sqlite_of(backend);
    struct db_port *port;
    int status = db_port_open(sqlite->db, &port, err);
    if (status)
        return status;
    struct sqlite_link *self = xcalloc(1, sizeof(*self));
    self->sqlite = sqlite;
    self->sink = *sink;
    self->port = port;
    self->retry_us = INT64_MAX;
    pthread_mutex_init(&self->lock, NULL);
    self->reader = lanes_reader_new(sqlite->lanes, prefetch, wake, self);
    *ret = (struct kanban_link *)self;
    return 0;
}

/* Waits for what is under way: frames that get committed must be in the lanes, and settles on disk. */
static void link_close(struct kanban_link *link)
{
    struct sqlite_link *self = sqlite_link(link);
    self->closing = true;
    lanes_reader_free(self->reader);
    retry(self);
    while (self->under_way)
        sqlite_wait(self->port);
    db_port_close(self->port);
    pthread_mutex_destroy(&self->lock);
    free(self->retry.items); /* still not possible: these come again after a restart */
    free(self);
}

static void sqlite_free(struct kanban_backend *backend)
{
    struct sqlite *self = sqlite_of(backend);
    lanes_free(self->lanes);
    free(self);
}

static const struct kanban_backend_ops sqlite_ops = {
    .name = "sqlite",
    .link_open = link_open,
    .publish = publish,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .settle = settle,
    .depth = depth,
    .depth_of = depth_of,
    .poll_fd = poll_fd,
    .deadline_us = deadline_us,
    .dispatch = dispatch,
    .link_close = link_close,
    .free = sqlite_free,
};

int kanban_sqlite_new(struct db *db, uint32_t partitions, struct kanban_backend **ret, struct error *err)
{
    struct sqlite *self = xcalloc(1, sizeof(*self));
    self->base.ops = &sqlite_ops;
    self->db = db;
    self->lanes = lanes_new(partitions, false);
    uint64_t last_no;
    int status = sqlite_restore(db, self->lanes, &last_no, err);
    if (status) {
        sqlite_free(&self->base);
        return status;
    }
    atomic_store(&self->last_no, last_no);
    *ret = &self->base;
    return 0;
}
