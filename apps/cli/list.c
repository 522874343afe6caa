/* The run of a list verb. Options are found by their names, so that every list calls the same thing the same. */
#include "apps/cli/list.h"
#include "common/clock.h"

#include <inttypes.h>
#include <string.h>

enum { PATH_BYTES = 8192, SCRATCH_MAX = 1 << 16, LIMIT_DEFAULT = 100 };

/* Options that are filters, and the parameters they become. */
static const char *const filters[][2] = {
    {"tenant", "tenant_id"}, {"entitlement", "entitlement_id"},
    {"signal", "signal_id"}, {"shard", "shard"},
    {"state", "state"},      {"type", "type"},
    {"class", "class"},      {"reason", "reason"},
    {"command", "command"},  {"status", "status"},
};
static const char *const times[] = {"since", "before"};

static const char *given(const struct cli *cli, const char *name)
{
    int row = cli_row(cli, name);
    return row < 0 ? NULL : cli->values[row];
}

void list_query(const struct cli *cli, struct buf *path)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        url_query(path, filters[i][1], span_of(given(cli, filters[i][0])));
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *text = given(cli, times[i]);
        char ms[24] = "";
        int64_t at;
        if (text && form_read_time(span_of(text), clock_wall_ms(&clock_system), &at))
            snprintf(ms, sizeof(ms), "%" PRId64, at > 0 ? at : 0);
        url_query(path, times[i], span_of(ms));
    }
    if (given(cli, "reverse"))
        url_query(path, "order", SPAN("desc"));
}

void list_add_texts(struct table *table, const struct json_doc *doc, const struct json_node *item,
                    const char *const *names, struct buf *scratch)
{
    for (; *names; names++)
        table_add(table, out_text(doc, item, *names, scratch));
}

void list_add_time(struct table *table, const struct json_doc *doc, const struct json_node *item, const char *name)
{
    char time[OUT_TIME];
    table_add(table, span_of(out_time(out_int(doc, item, name, 0), time)));
}

struct run {
    const struct list_view *view;
    struct table *table; /* NULL: lines of JSON */
    struct buf scratch;
};

static int take(void *ctx, const struct json_doc *doc, const struct json_node *item)
{
    struct run *run = ctx;
    if (!run->table)
        out_line(json_raw(doc, item));
    else if (item->type == JSON_OBJECT)
        run->view->add(run->table, doc, item, &run->scratch);
    return 0;
}

int list_run(const struct list_view *view, int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf path;
    bool more = false;
    int code = session_begin(&session, &cli, view->verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    struct run run = {.view = view, .table = given(&cli, "json") ? NULL : table_new(view->headings)};
    buf_init(&run.scratch, SCRATCH_MAX);
    buf_init(&path, PATH_BYTES);
    buf_add_str(&path, view->path);
    list_query(&cli, &path);
    code = session_list(&session, buf_cstr(&path), view->member,
                        (uint64_t)cli_number(&cli, cli_row(&cli, "limit"), LIMIT_DEFAULT), take, &run, &more);
    bool any = !run.table || table_print(run.table);
    if (!code && more)
        cli_note(&cli, "there are more: --limit 0 lists all");
    else if (!code && !any)
        cli_note(&cli, "there are none");
    table_free(run.table);
    buf_done(&run.scratch);
    buf_done(&path);
    session_done(&session);
    return code;
}
