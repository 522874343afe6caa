/* Statements of the database thread, cached by the address of their SQL literal, and SQLite's result codes as errno.
 *
 * Failure: a statement that does not compile is a mistake in the program or a foreign file and aborts. So do running
 * out of memory and a failed fsync: the kernel may have dropped the pages, so nothing can be promised any more; what
 * was acknowledged is on disk and whoever restarts the process finds it. */
#include "common/db/internal.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void db_conn_init(struct db_conn *conn, sqlite3 *handle)
{
    *conn = (struct db_conn){.handle = handle, .slot_cap = 64, .job = 1};
    conn->slots = xcalloc(conn->slot_cap, sizeof(*conn->slots));
}

void db_conn_done(struct db_conn *conn)
{
    for (size_t i = 0; i < conn->slot_cap; i++)
        sqlite3_finalize(conn->slots[i].stmt);
    free(conn->slots);
    free(conn->used);
    *conn = (struct db_conn){0};
}

_Noreturn void db_fatal(sqlite3 *handle, const char *doing)
{
    fprintf(stderr, "database %s: %s failed: %s (%d); stopping, because what is not on disk cannot be known\n",
            sqlite3_db_filename(handle, "main"), doing, sqlite3_errmsg(handle), sqlite3_extended_errcode(handle));
    abort();
}

static bool no_room(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* SQLite calls only ENOSPC full; a quota or a size limit is known to the file that met it, the log or the database. */
bool db_no_room(sqlite3 *handle)
{
    sqlite3_file *log = NULL;
    int error = 0;
    if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log && log->pMethods &&
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error) == SQLITE_OK && no_room(error))
        return true;
    return sqlite3_file_control(handle, "main", SQLITE_FCNTL_LAST_ERRNO, &error) == SQLITE_OK && no_room(error);
}

static int io_code(sqlite3 *handle, int rc)
{
    switch (rc) {
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
        db_fatal(handle, "fsync");
    case SQLITE_IOERR_NOMEM:
        db_fatal(handle, "memory allocation");
    case SQLITE_IOERR_SHMSIZE: /* the log's index could not grow */
        return -ENOSPC;
    case SQLITE_IOERR_WRITE:
        return db_no_room(handle) ? -ENOSPC : -EIO;
    default:
        return -EIO;
    }
}

int db_code(sqlite3 *handle, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        db_fatal(handle, "memory allocation");
    case SQLITE_IOERR:
        return io_code(handle, rc);
    default:
        return -EIO;
    }
}

static size_t slot_of(const struct db_conn *conn, const char *sql)
{
    size_t i = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (conn->slot_cap - 1);
    while (conn->slots[i].sql && conn->slots[i].sql != sql)
        i = (i + 1) & (conn->slot_cap - 1);
    return i;
}

static void slots_double(struct db_conn *conn)
{
    struct db_slot *old = conn->slots;
    size_t old_cap = conn->slot_cap;
    conn->slot_cap *= 2;
    conn->slots = xcalloc(conn->slot_cap, sizeof(*conn->slots));
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].sql)
            conn->slots[slot_of(conn, old[i].sql)] = old[i];
    free(old);
}

/* The slot of sql, prepared; NULL if the file is damaged. */
static struct db_slot *slot_get(struct db_conn *conn, const char *sql)
{
    struct db_slot *slot = &conn->slots[slot_of(conn, sql)];
    if (slot->sql)
        return slot;
    if (2 * (conn->slot_count + 1) > conn->slot_cap) {
        slots_double(conn);
        slot = &conn->slots[slot_of(conn, sql)];
    }
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v3(conn->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc == SQLITE_ERROR) {
        fprintf(stderr, "database %s: %s in: %s\n", sqlite3_db_filename(conn->handle, "main"),
                sqlite3_errmsg(conn->handle), sql);
        abort();
    }
    if (db_code(conn->handle, rc))
        return NULL;
    *slot = (struct db_slot){.sql = sql, .stmt = stmt};
    conn->slot_count++;
    return slot;
}

sqlite3_stmt *db_stmt(struct db_conn *conn, const char *sql)
{
    struct db_slot *slot = slot_get(conn, sql);
    if (!slot)
        return NULL;
    if (slot->job == conn->job) {
        sqlite3_reset(slot->stmt);
        sqlite3_clear_bindings(slot->stmt);
        return slot->stmt;
    }
    mem_grow(&conn->used, &conn->used_cap, conn->used_count + 1, sizeof(void *));
    conn->used[conn->used_count++] = slot->stmt;
    slot->job = conn->job;
    return slot->stmt;
}

void db_conn_reset(struct db_conn *conn)
{
    for (size_t i = 0; i < conn->used_count; i++) {
        sqlite3_reset(conn->used[i]);
        sqlite3_clear_bindings(conn->used[i]);
    }
    conn->used_count = 0;
    conn->job++;
}

int db_exec(struct db_conn *conn, const char *sql)
{
    struct db_slot *slot = slot_get(conn, sql);
    if (!slot)
        return sqlite3_extended_errcode(conn->handle);
    sqlite3_step(slot->stmt);
    return sqlite3_reset(slot->stmt);
}

sqlite3 *db_handle(struct db_conn *conn)
{
    return conn->handle;
}

static int failed(sqlite3_stmt *stmt, int rc)
{
    sqlite3 *handle = sqlite3_db_handle(stmt);
    int status = db_code(handle, rc);
    if (status == -EUCLEAN)
        (void)sqlite3_file_control(handle, "main", DB_FCNTL_BLAME, stmt);
    return status;
}

int db_run(sqlite3_stmt *stmt)
{
    if (!stmt)
        return -EUCLEAN;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE) {
        sqlite3_reset(stmt);
        return 0;
    }
    if (rc == SQLITE_ROW) {
        sqlite3_reset(stmt);
        return -EINVAL; /* a statement with rows has no business here */
    }
    return failed(stmt, rc);
}

int db_step(sqlite3_stmt *stmt)
{
    if (!stmt)
        return -EUCLEAN;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : failed(stmt, rc);
}
