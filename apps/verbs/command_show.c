/* `tai command show`: one command, and how it ended. */
#include "apps/cli/output.h"
#include "apps/cli/session.h"

enum { JSON, SERVER };

static const struct cli_option options[] = {[JSON] = CLI_JSON, [SERVER] = CLI_SERVER, {0}};

static const struct cli_verb verb = {
    .name = "command show",
    .arguments = "COMMAND_ID",
    .about = "Shows one command: what was ordered, by whom, and how it ended.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .forms = {&form_command_id},
};

static void print_command(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {{"command", "command"},
                                           {"status", "status"},
                                           {"reason", "reason"},
                                           {"operator", "operator"},
                                           {"tenant", "tenant_id"},
                                           {"entitlement", "entitlement_id"},
                                           {"with", "args"},
                                           {"dead letter", "deadletter_id"},
                                           {"command id", "command_id"}};
    char time[OUT_TIME];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_field(names[i][0], out_text(doc, doc->nodes, names[i][1], scratch));
    out_field("given", span_of(out_time(out_int(doc, doc->nodes, "created_at", 0), time)));
}

int verb_command_show(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf buf;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&buf, 1 << 16);
    buf_add_str(&buf, "/v1/commands");
    url_segment(&buf, span_of(cli.args[0]));
    code = session_get_json(&session, buf_cstr(&buf), "such command");
    if (!code && cli.values[JSON])
        out_line(buf_span(&session.response.body));
    else if (!code)
        print_command(&session.doc, &buf);
    buf_done(&buf);
    session_done(&session);
    return code;
}
