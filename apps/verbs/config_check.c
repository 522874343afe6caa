/* `tai config check`: every problem of a configuration at once, without starting anything. */
#include "apps/cli/check_data.h"
#include "apps/cli/cli.h"
#include "apps/cli/output.h"
#include "common/mem.h"
#include "config/config.h"

#include <stdlib.h>

enum { DATA, JSON };

static const struct cli_option options[] = {
    [DATA] = {"data", "DIR", "check this data directory or backup as well, row by row; nobody may be running on it"},
    [JSON] = CLI_JSON,
    {0}};

static const struct cli_verb verb = {
    .name = "config check",
    .arguments = "[FILE]",
    .about =
        "Checks FILE as `tai run --config FILE` would read it, with the TAI_… variables of the environment; without\n"
        "FILE the environment alone. Prints all problems; exit code 2 if there are any.\n"
        "With --data, every file, page and row of that directory is verified without changing it: exit code 5 if any\n"
        "of it is damaged.",
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
    const struct config_override data = {"run.data", cli.values[DATA]};
    char **env = cli_config_environ();
    if (config_check(path, &data, data.value ? 1 : 0, env, &config, &problems) == 0) {
        for (size_t i = 0; i < config->warnings_count; i++)
            print(&cli, "warning", config->warnings[i]);
        if (!cli.values[JSON] && (path || !data.value))
            printf("%s: no problems\n", path ? path : "the environment");
    }
    for (size_t i = 0; i < problems.count; i++)
        print(&cli, "problem", problems.lines[i]);
    if (problems.count && !cli.values[JSON])
        printf("%zu problem%s\n", problems.count, problems.count == 1 ? "" : "s");
    code = problems.count ? EXIT_USAGE : EXIT_OK;
    if (config && data.value)
        code = check_data(&cli, config, cli.values[JSON]);
    config_free(config);
    config_problems_done(&problems);
    free((void *)env);
    return code;
}
