/* Request heads: llhttp in strict mode, and what it still lets pass (empty names, folded lines, bare LF at the end,
 * double spaces, other protocols, duplicates, unknown codings). Every verdict depends on bytes and their position only,
 * never on how they were cut into packets. Borrows the request; allocates nothing. */
#include "common/http/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { CRITICAL_HOST, CRITICAL_LENGTH, CRITICAL_CODING, CRITICAL_TYPE, CRITICAL_AUTHORIZATION, CRITICAL_EXPECT };

static const struct span critical[] = {
    [CRITICAL_HOST] = {"host", 4},
    [CRITICAL_LENGTH] = {"content-length", 14},
    [CRITICAL_CODING] = {"transfer-encoding", 17},
    [CRITICAL_TYPE] = {"content-type", 12},
    [CRITICAL_AUTHORIZATION] = {"authorization", 13},
    [CRITICAL_EXPECT] = {"expect", 6},
};
enum { CRITICAL_COUNT = sizeof(critical) / sizeof(critical[0]) };

bool http_name_is(struct span name, const char *lower)
{
    return name.len == strlen(lower) && strncasecmp(name.ptr, lower, name.len) == 0;
}

bool http_is_token(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

enum http_progress http_refuse(struct http_request *req, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(req->detail, sizeof(req->detail), format, args);
    va_end(args);
    req->head.refusal = status;
    req->head.unread = req->head.stage != STAGE_COMPLETE;
    req->head.stage = STAGE_REFUSED;
    return HTTP_BAD;
}

static bool has(const struct http_head *h, int which)
{
    return h->seen & (1U << which);
}

static void extend(struct http_request *req, struct http_part *part, const char *at, size_t len)
{
    uint32_t offset = (uint32_t)(at - req->data);
    if (part->len == 0)
        part->at = offset;
    part->len = offset + (uint32_t)len - part->at;
}

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *req = parser->data;
    extend(req, &req->head.method, at, len);
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *req = parser->data;
    extend(req, &req->head.target, at, len);
    return 0;
}

static int on_version(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *req = parser->data;
    extend(req, &req->head.version, at, len);
    return 0;
}

static size_t skip_spaces(const struct http_request *req, size_t at)
{
    while (at < req->len && (req->data[at] == ' ' || req->data[at] == '\t'))
        at++;
    return at;
}

/* Where the line of the newest field (or the request line) ends, or SIZE_MAX unless exactly CRLF stands there. */
static size_t line_end(const struct http_request *req)
{
    const struct http_head *h = &req->head;
    size_t at = h->version.at + h->version.len;
    if (h->field_count) {
        const struct http_field *f = &req->fields[h->field_count - 1];
        at = skip_spaces(req, f->value + f->value_len);
    }
    bool crlf = at + 2 <= req->len && req->data[at] == '\r' && req->data[at + 1] == '\n';
    return crlf ? at + 2 : SIZE_MAX;
}

static int refuse_line_end(struct http_request *req)
{
    http_refuse(req, 400, "each header line must end in CRLF and must not be folded");
    return -1;
}

/* llhttp reports names and values in as many pieces as the packets cut them: verdicts wait for their completion. */
static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *req = parser->data;
    struct http_field *f = &req->fields[req->head.field_count];
    uint32_t offset = (uint32_t)(at - req->data);
    if (!req->head.in_name)
        *f = (struct http_field){.name = offset};
    req->head.in_name = true;
    f->name_len = offset + (uint32_t)len - f->name;
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    struct http_request *req = parser->data;
    struct http_head *h = &req->head;
    struct http_field *f = &req->fields[h->field_count];
    h->in_name = false;
    if (line_end(req) != f->name)
        return refuse_line_end(req);
    if (h->field_count == HTTP_FIELDS_MAX) {
        http_refuse(req, 431, "the request has more than %d header fields", HTTP_FIELDS_MAX);
        return -1;
    }
    if (f->name_len == 0) {
        http_refuse(req, 400, "a header field has no name");
        return -1;
    }
    f->value = f->name + f->name_len + 1;
    h->field_count++;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct http_request *req = parser->data;
    struct http_field *f = &req->fields[req->head.field_count - 1];
    uint32_t offset = (uint32_t)(at - req->data);
    if (len == 0)
        return 0;
    if (f->value_len == 0 && skip_spaces(req, f->value) == offset)
        f->value = offset;
    else if (offset != f->value + f->value_len)
        req->head.folded = true;
    f->value_len += (uint32_t)len;
    return 0;
}

