/* A load generator: keep-alive connections that post signals to ingress's /v1/signals. With a rate the load is open:
 * requests have scheduled times and latency counts from those, so a server that stalls cannot hide it; without, each
 * connection sends its next request when the last was answered. Some signals are followed to their receipt on andon.
 * One thread. */
#ifndef TAI_BENCH_LOAD_H
#define TAI_BENCH_LOAD_H

#include "bench/client.h"
#include "bench/histogram.h"

enum { LOAD_STATUS_MAX = 600 };

struct load_options {
    struct address ingress, andon;
    const char *host, *andon_host; /* of the Host field */
    const char *path;              /* "/v1/signals" */
    const char *token;             /* for andon, or NULL */
    const char *key_id;            /* or NULL */
    struct span secret;            /* empty: signals are not signed */
    const char *tenant;            /* the name of the only one, or what all begin with */
    unsigned tenants, entitlements;
    unsigned connections, batch;
    size_t size;       /* bytes of a signal, at least */
    double rate;       /* requests a second; 0: as fast as they are answered */
    double duration_s; /* of sending; answers are waited for, up to 30 s more */
    double warmup_s;   /* whose latencies are not counted */
    uint64_t requests; /* stop after so many; 0: at the end of the duration */
    uint64_t first;    /* number of the first signal: tenant and entitlement go by it */
    unsigned follow;   /* the first signal of every so many requests is followed; 0: none is */
    bool (*go_on)(void *ctx, uint64_t accepted); /* called every 100 ms or more often; false: enough. Or NULL */
    void *ctx;
};

struct load_report {
    double seconds;                        /* from the first request to the last answer */
    uint64_t requests, answered, accepted; /* accepted: signals */
    uint64_t by_status[LOAD_STATUS_MAX];   /* answers; 0: the connection broke */
    struct histogram latency, receipt;     /* µs from the scheduled time: to the answer, to the receipt */
    uint64_t questions, lost;              /* asked of andon; followed, but no receipt was seen */
};

/* 0, or -errno when there is no connection to ingress. */
must_check int load_measure(const struct load_options *options, struct load_report *ret, struct error *err);
/* One JSON object of what was measured. */
void load_write(const struct load_options *options, const struct load_report *report, struct buf *out);

#endif
