/* The manifest of a backup: what belongs to it and the SHA-256 of each file, as `sha256sum -c MANIFEST` reads it.
 * Until it is written whole, its place is held by MANIFEST.part: a directory with that file is an unfinished backup.
 *
 *   # tai-backup/1 <version> <time, RFC 3339>\n
 *   <64 hex>  <file name>\n … */
#ifndef TAI_APPS_CLI_MANIFEST_H
#define TAI_APPS_CLI_MANIFEST_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_NAME "MANIFEST"
#define MANIFEST_PART MANIFEST_NAME ".part"

enum { MANIFEST_FILES_MAX = 512 };

struct manifest_watch {
    /* Called while files are read; false stops: -ECANCELED. Or NULL. */
    bool (*go_on)(void *ctx, uint64_t bytes);
    void *ctx;
};

/* Marks dir, which is empty, as an unfinished backup, on disk. */
must_check int manifest_begin(const char *dir, struct error *err);
/* -EBADMSG if dir is an unfinished backup. */
must_check int manifest_finished(const char *dir, struct error *err);
bool manifest_in(const char *dir); /* there is one: dir is, or came from, a finished backup */

/* Reads the files (names within dir), writes the manifest and waits until it and the directory are on disk. */
must_check int manifest_write(const char *dir, const char *const *names, size_t count, int64_t wall_ms,
                              const struct manifest_watch *watch, struct error *err);
/* -EBADMSG if a file is missing or has other contents, naming it, or the manifest cannot be read; -ENOENT: there is
 * none. ret_files may be NULL. */
must_check int manifest_verify(const char *dir, const struct manifest_watch *watch, size_t *ret_files,
                               struct error *err);

#endif