static int note_critical(struct http_request *req, int which, uint32_t field)
{
    struct http_head *h = &req->head;
    if (has(h, which)) {
        http_refuse(req, 400, "the header %s occurs more than once", critical[which].ptr);
        return -1;
    }
    if (req->fields[field].value_len == 0) {
        http_refuse(req, 400, "the header %s is empty", critical[which].ptr);
        return -1;
    }
    h->seen |= 1U << which;
    if (which == CRITICAL_HOST)
        h->host = field;
    else if (which == CRITICAL_CODING)
        h->transfer_encoding = field;
    else if (which == CRITICAL_EXPECT)
        h->expect = field;
    return 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct http_request *req = parser->data;
    uint32_t index = req->head.field_count - 1;
    struct http_field *f = &req->fields[index];
    const char *value = req->data + f->value;
    if (req->head.folded)
        return refuse_line_end(req);
    while (f->value_len && (value[f->value_len - 1] == ' ' || value[f->value_len - 1] == '\t'))
        f->value_len--;
    for (int i = 0; i < CRITICAL_COUNT; i++)
        if (critical[i].len == f->name_len && strncasecmp(req->data + f->name, critical[i].ptr, f->name_len) == 0)
            return note_critical(req, i, index);
    return 0;
}

static int on_head_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED; /* the body is ours */
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_version = on_version,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_head_complete,
};

static struct span field_value(const struct http_request *req, uint32_t field)
{
    return (struct span){req->data + req->fields[field].value, req->fields[field].value_len};
}

/* Exactly "METHOD SP target SP HTTP/d.d". */
static bool request_line_exact(const struct http_request *req)
{
    const struct http_head *h = &req->head;
    return h->target.at == h->method.len + 1 && h->version.len == 3 &&
           h->version.at == h->target.at + h->target.len + sizeof(" HTTP/") - 1 &&
           memcmp(req->data + h->version.at - 6, " HTTP/", 6) == 0;
}

static enum http_progress check_host(struct http_request *req)
{
    if (!has(&req->head, CRITICAL_HOST)) {
        if (req->parser.http_minor == 0)
            return HTTP_MORE;
        return http_refuse(req, 400, "the header host is missing");
    }
    struct span host = field_value(req, req->head.host);
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("/@?#\\\"<>{}|^`", c))
            return http_refuse(req, 400, "the header host is not a host with an optional port");
    }
    return HTTP_MORE;
}

static enum http_progress check_coding(struct http_request *req)
{
    struct span coding = field_value(req, req->head.transfer_encoding);
    if (has(&req->head, CRITICAL_LENGTH))
        return http_refuse(req, 400, "content-length and transfer-encoding exclude each other");
    if (req->parser.http_minor == 0)
        return http_refuse(req, 400, "HTTP/1.0 has no transfer-encoding");
    if (!http_name_is(coding, "chunked"))
        return http_refuse(req, 501, "the only transfer coding known here is chunked");
    req->head.stage = STAGE_CHUNKS;
    return HTTP_MORE;
}

static enum http_progress check_length(struct http_request *req)
{
    size_t max = req->server->limits.body_bytes;
    if (req->parser.content_length > max)
        return http_refuse(req, 413, "the body is larger than %zu bytes", max);
    req->head.body_len = (size_t)req->parser.content_length;
    req->head.stage = STAGE_IDENTITY;
    return HTTP_MORE;
}

