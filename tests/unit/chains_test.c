/* The cache of chain heads: batches commit or leave no trace, old entries go. */
#include "andon/ledger/chains.h"

#include <criterion/criterion.h>

static struct chain_entry *touch(struct chains *chains, const char *name)
{
    return chains_touch(chains, span_of(name));
}

static void set(struct chain_entry *entry, uint64_t seq)
{
    const struct chain_head head = {.seq = seq, .hash = {(uint8_t)seq}};
    chain_set(entry, &head);
}

Test(chains, a_batch_commits)
{
    struct chains *chains = chains_new(10);
    struct chain_entry *acme = touch(chains, "acme");
    cr_assert(!chain_known(acme));
    set(acme, 4);
    cr_assert(span_is(chain_working(acme)->chain, "acme"));
    chain_working(acme)->seq = 5;
    cr_assert_eq(touch(chains, "acme"), acme);
    cr_assert_eq(chains_touched(chains), 1);
    cr_assert_eq(chains_at(chains, 0), acme);
    chains_commit(chains);
    cr_assert_eq(chains_touched(chains), 0);
    acme = touch(chains, "acme");
    cr_assert(chain_known(acme));
    cr_assert_eq(chain_working(acme)->seq, 5);
    chains_free(chains);
}

Test(chains, an_abandoned_batch_leaves_the_committed_heads)
{
    struct chains *chains = chains_new(10);
    struct chain_entry *acme = touch(chains, "acme");
    touch(chains, "globex");
    set(acme, 4);
    chain_working(acme)->seq = 9;
    chains_abandon(chains);
    cr_assert_eq(chain_working(touch(chains, "acme"))->seq, 4);
    cr_assert(!chain_known(touch(chains, "globex")));
    chains_free(chains);
}

Test(chains, the_longest_unused_go)
{
    struct chains *chains = chains_new(2);
    set(touch(chains, "a"), 1);
    set(touch(chains, "b"), 1);
    set(touch(chains, "c"), 1);
    cr_assert_eq(chains_cached(chains), 3, "a batch may be larger than the cap");
    chains_commit(chains);
    cr_assert_eq(chains_cached(chains), 2);
    cr_assert(chain_known(touch(chains, "b")));
    set(touch(chains, "d"), 1);
    chains_commit(chains);
    cr_assert(chain_known(touch(chains, "b")), "b was used after c");
    cr_assert(!chain_known(touch(chains, "c")));
    chains_forget(chains);
    cr_assert_eq(chains_cached(chains), 0);
    chains_free(chains);
}
