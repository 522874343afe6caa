/* The heads of the chains a shard appended to lately. A batch works on copies; they become the committed heads, or are
 * forgotten, with it. One per shard, on the loop's thread. */
#ifndef TAI_ANDON_LEDGER_CHAINS_H
#define TAI_ANDON_LEDGER_CHAINS_H

#include "common/error.h"
#include "store/store.h"

struct chains;
struct chain_entry;

struct chains *chains_new(size_t cap); /* entries kept between batches */
void chains_free(struct chains *chains);

/* The entry of a chain, made if it is new; part of the batch from now on. */
struct chain_entry *chains_touch(struct chains *chains, struct span chain);
bool chain_known(const struct chain_entry *entry);                        /* its head has been read */
void chain_set(struct chain_entry *entry, const struct chain_head *head); /* as read from the store */
struct chain_head *chain_working(struct chain_entry *entry); /* of this batch; chain is the entry's own copy */

/* The entries of the batch in the order they were touched first. */
size_t chains_touched(const struct chains *chains);
struct chain_entry *chains_at(const struct chains *chains, size_t i);

void chains_commit(struct chains *chains);  /* working heads are the committed ones now */
void chains_abandon(struct chains *chains); /* the batch was not stored: back to the committed heads */
void chains_forget(struct chains *chains);  /* everything: somebody else may have appended */
size_t chains_cached(const struct chains *chains);

#endif
