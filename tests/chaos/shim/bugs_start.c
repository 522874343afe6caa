/* Planted bug at the start.
 *
 *   lock_ignored  the data directory is taken although somebody holds it */
#include "shim.h"

#include "apps/run/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int __real_data_lock_take(const char *dir, int *ret_fd, struct error *err);
int __wrap_data_lock_take(const char *dir, int *ret_fd, struct error *err);

int __wrap_data_lock_take(const char *dir, int *ret_fd, struct error *err)
{
    char path[4096];
    int rc = __real_data_lock_take(dir, ret_fd, err);
    if (rc != -EBUSY || !shim_bug("lock_ignored"))
        return rc;
    snprintf(path, sizeof(path), "%s/lock", dir);
    *ret_fd = open(path, O_RDWR | O_CLOEXEC);
    return *ret_fd < 0 ? rc : 0;
}
