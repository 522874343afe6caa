/* Opening a database at rest, and what SQLite itself can check of it. Reads go through the checksums of checksum.c,
 * over a VFS that changes nothing (rest_vfs.c). Failure: damage is a problem told to the check, or -EUCLEAN. */
#include "common/db/reader.h"
#include "common/db/internal.h"
#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 128, TABLES_MAX = 64, PROBLEMS_MAX = 100, TOLD_MAX = 5, STEP_OPS = 100000 };

struct db_reader {
    struct db_rest *rest;
    struct db_checksum *checksums;
    struct db_conn conn;
};

static int reader_failed(sqlite3 *handle, const char *path, struct error *err)
{
    int64_t page = handle ? db_bad(handle).page : 0;
    if (page)
        return error_set(err, -EUCLEAN, "page %lld does not hold what was written", (long long)page);
    return error_set(err, -EUCLEAN, "%s cannot be read as a database: %s", path,
                     handle ? sqlite3_errmsg(handle) : "out of memory");
}

static int reader_open_handle(struct db_reader *reader, const char *path, struct error *err)
{
    /* EXCLUSIVE before the first access: the index of the log lies in memory then. */
    static const char pragmas[] = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                                  " PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;"
                                  " SELECT count(*) FROM sqlite_schema";
    sqlite3 *handle = NULL;
    int rc =
        sqlite3_open_v2(path, &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, db_checksum_name(reader->checksums));
    if (rc == SQLITE_OK) {
        (void)sqlite3_extended_result_codes(handle, 1);
        (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        rc = sqlite3_exec(handle, pragmas, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        int status = reader_failed(handle, path, err);
        sqlite3_close(handle);
        return status;
    }
    db_conn_init(&reader->conn, handle);
    return 0;
}

int db_reader_open(const char *path, struct db_reader **ret, struct error *err)
{
    if (access(path, R_OK) < 0)
        return error_set(err, -errno, "cannot read %s: %s", path, error_text(-errno));
    struct db_reader *reader = xcalloc(1, sizeof(*reader));
    int status = db_rest_new(&reader->rest);
    if (!status)
        status = db_checksum_new(db_rest_name(reader->rest), NULL, &reader->checksums);
    if (status)
        error_set(err, status, "SQLite has no default VFS: %s", error_text(status));
    else
        status = reader_open_handle(reader, path, err);
    if (status) {
        db_reader_close(reader);
        return status;
    }
    *ret = reader;
    return 0;
}

void db_reader_close(struct db_reader *reader)
{
    if (!reader)
        return;
    sqlite3 *handle = reader->conn.handle;
    if (handle) {
        db_conn_done(&reader->conn);
        sqlite3_close(handle);
    }
    db_checksum_free(reader->checksums);
    db_rest_free(reader->rest);
    free(reader);
}

struct db_conn *db_reader_conn(struct db_reader *reader)
{
    return &reader->conn;
}

const char *db_reader_damage(struct db_reader *reader)
{
    reader->conn.damage[0] = '\0';
    return db_damage(&reader->conn);
}

/* --- the schema -------------------------------------------------------------------------------------------------- */

static int prepare(sqlite3 *handle, const char *sql, sqlite3_stmt **ret)
{
    return sqlite3_prepare_v2(handle, sql, -1, ret, NULL) == SQLITE_OK ? 0 : -EUCLEAN;
}

static int make_model(const char *const *scripts, sqlite3 **ret)
{
    int rc = sqlite3_open(":memory:", ret);
    for (size_t i = 0; rc == SQLITE_OK && scripts[i]; i++)
        rc = sqlite3_exec(*ret, scripts[i], NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : -EINVAL;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Each of the model's tables and indices must be in the file with the same SQL. */
static int compare(struct db_reader *reader, sqlite3_stmt *wanted, sqlite3_stmt *found, struct error *err)
{
    while (sqlite3_step(wanted) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(wanted, 0);
        sqlite3_reset(found);
        sqlite3_bind_text(found, 1, name, -1, SQLITE_STATIC);
        int rc = sqlite3_step(found);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return error_set(err, -EUCLEAN, "%s", db_reader_damage(reader));
        if (rc == SQLITE_DONE ||
            !same_text((const char *)sqlite3_column_text(wanted, 1), (const char *)sqlite3_column_text(found, 0)))
            return error_set(err, -EUCLEAN, "%s is missing or not what this program makes", name);
    }
    return 0;
}

static int version_of(sqlite3 *handle, int *ret)
{
    sqlite3_stmt *stmt = NULL;
    int status = prepare(handle, "PRAGMA user_version", &stmt);
    if (!status && sqlite3_step(stmt) == SQLITE_ROW)
        *ret = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return status;
}

int db_reader_schema(struct db_reader *reader, const char *const *scripts, struct error *err)
{
    int version = -1, known = 0;
    while (scripts[known])
        known++;
    if (version_of(reader->conn.handle, &version))
        return error_set(err, -EUCLEAN, "%s", db_reader_damage(reader));
    if (version != known)
        return error_set(err, -ENOTSUP, "its schema is version %d, this program makes %d: %s", version, known,
                         version > known ? "use the newer release that wrote it"
                                         : "start `tai run` on it once, which brings it up to date");
    sqlite3 *model = NULL;
    sqlite3_stmt *wanted = NULL, *found = NULL;
    int status = make_model(scripts, &model);
    if (!status)
        status = prepare(model, "SELECT name, sql FROM sqlite_schema", &wanted);
    if (status)
        error_set(err, status, "the schema cannot be made in memory: %s", sqlite3_errmsg(model));
    else if (prepare(reader->conn.handle, "SELECT sql FROM sqlite_schema WHERE name = ?1", &found))
        status = error_set(err, -EUCLEAN, "%s", db_reader_damage(reader));
    else
        status = compare(reader, wanted, found, err);
    sqlite3_finalize(wanted);
    sqlite3_finalize(found);
    sqlite3_close(model);
    return status;
}

int db_reader_has(struct db_reader *reader, const char *table)
{
    sqlite3_stmt *stmt = db_stmt(&reader->conn, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1");
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    return db_step(stmt);
}

/* --- SQLite's own check ------------------------------------------------------------------------------------------ */

static int on_progress(void *ctx)
{
    check_step(ctx, "the structure", 0, 0);
    return 0;
}

/* "*** in database main ***" and lines. */
static uint64_t tell_lines(struct check *check, const char *table, const char *text)
{
    uint64_t told = 0;
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        if (len && strncmp(text, "***", 3) != 0 && told++ < TOLD_MAX)
            check_problem(check, table, "", CHECK_RESTORE, "%.*s", (int)len, text);
        text += len + (text[len] == '\n');
    }
    return told;
}

/* One run of integrity_check, over a table or (NULL) all of them: how many problems, which are told if `tell`. */
static uint64_t integrity(struct db_reader *reader, struct check *check, const char *table, bool tell)
{
    char sql[NAME_BYTES + 64];
    sqlite3_stmt *stmt = NULL;
    uint64_t problems = 0;
    if (table)
        snprintf(sql, sizeof(sql), "PRAGMA integrity_check(\"%s\")", table);
    else
        snprintf(sql, sizeof(sql), "PRAGMA integrity_check(%d)", PROBLEMS_MAX);
    int rc = prepare(reader->conn.handle, sql, &stmt) ? SQLITE_CORRUPT : SQLITE_ROW;
    while (rc == SQLITE_ROW && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (text && strcmp(text, "ok") == 0)
            continue;
        problems += tell && problems < TOLD_MAX ? tell_lines(check, table ? table : "(database)", text) : 1;
    }
    if (rc != SQLITE_DONE) {
        problems++;
        if (tell)
            check_problem(check, table ? table : "(database)", "", CHECK_RESTORE, "%s", db_reader_damage(reader));
    }
    sqlite3_finalize(stmt);
    return problems;
}

/* The names first: a damaged table must not end the list. */
static size_t list_tables(struct db_reader *reader, char names[TABLES_MAX][NAME_BYTES])
{
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    if (prepare(reader->conn.handle, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '*\"*'",
                &stmt))
        return 0;
    while (count < TABLES_MAX && sqlite3_step(stmt) == SQLITE_ROW)
        snprintf(names[count++], NAME_BYTES, "%s", (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return count;
}

void db_reader_structure(struct db_reader *reader, struct check *check)
{
    char names[TABLES_MAX][NAME_BYTES];
    uint64_t named = 0;
    sqlite3_progress_handler(reader->conn.handle, STEP_OPS, on_progress, check);
    if (integrity(reader, check, NULL, false)) {
        size_t count = list_tables(reader, names);
        for (size_t i = 0; i < count; i++)
            named += integrity(reader, check, names[i], true);
        if (!named) /* of no table: free pages, pages nobody uses */
            (void)integrity(reader, check, NULL, true);
    }
    sqlite3_progress_handler(reader->conn.handle, 0, NULL, NULL);
}
