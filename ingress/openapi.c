/* GET /openapi.json: docs/openapi-ingress.json as it was when this was built; a test holds it against the routes. */
#include "common/embed.h"
#include "ingress/internal.h"

EMBED_FILE(openapi_ingress, TAI_OPENAPI)

void openapi_handle(void *ctx, struct http_request *req)
{
    if (ingress_guard(ctx, req))
        http_reply(req, 200, "application/json", openapi_ingress_text());
}
