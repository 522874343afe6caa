/* `tai config check --data`: everything that is kept in a data directory or a backup, verified at rest without changing
 * a byte. */
#ifndef TAI_APPS_CLI_CHECK_DATA_H
#define TAI_APPS_CLI_CHECK_DATA_H

#include "apps/cli/cli.h"
#include "config/config.h"

/* config: as `tai run` would have it. Prints problems, notes and the summary; returns the exit code. */
int check_data(const struct cli *cli, const struct config *config, bool json);

#endif
