/* The action without an effect outside: it succeeds as soon as its intent is committed, so a policy can be tried, and a
 * governor observed, before anything is connected. */
#include "jidoka/actions/action.h"

const struct action_type action_none = {.name = "none"};
