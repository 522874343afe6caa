/* What the headers of a POST must say before its body is looked at. Pure. */
#ifndef TAI_INGRESS_GUARD_H
#define TAI_INGRESS_GUARD_H

#include "common/span.h"

/* application/json, at most with charset=utf-8. */
bool guard_content_type(struct span content_type);
/* A Host header that names this machine only: localhost, 127.0.0.0/8 or [::1], with any port. A web page whose name was
 * pointed at 127.0.0.1 sends its own name instead. */
bool guard_host(struct span host);

#endif
