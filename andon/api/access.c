/* Who may ask for what. With tokens, each request but those anybody may send names one (RFC 6750); without, whoever is
 * on this machine has every right, and only Host and Origin are looked at. What a request itself names
 * and may not have is refused the same way whether it exists or not. */
#include "andon/api/internal.h"
#include "common/http/guard.h"

#include <strings.h>

enum { TOKEN_BYTES_MAX = 512, CHALLENGE_MAX = 256 };

static const char *const role_names[] = {"viewer", "operator", "auditor", "publisher"};

_Static_assert(1 << CONFIG_TOKEN_VIEWER == API_VIEWER && 1 << CONFIG_TOKEN_OPERATOR == API_OPERATOR &&
                   1 << CONFIG_TOKEN_AUDITOR == API_AUDITOR && 1 << CONFIG_TOKEN_PUBLISHER == API_PUBLISHER,
               "a role's bit is its number in the configuration");

/* error, scope: NULL: none is named. */
static void challenge(struct http_request *req, const char *error, const char *scope)
{
    char text[CHALLENGE_MAX];
    snprintf(text, sizeof(text), "Bearer realm=\"andon\"%s%s%s%s%s%s", error ? ", error=\"" : "", error ? error : "",
             error ? "\"" : "", scope ? ", scope=\"" : "", scope ? scope : "", scope ? "\"" : "");
    http_add_header(req, "WWW-Authenticate", span_of(text));
}

static bool deny(struct api *api, enum api_denial why)
{
    metric_inc(api->denied[why]);
    return false;
}

/* --- authentication ----------------------------------------------------------------------------------------------- */

/* b64token of RFC 6750. */
static bool is_token(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr("-._~+/=", c)))
            return false;
    }
    return text.len > 0 && text.len <= TOKEN_BYTES_MAX;
}

/* The text behind "Bearer"; ptr NULL: there is none. */
static struct span bearer(struct http_request *req)
{
    static const char scheme[] = "Bearer ";
    struct span value = http_header(req, "Authorization");
    size_t len = sizeof(scheme) - 1;
    if (!value.ptr || value.len < len || strncasecmp(value.ptr, scheme, len) != 0)
        return (struct span){0};
    for (value.ptr += len, value.len -= len; value.len && *value.ptr == ' '; value.len--)
        value.ptr++;
    return value;
}

/* NULL: answered. */
static const struct token *authenticate(struct api *api, struct http_request *req)
{
    uint8_t sha256[SHA256_SIZE];
    struct span text = bearer(req);
    if (http_header_count(req, "Authorization") > 1 || (text.ptr && !is_token(text))) {
        challenge(req, "invalid_request", NULL);
        http_problem(req, 400, NULL, "Authorization must be given once, as Bearer and the token");
        (void)deny(api, API_DENIED_TOKEN);
        return NULL;
    }
    if (!text.ptr) {
        challenge(req, NULL, NULL);
        http_problem(req, 401, NULL,
                     "andon asks for a token: send Authorization: Bearer TOKEN (the command line: --token-file FILE, "
                     "or TAI_TOKEN)");
        (void)deny(api, API_DENIED_NO_TOKEN);
        return NULL;
    }
    hasher_sha256(api->hasher, text, sha256);
    const struct token *token = tokens_find(api->tokens, sha256);
    if (token && clock_wall_ms(api->options.clock) < token->expires_ms)
        return token;
    challenge(req, "invalid_token", NULL);
    http_problem(req, 401, NULL,
                 token ? "this token has expired: ask for a new one"
                       : "this token is unknown here: it is wrong, or was removed from andon.tokens_file");
    (void)deny(api, token ? API_DENIED_EXPIRED : API_DENIED_TOKEN);
    return NULL;
}

/* --- authorization ------------------------------------------------------------------------------------------------ */

