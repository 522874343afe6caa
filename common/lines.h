/* Texts read line by line, with exactly one spelling of everything. Pure. */
#ifndef TAI_COMMON_LINES_H
#define TAI_COMMON_LINES_H

#include "common/span.h"

#include <stdint.h>

/* Cuts the next line (without its line feed) off *rest; false if no line feed is left. */
bool line_take(struct span *rest, struct span *ret);
/* What follows prefix on the line. */
bool line_behind(struct span line, const char *prefix, struct span *ret);
/* A decimal number without leading zeros. */
bool decimal_parse(struct span text, uint64_t max, uint64_t *ret);

#endif
