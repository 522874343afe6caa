/* What the API asks: one signal, governors by page, totals. Database thread only. */
#include "store/sqlite/internal.h"

enum { ALSO_MAX = 100, GOVERNORS_SCAN_MAX = 5000 };

/* --- one signal -------------------------------------------------------------------------------------------------- */

static int read_signal(sqlite3_stmt *stmt, struct store_signal *request, struct signal_row *ret,
                       uint32_t *ret_partition)
{
    struct row row = row_of(stmt, &request->req.arena);
    signal_row_read(&row, ret);
    *ret_partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
    int rc = row_check(&row, &request->req);
    sqlite3_reset(stmt);
    return rc;
}

static int step_signal(sqlite3_stmt *stmt, const struct store_signal *request, struct span entitlement_id,
                       int64_t redrive)
{
    bind_span(stmt, 1, request->tenant_id);
    bind_span(stmt, 2, request->id);
    bind_span(stmt, 3, entitlement_id);
    sqlite3_bind_int64(stmt, 4, redrive);
    return db_step(stmt);
}

/* The highest redrive whose row is no conflict, else the highest conflict: 1, or 0 when there is no row. Both look-ups
 * go straight to the key, however many conflicts an identity has. */
static int best_row(struct db_conn *conn, struct store_signal *request, struct span entitlement_id,
                    struct signal_row *ret, uint32_t *ret_partition)
{
    sqlite3_stmt *first =
        db_stmt(conn, "SELECT " SIGNAL_COLUMNS ", partition FROM signals WHERE tenant = ?1 AND id = ?2"
                      " AND entitlement = ?3 AND redrive = ?4 AND conflict = x''");
    sqlite3_stmt *top = db_stmt(conn, "SELECT " SIGNAL_COLUMNS ", partition FROM signals WHERE tenant = ?1 AND id = ?2"
                                      " AND entitlement = ?3 AND redrive <= ?4"
                                      " ORDER BY redrive DESC, conflict DESC LIMIT 1");
    struct signal_row row = {0};
    uint32_t partition;
    bool found = false;
    int64_t redrive = UINT32_MAX;
    for (;;) {
        int rc = step_signal(top, request, entitlement_id, redrive);
        if (rc <= 0)
            return rc < 0 ? rc : found;
        if ((rc = read_signal(top, request, &row, &partition)) < 0)
            return rc;
        redrive = row.identity.redrive;
        if (row.conflict && (rc = step_signal(first, request, entitlement_id, redrive)) != 0 &&
            (rc < 0 || (rc = read_signal(first, request, &row, &partition)) < 0))
            return rc;
        sqlite3_reset(first);
        if (!found || !row.conflict) {
            *ret = row;
            *ret_partition = partition;
        }
        found = true;
        if (!row.conflict || redrive == 0)
            return 1;
        redrive--;
    }
}

/* The entitlements under which the id has rows, in order. */
static int list_entitlements(struct db_conn *conn, struct store_signal *request, struct list *list)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT entitlement FROM signals WHERE tenant = ?1 AND id = ?2"
                                       " AND entitlement > ?3 ORDER BY entitlement LIMIT 1");
    struct span after = SPAN("");
    for (;;) {
        int rc = step_signal(stmt, request, after, 0);
        if (rc <= 0 || list->count > ALSO_MAX)
            return rc < 0 ? rc : 0;
        struct row row = row_of(stmt, &request->req.arena);
        after = row_text(&row, STORE_ID_MAX);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
        sqlite3_reset(stmt);
        *(struct span *)list_add(list, &request->req.arena, sizeof(after)) = after;
    }
}

static int newest_row(struct db_conn *conn, struct store_signal *request, const struct list *entitlements)
{
    for (size_t i = 0; i < entitlements->count; i++) {
        struct signal_row row;
        uint32_t partition;
        int rc = best_row(conn, request, ((struct span *)entitlements->items)[i], &row, &partition);
        if (rc < 0)
            return rc;
        if (rc == 0 || (request->found && row.accepted_at_ms < request->row.accepted_at_ms))
            continue;
        request->found = true;
        request->row = row;
        request->partition_of_row = partition;
    }
    return 0;
}

