/* Who may ask a listener that knows no credentials: this machine, but not a web page in a browser on it. And which web
 * pages may ask one that does. */
#ifndef TAI_COMMON_HTTP_GUARD_H
#define TAI_COMMON_HTTP_GUARD_H

#include "common/http/http.h"

/* A Host header that names this machine only: localhost, 127.0.0.0/8 or [::1], with any port. */
bool http_host_loopback(struct span host);

/* false: answered 403. The request must come from the loopback interface; Host must name it (a page whose name was
 * pointed at 127.0.0.1 sends its own; clients before HTTP/1.1 may send none, browsers do not); Origin, if there is one,
 * must be this listener. credentials says what would lift this, e.g. "keys (ingress.keys)". */
bool http_guard_local(struct http_request *req, const char *credentials);

/* false: answered 403. Origin, if there is one, must be the host that was asked; its scheme may be that of a proxy. */
bool http_guard_origin(struct http_request *req);

#endif
