/* Where `tai bench` sends its load. */
#ifndef TAI_APPS_CLI_BENCH_SERVER_H
#define TAI_APPS_CLI_BENCH_SERVER_H

#include "bench/client.h"

struct bench_server {
    char host[280]; /* of the Host field, with the port */
    struct address address;
    bool loopback;
};

/* url: http://HOST[:PORT], the scheme may be left out. -EINVAL or -EHOSTUNREACH with what is wrong. */
must_check int bench_server_find(const char *url, struct bench_server *ret, struct error *err);

#endif
