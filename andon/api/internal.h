/* Shared by the files of the API. A request that asks the store is an api_call from then on: it holds the HTTP request
 * and the store's request until the answer. */
#ifndef TAI_ANDON_API_INTERNAL_H
#define TAI_ANDON_API_INTERNAL_H

#include "andon/api/api.h"
#include "andon/api/routes.h"
#include "andon/api/tokens.h"
#include "common/http/http.h"
#include "common/json/json.h"
#include "kaizen/health.h"
#include "kaizen/http_metrics.h"

enum {
    API_ID_MAX = 128,
    API_TENANT_MAX = 64,
    API_PAGE_DEFAULT = 100,
    API_PAGE_MAX = 1000,
    API_BODY_MAX = 32 << 20,  /* of one answer */
    API_PAGE_BYTES = 4 << 20, /* a page that has grown so far goes on in the next */
    API_COMMANDS_MAX = 10000  /* pending in all */
};

/* Whose request it is. Without tokens: everybody's, who is not named and has every right. */
struct api_access {
    bool named;
    char name[TOKEN_NAME_MAX + 1];
    char tenant[TOKEN_TENANT_MAX + 1]; /* bound to; empty: all */
    unsigned roles;
};

enum api_denial {
    API_DENIED_ORIGIN,
    API_DENIED_NO_TOKEN,
    API_DENIED_TOKEN,
    API_DENIED_EXPIRED,
    API_DENIED_ROLE,
    API_DENIED_TENANT,
    API_DENIALS
};

/* Requests the store is at work for, and those that wait (turns.c). */
struct api_turns {
    unsigned at_work;
    struct api_waiting *first, **last;
    unsigned count;           /* of those that wait */
    struct api_access served; /* whose was the last that had to wait */
    struct event *event;
};

struct api {
    struct api_options options;
    struct http_server *server;
    struct http_route *routes; /* of api_routes, row by row */
    struct http_metrics *http_metrics;
    struct health *health;
    struct hasher *hasher;
    struct tokens *tokens;    /* NULL: without */
    struct api_access access; /* of the request whose handler runs; a call has its own copy */
    struct metric_counter *denied[API_DENIALS];
    struct api_call *calls; /* under way */
    struct api_turns turns;
    struct json_doc doc; /* of the body being read */
    struct buf scratch;
    int64_t bulk_us; /* monotonic, when the next bulk is taken */
    int64_t jws_s;   /* monotonic, the second that jws_count counts in */
    unsigned jws_count;
    bool draining;
};

struct api_triage; /* triage.h */
struct api_proof;  /* proofs.c */

struct api_call {
    struct api_call *next, **link;
    struct api *api;
    struct api_access access;
    struct http_request *req;
    bool at_work; /* counted in turns */
    union {
        struct store_request request;
        struct store_signal signal;
        struct store_receipt receipt;
        struct store_receipts receipts;
        struct store_governors governors;
        struct store_partitions partitions;
        struct store_totals totals;
    };
    struct span only;             /* receipts: of other chains in the log nothing but the leaf's hash; empty: all */
    struct store_receipt look;    /* is there a receipt of that outcome yet? */
    const struct signal_row *row; /* whose receipts are listed */
    uint32_t row_partition;
    uint32_t outcome; /* the next of its outcomes to look at */
    void (*listed)(struct api_call *call);
    struct api_triage *triage; /* owned */
    struct api_proof *proof;   /* owned */
    bool as_text;              /* proof: as a tlog-proof */
    struct buf out;
    uint32_t query; /* receipts, governors: what a cursor belongs to */
};

/* The row of the request's endpoint. */
const struct api_route *api_route(const struct api *api, const struct http_request *req);

/* Whether whoever sent the request may use the route with what it names, and it carries only parameters of the route;
 * otherwise it has been answered. Handlers run after it (access.c). */
bool api_admit(struct api *api, struct http_request *req, const struct api_route *route);
/* A filter by tenant: if it is empty it becomes the tenant the request is bound to (valid while the handler runs).
 * false: it names another one; answered 403. */
bool api_access_tenant(struct api *api, struct http_request *req, struct span *tenant_id);
/* Whether whoever sent the call may know of what belongs to this tenant. */
bool api_sees(const struct api_call *call, struct span tenant_id);
void api_access_metrics(struct api *api, struct metrics *metrics);

/* Whether the handler of an admitted request may run at once. false: it will when its turn comes, or the request has
 * been answered: 429, 503. */
bool api_turn_now(struct api *api, struct http_request *req);
/* The call has ended, or asks little of the store from now on. */
void api_turn_over(struct api_call *call);
void api_turns_init(struct api *api);
void api_turns_done(struct api *api); /* answers what waits */

