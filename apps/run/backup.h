/* Backups of a data set in use: a thread per backup that copies the signer's memories, the key and, through the
 * database thread, the database into a new directory, then writes the manifest. */
#ifndef TAI_APPS_RUN_BACKUP_H
#define TAI_APPS_RUN_BACKUP_H

#include "andon/backup.h"
#include "common/db/db.h"
#include "common/log.h"
#include "config/config.h"

struct backup;

struct backup *backup_new(const struct config *config, struct db *db, const struct log *log);
/* The one under way gives up and is removed, no other begins. NULL-safe, does not wait. */
void backup_stop(struct backup *backup);
/* The same, and waits. When andon is gone, before the database is closed. NULL-safe. */
void backup_free(struct backup *backup);
const struct andon_backup *backup_interface(struct backup *backup);

#endif
