/* Who may ask. There are no tokens yet, so the listener is on the loopback interface, and a web page in a browser on
 * this machine is the one foreign visitor: a page that was rebound to this address shows in Host, a page of another
 * site in Origin. Both are refused. Pure apart from answering. */
#include "andon/api_internal.h"
#include "common/http_guard.h"

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
static bool params_known(struct http_request *req, const char *const *allowed)
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

bool api_admit(struct http_request *req, const struct api_route *route)
{
    http_add_header(req, "Cache-Control", SPAN("no-store"));
    return http_guard_local(req, "tokens") && params_known(req, route->params);
}
