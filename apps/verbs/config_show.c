/* `tai config show`: the values in effect, and where each comes from. Secrets are never shown. */
#include "apps/cli/cli.h"
#include "config/config.h"

#include <stdlib.h>

enum { CONFIG, JSON };

static const struct cli_option options[] = {
    [CONFIG] = {"config", "FILE", "the configuration file; without it defaults and environment", 'c'},
    [JSON] = {"json", NULL, "print canonical JSON: exactly the text that config_sha256 covers"},
    {0},
};

static const struct cli_verb verb = {
    .name = "config show",
    .arguments = "",
    .about =
        "Prints every option's value as `tai run --config FILE` would use it, and whether it is the default, from\n"
        "the file or from the environment. Secrets show as \"***\".",
    .options = options,
};

enum { OUT_MAX = 16 << 20 };

int verb_config_show(int argc, char **argv)
{
    struct cli cli;
    struct config *config;
    struct error err;
    struct buf out;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    char **env = cli_config_environ();
    int rc = config_load(cli.values[CONFIG], NULL, 0, env, &config, &err);
    free((void *)env);
    if (rc)
        return cli_fail(&cli, EXIT_USAGE, "%s", err.text);
    buf_init(&out, OUT_MAX);
    config_write_show(config, cli.values[JSON] ? CONFIG_SHOW_JSON : CONFIG_SHOW_TEXT, &out);
    if (out.len && out.data[out.len - 1] != '\n')
        buf_add_char(&out, '\n');
    fwrite(out.data, 1, out.len, stdout);
    buf_done(&out);
    config_free(config);
    return EXIT_OK;
}
