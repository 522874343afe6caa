/* A file that appears whole or not at all: written beside its name as NAME.part, fsynced, renamed. What is no regular
 * file (a pipe, /dev/null), and standard output, is written directly. */
#ifndef TAI_APPS_CLI_OUTFILE_H
#define TAI_APPS_CLI_OUTFILE_H

#include "common/error.h"

#include <stdio.h>

struct outfile {
    FILE *file;
    const char *path; /* borrowed; NULL: standard output */
    char *part;       /* NULL: written directly */
};

/* path: NULL or "-" is standard output. -EBUSY: another process is writing it. */
must_check int outfile_open(struct outfile *out, const char *path, struct error *err);
/* Puts the file in its place; a write that failed before shows here. Afterwards there is nothing to drop. */
must_check int outfile_commit(struct outfile *out, struct error *err);
/* Removes what was begun. */
void outfile_drop(struct outfile *out);

#endif