static enum http_progress check_expect(struct http_request *req)
{
    struct http_head *h = &req->head;
    if (req->parser.http_minor == 0)
        return HTTP_MORE; /* RFC 9110, 10.1.1: ignored */
    if (!http_name_is(field_value(req, h->expect), "100-continue"))
        return http_refuse(req, 417, "the only expectation known here is 100-continue");
    h->expects = h->stage == STAGE_CHUNKS || h->body_len > 0;
    return HTTP_MORE;
}

/* The head is complete and well-formed line by line: what it says, in order of precedence. */
static enum http_progress check_head(struct http_request *req)
{
    struct http_head *h = &req->head;
    if (h->version.len == 0)
        return http_refuse(req, 400, "the request line has no protocol version; HTTP/1.1 is spoken here");
    if (!request_line_exact(req))
        return http_refuse(req, 400, "the request line must be method, target and HTTP/1.1, one space between them");
    if (req->parser.http_major != 1)
        return http_refuse(req, 505, "HTTP/1.1 is spoken here");
    size_t end = line_end(req);
    if (end == SIZE_MAX || end + 2 > req->len || memcmp(req->data + end, "\r\n", 2) != 0) {
        refuse_line_end(req);
        return HTTP_BAD;
    }
    h->head_end = h->parsed = end + 2;
    h->head_method = req->parser.method == HTTP_HEAD;
    h->keep_alive = req->parser.http_minor == 1 && llhttp_should_keep_alive(&req->parser);
    if (req->parser.method == HTTP_CONNECT)
        return http_refuse(req, 501, "this server is no proxy");
    if (check_host(req) == HTTP_BAD || http_target_parse(req) == HTTP_BAD)
        return HTTP_BAD;
    if ((has(h, CRITICAL_CODING) ? check_coding(req) : check_length(req)) == HTTP_BAD)
        return HTTP_BAD;
    return has(h, CRITICAL_EXPECT) ? check_expect(req) : HTTP_MORE;
}

static enum http_progress head_complete(struct http_request *req)
{
    if (check_head(req) == HTTP_BAD)
        return HTTP_BAD;
    http_route_find(req);
    if (req->head.expects) {
        /* The final answer is known already: no need to have the body sent. */
        if (!req->head.route) {
            req->head.keep_alive = false;
            req->head.unread = true;
            req->head.stage = STAGE_COMPLETE;
            req->head.body_len = 0;
            return HTTP_DONE;
        }
        if (req->len == req->head.head_end)
            http_reply_continue(req->connection);
    }
    return http_parse(req);
}

/* A method llhttp does not know: 501 if its line is otherwise in order, which takes the whole line to tell. */
static enum http_progress parse_unknown_method(struct http_request *req)
{
    size_t max = req->server->limits.header_bytes, end = req->len < max ? req->len : max, n = 0;
    while (n < end && http_is_token(req->data[n]))
        n++;
    if (n < end && (n == 0 || req->data[n] != ' '))
        return http_refuse(req, 400, "this is not an HTTP request");
    const char *lf = memchr(req->data, '\n', end);
    if (!lf) {
        req->head.stage = STAGE_METHOD;
        return end < max ? HTTP_MORE : http_refuse(req, 431, "the request line is larger than %zu bytes", max);
    }
    static const char tail[] = " HTTP/1.1\r";
    size_t line = (size_t)(lf - req->data);
    if (line > n + sizeof(tail) - 1 && memcmp(lf - (sizeof(tail) - 1), tail, sizeof(tail) - 1) == 0)
        return http_refuse(req, 501, "the method is not known here");
    return http_refuse(req, 400, "this is not an HTTP request");
}

static bool other_version(const struct http_request *req, llhttp_errno_t error)
{
    if ((error != HPE_INVALID_VERSION && error != HPE_PAUSED_H2_UPGRADE) || !request_line_exact(req))
        return false;
    struct span version = http_request_part(req, req->head.version);
    return !span_is(version, "1.1") && !span_is(version, "1.0");
}

