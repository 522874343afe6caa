/* GET /openapi.json: docs/openapi-andon.json as it was when this was built; a test holds it against the routes. */
#include "andon/api/internal.h"
#include "common/embed.h"

EMBED_FILE(openapi_andon, TAI_OPENAPI)

void api_openapi(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply(req, 200, "application/json", openapi_andon_text());
}
