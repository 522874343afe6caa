/* The new configuration is read and judged whole before anything is touched; from there on nothing can fail. On the
 * worker's main thread. */
#include "apps/run/reload.h"
#include "apps/cli/cli.h"

#include <stdlib.h>

enum { NAMES_MAX = 4096 };

static void refuse(const struct reloader *reloader, const char *problem)
{
    log_event(reloader->log, LOG_ERROR, "reload_refused", LOG_S("problem", problem));
}

/* NULL: told. */
static struct config *load(const struct reloader *reloader)
{
    const struct reload_source *source = &reloader->source;
    struct config_problems problems = {0};
    struct config *config = NULL;
    char **env = cli_config_environ();
    (void)!config_check(source->path, source->overrides, source->overrides_count, env, &config, &problems);
    for (size_t i = 0; i < problems.count; i++)
        refuse(reloader, problems.lines[i]);
    config_problems_done(&problems);
    free((void *)env);
    return config;
}

static void tell(const struct reloader *reloader, const struct config *before, const struct config *next)
{
    struct buf changed, waiting;
    buf_init(&changed, NAMES_MAX);
    buf_init(&waiting, NAMES_MAX);
    config_diff(before, next, true, &changed);
    config_diff(reloader->boot, next, false, &waiting);
    log_event(reloader->log, LOG_INFO, "reloaded", LOG_S("changed", changed.len ? buf_cstr(&changed) : "nothing"));
    if (waiting.len)
        log_event(reloader->log, LOG_WARN, "restart_needed", LOG_S("options", buf_cstr(&waiting)));
    for (size_t i = 0; i < next->warnings_count; i++)
        log_event(reloader->log, LOG_WARN, "configuration", LOG_S("warning", next->warnings[i]));
    buf_done(&changed);
    buf_done(&waiting);
}

void reloader_run(struct reloader *reloader)
{
    struct error err;
    struct config *next = load(reloader);
    if (!next)
        return;
    if (embedded_reload(reloader->embedded, next, &err) < 0) {
        refuse(reloader, err.text);
        config_free(next);
        return;
    }
    reloader->log->level = next->log.level;
    tell(reloader, reloader->current ? reloader->current : reloader->boot, next);
    config_free(reloader->current);
    reloader->current = next;
}

void reloader_done(struct reloader *reloader)
{
    config_free(reloader->current);
    reloader->current = NULL;
}
