/* `tai deadletter list`: one line a dead letter, oldest first. */
#include "apps/deadletters.h"
#include "apps/output.h"

enum { FILTERS, LIMIT = FILTERS + DEADLETTER_FILTERS, JSON, SERVER };

static const struct cli_option options[] = {
    CLI_DEADLETTER_FILTERS, [LIMIT] = CLI_LIMIT, [JSON] = CLI_JSON, [SERVER] = CLI_SERVER, {0},
};

static const struct cli_verb verb = {
    .name = "deadletter list",
    .arguments = "",
    .about = "Lists the open dead letters, the oldest first: signals that ended `deadlettered` or `failed` and were\n"
             "neither requeued nor discarded.",
    .notes = "CLASS says whose it is to mend: tenant, destination, pipeline, policy, poison (docs/runbook.md).",
    .options = options,
};

static const char *const headings[] = {"ENDED",  "CLASS",   "REASON", "TENANT", "ENTITLEMENT",
                                       "SIGNAL", "REDRIVE", "ID",     NULL};

struct list {
    const struct cli *cli;
    struct table *table;
    struct buf scratch;
};

static int add_item(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    static const char *const columns[] = {"class",     "reason",  "tenant_id", "entitlement_id",
                                          "signal_id", "redrive", "id"};
    struct list *list = ctx;
    char time[OUT_TIME];
    if (list->cli->values[JSON]) {
        out_line(json_raw(doc, item));
        return 0;
    }
    if (item->type != JSON_OBJECT)
        return 0;
    table_add(list->table, span_of(out_time(out_int(doc, item, "ended_at", 0), time)));
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        table_add(list->table, out_text(doc, item, columns[i], &list->scratch));
    return 0;
}

int verb_deadletter_list(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf path;
    bool more = false;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    struct list list = {.cli = &cli, .table = table_new(headings)};
    buf_init(&list.scratch, 1 << 16);
    buf_init(&path, 1 << 13);
    deadletters_path(&cli, FILTERS, &path);
    code = session_list(&session, buf_cstr(&path), "deadletters", (uint64_t)cli_number(&cli, LIMIT, 100), add_item,
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
