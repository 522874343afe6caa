/* Follows single signals to their receipt: asks andon's API again and again until it lists one. The time found is from
 * the signal's scheduled send to the answer that shows the receipt, so it is too long by up to one pause and one round
 * trip, never too short. One thread. */
#ifndef TAI_BENCH_PROBES_H
#define TAI_BENCH_PROBES_H

#include "bench/client.h"
#include "bench/histogram.h"
#include "bench/signals.h"

enum { PROBE_CLIENTS = 32, PROBES_MAX = 65536, PROBE_PAUSE_US = 1000 };

struct probe {
    uint64_t number;
    int64_t due_us;
};

struct probes {
    const struct signals *signals;
    struct address address;
    const char *host, *token; /* token NULL: none is sent */
    struct client clients[PROBE_CLIENTS];
    struct probe asking[PROBE_CLIENTS]; /* what each client asks about */
    int64_t again_us[PROBE_CLIENTS];    /* when it asks next; 0: it has nothing to ask */
    struct probe waiting[PROBES_MAX];   /* accepted, no client was free yet; a ring */
    unsigned first, count;
    uint64_t polls, lost;
    struct histogram histogram;
};

/* probes->host and ->token are the caller's to set. */
void probes_init(struct probes *probes, int epoll, const struct address *address, const struct signals *signals);
void probes_done(struct probes *probes);
/* The signal was accepted: from now on its receipt is looked for. */
void probes_add(struct probes *probes, uint64_t number, int64_t due_us);
/* Sends what is due; returns when it wants to be called next, INT64_MAX for never. */
int64_t probes_run(struct probes *probes, int64_t now_us);
bool probes_idle(const struct probes *probes);
/* How many are followed still. */
uint64_t probes_open(const struct probes *probes);

#endif
