/* Between the layers and the store: planted bugs change requests on the way in and answers on the way out, and what the
 * layers were told is kept as evidence. One fault is injected here: a commit that is done, but answered -EIO. */
#include "sim/shims.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>

struct shim_store {
    struct store_backend base;
    struct world *world;
    struct store_backend *inner;
};

struct shim_store_link {
    struct shim_store *store;
    struct store_link *inner;
    unsigned owner; /* process and start */
    struct process *process;
    TAILQ_HEAD(, ticket) tickets;
};

static struct shim_store_link *shim_link(const struct store_link *link)
{
    return (struct shim_store_link *)link;
}

static void note_commit(const struct ticket *ticket)
{
    const struct store_commit *sent = (const struct store_commit *)ticket->request;
    const struct store_commit *meant = ticket->changed ? &ticket->saved.commit : sent;
    struct acked_commit commit = {.partition = meant->partition,
                                  .epoch = meant->epoch,
                                  .batch = meant->batch,
                                  .clock_ms = meant->clock_ms,
                                  .owner = ticket->owner->owner};
    evidence_commit(ticket->world, &commit);
    for (size_t i = 0; i < sent->governor_count; i++)
        if (sent->governors[i].record->pending)
            evidence_pending(ticket->world, &sent->governors[i]);
}

/* Whoever has stepped what kills, and is about to commit that, dies of it first. */
static void meet_killer(struct shim_store_link *self, const struct store_commit *commit)
{
    const struct sent *killer = self->store->world->killer;
    for (size_t i = 0; killer && i < commit->signal_count; i++) {
        const struct signal_row *row = &commit->signals[i].row;
        bool stepped = !row->conflict && !span_is(row->reason, "poison");
        if (!stepped || memcmp(row->sha256, killer->signal.sha256, SHA256_SIZE) != 0)
            continue;
        self->process->doomed = true;
        world_trace(self->store->world, "%s meets %.*s, which would be %s %.*s", self->process->name,
                    (int)row->identity.id.len, row->identity.id.ptr, signal_status_names[row->status],
                    (int)row->reason.len, row->reason.ptr);
    }
}

static void ticket_free(struct ticket *ticket)
{
    TAILQ_REMOVE(&ticket->owner->tickets, ticket, link);
    arena_done(&ticket->arena);
    free(ticket);
}

static void restore(struct ticket *ticket)
{
    struct store_request req = *ticket->request;
    if (!ticket->changed)
        return;
    if (ticket->op == OP_COMMIT) {
        *(struct store_commit *)ticket->request = ticket->saved.commit;
    } else if (ticket->op == OP_APPEND) {
        struct store_append *append = (struct store_append *)ticket->request;
        struct shard_head committed = append->committed;
        *append = ticket->saved.append;
        append->committed = committed;
    }
    *ticket->request = req;
}

static void on_done(struct store_request *request, int status)
{
    struct ticket *ticket = request->ctx;
    struct world *world = ticket->world;
    world_active(world);
    if (ticket->op == OP_COMMIT && status == 0 && random_chance(&world->random, world->faults.commit_reply_lost))
        status = -EIO;
    status = bugs_after(ticket, status);
    if (ticket->op == OP_COMMIT && status == 0)
        note_commit(ticket);
    if (ticket->op == OP_COMMIT && status)
        world_trace(world, "a commit of partition %u is answered %d (%s)", ((struct store_commit *)request)->partition,
                    status, request->error ? request->error : "");
    restore(ticket);
    request->done = ticket->done;
    request->ctx = ticket->ctx;
    ticket_free(ticket);
    request->done(request, status);
}

static struct ticket *ticket_new(struct store_link *link, enum store_op op, struct store_request *request)
{
    struct shim_store_link *self = shim_link(link);
    struct ticket *ticket = xcalloc(1, sizeof(*ticket));
    *ticket = (struct ticket){.owner = self,
                              .world = self->store->world,
                              .request = request,
                              .op = op,
                              .done = request->done,
                              .ctx = request->ctx};
    TAILQ_INSERT_TAIL(&self->tickets, ticket, link);
    if (op == OP_COMMIT)
        meet_killer(self, (const struct store_commit *)request);
    bugs_before(ticket);
    request->done = on_done;
    request->ctx = ticket;
    return ticket;
}

