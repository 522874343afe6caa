/* A request that is to be answered otherwise than the store would gets a done of ours; what failed before it was asked
 * travels as a refused request, so that its answer comes from a later dispatch like any other. */
#include "support/faulty_store.h"

#include "common/mem.h"

#include <stdlib.h>
#include <sys/queue.h>

struct faulty_link;

struct detour { /* a request with our done, or one held */
    TAILQ_ENTRY(detour) link;
    struct faulty_link *owner;
    struct store_request *request;
    enum store_op op; /* of a held one */
    store_done *done;
    void *ctx;
    int status;
};

TAILQ_HEAD(detours, detour);

struct faulty_link {
    struct store_wrap_link wrap;
    TAILQ_ENTRY(faulty_link) link;
    struct detours away, held;
};

struct faulty_store {
    struct store_wrap wrap;
    struct faulty_fault faults[OP_COUNT + 1];
    unsigned seen[OP_COUNT + 1];
    unsigned held;
    TAILQ_HEAD(, faulty_link) links;
};

static struct faulty_store *store_of(const struct faulty_link *link)
{
    return (struct faulty_store *)link->wrap.wrap;
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

static enum faulty_kind next_fault(struct faulty_store *store, unsigned op)
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

static void on_submit(struct store_wrap_link *wrap, enum store_op op, struct store_request *request)
{
    struct faulty_link *link = (struct faulty_link *)wrap;
    struct faulty_store *store = store_of(link);
    enum faulty_kind any = op < OP_OF_JIDOKA ? next_fault(store, FAULTY_ANY) : FAULT_NONE, kind = next_fault(store, op);
    unsigned by = any == FAULT_NONE ? op : FAULTY_ANY;
    switch (any == FAULT_NONE ? kind : any) {
    case FAULT_MUTE:
        store->held++;
        divert(link, request, 0);
        request->done = on_muted;
        break;
    case FAULT_HOLD:
        store->held++;
        struct detour *held = detour_new(link, request, 0);
        held->op = op;
        TAILQ_INSERT_TAIL(&link->held, held, link);
        return;
    case FAULT_BEFORE:
        divert(link, request, store->faults[by].status);
        store_wrap_refuse(wrap, request);
        return;
    case FAULT_AFTER:
        divert(link, request, store->faults[by].status);
        break;
    default:
        break;
    }
    store_wrap_pass(wrap, op, request);
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
            store_wrap_pass(&link->wrap, held->op, held->request);
            free(held);
        }
    }
}

static void on_opened(struct store_wrap_link *wrap)
{
    struct faulty_link *link = (struct faulty_link *)wrap;
    TAILQ_INIT(&link->away);
    TAILQ_INIT(&link->held);
    TAILQ_INSERT_TAIL(&store_of(link)->links, link, link);
}

static void drop(struct detours *detours)
{
    struct detour *detour;
    while ((detour = TAILQ_FIRST(detours))) {
        TAILQ_REMOVE(detours, detour, link);
        free(detour);
    }
}

static void on_closed(struct store_wrap_link *wrap)
{
    struct faulty_link *link = (struct faulty_link *)wrap;
    struct detour *held;
    TAILQ_FOREACH(held, &link->held, link)
    store_of(link)->held--;
    drop(&link->away);
    drop(&link->held);
    TAILQ_REMOVE(&store_of(link)->links, link, link);
}

static const struct store_wrap_hooks hooks = {
    .link_size = sizeof(struct faulty_link), .opened = on_opened, .closed = on_closed, .submit = on_submit};

struct faulty_store *faulty_store_new(struct store_backend *inner)
{
    struct faulty_store *store = xcalloc(1, sizeof(*store));
    store_wrap_init(&store->wrap, &hooks, inner);
    TAILQ_INIT(&store->links);
    return store;
}

struct store_backend *faulty_store_backend(struct faulty_store *store)
{
    return &store->wrap.base;
}

void faulty_set(struct faulty_store *store, unsigned op, struct faulty_fault fault)
{
    store->faults[op] = fault;
}

unsigned faulty_seen(const struct faulty_store *store, unsigned op)
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
        store_backend_free(&store->wrap.base);
}
