/* What the headers of a POST must say before its body is looked at. Pure. */
#ifndef TAI_INGRESS_GUARD_H
#define TAI_INGRESS_GUARD_H

#include "common/span.h"

/* application/json, at most with charset=utf-8. */
bool guard_content_type(struct span content_type);

#endif
