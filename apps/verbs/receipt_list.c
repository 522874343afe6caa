/* `tai receipt list`: a tenant's chain, or a shard's log. */
#include "apps/cli/list.h"

enum { TENANT, SHARD };

static const struct cli_option options[] = {
    [TENANT] = CLI_TENANT("this tenant's chain (_system: what belongs to no tenant)"),
    [SHARD] = {"shard", "N", "the log of this shard (default 0)", 0, true, 0, UINT32_MAX},
    CLI_ENTITLEMENT("only those of this entitlement"),
    {.name = "signal", .value = "ID", .help = "only those of this signal", .letter = 's', .form = &form_signal_id},
    {.name = "type",
     .value = "TYPE",
     .help = "only this type: refusal, state_change, deadletter, …",
     .form = &form_receipt_type},
    CLI_SINCE,
    CLI_BEFORE,
    CLI_LIST,
    {0},
};

static int check(const struct cli *cli)
{
    if (cli->values[TENANT] && cli->values[SHARD])
        return cli_wrong(cli, "--tenant names one chain, --shard a whole log: give one of them");
    return CLI_GO_ON;
}

static const struct cli_verb verb = {
    .name = "receipt list",
    .arguments = "",
    .about = "Lists receipts, the oldest first unless --reverse: of one tenant's chain, or of a whole log.",
    .notes = "TYPE: action_intent, action_success, action_failure, state_change, refusal, deadletter, operator,\n"
             "refusal_summary. With --json each line is {\"index\",\"receipt\",\"receipt_hash\"}.",
    .options = options,
    .check = check,
};

static const char *const headings[] = {"TIME", "TYPE",        "ENDING", "REASON",  "CHAIN",
                                       "SEQ",  "ENTITLEMENT", "SIGNAL", "RECEIPT", NULL};

static void add(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch)
{
    static const char *const names[] = {"type",           "ending",    "reason",     "chain", "seq",
                                        "entitlement_id", "signal_id", "receipt_id", NULL};
    const struct json_node *receipt = json_get(doc, item, "receipt");
    if (!receipt)
        return;
    list_add_time(table, doc, receipt, "timestamp");
    list_add_texts(table, doc, receipt, names, scratch);
}

int verb_receipt_list(int argc, char **argv)
{
    static const struct list_view view = {&verb, "/v1/receipts", "receipts", headings, add};
    return list_run(&view, argc, argv);
}
