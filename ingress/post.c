/* POST /v1/signals: checks the request, reads its signals into lanes, and waits for their frames. What is wrong with
 * the request as a whole is answered at once; what is wrong with one signal is its own result. A post is answered when
 * its last signal has a status, never from within the queue's callbacks. */
#include "ingress/internal.h"

#include "ingress/guard.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SPARE_MAX = 32,
    SPARE_ITEMS_MAX = 1024,
    HOLD_MS = 100,
    HOLD_STEP_MS = 2, /* those due are answered some at a time: together they would come again together */
    HOLD_STEP_ANSWERS = 4,
    HOLD_STEPS = HOLD_MS / HOLD_STEP_MS,
    HOLD_BYTES_MAX = 16 << 20,
    HOLD_POST_BYTES = 4096, /* what one costs beside its body, items and problems */
};

static void list_add(struct post_list *list, struct post *post)
{
    post->next = NULL;
    post->prev = list->last;
    if (list->last)
        list->last->next = post;
    else
        list->first = post;
    list->last = post;
}

static void list_remove(struct post_list *list, struct post *post)
{
    if (post->prev)
        post->prev->next = post->next;
    else
        list->first = post->next;
    if (post->next)
        post->next->prev = post->prev;
    else
        list->last = post->prev;
}

static struct post *post_new(struct ingress *ingress, struct http_request *req, bool batch, size_t count)
{
    struct post *post = ingress->spare;
    if (post) {
        ingress->spare = post->next;
        ingress->spare_count--;
    } else {
        post = xcalloc(1, sizeof(*post));
    }
    post->req = req;
    post->batch = batch;
    post->count = count;
    post->pending = count + 1;
    post->retry_s = 0;
    buf_init(&post->problems, (count + 1) * ANSWER_ITEM_MAX);
    mem_grow(&post->items, &post->cap, count + 1, sizeof(*post->items)); /* an array also for `[]` */
    memset(post->items, 0, count * sizeof(*post->items));
    list_add(&ingress->waiting, post);
    return post;
}

static void post_free(struct post *post)
{
    free(post->items);
    buf_done(&post->problems);
    arena_done(&post->arena);
    free(post);
}

static void post_release(struct ingress *ingress, struct post *post)
{
    if (ingress->spare_count == SPARE_MAX || post->cap > SPARE_ITEMS_MAX) {
        post_free(post);
        return;
    }
    buf_done(&post->problems);
    arena_reset(&post->arena);
    post->next = ingress->spare;
    ingress->spare = post;
    ingress->spare_count++;
}

static void free_list(struct post *first)
{
    for (struct post *post = first, *next; post; post = next) {
        next = post->next;
        post_free(post);
    }
}

void post_free_all(struct ingress *ingress)
{
    free_list(ingress->waiting.first);
    free_list(ingress->ready.first);
    free_list(ingress->held.first);
    free_list(ingress->spare);
}

static void settled(struct ingress *ingress, struct post *post, size_t count)
{
    post->pending -= count;
    if (post->pending > 0)
        return;
    list_remove(&ingress->waiting, post);
    list_add(&ingress->ready, post);
}

static void count_result(struct ingress *ingress, enum result result)
{
    metric_inc(ingress->signals[result]);
}

/* A definite refusal: counted, and on its way to a receipt. */
static void refuse(struct ingress *ingress, const struct refused *refused, enum result result, int status,
                   const char *detail)
{
    count_result(ingress, result);
    refuse_note(ingress, refused, result, status, detail);
}

static void refuse_unavailable(struct ingress *ingress, struct post *post, struct item *item, int status)
{
    const char *detail = "the signal could not be stored, the queue does not answer as it should: send it again";
    if (status == -EAGAIN)
        detail = "the queue is full: send the signal again later";
    else if (status == -ENOSPC)
        detail = "the disk of the queue is full: send the signal again later";
    answer_refuse(post, item, 503, ",\"retry_after\":1", detail);
    if (post->retry_s < 1)
        post->retry_s = 1;
    count_result(ingress, RESULT_UNAVAILABLE);
}

