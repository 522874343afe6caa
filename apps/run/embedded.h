/* The embedded form: all layers as threads of this process over one SQLite file. */
#ifndef TAI_APPS_RUN_EMBEDDED_H
#define TAI_APPS_RUN_EMBEDDED_H

#include "common/log.h"
#include "config/config.h"

struct embedded;

/* config: what it leaves to the data set is filled in. Takes the data lock, opens the data set, starts andon, jidoka,
 * ingress in that order. -EBUSY: another process holds the data directory (err names it). */
must_check int embedded_start(struct config *config, const struct log *log, struct embedded **ret, struct error *err);
/* Takes over what is reloadable of next, and keeps nothing of it. -EINVAL: what it allows would be unsafe where the
 * layers listen; nothing has changed then. */
must_check int embedded_reload(struct embedded *embedded, const struct config *next, struct error *err);
uint16_t embedded_port(const struct embedded *embedded);
uint16_t embedded_andon_port(const struct embedded *embedded);
/* Drains in layer order within timeout_ms; what is left in the queue then is worked off after the next start. true: all
 * of it was finished. */
bool embedded_stop(struct embedded *embedded, int64_t timeout_ms);

#endif