/* llhttp stopped within the newest value, a length: were its digits more than the cap already? */
static bool length_overflows(const struct http_request *req)
{
    const char *stop = llhttp_get_error_pos(&req->parser);
    const char *at = req->data + skip_spaces(req, req->fields[req->head.field_count - 1].value);
    size_t length = 0;
    while (at < stop && *at >= '0' && *at <= '9' && length <= req->server->limits.body_bytes)
        length = length * 10 + (size_t)(*at++ - '0');
    return length > req->server->limits.body_bytes;
}

static enum http_progress refuse_parsed(struct http_request *req, llhttp_errno_t error)
{
    if (req->head.stage == STAGE_REFUSED)
        return HTTP_BAD;
    if (other_version(req, error))
        return http_refuse(req, 505, "HTTP/1.1 is spoken here");
    switch (error) {
    case HPE_INVALID_METHOD:
        return parse_unknown_method(req);
    case HPE_INVALID_CONTENT_LENGTH:
        if (length_overflows(req))
            return http_refuse(req, 413, "the body is larger than %zu bytes", req->server->limits.body_bytes);
        return http_refuse(req, 400, "content-length must be decimal digits");
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return http_refuse(req, 400, "content-length occurs twice or beside transfer-encoding");
    case HPE_INVALID_TRANSFER_ENCODING:
        return http_refuse(req, 400, "transfer-encoding must be chunked, once and last");
    case HPE_INVALID_URL:
        return http_refuse(req, 400, "the target holds a character that must be percent-encoded");
    case HPE_UNEXPECTED_SPACE:
        refuse_line_end(req);
        return HTTP_BAD;
    default:
        return http_refuse(req, 400, "malformed request: %s", req->parser.reason ? req->parser.reason : "syntax");
    }
}

static enum http_progress parse_head(struct http_request *req)
{
    struct http_head *h = &req->head;
    size_t max = req->server->limits.header_bytes;
    size_t end = req->len < max ? req->len : max;
    llhttp_errno_t error = llhttp_execute(&req->parser, req->data + h->parsed, end - h->parsed);
    h->parsed = end;
    if (error == HPE_PAUSED)
        return head_complete(req);
    if (error != HPE_OK)
        return refuse_parsed(req, error);
    if (end == max)
        return http_refuse(req, 431, "request line and header section are larger than %zu bytes", max);
    return HTTP_MORE;
}

/* Empty lines before a request are skipped (RFC 9112, 2.2); they do not begin it. */
static enum http_progress parse_start(struct http_request *req)
{
    size_t skip = 0;
    while (skip + 2 <= req->len && req->data[skip] == '\r' && req->data[skip + 1] == '\n')
        skip += 2;
    req->len -= skip;
    memmove(req->data, req->data + skip, req->len);
    if (req->len == 0 || (req->len == 1 && req->data[0] == '\r'))
        return HTTP_MORE;
    req->head.started_us = req->server->now_us;
    if (req->data[0] == '\r' || req->data[0] == '\n')
        return http_refuse(req, 400, "this is not an HTTP request");
    llhttp_init(&req->parser, HTTP_REQUEST, &settings);
    req->parser.data = req;
    req->head.stage = STAGE_HEAD;
    return parse_head(req);
}

enum http_progress http_parse(struct http_request *req)
{
    struct http_head *h = &req->head;
    switch (h->stage) {
    case STAGE_START:
        return parse_start(req);
    case STAGE_HEAD:
        return parse_head(req);
    case STAGE_METHOD:
        return parse_unknown_method(req);
    case STAGE_IDENTITY:
        if (req->len - h->head_end < h->body_len)
            return HTTP_MORE;
        h->parsed = h->head_end + h->body_len;
        h->stage = STAGE_COMPLETE;
        return HTTP_DONE;
    case STAGE_CHUNKS:
        return http_chunks_parse(req);
    default:
        return HTTP_BAD;
    }
}
