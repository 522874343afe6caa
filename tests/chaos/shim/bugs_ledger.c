/* Planted bugs in the ledger.
 *
 *   receipt_twice     some outcomes are not consumed with their receipts, and receipted again
 *   previous_foreign  some receipts name the last hash of another chain
 *   seq_skipped       some receipts leave a number out
 *   checkpoint_early  checkpoints are signed before the receipts they cover are committed */
#include "shim.h"

#include "andon/ledger/receipt.h"
#include "andon/ledger/shard.h"
#include "andon/ledger/signing.h"
#include "common/mem.h"
#include "store/sqlite/internal.h"

#include <stdlib.h>

int __real_outcomes_consume(struct db_conn *conn, struct store_append *request);
int __wrap_outcomes_consume(struct db_conn *conn, struct store_append *request);
int __real_receipt_build(struct receipt_builder *builder, const struct outcome *outcome, uint32_t shard,
                         struct chain_head *head, struct arena *arena, struct receipt *ret, struct error *err);
int __wrap_receipt_build(struct receipt_builder *builder, const struct outcome *outcome, uint32_t shard,
                         struct chain_head *head, struct arena *arena, struct receipt *ret, struct error *err);
void __real_store_append(struct store *store, struct store_append *request);
void __wrap_store_append(struct store *store, struct store_append *request);

int __wrap_outcomes_consume(struct db_conn *conn, struct store_append *request)
{
    if (shim_bug("receipt_twice") && shim_sometimes(10))
        return 0;
    return __real_outcomes_consume(conn, request);
}

int __wrap_receipt_build(struct receipt_builder *builder, const struct outcome *outcome, uint32_t shard,
                         struct chain_head *head, struct arena *arena, struct receipt *ret, struct error *err)
{
    static uint8_t foreign[SHA256_SIZE];
    if (shim_bug("previous_foreign") && head->seq && shim_sometimes(50))
        memcpy(head->hash, foreign, SHA256_SIZE);
    if (shim_bug("seq_skipped") && shim_sometimes(50))
        head->seq++;
    int rc = __real_receipt_build(builder, outcome, shard, head, arena, ret, err);
    memcpy(foreign, head->hash, SHA256_SIZE);
    foreign[0] ^= 1;
    return rc;
}

struct late {
    struct store *store;
    struct store_append *request;
};

static void append_late(void *arg)
{
    struct late late = *(struct late *)arg;
    free(arg);
    __real_store_append(late.store, late.request);
}

void __wrap_store_append(struct store *store, struct store_append *request)
{
    struct shard *shard = request->req.ctx;
    if (!shim_bug("checkpoint_early")) {
        __real_store_append(store, request);
        return;
    }
    struct late *late = xmalloc(sizeof(*late));
    struct merkle tree = shard_tree(&request->head);
    *late = (struct late){store, request};
    signing_submit(shard->env->signing, shard->number, &tree);
    shim_later(shard->env->base, 30, append_late, late);
}
