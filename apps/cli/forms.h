/* What values on the command line look like, so that a wrong one is said before anything is asked. */
#ifndef TAI_APPS_CLI_FORMS_H
#define TAI_APPS_CLI_FORMS_H

#include "common/span.h"

#include <stdint.h>

struct cli_form {
    const char *noun;   /* "tenant" */
    const char *wanted; /* "1 to 64 characters of …"; NULL with choices */
    bool (*fits)(struct span text);
    const char *const *choices; /* instead: one of these, ended by NULL */
};

extern const struct cli_form form_tenant, form_entitlement, form_sku, form_signal_id, form_uuid, form_command_id,
    form_time, form_state, form_class, form_receipt_type, form_command, form_command_status, form_period, form_text;

/* A time of form_time in milliseconds since 1970: RFC 3339, a day (UTC), or how long before now_ms. */
bool form_read_time(struct span text, int64_t now_ms, int64_t *ret_ms);

#endif
