/* Operator commands: rows from the API, until the commit that ends them. Database thread only. */
#include "store/sqlite/internal.h"

enum { SCAN_MAX = 5000 };

void command_read(struct row *row, struct command *ret, uint8_t ret_deadletter[16])
{
    *ret = (struct command){.order = (uint64_t)row_int(row, 1, INT64_MAX)};
    ret->id = row_text(row, COMMAND_ID_MAX);
    ret->kind = (enum command_kind)row_int(row, 0, COMMAND_KIND_COUNT - 1);
    ret->partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    ret->tenant_id = row_text(row, STORE_ID_MAX);
    ret->entitlement_id = row_text(row, STORE_ID_MAX);
    bool names_deadletter = ret->kind == COMMAND_REQUEUE || ret->kind == COMMAND_DISCARD;
    if ((sqlite3_column_type(row->stmt, row->column) != SQLITE_NULL) != names_deadletter)
        row_spoil(row);
    if (names_deadletter) {
        row_bytes(row, ret_deadletter, 16);
        receipt_id_format(ret_deadletter, ret->deadletter_id);
    } else {
        row->column++;
    }
    ret->args = row_text(row, COMMAND_ARGS_MAX);
    ret->operator= row_text(row, COMMAND_OPERATOR_MAX);
    ret->created_at_ms = row_int(row, INT64_MIN, INT64_MAX);
    ret->status = (enum command_status)row_int(row, 0, COMMAND_STATUS_COUNT - 1);
    ret->reason = row_text(row, STORE_REASON_MAX);
}

/* 1, or 0 if there is none of that id. */
static int find(struct db_conn *conn, struct store_request *request, struct span id, struct command *ret)
{
    uint8_t deadletter[16];
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT " COMMAND_COLUMNS " FROM commands WHERE command = ?1");
    bind_span(stmt, 1, id);
    int rc = db_step(stmt);
    if (rc != 1)
        return rc;
    struct row row = row_of(stmt, &request->arena);
    command_read(&row, ret, deadletter);
    rc = row_check(&row, request);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 1;
}

