/* `tai governor halt|resume|activate|reset-quota`: one command, and its end. */
#include "apps/cli/command.h"
#include "apps/cli/output.h"
#include "common/mem.h"

#include <stdlib.h>

enum { BECAUSE, NO_WAIT, OPERATOR, JSON, SERVER, TOKEN_FILE, LIMIT, PERIOD, SKU };

#define COMMON                                                                                                         \
    [BECAUSE] = {.name = "because", .value = "TEXT", .help = "why, for the receipt", .form = &form_text},              \
    [NO_WAIT] = {"no-wait", NULL, "do not wait until it has been carried out"}, [OPERATOR] = CLI_OPERATOR,             \
    [JSON] = CLI_JSON, [SERVER] = CLI_SERVER

static const struct cli_option plain_options[] = {COMMON, {0}};
static const struct cli_option activate_options[] = {
    COMMON,
    [LIMIT] = {"quota-limit", "N", "signals it allows in a period; none: no limit (default: as it is)"},
    [PERIOD] = {.name = "quota-period",
                .value = "PERIOD",
                .help = "none, hour, day or month (default: as it is)",
                .form = &form_period},
    [SKU] = {.name = "sku", .value = "ID", .help = "the SKU it is for (default: as it is)", .form = &form_sku},
    {0},
};

static const char notes[] = "Exit code 1 if the command is rejected, or not carried out within 30 s.";

#define VERB(verb_name, verb_about, verb_options)                                                                      \
    {                                                                                                                  \
        .name = verb_name, .arguments = "TENANT ENTITLEMENT", .about = verb_about, .notes = notes,                     \
        .options = verb_options, .min_args = 2, .max_args = 2, .forms = {                                              \
            &form_tenant,                                                                                              \
            &form_entitlement                                                                                          \
        }                                                                                                              \
    }

static const struct cli_verb halt =
    VERB("governor halt", "Halts a governor, whatever its state: its signals become dead letters until it is resumed.",
         plain_options);
static const struct cli_verb resume =
    VERB("governor resume", "Ends a halt, an operator's or the breaker's.", plain_options);
static const struct cli_verb activate = VERB(
    "governor activate",
    "Activates an entitlement as the marketplace's event does; makes the governor if there is none.", activate_options);
static const struct cli_verb reset_quota =
    VERB("governor reset-quota", "Sets the used quota back to 0.", plain_options);

enum { PATH_BYTES = 2048, WAIT_MS = 30000 };

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    if (out->len)
        buf_add_char(out, ',');
    buf_addf(out, "\"%s\":", name);
    json_add_string(out, span_of(value));
}

/* 0, or the exit code. */
static int make_members(const struct cli *cli, struct buf *out)
{
    add_text(out, "reason", cli->values[BECAUSE]);
    if (cli->verb != &activate)
        return 0;
    add_text(out, "quota_period", cli->values[PERIOD]);
    add_text(out, "sku_id", cli->values[SKU]);
    const char *limit = cli->values[LIMIT];
    if (!limit)
        return 0;
    bool none = strcmp(limit, "none") == 0;
    if (!none && (!*limit || strspn(limit, "0123456789") != strlen(limit) || strlen(limit) > 15))
        return cli_wrong(cli, "--quota-limit takes a whole number or none, not '%s'", limit);
    buf_addf(out, "%s\"quota_limit\":%s", out->len ? "," : "", none ? "null" : limit);
    return 0;
}

static int tell(const struct cli *cli, const struct given_command *command)
{
    static const char *const ends[] = {
        [COMMAND_NOT_YET] = "pending", [COMMAND_DONE] = "applied", [COMMAND_REFUSED] = "rejected"};
    if (cli->values[JSON]) {
        struct buf line;
        buf_init(&line, 2048);
        buf_add_char(&line, '{');
        json_add_member(&line, "command_id", span_of(command->id));
        json_add_member(&line, "status", span_of(ends[command->end]));
        if (command->reason[0])
            json_add_member(&line, "reason", span_of(command->reason));
        buf_add_char(&line, '}');
        out_line(buf_span(&line));
        buf_done(&line);
    } else if (command->end != COMMAND_REFUSED) {
        out_fieldf("command", "%s, %s", command->id, ends[command->end]);
    }
    if (command->end == COMMAND_REFUSED)
        return cli_fail(cli, EXIT_FAILED, "rejected: %s", command->reason);
    if (command->end == COMMAND_NOT_YET && !cli->values[NO_WAIT])
        return cli_fail(cli, EXIT_FAILED, "not carried out within %d s; it is still pending", WAIT_MS / 1000);
    return EXIT_OK;
}

/* The governor as the command left it. */
static int show_state(struct session *session, struct buf *path)
{
    char *slash = memrchr(path->data, '/', path->len);
    path->len = (size_t)(slash - path->data);
    int code = session_get_json(session, buf_cstr(path), "such governor");
    if (!code)
        out_field("state", out_text(&session->doc, session->doc.nodes, "state", path));
    return code;
}

static int run(const struct cli *cli, struct session *session, struct buf *path, struct span members)
{
    struct given_command command;
    const char *word = strchr(cli->verb->name, ' ') + 1;
    buf_add_str(path, "/v1/governors");
    url_segment(path, span_of(cli->args[0]));
    url_segment(path, span_of(cli->args[1]));
    buf_addf(path, "/%s", word);
    int code = command_give(session, buf_cstr(path), members, command_operator(cli, OPERATOR), &command);
    if (!code && !cli->values[NO_WAIT])
        code = command_wait(session, WAIT_MS, &command);
    code = code ? code : tell(cli, &command);
    if (!code && command.end == COMMAND_DONE && !cli->values[JSON])
        code = show_state(session, path);
    return code;
}

static int governor_command(const struct cli_verb *verb, int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf path, members;
    int code = session_begin(&session, &cli, verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&path, PATH_BYTES);
    buf_init(&members, 1 << 16);
    code = make_members(&cli, &members);
    if (!code)
        code = run(&cli, &session, &path, buf_span(&members));
    session_done(&session);
    buf_done(&path);
    buf_done(&members);
    return code;
}

int verb_governor_halt(int argc, char **argv)
{
    return governor_command(&halt, argc, argv);
}

int verb_governor_resume(int argc, char **argv)
{
    return governor_command(&resume, argc, argv);
}

int verb_governor_activate(int argc, char **argv)
{
    return governor_command(&activate, argc, argv);
}

int verb_governor_reset_quota(int argc, char **argv)
{
    return governor_command(&reset_quota, argc, argv);
}
