/* Bodies of the API's POSTs: strict JSON objects. Unknown members are refused with the nearest known name, whatever
 * else is wrong with what it should be. Who gives a command stands in a header. */
#include "andon/api/triage.h"
#include "common/suggest.h"

#include <inttypes.h>
#include <strings.h>

static bool is_json(struct span type)
{
    static const char json[] = "application/json";
    size_t len = sizeof(json) - 1;
    return type.len >= len && strncasecmp(type.ptr, json, len) == 0 &&
           (type.len == len || type.ptr[len] == ';' || type.ptr[len] == ' ');
}

static bool known(const char *const *fields, struct span name)
{
    for (; *fields; fields++)
        if (span_is(name, *fields))
            return true;
    return false;
}

static void refuse_field(struct http_request *req, uint32_t at, const char *what, struct span name,
                         const char *const *fields)
{
    struct buf all;
    const char *nearest = suggest(name, fields);
    int len = (int)(name.len < 64 ? name.len : 64);
    if (nearest) {
        http_problem(req, 400, NULL, "byte %" PRIu32 ": unknown field \"%.*s\"%s, did you mean \"%s\"?", at, len,
                     name.ptr, what, nearest);
        return;
    }
    buf_init(&all, 512);
    for (size_t i = 0; fields[i]; i++)
        buf_addf(&all, "%s%s", i ? ", " : "", fields[i]);
    http_problem(req, 400, NULL, "byte %" PRIu32 ": unknown field \"%.*s\"%s; known here: %s", at, len, name.ptr, what,
                 buf_cstr(&all));
    buf_done(&all);
}

static bool fields_known(struct http_request *req, const struct json_doc *doc, const struct json_node *object,
                         const char *what, const char *const *fields)
{
    for (const struct json_node *node = json_first(doc, object); node; node = json_next(doc, object, node)) {
        struct span name = json_key(doc, node);
        if (node->key_escaped || !known(fields, name)) {
            refuse_field(req, node->key_start, what, name, fields);
            return false;
        }
    }
    return true;
}

bool api_body_open(struct api *api, struct http_request *req)
{
    struct error err;
    struct span body = http_body(req);
    if (body.len && !is_json(http_header(req, "Content-Type"))) {
        http_problem(req, 415, NULL, "the body must be sent as Content-Type: application/json");
        return false;
    }
    if (json_parse(&api->doc, body.len ? body : SPAN("{}"), &err)) {
        http_problem(req, 400, NULL, "the body is not JSON: %s", err.text);
        return false;
    }
    if (api->doc.nodes[0].type != JSON_OBJECT) {
        http_problem(req, 400, NULL, "the body must be a JSON object, or empty");
        return false;
    }
    return fields_known(req, &api->doc, &api->doc.nodes[0], "", api_route(api, req)->fields);
}

bool api_body_fields(struct api_call *call, const struct json_node *object, const char *what, const char *const *fields)
{
    char where[48];
    if (object->type != JSON_OBJECT) {
        http_problem(call->req, 400, NULL, "byte %" PRIu32 ": \"%s\" must be an object", object->start, what);
        return false;
    }
    snprintf(where, sizeof(where), " in \"%s\"", what);
    return fields_known(call->req, &call->api->doc, object, where, fields);
}

static const struct json_node *get(const struct api *api, const struct json_node *object, const char *name)
{
    const struct json_node *node = json_get(&api->doc, object ? object : &api->doc.nodes[0], name);
    return node && node->type != JSON_NULL ? node : NULL;
}

const struct json_node *api_body_get(struct api *api, const char *name)
{
    return get(api, NULL, name);
}

static bool plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true;
}

bool api_body_text(struct api_call *call, const struct json_node *object, const char *name, size_t max,
                   struct span *ret)
{
    struct api *api = call->api;
    const struct json_node *node = get(api, object, name);
    *ret = SPAN("");
    if (!node)
        return true;
    struct span text = json_text(&api->doc, node, &api->scratch);
    if (node->type == JSON_STRING && text.len && text.len <= max && plain(text)) {
        *ret = api_triage_keep(call, text);
        return true;
    }
    http_problem(call->req, 400, NULL,
                 "byte %" PRIu32 ": \"%s\" must be a text of 1 to %zu bytes without control "
                 "characters",
                 node->start, name, max);
    return false;
}

bool api_body_flag(struct api_call *call, const char *name, bool *ret)
{
    const struct json_node *node = get(call->api, NULL, name);
    *ret = node && node->type == JSON_TRUE;
    if (!node || node->type == JSON_TRUE || node->type == JSON_FALSE)
        return true;
    http_problem(call->req, 400, NULL, "byte %" PRIu32 ": \"%s\" must be true or false", node->start, name);
    return false;
}

bool api_body_int(struct api_call *call, const char *name, int64_t min, int64_t max, int64_t *ret, bool *ret_given)
{
    const struct json_node *node = get(call->api, NULL, name);
    *ret_given = node != NULL;
    if (!node || json_int(&call->api->doc, node, min, max, ret) == 0)
        return true;
    http_problem(call->req, 400, NULL, "byte %" PRIu32 ": \"%s\" must be a whole number from %" PRId64 " to %" PRId64,
                 node->start, name, min, max);
    return false;
}
