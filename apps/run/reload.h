/* SIGHUP: reads the configuration again, as it was read at the start, and takes over what may change while running. */
#ifndef TAI_APPS_RUN_RELOAD_H
#define TAI_APPS_RUN_RELOAD_H

#include "apps/run/embedded.h"

/* All borrowed, and alive until reloader_done. */
struct reload_source {
    const char *path; /* NULL: no file */
    const struct config_override *overrides;
    size_t overrides_count;
};

struct reloader {
    struct reload_source source;
    const struct config *boot; /* what is not reloadable is as here until the end */
    struct config *current;    /* owned; NULL: boot */
    struct embedded *embedded;
    struct log *log; /* its level follows the configuration */
};

/* All of it or nothing; the log says which options changed, which wait for a restart, or what is wrong. */
void reloader_run(struct reloader *reloader);
void reloader_done(struct reloader *reloader);

#endif
