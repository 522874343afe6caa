/* A store backend around another one: everything goes through, but each request by way of the hooks. For backends that
 * fail, change or watch requests: they begin with struct store_wrap, their links with struct store_wrap_link. */
#ifndef TAI_TESTS_SUPPORT_STORE_WRAP_H
#define TAI_TESTS_SUPPORT_STORE_WRAP_H

#include "store/backend.h"

enum store_op {
#define X(name, NAME) OP_##NAME,
    STORE_JIDOKA_REQUESTS(X) OP_OF_JIDOKA,
    OP_BEFORE_ANDON = OP_OF_JIDOKA - 1, /* the first of andon's follows */
    STORE_ANDON_REQUESTS(X)
#undef X
        OP_COUNT
};

struct store_wrap_link;

struct store_wrap_hooks {
    size_t link_size; /* of the struct that begins with struct store_wrap_link; zeroed */
    void (*opened)(struct store_wrap_link *link);
    void (*closed)(struct store_wrap_link *link); /* the inner one is; the link is freed next */
    void (*submit)(struct store_wrap_link *link, enum store_op op, struct store_request *request);
};

struct store_wrap {
    struct store_backend base;
    struct store_backend *inner; /* stays the caller's */
    const struct store_wrap_hooks *hooks;
};

struct store_wrap_link {
    struct store_wrap *wrap;
    struct store_link *inner;
};

void store_wrap_init(struct store_wrap *wrap, const struct store_wrap_hooks *hooks, struct store_backend *inner);
/* To the inner backend. */
void store_wrap_pass(struct store_wrap_link *link, enum store_op op, struct store_request *request);
/* It answers -EINVAL from a later dispatch, whatever the request. */
void store_wrap_refuse(struct store_wrap_link *link, struct store_request *request);

#endif
