/* What ingress refused, on its way to receipts: collected between two flushes, bounded whatever the flood. Refusals of
 * authenticated senders have a receipt each, at most REFUSALS_SINGLES_PER_S a second in all; the rest, and those of
 * unauthenticated senders, are summed by chain and reason, and REFUSALS_SUMS_PER_FLUSH sums leave with a flush. Nothing
 * is forgotten but by the end of the process: what could not be published is summed and leaves later.
 *
 * Pure: time is a parameter, nothing is sent. One thread. */
#ifndef TAI_INGRESS_REFUSALS_H
#define TAI_INGRESS_REFUSALS_H

#include "kanban/frame.h"

enum {
    REFUSALS_SINGLES_PER_S = 64,
    REFUSALS_SINGLES_MAX = 64, /* waiting for a flush; beyond them summed */
    REFUSALS_SUMS_PER_FLUSH = 64,
    REFUSALS_SUMS_MAX = 1024, /* chains and reasons; beyond them a sum of `_system` */
    REFUSALS_DETAIL_MAX = 256,
    REFUSALS_FLUSH_MAX = REFUSALS_SINGLES_MAX + REFUSALS_SUMS_PER_FLUSH, /* records of one flush: a frame holds them */
};

struct refusal {
    struct span tenant_id; /* whose chain; empty: `_system` */
    const char *reason;    /* a word; static */
    int64_t wall_ms;
    /* of one with a receipt of its own; empty, NULL: not known */
    int status;         /* HTTP */
    struct span detail; /* cut to REFUSALS_DETAIL_MAX */
    struct span key_id, entitlement_id, signal_id;
    const uint8_t *sha256;
};

struct refusals;
struct refusals *refusals_new(void);
void refusals_free(struct refusals *refusals);

/* Whether there is room for a receipt of its own in this second. */
bool refusals_single(const struct refusals *refusals, int64_t mono_ms);
/* Copies what it keeps. single: as refusals_single has just allowed. */
void refusals_add(struct refusals *refusals, const struct refusal *refusal, bool single, int64_t mono_ms);
/* Refusals that are not published. */
uint64_t refusals_waiting(const struct refusals *refusals);

/* The records of the next frame (KANBAN_REFUSALS), 0 if there are none or some are under way; they live until
 * refusals_answered, which says whether they are durable. */
size_t refusals_take(struct refusals *refusals, struct signal ret[REFUSALS_FLUSH_MAX]);
void refusals_answered(struct refusals *refusals, bool published);

#endif
