/* Binding, and reading with bounds: what comes back from the file is checked like any outside input, because a damaged
 * row served as good would be worse than none. Database thread only. */
#include "store/sqlite/internal.h"

#include <stdio.h>

int64_t row_int(struct row *row, int64_t min, int64_t max)
{
    int column = row->column++;
    int64_t value = sqlite3_column_int64(row->stmt, column);
    if (sqlite3_column_type(row->stmt, column) == SQLITE_INTEGER && value >= min && value <= max)
        return value;
    row_spoil(row);
    return min;
}

int64_t row_int_or(struct row *row, int64_t min, int64_t max, int64_t null)
{
    if (sqlite3_column_type(row->stmt, row->column) != SQLITE_NULL)
        return row_int(row, min, max);
    row->column++;
    return null;
}

uint64_t row_count(struct row *row)
{
    return (uint64_t)row_int(row, 0, INT64_MAX);
}

struct span row_borrow(struct row *row, size_t max)
{
    int column = row->column++;
    if (sqlite3_column_type(row->stmt, column) != SQLITE_TEXT) {
        row_spoil(row);
        return SPAN("");
    }
    const char *text = (const char *)sqlite3_column_text(row->stmt, column);
    int len = sqlite3_column_bytes(row->stmt, column);
    if (text && len >= 0 && (size_t)len <= max)
        return (struct span){text, (size_t)len};
    row_spoil(row);
    return SPAN("");
}

struct span row_text(struct row *row, size_t max)
{
    struct span text = row_borrow(row, max);
    if (!text.len)
        return SPAN("");
    return (struct span){arena_copy(row->arena, text.ptr, text.len), text.len};
}

struct span row_text_or_null(struct row *row, size_t max)
{
    if (sqlite3_column_type(row->stmt, row->column) != SQLITE_NULL)
        return row_text(row, max);
    row->column++;
    return (struct span){0};
}

struct span row_blob_or_null(struct row *row, size_t max)
{
    int column = row->column++;
    int type = sqlite3_column_type(row->stmt, column);
    if (type == SQLITE_NULL)
        return (struct span){0};
    const void *data = sqlite3_column_blob(row->stmt, column);
    int len = sqlite3_column_bytes(row->stmt, column);
    if (type == SQLITE_BLOB && len >= 0 && (size_t)len <= max && (data || !len))
        return (struct span){arena_copy(row->arena, data, (size_t)len), (size_t)len};
    row_spoil(row);
    return (struct span){0};
}

void row_bytes(struct row *row, void *ret, size_t len)
{
    int column = row->column++;
    const void *data = sqlite3_column_blob(row->stmt, column);
    if (data && sqlite3_column_type(row->stmt, column) == SQLITE_BLOB &&
        sqlite3_column_bytes(row->stmt, column) == (int)len) {
        memcpy(ret, data, len);
        return;
    }
    row_spoil(row);
    memset(ret, 0, len);
}

void row_spoil(struct row *row)
{
    if (!row->bad)
        row->bad = row->column;
}

static bool is_key(const char *name)
{
    static const char *const keys[] = {"tenant",    "id",    "entitlement", "redrive", "chain", "seq",
                                       "partition", "shard", "number",      "command", "name",  NULL};
    for (size_t i = 0; name && keys[i]; i++)
        if (strcmp(name, keys[i]) == 0)
            return true;
    return false;
}

/* What tells the row from others, as far as the statement reads it: " tenant=acme id=evt-1". What a damaged row holds
 * may be anything. */
void row_keys(const struct row *row, char *ret, size_t size)
{
    size_t used = 0;
    char *at = ret;
    *ret = '\0';
    for (int i = 0; i < sqlite3_column_count(row->stmt) && used + 1 < size; i++) {
        const char *name = sqlite3_column_name(row->stmt, i);
        const char *text = is_key(name) && sqlite3_column_type(row->stmt, i) != SQLITE_BLOB
                               ? (const char *)sqlite3_column_text(row->stmt, i)
                               : NULL;
        int len = text ? snprintf(ret + used, size - used, " %s=%.64s", name, text) : 0;
        used += len > 0 ? (size_t)len : 0;
    }
    for (; *at; at++)
        *at = *at >= ' ' && *at <= '~' ? *at : '?';
}

int row_check(const struct row *row, struct store_request *request)
{
    if (!row->bad)
        return 0;
    char keys[ROW_KEYS_MAX];
    const char *column = sqlite3_column_name(row->stmt, row->bad - 1);
    const char *table = sqlite3_column_table_name(row->stmt, row->bad - 1);
    row_keys(row, keys, sizeof(keys));
    if (table)
        return op_error(request, -EUCLEAN, "table %s, row%s: column %s cannot be true", table, keys, column);
    return op_error(request, -EUCLEAN, "row%s: column %s cannot be true; statement: %s", keys, column,
                    sqlite3_sql(row->stmt));
}

int run_updates(struct db_conn *conn, sqlite3_stmt *stmt, int rows)
{
    sqlite3 *handle = db_handle(conn);
    sqlite3_set_last_insert_rowid(handle, 0);
    int rc = db_run(stmt);
    if (rc < 0)
        return rc;
    return sqlite3_changes(handle) == rows && sqlite3_last_insert_rowid(handle) == 0 ? 0 : -ENOENT;
}

int stmt_number(sqlite3_stmt *stmt, struct store_request *request, int64_t *ret)
{
    int rc = db_step(stmt);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return op_error(request, -EUCLEAN, "no row where one is due; statement: %s", sqlite3_sql(stmt));
    struct row row = row_of(stmt, NULL);
    int64_t value = row_int(&row, INT64_MIN, INT64_MAX);
    rc = row_check(&row, request);
    sqlite3_reset(stmt);
    if (rc == 0)
        *ret = value;
    return rc;
}

void *list_add(struct list *list, struct arena *arena, size_t size)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 16;
        void *items = arena_alloc(arena, cap * size);
        if (list->count)
            memcpy(items, list->items, list->count * size);
        list->items = items;
        list->cap = cap;
    }
    void *item = (char *)list->items + list->count++ * size;
    memset(item, 0, size);
    return item;
}
