/* The answer of a POST: 202 with the status URL or a problem for one signal, results by index for a batch. Built in the
 * ingress's one output buffer; http copies it. */
#include "ingress/internal.h"

#include <stdio.h>

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static void add_percent_encoded(struct buf *out, struct span text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = buf_reserve(out, 3 * text.len);
    if (!at)
        return;
    char *start = at;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (is_unreserved(text.ptr[i])) {
            *at++ = text.ptr[i];
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    out->len += (size_t)(at - start);
}

static void add_retry_after(struct http_request *req, int64_t seconds)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)seconds);
    http_add_header(req, "Retry-After", (struct span){text, (size_t)len});
}

static void add_location(struct ingress *ingress, struct http_request *req, const struct identity *identity)
{
    struct buf *url = &ingress->out;
    buf_clear(url);
    if (ingress->options.status_url)
        buf_add_str(url, ingress->options.status_url);
    buf_add_str(url, "/v1/signals/");
    add_percent_encoded(url, identity->id);
    buf_add_str(url, "?tenant_id=");
    add_percent_encoded(url, identity->tenant_id);
    buf_add_str(url, "&entitlement_id=");
    add_percent_encoded(url, identity->entitlement_id);
    http_add_header(req, "Location", buf_span(url));
}

static struct span problem_of(const struct post *post, const struct item *item)
{
    return (struct span){post->problems.data + item->problem_at, item->problem_len};
}

static void send_single(struct ingress *ingress, struct post *post)
{
    const struct item *item = &post->items[0];
    if (item->status != 202) {
        http_reply(post->req, item->status, "application/problem+json", problem_of(post, item));
        return;
    }
    struct buf *out = &ingress->out;
    http_add_header(post->req, "X-Signal-Id", item->identity.id);
    add_location(ingress, post->req, &item->identity);
    buf_clear(out);
    buf_add_str(out, "{\"status\":\"accepted\",\"signal_id\":\"");
    buf_add_span(out, item->identity.id); /* its characters need no escape */
    buf_add_str(out, item->duplicate ? "\",\"duplicate\":true}" : "\"}");
    http_reply(post->req, 202, "application/json", buf_span(out));
}

static void add_result(struct buf *out, const struct post *post, size_t index)
{
    const struct item *item = &post->items[index];
    buf_add_str(out, index ? ",{\"index\":" : "{\"index\":");
    buf_add_u64(out, index);
    if (item->status == 202) {
        buf_add_str(out, ",\"status\":202,\"signal_id\":\"");
        buf_add_span(out, item->identity.id);
        buf_add_str(out, item->duplicate ? "\",\"duplicate\":true}" : "\"}");
    } else {
        buf_add_str(out, ",\"status\":");
        buf_add_u64(out, (uint64_t)item->status);
        buf_add_str(out, ",\"problem\":");
        buf_add_span(out, problem_of(post, item));
        buf_add_char(out, '}');
    }
}

static void send_batch(struct ingress *ingress, struct post *post)
{
    struct buf *out = &ingress->out;
    bool all = true;
    buf_clear(out);
    buf_add_str(out, "{\"results\":[");
    for (size_t i = 0; i < post->count; i++) {
        all &= post->items[i].status == 202;
        add_result(out, post, i);
    }
    buf_add_str(out, "]}");
    http_reply(post->req, all ? 202 : 207, "application/json", buf_span(out));
}

void answer_refuse(struct post *post, struct item *item, int status, const char *extra, const char *detail)
{
    item->status = status;
    item->problem_at = post->problems.len;
    http_problem_json(&post->problems, status, extra, "%s", detail);
    item->problem_len = post->problems.len - item->problem_at;
}

void answer_send(struct ingress *ingress, struct post *post)
{
    if (post->retry_s)
        add_retry_after(post->req, post->retry_s);
    if (post->batch)
        send_batch(ingress, post);
    else
        send_single(ingress, post);
}