void post_settle(struct ingress *ingress, struct owner owner, int status)
{
    struct post *post = owner.post;
    struct item *item = &post->items[owner.index];
    if (status) {
        refuse_unavailable(ingress, post, item, status);
    } else {
        item->status = 202;
        item->duplicate =
            recent_add(ingress->recent, &item->identity, item->sha256, clock_mono_ms(ingress->options.clock));
        count_result(ingress, item->duplicate ? RESULT_DUPLICATE : RESULT_ACCEPTED);
    }
    settled(ingress, post, 1);
}

static size_t held_bytes(const struct post *post)
{
    return HOLD_POST_BYTES + http_body(post->req).len + post->problems.len + post->count * sizeof(*post->items);
}

/* Half of its signals or more are refused for their tenants' rate or share. Such an answer costs so little that whoever
 * asks again at once would have most of this thread: it is held for as long as nobody is hurt who heeds Retry-After. */
static bool to_hold(const struct ingress *ingress, const struct post *post)
{
    if (!post->retry_s || ingress->held_bytes + held_bytes(post) > HOLD_BYTES_MAX)
        return false;
    size_t limited = 0;
    for (size_t i = 0; i < post->count; i++)
        limited += post->items[i].status == 429;
    return limited * 2 >= post->count;
}

static void hold(struct ingress *ingress, struct post *post)
{
    if (!ingress->held.first)
        event_add(ingress->release, &(struct timeval){.tv_usec = HOLD_MS * 1000});
    list_add(&ingress->held, post);
    post->due_ms = clock_mono_ms(ingress->options.clock) + HOLD_MS;
    ingress->held_bytes += held_bytes(post);
    ingress->held_count++;
}

static void answer(struct ingress *ingress, struct post *post)
{
    answer_send(ingress, post);
    post_release(ingress, post);
}

void post_answer_ready(struct ingress *ingress)
{
    for (struct post *post; (post = ingress->ready.first);) {
        list_remove(&ingress->ready, post);
        if (to_hold(ingress, post))
            hold(ingress, post);
        else
            answer(ingress, post);
    }
}

void post_answer_held(struct ingress *ingress)
{
    int64_t now_ms = clock_mono_ms(ingress->options.clock), wait_ms = HOLD_STEP_MS;
    size_t most = ingress->held_count / HOLD_STEPS + HOLD_STEP_ANSWERS;
    for (struct post *post; most-- && (post = ingress->held.first) && post->due_ms <= now_ms;) {
        list_remove(&ingress->held, post);
        ingress->held_bytes -= held_bytes(post);
        ingress->held_count--;
        answer(ingress, post);
    }
    if (!ingress->held.first)
        return;
    if (ingress->held.first->due_ms > now_ms + wait_ms)
        wait_ms = ingress->held.first->due_ms - now_ms;
    event_add(ingress->release, &(struct timeval){.tv_usec = wait_ms * 1000});
}

static void refuse_item(struct ingress *ingress, struct post *post, struct item *item, int rc, const struct error *err,
                        const struct refused *refused)
{
    int status = rc == -EACCES ? 403 : rc == -EMSGSIZE ? 413 : 400;
    enum result result = rc == -EACCES ? RESULT_FORBIDDEN : rc == -EMSGSIZE ? RESULT_TOO_LARGE : RESULT_INVALID;
    answer_refuse(post, item, status, NULL, err->text);
    refuse(ingress, refused, result, status, err->text);
}

/* 429: the tenant's own limit or the process's. */
static void refuse_limited(struct ingress *ingress, struct post *post, struct item *item, int64_t retry_s,
                           const char *detail, const struct refused *refused)
{
    char extra[48];
    snprintf(extra, sizeof(extra), ",\"retry_after\":%lld", (long long)retry_s);
    answer_refuse(post, item, 429, extra, detail);
    if (post->retry_s < retry_s)
        post->retry_s = retry_s;
    refuse(ingress, refused, RESULT_RATE_LIMITED, 429, detail);
}

static void refuse_rate(struct ingress *ingress, struct post *post, struct item *item, enum limit limit,
                        int64_t retry_s, const struct refused *refused)
{
    char detail[128];
    snprintf(detail, sizeof(detail), "more than %lld signals a second %s: send it again in %lld s",
             (long long)limits_rate(ingress->limits, limit), limit == LIMIT_PROCESS ? "in all" : "of this tenant",
             (long long)retry_s);
    refuse_limited(ingress, post, item, retry_s, detail, refused);
}

