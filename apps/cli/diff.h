/* The lines in which two texts differ, as `diff -u` shows them; JSON is laid out a member a line first. */
#ifndef TAI_APPS_CLI_DIFF_H
#define TAI_APPS_CLI_DIFF_H

#include "common/buf.h"

/* JSON with line feeds and two spaces an indent; other text as it is. */
void diff_layout(struct span text, struct buf *out);
/* Appends the hunks with three lines of context; nothing if the texts are equal. */
void diff_unified(struct span before, struct span after, struct buf *out);

#endif
