/* The ops that only pass on, and one submit for all kinds of requests. */
#include "support/store_wrap.h"

#include "common/mem.h"

#include <stdlib.h>

static struct store_wrap_link *wrap_link(const struct store_link *link)
{
    return (struct store_wrap_link *)link;
}

static const struct store_backend_ops *inner_ops(const struct store_link *link)
{
    return wrap_link(link)->wrap->inner->ops;
}

#define X(name, NAME)                                                                                                  \
    static void submit_##name(struct store_link *link, struct store_##name *request)                                   \
    {                                                                                                                  \
        wrap_link(link)->wrap->hooks->submit(wrap_link(link), OP_##NAME, &request->req);                               \
    }                                                                                                                  \
    static void pass_##name(struct store_wrap_link *link, struct store_request *request)                               \
    {                                                                                                                  \
        link->wrap->inner->ops->name(link->inner, (struct store_##name *)request);                                     \
    }
STORE_REQUESTS(X)
#undef X

void store_wrap_pass(struct store_wrap_link *link, enum store_op op, struct store_request *request)
{
    static void (*const pass[OP_COUNT])(struct store_wrap_link * link, struct store_request * request) = {
#define X(name, NAME) [OP_##NAME] = pass_##name,
        STORE_REQUESTS(X)
#undef X
    };
    pass[op](link, request);
}

void store_wrap_refuse(struct store_wrap_link *link, struct store_request *request)
{
    link->wrap->inner->ops->refuse(link->inner, request);
}

static int link_open(struct store_backend *backend, struct store_link **ret, struct error *err)
{
    struct store_wrap *wrap = (struct store_wrap *)backend;
    struct store_wrap_link *link = xcalloc(1, wrap->hooks->link_size);
    int rc = wrap->inner->ops->link_open(wrap->inner, &link->inner, err);
    if (rc < 0) {
        free(link);
        return rc;
    }
    link->wrap = wrap;
    wrap->hooks->opened(link);
    *ret = (struct store_link *)link;
    return 0;
}

static void link_close(struct store_link *outer)
{
    struct store_wrap_link *link = wrap_link(outer);
    inner_ops(outer)->link_close(link->inner);
    link->wrap->hooks->closed(link);
    free(link);
}

static int poll_fd(const struct store_link *link)
{
    return inner_ops(link)->poll_fd(wrap_link(link)->inner);
}

static void dispatch(struct store_link *link)
{
    inner_ops(link)->dispatch(wrap_link(link)->inner);
}

static void refuse(struct store_link *link, struct store_request *request)
{
    store_wrap_refuse(wrap_link(link), request);
}

static void on_outcomes(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    inner_ops(link)->on_outcomes(wrap_link(link)->inner, wake, ctx);
}

static void on_commands(struct store_link *link, void (*wake)(void *ctx), void *ctx)
{
    inner_ops(link)->on_commands(wrap_link(link)->inner, wake, ctx);
}

static void wrap_free(struct store_backend *backend)
{
    free(backend);
}

#define SUBMIT(name, NAME) .name = submit_##name,
static const struct store_backend_ops wrap_ops = {.name = "wrap",
                                                  .link_open = link_open,
                                                  .poll_fd = poll_fd,
                                                  .dispatch = dispatch,
                                                  .link_close = link_close,
                                                  .refuse = refuse,
                                                  .on_outcomes = on_outcomes,
                                                  .on_commands = on_commands,
                                                  .free = wrap_free,
                                                  STORE_REQUESTS(SUBMIT)};
#undef SUBMIT

void store_wrap_init(struct store_wrap *wrap, const struct store_wrap_hooks *hooks, struct store_backend *inner)
{
    *wrap = (struct store_wrap){.base = {.ops = &wrap_ops}, .inner = inner, .hooks = hooks};
}
