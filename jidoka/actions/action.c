/* The action types built in, and finding one by the name the configuration uses. Const tables, any thread. */
#include "jidoka/actions/action.h"

const struct action_type *const action_types[] = {&action_none, NULL};

const struct action_type *action_type_find(const struct action_type *const *types, const char *name)
{
    for (; *types; types++)
        if (strcmp((*types)->name, name) == 0)
            return *types;
    return NULL;
}
