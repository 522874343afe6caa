/* Non-blocking sockets; connects on first use and again after a break. */
#include "bench/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OUT_MAX = 2 << 20, IN_MAX = 4 << 20, READ_SIZE = 16384 };

void client_init(struct client *client, int epoll, const struct address *address, client_answered *answered, void *ctx)
{
    *client = (struct client){.epoll = epoll, .fd = -1, .address = address, .answered = answered, .ctx = ctx};
    buf_init(&client->out, OUT_MAX);
    buf_init(&client->in, IN_MAX);
}

void client_done(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    buf_done(&client->out);
    buf_done(&client->in);
}

static int open_socket(struct client *client)
{
    const struct address *address = client->address;
    int fd = socket(address->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        return -errno;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&address->to, address->len) < 0 ||
        epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    client->fd = fd;
    client->want_write = false;
    buf_clear(&client->in);
    return 0;
}

static void finish(struct client *client, int status, struct span body)
{
    client->busy = false;
    client->answered(client, status, body);
}

static void broken(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    if (client->busy)
        finish(client, 0, (struct span){0});
}

static void watch(struct client *client, bool want_write)
{
    if (client->want_write == want_write)
        return;
    struct epoll_event event = {.events = EPOLLIN | (want_write ? (uint32_t)EPOLLOUT : 0), .data.ptr = client};
    client->want_write = want_write;
    epoll_ctl(client->epoll, EPOLL_CTL_MOD, client->fd, &event);
}

static bool write_out(struct client *client)
{
    ssize_t n =
        send(client->fd, client->out.data + client->sent, client->out.len - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        return false;
    client->sent += n > 0 ? (size_t)n : 0;
    watch(client, client->sent < client->out.len);
    return true;
}

int client_send(struct client *client)
{
    int rc = client->fd < 0 ? open_socket(client) : 0;
    if (rc < 0)
        return rc;
    client->busy = true;
    client->sent = 0;
    if (!write_out(client)) /* a connection the server closed while it was idle */
        shutdown(client->fd, SHUT_RDWR);
    return 0;
}

/* The value of Content-Length in the header section, or -1. */
static long content_length(const char *head, size_t len)
{
    static const char name[] = "\r\nContent-Length:";
    for (const char *at = head; at + sizeof(name) < head + len; at++) {
        at = memchr(at, '\r', (size_t)(head + len - at));
        if (!at || at + sizeof(name) >= head + len)
            return -1;
        if (strncasecmp(at, name, sizeof(name) - 1) == 0)
            return strtol(at + sizeof(name) - 1, NULL, 10);
    }
    return -1;
}

/* 1: the answer is whole and was handed over; 0: more is to come; -1: it cannot be understood. */
static int take_answer(struct client *client)
{
    struct buf *in = &client->in;
    const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    size_t head = (size_t)(end - in->data) + 4;
    long length = content_length(in->data, head);
    if (length < 0 || head < 16 || memcmp(in->data, "HTTP/1.1 ", 9) != 0)
        return -1;
    if (in->len < head + (size_t)length)
        return 0;
    int status = (int)strtol(in->data + 9, NULL, 10);
    finish(client, status, (struct span){in->data + head, (size_t)length});
    return 1;
}

void client_on_event(struct client *client, uint32_t events)
{
    if (client->want_write && (events & EPOLLOUT) && !write_out(client)) {
        broken(client);
        return;
    }
    if (!(events & ~(uint32_t)EPOLLOUT))
        return;
    char *room = buf_reserve(&client->in, READ_SIZE);
    ssize_t n = room ? recv(client->fd, room, READ_SIZE, MSG_DONTWAIT) : 0;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        broken(client);
        return;
    }
    client->in.len += (size_t)n;
    int rc = take_answer(client);
    if (rc < 0)
        broken(client);
    else if (rc > 0)
        buf_clear(&client->in);
}