static bool role_allowed(struct api *api, struct http_request *req, const struct api_route *route)
{
    struct buf names;
    if (route->roles & api->access.roles)
        return true;
    buf_init(&names, CHALLENGE_MAX / 2);
    for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++)
        if (route->roles & 1u << i)
            buf_addf(&names, "%s%s", names.len ? " " : "", role_names[i]);
    challenge(req, "insufficient_scope", buf_cstr(&names));
    http_problem(req, 403, NULL, "the token of %s may not do this; it takes one of these roles: %s", api->access.name,
                 buf_cstr(&names));
    buf_done(&names);
    return deny(api, API_DENIED_ROLE);
}

static bool refuse_tenant(struct api *api, struct http_request *req, const char *what)
{
    challenge(req, "insufficient_scope", NULL);
    http_problem(req, 403, NULL, "the token of %s is bound to tenant %s%s", api->access.name, api->access.tenant, what);
    return deny(api, API_DENIED_TENANT);
}

static bool own(const struct api_access *access, struct span tenant_id)
{
    return !access->tenant[0] || span_is(tenant_id, access->tenant);
}

static bool tenant_allowed(struct api *api, struct http_request *req, const struct api_route *route)
{
    static const char all[] = ", and this covers all tenants";
    struct span value;
    if (!api->access.tenant[0])
        return true;
    switch (route->scope) {
    case API_SCOPE_NONE:
    case API_SCOPE_FOUND:
        return true;
    case API_SCOPE_PATH:
        return own(&api->access, http_param(req, "tenant")) || refuse_tenant(api, req, "");
    case API_SCOPE_FILTER:
        return !http_query(req, "tenant_id", &value) || own(&api->access, value) || refuse_tenant(api, req, "");
    case API_SCOPE_ALL:
        break;
    }
    return refuse_tenant(api, req, all);
}

bool api_access_tenant(struct api *api, struct http_request *req, struct span *tenant_id)
{
    if (tenant_id->len && !own(&api->access, *tenant_id))
        return refuse_tenant(api, req, "");
    if (!tenant_id->len && api->access.tenant[0])
        *tenant_id = span_of(api->access.tenant);
    return true;
}

bool api_sees(const struct api_call *call, struct span tenant_id)
{
    return own(&call->access, tenant_id);
}

/* --- both --------------------------------------------------------------------------------------------------------- */

static bool by_token(struct api *api, struct http_request *req, const struct api_route *route)
{
    if (!http_guard_origin(req))
        return deny(api, API_DENIED_ORIGIN);
    if (route->roles & API_ANYBODY)
        return true;
    const struct token *token = authenticate(api, req);
    if (!token)
        return false;
    api->access.roles = token->role;
    api->access.named = true;
    memcpy(api->access.name, token->name, sizeof(api->access.name));
    memcpy(api->access.tenant, token->tenant, sizeof(api->access.tenant));
    return role_allowed(api, req, route) && tenant_allowed(api, req, route);
}

bool api_admit(struct api *api, struct http_request *req, const struct api_route *route)
{
    api->access = (struct api_access){.roles = API_READERS | API_PUBLISHER};
    if (route->roles & API_PROBE)
        return true;
    http_add_header(req, "Cache-Control", SPAN("no-store"));
    if (api->tokens)
        return by_token(api, req, route) && api_params_known(req, route->params);
    if (!http_guard_local(req, "tokens (andon.tokens_file)"))
        return deny(api, API_DENIED_ORIGIN);
    return api_params_known(req, route->params);
}

void api_access_metrics(struct api *api, struct metrics *metrics)
{
    static const char *const reasons[API_DENIALS + 1] = {
        [API_DENIED_ORIGIN] = "origin",   [API_DENIED_NO_TOKEN] = "no_token", [API_DENIED_TOKEN] = "bad_token",
        [API_DENIED_EXPIRED] = "expired", [API_DENIED_ROLE] = "role",         [API_DENIED_TENANT] = "tenant"};
    const struct metric_desc desc = {.name = "tai_andon_denied_total",
                                     .help = "Requests refused for who sent them or what they asked for.",
                                     .type = METRIC_COUNTER,
                                     .labels = {{.name = "reason", .values = reasons}}};
    struct metric *family = metrics_register(metrics, &desc);
    for (int i = 0; i < API_DENIALS; i++)
        api->denied[i] = metric_counter(family, &reasons[i]);
}
