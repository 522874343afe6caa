/* One signal is sent as an object, several as an array. An array refused as a whole (too long for this server's limits,
 * or nested too deep for an array but not for an object) is sent in halves, so that only what is bad is refused. */
#include "apps/cli/signal_post.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/http/http.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAUSE_FIRST_MS = 250, PAUSE_MAX_MS = 30000, TEXT_MAX = 1 << 16, HEADERS_MAX = 3 };

struct signal_post {
    struct signal_post_options options;
    struct hmac *hmac;
    struct buf body;
    struct buf text; /* of the result being told */
    struct buf id;
    struct response response;
    struct json_doc doc;
    bool answered;         /* the server has answered before: a silence may pass */
    int64_t progress_us;   /* monotonic, when a signal was last settled */
    int64_t pause_ms;      /* the next one after a failure of the connection */
    int64_t retry_after_s; /* the longest named by what was put off */
    int put_off_status;    /* of the last one put off, and why */
    struct buf put_off_why;
};

struct signal_post *signal_post_new(const struct signal_post_options *options)
{
    struct signal_post *post = xcalloc(1, sizeof(*post));
    post->options = *options;
    if (options->secret.len)
        post->hmac = hmac_new(options->secret);
    buf_init(&post->body, 2 * SIGNAL_POST_BYTES + 2);
    buf_init(&post->text, TEXT_MAX);
    buf_init(&post->id, TEXT_MAX);
    buf_init(&post->put_off_why, TEXT_MAX);
    response_init(&post->response);
    json_init(&post->doc);
    return post;
}

void signal_post_free(struct signal_post *post)
{
    if (!post)
        return;
    hmac_free(post->hmac);
    buf_done(&post->body);
    buf_done(&post->text);
    buf_done(&post->id);
    buf_done(&post->put_off_why);
    response_done(&post->response);
    json_done(&post->doc);
    free(post);
}

/* --- results ----------------------------------------------------------------------------------------------------- */

static void settled(struct signal_post *post)
{
    post->progress_us = clock_mono_us(&clock_system);
    post->pause_ms = PAUSE_FIRST_MS;
}

static void tell_accepted(struct signal_post *post, const struct outgoing *item, const struct json_node *answer)
{
    struct signal_result result = {.line = item->line, .status = 202};
    const struct json_node *duplicate = json_get(&post->doc, answer, "duplicate");
    buf_clear(&post->id);
    result.signal_id = json_text(&post->doc, json_get(&post->doc, answer, "signal_id"), &post->id);
    result.duplicate = duplicate && duplicate->type == JSON_TRUE;
    settled(post);
    post->options.result(post->options.ctx, &result);
}

/* "byte 187: …" counts from the begin of the body, which only this program has seen. */
static void add_detail(struct signal_post *post, const struct outgoing *item, const struct json_node *problem,
                       int status)
{
    static const char prefix[] = "byte ";
    struct buf *text = &post->text;
    char *end = NULL;
    buf_clear(text);
    problem_text(&post->doc, problem, status, text);
    const char *detail = buf_cstr(text);
    if (strncmp(detail, prefix, strlen(prefix)) != 0)
        return;
    uint64_t byte = strtoull(detail + strlen(prefix), &end, 10);
    if (*end != ':' || byte < item->at || byte > item->at + item->bytes.len)
        return;
    byte -= item->at;
    byte = byte == 0 ? 0 : byte > item->added ? byte - item->added : 1;
    char *rest = xstrdup(end);
    buf_clear(text);
    buf_addf(text, "byte %" PRIu64 "%s", byte, rest);
    free(rest);
}

/* problem: may be NULL, if the answer is none. */
static void tell_refused(struct signal_post *post, const struct outgoing *item, int status,
                         const struct json_node *problem)
{
    struct signal_result result = {.line = item->line, .status = status};
    struct buf made;
    add_detail(post, item, problem, status);
    result.detail = buf_span(&post->text);
    buf_init(&made, TEXT_MAX);
    http_problem_json(&made, status, NULL, "%s", buf_cstr(&post->text));
    result.problem = problem ? json_raw(&post->doc, problem) : buf_span(&made);
    settled(post);
    post->options.result(post->options.ctx, &result);
    buf_done(&made);
}

