/* One HTTP/1.1 keep-alive connection on an epoll descriptor, one request at a time. Lengths of answers come from
 * Content-Length alone; anything else counts as a broken connection. One thread. */
#ifndef TAI_BENCH_CLIENT_H
#define TAI_BENCH_CLIENT_H

#include "common/buf.h"

#include <sys/socket.h>

struct address {
    struct sockaddr_storage to;
    socklen_t len;
};

struct client;
/* status 0: the connection broke before the whole answer; the client is open again, or fd is -1. */
typedef void client_answered(struct client *client, int status, struct span body);

struct client {
    int epoll;
    int fd;
    const struct address *address;
    client_answered *answered;
    void *ctx;
    struct buf out, in;
    size_t sent;
    bool busy;       /* a request is under way */
    bool want_write; /* epoll waits for room */
    int64_t due_us;  /* the caller's: when the request was to be sent */
    uint64_t number; /* the caller's */
};

void client_init(struct client *client, int epoll, const struct address *address, client_answered *answered, void *ctx);
void client_done(struct client *client);
/* Sends what the caller put into client->out; busy until answered was called, never from within. -errno: there is no
 * connection, and answered will not be called. */
must_check int client_send(struct client *client);
void client_on_event(struct client *client, uint32_t events);

#endif
