/* Rows of signals: their encoding, reading with checks, and writing in a commit. Database thread only. */
#include "store/sqlite/internal.h"

enum { NUMBER_BYTES_MAX = 10, OUTCOMES_BYTES_MAX = SIGNAL_OUTCOMES_MAX * NUMBER_BYTES_MAX };

/* Unsigned LEB128 of the distances: one outcome is one to five bytes. */
static size_t outcomes_encode(const uint64_t *numbers, uint32_t count, uint8_t ret[OUTCOMES_BYTES_MAX])
{
    size_t len = 0;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t rest = numbers[i] - last;
        last = numbers[i];
        for (; rest >= 0x80; rest >>= 7)
            ret[len++] = (uint8_t)(rest | 0x80);
        ret[len++] = (uint8_t)rest;
    }
    return len;
}

static bool number_decode(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool outcomes_decode(const uint8_t *at, size_t len, struct signal_row *ret)
{
    const uint8_t *end = at + len;
    uint64_t last = 0, distance;
    ret->outcome_count = 0;
    while (at < end) {
        if (ret->outcome_count == SIGNAL_OUTCOMES_MAX || !number_decode(&at, end, &distance) || distance == 0 ||
            distance > INT64_MAX - last)
            return false;
        last += distance;
        ret->outcomes[ret->outcome_count++] = last;
    }
    return true;
}

static void read_outcomes(struct row *row, struct signal_row *ret)
{
    int column = row->column++;
    const void *data = sqlite3_column_blob(row->stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(row->stmt, column);
    if (sqlite3_column_type(row->stmt, column) != SQLITE_BLOB || !outcomes_decode(data, data ? len : 0, ret))
        row_spoil(row);
}

static void read_conflict(struct row *row, struct signal_row *ret)
{
    int column = row->column++;
    int len = sqlite3_column_bytes(row->stmt, column);
    if (sqlite3_column_type(row->stmt, column) != SQLITE_BLOB || (len != 0 && len != SHA256_SIZE))
        row_spoil(row);
    ret->conflict = len != 0;
}

void signal_row_read(struct row *row, struct signal_row *ret)
{
    *ret = (struct signal_row){0};
    ret->identity.tenant_id = row_text(row, STORE_ID_MAX);
    ret->identity.id = row_text(row, STORE_ID_MAX);
    ret->identity.entitlement_id = row_text(row, STORE_ID_MAX);
    ret->identity.redrive = (uint32_t)row_int(row, 0, UINT32_MAX);
    read_conflict(row, ret);
    row_bytes(row, ret->sha256, SHA256_SIZE);
    ret->status = (enum signal_status)row_int(row, 0, SIGNAL_STATUS_COUNT - 1);
    ret->reason = row_text(row, STORE_REASON_MAX);
    ret->accepted_at_ms = row_int(row, INT64_MIN, INT64_MAX);
    ret->changed_at_ms = row_int(row, INT64_MIN, INT64_MAX);
    read_outcomes(row, ret);
    ret->line = (uint64_t)row_int_or(row, 1, INT64_MAX, 0);
    if ((ret->line != 0) != (ret->status <= SIGNAL_ACTING))
        row_spoil(row);
    ret->due_ms = row_int_or(row, 1, INT64_MAX, 0);
}

void signal_read_bytes(struct row *row, struct signal_row *ret)
{
    ret->envelope = row_blob_or_null(row, STORE_TEXT_MAX);
    ret->bytes = row_blob_or_null(row, STORE_TEXT_MAX);
    if (ret->status <= SIGNAL_ACTING && (!ret->envelope.ptr || !ret->bytes.ptr))
        row_spoil(row);
}

static bool is_open(const struct signal_row *row)
{
    return row->status <= SIGNAL_ACTING;
}

static bool keeps_bytes(const struct signal_row *row)
{
    return is_open(row) || row->status == SIGNAL_DEADLETTERED || row->status == SIGNAL_FAILED;
}

static void bind_identity(sqlite3_stmt *stmt, const struct signal_row *row)
{
    bind_span(stmt, 1, row->identity.tenant_id);
    bind_span(stmt, 2, row->identity.id);
    bind_span(stmt, 3, row->identity.entitlement_id);
    sqlite3_bind_int64(stmt, 4, row->identity.redrive);
    bind_blob(stmt, 5, row->sha256, row->conflict ? SHA256_SIZE : 0);
}

struct signal_writer {
    struct db_conn *conn;
    struct store_commit *request;
    /* prepared when first needed */
    sqlite3_stmt *insert_narrow, *insert_wide, *select;
};

#define INSERT                                                                                                         \
    "INSERT INTO signals(tenant, id, entitlement, redrive, conflict, sha256, status, reason, accepted_at, changed_at," \
    " outcomes, partition"

/* Nearly all rows arrive ended and without bytes: they bind a third less. */
static int insert_row(struct signal_writer *writer, const struct signal_row *row)
{
    bool wide = keeps_bytes(row);
    sqlite3_stmt **slot = wide ? &writer->insert_wide : &writer->insert_narrow;
    if (!*slot)
        *slot = wide ? db_stmt(writer->conn, INSERT ", line, due, envelope, bytes)"
                                                    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)")
                     : db_stmt(writer->conn, INSERT ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)");
    sqlite3_stmt *stmt = *slot;
    uint8_t outcomes[OUTCOMES_BYTES_MAX];
    bind_identity(stmt, row);
    bind_blob(stmt, 6, row->sha256, SHA256_SIZE);
    sqlite3_bind_int64(stmt, 7, row->status);
    bind_span(stmt, 8, row->reason);
    sqlite3_bind_int64(stmt, 9, row->accepted_at_ms);
    sqlite3_bind_int64(stmt, 10, row->changed_at_ms);
    bind_blob(stmt, 11, outcomes, outcomes_encode(row->outcomes, row->outcome_count, outcomes));
    sqlite3_bind_int64(stmt, 12, writer->request->partition);
    if (wide) {
        bind_or_null(stmt, 13, is_open(row) ? (int64_t)row->line : 0, 0);
        bind_or_null(stmt, 14, row->status == SIGNAL_WAITING ? row->due_ms : 0, 0);
        bind_blob(stmt, 15, row->envelope.ptr, row->envelope.len);
        bind_blob(stmt, 16, row->bytes.ptr, row->bytes.len);
    }
    int rc = db_run(stmt);
    if (rc != -EEXIST)
        return rc;
    return op_error(&writer->request->req, rc, "signal %.*s of %.*s has a row already", (int)row->identity.id.len,
                    row->identity.id.ptr, (int)row->identity.tenant_id.len, row->identity.tenant_id.ptr);
}

/* The outcomes stored, and the new ones behind them. */
static int join_outcomes(struct signal_writer *writer, const struct signal_row *row, struct signal_row *ret)
{
    if (!writer->select)
        writer->select = db_stmt(writer->conn, "SELECT outcomes FROM signals WHERE tenant = ?1 AND id = ?2 AND"
                                               " entitlement = ?3 AND redrive = ?4 AND conflict = ?5");
    bind_identity(writer->select, row);
    int rc = db_step(writer->select);
    if (rc == 1) {
        struct row read = row_of(writer->select, NULL);
        read_outcomes(&read, ret);
        rc = row_check(&read, &writer->request->req);
    } else if (rc == 0) {
        rc = op_error(&writer->request->req, -ENOENT, "signal %.*s of %.*s has no row", (int)row->identity.id.len,
                      row->identity.id.ptr, (int)row->identity.tenant_id.len, row->identity.tenant_id.ptr);
    }
    sqlite3_reset(writer->select);
    for (uint32_t i = 0; rc == 0 && i < row->outcome_count; i++) {
        uint32_t at = ret->outcome_count < SIGNAL_OUTCOMES_MAX ? ret->outcome_count++ : SIGNAL_OUTCOMES_MAX - 1;
        if (at && ret->outcomes[at - 1] >= row->outcomes[i])
            return op_error(&writer->request->req, -EINVAL, "outcome numbers of a signal must rise");
        ret->outcomes[at] = row->outcomes[i];
    }
    return rc;
}

#define UPDATE         "UPDATE signals SET status = ?6, reason = ?7, changed_at = ?8, outcomes = ?9, due = ?10"
#define WHERE_IDENTITY " WHERE tenant = ?1 AND id = ?2 AND entitlement = ?3 AND redrive = ?4 AND conflict = ?5"

static int update_row(struct signal_writer *writer, const struct signal_row *row)
{
    struct signal_row joined;
    int rc = join_outcomes(writer, row, &joined);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt;
    if (is_open(row))
        stmt = db_stmt(writer->conn, UPDATE WHERE_IDENTITY);
    else if (keeps_bytes(row))
        stmt = db_stmt(writer->conn, UPDATE ", line = NULL" WHERE_IDENTITY);
    else
        stmt = db_stmt(writer->conn, UPDATE ", line = NULL, envelope = NULL, bytes = NULL" WHERE_IDENTITY);
    uint8_t outcomes[OUTCOMES_BYTES_MAX];
    bind_identity(stmt, row);
    sqlite3_bind_int64(stmt, 6, row->status);
    bind_span(stmt, 7, row->reason);
    sqlite3_bind_int64(stmt, 8, row->changed_at_ms);
    bind_blob(stmt, 9, outcomes, outcomes_encode(joined.outcomes, joined.outcome_count, outcomes));
    bind_or_null(stmt, 10, row->status == SIGNAL_WAITING ? row->due_ms : 0, 0);
    return db_run(stmt);
}

int signals_write(struct db_conn *conn, struct store_commit *request)
{
    struct signal_writer writer = {.conn = conn, .request = request};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->signal_count; i++) {
        const struct signal_change *change = &request->signals[i];
        rc = change->insert ? insert_row(&writer, &change->row) : update_row(&writer, &change->row);
    }
    return rc;
}
