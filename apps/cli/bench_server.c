/* A URL as an address: the load generator speaks plain HTTP to one address, without libcurl between. */
#include "apps/cli/bench_server.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

enum { HOST_MAX = 255 };

/* Takes the part over into ret; false if it is missing or too long. */
static bool part_of(CURLU *url, CURLUPart part, char *ret, size_t size)
{
    char *text = NULL;
    bool good = curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK && strlen(text) < size;
    if (good)
        memcpy(ret, text, strlen(text) + 1);
    curl_free(text);
    return good;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static int look_up(const char *host, const char *port, struct bench_server *ret, struct error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char plain[HOST_MAX + 1];
    size_t len = strlen(host);
    bool bracketed = len > 2 && host[0] == '[';
    snprintf(plain, sizeof(plain), "%.*s", (int)(bracketed ? len - 2 : len), host + bracketed);
    int rc = getaddrinfo(plain, port, &hints, &found);
    if (rc)
        return error_set(err, -EHOSTUNREACH, "%s: %s", plain, gai_strerror(rc));
    const struct addrinfo *best = found; /* IPv4 where there is a choice: "localhost" is what `tai run` listens on */
    while (best->ai_family != AF_INET && best->ai_next)
        best = best->ai_next;
    memcpy(&ret->address.to, best->ai_addr, best->ai_addrlen);
    ret->address.len = best->ai_addrlen;
    ret->loopback = is_loopback(&ret->address.to);
    freeaddrinfo(found);
    return 0;
}

int bench_server_find(const char *url, struct bench_server *ret, struct error *err)
{
    char scheme[8], host[HOST_MAX + 1], port[8], path[8];
    CURLU *parsed = curl_url();
    bool good = parsed && curl_url_set(parsed, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK &&
                part_of(parsed, CURLUPART_SCHEME, scheme, sizeof(scheme)) && strcmp(scheme, "http") == 0 &&
                part_of(parsed, CURLUPART_HOST, host, sizeof(host)) &&
                part_of(parsed, CURLUPART_PORT, port, sizeof(port)) &&
                part_of(parsed, CURLUPART_PATH, path, sizeof(path)) && strcmp(path, "/") == 0;
    curl_url_cleanup(parsed);
    if (!good)
        return error_set(err, -EINVAL, "%s: write it as http://HOST:PORT; the load is sent there directly", url);
    snprintf(ret->host, sizeof(ret->host), "%s:%s", host, port);
    return look_up(host, port, ret, err);
}