/* Whether the query holds only parameters of allowed, once each; otherwise it has been answered (param.c). */
bool api_params_known(struct http_request *req, const char *const *allowed);

/* Parameters (param.c). Absent: len 0. false: answered 400, naming the parameter. */
bool api_param_text(struct http_request *req, const char *name, bool required, size_t max, struct span *ret);
/* "tenant_id", or that of the token. */
bool api_param_tenant(struct api *api, struct http_request *req, bool required, struct span *ret);
bool api_param_limit(struct http_request *req, uint32_t *ret);
bool api_parse_number(struct span text, uint64_t max, uint64_t *ret);
bool api_param_shard(struct http_request *req, const struct api *api, bool *ret_given, uint32_t *ret);
/* A path segment of at most max bytes. */
bool api_path_text(struct http_request *req, const char *name, size_t max, struct span *ret);

/* The index of text among names; empty: -1. false: answered 400, naming them all. */
bool api_name_parse(struct http_request *req, const char *what, struct span text, const char *const *names,
                    size_t count, int *ret);
bool api_param_name(struct http_request *req, const char *what, const char *const *names, size_t count, int *ret);
/* RFC 3339 or milliseconds; empty: 0. */
bool api_time_parse(struct http_request *req, const char *what, struct span text, int64_t *ret);

/* What every list takes (list.c): "limit", "order", and where the route has them "since" and "before". */
struct api_range {
    uint32_t limit;
    bool descending;
    int64_t since_ms, before_ms; /* 0: any */
};
bool api_range_read(struct http_request *req, struct api_range *ret);
/* The hash of a query with its range: what its cursors are bound to. */
uint32_t api_range_query(uint32_t query, const struct api_range *range);
/* Cursors that are numbers, 0 without one. false: none of this list, answered 400 by _read. */
bool api_position_read(struct http_request *req, uint32_t query, struct arena *arena, uint64_t *ret);
bool api_position_parse(struct span position, uint64_t *ret);
/* "next":cursor */
void api_add_next(struct api_call *call, struct span position);
void api_add_next_number(struct api_call *call, uint64_t position);

/* Cursors: opaque to clients, bound to the query they came from. */
void api_cursor_write(struct buf *out, uint32_t query, struct span position);
/* ret in arena. false: answered 400. Without the parameter position is empty. */
bool api_cursor_read(struct http_request *req, uint32_t query, struct arena *arena, struct span *ret);
/* The same with a cursor from elsewhere; false: it is none of this query. */
bool api_cursor_parse(struct span text, uint32_t query, struct arena *arena, struct span *ret);
uint32_t api_query_hash(char kind, const struct span *parts, size_t count);

struct api_call *api_call_new(struct api *api, struct http_request *req, store_done *done);
struct span api_keep(struct api_call *call, struct span text); /* copied: the store reads it on its own thread */
void api_call_free(struct api_call *call);
/* Each answers and ends the call. */
void api_call_reply(struct api_call *call, int status); /* application/json, out */
/* true if status, that of a request of the call, is an error: answered */
bool api_call_failed(struct api_call *call, const struct store_request *request, int status);
/* Answers 500: something the store holds is not what was written. */
void api_call_damaged(struct api_call *call, const char *what);

/* A call for the receipt {id} of the path, with its request filled; NULL: answered 400. */
struct api_call *api_receipt_call(struct api *api, struct http_request *req, store_done *done);
/* In its done: the receipt, whole and as it was hashed; NULL: answered, the call has ended. */
const struct store_receipt *api_receipt_found(struct api_call *call, struct store_request *request, int status);
/* 503 with the reason why a shard has no checkpoint; the shard must have none. */
void api_no_checkpoint(struct http_request *req, const struct shard *shard);
void api_proof_free(struct api_proof *proof);

/* Writes "receipts":[…] with the ids of those of the row's receipts that can be read, then calls listed; row stays. */
void api_list_receipts(struct api_call *call, const struct signal_row *row, uint32_t partition,
                       void (*listed)(struct api_call *call));
void api_add_governor(struct buf *out, const struct governor_item *item);
/* `"name":number`; with a comma where one is due. */
void api_add_i64(struct buf *out, const char *name, int64_t value);

http_handler api_index, api_livez, api_readyz, api_health, api_metrics, api_signal_get, api_receipt_list,
    api_receipt_get, api_governor_list, api_governor_get, api_status, api_checkpoint, api_vkey, api_jwks,
    api_deadletter_list, api_deadletter_get, api_deadletter_requeue, api_deadletter_discard, api_deadletter_bulk,
    api_governor_halt, api_governor_resume, api_governor_activate, api_governor_reset_quota, api_command_get,
    api_openapi, api_backup_get, api_backup_start, api_command_list, api_partition_list, api_receipt_proof,
    api_receipt_tlog_proof, api_receipt_jws, api_consistency;

#endif
