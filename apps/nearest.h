/* Which known word a mistyped one was probably meant to be. */
#ifndef TAI_APPS_NEAREST_H
#define TAI_APPS_NEAREST_H

#include "common/span.h"

/* words ends with NULL. NULL if none is near. */
const char *nearest(struct span typed, const char *const *words);

#endif
