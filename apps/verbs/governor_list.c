/* `tai governor list`: one line a governor. */
#include "apps/cli/list.h"

static const struct cli_option options[] = {
    CLI_TENANT("only this tenant's"),
    {.name = "state",
     .value = "STATE",
     .help = "only those in it: active, suspended, halted, …",
     .letter = 's',
     .form = &form_state},
    CLI_LIST,
    {0},
};

static const struct cli_verb verb = {
    .name = "governor list",
    .arguments = "",
    .about = "Lists the governors, one for each entitlement, in the order of tenant and entitlement.",
    .notes = "STATE: boot, active, action_pending, suspended, complying, degraded, halted, testing.",
    .options = options,
};

static const char *const headings[] = {"TENANT",  "ENTITLEMENT", "STATE",       "ENTITLED", "QUOTA",
                                       "WAITING", "FAILURES",    "LAST SIGNAL", NULL};

/* "17 of 100", or "17" without a limit. */
static void add_quota(struct table *table, const struct json_doc *doc, const struct json_node *item)
{
    char text[64];
    long long used = out_int(doc, item, "quota_used", 0);
    long long limit = out_int(doc, item, "quota_limit", -1);
    int len = limit < 0 ? snprintf(text, sizeof(text), "%lld", used)
                        : snprintf(text, sizeof(text), "%lld of %lld", used, limit);
    table_add(table, (struct span){text, (size_t)len});
}

static void add(struct table *table, const struct json_doc *doc, const struct json_node *item, struct buf *scratch)
{
    static const char *const begin[] = {"tenant_id", "entitlement_id", "state", "entitlement", NULL};
    const struct json_node *breaker = json_get(doc, item, "breaker");
    list_add_texts(table, doc, item, begin, scratch);
    add_quota(table, doc, item);
    table_add(table, out_text(doc, item, "waiting", scratch));
    table_add(table, breaker ? out_text(doc, breaker, "failures", scratch) : SPAN(""));
    list_add_time(table, doc, item, "last_signal_at");
}

int verb_governor_list(int argc, char **argv)
{
    static const struct list_view view = {&verb, "/v1/governors", "governors", headings, add};
    return list_run(&view, argc, argv);
}
