/* A VFS over the default one (or a test's) that gathers adjoining writes of a file until its next sync: SQLite writes
 * the log in pieces of 24 bytes and a page, and a commit of a hundred pages is then one write instead of two hundred.
 *
 * Only for a connection that syncs each commit (what is promised is never only gathered) and has its files to itself
 * (locking_mode EXCLUSIVE: the log's index in shared memory is not offered). A gathered write that fails is reported by
 * a later write or by the sync; either makes SQLite take back the whole transaction, or leave the whole checkpoint
 * undone, so what was gathered is not needed any more. */
#ifndef TAI_COMMON_DB_VFS_H
#define TAI_COMMON_DB_VFS_H

#include "common/error.h"

struct db_vfs;

/* below: the name of the VFS underneath, or NULL for the default one. */
must_check int db_vfs_new(const char *below, struct db_vfs **ret);
const char *db_vfs_name(const struct db_vfs *vfs); /* for sqlite3_open_v2 */
void db_vfs_free(struct db_vfs *vfs);              /* after its files are closed */

#endif