static void refuse_share(struct ingress *ingress, struct post *post, struct item *item, uint64_t limit, int64_t retry_s,
                         const struct refused *refused)
{
    char detail[160];
    snprintf(detail, sizeof(detail),
             "%llu signals of this tenant wait in the queue already, its share of it: send it again in %lld s",
             (unsigned long long)limit, (long long)retry_s);
    refuse_limited(ingress, post, item, retry_s, detail, refused);
}

/* Whether the tenant may have one more signal queued, by its share of the queue and by rate; otherwise the item has its
 * refusal. */
static bool take_limits(struct ingress *ingress, struct post *post, struct item *item, struct span tenant_id,
                        const struct refused *refused)
{
    int64_t now_us = clock_mono_us(ingress->options.clock), retry_s;
    uint64_t share;
    if (!shares_take(ingress->shares, tenant_id, now_us, &share, &retry_s)) {
        refuse_share(ingress, post, item, share, retry_s, refused);
        return false;
    }
    enum limit limit = limits_take(ingress->limits, tenant_id, now_us, &retry_s);
    if (limit == LIMIT_NONE)
        return true;
    shares_dropped(ingress->shares, tenant_id, 1);
    refuse_rate(ingress, post, item, limit, retry_s, refused);
    return false;
}

/* One signal into its lane; false if it has its refusal instead. */
static bool take_signal(struct ingress *ingress, const struct signal_reader *reader, struct post *post, size_t index,
                        const struct json_node *node, struct span bytes)
{
    struct item *item = &post->items[index];
    const struct refused refused = {&reader->sender, node, bytes};
    struct signal signal;
    struct error err;
    int rc = signal_read(reader, &ingress->doc, node, bytes, &signal, &err);
    if (rc) {
        refuse_item(ingress, post, item, rc, &err, &refused);
        return false;
    }
    if (!take_limits(ingress, post, item, signal.tenant_id, &refused))
        return false;
    item->identity = (struct identity){signal.tenant_id, signal.entitlement_id, signal.id};
    memcpy(item->sha256, signal.sha256, sizeof(item->sha256));
    frames_add(ingress, &signal, post, index);
    return true;
}

static void read_signals(struct ingress *ingress, struct http_request *req, const struct sender *sender)
{
    const struct json_doc *doc = &ingress->doc;
    const struct json_node *root = &doc->nodes[0];
    bool batch = root->type == JSON_ARRAY;
    struct post *post = post_new(ingress, req, batch, batch ? root->count : 1);
    struct span header =
        http_header_count(req, "traceparent") == 1 ? http_header(req, "traceparent") : (struct span){0};
    traceparent_adopt(header, &ingress->entropy, post->traceparent);
    const struct signal_reader reader = {
        .hasher = ingress->hasher,
        .sender = *sender,
        .traceparent = {post->traceparent, TRACEPARENT},
        .now_ms = clock_wall_ms(ingress->options.clock),
        .max_signal = ingress->options.config->max_signal,
        .entropy = &ingress->entropy,
        .arena = &post->arena,
        .scratch = &ingress->scratch,
    };
    size_t refused = 0;
    size_t index = 0;
    if (!batch)
        refused += !take_signal(ingress, &reader, post, 0, root, doc->text);
    for (const struct json_node *node = batch ? json_first(doc, root) : NULL; node; node = json_next(doc, root, node))
        refused += !take_signal(ingress, &reader, post, index++, node, json_raw(doc, node));
    settled(ingress, post, refused + 1);
    if (ingress->ready.first)
        ingress_schedule_flush(ingress);
}

/* Refuses the request as a whole; sender NULL: not known yet. */
__attribute__((format(printf, 6, 7))) static int refuse_request(struct ingress *ingress, struct http_request *req,
                                                                const struct sender *sender, enum result result,
                                                                int status, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    http_problem(req, status, NULL, "%s", detail);
    refuse(ingress, &(struct refused){.sender = sender}, result, status, detail);
    return status == 413 ? -EMSGSIZE : status == 401 || status == 403 ? -EACCES : -EINVAL;
}

