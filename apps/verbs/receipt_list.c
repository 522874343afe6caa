/* `tai receipt list`: a tenant's chain, or a shard's log, oldest first. */
#include "apps/output.h"
#include "apps/session.h"

enum { TENANT, SHARD, ENTITLEMENT, SIGNAL, TYPE, LIMIT, JSON, SERVER };

static const struct cli_option options[] = {
    [TENANT] = {"tenant", "TENANT", "this tenant's chain (_system: what belongs to no tenant)", 't'},
    [SHARD] = {"shard", "N", "the log of this shard (default 0)", 0, true, 0, UINT32_MAX},
    [ENTITLEMENT] = {"entitlement", "ID", "only those of this entitlement", 'e'},
    [SIGNAL] = {"signal", "ID", "only those of this signal", 's'},
    [TYPE] = {"type", "TYPE", "only this type: refusal, state_change, deadletter, …"},
    [LIMIT] = CLI_LIMIT,
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
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
    .about = "Lists receipts, the oldest first: of one tenant's chain, or of a whole log.",
    .notes = "With --json each line is {\"index\",\"receipt\",\"receipt_hash\"}.",
    .options = options,
    .check = check,
};

static const char *const headings[] = {"TIME", "TYPE",        "ENDING", "REASON",  "CHAIN",
                                       "SEQ",  "ENTITLEMENT", "SIGNAL", "RECEIPT", NULL};

enum { PATH_BYTES = 4096, SCRATCH_MAX = 65536 };

struct list {
    const struct cli *cli;
    struct table *table;
    struct buf scratch;
};

static int add_receipt(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    static const char *const columns[] = {"type", "ending",         "reason",    "chain",
                                          "seq",  "entitlement_id", "signal_id", "receipt_id"};
    struct list *list = ctx;
    char time[OUT_TIME];
    if (list->cli->values[JSON]) {
        out_line(json_raw(doc, item));
        return 0;
    }
    const struct json_node *receipt = item->type == JSON_OBJECT ? json_get(doc, item, "receipt") : NULL;
    if (!receipt)
        return 0;
    table_add(list->table, span_of(out_time(out_int(doc, receipt, "timestamp", 0), time)));
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        table_add(list->table, out_text(doc, receipt, columns[i], &list->scratch));
    return 0;
}

static void make_path(const struct cli *cli, struct buf *path)
{
    buf_add_str(path, "/v1/receipts");
    url_query(path, "tenant_id", span_of(cli->values[TENANT]));
    url_query(path, "shard", span_of(cli->values[SHARD]));
    url_query(path, "entitlement_id", span_of(cli->values[ENTITLEMENT]));
    url_query(path, "signal_id", span_of(cli->values[SIGNAL]));
    url_query(path, "type", span_of(cli->values[TYPE]));
}

int verb_receipt_list(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf path;
    bool more = false;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    struct list list = {.cli = &cli, .table = table_new(headings)};
    buf_init(&list.scratch, SCRATCH_MAX);
    buf_init(&path, PATH_BYTES);
    make_path(&cli, &path);
    code = session_list(&session, buf_cstr(&path), "receipts", (uint64_t)cli_number(&cli, LIMIT, 100), add_receipt,
                        &list, &more);
    bool any = table_print(list.table);
    if (!code && more)
        cli_note(&cli, "there are more: --limit 0 lists all");
    else if (!code && !any && !cli.values[JSON])
        cli_note(&cli, "there are none");
    table_free(list.table);
    buf_done(&list.scratch);
    buf_done(&path);
    session_done(&session);
    return code;
}
