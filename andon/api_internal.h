/* Shared by the files of the API. A request that asks the store is an api_call from then on: it holds the HTTP request
 * and the store's request until the answer. */
#ifndef TAI_ANDON_API_INTERNAL_H
#define TAI_ANDON_API_INTERNAL_H

#include "andon/api.h"
#include "common/http.h"
#include "common/json.h"
#include "kaizen/health.h"
#include "kaizen/http_metrics.h"

enum {
    API_ID_MAX = 128,
    API_TENANT_MAX = 64,
    API_PAGE_DEFAULT = 100,
    API_PAGE_MAX = 1000,
    API_BODY_MAX = 32 << 20, /* of one answer */
    API_PAGE_BYTES = 4 << 20 /* a page that has grown so far goes on in the next */
};

struct api {
    struct api_options options;
    struct http_server *server;
    struct http_metrics *http_metrics;
    struct health *health;
    struct hasher *hasher;
    struct api_call *calls; /* under way */
    bool draining;
};

struct api_call {
    struct api_call *next, **link;
    struct api *api;
    struct http_request *req;
    union {
        struct store_request request;
        struct store_signal signal;
        struct store_receipt receipt;
        struct store_receipts receipts;
        struct store_governors governors;
        struct store_totals totals;
    };
    struct store_receipt look; /* signals: is there a receipt of that outcome yet? */
    uint32_t outcome;          /* signals: the next of the row's outcomes to look at */
    struct buf out;
    uint32_t query; /* receipts, governors: what a cursor belongs to */
};

/* Whether the request comes from here (api_guard.c) and carries only parameters of allowed (ended by NULL), once each;
 * otherwise it has been answered. */
bool api_admit(struct http_request *req, const char *const *allowed);
extern const char *const api_no_params[];

/* Parameters (api_param.c). Absent: len 0. false: answered 400, naming the parameter. */
bool api_param_text(struct http_request *req, const char *name, bool required, size_t max, struct span *ret);
bool api_param_limit(struct http_request *req, uint32_t *ret);
bool api_param_shard(struct http_request *req, const struct api *api, bool *ret_given, uint32_t *ret);
/* A path segment of at most max bytes. */
bool api_path_text(struct http_request *req, const char *name, size_t max, struct span *ret);

/* Cursors: opaque to clients, bound to the query they came from. */
void api_cursor_write(struct buf *out, uint32_t query, struct span position);
/* ret in arena. false: answered 400. Without the parameter position is empty. */
bool api_cursor_read(struct http_request *req, uint32_t query, struct arena *arena, struct span *ret);
uint32_t api_query_hash(char kind, const struct span *parts, size_t count);

struct api_call *api_call_new(struct api *api, struct http_request *req, store_done *done);
struct span api_keep(struct api_call *call, struct span text); /* copied: the store reads it on its own thread */
void api_call_free(struct api_call *call);
/* Each answers and ends the call. */
void api_call_reply(struct api_call *call, int status);  /* application/json, out */
bool api_call_failed(struct api_call *call, int status); /* true if status is an error: answered */

http_handler api_signal_get, api_receipt_list, api_receipt_get, api_governor_list, api_governor_get, api_status,
    api_checkpoint, api_vkey, api_jwks;

#endif
