/* A request that is to be answered otherwise than the store would gets a done of ours; what failed before it was asked
 * travels as a refused request, so that its answer comes from a later dispatch like any other. */
#include "support/faulty_store.h"

#include <stdlib.h>
#include <sys/queue.h>

struct faulty_link;

struct detour { /* a request with our done, or one held */
    TAILQ_ENTRY(detour) link;
    struct faulty_link *owner;
    struct store_request *request;
    void (*submit)(struct faulty_link *link, struct store_request *request); /* of a held one */
    store_done *done;
    void *ctx;
    int status;
};

TAILQ_HEAD(detours, detour);

struct faulty_link {
    TAILQ_ENTRY(faulty_link) link;
    struct faulty_store *store;
    struct store_link *inner;
    struct detours away, held;
};

struct faulty_store {
    struct store_backend base;
    struct store_backend *inner;
    struct faulty_fault faults[FAULTY_OPS + 1];
    unsigned seen[FAULTY_OPS + 1];
    unsigned held;
    TAILQ_HEAD(, faulty_link) links;
};

static struct faulty_link *faulty_link(const struct store_link *link)
{
    return (struct faulty_link *)link;
}

static void on_detour(struct store_request *request, int status)
{
    struct detour *detour = request->ctx;
    (void)status;
    request->done = detour->done;
    request->ctx = detour->ctx;
    request->error = "scripted";
    status = detour->status;
    TAILQ_REMOVE(&detour->owner->away, detour, link);
    free(detour);
    request->done(request, status);
}

static struct detour *detour_new(struct faulty_link *link, struct store_request *request, int status)
{
    struct detour *detour = xcalloc(1, sizeof(*detour));
    *detour = (struct detour){
        .owner = link, .request = request, .done = request->done, .ctx = request->ctx, .status = status};
    return detour;
}

static void divert(struct faulty_link *link, struct store_request *request, int status)
{
    struct detour *detour = detour_new(link, request, status);
    TAILQ_INSERT_TAIL(&link->away, detour, link);
    request->done = on_detour;
    request->ctx = detour;
}

/* Its request is as if nobody waited for it; the handle frees it. */
static void on_muted(struct store_request *request, int status)
{
    (void)request, (void)status;
}

static enum faulty_kind next_fault(struct faulty_store *store, enum faulty_op op)
{
    struct faulty_fault *fault = &store->faults[op];
    store->seen[op]++;
    if (fault->kind == FAULT_NONE || fault->repeat == 0)
        return FAULT_NONE;
    if (fault->countdown > 0) {
        fault->countdown--;
        return FAULT_NONE;
    }
    fault->repeat--;
    return fault->kind;
}

static void submit(struct store_link *outer, struct store_request *request, enum faulty_op op,
                   void (*inner_submit)(struct faulty_link *link, struct store_request *request))
{
    struct faulty_link *link = faulty_link(outer);
    struct faulty_store *store = link->store;
    enum faulty_kind any = next_fault(store, FAULTY_ANY), kind = next_fault(store, op);
    enum faulty_op by = any == FAULT_NONE ? op : FAULTY_ANY;
    switch (any == FAULT_NONE ? kind : any) {
    case FAULT_MUTE:
        store->held++;
        divert(link, request, 0);
        request->done = on_muted;
        break;
    case FAULT_HOLD:
        store->held++;
        struct detour *held = detour_new(link, request, 0);
        held->submit = inner_submit;
        TAILQ_INSERT_TAIL(&link->held, held, link);
        return;
    case FAULT_BEFORE:
        divert(link, request, store->faults[by].status);
        store->inner->ops->refuse(link->inner, request);
        return;
    case FAULT_AFTER:
        divert(link, request, store->faults[by].status);
        break;
    default:
        break;
    }
    inner_submit(link, request);
}

void faulty_release(struct faulty_store *store)
{
    struct faulty_link *link;
    TAILQ_FOREACH(link, &store->links, link)
    {
        struct detour *held;
        while ((held = TAILQ_FIRST(&link->held))) {
            TAILQ_REMOVE(&link->held, held, link);
            store->held--;
            held->submit(link, held->request);
            free(held);
        }
    }
}

