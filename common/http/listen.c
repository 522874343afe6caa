/* The listening socket: accepting without ever spinning, the connection cap, running out of descriptors. When the house
 * is full the connection that has been idle longest makes room; one whose handler is at work never does. */
#include "common/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64, BACKLOG = 4096 };

static bool is_loopback(const struct sockaddr_storage *address)
{
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    if (address->ss_family != AF_INET6)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(in6) || memcmp(in6, mapped, sizeof(mapped)) == 0;
}

static bool make_room(struct http_server *server)
{
    static const enum http_phase order[] = {PHASE_IDLE, PHASE_LINGER, PHASE_WRITING, PHASE_READING};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct http_connection *c = server->lists[order[i]].first;
        if (c) {
            http_connection_close(c);
            return true;
        }
    }
    return false;
}

static void open_spare(struct http_server *server)
{
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_one(struct http_server *server, bool *ret_loopback)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_loopback = is_loopback(&address);
    return fd;
}

/* accept(2) says EMFILE whether a connection waits or not: the spare descriptor finds out, and an idle connection gives
 * way to the newcomer, who is refused if there is none. 0, or what accept said. */
static int accept_without_descriptors(struct http_server *server)
{
    bool loopback = false;
    if (server->spare_fd < 0)
        return -EMFILE;
    close(server->spare_fd);
    int fd = accept_one(server, &loopback);
    struct http_connection *idle = server->lists[PHASE_IDLE].first;
    if (fd >= 0 && idle) {
        http_connection_close(idle);
        http_connection_new(server, fd, loopback);
    } else if (fd >= 0) {
        close(fd);
    }
    open_spare(server);
    return server->spare_fd < 0 ? -EMFILE : fd < 0 ? fd : 0;
}

/* True if accepting may go on at once. */
static bool accept_failed(struct http_server *server, int error)
{
    if (error == -EMFILE || error == -ENFILE) {
        error = accept_without_descriptors(server);
        if (error == 0)
            return true;
    }
    if (error == -EAGAIN)
        return false;
    if (error != -EMFILE && error != -ENFILE && error != -ENOBUFS && error != -ENOMEM)
        return true; /* the connection's own trouble, accept(2) */
    http_server_pause_accept(server);
    return false;
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    struct http_server *server = arg;
    (void)listen_fd;
    (void)what;
    http_server_now(server);
    if (server->spare_fd < 0)
        open_spare(server);
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        bool loopback = false;
        int fd = accept_one(server, &loopback);
        if (fd < 0) {
            if (!accept_failed(server, fd))
                return;
        } else if (server->stats.connections_open >= server->limits.connections && !make_room(server)) {
            close(fd);
        } else {
            http_connection_new(server, fd, loopback);
        }
    }
}

static int open_socket(const struct addrinfo *where, int *ret_fd)
{
    int on = 1;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted sockets inherit it */
    if (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {.v6 = {0}};
    socklen_t len = sizeof(address);
    getsockname(fd, &address.any, &len);
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

int http_listen(struct http_server *server, const struct http_options *options, struct error *err)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *where = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", options->port);
    if (!options->address || getaddrinfo(options->address, port, &hints, &where) != 0)
        return error_set(err, -EINVAL, "cannot listen on '%s': a numeric IPv4 or IPv6 address is needed",
                         options->address ? options->address : "");
    int r = open_socket(where, &server->listen_fd);
    freeaddrinfo(where);
    if (r < 0)
        return error_set(err, r, "cannot listen on %s port %u: %s", options->address, options->port, error_text(r));
    server->port = bound_port(server->listen_fd);
    open_spare(server);
    event_assign(&server->accept_event, server->base, server->listen_fd, EV_READ | EV_PERSIST, on_acceptable, server);
    event_add(&server->accept_event, NULL);
    return 0;
}

void http_listen_stop(struct http_server *server)
{
    if (server->listen_fd < 0)
        return;
    event_del(&server->accept_event);
    close(server->listen_fd);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    server->listen_fd = server->spare_fd = -1;
    server->accept_paused = false;
}
