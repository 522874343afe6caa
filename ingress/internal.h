/* The inside of the ingress layer, shared by ingress.c, post.c, answer.c, frames.c and refuse.c. Everything here
 * belongs to the ingress loop's thread. */
#ifndef TAI_INGRESS_INTERNAL_H
#define TAI_INGRESS_INTERNAL_H

#include "ingress/ingress.h"
#include "ingress/keys.h"
#include "ingress/limits.h"
#include "ingress/recent.h"
#include "ingress/refusals.h"
#include "ingress/shares.h"
#include "ingress/signal.h"
#include "kaizen/health.h"
#include "kaizen/http_metrics.h"

enum { ANSWER_ITEM_MAX = 4096 }; /* bytes of one result, its problem included */

enum result {
    RESULT_ACCEPTED,
    RESULT_DUPLICATE,
    RESULT_INVALID,
    RESULT_UNAUTHENTICATED,
    RESULT_FORBIDDEN,
    RESULT_TOO_LARGE,
    RESULT_RATE_LIMITED,
    RESULT_UNAVAILABLE,
    RESULTS,
};
extern const char *const result_names[RESULTS + 1]; /* ended by NULL */

/* One signal of a POST and what became of it. */
struct item {
    struct identity identity; /* borrowed from the body or the post's arena */
    uint8_t sha256[SHA256_SIZE];
    size_t problem_at; /* within problems, unless status is 202 */
    size_t problem_len;
    int status; /* 0 while its frame is under way */
    bool duplicate;
};

/* A POST from its handler to its answer; reused. The request, and so its body, lives until the answer. Stands in one
 * list: waiting (a frame is under way), ready (to be answered) or held (refused for its tenant's rate or share:
 * answered a little later). */
struct post {
    struct http_request *req;
    struct item *items;
    size_t count;
    size_t cap;
    size_t pending; /* signals without a status, one more while the body is being read */
    bool batch;
    int64_t retry_s; /* the longest wait any item was told */
    int64_t due_ms;  /* when it was held for long enough */
    struct buf problems;
    struct arena arena;
    char traceparent[TRACEPARENT + 1];
    struct post *next;
    struct post *prev;
};

struct post_list {
    struct post *first;
    struct post *last;
};

struct owner {
    struct post *post;
    size_t index;
};

/* The signals this loop turn has accepted for one partition. */
struct lane {
    struct signal *signals;
    size_t signals_cap;
    struct owner *owners;
    size_t owners_cap;
    uint32_t count;
    size_t bytes;
};

struct flight_link {
    struct flight_link *next;
    struct flight_link *prev;
};

/* A published frame without an answer. */
struct flight {
    struct flight_link link; /* first: a link is its flight */
    uint32_t count;
    struct owner owners[];
};

struct frames {
    struct lane *lanes; /* one per partition */
    uint32_t partitions;
    uint32_t *used; /* partitions with signals, in the order they got their first */
    uint32_t used_count;
    struct flight_link flights; /* a ring, this is its head */
    uint32_t in_flight;
    bool failing; /* the last answer but for a full queue was a failure */
    int64_t failed_at_us;
};

struct refusal_metrics {
    struct metric_counter *noted[2]; /* summed, single */
    struct metric_counter *failed;
    struct metric_gauge *waiting;
};

struct ingress {
    struct ingress_options options;
    struct http_server *server;
    struct kanban *kanban;
    struct keys *keys;
    struct limits *limits;
    struct shares *shares;
    struct recent *recent;
    struct hasher *hasher;
    struct health *health;
    struct http_metrics *http_metrics;
    struct metric_counter *signals[RESULTS];
    struct frames frames;
    struct refusals *refusals;
    struct refusal_metrics refusal_metrics;
    bool refusals_under_way;
    bool refusals_failing; /* the last frame of them was not taken */
    struct json_doc doc;
    struct entropy entropy;
    struct buf scratch;
    struct buf out;
    struct post_list waiting;
    struct post_list ready;
    struct post_list held;
    size_t held_bytes; /* of their requests and answers */
    size_t held_count;
    struct post *spare;
    size_t spare_count;
    struct event *flush;    /* runs when the events of this turn are done */
    struct event *readable; /* the queue has answers */
    struct event *deadline; /* the queue wants to be called */
    int64_t deadline_us;    /* what that is set to; INT64_MAX: not at all */
    struct event *tick;
    struct event *release; /* while something is held */
    bool http_drained;
    bool announced;             /* the last sequences, when draining */
    void (*drained)(void *ctx); /* NULL unless a drain is under way */
    void *drained_ctx;
};

/* ingress.c: at the end of this loop turn, publish the lanes and answer what is ready. */
void ingress_schedule_flush(struct ingress *ingress);
/* Whether who asks may: with keys anybody (a signature says who sends), without them this machine alone. false:
 * answered. */
bool ingress_guard(struct ingress *ingress, struct http_request *req);

/* frames.c */
void frames_init(struct frames *frames, uint32_t partitions);
void frames_done(struct frames *frames);
void frames_add(struct ingress *ingress, const struct signal *signal, struct post *post, size_t index);
void frames_flush(struct ingress *ingress);
void frames_published(void *ctx, void *token, int status); /* kanban_events.published */

/* post.c */
void post_handle(void *ctx, struct http_request *req);
void openapi_handle(void *ctx, struct http_request *req);
extern const struct http_route ingress_routes[]; /* ended by a row without method */
/* A signal's frame was answered (0 or -errno); the post is ready when it was the last. */
void post_settle(struct ingress *ingress, struct owner owner, int status);
/* Answers what is ready. Never from within kanban_dispatch or a handler: an answer may begin the next request. */
void post_answer_ready(struct ingress *ingress);
/* Answers what was held for long enough, some of it at a time. */
void post_answer_held(struct ingress *ingress);
void post_free_all(struct ingress *ingress);

/* refuse.c */
/* What a refusal is about. */
struct refused {
    const struct sender *sender;  /* NULL: not known yet */
    const struct json_node *node; /* the signal in ingress->doc; NULL: the request as a whole */
    struct span bytes;            /* of the signal */
};
void refuse_init(struct ingress *ingress);
void refuse_note(struct ingress *ingress, const struct refused *refused, enum result result, int status,
                 const char *detail);
void refuse_flush(struct ingress *ingress); /* publishes what was noted */
void refuse_published(struct ingress *ingress, int status);
bool refuse_drained(struct ingress *ingress); /* publishes the rest; true when none is under way */

/* answer.c */
/* Gives a signal its refusal; extra as in http_problem_json. */
void answer_refuse(struct post *post, struct item *item, int status, const char *extra, const char *detail);
void answer_send(struct ingress *ingress, struct post *post);

#endif
