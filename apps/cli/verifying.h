/* What the verbs that verify have in common: keys and files from the command line, the verdict for people and programs.
 */
#ifndef TAI_APPS_CLI_VERIFYING_H
#define TAI_APPS_CLI_VERIFYING_H

#include "andon/ledger/export.h"
#include "apps/cli/cli.h"

#define CLI_VKEY                                                                                                       \
    {                                                                                                                  \
        .name = "vkey", .value = "KEY|@FILE",                                                                          \
        .help = "the ledger's public key, or @ and a file of them (required; may be repeated)", .letter = 'k',         \
        .many = VERIFY_KEYS_MAX                                                                                        \
    }

/* Each: 0, or an exit code, said. */
must_check int verifying_keys(const struct cli *cli, int option, struct verify_keys *ret);
/* "-": standard input. ret_size: 0 if unknown. */
must_check int verifying_open(const struct cli *cli, const char *path, FILE **ret, uint64_t *ret_size);
/* All of a small file; "-" is standard input. */
must_check int verifying_read(const struct cli *cli, const char *path, struct buf *ret);

/* One verdict; why NULL: genuine. what: "export", "bundle", …. Prints, and returns the exit code. */
int verifying_tell(const struct cli *cli, const char *path, const char *what, const struct export_report *report,
                   const char *why, bool json);

#endif
