/* Receipts as bytes: made from an outcome and the head of its chain, and read back. Pure. The form is
 * docs/receipts.md's. */
#ifndef TAI_ANDON_LEDGER_RECEIPT_H
#define TAI_ANDON_LEDGER_RECEIPT_H

#include "common/json/json.h"
#include "common/mem.h"
#include "store/store.h"

/* The chain of what belongs to no tenant; no tenant id begins with an underscore. */
#define RECEIPT_SYSTEM_CHAIN "_system"

enum { RECEIPT_TYPES = 8, RECEIPT_CHAIN_MAX = 64 };
extern const char *const receipt_types[RECEIPT_TYPES + 1]; /* ended by NULL */

struct receipt_builder {
    struct hasher *hasher; /* borrowed */
    struct json_doc doc;
    struct buf scratch;
};
void receipt_builder_init(struct receipt_builder *builder, struct hasher *hasher);
void receipt_builder_done(struct receipt_builder *builder);

/* The chain an outcome belongs to. */
struct span receipt_chain_of(const struct outcome *outcome);

/* Builds the receipt that follows head in its chain: body in arena, every other span within it. head moves on. index is
 * the caller's to set. -EBADMSG if the outcome's text is no canonical object of receipt fields, or of another tenant.
 */
must_check int receipt_build(struct receipt_builder *builder, const struct outcome *outcome, uint32_t shard,
                             struct chain_head *head, struct arena *arena, struct receipt *ret, struct error *err);

/* What links a stored receipt to its chain. Spans into body. */
struct receipt_fields {
    struct span receipt_id, chain, tenant_id, type;
    uint64_t seq;
    int64_t timestamp_ms;
    uint8_t previous_hash[SHA256_SIZE];
};
/* -EBADMSG unless body is canonical JSON of exactly the known fields, the required ones among them. ret->receipt_id is
 * filled even then, where it can be read. */
must_check int receipt_parse(struct receipt_builder *builder, struct span body, struct receipt_fields *ret,
                             struct error *err);

#endif
