/* One connection without a socket: input goes in as one or two reads would bring it, answers are appended to out. The
 * same code as behind a socket, down to the transport's send. */
#include "common/http/internal.h"

#include "common/mem.h"

static ssize_t send_to_buffer(struct http_connection *c, const char *data, size_t len)
{
    buf_add(c->send_ctx, data, len);
    return (ssize_t)len;
}

static bool feed(struct http_connection *c, struct span input)
{
    const struct http_server *server = c->server;
    while (input.len && (c->phase == PHASE_IDLE || c->phase == PHASE_READING)) {
        size_t room = 0;
        char *to = http_request_room(http_connection_request(c), &room);
        if (!to)
            return false;
        size_t n = input.len < room ? input.len : room;
        memcpy(to, input.ptr, n);
        input = (struct span){input.ptr + n, input.len - n};
        http_connection_received(c, n);
        if (server->stats.connections_open == 0) /* c is gone */
            return false;
    }
    return true;
}

void http_fuzz(const struct http_options *options, struct span input, size_t first_cut, struct buf *out)
{
    struct http_options own = *options;
    struct http_server *server = xmalloc(sizeof(*server));
    own.base = NULL;
    if (http_server_setup(server, &own, NULL) == 0) {
        struct http_connection *c = http_connection_new(server, -1, true);
        size_t cut = first_cut < input.len ? first_cut : input.len;
        c->send = send_to_buffer;
        c->send_ctx = out;
        if (feed(c, (struct span){input.ptr, cut}))
            feed(c, (struct span){input.ptr + cut, input.len - cut});
    }
    http_server_free(server);
}
