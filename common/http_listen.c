/* The listening socket: accepting without ever spinning, the connection cap, running out of descriptors. When the house
 * is full the connection that has been idle longest makes room; one whose handler is at work never does. */
#include "common/http_internal.h"

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

/* No descriptor is left for the connection that waits: an idle one gives way, or the spare descriptor is lent to refuse
 * it. False if accepting must pause. */
static bool out_of_descriptors(struct http_server *server)
{
    if (server->lists[PHASE_IDLE].first) {
        http_connection_close(server->lists[PHASE_IDLE].first);
        return true;
    }
    if (server->spare_fd < 0)
        return false;
    close(server->spare_fd);
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    open_spare(server);
    return server->spare_fd >= 0;
}

static bool accept_failed(struct http_server *server, int error)
{
    switch (error) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        if (out_of_descriptors(server))
            return true;
        break;
    case ENOBUFS:
    case ENOMEM:
        break;
    default: /* the connection's own trouble, accept(2) */
        return true;
    }
    http_server_pause_accept(server);
    return false;
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    struct http_server *server = arg;
    (void)what;
    http_server_now(server);
    if (server->spare_fd < 0)
        open_spare(server);
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd = accept4(listen_fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (!accept_failed(server, errno))
                return;
        } else if (server->stats.connections_open >= server->limits.connections && !make_room(server)) {
            close(fd);
        } else {
            http_connection_new(server, fd, is_loopback(&address));
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
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &len);
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
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
