/* The table of docs/runbook.md, "Dead letters". A reason that is not in it is an action's own: what it called is to
 * mend. */
#include "jidoka/deadletter_class.h"

static const struct {
    const char *reason;
    enum deadletter_class class;
} classes[] = {
    {"id_conflict", CLASS_TENANT}, {"wait_expired", CLASS_TENANT},     {"deferral_limit", CLASS_DESTINATION},
    {"overflow", CLASS_PIPELINE},  {"too_old", CLASS_PIPELINE},        {"unparseable", CLASS_PIPELINE},
    {"corrupt", CLASS_PIPELINE},   {"halted_in_action", CLASS_POLICY}, {"poison", CLASS_POISON},
};

enum deadletter_class deadletter_class_of(enum signal_status status, struct span reason, enum breaker_opener opened_by)
{
    if (status == SIGNAL_DEADLETTERED && span_is(reason, "governor_halted"))
        return opened_by == OPENED_BY_OPERATOR ? CLASS_POLICY : CLASS_DESTINATION;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (span_is(reason, classes[i].reason))
            return classes[i].class;
    return status == SIGNAL_FAILED ? CLASS_DESTINATION : CLASS_PIPELINE;
}
