/* The memory of planted bugs and the table of their names. */
#include "sim/shims.h"

#include "common/mem.h"

#include <stdlib.h>

const char *const bug_names[BUG_COUNT] = {"none",
#define X(id, name, text) name,
                                          BUGS(X)
#undef X
};

const char *const bug_texts[BUG_COUNT] = {"nothing is planted",
#define X(id, name, text) text,
                                          BUGS(X)
#undef X
};

/* What is wrapped inside the worker has no argument that leads here. */
static struct world *the_world;

void shims_new(struct world *world)
{
    world->shims = xcalloc(1, sizeof(*world->shims));
    world->shims->random.state = world->seed ^ UINT64_C(0x5851f42d4c957f2d);
    the_world = world;
}

void shims_free(struct world *world)
{
    struct shim_memory *shims = world->shims;
    HASH_CLEAR(hh, shims->hidden_signals);
    HASH_CLEAR(hh, shims->hidden_governors);
    arena_done(&shims->arena);
    free(shims->last_bytes);
    free(shims);
    the_world = NULL;
}

bool bug_is(const struct world *world, enum bug bug)
{
    return world->bug == bug;
}

bool bug_strikes(struct world *world, enum bug bug, unsigned odds)
{
    return world->bug == bug && random_below(&world->shims->random, odds) == 0;
}

bool shim_key_known(struct shim_key *keys, const char *key, size_t len)
{
    struct shim_key *found;
    HASH_FIND(hh, keys, key, len, found);
    return found != NULL;
}

void shim_key_add(struct world *world, struct shim_key **keys, const char *key, size_t len)
{
    if (shim_key_known(*keys, key, len))
        return;
    struct shim_key *added = arena_alloc(&world->shims->arena, sizeof(*added) + len);
    memcpy(added->key, key, len);
    HASH_ADD_KEYPTR(hh, *keys, added->key, len, added);
}

bool bug_acts_early(void)
{
    return bug_is(the_world, BUG_ACTION_EARLY);
}
