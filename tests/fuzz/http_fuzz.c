/* HTTP parsing without sockets. Input: two bytes (little-endian) say where the rest is cut into two reads. Answers must
 * be the same for every cut, but for the 100 that is only sent while the body has not come. */
#include "common/http/http.h"
#include "common/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t no_time(void *ctx)
{
    (void)ctx;
    return 784111777000;
}

static void add(struct buf *out, struct span text)
{
    buf_add_u64(out, text.len);
    buf_add_char(out, ' ');
    buf_add_span(out, text);
}

static void on_request(void *ctx, struct http_request *req)
{
    static const char *const names[] = {"host", "content-type", "x-a", "authorization", "content-length"};
    struct buf out;
    struct span value;
    (void)ctx;
    buf_init(&out, 1 << 20);
    add(&out, http_method(req));
    add(&out, http_target(req));
    add(&out, http_path(req));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        add(&out, http_header(req, names[i]));
        buf_add_u64(&out, http_header_count(req, names[i]));
        if (http_query(req, names[i], &value))
            add(&out, value);
        add(&out, http_param(req, names[i]));
    }
    add(&out, http_body(req));
    if (http_header_count(req, "x-problem"))
        http_problem(req, 503, NULL, "%.*s", (int)http_body(req).len, http_body(req).ptr);
    else
        http_reply(req, 200, "text/plain", buf_span(&out));
    buf_done(&out);
}

static const struct http_route routes[] = {
    {"GET", "/", on_request},        {"POST", "/a", on_request},
    {"GET", "/{x-a}", on_request},   {"POST", "/{x-a}/b/{host}", on_request},
    {"PUT", "/{x-a}/c", on_request}, {NULL},
};

static const struct clock still = {no_time, no_time, NULL};

/* Without the interim answers. */
static void answers(struct span input, size_t cut, struct buf *ret)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct http_options options = {
        .limits = {.connections = 1, .idle_ms = 1, .deadline_ms = 1, .header_bytes = 1024, .body_bytes = 512},
        .routes = routes,
        .clock = &still,
    };
    buf_init(ret, 64 << 20);
    http_fuzz(&options, input, cut, ret);
    if (ret->len && (ret->len < 9 || memcmp(ret->data, "HTTP/1.1 ", 9) != 0))
        abort();
    for (size_t at = 0; at + sizeof(interim) - 1 <= ret->len;) {
        if (memcmp(ret->data + at, interim, sizeof(interim) - 1) != 0) {
            at++;
            continue;
        }
        ret->len -= sizeof(interim) - 1;
        memmove(ret->data + at, ret->data + at + sizeof(interim) - 1, ret->len - at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span input = {(const char *)data + 2, size - 2};
    size_t cut = (data[0] | (size_t)data[1] << 8) % (input.len + 1);
    struct buf whole, pieces;
    answers(input, 0, &whole);
    answers(input, cut, &pieces);
    if (!span_eq(buf_span(&whole), buf_span(&pieces)))
        abort();
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