#define WRAP(name, op)                                                                                                 \
    static void inner_##name(struct faulty_link *link, struct store_request *request)                                  \
    {                                                                                                                  \
        link->store->inner->ops->name(link->inner, (struct store_##name *)request);                                    \
    }                                                                                                                  \
    static void faulty_##name(struct store_link *outer, struct store_##name *request)                                  \
    {                                                                                                                  \
        submit(outer, &request->req, op, inner_##name);                                                                \
    }
#define PASS(name)                                                                                                     \
    static void faulty_##name(struct store_link *outer, struct store_##name *request)                                  \
    {                                                                                                                  \
        struct faulty_link *link = faulty_link(outer);                                                                 \
        link->store->inner->ops->name(link->inner, request);                                                           \
    }
WRAP(lease, FAULTY_LEASE)
WRAP(load, FAULTY_LOAD)
WRAP(lookup, FAULTY_LOOKUP)
WRAP(waiting, FAULTY_WAITING)
WRAP(due, FAULTY_DUE)
WRAP(commit, FAULTY_COMMIT)
WRAP(outcome_numbers, FAULTY_NUMBERS)
PASS(shards)
PASS(outcomes)
PASS(chains)
PASS(append)
PASS(signal)
PASS(receipt)
PASS(receipts)
PASS(governors)
PASS(deadletter)
PASS(deadletters)
PASS(command_add)
PASS(command)
WRAP(commands, FAULTY_COMMANDS)
PASS(totals)
PASS(fix)
PASS(sweep)

static int link_open(struct store_backend *backend, struct store_link **ret, struct error *err)
{
    struct faulty_store *store = (struct faulty_store *)backend;
    struct faulty_link *link = xcalloc(1, sizeof(*link));
    int rc = store->inner->ops->link_open(store->inner, &link->inner, err);
    if (rc < 0) {
        free(link);
        return rc;
    }
    link->store = store;
    TAILQ_INIT(&link->away);
    TAILQ_INIT(&link->held);
    TAILQ_INSERT_TAIL(&store->links, link, link);
    *ret = (struct store_link *)link;
    return 0;
}

static void drop(struct detours *detours)
{
    struct detour *detour;
    while ((detour = TAILQ_FIRST(detours))) {
        TAILQ_REMOVE(detours, detour, link);
        free(detour);
    }
}

static void link_close(struct store_link *outer)
{
    struct faulty_link *link = faulty_link(outer);
    struct detour *held;
    link->store->inner->ops->link_close(link->inner);
    TAILQ_FOREACH(held, &link->held, link)
    link->store->held--;
    drop(&link->away);
    drop(&link->held);
    TAILQ_REMOVE(&link->store->links, link, link);
    free(link);
}

static int poll_fd(const struct store_link *outer)
{
    const struct faulty_link *link = faulty_link(outer);
    return link->store->inner->ops->poll_fd(link->inner);
}

static void dispatch(struct store_link *outer)
{
    struct faulty_link *link = faulty_link(outer);
    link->store->inner->ops->dispatch(link->inner);
}

static void refuse(struct store_link *outer, struct store_request *request)
{
    struct faulty_link *link = faulty_link(outer);
    link->store->inner->ops->refuse(link->inner, request);
}

static void on_outcomes(struct store_link *outer, void (*wake)(void *ctx), void *ctx)
{
    struct faulty_link *link = faulty_link(outer);
    link->store->inner->ops->on_outcomes(link->inner, wake, ctx);
}

static void on_commands(struct store_link *outer, void (*wake)(void *ctx), void *ctx)
{
    struct faulty_link *link = faulty_link(outer);
    link->store->inner->ops->on_commands(link->inner, wake, ctx);
}

static void backend_free(struct store_backend *backend)
{
    free(backend);
}

static const struct store_backend_ops faulty_ops = {
    .name = "faulty",
    .link_open = link_open,
    .poll_fd = poll_fd,
    .dispatch = dispatch,
    .link_close = link_close,
    .refuse = refuse,
    .on_outcomes = on_outcomes,
    .on_commands = on_commands,
    .lease = faulty_lease,
    .load = faulty_load,
    .lookup = faulty_lookup,
    .waiting = faulty_waiting,
    .due = faulty_due,
    .commit = faulty_commit,
    .outcome_numbers = faulty_outcome_numbers,
    .shards = faulty_shards,
    .outcomes = faulty_outcomes,
    .chains = faulty_chains,
    .append = faulty_append,
    .signal = faulty_signal,
    .receipt = faulty_receipt,
    .receipts = faulty_receipts,
    .governors = faulty_governors,
    .deadletter = faulty_deadletter,
    .deadletters = faulty_deadletters,
    .command_add = faulty_command_add,
    .command = faulty_command,
    .commands = faulty_commands,
    .totals = faulty_totals,
    .fix = faulty_fix,
    .sweep = faulty_sweep,
    .free = backend_free,
};

struct faulty_store *faulty_store_new(struct store_backend *inner)
{
    struct faulty_store *store = xcalloc(1, sizeof(*store));
    store->base.ops = &faulty_ops;
    store->inner = inner;
    TAILQ_INIT(&store->links);
    return store;
}

struct store_backend *faulty_store_backend(struct faulty_store *store)
{
    return &store->base;
}

void faulty_set(struct faulty_store *store, enum faulty_op op, struct faulty_fault fault)
{
    store->faults[op] = fault;
}

unsigned faulty_seen(const struct faulty_store *store, enum faulty_op op)
{
    return store->seen[op];
}

unsigned faulty_held(const struct faulty_store *store)
{
    return store->held;
}

void faulty_store_free(struct faulty_store *store)
{
    if (store)
        store_backend_free(&store->base);
}
