/* The verbs of `tai`: one table (main.c), one file each (verbs/, run/). */
#ifndef TAI_APPS_VERB_H
#define TAI_APPS_VERB_H

#include <stddef.h>

/* Exit codes; docs/cli.md lists them for users. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* the operation was tried and failed or was refused */
    EXIT_USAGE = 2,       /* the command line or the configuration is wrong */
    EXIT_UNREACHABLE = 3, /* no answer from the server */
    EXIT_NOT_FOUND = 4,
    EXIT_BAD_PROOF = 5, /* verification found a bad receipt, chain, root or signature */
    EXIT_BUSY = 6,      /* another process holds the data directory, or the address */
    EXIT_DENIED = 7,    /* the server asks for a token, or refuses the one it got (401, 403) */
};

/* The names of all verbs, in order; NULL behind the last (main.c). */
const char *verb_name(size_t index);

/* argv[0] is the verb's own name ("signal send"), argv[argc] NULL. Returns an exit code. */
typedef int verb_main(int argc, char **argv);

verb_main verb_governor_halt, verb_governor_resume, verb_governor_activate, verb_governor_reset_quota,
    verb_deadletter_list, verb_deadletter_show, verb_deadletter_requeue, verb_deadletter_discard;
verb_main verb_completion, verb_top, verb_command_list, verb_command_show, verb_partition_list;
verb_main verb_run, verb_status, verb_signal_send, verb_signal_show, verb_governor_list, verb_governor_show,
    verb_receipt_list, verb_receipt_show, verb_receipt_export, verb_receipt_verify, verb_ledger_verify,
    verb_config_check, verb_config_show, verb_config_reference, verb_version, verb_backup, verb_key_new, verb_bench;

#endif
