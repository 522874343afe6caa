/* The two steps behind every file that must survive a crash. Blocking. */
#ifndef TAI_ANDON_LEDGER_DURABLE_H
#define TAI_ANDON_LEDGER_DURABLE_H

#include "common/error.h"
#include "common/span.h"

#include <sys/types.h>

/* All of data at this offset. */
must_check int durable_write(int fd, struct span data, off_t at);
/* Makes the name of a file that was created or renamed durable. */
must_check int durable_sync_directory_of(const char *path);

#endif
