/* What a job met in a damaged file, in words: the table its last statement is about, and the page, where the checksums
 * say which. Database thread. */
#include "common/db/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

struct db_bad db_bad(sqlite3 *handle)
{
    struct db_bad bad = {0};
    (void)sqlite3_file_control(handle, "main", DB_FCNTL_BAD, &bad);
    return bad;
}

static bool copy_name(const char *at, char ret[NAME_MAX_BYTES])
{
    size_t len = 0;
    while (len + 1 < NAME_MAX_BYTES && (isalnum((unsigned char)at[len]) || at[len] == '_'))
        len++;
    memcpy(ret, at, len);
    ret[len] = '\0';
    return len > 0;
}

/* The table a statement reads or writes, as its columns or its text tell. */
static bool table_of(sqlite3_stmt *stmt, char ret[NAME_MAX_BYTES])
{
    static const char *const before[] = {"INTO ", "UPDATE ", "FROM ", "TABLE "};
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_table_name(stmt, i);
        if (name)
            return copy_name(name, ret);
    }
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        const char *at = strstr(sqlite3_sql(stmt), before[i]);
        if (at && copy_name(at + strlen(before[i]), ret))
            return true;
    }
    return false;
}

static void describe(struct db_conn *conn)
{
    char table[NAME_MAX_BYTES], page[32] = "";
    struct db_bad bad = db_bad(conn->handle);
    bool known = bad.stmt && table_of(bad.stmt, table);
    if (bad.page)
        snprintf(page, sizeof(page), "page %lld: ", (long long)bad.page);
    snprintf(conn->damage, sizeof(conn->damage), "%s%s%s%s%s", known ? "table " : "", known ? table : "",
             known ? ": " : "", page,
             bad.page ? "its contents are not what was written" : sqlite3_errmsg(conn->handle));
}

const char *db_damage(struct db_conn *conn)
{
    if (!conn->damage[0])
        describe(conn);
    return conn->damage;
}

void db_damage_say(struct db_conn *conn, const char *what)
{
    snprintf(conn->damage, sizeof(conn->damage), "%s", what);
}

void db_damage_note(struct db *db)
{
    atomic_fetch_add_explicit(&db->stats.corruptions, 1, memory_order_relaxed);
    if (db->on_damage)
        db->on_damage(db->damage_ctx, db_damage(&db->conn));
    db->conn.damage[0] = '\0';
}