int command_run(struct db_conn *conn, struct op *op)
{
    struct store_command *request = (struct store_command *)op->request;
    int rc = find(conn, &request->req, request->id, &request->command);
    request->found = rc == 1;
    return rc < 0 ? rc : 0;
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static bool is(struct span filter, sqlite3_stmt *stmt, int column)
{
    const char *text = filter.len ? (const char *)sqlite3_column_text(stmt, column) : NULL;
    return !filter.len || (text && span_eq(filter, (struct span){text, (size_t)sqlite3_column_bytes(stmt, column)}));
}

static bool wanted(const struct store_command_list *request, sqlite3_stmt *stmt)
{
    enum { KIND = 2, TENANT = 4, ENTITLEMENT = 5, CREATED_AT = 9, STATUS = 10 };
    int64_t at = sqlite3_column_int64(stmt, CREATED_AT);
    return (request->kind < 0 || sqlite3_column_int(stmt, KIND) == request->kind) &&
           (request->status < 0 || sqlite3_column_int(stmt, STATUS) == request->status) && at >= request->since_ms &&
           (!request->before_ms || at < request->before_ms) && is(request->tenant_id, stmt, TENANT) &&
           is(request->entitlement_id, stmt, ENTITLEMENT);
}

struct command_page {
    struct list items;
    uint64_t last; /* looked at */
};

static int add_command(sqlite3_stmt *stmt, struct store_command_list *request, struct list *items)
{
    uint8_t deadletter[16];
    struct row row = row_of(stmt, &request->req.arena);
    command_read(&row, list_add(items, &request->req.arena, sizeof(struct command)), deadletter);
    return row_check(&row, &request->req);
}

static int command_list_go_on(struct db_conn *conn, struct op *op)
{
    struct store_command_list *request = (struct store_command_list *)op->request;
    struct command_page *page = op->state;
    sqlite3_stmt *stmt =
        request->descending
            ? db_stmt(conn, "SELECT " COMMAND_COLUMNS " FROM commands WHERE number < ?1 ORDER BY number DESC")
            : db_stmt(conn, "SELECT " COMMAND_COLUMNS " FROM commands WHERE number > ?1 ORDER BY number");
    bind_u64(stmt, 1, page->last);
    int rc, scanned = 0;
    while ((rc = db_step(stmt)) == 1) {
        bool fits = wanted(request, stmt);
        request->more = fits && page->items.count == request->limit;
        if (!request->more && scanned++ == SCAN_MAX)
            op->then = command_list_go_on; /* others first */
        if (request->more || op->then)
            break;
        page->last = (uint64_t)sqlite3_column_int64(stmt, 0);
        if (fits && (rc = add_command(stmt, request, &page->items)) < 0)
            break;
    }
    sqlite3_reset(stmt);
    request->commands = page->items.items;
    request->command_count = page->items.count;
    return rc < 0 ? rc : 0;
}

int command_list_run(struct db_conn *conn, struct op *op)
{
    struct store_command_list *request = (struct store_command_list *)op->request;
    struct command_page *page = arena_alloc(&request->req.arena, sizeof(*page));
    *page = (struct command_page){.last = request->descending && !request->after ? INT64_MAX : request->after};
    op->state = page;
    request->more = false;
    return command_list_go_on(conn, op);
}

/* --- adding ------------------------------------------------------------------------------------------------------ */

static bool same(const struct command *a, const struct command *b)
{
    return a->kind == b->kind && span_eq(a->tenant_id, b->tenant_id) && span_eq(a->entitlement_id, b->entitlement_id) &&
           strcmp(a->deadletter_id, b->deadletter_id) == 0 && span_eq(a->args, b->args) &&
           span_eq(a->operator, b->operator);
}

static void bind_or_null_blob(sqlite3_stmt *stmt, int index, struct span blob)
{
    if (blob.len)
        bind_blob(stmt, index, blob.ptr, blob.len);
    else
        sqlite3_bind_null(stmt, index);
}

static int insert(struct db_conn *conn, struct store_command_add *request)
{
    const struct command *command = &request->command;
    uint8_t deadletter[16];
    if (command->deadletter_id[0] && !receipt_id_parse(command->deadletter_id, deadletter))
        return op_error(&request->req, -EINVAL, "%s is no id of a dead letter", command->deadletter_id);
    sqlite3_stmt *stmt =
        db_stmt(conn, "INSERT OR FAIL INTO commands(command, kind, partition, tenant, entitlement, deadletter, args,"
                      " operator, created_at, status, reason, envelope, bytes)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, '', ?10, ?11)");
    bind_span(stmt, 1, command->id);
    sqlite3_bind_int64(stmt, 2, command->kind);
    sqlite3_bind_int64(stmt, 3, command->partition);
    bind_key(stmt, 4, command->tenant_id, command->entitlement_id);
    bind_or_null_blob(stmt, 6, (struct span){(const char *)deadletter, command->deadletter_id[0] ? 16 : 0});
    bind_span(stmt, 7, command->args);
    bind_span(stmt, 8, command->operator);
    sqlite3_bind_int64(stmt, 9, command->created_at_ms);
    bind_or_null_blob(stmt, 10, command->envelope);
    bind_or_null_blob(stmt, 11, command->bytes);
    db_notify(conn, COMMANDS_CHANNEL);
    return db_run(stmt);
}

int command_add_run(struct db_conn *conn, struct op *op)
{
    struct store_command_add *request = (struct store_command_add *)op->request;
    struct command found;
    int64_t pending;
    int rc = find(conn, &request->req, request->command.id, &found);
    if (rc < 0)
        return rc;
    if (rc == 1)
        return same(&found, &request->command) ? 0 : -EEXIST;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT count(*) FROM (SELECT 1 FROM commands INDEXED BY commands_pending"
                                       " WHERE status = 0 LIMIT ?1)");
    sqlite3_bind_int64(stmt, 1, request->max_pending);
    rc = stmt_number(stmt, &request->req, &pending);
    if (rc < 0)
        return rc;
    return pending >= request->max_pending ? -EDQUOT : insert(conn, request);
}

/* --- the owner's ------------------------------------------------------------------------------------------------- */

static int add_deadletter(struct db_conn *conn, struct store_commands *request, struct pending_command *item,
                          const uint8_t id[16])
{
    if (!item->command.deadletter_id[0])
        return 0;
    struct deadletter *deadletter = arena_alloc(&request->req.arena, sizeof(*deadletter));
    int rc = deadletter_find(conn, &request->req, id, deadletter);
    item->deadletter = rc == 1 ? deadletter : NULL;
    return rc < 0 ? rc : 0;
}

int commands_run(struct db_conn *conn, struct op *op)
{
    struct store_commands *request = (struct store_commands *)op->request;
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT " COMMAND_COLUMNS ", envelope, bytes FROM commands INDEXED BY commands_pending"
                      " WHERE partition = ?1 AND status = 0 ORDER BY number LIMIT ?2");
    sqlite3_bind_int64(stmt, 1, request->partition);
    sqlite3_bind_int64(stmt, 2, request->limit);
    struct list list = {0};
    int rc;
    while ((rc = db_step(stmt)) == 1) {
        uint8_t id[16];
        struct row row = row_of(stmt, &request->req.arena);
        struct pending_command *item = list_add(&list, &request->req.arena, sizeof(*item));
        command_read(&row, &item->command, id);
        item->command.envelope = row_blob_or_null(&row, STORE_TEXT_MAX);
        item->command.bytes = row_blob_or_null(&row, STORE_TEXT_MAX);
        rc = row_check(&row, &request->req);
        if (rc == 0)
            rc = add_deadletter(conn, request, item, id);
        if (rc < 0)
            return rc;
    }
    request->commands = list.items;
    request->command_count = list.count;
    return rc;
}

int commands_write(struct db_conn *conn, struct store_commit *request)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "UPDATE commands SET status = ?3, reason = ?4, since = ?5, envelope = NULL, bytes = NULL"
                      " WHERE command = ?1 AND partition = ?2 AND status = 0");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->command_count; i++) {
        const struct command_change *change = &request->commands[i];
        bind_span(stmt, 1, change->id);
        sqlite3_bind_int64(stmt, 2, request->partition);
        sqlite3_bind_int64(stmt, 3, change->status);
        bind_span(stmt, 4, change->reason);
        sqlite3_bind_int64(stmt, 5, request->clock_ms);
        rc = db_run(stmt);
        if (rc == 0 && sqlite3_changes(db_handle(conn)) != 1)
            rc = op_error(&request->req, -ENOENT, "no command %.*s is pending in partition %u", (int)change->id.len,
                          change->id.ptr, request->partition);
        if (rc == 0 && change->resolves[0])
            rc = deadletter_close(conn, request, change->resolves);
    }
    return rc;
}
