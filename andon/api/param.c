/* Parameters and cursors of the API. Whatever is wrong is answered 400 with what to write instead. */
#include "andon/api/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CURSOR_MAX = 512, CURSOR_HEAD = 10 }; /* "1" + 8 hex + ":" */

static bool allowed_once(struct http_request *req, struct span name, const char *const *allowed, uint32_t *seen)
{
    for (size_t i = 0; allowed[i]; i++) {
        if (!span_is(name, allowed[i]))
            continue;
        if (*seen & 1u << i) {
            http_problem(req, 400, NULL, "the parameter \"%s\" is given twice", allowed[i]);
            return false;
        }
        *seen |= 1u << i;
        return true;
    }
    struct buf known;
    buf_init(&known, 512);
    for (size_t i = 0; allowed[i]; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", allowed[i]);
    http_problem(req, 400, NULL, "unknown parameter \"%.*s\"; known here: %s", (int)(name.len < 64 ? name.len : 64),
                 name.ptr, known.len ? buf_cstr(&known) : "none");
    buf_done(&known);
    return false;
}

/* Names are compared as sent: ours need no escapes. */
bool api_params_known(struct http_request *req, const char *const *allowed)
{
    struct span rest = http_target(req);
    const char *query = rest.len ? memchr(rest.ptr, '?', rest.len) : NULL;
    uint32_t seen = 0;
    rest = query ? (struct span){query + 1, rest.len - (size_t)(query + 1 - rest.ptr)} : (struct span){0};
    while (rest.len) {
        const char *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        const char *equals = len ? memchr(rest.ptr, '=', len) : NULL;
        struct span name = {rest.ptr, equals ? (size_t)(equals - rest.ptr) : len};
        if (len && !allowed_once(req, name, allowed, &seen))
            return false;
        rest.ptr += end ? len + 1 : len;
        rest.len -= end ? len + 1 : len;
    }
    return true;
}

static bool printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

static bool check_text(struct http_request *req, const char *name, size_t max, struct span text)
{
    if (text.len && text.len <= max && printable(text))
        return true;
    http_problem(req, 400, NULL, "\"%s\" must be 1 to %zu printable ASCII characters without spaces", name, max);
    return false;
}

bool api_param_text(struct http_request *req, const char *name, bool required, size_t max, struct span *ret)
{
    struct span text = {0};
    if (!http_query(req, name, &text)) {
        *ret = text;
        if (required)
            http_problem(req, 400, NULL, "the parameter \"%s\" is required", name);
        return !required;
    }
    *ret = text;
    return check_text(req, name, max, text);
}

bool api_param_tenant(struct api *api, struct http_request *req, bool required, struct span *ret)
{
    return api_param_text(req, "tenant_id", required && !api->access.tenant[0], API_TENANT_MAX, ret) &&
           api_access_tenant(api, req, ret);
}

bool api_path_text(struct http_request *req, const char *name, size_t max, struct span *ret)
{
    *ret = http_param(req, name);
    return check_text(req, name, max, *ret);
}

bool api_parse_number(struct span text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 19)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = value;
    return value <= max;
}

bool api_param_limit(struct http_request *req, uint32_t *ret)
{
    struct span text;
    uint64_t value = API_PAGE_DEFAULT;
    if (http_query(req, "limit", &text) && (!api_parse_number(text, API_PAGE_MAX, &value) || value == 0)) {
        http_problem(req, 400, NULL, "\"limit\" must be a number from 1 to %d", API_PAGE_MAX);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

bool api_param_shard(struct http_request *req, const struct api *api, bool *ret_given, uint32_t *ret)
{
    struct span text;
    uint64_t value = 0, last = (uint64_t)api->options.config->ledger.shards - 1;
    *ret_given = http_query(req, "shard", &text);
    if (*ret_given && !api_parse_number(text, last, &value)) {
        http_problem(req, 400, NULL, "\"shard\" must be a number from 0 to %" PRIu64, last);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* --- cursors: base64url of "1<hash of the query>:<position>" --------------------------------------------------------
 */

uint32_t api_query_hash(char kind, const struct span *parts, size_t count)
{
    uint64_t hash = hash_pair((struct span){&kind, 1}, (struct span){0});
    for (size_t i = 0; i < count; i++)
        hash = hash_pair((struct span){(const char *)&hash, sizeof(hash)}, parts[i]);
    return (uint32_t)hash;
}

void api_cursor_write(struct buf *out, uint32_t query, struct span position)
{
    char plain[CURSOR_MAX], base64[4 * ((CURSOR_MAX + 2) / 3) + 1];
    if (position.len > CURSOR_MAX - CURSOR_HEAD)
        abort(); /* ids are capped far below */
    char head[CURSOR_HEAD + 1];
    snprintf(head, sizeof(head), "1%08" PRIx32 ":", query);
    memcpy(plain, head, CURSOR_HEAD);
    memcpy(plain + CURSOR_HEAD, position.ptr, position.len);
    buf_add(out, base64, base64url_encode((const uint8_t *)plain, CURSOR_HEAD + position.len, base64));
}

bool api_cursor_parse(struct span text, uint32_t query, struct arena *arena, struct span *ret)
{
    char head[CURSOR_HEAD + 1];
    uint8_t *plain = arena_alloc(arena, CURSOR_MAX);
    long n = base64url_decode(text, plain, CURSOR_MAX);
    snprintf(head, sizeof(head), "1%08" PRIx32 ":", query);
    if (n <= CURSOR_HEAD || memcmp(plain, head, CURSOR_HEAD) != 0)
        return false;
    *ret = (struct span){(const char *)plain + CURSOR_HEAD, (size_t)n - CURSOR_HEAD};
    return printable(*ret);
}

bool api_cursor_read(struct http_request *req, uint32_t query, struct arena *arena, struct span *ret)
{
    struct span text;
    *ret = (struct span){0};
    if (!http_query(req, "after", &text))
        return true;
    if (api_cursor_parse(text, query, arena, ret))
        return true;
    http_problem(req, 400, NULL,
                 "\"after\" must be the \"next\" of an earlier answer to the same query, taken over as it is");
    return false;
}
