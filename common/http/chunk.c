/* Chunked bodies (RFC 9112, 7.1), decoded in place. llhttp parses heads only: its chunk parser takes a bare LF and
 * folded or nameless trailer fields, and refuses two extensions. Nothing is lenient here: sizes are 1 to 16 hex digits,
 * every line ends in CRLF, extensions and trailers are checked, counted and dropped. Owns nothing. */
#include "common/http/internal.h"

enum { SIZE_DIGITS_MAX = 16 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static enum http_progress size_byte(struct http_request *req, char c)
{
    struct http_chunks *ch = &req->head.chunks;
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (++ch->digits > SIZE_DIGITS_MAX)
            return http_refuse(req, 400, "a chunk size has more than %d digits", SIZE_DIGITS_MAX);
        ch->left = ch->left << 4 | (unsigned)digit;
        return HTTP_MORE;
    }
    if (ch->digits == 0 || (c != '\r' && c != ';'))
        return http_refuse(req, 400, "a chunk size must be hexadecimal digits followed by CRLF");
    if (ch->left > req->server->limits.body_bytes - req->head.body_len)
        return http_refuse(req, 413, "the body is larger than %zu bytes", req->server->limits.body_bytes);
    ch->last = ch->left == 0;
    ch->digits = 0;
    ch->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return HTTP_MORE;
}

static enum http_progress trailer_byte(struct http_request *req, char c)
{
    struct http_chunks *ch = &req->head.chunks;
    switch (ch->state) {
    case CHUNK_TRAILER:
        if (c == '\r') {
            ch->state = CHUNK_END_LF;
            return HTTP_MORE;
        }
        if (!http_is_token(c))
            return http_refuse(req, 400, "a trailer field must start with its name");
        ch->state = CHUNK_TRAILER_NAME;
        break;
    case CHUNK_TRAILER_NAME:
        if (c == ':')
            ch->state = CHUNK_TRAILER_VALUE;
        else if (!http_is_token(c))
            return http_refuse(req, 400, "a trailer field name holds a character that is not allowed");
        break;
    default:
        if (c == '\r') {
            ch->state = CHUNK_TRAILER_LF;
            return HTTP_MORE;
        }
        if (!is_text(c))
            return http_refuse(req, 400, "a trailer field value holds a control character");
    }
    if (++ch->overhead > req->server->limits.header_bytes)
        return http_refuse(req, 431, "the trailer section is too large");
    return HTTP_MORE;
}

static enum http_progress extension_byte(struct http_request *req, char c)
{
    struct http_chunks *ch = &req->head.chunks;
    if (c == '\r')
        ch->state = CHUNK_SIZE_LF;
    else if (!is_text(c))
        return http_refuse(req, 400, "a chunk extension holds a control character");
    else if (++ch->overhead > req->server->limits.header_bytes)
        return http_refuse(req, 413, "the chunk extensions are larger than %zu bytes",
                           req->server->limits.header_bytes);
    return HTTP_MORE;
}

/* The states that take exactly one byte. */
static enum http_progress fixed_byte(struct http_request *req, char c)
{
    static const struct {
        char byte;
        enum http_chunk_state next;
    } fixed[] = {
        [CHUNK_DATA_CR] = {'\r', CHUNK_DATA_LF},    [CHUNK_DATA_LF] = {'\n', CHUNK_SIZE},
        [CHUNK_TRAILER_LF] = {'\n', CHUNK_TRAILER}, [CHUNK_SIZE_LF] = {'\n', CHUNK_DATA},
        [CHUNK_END_LF] = {'\n', CHUNK_END_LF},
    };
    struct http_chunks *ch = &req->head.chunks;
    if (c != fixed[ch->state].byte)
        return http_refuse(req, 400, "the chunked body misses a CRLF");
    if (ch->state == CHUNK_END_LF)
        return HTTP_DONE;
    ch->state = ch->state == CHUNK_SIZE_LF && ch->last ? CHUNK_TRAILER : fixed[ch->state].next;
    return HTTP_MORE;
}

static enum http_progress one_byte(struct http_request *req, char c)
{
    switch (req->head.chunks.state) {
    case CHUNK_SIZE:
        return size_byte(req, c);
    case CHUNK_EXTENSION:
        return extension_byte(req, c);
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return trailer_byte(req, c);
    default:
        return fixed_byte(req, c);
    }
}

static void take_data(struct http_request *req)
{
    struct http_head *h = &req->head;
    size_t n = req->len - h->parsed;
    if (n > h->chunks.left)
        n = (size_t)h->chunks.left;
    memmove(req->data + h->head_end + h->body_len, req->data + h->parsed, n);
    h->body_len += n;
    h->parsed += n;
    h->chunks.left -= n;
    if (h->chunks.left == 0)
        h->chunks.state = CHUNK_DATA_CR;
}

enum http_progress http_chunks_parse(struct http_request *req)
{
    struct http_head *h = &req->head;
    while (h->parsed < req->len) {
        if (h->chunks.state == CHUNK_DATA) {
            take_data(req);
            continue;
        }
        enum http_progress progress = one_byte(req, req->data[h->parsed++]);
        if (progress == HTTP_DONE)
            h->stage = STAGE_COMPLETE;
        if (progress != HTTP_MORE)
            return progress;
    }
    req->len = h->parsed = h->head_end + h->body_len; /* the framing is behind us */
    return HTTP_MORE;
}
