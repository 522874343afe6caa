/* What andon needs of ingress: reading a dead letter's edited signal by the rules of a posted one. */
#ifndef TAI_APPS_RUN_SIGNAL_EDIT_H
#define TAI_APPS_RUN_SIGNAL_EDIT_H

#include "andon/andon.h"
#include "config/config.h"

struct signal_editor;

struct signal_editor *signal_editor_new(const struct ingress_config *config, const struct clock *clock);
void signal_editor_free(struct signal_editor *editor);
/* andon_options.edit; ctx is the editor. */
must_check int signal_edit(void *ctx, struct andon_edit *edit, struct error *err);

#endif
