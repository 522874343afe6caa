/* The export of a ledger, one item a line, and its offline verification with nothing but the public key.
 *
 *   tai-export/1\n
 *   vkey <vkey>\n
 *   shard <decimal>\n
 *   r <receipt>\n         exactly the hashed bytes (canonical JSON has no line feed), in log order from index 0
 *   h <64 hex>\n          or, for a receipt that is not part of this export: its RFC 6962 leaf hash
 *   c <line>\n            the lines of the signed checkpoint over all of them, last
 */
#ifndef TAI_ANDON_LEDGER_EXPORT_H
#define TAI_ANDON_LEDGER_EXPORT_H

#include "andon/ledger/verify.h"

#include <stdio.h>

struct export_report {
    uint64_t leaves;   /* lines r and h */
    uint64_t receipts; /* lines r */
    uint64_t chains;
    char origin[128];
    uint8_t root[SHA256_SIZE];
    uint64_t bad_index; /* log index of the first bad receipt, UINT64_MAX: none (e.g. only the signature is bad) */
    char bad_receipt[UUID_TEXT + 1]; /* its receipt_id where it can be read, else empty */
};

struct export_old {
    struct checkpoint checkpoint; /* verified */
    const char *name;             /* for messages */
};

struct export_options {
    const struct verify_keys *keys;
    const struct export_old *olds; /* checkpoints the log must have passed through */
    size_t old_count;
    void (*progress)(void *ctx, uint64_t bytes); /* or NULL */
    void *ctx;
};

/* Reads an export and checks: every line is well formed, every receipt is canonical JSON of the known fields, each
 * chain's seq runs from 1 (complete chains; with h lines: contiguous from the first one shown) with previous_hash =
 * SHA-256 of the one before, the leaves hash to the checkpoint's root, its signature verifies under one of the keys.
 * The vkey within the file is never trusted. 0, or -EBADMSG with err naming the first bad receipt; ret is filled either
 * way. */
must_check int export_verify(FILE *in, const struct export_options *options, struct export_report *ret,
                             struct error *err);

#endif
