/* The command line of one verb: options from a const table, the help text made of it, and messages on standard error.
 * What goes to a terminal is cleaned of control characters: texts of a server or a file must not drive it. */
#ifndef TAI_APPS_CLI_CLI_H
#define TAI_APPS_CLI_CLI_H

#include "apps/cli/forms.h"
#include "apps/verb.h"
#include "common/buf.h"

#include <stdio.h>

enum { CLI_OPTIONS_MAX = 24, CLI_MANY_MAX = 16, CLI_GO_ON = -1 };

/* One row of a verb's options. */
struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* what it takes, as the help names it; NULL: a flag */
    const char *help;
    char letter; /* short form, or 0 */
    bool number; /* the value is a decimal integer from min to max */
    int64_t min, max;
    const struct cli_form *form; /* of the value; NULL: any text that is not empty */
    int64_t many;                /* may be given so often, CLI_MANY_MAX at most: cli_each; 0: the last one holds */
};

/* Rows that several verbs have. */
#define CLI_JSON                                                                                                       \
    {                                                                                                                  \
        "json", NULL, "print JSON, one object a line"                                                                  \
    }
/* Two rows: whoever has a row behind them leaves room for the second. */
#define CLI_SERVER                                                                                                     \
    {"server", "URL", "where andon listens (default: $TAI_SERVER, or http://127.0.0.1:8081)"},                         \
    {                                                                                                                  \
        "token-file", "FILE", "holds the token, where andon asks for one (default: $TAI_TOKEN is it)"                  \
    }
#define CLI_LIMIT                                                                                                      \
    {                                                                                                                  \
        "limit", "N", "at most so many (default 100; 0: all)", 0, true, 0, INT64_MAX                                   \
    }
#define CLI_REVERSE                                                                                                    \
    {                                                                                                                  \
        "reverse", NULL, "from the other end: what comes last first", 'r'                                              \
    }
#define CLI_TENANT(help_text)                                                                                          \
    {                                                                                                                  \
        .name = "tenant", .value = "TENANT", .help = (help_text), .letter = 't', .form = &form_tenant                  \
    }
#define CLI_ENTITLEMENT(help_text)                                                                                     \
    {                                                                                                                  \
        .name = "entitlement", .value = "ID", .help = (help_text), .letter = 'e', .form = &form_entitlement            \
    }
#define CLI_SINCE                                                                                                      \
    {                                                                                                                  \
        .name = "since", .value = "TIME", .help = "only from then on: 2026-11-20T12:00:00Z, 2026-11-20, or 2h (ago)",  \
        .form = &form_time                                                                                             \
    }
#define CLI_BEFORE                                                                                                     \
    {                                                                                                                  \
        .name = "before", .value = "TIME", .help = "only what is older", .form = &form_time                            \
    }

struct cli;
struct cli_verb {
    const char *name;                 /* "signal send" */
    const char *arguments;            /* "[FILE]", "" if it takes none */
    const char *about;                /* what it does, whole lines */
    const char *notes;                /* behind the options in the help, or NULL */
    const struct cli_option *options; /* ends with {0}; --help is added */
    int min_args, max_args;
    const struct cli_form *forms[2];     /* of the arguments; the second one's also of those behind it; NULL: any */
    int (*check)(const struct cli *cli); /* what the table cannot say: CLI_GO_ON, or an exit code, said; or NULL */
};

/* What was given; values and arguments are borrowed from argv. */
struct cli {
    const struct cli_verb *verb;
    const char *values[CLI_OPTIONS_MAX]; /* by row; NULL: not given; "" for a flag */
    int64_t numbers[CLI_OPTIONS_MAX];    /* of rows that are numbers, where given */
    struct {
        int row;
        const char *value;
    } many[2 * CLI_MANY_MAX]; /* of rows that may be repeated (two of a verb at most), in order */
    int many_count;
    char **args;
    int arg_count;
};

/* CLI_GO_ON, or the exit code: the help was printed, or what is wrong. The last of a repeated option holds. */
must_check int cli_parse(struct cli *cli, const struct cli_verb *verb, int argc, char **argv);

/* The row of an option the verb has by that name, or -1. */
int cli_row(const struct cli *cli, const char *name);
/* The option's value, or the environment variable's unless that is empty, or otherwise. */
const char *cli_value(const struct cli *cli, int option, const char *variable, const char *otherwise);
/* The n-th value (from 0) of an option that may be repeated; NULL beyond the last. */
const char *cli_each(const struct cli *cli, int option, int n);
int64_t cli_number(const struct cli *cli, int option, int64_t otherwise);
/* Whether a token is to be sent to andon (CLI_SERVER). */
bool cli_has_token(const struct cli *cli);

/* The environment without the variables of the command line itself (TAI_SERVER, TAI_INGRESS, TAI_OPERATOR, TAI_TOKEN):
 * what the configuration is read under. The array is the caller's to free. */
char **cli_config_environ(void);

/* "tai signal send: …" on standard error; the value of cli_fail(cli, code, format, …) is code. */
#define cli_fail(cli, code, ...)                                                                                       \
    ({                                                                                                                 \
        int cli_code_ = (code);                                                                                        \
        cli_note(cli, __VA_ARGS__);                                                                                    \
        cli_code_;                                                                                                     \
    })
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A wrong command line: as cli_fail, and where the help is. Returns EXIT_USAGE. */
int cli_wrong(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Overwrites control characters of UTF-8 text, and what is no UTF-8, with '?'. */
void cli_clean(char *text, size_t len);

#endif
