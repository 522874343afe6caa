/* Whose a dead letter is to mend, from how it ended: one table. Pure. */
#ifndef TAI_JIDOKA_DEADLETTER_CLASS_H
#define TAI_JIDOKA_DEADLETTER_CLASS_H

#include "store/records.h"

/* status: deadlettered or failed. opened_by: who halted the governor, if one did. */
enum deadletter_class deadletter_class_of(enum signal_status status, struct span reason, enum breaker_opener opened_by);

#endif
