/* `tai command list`: what operators ordered, and what became of it. */
#include "apps/cli/list.h"

static const struct cli_option options[] = {
    {.name = "command", .value = "COMMAND", .help = "only this one: halt, requeue, …", .form = &form_command},
    {.name = "status",
     .value = "STATUS",
     .help = "only those: pending, applied, rejected",
     .form = &form_command_status},
    CLI_TENANT("only those for this tenant"),
    CLI_ENTITLEMENT("only those for this entitlement"),
    CLI_SINCE,
    CLI_BEFORE,
    CLI_LIST,
    {0},
};

static const struct cli_verb verb = {
    .name = "command list",
    .arguments = "",
    .about = "Lists the commands that were given, the oldest first unless --reverse, with who gave them and how they\n"
             "ended. Ended ones are kept as long as signals (signals.retention); their receipts stay.",
    .notes = "COMMAND: halt, resume, activate, reset-quota, requeue, discard.",
    .options = options,
};

static const char *const headings[] = {"TIME",     "COMMAND", "STATUS",     "TENANT", "ENTITLEMENT",
                                       "OPERATOR", "REASON",  "COMMAND ID", NULL};

static void add(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch)
{
    static const char *const names[] = {"command",  "status", "tenant_id",  "entitlement_id",
                                        "operator", "reason", "command_id", NULL};
    list_add_time(table, doc, item, "created_at");
    list_add_texts(table, doc, item, names, scratch);
}

int verb_command_list(int argc, char **argv)
{
    static const struct list_view view = {&verb, "/v1/commands", "commands", headings, add};
    return list_run(&view, argc, argv);
}
