/* The offline check of the SQLite queue: every frame can be decoded, is of its row's partition, and its signals have
 * the hashes that ingress took. Runs in the command line, on a database nobody has open. */
#include "common/mem.h"
#include "kanban/check.h"
#include "kanban/frame.h"
#include "kanban/sqlite_internal.h"

#include <inttypes.h>
#include <stdio.h>

struct frames_check {
    struct check *check;
    struct hasher *hasher;
    uint32_t partitions;
};

static void bad(struct frames_check *self, uint64_t no, const char *what)
{
    char key[32];
    snprintf(key, sizeof(key), "no=%" PRIu64, no);
    check_problem(self->check, "kanban_frames", key,
                  "restore a backup; as it is, a frame that cannot be decoded becomes a dead letter `unparseable`",
                  "%s", what);
}

static void check_signals(struct frames_check *self, uint64_t no, const struct frame *frame)
{
    uint8_t sum[SHA256_SIZE];
    for (uint32_t i = 0; i < frame->header.count; i++) {
        const struct signal *signal = &frame->signals[i];
        if (hash_bucket(signal->tenant_id, signal->entitlement_id, self->partitions) != frame->header.partition) {
            bad(self, no, "it holds a signal of another partition");
            return;
        }
        hasher_sha256(self->hasher, signal->bytes, sum);
        if (memcmp(sum, signal->sha256, sizeof(sum)) != 0) {
            bad(self, no, "the bytes of a signal do not have its hash");
            return;
        }
    }
}

static void check_frame(struct frames_check *self, sqlite3_stmt *stmt, const struct lane_frame *row)
{
    struct frame *frame = NULL;
    struct error err = {0};
    const void *body = sqlite3_column_blob(stmt, 4);
    char *bytes = xmalloc(row->len + 1);
    if (body)
        memcpy(bytes, body, row->len);
    if (frame_decode(bytes, row->len, &frame, &err))
        bad(self, row->no, err.text);
    else if (frame->header.partition != row->partition ||
             (row->partition >= self->partitions && row->partition != KANBAN_REFUSALS))
        bad(self, row->no, "it is not of the partition of its row");
    else if (row->partition != KANBAN_REFUSALS && frame->header.count != row->count)
        bad(self, row->no, "it does not hold as many signals as its row says");
    else if (row->partition != KANBAN_REFUSALS) /* those hold no signals of governors */
        check_signals(self, row->no, frame);
    frame_free(frame);
}

void kanban_sqlite_check(struct db_reader *reader, uint32_t partitions, struct check *check)
{
    struct frames_check self = {.check = check, .hasher = hasher_new(), .partitions = partitions};
    sqlite3_stmt *stmt = NULL;
    int rc = db_reader_has(reader, "kanban_frames");
    if (rc == 1)
        stmt = db_stmt(db_reader_conn(reader), "SELECT no, partition, count, length(body), body FROM kanban_frames");
    while (rc == 1 && (rc = db_step(stmt)) == 1) {
        struct lane_frame *row = sqlite_frame_row(stmt);
        if (!row || sqlite3_column_type(stmt, 4) != SQLITE_BLOB)
            bad(&self, (uint64_t)sqlite3_column_int64(stmt, 0), "its row cannot be true");
        else if (partitions)
            check_frame(&self, stmt, row);
        mem_free_pointer(&row);
        if (check->rows++ % 64 == 0)
            check_step(check, "frames of the queue", check->rows, 0);
    }
    if (rc < 0)
        check_problem(check, "kanban_frames", "", CHECK_RESTORE, "%s; the frames behind it could not be checked",
                      db_reader_damage(reader));
    hasher_free(self.hasher);
}
