/* The backend's frame: links, and requests as jobs of the database thread. A link belongs to one thread; an op lives
 * from the request's submission until its done, or until the link closes. */
#include "store/sqlite/internal.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int op_error(struct store_request *request, int code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        request->error = arena_copy(&request->arena, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
    return code;
}

static int op_execute(struct db_conn *conn, struct db_job *job)
{
    struct op *op = (struct op *)job;
    op->then = NULL;
    int rc = op->run(conn, op);
    if (rc == -EUCLEAN) {
        if (!op->request->error)
            (void)op_error(op->request, rc, "%s", db_damage(conn));
        db_damage_say(conn, op->request->error);
        return rc;
    }
    bool told = op->request->error || rc == -ESTALE || rc == -EINVAL || rc == -ENOENT;
    if (rc >= 0 || told)
        return rc;
    bool known = sqlite3_errcode(db_handle(conn)) != SQLITE_OK;
    return op_error(op->request, rc, "the database: %s", known ? sqlite3_errmsg(db_handle(conn)) : error_text(rc));
}

static void op_unlink(struct op *op)
{
    struct store_link *link = op->link;
    if (op->next)
        op->next->prev = op->prev;
    if (op->prev)
        op->prev->next = op->next;
    else
        link->in_flight = op->next;
    op->next = link->spare;
    link->spare = op;
}

static void op_done(struct db_job *job, int status)
{
    struct op *op = (struct op *)job;
    if (status == 0 && op->then) {
        op->run = op->then;
        op->job.read = true;
        db_submit(op->link->port, &op->job);
        return;
    }
    struct store_request *request = op->request;
    request->op = NULL;
    op_unlink(op);
    request->done(request, status);
}

void op_submit(struct store_link *link, struct store_request *request, op_run *run, bool read)
{
    struct op *op = link->spare;
    if (op)
        link->spare = op->next;
    else
        op = xmalloc(sizeof(*op));
    *op = (struct op){.job = {.run = op_execute, .done = op_done, .read = read},
                      .link = link,
                      .request = request,
                      .run = run,
                      .next = link->in_flight};
    if (op->next)
        op->next->prev = op;
    link->in_flight = op;
    request->op = op;
    db_submit(link->port, &op->job);
}

static int link_open(struct store_backend *backend, struct store_link **ret, struct error *err)
{
    struct sqlite_store *store = (struct sqlite_store *)backend;
    struct db_port *port;
    int rc = db_port_open(store->db, &port, err);
    if (rc < 0)
        return rc;
    struct store_link *link = xcalloc(1, sizeof(*link));
    *link = (struct store_link){.store = store, .port = port};
    *ret = link;
    return 0;
}

static int link_poll_fd(const struct store_link *link)
{
    return db_port_fd(link->port);
}

static void link_dispatch(struct store_link *link)
{
    db_port_dispatch(link->port);
}

static void ops_free(struct op *op)
{
    for (struct op *next; op; op = next) {
        next = op->next;
        free(op);
    }
}

static void link_close(struct store_link *link)
{
    db_port_close(link->port);
    ops_free(link->in_flight);
    ops_free(link->spare);
    free(link);
}

static int refuse_run(struct db_conn *conn, struct op *op)
{
    (void)conn, (void)op;
    return -EINVAL;
}

static void link_refuse(struct store_link *link, struct store_request *request)
{
    op_submit(link, request, refuse_run, true);
}

static void link_on_outcomes(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    db_listen(link->port, OUTCOMES_CHANNEL, wake, ctx);
}

static void link_on_commands(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    db_listen(link->port, COMMANDS_CHANNEL, wake, ctx);
}

static void store_free(struct store_backend *backend)
{
    free(backend);
}

#define REQUEST(name, read)                                                                                            \
    static void submit_##name(struct store_link *link, struct store_##name *request)                                   \
    {                                                                                                                  \
        op_submit(link, &request->req, name##_run, read);                                                              \
    }
REQUEST(lease, false)
REQUEST(load, true)
REQUEST(lookup, true)
REQUEST(waiting, true)
REQUEST(due, true)
REQUEST(commit, false)
REQUEST(outcome_numbers, true)
REQUEST(shards, false)
REQUEST(outcomes, true)
REQUEST(chains, true)
REQUEST(append, false)
REQUEST(signal, true)
REQUEST(receipt, true)
REQUEST(receipts, true)
REQUEST(tiles, true)
REQUEST(governors, true)
REQUEST(deadletter, true)
REQUEST(deadletters, true)
REQUEST(command_add, false)
REQUEST(command, true)
REQUEST(commands, true)
REQUEST(command_list, true)
REQUEST(partitions, true)
REQUEST(totals, true)
REQUEST(fix, false)
REQUEST(sweep, false)
#undef REQUEST

#define SUBMIT(name, NAME) .name = submit_##name,
static const struct store_backend_ops sqlite_ops = {.name = "sqlite",
                                                    .link_open = link_open,
                                                    .poll_fd = link_poll_fd,
                                                    .dispatch = link_dispatch,
                                                    .link_close = link_close,
                                                    .refuse = link_refuse,
                                                    .on_outcomes = link_on_outcomes,
                                                    .on_commands = link_on_commands,
                                                    .free = store_free,
                                                    STORE_REQUESTS(SUBMIT)};
#undef SUBMIT

struct reset {
    struct db_job job;
    bool done;
    int status;
};

static int reset_run(struct db_conn *conn, struct db_job *job)
{
    (void)job;
    return leases_forget(conn);
}

static void reset_done(struct db_job *job, int status)
{
    struct reset *reset = (struct reset *)job;
    reset->done = true;
    reset->status = status;
}

static int forget_leases(struct db *db, struct error *err)
{
    struct db_port *port;
    int rc = db_port_open(db, &port, err);
    if (rc < 0)
        return rc;
    struct reset reset = {.job = {.run = reset_run, .done = reset_done}};
    db_submit(port, &reset.job);
    while (!reset.done) {
        struct pollfd fd = {.fd = db_port_fd(port), .events = POLLIN};
        poll(&fd, 1, -1);
        db_port_dispatch(port);
    }
    db_port_close(port);
    return reset.status ? error_set(err, reset.status, "the store's leases: %s", error_text(reset.status)) : 0;
}

int store_sqlite_new(struct db *db, struct store_backend **ret, struct error *err)
{
    int rc = forget_leases(db, err);
    if (rc < 0)
        return rc;
    struct sqlite_store *store = xcalloc(1, sizeof(*store));
    *store = (struct sqlite_store){.base = {.ops = &sqlite_ops}, .db = db};
    *ret = &store->base;
    return 0;
}
