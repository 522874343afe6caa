/* Answers: status line, headers, body into the connection's output, and RFC 9457 problems. An answer to a client that
 * has gone only frees its request. One that cannot be formatted within its caps becomes a 500. */
#include "common/http/internal.h"

#include "common/json/json.h"
#include "common/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { DETAIL_MAX = 1024 };

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {207, "Multi-Status"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Unknown";
}

/* "Date: …" and, if there is a name, "Server: …", formatted once a second. */
static struct span date_lines(struct http_server *server)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t now_s = clock_wall_ms(server->clock) / 1000;
    if (now_s != server->date_s || server->date_len == 0) {
        time_t seconds = (time_t)now_s;
        struct tm tm = {.tm_mday = 1};
        gmtime_r(&seconds, &tm);
        int n = snprintf(server->date_lines, sizeof(server->date_lines),
                         "\r\nDate: %s, %02d %s %04d %02d:%02d:%02d GMT%s%.64s\r\n", days[tm.tm_wday], tm.tm_mday,
                         months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
                         server->server_name ? "\r\nServer: " : "", server->server_name ? server->server_name : "");
        server->date_len = (size_t)n < sizeof(server->date_lines) ? (size_t)n : sizeof(server->date_lines) - 1;
        server->date_s = now_s;
    }
    return (struct span){server->date_lines, server->date_len};
}

void http_add_header(struct http_request *req, const char *name, struct span value)
{
    struct buf *out = &req->headers;
    if (http_name_is(span_of(name), "retry-after"))
        req->head.retry_after = true;
    buf_add_str(out, name);
    buf_add_str(out, ": ");
    char *at = buf_reserve(out, value.len);
    for (size_t i = 0; at && i < value.len; i++) /* no value may end its line */
        at[i] = (unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f ? ' ' : value.ptr[i];
    if (at)
        out->len += value.len;
    buf_add_str(out, "\r\n");
}

static void add_head(struct http_request *req, struct buf *out, int status, const char *content_type, size_t body_len)
{
    static const char digits[] = "0123456789";
    char code[4] = {digits[status / 100 % 10], digits[status / 10 % 10], digits[status % 10], ' '};
    buf_add(out, "HTTP/1.1 ", 9);
    buf_add(out, code, sizeof(code));
    buf_add_str(out, http_status_text(status));
    buf_add_span(out, date_lines(req->server));
    if (content_type) {
        buf_add(out, "Content-Type: ", 14);
        buf_add_str(out, content_type);
        buf_add(out, "\r\n", 2);
    }
    if (status != 204 && status != 304) {
        buf_add(out, "Content-Length: ", 16);
        buf_add_u64(out, body_len);
        buf_add(out, "\r\n", 2);
    }
    if (req->connection->closing)
        buf_add_str(out, "Connection: close\r\n");
    if ((status == 429 || status == 503) && !req->head.retry_after)
        buf_add_str(out, "Retry-After: 1\r\n");
    buf_add_span(out, buf_span(&req->headers));
    buf_add(out, "\r\n", 2);
}

static bool add_answer(struct http_request *req, int status, const char *content_type, struct span body)
{
    struct buf *out = http_connection_out(req->connection);
    bool with_body = !req->head.head_method && status != 204 && status != 304;
    if (req->headers.failed || body.len > HTTP_REPLY_MAX)
        return false;
    buf_reserve(out, 512 + req->headers.len + (with_body ? body.len : 0));
    add_head(req, out, status, content_type, body.len);
    if (with_body)
        buf_add_span(out, body);
    return true;
}

void http_reply(struct http_request *req, int status, const char *content_type, struct span body)
{
    struct http_connection *c = req->connection;
    if (!c) {
        http_request_release(req);
        return;
    }
    const struct http_head *h = &req->head;
    if (!h->keep_alive || h->unread || req->server->draining) {
        c->closing = true;
        c->linger = h->unread || h->keep_alive;
    }
    if (!add_answer(req, status, content_type, body)) {
        buf_clear(&req->headers);
        status = 500;
        add_answer(req, status, NULL, (struct span){0});
    }
    http_connection_answered(c, h->route, status);
}

void http_reply_continue(struct http_connection *c)
{
    buf_add_str(http_connection_out(c), "HTTP/1.1 100 Continue\r\n\r\n");
}

static void problem_json(struct buf *out, int status, const char *extra, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
static void problem_json(struct buf *out, int status, const char *extra, const char *format, va_list args)
{
    char detail[DETAIL_MAX];
    vsnprintf(detail, sizeof(detail), format, args);
    struct span text = span_of(detail);
    for (size_t i = 0, n; i < text.len; i += n) {
        n = utf8_sequence(detail + i, text.len - i);
        if (n == 0) {
            detail[i] = '?';
            n = 1;
        }
    }
    buf_add_str(out, "{\"type\":\"about:blank\"");
    json_add_member(out, "title", span_of(http_status_text(status)));
    json_add_member_u64(out, "status", (uint64_t)status);
    json_add_member(out, "detail", text);
    if (extra)
        buf_add_str(out, extra);
    buf_add_char(out, '}');
}

void http_problem_json(struct buf *out, int status, const char *extra, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    problem_json(out, status, extra, format, args);
    va_end(args);
}

void http_problem(struct http_request *req, int status, const char *extra, const char *format, ...)
{
    struct buf body;
    buf_init(&body, HTTP_REPLY_MAX);
    va_list args;
    va_start(args, format);
    problem_json(&body, status, extra, format, args);
    va_end(args);
    http_reply(req, status, "application/problem+json", buf_span(&body));
    buf_done(&body);
}
