/* `tai`: finds the verb and runs it. A verb is one word or two ("governor list"). */
#include "apps/verb.h"
#include "common/mem.h"
#include "common/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb {
    const char *name;
    verb_main *main;
    const char *help;
} verbs[] = {
    {"run", verb_run, "run the whole pipeline on this machine"},
    {"status", verb_status, "health, queue, endings, ledger at a glance"},
    {"top", verb_top, "the same live: rates, latencies, partitions"},
    {"signal send", verb_signal_send, "post signals from a file or standard input"},
    {"signal show", verb_signal_show, "what became of a signal"},
    {"governor list", verb_governor_list, "the governors and their states"},
    {"governor show", verb_governor_show, "one governor in full"},
    {"governor halt", verb_governor_halt, "halt a governor: its signals become dead letters"},
    {"governor resume", verb_governor_resume, "end a halt"},
    {"governor activate", verb_governor_activate, "activate an entitlement"},
    {"governor reset-quota", verb_governor_reset_quota, "set the used quota back to 0"},
    {"deadletter list", verb_deadletter_list, "signals that did not end well and wait for somebody"},
    {"deadletter show", verb_deadletter_show, "one dead letter with its signal"},
    {"deadletter requeue", verb_deadletter_requeue, "run dead letters again, edited if need be"},
    {"deadletter discard", verb_deadletter_discard, "give dead letters up, with a reason"},
    {"command list", verb_command_list, "what operators ordered, and what became of it"},
    {"command show", verb_command_show, "one command"},
    {"partition list", verb_partition_list, "who works on which partition, counters, what is open"},
    {"receipt list", verb_receipt_list, "receipts of a tenant or of the log"},
    {"receipt show", verb_receipt_show, "one receipt"},
    {"receipt export", verb_receipt_export, "a ledger, or a tenant's part of it, as a file that verifies offline"},
    {"receipt verify", verb_receipt_verify, "verify receipts with nothing but the public key"},
    {"ledger verify", verb_ledger_verify, "verify a whole log, and that it extends older checkpoints"},
    {"backup", verb_backup, "copy everything while `tai run` goes on, into a directory that can be started"},
    {"key new", verb_key_new, "a new secret of a publisher, token of andon, or key of the ledger"},
    {"config check", verb_config_check, "all problems of a configuration"},
    {"config show", verb_config_show, "the values in effect and where each comes from"},
    {"config reference", verb_config_reference, "every option, as Markdown"},
    {"bench", verb_bench, "load on a running server, and how fast it answers"},
    {"completion", verb_completion, "completion of verbs and options for bash"},
    {"version", verb_version, "version of this program"},
};

static const char *const groups[] = {"signal",  "governor", "deadletter", "command", "partition",
                                     "receipt", "ledger",   "key",        "config"};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]), GROUPS = sizeof(groups) / sizeof(groups[0]) };

const char *verb_name(size_t index)
{
    return index < VERBS ? verbs[index].name : NULL;
}

static void print_verbs(FILE *out, const char *group)
{
    size_t len = group ? strlen(group) : 0;
    for (size_t i = 0; i < VERBS; i++)
        if (!group || (strncmp(verbs[i].name, group, len) == 0 && verbs[i].name[len] == ' '))
            fprintf(out, "  tai %-20s %s\n", verbs[i].name, verbs[i].help);
}

static void print_help(FILE *out)
{
    fputs("Usage: tai VERB [OPTIONS] [ARGUMENTS]\n\n", out);
    print_verbs(out, NULL);
    fputs(
        "\n`tai VERB --help` explains one of them. To begin: `tai run`, and in another terminal `tai status`.\n"
        "\n"
        "Exit codes: 0 done; 1 failed or refused; 2 wrong command line or configuration; 3 no answer from the server;\n"
        "4 not found; 5 verification failed; 6 the data directory or the address is in use; 7 no token, or not "
        "allowed.\n",
        out);
}

/* How many words of argv name the verb: 0, 1 or 2. */
static int words_of(const struct verb *verb, int argc, char **argv)
{
    const char *space = strchr(verb->name, ' ');
    if (!space)
        return argc >= 1 && strcmp(argv[0], verb->name) == 0;
    size_t first = (size_t)(space - verb->name);
    return argc >= 2 && strlen(argv[0]) == first && strncmp(argv[0], verb->name, first) == 0 &&
                   strcmp(argv[1], space + 1) == 0
               ? 2
               : 0;
}

static const struct verb *find(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; i < VERBS; i++)
        if ((*ret_words = words_of(&verbs[i], argc, argv)))
            return &verbs[i];
    return NULL;
}

static bool is_group(const char *word)
{
    for (size_t i = 0; i < GROUPS; i++)
        if (strcmp(word, groups[i]) == 0)
            return true;
    return false;
}

/* The nearest of all verbs (group NULL), by whole name, or of a group's, by second word: "receipt lst" is nearer to
 * "list" than any whole name. The beginning of a name will do. */
