/* Pages are swapped all the time here, under the page cache that common/db/cache.c has set up. */
#include "common/db/internal.h"

#include <criterion/criterion.h>

static sqlite3 *db;

static void exec(const char *sql)
{
    char *message = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    cr_assert_eq(rc, SQLITE_OK, "%s: %s", sql, message);
}

static int64_t number(const char *sql)
{
    sqlite3_stmt *stmt;
    cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK, "%s", sql);
    cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static void expect_sound(void)
{
    sqlite3_stmt *stmt;
    cr_assert_eq(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
    cr_assert_str_eq((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
}

/* Rows come at random places and go again, so that pages split, merge and come back from the free list. */
static void churn(void)
{
    exec("CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB) WITHOUT ROWID");
    for (int round = 0; round < 20; round++) {
        exec("BEGIN");
        exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
             " INSERT OR REPLACE INTO t SELECT abs(random()) % 100000, randomblob(10 + abs(random()) % 900) FROM n");
        exec("DELETE FROM t WHERE k % 3 = abs(random()) % 3");
        exec(round % 5 == 4 ? "ROLLBACK" : "COMMIT");
    }
}

static void set_up(void)
{
    cr_assert_not_null(db_default_vfs());
    cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
}

static void tear_down(void)
{
    sqlite3_close(db);
}

TestSuite(db_cache, .init = set_up, .fini = tear_down);

Test(db_cache_config, it_is_in_use)
{
    sqlite3_pcache_methods2 methods;
    cr_assert_not_null(db_default_vfs());
    sqlite3_shutdown();
    cr_assert_eq(sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &methods), SQLITE_OK);
    void (*before)(sqlite3_pcache *, sqlite3_pcache_page *, unsigned, unsigned) = methods.xRekey;
    sqlite3_config(SQLITE_CONFIG_PCACHE2, &(sqlite3_pcache_methods2){0});
    cr_assert_eq(sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &methods), SQLITE_OK);
    cr_assert(methods.xRekey != before, "SQLite's own");
}

Test(db_cache, pages_of_the_usual_size)
{
    churn();
    expect_sound();
    cr_assert_gt(number("SELECT count(*) FROM t"), 200);
    cr_assert_eq(number("SELECT count(*) FROM t"), number("SELECT count(DISTINCT k) FROM t"));
}

Test(db_cache, pages_of_another_size)
{
    exec("PRAGMA page_size = 512");
    churn();
    expect_sound();
    cr_assert_eq(number("PRAGMA page_size"), 512);
}
