/* A store handle of the simulator's own, for looking at the end; and waiting for its answers, which takes turns of the
 * database. */
#include "sim/sim.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { OWNER = 1000, TURNS_MAX = 10000 };

struct drill {
    struct world *world;
    struct store *store;
};

struct drill *drill_new(struct world *world)
{
    struct error err;
    struct drill *drill = xcalloc(1, sizeof(*drill));
    drill->world = world;
    database_own(world->lab->database, OWNER);
    if (store_open(world->sqlite, &drill->store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return drill;
}

void drill_free(struct drill *drill)
{
    store_close(drill->store);
    free(drill);
}

struct store *drill_store(struct drill *drill)
{
    return drill->store;
}

void drill_wait(struct drill *drill, bool *answered)
{
    for (unsigned i = 0; !*answered && i < TURNS_MAX; i++) {
        database_turn_all(drill->world->lab->database);
        store_dispatch(drill->store);
    }
    if (!*answered)
        abort();
}
