/* Planted bugs in what jidoka asks of the store, and in the store's one transaction.
 *
 *   dedupe_skipped      every identity is said to be unknown, and an insert replaces the row that exists
 *   commit_rolled_back  some commits are reported done and rolled back
 *   outcome_dropped     some commits lose their last outcome
 *   outcomes_swapped    outcomes of two tenants carry each other's text
 *   row_dropped         some commits lose their last signal row
 *   governor_lost       some updates of governors are not written
 *   counter_wrong       some commits count one signal too many
 *   quota_ignored       governors forget what was used before each step */
#include "shim.h"

#include "jidoka/governor/governor.h"
#include "store/sqlite/internal.h"

void __real_store_lookup(struct store *store, struct store_lookup *request);
void __wrap_store_lookup(struct store *store, struct store_lookup *request);
void __real_store_commit(struct store *store, struct store_commit *request);
void __wrap_store_commit(struct store *store, struct store_commit *request);
int __real_commit_run(struct db_conn *conn, struct op *op);
int __wrap_commit_run(struct db_conn *conn, struct op *op);
int __real_signals_write(struct db_conn *conn, struct store_commit *request);
int __wrap_signals_write(struct db_conn *conn, struct store_commit *request);
int __real_governors_write(struct db_conn *conn, struct store_commit *request);
int __wrap_governors_write(struct db_conn *conn, struct store_commit *request);
int __real_outcomes_write(struct db_conn *conn, struct store_commit *request);
int __wrap_outcomes_write(struct db_conn *conn, struct store_commit *request);
void __real_governor_step(struct governor_record *record, const struct governor_env *env,
                          const struct governor_input *input, struct governor_now now, struct governor_result *ret);
void __wrap_governor_step(struct governor_record *record, const struct governor_env *env,
                          const struct governor_input *input, struct governor_now now, struct governor_result *ret);

static store_done *lookup_done, *commit_done; /* of the caller; the same for every request with signals */

static void on_lookup(struct store_request *req, int status)
{
    struct store_lookup *request = (struct store_lookup *)req;
    for (size_t i = 0; i < request->signal_count; i++)
        request->signals[i].found = request->signals[i].same_hash = request->signals[i].conflict_known = false;
    lookup_done(req, status);
}

void __wrap_store_lookup(struct store *store, struct store_lookup *request)
{
    if (shim_bug("dedupe_skipped") && request->signal_count) {
        lookup_done = request->req.done;
        request->req.done = on_lookup;
    }
    __real_store_lookup(store, request);
}

static void on_commit(struct store_request *req, int status)
{
    commit_done(req, status == -ECANCELED ? 0 : status);
}

void __wrap_store_commit(struct store *store, struct store_commit *request)
{
    if (shim_bug("counter_wrong") && shim_sometimes(20))
        request->taken++;
    if (shim_bug("commit_rolled_back")) {
        commit_done = request->req.done;
        request->req.done = on_commit;
    }
    __real_store_commit(store, request);
}

int __wrap_commit_run(struct db_conn *conn, struct op *op)
{
    int rc = __real_commit_run(conn, op);
    return rc == 0 && shim_bug("commit_rolled_back") && shim_sometimes(20) ? -ECANCELED : rc;
}

static int delete_row(struct db_conn *conn, const struct identity *identity)
{
    sqlite3_stmt *stmt = db_stmt(conn, "DELETE FROM signals WHERE tenant = ?1 AND id = ?2 AND entitlement = ?3"
                                       " AND redrive = ?4 AND conflict = x''");
    bind_span(stmt, 1, identity->tenant_id);
    bind_span(stmt, 2, identity->id);
    bind_span(stmt, 3, identity->entitlement_id);
    sqlite3_bind_int64(stmt, 4, identity->redrive);
    return db_run(stmt);
}

int __wrap_signals_write(struct db_conn *conn, struct store_commit *request)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && shim_bug("dedupe_skipped") && i < request->signal_count; i++)
        if (request->signals[i].insert)
            rc = delete_row(conn, &request->signals[i].row.identity);
    size_t all = request->signal_count;
    if (shim_bug("row_dropped") && all && request->signals[all - 1].insert && shim_sometimes(20))
        request->signal_count--;
    if (rc == 0)
        rc = __real_signals_write(conn, request);
    request->signal_count = all;
    return rc;
}

int __wrap_governors_write(struct db_conn *conn, struct store_commit *request)
{
    size_t all = request->governor_count;
    if (shim_bug("governor_lost") && all && !request->governors[all - 1].insert && shim_sometimes(5))
        request->governor_count--;
    int rc = __real_governors_write(conn, request);
    request->governor_count = all;
    return rc;
}

static void swap_texts(struct store_commit *request)
{
    for (size_t i = 1; i < request->outcome_count; i++) {
        struct outcome *a = &request->outcomes[i - 1], *b = &request->outcomes[i];
        if (span_eq(a->tenant_id, b->tenant_id))
            continue;
        struct span text = a->text;
        a->text = b->text;
        b->text = text;
        return;
    }
}

int __wrap_outcomes_write(struct db_conn *conn, struct store_commit *request)
{
    size_t all = request->outcome_count;
    if (shim_bug("outcomes_swapped"))
        swap_texts(request);
    if (shim_bug("outcome_dropped") && all && shim_sometimes(20))
        request->outcome_count--;
    int rc = __real_outcomes_write(conn, request);
    request->outcome_count = all;
    return rc;
}

void __wrap_governor_step(struct governor_record *record, const struct governor_env *env,
                          const struct governor_input *input, struct governor_now now, struct governor_result *ret)
{
    if (shim_bug("quota_ignored") && input->kind == INPUT_SIGNAL)
        record->quota_used = 0;
    __real_governor_step(record, env, input, now, ret);
}
