/* What the database thread finds damaged, said: counted in tai_store_corruptions_total, and logged as database_damaged,
 * the same text once a minute. */
#ifndef TAI_APPS_RUN_DAMAGE_H
#define TAI_APPS_RUN_DAMAGE_H

#include "common/log.h"
#include "kaizen/metrics.h"

struct damage;

struct damage *damage_new(struct metrics *metrics, const struct log *log);
void damage_free(struct damage *damage);
void damage_met(void *damage, const char *what); /* for db_options.on_damage: one thread */

#endif
