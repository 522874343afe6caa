/* Remembers what was said lately: a reader that tries again every second must not fill the log. */
#include "apps/run/damage.h"
#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>

enum { REMEMBERED = 16, AGAIN_US = 60 * 1000 * 1000 };

struct damage {
    const struct log *log;
    struct metric_counter *met;
    struct said {
        uint64_t hash;
        int64_t again_us; /* monotonic */
    } said[REMEMBERED];
    unsigned next; /* to be overwritten */
};

struct damage *damage_new(struct metrics *metrics, const struct log *log)
{
    struct damage *damage = xcalloc(1, sizeof(*damage));
    damage->log = log;
    damage->met = metrics_counter(metrics, "tai_store_corruptions_total",
                                  "Reads that met damaged pages or rows which cannot be true.");
    return damage;
}

void damage_free(struct damage *damage)
{
    free(damage);
}

static struct said *find(struct damage *damage, uint64_t hash)
{
    for (unsigned i = 0; i < REMEMBERED; i++)
        if (damage->said[i].hash == hash)
            return &damage->said[i];
    struct said *said = &damage->said[damage->next++ % REMEMBERED];
    *said = (struct said){.hash = hash};
    return said;
}

void damage_met(void *ctx, const char *what)
{
    struct damage *damage = ctx;
    struct said *said = find(damage, hash_pair(span_of(what), SPAN("")));
    int64_t now = clock_mono_us(damage->log->clock);
    metric_inc(damage->met);
    if (said->again_us && now < said->again_us)
        return;
    said->again_us = now + AGAIN_US;
    log_event(damage->log, LOG_ERROR, "database_damaged", LOG_S("what", what));
}
