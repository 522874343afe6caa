/* What was accepted lately: a bounded memory of identities, written by the ingress loop and asked by any thread. */
#ifndef TAI_INGRESS_RECENT_H
#define TAI_INGRESS_RECENT_H

#include "kanban/frame.h"

enum { RECENT_ENTRIES = 1 << 16, RECENT_AGE_MS = 60 * 60 * 1000 };

struct recent;
struct recent *recent_new(void);
void recent_free(struct recent *recent);

struct identity { /* redrive 0 */
    struct span tenant_id;
    struct span entitlement_id; /* recent_has: may be empty for any */
    struct span id;
};

/* Remembers an accepted signal. true if the same identity with the same hash was accepted within RECENT_AGE_MS. */
bool recent_add(struct recent *recent, const struct identity *identity, const uint8_t sha256[SHA256_SIZE],
                int64_t now_ms);
bool recent_has(struct recent *recent, const struct identity *identity, int64_t now_ms);

#endif
