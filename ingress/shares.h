/* What each tenant has waiting in the queue, and whether it may have more: so that one that floods fills its share of
 * kanban.max_depth and not the queue, and the others are not behind it.
 *
 * Ingress does not see the queue's contents. It knows what it put into each partition, in order, and how deep each is:
 * since frames leave a partition in order, what waits there is the newest of what was put in. Frames from before a
 * restart, or from another ingress, count for nobody. Pure; time is a parameter; one thread. */
#ifndef TAI_INGRESS_SHARES_H
#define TAI_INGRESS_SHARES_H

#include "common/span.h"

#include <stdint.h>

struct shares_options {
    uint32_t partitions;
    uint64_t alone;  /* signals a tenant may have waiting while no other sends */
    uint64_t shared; /* while others do; at most alone */
    uint64_t seed;   /* so that nobody can choose whom it is counted with */
    /* Signals in a partition now. */
    uint64_t (*depth)(void *ctx, uint32_t partition);
    void *ctx;
};

/* Another tenant sends if it tried to within SHARES_OTHERS_US. */
enum { SHARES_OTHERS_US = 10 * 1000 * 1000, SHARES_RETRY_MAX_S = 10 };

struct shares;
struct shares *shares_new(const struct shares_options *options, int64_t now_us);
void shares_free(struct shares *shares);

/* Counts one signal of the tenant as under way into the queue. false: it has its share there; ret_limit signals, and
 * ret_retry_s (1 … SHARES_RETRY_MAX_S) until room can be expected, by how fast the queue is worked off. */
bool shares_take(struct shares *shares, struct span tenant_id, int64_t now_us, uint64_t *ret_limit,
                 int64_t *ret_retry_s);
/* What became of count signals of one tenant, taken before: they are in that partition, behind all others, or were not
 * put there. */
void shares_queued(struct shares *shares, uint32_t partition, struct span tenant_id, uint32_t count);
void shares_dropped(struct shares *shares, struct span tenant_id, uint32_t count);

#endif