static const char *nearest_verb(const char *group, const char *typed)
{
    const char *words[VERBS + GROUPS + 1] = {NULL};
    size_t len = group ? strlen(group) : 0;
    size_t count = 0;
    for (size_t i = 0; i < VERBS; i++)
        if (!group || (strncmp(verbs[i].name, group, len) == 0 && verbs[i].name[len] == ' '))
            words[count++] = verbs[i].name + (group ? len + 1 : 0);
    for (size_t i = 0; !group && i < GROUPS; i++)
        words[count++] = groups[i];
    const char *near = suggest(span_of(typed), words);
    for (size_t i = 0; !near && i < count; i++)
        if (strlen(typed) >= 3 && strncmp(words[i], typed, strlen(typed)) == 0)
            near = words[i];
    return near;
}

/* Words that other programs have for what is called otherwise here. */
static const char *habit_of(const char *typed)
{
    static const char *const habits[][2] = {{"start", "run"},
                                            {"serve", "run"},
                                            {"send", "signal send"},
                                            {"post", "signal send"},
                                            {"list", "receipt list"},
                                            {"dlq", "deadletter list"},
                                            {"health", "status"},
                                            {"verify", "receipt verify"},
                                            {"export", "receipt export"},
                                            {"check", "config check"},
                                            {"show", "signal show"},
                                            {"keygen", "key new"}};
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
        if (strcmp(typed, habits[i][0]) == 0)
            return habits[i][1];
    return NULL;
}

static int unknown_in(const char *group, const char *typed)
{
    const char *near = typed ? nearest_verb(group, typed) : NULL;
    if (!typed)
        fprintf(stderr, "tai %s: which one?\n", group);
    else if (near)
        fprintf(stderr, "tai: there is no verb '%s %s', did you mean `tai %s %s`?\n", group, typed, group, near);
    else
        fprintf(stderr, "tai: there is no verb '%s %s'; there are:\n", group, typed);
    if (!near)
        print_verbs(stderr, group);
    return EXIT_USAGE;
}

static int unknown(int argc, char **argv)
{
    char typed[64];
    if (is_group(argv[0])) {
        bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        if (!help)
            return unknown_in(argv[0], argc > 1 && argv[1][0] != '-' ? argv[1] : NULL);
        print_verbs(stdout, argv[0]);
        return EXIT_OK;
    }
    const char *near = habit_of(argv[0]);
    near = near ? near : nearest_verb(NULL, argv[0]);
    snprintf(typed, sizeof(typed), "%s %s", argv[0], argc > 1 ? argv[1] : "");
    if (argc > 1 && argv[1][0] != '-' && nearest_verb(NULL, typed))
        near = nearest_verb(NULL, typed);
    if (strcmp(argv[0], "stop") == 0)
        fputs("tai: there is no verb 'stop': press Ctrl-C where `tai run` runs, or send it SIGTERM.\n", stderr);
    else if (near)
        fprintf(stderr, "tai: there is no verb '%s', did you mean `tai %s`? `tai help` lists all.\n", argv[0], near);
    else if (argv[0][0] == '-')
        fprintf(stderr, "tai: options stand behind the verb: tai VERB %s. `tai help` lists the verbs.\n", argv[0]);
    else
        fprintf(stderr, "tai: there is no verb '%s'. `tai help` lists all.\n", argv[0]);
    return EXIT_USAGE;
}

/* Runs the verb under its whole name, with `extra` as its first argument unless NULL. */
static int run(const struct verb *verb, int argc, char **argv, const char *extra)
{
    char **args = xcalloc((size_t)argc + 3, sizeof(*args));
    int count = 0;
    args[count++] = xstrdup(verb->name);
    char *added = extra ? xstrdup(extra) : NULL;
    if (added)
        args[count++] = added;
    if (argc)
        memcpy(args + count, argv, (size_t)argc * sizeof(*args));
    char *name = args[0];
    int code = verb->main(count + argc, args);
    free(name);
    free(added);
    free((void *)args);
    return code;
}

static int help(int argc, char **argv)
{
    int words;
    const struct verb *verb = argc ? find(argc, argv, &words) : NULL;
    if (verb)
        return run(verb, 0, NULL, "--help");
    if (argc == 1 && is_group(argv[0])) {
        print_verbs(stdout, argv[0]);
        return EXIT_OK;
    }
    if (argc)
        return unknown(argc, argv);
    print_help(stdout);
    return EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
    char version[] = "version";
    int words;
    if (argc == 0) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "help") == 0)
        return help(argc - 1, argv + 1);
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return help(0, NULL);
    if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0)
        argv[0] = version;
    const struct verb *verb = find(argc, argv, &words);
    return verb ? run(verb, argc - words, argv + words, NULL) : unknown(argc, argv);
}

int main(int argc, char **argv)
{
    int code = dispatch(argc > 0 ? argc - 1 : 0, argc > 0 ? argv + 1 : argv);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_OK) {
        fprintf(stderr, "tai: cannot write the output: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    return code;
}
