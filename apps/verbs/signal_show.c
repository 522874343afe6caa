/* `tai signal show`: what became of a signal, with its receipts. */
#include "apps/cli/output.h"
#include "apps/cli/session.h"

#include <stdio.h>

enum { TENANT, ENTITLEMENT, JSON, SERVER };

static const struct cli_option options[] = {
    [TENANT] = CLI_TENANT("whose signal it is (required)"),
    [ENTITLEMENT] = CLI_ENTITLEMENT("of which entitlement, where several have a signal of this id"),
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
    {0},
};

static int check(const struct cli *cli)
{
    return cli->values[TENANT] ? CLI_GO_ON : cli_wrong(cli, "--tenant is missing: signal ids are each tenant's own");
}

static const struct cli_verb verb = {
    .name = "signal show",
    .arguments = "SIGNAL_ID",
    .about = "Shows what became of a signal: accepted, waiting, acting, or how it ended, and its receipts.",
    .notes = "Example: tai signal show 0190a6e2-… --tenant acme",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .forms = {&form_signal_id},
    .check = check,
};

enum { PATH_BYTES = 2048, SCRATCH_MAX = 65536 };

static void print_signal(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {{"signal", "signal_id"},
                                           {"tenant", "tenant_id"},
                                           {"entitlement", "entitlement_id"},
                                           {"status", "status"},
                                           {"reason", "reason"}};
    const struct json_node *root = &doc->nodes[0];
    char time[OUT_TIME];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_field(names[i][0], out_text(doc, root, names[i][1], scratch));
    if (out_int(doc, root, "redrive", 0) > 0)
        out_field("redrive", out_text(doc, root, "redrive", scratch));
    if (out_int(doc, root, "accepted_at", 0) > 0)
        out_fieldf("accepted", "%s", out_time(out_int(doc, root, "accepted_at", 0), time));
    if (out_int(doc, root, "changed_at", 0) > 0)
        out_fieldf("changed", "%s", out_time(out_int(doc, root, "changed_at", 0), time));
    const struct json_node *also = json_get(doc, root, "also_under");
    for (const struct json_node *node = also && also->type == JSON_ARRAY ? json_first(doc, also) : NULL; node;
         node = json_next(doc, also, node)) {
        buf_clear(scratch);
        out_fieldf("also under", "%.*s", (int)json_text(doc, node, scratch).len, json_text(doc, node, scratch).ptr);
    }
}

/* One row: the receipt in short, or its id alone if it cannot be read. */
static int add_receipt(struct session *session, struct span id, struct table *table, struct buf *scratch)
{
    static const char *const columns[] = {"type", "ending", "reason"};
    struct buf path;
    char time[OUT_TIME];
    buf_init(&path, PATH_BYTES);
    buf_add_str(&path, "/v1/receipts");
    url_segment(&path, id);
    int code = session_get_json(session, buf_cstr(&path), "receipt");
    buf_done(&path);
    if (code)
        return code;
    const struct json_doc *doc = &session->doc;
    table_add(table, span_of(out_time(out_int(doc, &doc->nodes[0], "timestamp", 0), time)));
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        table_add(table, out_text(doc, &doc->nodes[0], columns[i], scratch));
    table_add(table, id);
    return 0;
}

/* The ids are kept apart: the session's document is the receipt's next. */
static int print_receipts(struct session *session, struct buf *scratch)
{
    static const char *const headings[] = {"RECEIPT AT", "TYPE", "ENDING", "REASON", "RECEIPT", NULL};
    const struct json_node *list = json_get(&session->doc, &session->doc.nodes[0], "receipts");
    struct table *table = table_new(headings);
    struct buf ids;
    int code = 0;
    buf_init(&ids, SCRATCH_MAX);
    for (const struct json_node *node = list && list->type == JSON_ARRAY ? json_first(&session->doc, list) : NULL; node;
         node = json_next(&session->doc, list, node)) {
        buf_clear(scratch);
        buf_add_span(&ids, json_text(&session->doc, node, scratch));
        buf_add_char(&ids, '\n');
    }
    for (size_t at = 0; !code && at < ids.len;) {
        struct span id = {ids.data + at, strcspn(buf_cstr(&ids) + at, "\n")};
        code = add_receipt(session, id, table, scratch);
        at += id.len + 1;
    }
    if (!code && ids.len) {
        putchar('\n');
        table_print(table);
    }
    table_free(table);
    buf_done(&ids);
    return code;
}

int verb_signal_show(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf buf;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&buf, SCRATCH_MAX);
    buf_add_str(&buf, "/v1/signals");
    url_segment(&buf, span_of(cli.args[0]));
    url_query(&buf, "tenant_id", span_of(cli.values[TENANT]));
    url_query(&buf, "entitlement_id", span_of(cli.values[ENTITLEMENT]));
    code = session_get_json(&session, buf_cstr(&buf), "such signal");
    if (!code && cli.values[JSON]) {
        out_line(buf_span(&session.response.body));
    } else if (!code) {
        print_signal(&session.doc, &buf);
        code = print_receipts(&session, &buf);
    }
    buf_done(&buf);
    session_done(&session);
    return code;
}
