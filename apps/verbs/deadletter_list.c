/* `tai deadletter list`: one line a dead letter. */
#include "apps/cli/deadletters.h"
#include "apps/cli/list.h"

static const struct cli_option options[] = {CLI_DEADLETTER_FILTERS, CLI_LIST, {0}};

static const struct cli_verb verb = {
    .name = "deadletter list",
    .arguments = "",
    .about = "Lists the open dead letters, the oldest first unless --reverse: signals that ended `deadlettered` or\n"
             "`failed` and were neither requeued nor discarded.",
    .notes = "CLASS says whose it is to mend: tenant, destination, pipeline, policy, poison (docs/runbook.md).",
    .options = options,
};

static const char *const headings[] = {"ENDED",  "CLASS",   "REASON", "TENANT", "ENTITLEMENT",
                                       "SIGNAL", "REDRIVE", "ID",     NULL};

static void add(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch)
{
    static const char *const names[] = {"class",     "reason",  "tenant_id", "entitlement_id",
                                        "signal_id", "redrive", "id",        NULL};
    list_add_time(table, doc, item, "ended_at");
    list_add_texts(table, doc, item, names, scratch);
}

int verb_deadletter_list(int argc, char **argv)
{
    static const struct list_view view = {&verb, "/v1/deadletters", "deadletters", headings, add};
    return list_run(&view, argc, argv);
}
