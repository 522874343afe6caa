/* A governor in a given state, reached as in life: by what publishers, actions, the clock and operators do. Over a
 * pipeline that is not open yet; the governor is (acme, ent), and its first signal has the id "first". */
#ifndef TAI_TESTS_SUPPORT_GOVERNOR_REACH_H
#define TAI_TESTS_SUPPORT_GOVERNOR_REACH_H

#include "support/triage.h"

/* A state's name, or "halted by breaker", "degraded by cancellation", "degraded without quota". */
void governor_reach(struct pipeline *p, const char *state);
const char *governor_state_of(struct pipeline *p, const char *entitlement); /* "none": there is no such governor */
bool governor_acts(const struct pipeline *p); /* an action is under way, and nothing else */

#endif
