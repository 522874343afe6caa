/* Names of what triage.h defines. */
#include "store/triage.h"

const char *const command_kind_names[COMMAND_KIND_COUNT + 1] = {
    [COMMAND_HALT] = "halt",         [COMMAND_RESUME] = "resume",
    [COMMAND_ACTIVATE] = "activate", [COMMAND_RESET_QUOTA] = "reset-quota",
    [COMMAND_REQUEUE] = "requeue",   [COMMAND_DISCARD] = "discard"};

const char *const command_status_names[COMMAND_STATUS_COUNT + 1] = {
    [COMMAND_PENDING] = "pending", [COMMAND_APPLIED] = "applied", [COMMAND_REJECTED] = "rejected"};
