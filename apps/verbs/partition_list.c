/* `tai partition list`: who works on which, what it counted, what is open in it. */
#include "apps/cli/list.h"

static const struct cli_option options[] = {CLI_LIST, {0}};

static const struct cli_verb verb = {
    .name = "partition list",
    .arguments = "",
    .about = "Lists the partitions of the queue: the worker that owns each, its counters, and what is open in it.",
    .notes =
        "LEASE is what is left of the owner's lease. DEPTH: signals in the queue. LAG: receipts still to be written.\n"
        "GAP and BALANCE are 0 unless something was lost or counted twice (docs/runbook.md).",
    .options = options,
};

static const char *const headings[] = {"PARTITION",    "OWNER", "EPOCH",      "LEASE",   "CRASHES", "DEPTH",
                                       "TAKEN",        "ENDED", "DUPLICATES", "WAITING", "ACTING",  "GOVERNORS",
                                       "DEAD LETTERS", "LAG",   "GAP",        "BALANCE", NULL};

static void add(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch)
{
    static const char *const begin[] = {"partition", "owner", "epoch", NULL};
    static const char *const rest[] = {"crashes", "depth",   "taken",     "ended",       "duplicates",
                                       "waiting", "acting",  "governors", "deadletters", "outcomes_open",
                                       "gap",     "balance", NULL};
    char lease[OUT_TIME];
    list_add_texts(table, doc, item, begin, scratch);
    int64_t left = out_int(doc, item, "lease_ms", 0);
    table_add(table, left > 0 ? span_of(out_duration(left, lease)) : SPAN("free"));
    list_add_texts(table, doc, item, rest, scratch);
}

int verb_partition_list(int argc, char **argv)
{
    static const struct list_view view = {&verb, "/v1/partitions", "partitions", headings, add};
    return list_run(&view, argc, argv);
}