int signal_run(struct db_conn *conn, struct op *op)
{
    struct store_signal *request = (struct store_signal *)op->request;
    struct list entitlements = {0};
    request->found = false;
    request->also_under = NULL;
    request->also_count = 0;
    int rc = list_entitlements(conn, request, &entitlements);
    if (rc < 0)
        return rc;
    struct list given = {.items = &request->entitlement_id, .count = 1};
    rc = newest_row(conn, request, request->entitlement_id.len ? &given : &entitlements);
    if (rc < 0)
        return rc;
    struct span shown = request->found ? request->row.identity.entitlement_id : request->entitlement_id;
    struct span *also = entitlements.items;
    for (size_t i = 0; i < entitlements.count && request->also_count < ALSO_MAX; i++)
        if (!span_eq(also[i], shown))
            also[request->also_count++] = also[i];
    request->also_under = also;
    return 0;
}

/* --- governors --------------------------------------------------------------------------------------------------- */

struct governor_page {
    struct list items;
    struct span tenant, entitlement; /* the last one looked at */
};

#define GOVERNOR_ITEM "SELECT tenant, entitlement, partition, " GOVERNOR_COLUMNS " FROM governors"
#define RARE          "state = ?3 AND state <> 1 AND "
#define ONE_UP        "tenant = ?1 AND entitlement > ?2 ORDER BY tenant, entitlement"
#define ONE_DN        "tenant = ?1 AND entitlement < ?2 ORDER BY tenant DESC, entitlement DESC"
#define ALL_UP        "(tenant, entitlement) > (?1, ?2) ORDER BY tenant, entitlement"
#define ALL_DN        "(tenant, entitlement) < (?1, ?2) ORDER BY tenant DESC, entitlement DESC"

/* Of one tenant, only of a rare state, descending. States other than active have an index of their own, in key order.
 */
static const char *const page_sql[2][2][2] = {
    {{GOVERNOR_ITEM " WHERE " ALL_UP, GOVERNOR_ITEM " WHERE " ALL_DN},
     {GOVERNOR_ITEM " WHERE " RARE ALL_UP, GOVERNOR_ITEM " WHERE " RARE ALL_DN}},
    {{GOVERNOR_ITEM " WHERE " ONE_UP, GOVERNOR_ITEM " WHERE " ONE_DN},
     {GOVERNOR_ITEM " WHERE " RARE ONE_UP, GOVERNOR_ITEM " WHERE " RARE ONE_DN}},
};

static sqlite3_stmt *page_stmt(struct db_conn *conn, const struct store_governors *request,
                               const struct governor_page *at)
{
    if (request->exact) {
        sqlite3_stmt *stmt = db_stmt(conn, GOVERNOR_ITEM " WHERE tenant = ?1 AND entitlement = ?2");
        bind_key(stmt, 1, request->tenant_id, request->entitlement_id);
        return stmt;
    }
    bool one = request->tenant_id.len > 0, rare = request->state >= 0 && request->state != GOVERNOR_ACTIVE;
    sqlite3_stmt *stmt = db_stmt(conn, page_sql[one][rare][request->descending]);
    /* Ids are never empty and made of characters below DEL. */
    struct span edge = request->descending ? SPAN("\x7f") : SPAN("");
    bool begins = one ? span_cmp(at->tenant, request->tenant_id) != 0 : at->tenant.len == 0;
    bind_key(stmt, 1, one ? request->tenant_id : begins ? edge : at->tenant, begins ? edge : at->entitlement);
    if (rare)
        sqlite3_bind_int64(stmt, 3, request->state);
    return stmt;
}

static int count_waiting(struct db_conn *conn, struct store_governors *request, struct governor_item *item)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT count(*) FROM signals INDEXED BY signals_line WHERE partition = ?1"
                                       " AND status = 0 AND tenant = ?2 AND entitlement = ?3 AND line IS NOT NULL");
    sqlite3_bind_int64(stmt, 1, item->partition);
    bind_key(stmt, 2, item->tenant_id, item->entitlement_id);
    return stmt_number(stmt, &request->req, (int64_t *)&item->waiting);
}

static int read_item(struct db_conn *conn, struct store_governors *request, sqlite3_stmt *stmt,
                     struct governor_page *page)
{
    struct row row = row_of(stmt, &request->req.arena);
    struct governor_item item = {0};
    page->tenant = item.tenant_id = row_text(&row, STORE_ID_MAX);
    page->entitlement = item.entitlement_id = row_text(&row, STORE_ID_MAX);
    item.partition = (uint32_t)row_int(&row, 0, STORE_PARTITIONS_MAX - 1);
    governor_read(&row, &item.record);
    int rc = row_check(&row, &request->req);
    if (rc < 0)
        return rc;
    if (request->state >= 0 && (int)item.record.state != request->state) {
        governor_record_done(&item.record);
        return 0;
    }
    rc = count_waiting(conn, request, &item);
    if (rc < 0)
        governor_record_done(&item.record);
    else
        *(struct governor_item *)list_add(&page->items, &request->req.arena, sizeof(item)) = item;
    return rc;
}