/* 0 when the body is JSON and an object or an array that is not too long; else it was answered. */
static int parse_body(struct ingress *ingress, struct http_request *req, const struct sender *sender)
{
    struct error err;
    int64_t max = ingress->options.config->max_batch;
    if (json_parse(&ingress->doc, http_body(req), &err))
        return refuse_request(ingress, req, sender, RESULT_INVALID, 400, "the body is not JSON: %s", err.text);
    const struct json_node *root = &ingress->doc.nodes[0];
    if (root->type != JSON_OBJECT && root->type != JSON_ARRAY)
        return refuse_request(ingress, req, sender, RESULT_INVALID, 400,
                              "byte %u: the body must be a signal (a JSON object) or an array of signals", root->start);
    if (root->type == JSON_ARRAY && root->count > max)
        return refuse_request(ingress, req, sender, RESULT_TOO_LARGE, 413,
                              "the array has %u signals, at most %lld are taken in one POST", root->count,
                              (long long)max);
    return 0;
}

/* The tenant the body names, before anything is believed: only to find the key that must have signed it. */
static struct span claimed_tenant(struct ingress *ingress)
{
    const struct json_doc *doc = &ingress->doc;
    const struct json_node *root = &doc->nodes[0];
    const struct json_node *signal = root->type == JSON_ARRAY ? json_first(doc, root) : root;
    return json_text(doc, json_get(doc, signal, "tenant_id"), &ingress->scratch);
}

static int unauthenticated(struct ingress *ingress, struct http_request *req, const char *detail)
{
    http_add_header(req, "WWW-Authenticate", SPAN("X-Signature"));
    return refuse_request(ingress, req, NULL, RESULT_UNAUTHENTICATED, 401, "%s", detail);
}

/* With keys: 0 when the body is signed, parsed too where that was needed to find the key. */
static int authenticate(struct ingress *ingress, struct http_request *req, struct sender *ret, bool *ret_parsed)
{
    struct error err;
    const struct key_config *key = NULL;
    const struct key_claim claim = {http_header(req, "X-Key-Id"), http_header(req, "X-Signature"), http_body(req)};
    struct span tenant = {NULL, 0};
    if (http_header_count(req, "X-Key-Id") > 1 || http_header_count(req, "X-Signature") > 1)
        return unauthenticated(ingress, req, "X-Key-Id and X-Signature must each be sent once");
    if (claim.signature.ptr && keys_need_tenant(ingress->keys, &claim)) {
        int rc = parse_body(ingress, req, NULL);
        if (rc)
            return rc;
        *ret_parsed = true;
        tenant = claimed_tenant(ingress);
    }
    int rc = keys_verify(ingress->keys, &claim, tenant, &key, &err);
    if (rc)
        return unauthenticated(ingress, req, err.text);
    *ret = (struct sender){.is_signed = true,
                           .may_event = key->role == CONFIG_ROLE_MARKETPLACE,
                           .tenant_id = strcmp(key->tenant, "*") == 0 ? (struct span){NULL, 0} : span_of(key->tenant),
                           .source = span_of(key->id)};
    return 0;
}

/* Without keys: who reaches loopback may send, but not a web page in a browser there. */
static int admit_local(struct ingress *ingress, struct http_request *req, struct sender *ret)
{
    if (!ingress_guard(ingress, req)) {
        refuse(ingress, &(struct refused){0}, RESULT_FORBIDDEN, 403, "");
        return -EACCES;
    }
    *ret = (struct sender){.may_event = true, .source = span_of(ingress->options.config->source)};
    return 0;
}

static int check_media(struct ingress *ingress, struct http_request *req)
{
    struct span encoding = http_header(req, "Content-Encoding");
    const char *detail = NULL;
    if (!guard_content_type(http_header(req, "Content-Type")))
        detail = "Content-Type must be application/json (curl: add -H 'Content-Type: application/json')";
    else if (encoding.ptr && !span_is(encoding, "identity"))
        detail = "Content-Encoding must be absent: send the JSON as it is";
    if (!detail)
        return 0;
    http_add_header(req, "Accept", SPAN("application/json"));
    return refuse_request(ingress, req, NULL, RESULT_INVALID, 415, "%s", detail);
}

void post_handle(void *ctx, struct http_request *req)
{
    struct ingress *ingress = ctx;
    struct sender sender;
    bool parsed = false;
    bool keyed = !keys_none(ingress->keys);
    if (!keyed && admit_local(ingress, req, &sender))
        return;
    if (check_media(ingress, req))
        return;
    if (keyed && authenticate(ingress, req, &sender, &parsed))
        return;
    if (!parsed && parse_body(ingress, req, &sender))
        return;
    read_signals(ingress, req, &sender);
}
