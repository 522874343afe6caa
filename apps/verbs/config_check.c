/* `tai config check`: every problem of a configuration at once, without starting anything. */
#include "apps/cli.h"
#include "apps/output.h"
#include "common/mem.h"
#include "config/config.h"

#include <stdlib.h>

enum { JSON };

static const struct cli_option options[] = {[JSON] = CLI_JSON, {0}};

static const struct cli_verb verb = {
    .name = "config check",
    .arguments = "[FILE]",
    .about =
        "Checks FILE as `tai run --config FILE` would read it, with the TAI_… variables of the environment; without\n"
        "FILE the environment alone. Prints all problems; exit code 2 if there are any.",
    .options = options,
    .max_args = 1,
};

/* A line of text, or {"problem": text}. */
static void print(const struct cli *cli, const char *kind, const char *text)
{
    struct buf out;
    if (!cli->values[JSON]) {
        char *clean = xstrdup(text);
        cli_clean(clean, strlen(clean));
        printf("%s%s\n", strcmp(kind, "warning") == 0 ? "warning: " : "", clean);
        free(clean);
        return;
    }
    buf_init(&out, 1 << 16);
    buf_add_char(&out, '{');
    json_add_member(&out, kind, span_of(text));
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&out);
}

int verb_config_check(int argc, char **argv)
{
    struct cli cli;
    struct config_problems problems = {0};
    struct config *config = NULL;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    const char *path = cli.arg_count ? cli.args[0] : NULL;
    char **env = cli_config_environ();
    if (config_check(path, NULL, 0, env, &config, &problems) == 0) {
        for (size_t i = 0; i < config->warnings_count; i++)
            print(&cli, "warning", config->warnings[i]);
        if (!cli.values[JSON])
            printf("%s: no problems\n", path ? path : "the environment");
        config_free(config);
    }
    for (size_t i = 0; i < problems.count; i++)
        print(&cli, "problem", problems.lines[i]);
    if (problems.count && !cli.values[JSON])
        printf("%zu problem%s\n", problems.count, problems.count == 1 ? "" : "s");
    code = problems.count ? EXIT_USAGE : EXIT_OK;
    config_problems_done(&problems);
    free((void *)env);
    return code;
}