static void drop_items(struct governor_page *page)
{
    struct governor_item *items = page->items.items;
    for (size_t i = 0; i < page->items.count; i++)
        governor_record_done(&items[i].record);
    page->items.count = 0;
}

static int governors_go_on(struct db_conn *conn, struct op *op)
{
    struct store_governors *request = (struct store_governors *)op->request;
    struct governor_page *page = op->state;
    sqlite3_stmt *stmt = page_stmt(conn, request, page);
    int rc, scanned = 0;
    while ((rc = db_step(stmt)) == 1) {
        request->more = page->items.count == request->limit;
        if (!request->more && scanned++ == GOVERNORS_SCAN_MAX)
            op->then = governors_go_on; /* others first */
        if (request->more || op->then) {
            rc = 0;
            break;
        }
        if ((rc = read_item(conn, request, stmt, page)) < 0)
            break;
    }
    if (rc < 0)
        drop_items(page);
    request->governors = page->items.items;
    request->governor_count = page->items.count;
    return rc;
}

int governors_run(struct db_conn *conn, struct op *op)
{
    struct store_governors *request = (struct store_governors *)op->request;
    request->governors = NULL;
    request->governor_count = 0;
    request->more = false;
    struct governor_page *page = arena_alloc(&request->req.arena, sizeof(*page));
    *page = (struct governor_page){.tenant = request->after_tenant, .entitlement = request->after_entitlement};
    op->state = page;
    return governors_go_on(conn, op);
}

/* --- totals ------------------------------------------------------------------------------------------------------ */

static int sum_partitions(struct db_conn *conn, struct store_totals *request)
{
    sqlite3_stmt *stmt =
        db_stmt(conn, "SELECT coalesce(sum(taken), 0), coalesce(sum(requeued), 0), coalesce(sum(ended), 0),"
                      " coalesce(sum(duplicates), 0), coalesce(sum(waiting), 0), coalesce(sum(acting), 0),"
                      " coalesce(sum(governors), 0), (SELECT coalesce(sum(next - 1), 0) FROM outcome_numbers) -"
                      " (SELECT coalesce(sum(receipted), 0) FROM outcome_cursors),"
                      " (SELECT coalesce(sum(size), 0) FROM shards), (SELECT count(*) FROM chains),"
                      " (SELECT " MISSING_FRAMES " FROM " INTAKE_BOOTS ") FROM partitions");
    int rc = db_step(stmt);
    if (rc < 0)
        return rc;
    struct row row = row_of(stmt, NULL);
    request->taken = row_count(&row);
    request->requeued = row_count(&row);
    request->ended = row_count(&row);
    request->duplicates = row_count(&row);
    request->waiting = row_count(&row);
    request->acting = row_count(&row);
    request->governors = row_count(&row);
    request->outcomes_open = row_count(&row);
    request->receipts = row_count(&row);
    request->chains = row_count(&row);
    request->missing = row_count(&row);
    return row_check(&row, &request->req);
}

static int count_deadletters(struct db_conn *conn, struct store_totals *request)
{
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT class, sum(open) FROM deadletter_counts GROUP BY class");
    int rc;
    memset(request->deadletters, 0, sizeof(request->deadletters));
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        int64_t class = row_int(&row, 0, CLASS_COUNT - 1);
        request->deadletters[class] = row_count(&row);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
    }
    return rc;
}

int totals_run(struct db_conn *conn, struct op *op)
{
    struct store_totals *request = (struct store_totals *)op->request;
    int rc = sum_partitions(conn, request);
    if (rc == 0)
        rc = count_deadletters(conn, request);
    if (rc < 0)
        return rc;
    memset(request->governors_in, 0, sizeof(request->governors_in));
    uint64_t active = request->governors;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT state, count(*) FROM governors INDEXED BY governors_state"
                                       " WHERE state <> 1 GROUP BY state");
    while ((rc = db_step(stmt)) == 1) {
        struct row row = row_of(stmt, NULL);
        int64_t state = row_int(&row, 0, GOVERNOR_STATE_COUNT - 1);
        uint64_t count = row_count(&row);
        if (count > active)
            row_spoil(&row);
        if ((rc = row_check(&row, &request->req)) < 0)
            return rc;
        request->governors_in[state] = count;
        active -= count;
    }
    request->governors_in[GOVERNOR_ACTIVE] = active;
    return rc;
}
