/* The nearest known word to a mistyped one, for messages that say what was probably meant. */
#ifndef TAI_COMMON_SUGGEST_H
#define TAI_COMMON_SUGGEST_H

#include "common/span.h"

/* words ends with NULL. NULL if none is near. */
const char *suggest(struct span typed, const char *const *words);

/* The same with candidates offered one by one; best is NULL while none was near. */
struct suggestion {
    struct span text;
    const char *best;
    size_t distance;
};
void suggestion_init(struct suggestion *suggestion, struct span text);
void suggestion_offer(struct suggestion *suggestion, const char *candidate);

#endif
