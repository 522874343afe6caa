/* A hash table in order of last use; the oldest entries go when a batch is over and more than the cap are left. */
#include "andon/ledger/chains.h"

#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

struct chain_entry {
    UT_hash_handle hh;
    bool known;
    bool touched;
    struct chain_head committed;
    struct chain_head working;
    char name[];
};

struct chains {
    struct chain_entry *table;
    size_t max;
    struct chain_entry **touched;
    size_t count, touched_cap;
};

struct chains *chains_new(size_t cap)
{
    struct chains *chains = xcalloc(1, sizeof(*chains));
    chains->max = cap;
    return chains;
}

static void drop(struct chains *chains, struct chain_entry *entry)
{
    HASH_DEL(chains->table, entry);
    free(entry);
}

void chains_forget(struct chains *chains)
{
    struct chain_entry *entry, *next;
    HASH_ITER(hh, chains->table, entry, next)
    drop(chains, entry);
    chains->count = 0;
}

void chains_free(struct chains *chains)
{
    if (!chains)
        return;
    chains_forget(chains);
    free(chains->touched);
    free(chains);
}

static struct chain_entry *entry_new(struct span chain)
{
    struct chain_entry *entry = xcalloc(1, sizeof(*entry) + chain.len + 1);
    memcpy(entry->name, chain.ptr, chain.len);
    entry->committed.chain = (struct span){entry->name, chain.len};
    entry->working.chain = entry->committed.chain;
    return entry;
}

static void add(struct chains *chains, struct chain_entry *entry)
{
    HASH_ADD_KEYPTR(hh, chains->table, entry->name, entry->committed.chain.len, entry);
}

struct chain_entry *chains_touch(struct chains *chains, struct span chain)
{
    struct chain_entry *entry = NULL;
    HASH_FIND(hh, chains->table, chain.ptr, chain.len, entry);
    if (entry && entry->touched)
        return entry;
    if (entry)
        HASH_DEL(chains->table, entry); /* to the end of the order of use */
    else
        entry = entry_new(chain);
    add(chains, entry);
    entry->touched = true;
    mem_grow(&chains->touched, &chains->touched_cap, chains->count + 1, sizeof(struct chain_entry *));
    chains->touched[chains->count++] = entry;
    return entry;
}

bool chain_known(const struct chain_entry *entry)
{
    return entry->known;
}

void chain_set(struct chain_entry *entry, const struct chain_head *head)
{
    entry->known = true;
    entry->committed.seq = head->seq;
    memcpy(entry->committed.hash, head->hash, SHA256_SIZE);
    entry->working = entry->committed;
}

struct chain_head *chain_working(struct chain_entry *entry)
{
    return &entry->working;
}

size_t chains_touched(const struct chains *chains)
{
    return chains->count;
}

struct chain_entry *chains_at(const struct chains *chains, size_t i)
{
    return chains->touched[i];
}

static void end_batch(struct chains *chains)
{
    for (size_t i = 0; i < chains->count; i++)
        chains->touched[i]->touched = false;
    chains->count = 0;
    while (HASH_COUNT(chains->table) > chains->max)
        drop(chains, chains->table);
}

void chains_commit(struct chains *chains)
{
    for (size_t i = 0; i < chains->count; i++)
        chains->touched[i]->committed = chains->touched[i]->working;
    end_batch(chains);
}

void chains_abandon(struct chains *chains)
{
    for (size_t i = 0; i < chains->count; i++)
        chains->touched[i]->working = chains->touched[i]->committed;
    end_batch(chains);
}

size_t chains_cached(const struct chains *chains)
{
    return HASH_COUNT(chains->table);
}
