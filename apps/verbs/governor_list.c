/* `tai governor list`: one line a governor. */
#include "apps/output.h"
#include "apps/session.h"

enum { TENANT, STATE, LIMIT, JSON, SERVER };

static const struct cli_option options[] = {
    [TENANT] = {"tenant", "TENANT", "only this tenant's", 't'},
    [STATE] = {"state", "STATE", "only those in it: boot, active, action_pending, suspended, complying, …"},
    [LIMIT] = CLI_LIMIT,
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "governor list",
    .arguments = "",
    .about = "Lists the governors, one for each entitlement, in the order of tenant and entitlement.",
    .options = options,
};

static const char *const headings[] = {"TENANT",  "ENTITLEMENT", "STATE",       "ENTITLED", "QUOTA",
                                       "WAITING", "FAILURES",    "LAST SIGNAL", NULL};

enum { PATH_BYTES = 2048, SCRATCH_MAX = 65536 };

struct list {
    const struct cli *cli;
    struct table *table;
    struct buf scratch;
};

static void add_text(struct list *list, const struct json_doc *doc, const struct json_node *object, const char *name)
{
    table_add(list->table, object ? out_text(doc, object, name, &list->scratch) : (struct span){"", 0});
}

/* "17 of 100", or "17" without a limit. */
static void add_quota(struct list *list, const struct json_doc *doc, const struct json_node *item)
{
    char text[64];
    long long used = out_int(doc, item, "quota_used", 0);
    long long limit = out_int(doc, item, "quota_limit", -1);
    int len = limit < 0 ? snprintf(text, sizeof(text), "%lld", used)
                        : snprintf(text, sizeof(text), "%lld of %lld", used, limit);
    table_add(list->table, (struct span){text, (size_t)len});
}

static int add_governor(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    struct list *list = ctx;
    char time[OUT_TIME];
    if (list->cli->values[JSON]) {
        out_line(json_raw(doc, item));
        return 0;
    }
    if (item->type != JSON_OBJECT)
        return 0;
    const struct json_node *breaker = json_get(doc, item, "breaker");
    add_text(list, doc, item, "tenant_id");
    add_text(list, doc, item, "entitlement_id");
    add_text(list, doc, item, "state");
    add_text(list, doc, item, "entitlement");
    add_quota(list, doc, item);
    add_text(list, doc, item, "waiting");
    add_text(list, doc, breaker, "failures");
    table_add(list->table, span_of(out_time(out_int(doc, item, "last_signal_at", 0), time)));
    return 0;
}

int verb_governor_list(int argc, char **argv)
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
    buf_add_str(&path, "/v1/governors");
    url_query(&path, "tenant_id", span_of(cli.values[TENANT]));
    url_query(&path, "state", span_of(cli.values[STATE]));
    code = session_list(&session, buf_cstr(&path), "governors", (uint64_t)cli_number(&cli, LIMIT, 100), add_governor,
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
