/* What an export's verification remembers of each chain. */
#ifndef TAI_ANDON_LEDGER_EXPORT_CHAINS_H
#define TAI_ANDON_LEDGER_EXPORT_CHAINS_H

#include "common/hash.h"

struct export_link {
    uint64_t index;
    uint64_t seq; /* 0: none */
    char receipt_id[UUID_TEXT + 1];
    uint8_t hash[SHA256_SIZE];
};

struct export_chain {
    struct export_link before, last; /* the last two receipts */
    bool doubt;                      /* last does not link to before: one of the two is bad */
};

struct export_chains;

struct export_chains *export_chains_new(void);
void export_chains_free(struct export_chains *chains);
size_t export_chains_count(const struct export_chains *chains);
struct export_chain *export_chain_get(struct export_chains *chains, struct span name); /* made if new */
void export_chains_each(struct export_chains *chains, void (*visit)(struct export_chain *chain, void *ctx), void *ctx);
const struct export_chain *export_chains_only(
    const struct export_chains *chains); /* NULL unless there is exactly one */

#endif
