/* `tai config reference`: the option table as Markdown, the text of docs/configuration.md. */
#include "apps/cli/cli.h"
#include "config/config.h"

static const struct cli_option options[] = {{0}};

static const struct cli_verb verb = {
    .name = "config reference",
    .arguments = "",
    .about = "Prints every option with its type, default, bounds and meaning, as Markdown.",
    .options = options,
};

enum { OUT_MAX = 16 << 20 };

int verb_config_reference(int argc, char **argv)
{
    struct cli cli;
    struct buf out;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&out, OUT_MAX);
    config_reference(&out);
    fwrite(out.data, 1, out.len, stdout);
    buf_done(&out);
    return EXIT_OK;
}
