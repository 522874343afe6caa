/* Option parsing and messages of all verbs but `run`. Borrows everything; keeps no state (getopt's own apart). */
#include "apps/cli/cli.h"
#include "common/mem.h"
#include "common/suggest.h"
#include "common/utf8.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LONG_ONLY = 256,
    HELP = LONG_ONLY + CLI_OPTIONS_MAX
}; /* what getopt returns for a row: its index behind LONG_ONLY */

/* --- messages ---------------------------------------------------------------------------------------------------- */

/* A C1 control character, which UTF-8 writes in two bytes. */
static bool is_c1(const char *text, size_t len)
{
    return len == 2 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;
}

void cli_clean(char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence(text + i, len - i);
        bool bad = n == 0 || is_c1(text + i, n) || (unsigned char)text[i] < 0x20 || text[i] == 0x7f;
        n = n ? n : 1;
        if (bad)
            memset(text + i, '?', n);
        i += n;
    }
}

__attribute__((format(printf, 2, 0))) static void say(const struct cli *cli, const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        abort();
    cli_clean(text, strlen(text));
    fflush(stdout); /* so that both streams stay in order where they end in one place */
    fprintf(stderr, "tai %s: %s\n", cli->verb->name, text);
    free(text);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(cli, format, args);
    va_end(args);
}

int cli_wrong(const struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(cli, format, args);
    va_end(args);
    fprintf(stderr, "See `tai %s --help`.\n", cli->verb->name);
    return EXIT_USAGE;
}

/* --- help -------------------------------------------------------------------------------------------------------- */

static void print_option(const struct cli_option *option)
{
    enum { WIDTH = 24 };
    char left[64];
    char letter[8] = "    ";
    if (option->letter)
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, option->name, option->value ? " " : "",
             option->value ? option->value : "");
    printf("  %-*s  %s\n", WIDTH, left, option->help);
}

