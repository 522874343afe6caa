/* A dead letter's signal as somebody has rewritten it, in a file or an editor. */
#ifndef TAI_APPS_CLI_SIGNAL_REVISION_H
#define TAI_APPS_CLI_SIGNAL_REVISION_H

#include "apps/cli/session.h"

enum { SIGNAL_REVISION_MAX = 1 << 20 };

/* Appends the new text, JSON, to ret: the contents of file ("-": standard input), or, if NULL, what $VISUAL or $EDITOR
 * makes of the signal. Prints the difference. 0, or an exit code: also if nothing was changed. */
must_check int signal_revision_read(struct session *session, const char *id, const char *file, struct buf *ret);

#endif