static bool is_put_off(int status)
{
    return status == 429 || status == 503;
}

static void note_put_off(struct signal_post *post, int status, const struct json_node *problem)
{
    if (post->retry_after_s < post->response.retry_after_s)
        post->retry_after_s = post->response.retry_after_s;
    post->put_off_status = status;
    buf_clear(&post->put_off_why);
    problem_text(&post->doc, problem, status, &post->put_off_why);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* Whether the array's results are count in order, so that they can be told apart. */
static bool results_fit(const struct json_doc *doc, const struct json_node *results, size_t count)
{
    int64_t at = 0;
    int64_t status;
    if (!results || results->type != JSON_ARRAY || results->count != count)
        return false;
    for (const struct json_node *node = json_first(doc, results); node; node = json_next(doc, results, node)) {
        const struct json_node *index = node->type == JSON_OBJECT ? json_get(doc, node, "index") : NULL;
        const struct json_node *code = index ? json_get(doc, node, "status") : NULL;
        int64_t value;
        if (!code || json_int(doc, index, at, at, &value) || json_int(doc, code, 100, 999, &status))
            return false;
        at++;
    }
    return true;
}

/* Tells the results; moves what was put off to the front of items and returns how many those are. */
static size_t tell_results(struct signal_post *post, struct outgoing *items, const struct json_node *results)
{
    const struct json_doc *doc = &post->doc;
    size_t left = 0;
    size_t i = 0;
    for (const struct json_node *node = json_first(doc, results); node; node = json_next(doc, results, node), i++) {
        int64_t status = 0;
        (void)!json_int(doc, json_get(doc, node, "status"), 100, 999, &status);
        if (status == 202) {
            tell_accepted(post, &items[i], node);
        } else if (is_put_off((int)status)) {
            note_put_off(post, (int)status, json_get(doc, node, "problem"));
            items[left++] = items[i];
        } else {
            tell_refused(post, &items[i], (int)status, json_get(doc, node, "problem"));
        }
    }
    return left;
}

static const struct json_node *parsed(struct signal_post *post)
{
    if (json_parse(&post->doc, buf_span(&post->response.body), NULL) || post->doc.nodes[0].type != JSON_OBJECT)
        return NULL;
    return &post->doc.nodes[0];
}

/* Sending more is useless. */
static int give_up(struct signal_post *post, const struct outgoing *first, const char *why)
{
    const struct signal_post_options *o = &post->options;
    o->pause(o->ctx, 0);
    return cli_fail(o->cli, EXIT_FAILED, "%s: %s. Sending stopped at line %" PRIu64 ".", client_url(o->client), why,
                    first->line);
}

static int refused_whole(struct signal_post *post, const struct outgoing *first)
{
    buf_clear(&post->text);
    response_problem(&post->response, &post->text);
    return give_up(post, first, buf_cstr(&post->text));
}

/* --- one POST ---------------------------------------------------------------------------------------------------- */

static void make_body(struct signal_post *post, struct outgoing *items, size_t count)
{
    struct buf *body = &post->body;
    buf_clear(body);
    if (count == 1) {
        items[0].at = 0;
        buf_add_span(body, items[0].bytes);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        buf_add_char(body, i ? ',' : '[');
        items[i].at = body->len;
        buf_add_span(body, items[i].bytes);
    }
    buf_add_char(body, ']');
}

static int post_body(struct signal_post *post, struct error *err)
{
    const char *headers[HEADERS_MAX + 1] = {NULL};
    char signature[sizeof("X-Signature: ") + SHA256_HEX] = "X-Signature: ";
    char key_id[256];
    size_t count = 0;
    if (post->hmac) {
        uint8_t mac[SHA256_SIZE];
        hmac_sha256(post->hmac, buf_span(&post->body), mac);
        hex_encode(mac, sizeof(mac), signature + strlen(signature));
        headers[count++] = signature;
    }
    if (post->options.key_id) {
        snprintf(key_id, sizeof(key_id), "X-Key-Id: %s", post->options.key_id);
        headers[count++] = key_id;
    }
    return client_post(post->options.client, "/v1/signals", headers, buf_span(&post->body), &post->response, err);
}

static int send_halves(struct signal_post *post, struct outgoing *items, size_t count)
{
    int code = signal_post_send(post, items, count / 2);
    return code ? code : signal_post_send(post, items + count / 2, count - count / 2);
}

/* What an answer means for the items: 0, and in *left how many at the front are put off; or an exit code. */
static int settle(struct signal_post *post, struct outgoing *items, size_t count, size_t *left)
{
    int status = post->response.status;
    const struct json_node *root = parsed(post);
    *left = 0;
    if (is_put_off(status) || status == 502 || status == 504) {
        note_put_off(post, status, root);
        *left = count;
        return 0;
    }
    if (count == 1 && status == 202 && root) {
        tell_accepted(post, &items[0], root);
        return 0;
    }
    if (count == 1 && (status == 400 || status == 403 || status == 413)) {
        tell_refused(post, &items[0], status, root);
        return 0;
    }
    if (status == 400 || status == 413)
        return send_halves(post, items, count);
    if (status != 202 && status != 207)
        return refused_whole(post, &items[0]);
    const struct json_node *results = root ? json_get(&post->doc, root, "results") : NULL;
    if (!results_fit(&post->doc, results, count))
        return give_up(post, &items[0], "the answer is not that of an ingress, see --server");
    *left = tell_results(post, items, results);
    return 0;
}

/* --- again and again --------------------------------------------------------------------------------------------- */

/* Sleeps before the next try; false if that would be beyond the time for retries. */
static bool wait_for(struct signal_post *post, int64_t ms)
{
    int64_t spent_ms = (clock_mono_us(&clock_system) - post->progress_us) / 1000;
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (spent_ms + ms > post->options.retry_for_ms)
        return false;
    post->options.pause(post->options.ctx, ms);
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
        ;
    return true;
}

/* After no answer came. 0: try again; or an exit code. */
static int after_silence(struct signal_post *post, int rc, const struct outgoing *first, const struct error *err)
{
    const struct signal_post_options *o = &post->options;
    int64_t ms = post->pause_ms;
    post->pause_ms = ms * 2 < PAUSE_MAX_MS ? ms * 2 : PAUSE_MAX_MS;
    if (rc != -EPROTO && (post->answered || rc != -ECONNREFUSED) && wait_for(post, ms))
        return 0;
    o->pause(o->ctx, 0);
    cli_note(o->cli, "%s", err->text);
    if (post->answered)
        cli_note(o->cli, "line %" PRIu64 " and those behind it have no answer: send them again from there",
                 first->line);
    return EXIT_UNREACHABLE;
}

/* Put off for too long: the last answer is the result. */
static void refuse_put_off(struct signal_post *post, const struct outgoing *items, size_t count)
{
    struct signal_result result = {.status = post->put_off_status};
    struct buf detail;
    buf_init(&detail, TEXT_MAX);
    buf_addf(&detail, "%s (asked for %" PRId64 " s)", buf_cstr(&post->put_off_why), post->options.retry_for_ms / 1000);
    buf_clear(&post->text);
    http_problem_json(&post->text, result.status, NULL, "%s", buf_cstr(&detail));
    result.detail = buf_span(&detail);
    result.problem = buf_span(&post->text);
    for (size_t i = 0; i < count; i++) {
        result.line = items[i].line;
        post->options.result(post->options.ctx, &result);
    }
    buf_done(&detail);
}

int signal_post_send(struct signal_post *post, struct outgoing *items, size_t count)
{
    struct error err;
    settled(post);
    while (count > 0) {
        post->retry_after_s = 1;
        make_body(post, items, count);
        int rc = post_body(post, &err);
        if (rc) {
            int code = after_silence(post, rc, &items[0], &err);
            if (code)
                return code;
            continue;
        }
        post->answered = true;
        int code = settle(post, items, count, &count);
        if (code)
            return code;
        int64_t ms = post->retry_after_s * 1000;
        if (count && !wait_for(post, ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS)) {
            refuse_put_off(post, items, count);
            return 0;
        }
    }
    return 0;
}
