/* The pipeline's HTTP server alone: every POST to /v1/signals is answered 202 at once, for comparison with nginx's
 * `return 202`. Prints its port; runs until it is killed. */
#include "common/http/http.h"
#include "common/loop.h"

#include <stdio.h>

static void accept_all(void *ctx, struct http_request *req)
{
    (void)ctx;
    http_reply(req, 202, NULL, (struct span){0});
}

int main(void)
{
    static const struct http_route routes[] = {{"POST", "/v1/signals", accept_all}, {NULL}};
    const struct http_options options = {.base = loop_base_new(),
                                         .address = "127.0.0.1",
                                         .limits = http_limits_default,
                                         .routes = routes,
                                         .clock = &clock_system,
                                         .server_name = "bench"};
    struct http_server *server;
    struct error err;
    if (!options.base || http_server_new(&options, &server, &err) < 0) {
        fprintf(stderr, "http_server: %s\n", options.base ? err.text : "no event loop");
        return 1;
    }
    printf("%u\n", http_server_port(server));
    fflush(stdout);
    event_base_dispatch(options.base);
    http_server_free(server);
    event_base_free(options.base);
    return 0;
}
