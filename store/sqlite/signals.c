/* Rows of signals: their encoding, reading with checks, and writing in a commit. Database thread only. */
#include "store/sqlite/internal.h"

enum { OUTCOMES_BYTES_MAX = SIGNAL_OUTCOMES_MAX * VARINT_MAX, SIGNAL_PARAMETERS = 18 };

/* Distances: one outcome is one to five bytes. */
static size_t outcomes_encode(const uint64_t *numbers, uint32_t count, uint8_t ret[OUTCOMES_BYTES_MAX])
{
    uint8_t *at = ret;
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        at = put_u64(at, numbers[i] - last);
        last = numbers[i];
    }
    return (size_t)(at - ret);
}

static bool outcomes_decode(struct pack pack, struct signal_row *ret)
{
    uint64_t last = 0, distance;
    ret->outcome_count = 0;
    while (pack.at < pack.end) {
        if (ret->outcome_count == SIGNAL_OUTCOMES_MAX || !take_u64(&pack, &distance) || distance == 0 ||
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
    const uint8_t *data = sqlite3_column_blob(row->stmt, column);
    size_t len = data ? (size_t)sqlite3_column_bytes(row->stmt, column) : 0;
    if (sqlite3_column_type(row->stmt, column) != SQLITE_BLOB ||
        !outcomes_decode((struct pack){data, len ? data + len : data}, ret))
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
    ret->since_ms = row_int(row, INT64_MIN, INT64_MAX);
    ret->deferrals = (uint32_t)row_int(row, 0, ret->status == SIGNAL_WAITING ? UINT32_MAX : 0);
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

/* Parameters of one row of the insert; outcomes is its scratch. */
static void bind_row(sqlite3_stmt *stmt, int at, const struct signal_row *row, const struct store_commit *request,
                     uint8_t outcomes[OUTCOMES_BYTES_MAX])
{
    bind_span(stmt, at + 1, row->identity.id);
    bind_span(stmt, at + 2, row->identity.tenant_id);
    bind_span(stmt, at + 3, row->identity.entitlement_id);
    sqlite3_bind_int64(stmt, at + 4, row->identity.redrive);
    bind_blob(stmt, at + 5, row->sha256, row->conflict ? SHA256_SIZE : 0);
    bind_blob(stmt, at + 6, row->sha256, SHA256_SIZE);
    sqlite3_bind_int64(stmt, at + 7, row->status);
    bind_span(stmt, at + 8, row->reason);
    sqlite3_bind_int64(stmt, at + 9, row->accepted_at_ms);
    sqlite3_bind_int64(stmt, at + 10, row->changed_at_ms);
    bind_blob(stmt, at + 11, outcomes, outcomes_encode(row->outcomes, row->outcome_count, outcomes));
    sqlite3_bind_int64(stmt, at + 12, request->partition);
    bind_or_null(stmt, at + 13, is_open(row) ? (int64_t)row->line : 0, 0);
    bind_or_null(stmt, at + 14, row->status == SIGNAL_WAITING ? row->due_ms : 0, 0);
    if (keeps_bytes(row)) {
        bind_blob(stmt, at + 15, row->envelope.ptr, row->envelope.len);
        bind_blob(stmt, at + 16, row->bytes.ptr, row->bytes.len);
    } else {
        sqlite3_bind_null(stmt, at + 15);
        sqlite3_bind_null(stmt, at + 16);
    }
    sqlite3_bind_int64(stmt, at + 17, request->clock_ms);
    sqlite3_bind_int64(stmt, at + 18, row->status == SIGNAL_WAITING ? row->deferrals : 0);
}

#define INSERT                                                                                                         \
    "INSERT OR FAIL INTO signals(id, tenant, entitlement, redrive, conflict, sha256, status, reason, accepted_at,"     \
    " changed_at, outcomes, partition, line, due, envelope, bytes, since, deferrals)"
#define ROW "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"

/* count consecutive changes, all inserts. */
static int insert_rows(struct db_conn *conn, const struct store_commit *request, const struct signal_change *changes,
                       size_t count)
{
    uint8_t outcomes[ROWS][OUTCOMES_BYTES_MAX];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i += ROWS) {
        int rows = count - i < ROWS ? (int)(count - i) : ROWS;
        sqlite3_stmt *stmt = rows == ROWS ? db_stmt(conn, INSERT FULL_ROWS(ROW)) : db_stmt(conn, INSERT SOME_ROWS(ROW));
        for (int k = 0; k < rows; k++)
            bind_row(stmt, k * SIGNAL_PARAMETERS, &changes[i + (size_t)k].row, request, outcomes[k]);
        rc = db_run(stmt);
    }
    return rc;
}

static void bind_identity(sqlite3_stmt *stmt, const struct signal_row *row)
{
    bind_span(stmt, 1, row->identity.tenant_id);
    bind_span(stmt, 2, row->identity.id);
    bind_span(stmt, 3, row->identity.entitlement_id);
    sqlite3_bind_int64(stmt, 4, row->identity.redrive);
    bind_blob(stmt, 5, row->sha256, row->conflict ? SHA256_SIZE : 0);
}

#define WHERE_IDENTITY " WHERE tenant = ?1 AND id = ?2 AND entitlement = ?3 AND redrive = ?4 AND conflict = ?5"

/* The outcomes stored, and the new ones behind them. */
static int join_outcomes(struct db_conn *conn, struct store_request *request, const struct signal_row *row,
                         struct signal_row *ret)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT outcomes FROM signals" WHERE_IDENTITY);
    bind_identity(stmt, row);
    int rc = db_step(stmt);
    if (rc == 0)
        return op_error(request, -ENOENT, "signal %.*s of %.*s has no row", (int)row->identity.id.len,
                        row->identity.id.ptr, (int)row->identity.tenant_id.len, row->identity.tenant_id.ptr);
    if (rc < 0)
        return rc;
    struct row read = row_of(stmt, NULL);
    read_outcomes(&read, ret);
    rc = row_check(&read, request);
    sqlite3_reset(stmt);
    for (uint32_t i = 0; rc == 0 && i < row->outcome_count; i++) {
        uint32_t at = ret->outcome_count < SIGNAL_OUTCOMES_MAX ? ret->outcome_count++ : SIGNAL_OUTCOMES_MAX - 1;
        if (at && ret->outcomes[at - 1] >= row->outcomes[i])
            return op_error(request, -EINVAL, "outcome numbers of a signal must rise");
        ret->outcomes[at] = row->outcomes[i];
    }
    return rc;
}

#define UPDATE                                                                                                         \
    "UPDATE signals SET status = ?6, reason = ?7, changed_at = ?8, outcomes = ?9, due = ?10, since = ?11,"             \
    " deferrals = ?12"

static int update_row(struct db_conn *conn, struct store_commit *request, const struct signal_row *row)
{
    struct signal_row joined = {.outcome_count = 0};
    int rc = join_outcomes(conn, &request->req, row, &joined);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt;
    if (is_open(row))
        stmt = db_stmt(conn, UPDATE WHERE_IDENTITY);
    else if (keeps_bytes(row))
        stmt = db_stmt(conn, UPDATE ", line = NULL" WHERE_IDENTITY);
    else
        stmt = db_stmt(conn, UPDATE ", line = NULL, envelope = NULL, bytes = NULL" WHERE_IDENTITY);
    uint8_t outcomes[OUTCOMES_BYTES_MAX];
    bind_identity(stmt, row);
    sqlite3_bind_int64(stmt, 6, row->status);
    bind_span(stmt, 7, row->reason);
    sqlite3_bind_int64(stmt, 8, row->changed_at_ms);
    bind_blob(stmt, 9, outcomes, outcomes_encode(joined.outcomes, joined.outcome_count, outcomes));
    bind_or_null(stmt, 10, row->status == SIGNAL_WAITING ? row->due_ms : 0, 0);
    sqlite3_bind_int64(stmt, 11, request->clock_ms);
    sqlite3_bind_int64(stmt, 12, row->status == SIGNAL_WAITING ? row->deferrals : 0);
    return db_run(stmt);
}

int signals_write(struct db_conn *conn, struct store_commit *request)
{
    int rc = 0;
    for (size_t i = 0, inserts; rc == 0 && i < request->signal_count; i += inserts + 1) {
        const struct signal_change *changes = &request->signals[i];
        size_t left = request->signal_count - i;
        for (inserts = 0; inserts < left && changes[inserts].insert; inserts++)
            ;
        rc = insert_rows(conn, request, changes, inserts);
        if (rc == 0 && inserts < left)
            rc = update_row(conn, request, &changes[inserts].row);
    }
    return rc;
}
