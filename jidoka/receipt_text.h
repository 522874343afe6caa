/* The text of an outcome: every receipt field that jidoka knows, in RFC 8785 order. Pure. andon adds chain,
 * previous_hash, receipt_id and seq (docs/receipts.md). */
#ifndef TAI_JIDOKA_RECEIPT_TEXT_H
#define TAI_JIDOKA_RECEIPT_TEXT_H

#include "jidoka/governor/governor.h"

/* The command that an `operator` receipt is of. */
struct receipt_operation {
    const char *command; /* command_kind_names */
    struct span command_id, operator, reason;
    const char *deadletter_id;    /* NULL: none is resolved */
    const uint8_t *edited_sha256; /* of the signal that runs instead; NULL: it was not edited */
};

/* What ingress has refused. */
struct receipt_refusal {
    uint32_t status;    /* HTTP; 0: a summary */
    struct span detail; /* what the answer said */
    struct span key_id; /* empty: not known */
    uint64_t count;     /* of a summary: refusals with this reason */
    int64_t from, to;   /* wall ms, of its first and last */
};

struct receipt_fields {
    enum receipt_type type;
    int64_t timestamp_ms;
    struct span tenant_id; /* empty: belongs to no tenant */
    struct span entitlement_id;
    struct span signal_id; /* empty: no signal */
    uint32_t redrive;
    const uint8_t *signal_sha256; /* NULL: none */
    struct span action_id, policy, reason;
    struct span config_sha256;
    const char *state_before, *state_after; /* NULL: none */
    const char *ending;                     /* only on the receipt that ends an identity */
    /* body */
    const struct governor_alert *alerts;
    unsigned alert_count;
    const struct governor_record *before, *after; /* after NULL: no governor fields; before NULL: all of them */
    struct span signal_type;                      /* on a signal's first receipt */
    int64_t accepted_at_ms;
    struct span action;
    const struct receipt_operation *operation; /* or NULL */
    const struct receipt_refusal *refusal;     /* or NULL; then the body has nothing else */
};

void receipt_text(const struct receipt_fields *fields, struct buf *out);

#endif
