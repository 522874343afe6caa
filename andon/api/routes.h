/* What andon serves: one row per endpoint, and everything that holds for an endpoint before its handler runs. The
 * listener, the admission of requests, the OpenAPI document and the tests of access all read these rows. */
#ifndef TAI_ANDON_API_ROUTES_H
#define TAI_ANDON_API_ROUTES_H

#include "common/http/http.h"

/* Who may use an endpoint: bits of api_route.roles. Without tokens everybody on this machine has every role. */
enum api_role {
    API_VIEWER = 1,    /* lists and states */
    API_OPERATOR = 2,  /* what a viewer may, commands, dead letters, backups */
    API_AUDITOR = 4,   /* receipts and what proves them */
    API_PUBLISHER = 8, /* what became of the signals it sent */
    API_ANYBODY = 16,  /* also without a token */
    API_PROBE = 32,    /* as API_ANYBODY, and under whatever Host the prober calls this machine */
    API_READERS = API_VIEWER | API_OPERATOR | API_AUDITOR,
};

/* What a token that is bound to a tenant finds. */
enum api_scope {
    API_SCOPE_NONE,   /* nothing in it belongs to a tenant */
    API_SCOPE_ALL,    /* it covers all tenants: bound tokens are refused */
    API_SCOPE_FILTER, /* "tenant_id", a parameter or in the body's filter, is the token's: filled in if it is left out
                       */
    API_SCOPE_PATH,   /* {tenant} of the path must be the token's */
    API_SCOPE_FOUND,  /* what belongs to another tenant is not found (the handler asks api_sees) */
};

struct api_route {
    const char *method;
    const char *path;
    http_handler *handler;
    const char *const *params; /* query parameters it knows, each once; ended by NULL */
    const char *const *fields; /* members of its JSON body, ended by NULL; NULL: it takes no body */
    unsigned roles;
    enum api_scope scope;
};

extern const struct api_route api_routes[]; /* ended by a row without method */

#endif
