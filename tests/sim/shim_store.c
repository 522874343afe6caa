/* Between the layers and the store: planted bugs change requests on the way in and answers on the way out, and what the
 * layers were told is kept as evidence. One fault is injected here: a commit that is done, but answered -EIO. */
#include "sim/shims.h"

#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>

struct shim_store {
    struct store_wrap wrap;
    struct world *world;
};

struct shim_store_link {
    struct store_wrap_link wrap;
    unsigned owner; /* process and start */
    struct process *process;
    TAILQ_HEAD(, ticket) tickets;
};

static struct world *world_of(const struct shim_store_link *link)
{
    return ((struct shim_store *)link->wrap.wrap)->world;
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
    const struct sent *killer = world_of(self)->killer;
    for (size_t i = 0; killer && i < commit->signal_count; i++) {
        const struct signal_row *row = &commit->signals[i].row;
        bool stepped = !row->conflict && !span_is(row->reason, "poison");
        if (!stepped || memcmp(row->sha256, killer->signal.sha256, SHA256_SIZE) != 0)
            continue;
        self->process->doomed = true;
        world_trace(world_of(self), "%s meets %.*s, which would be %s %.*s", self->process->name,
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

static void on_submit(struct store_wrap_link *link, enum store_op op, struct store_request *request)
{
    struct shim_store_link *self = (struct shim_store_link *)link;
    struct ticket *ticket = xcalloc(1, sizeof(*ticket));
    *ticket = (struct ticket){.owner = self,
                              .world = world_of(self),
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
    store_wrap_pass(link, op, request);
}

static void on_opened(struct store_wrap_link *link)
{
    struct shim_store_link *self = (struct shim_store_link *)link;
    self->owner = ++world_of(self)->store_links;
    self->process = world_of(self)->starting;
    TAILQ_INIT(&self->tickets);
}

static void on_closed(struct store_wrap_link *link)
{
    struct shim_store_link *self = (struct shim_store_link *)link;
    struct ticket *ticket;
    while ((ticket = TAILQ_FIRST(&self->tickets))) {
        restore(ticket); /* what a bug put in the request's place goes with the ticket */
        ticket_free(ticket);
    }
}

static const struct store_wrap_hooks hooks = {
    .link_size = sizeof(struct shim_store_link), .opened = on_opened, .closed = on_closed, .submit = on_submit};

struct store_backend *shim_store_new(struct world *world, struct store_backend *inner)
{
    struct shim_store *store = xcalloc(1, sizeof(*store));
    store_wrap_init(&store->wrap, &hooks, inner);
    store->world = world;
    return &store->wrap.base;
}
