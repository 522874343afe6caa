/* The lock on a data directory: one process at a time, and who it is. Held until the process ends. */
#ifndef TAI_APPS_RUN_DATA_LOCK_H
#define TAI_APPS_RUN_DATA_LOCK_H

#include "common/error.h"

/* Creates dir (mode 0700) if it is missing and locks it. -EBUSY: held; err names the holder's pid and addresses. */
must_check int data_lock_take(const char *dir, int *ret_fd, struct error *err);
/* For reading only: locks the directory if somebody ever ran on it (else *ret_fd is -1), changing and making nothing.
 * -EBUSY as above. */
must_check int data_lock_try(const char *dir, int *ret_fd, struct error *err);
/* What the next one who tries is told. */
void data_lock_describe(int fd, const char *text);

#endif