#define WRAP(name, op)                                                                                                 \
    static void shim_##name(struct store_link *link, struct store_##name *request)                                     \
    {                                                                                                                  \
        struct shim_store_link *self = shim_link(link);                                                                \
        (void)ticket_new(link, op, &request->req);                                                                     \
        self->store->inner->ops->name(self->inner, request);                                                           \
    }
WRAP(lease, OP_LEASE)
WRAP(load, OP_LOAD)
WRAP(lookup, OP_LOOKUP)
WRAP(waiting, OP_WAITING)
WRAP(due, OP_DUE)
WRAP(commit, OP_COMMIT)
WRAP(outcome_numbers, OP_OUTCOME_NUMBERS)
WRAP(shards, OP_SHARDS)
WRAP(outcomes, OP_OUTCOMES)
WRAP(chains, OP_CHAINS)
WRAP(append, OP_APPEND)
WRAP(signal, OP_OTHER)
WRAP(receipt, OP_OTHER)
WRAP(receipts, OP_OTHER)
WRAP(governors, OP_OTHER)
WRAP(deadletter, OP_OTHER)
WRAP(deadletters, OP_OTHER)
WRAP(command_add, OP_OTHER)
WRAP(command, OP_OTHER)
WRAP(commands, OP_OTHER)
WRAP(totals, OP_OTHER)
WRAP(fix, OP_OTHER)
WRAP(sweep, OP_OTHER)

static int link_open(struct store_backend *backend, struct store_link **ret, struct error *err)
{
    struct shim_store *store = (struct shim_store *)backend;
    struct shim_store_link *self = xcalloc(1, sizeof(*self));
    int rc = store->inner->ops->link_open(store->inner, &self->inner, err);
    if (rc < 0) {
        free(self);
        return rc;
    }
    self->store = store;
    self->owner = ++store->world->store_links;
    self->process = store->world->starting;
    TAILQ_INIT(&self->tickets);
    *ret = (struct store_link *)self;
    return 0;
}

static void link_close(struct store_link *link)
{
    struct shim_store_link *self = shim_link(link);
    self->store->inner->ops->link_close(self->inner);
    struct ticket *ticket;
    while ((ticket = TAILQ_FIRST(&self->tickets))) {
        restore(ticket); /* what a bug put in the request's place goes with the ticket */
        ticket_free(ticket);
    }
    free(self);
}

static int poll_fd(const struct store_link *link)
{
    const struct shim_store_link *self = shim_link(link);
    return self->store->inner->ops->poll_fd(self->inner);
}

static void dispatch(struct store_link *link)
{
    struct shim_store_link *self = shim_link(link);
    self->store->inner->ops->dispatch(self->inner);
}

static void refuse(struct store_link *link, struct store_request *request)
{
    struct shim_store_link *self = shim_link(link);
    self->store->inner->ops->refuse(self->inner, request);
}

static void on_outcomes(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    struct shim_store_link *self = shim_link(link);
    self->store->inner->ops->on_outcomes(self->inner, wake, ctx);
}

static void on_commands(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    struct shim_store_link *self = shim_link(link);
    self->store->inner->ops->on_commands(self->inner, wake, ctx);
}

static void backend_free(struct store_backend *backend)
{
    free(backend);
}

static const struct store_backend_ops shim_ops = {
    .name = "shim",
    .link_open = link_open,
    .poll_fd = poll_fd,
    .dispatch = dispatch,
    .link_close = link_close,
    .refuse = refuse,
    .on_outcomes = on_outcomes,
    .on_commands = on_commands,
    .lease = shim_lease,
    .load = shim_load,
    .lookup = shim_lookup,
    .waiting = shim_waiting,
    .due = shim_due,
    .commit = shim_commit,
    .outcome_numbers = shim_outcome_numbers,
    .shards = shim_shards,
    .outcomes = shim_outcomes,
    .chains = shim_chains,
    .append = shim_append,
    .signal = shim_signal,
    .receipt = shim_receipt,
    .receipts = shim_receipts,
    .governors = shim_governors,
    .deadletter = shim_deadletter,
    .deadletters = shim_deadletters,
    .command_add = shim_command_add,
    .command = shim_command,
    .commands = shim_commands,
    .totals = shim_totals,
    .fix = shim_fix,
    .sweep = shim_sweep,
    .free = backend_free,
};

struct store_backend *shim_store_new(struct world *world, struct store_backend *inner)
{
    struct shim_store *store = xcalloc(1, sizeof(*store));
    *store = (struct shim_store){.base = {.ops = &shim_ops}, .world = world, .inner = inner};
    return &store->base;
}
