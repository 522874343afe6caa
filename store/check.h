/* Verifying a store's rows at rest, decoded as the running service decodes them, and held against each other. What
 * other layers know is asked through callbacks, which apps/ wires. */
#ifndef TAI_STORE_CHECK_H
#define TAI_STORE_CHECK_H

#include "common/check.h"
#include "common/error.h"
#include "store/triage.h"

/* A receipt and what the store has beside it. */
struct checked_receipt {
    uint32_t shard;
    const struct receipt *receipt;
    const uint8_t *previous; /* the hash of the receipt before it in its chain; NULL: there is none */
    /* Of the tree's tiles (store.h): the hash of level l that ends with this receipt, from level 0 on. */
    const uint8_t (*tiles)[SHA256_SIZE];
    uint32_t tile_count;
};

struct store_check {
    struct check *check;
    /* What is broken in a record at rest, or NULL. */
    const char *(*governor)(const struct governor_record *record);
    /* Whether envelope and bytes of the row can be decoded, and are those of its identity and hash. */
    int (*envelope)(const struct signal_row *row, struct error *err);
    /* The ledger, shard by shard: its begin, every receipt that can be read in the order of the log, the outcomes that
     * wait for theirs, and the head they must lead to. */
    void *ledger;
    void (*shard)(void *ledger, uint32_t shard);
    void (*receipt)(void *ledger, const struct checked_receipt *receipt);
    void (*outcome)(void *ledger, uint32_t shard, const struct outcome *outcome);
    void (*head)(void *ledger, const struct shard_head *head);
    /* Out: what the data set was made with; 0: nothing was stored yet. */
    uint32_t partitions, shards;
};

#endif
