/* A hash table that lives as long as one verification; grows with the number of chains in the file. */
#include "andon/ledger/export_chains.h"

#include "common/mem.h"

#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

struct entry {
    UT_hash_handle hh;
    struct export_chain chain;
    char name[];
};

struct export_chains {
    struct entry *table;
};

struct export_chains *export_chains_new(void)
{
    return xcalloc(1, sizeof(struct export_chains));
}

void export_chains_free(struct export_chains *chains)
{
    struct entry *entry, *next;
    HASH_ITER(hh, chains->table, entry, next)
    {
        HASH_DEL(chains->table, entry);
        free(entry);
    }
    free(chains);
}

struct export_chain *export_chain_get(struct export_chains *chains, struct span name)
{
    struct entry *entry = NULL;
    HASH_FIND(hh, chains->table, name.ptr, name.len, entry);
    if (!entry) {
        entry = xcalloc(1, sizeof(*entry) + name.len + 1);
        memcpy(entry->name, name.ptr, name.len);
        HASH_ADD_KEYPTR(hh, chains->table, entry->name, name.len, entry);
    }
    return &entry->chain;
}

size_t export_chains_count(const struct export_chains *chains)
{
    return HASH_COUNT(chains->table);
}

void export_chains_each(struct export_chains *chains, void (*visit)(struct export_chain *chain, void *ctx), void *ctx)
{
    for (struct entry *entry = chains->table; entry; entry = entry->hh.next)
        visit(&entry->chain, ctx);
}

const struct export_chain *export_chains_only(const struct export_chains *chains)
{
    return HASH_COUNT(chains->table) == 1 ? &chains->table->chain : NULL;
}