static void print_help(const struct cli_verb *verb)
{
    static const struct cli_option help = {"help", NULL, "print this", 'h'};
    printf("Usage: tai %s [OPTIONS]%s%s\n\n%s\n\n", verb->name, *verb->arguments ? " " : "", verb->arguments,
           verb->about);
    for (const struct cli_option *option = verb->options; option->name; option++)
        print_option(option);
    print_option(&help);
    if (verb->notes)
        printf("\n%s\n", verb->notes);
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

static int parse_number(struct cli *cli, int row)
{
    const struct cli_option *option = &cli->verb->options[row];
    const char *text = cli->values[row];
    char *end;
    errno = 0;
    intmax_t number = strtoimax(text, &end, 10);
    if (end == text || *end || errno == EINVAL || (*text != '-' && (*text < '0' || *text > '9')))
        return cli_wrong(cli, "--%s takes a whole number, not '%s'", option->name, text);
    if (errno == ERANGE || number < option->min || number > option->max) {
        if (option->max == INT64_MAX)
            return cli_wrong(cli, "--%s must be at least %" PRId64 ", not %s", option->name, option->min, text);
        return cli_wrong(cli, "--%s must be from %" PRId64 " to %" PRId64 ", not %s", option->name, option->min,
                         option->max, text);
    }
    cli->numbers[row] = number;
    return CLI_GO_ON;
}

static int unknown_option(const struct cli *cli, const char *text)
{
    const char *names[CLI_OPTIONS_MAX + 2] = {"help"};
    struct span typed = {text + strspn(text, "-"), 0};
    typed.len = strcspn(typed.ptr, "=");
    for (size_t i = 0; cli->verb->options[i].name; i++)
        names[i + 1] = cli->verb->options[i].name;
    const char *near = typed.len > 1 ? suggest(typed, names) : NULL;
    if (near)
        return cli_wrong(cli, "unknown option '%s', did you mean --%s?", text, near);
    return cli_wrong(cli, "unknown option '%s'", text);
}

/* what: "--state", or "'x' is no state:" of an argument */
static int say_form(const struct cli *cli, const char *what, const struct cli_form *form, const char *text)
{
    struct buf known;
    int code;
    if (!form->choices)
        return cli_wrong(cli, "%s must be %s, not '%s'", what, form->wanted, text);
    buf_init(&known, 1024);
    for (size_t i = 0; form->choices[i]; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", form->choices[i]);
    const char *near = suggest(span_of(text), form->choices);
    if (near)
        code = cli_wrong(cli, "%s must be one of %s, not '%s'; did you mean %s?", what, buf_cstr(&known), text, near);
    else
        code = cli_wrong(cli, "%s must be one of %s, not '%s'", what, buf_cstr(&known), text);
    buf_done(&known);
    return code;
}

static bool fits(const struct cli_form *form, const char *text)
{
    if (!form->choices)
        return form->fits(span_of(text));
    for (size_t i = 0; form->choices[i]; i++)
        if (strcmp(form->choices[i], text) == 0)
            return true;
    return false;
}

static int store(struct cli *cli, int row)
{
    const struct cli_option *option = &cli->verb->options[row];
    char what[40];
    cli->values[row] = option->value ? optarg : "";
    if (option->many && cli_each(cli, row, (int)option->many - 1))
        return cli_wrong(cli, "--%s is given too often: at most %" PRId64 " times", option->name, option->many);
    if (option->many) {
        cli->many[cli->many_count].row = row;
        cli->many[cli->many_count++].value = optarg;
    }
    if (option->number)
        return parse_number(cli, row);
    snprintf(what, sizeof(what), "--%s", option->name);
    if (option->form && !fits(option->form, optarg))
        return say_form(cli, what, option->form, optarg);
    if (option->value && !*optarg)
        return cli_wrong(cli, "%s must not be empty", what);
    return CLI_GO_ON;
}

static int check_arguments(const struct cli *cli)
{
    for (int i = 0; i < cli->arg_count; i++) {
        const struct cli_form *form = cli->verb->forms[i > 0];
        if (form && !fits(form, cli->args[i])) {
            char what[40];
            snprintf(what, sizeof(what), "the %s", form->noun);
            return say_form(cli, what, form, cli->args[i]);
        }
    }
    return CLI_GO_ON;
}

static int row_of(const struct cli_verb *verb, int c)
{
    if (c >= LONG_ONLY)
        return c - LONG_ONLY;
    for (int row = 0; verb->options[row].name; row++)
        if (verb->options[row].letter == c)
            return row;
    return -1;
}

/* The tables getopt wants, made of the verb's. */
static void make_tables(const struct cli_verb *verb, struct option *longs, char *shorts)
{
    int row = 0;
    *shorts++ = ':'; /* a missing value is told apart from an unknown option */
    *shorts++ = 'h';
    for (; verb->options[row].name; row++) {
        const struct cli_option *option = &verb->options[row];
        longs[row] =
            (struct option){option->name, option->value ? required_argument : no_argument, NULL, LONG_ONLY + row};
        if (option->letter)
            *shorts++ = option->letter;
        if (option->letter && option->value)
            *shorts++ = ':';
    }
    *shorts = '\0';
    longs[row] = (struct option){"help", no_argument, NULL, HELP};
    longs[row + 1] = (struct option){0};
}

static int parse_options(struct cli *cli, int argc, char **argv)
{
    struct option longs[CLI_OPTIONS_MAX + 2];
    char shorts[2 * CLI_OPTIONS_MAX + 3];
    int c;
    make_tables(cli->verb, longs, shorts);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        char letter[] = {'-', (char)optopt, '\0'};
        if (c == 'h' || c == HELP) {
            print_help(cli->verb);
            return EXIT_OK;
        }
        if (c == ':')
            return cli_wrong(cli, "%s takes a value", optopt >= LONG_ONLY ? argv[optind - 1] : letter);
        if (c == '?' && optopt >= LONG_ONLY)
            return cli_wrong(cli, "--%s takes no value", longs[optopt - LONG_ONLY].name);
        if (c == '?')
            return unknown_option(cli, optopt ? letter : argv[optind - 1]);
        int code = store(cli, row_of(cli->verb, c));
        if (code != CLI_GO_ON)
            return code;
    }
    return CLI_GO_ON;
}

int cli_parse(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    *cli = (struct cli){.verb = verb};
    int code = parse_options(cli, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    cli->args = argv + optind;
    cli->arg_count = argc - optind;
    if (cli->arg_count > verb->max_args)
        return cli_wrong(cli, "unexpected argument '%s'", cli->args[verb->max_args]);
    if (cli->arg_count < verb->min_args)
        return cli_wrong(cli, "missing argument: usage is tai %s %s", verb->name, verb->arguments);
    code = check_arguments(cli);
    return code == CLI_GO_ON && verb->check ? verb->check(cli) : code;
}

int cli_row(const struct cli *cli, const char *name)
{
    for (int row = 0; cli->verb->options[row].name; row++)
        if (strcmp(cli->verb->options[row].name, name) == 0)
            return row;
    return -1;
}

const char *cli_value(const struct cli *cli, int option, const char *variable, const char *otherwise)
{
    const char *value = cli->values[option];
    if (!value && variable) {
        value = getenv(variable);
        if (value && !*value)
            value = NULL;
    }
    return value ? value : otherwise;
}

const char *cli_each(const struct cli *cli, int option, int n)
{
    for (int i = 0; i < cli->many_count; i++)
        if (cli->many[i].row == option && n-- == 0)
            return cli->many[i].value;
    return NULL;
}

int64_t cli_number(const struct cli *cli, int option, int64_t otherwise)
{
    return cli->values[option] ? cli->numbers[option] : otherwise;
}

bool cli_has_token(const struct cli *cli)
{
    int row = cli_row(cli, "token-file");
    const char *token = getenv("TAI_TOKEN");
    return (row >= 0 && cli->values[row]) || (token && *token);
}

static bool is_own(const char *entry)
{
    static const char *const own[] = {"TAI_SERVER=", "TAI_INGRESS=", "TAI_OPERATOR=", "TAI_TOKEN="};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strncmp(entry, own[i], strlen(own[i])) == 0)
            return true;
    return false;
}

char **cli_config_environ(void)
{
    size_t count = 0;
    size_t kept = 0;
    while (environ[count])
        count++;
    char **env = xcalloc(count + 1, sizeof(*env));
    for (size_t i = 0; i < count; i++)
        if (!is_own(environ[i]))
            env[kept++] = environ[i];
    return env;
}
