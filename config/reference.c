/* The option table as Markdown. docs/configuration.md is this text; a test compares them. */
#include "config/options.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "This page is generated: `tai config reference > docs/configuration.md`.\n"
    "\n"
    "`tai run` needs no configuration. A configuration is one YAML file (`--config FILE`) of sections with options "
    "below\n"
    "them; what is left out has its default. `tai config check FILE` names everything wrong with a file, with its "
    "line,\n"
    "and `tai config show` prints the values in effect and where each comes from.\n"
    "\n"
    "- Precedence: default, file, environment, command line; the later one wins.\n"
    "- Environment: `TAI_<SECTION>_<NAME>` in capitals, such as `TAI_LOG_LEVEL=debug`. An empty variable counts as not "
    "set.\n"
    "  An unknown name in a known section, or one that looks like a misspelt option, is refused; any other `TAI_` "
    "variable\n"
    "  is logged as not used. Under Kubernetes set `enableServiceLinks: false`, or a service named `tai-ingress` "
    "defines\n"
    "  `TAI_INGRESS_PORT` and the like. `PORT` sets the port of `ingress.listen`, unless `TAI_INGRESS_LISTEN` is set.\n"
    "- Refused: unknown keys, a key given twice, anchors, aliases, tags, a second document, files beyond 1 MiB, values "
    "of\n"
    "  another type or out of bounds, and unsafe combinations.\n"
    "- Secrets are never written in the file and never shown: they come from the environment or from a file of their "
    "own.\n"
    "- SIGHUP to `tai run` reads the file again, and the files it names, and takes over what the tables say; changes "
    "of other\n"
    "  options are named in the log and wait for a restart. A configuration with a problem changes nothing; the log "
    "says what\n"
    "  the problem is. The environment is that of the start.\n"
    "- Relative paths begin at the working directory.\n"
    "- The SHA-256 of the effective values at the start without secrets (of what `tai config show --json` prints) "
    "stands in "
    "receipts.\n"
    "\n"
    "| type | written as |\n"
    "|---|---|\n"
    "| bool | `true` or `false` |\n"
    "| int | digits |\n"
    "| bytes | digits, with `KiB`, `MiB` or `GiB` or for bytes nothing |\n"
    "| duration | digits with `ms`, `s`, `m`, `h` or `d` |\n"
    "| decimal, ratio | digits, at most six behind the point; a ratio is 0 to 1 |\n"
    "| address | `IP:PORT`, `[IPv6]:PORT` or `localhost:PORT` |\n"
    "| enum | one of the words |\n"
    "| file | path of a file that holds a secret, read at start |\n"
    "| text | text |\n";

static const char on_sighup[] = " Taken over on SIGHUP.";

static void add_bounds(const struct option *option, struct buf *out)
{
    switch (option->type) {
    case OPTION_ENUM:
        for (size_t i = (size_t)option->min; option->words[i]; i++)
            buf_addf(out, "%s`%s`", i > (size_t)option->min ? ", " : "", option->words[i]);
        break;
    case OPTION_INT:
    case OPTION_BYTES:
    case OPTION_DURATION:
    case OPTION_DECIMAL:
    case OPTION_RATIO:
        option_format_number(option, option->min, out);
        buf_add_str(out, " to ");
        option_format_number(option, option->max, out);
        if (option->flags & OPTION_NULLABLE)
            buf_add_str(out, ", `null`");
        break;
    default:
        break;
    }
}

static void add_row(const struct option *option, struct buf *out)
{
    buf_addf(out, "| `%s` | %s | ", option_key(option), option_type_name(option->type));
    if (option->fallback)
        buf_addf(out, "`%s`", option->fallback);
    else if (!(option->flags & OPTION_OPTIONAL))
        buf_add_str(out, "required");
    buf_add_str(out, " | ");
    add_bounds(option, out);
    buf_addf(out, " | %s%s |\n", option->help, option->flags & OPTION_RELOADABLE ? on_sighup : "");
}

void config_reference(struct buf *out)
{
    struct section section;
    buf_add_str(out, introduction);
    for (size_t i = 0; section_at(i, &section); i++) {
        buf_addf(out, "\n## %.*s\n\n", (int)section.name.len, section.name.ptr);
        if (section.list)
            buf_addf(out, "A list of at most %zu items. %s%s\n\n", section.list->max_items, section.list->help,
                     section.list->flags & OPTION_RELOADABLE ? on_sighup : "");
        buf_add_str(out, "| option | type | default | bounds | meaning |\n|---|---|---|---|---|\n");
        for (size_t j = 0; j < section.count; j++)
            add_row(&section.options[j], out);
    }
}
