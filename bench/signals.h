/* Makes the POSTs of the load: one signal or an array of them, unique ids, tenants and entitlements in turn, signed
 * when there is a secret. One thread. */
#ifndef TAI_BENCH_SIGNALS_H
#define TAI_BENCH_SIGNALS_H

#include "common/buf.h"
#include "common/hash.h"

struct signals {
    const char *host, *path;
    const char *tenant; /* the name of the only one, or what all begin with: NAME-0, NAME-1, … */
    unsigned batch, tenants, entitlements;
    size_t size;        /* bytes of one signal */
    const char *key_id; /* or NULL */
    struct hmac *hmac;  /* or NULL: unsigned */
    char run[9];        /* makes the ids unique among runs */
    uint64_t next;      /* number of the next signal */
    struct buf body;
};

/* secret empty: unsigned */
void signals_init(struct signals *signals, struct span secret);
void signals_done(struct signals *signals);
/* Replaces out by the next request; its first signal's number is returned. */
uint64_t signals_request(struct signals *signals, struct buf *out);
/* The request that asks andon about a signal; token may be NULL. */
void signals_query(const struct signals *signals, uint64_t number, const char *host, const char *token,
                   struct buf *out);

#endif
