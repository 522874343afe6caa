/* `tai deadletter show`: one dead letter with its signal, for people or exactly the signal's bytes. */
#include "apps/cli/diff.h"
#include "apps/cli/output.h"
#include "apps/cli/session.h"

#include <stdio.h>

enum { RAW, JSON, SERVER };

static const struct cli_option options[] = {
    [RAW] = {"raw", NULL, "print exactly the signal's bytes, without a line feed: to edit them"},
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "deadletter show",
    .arguments = "ID",
    .about = "Shows one open dead letter: why and when it ended, its governor, its receipts, its signal.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .forms = {&form_uuid},
};

enum { PATH_BYTES = 1024, SCRATCH_MAX = 32 << 20 };

static void print_fields(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {
        {"dead letter", "id"},        {"class", "class"},      {"status", "status"},
        {"reason", "reason"},         {"tenant", "tenant_id"}, {"entitlement", "entitlement_id"},
        {"signal", "signal_id"},      {"redrive", "redrive"},  {"signal hash", "signal_sha256"},
        {"requeuable", "requeuable"}, {"state then", "state"}};
    char time[OUT_TIME];
    const struct json_node *root = doc->nodes, *governor = json_get(doc, root, "governor");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_field(names[i][0], out_text(doc, root, names[i][1], scratch));
    if (governor)
        out_field("state now", out_text(doc, governor, "state", scratch));
    out_field("accepted", span_of(out_time(out_int(doc, root, "accepted_at", 0), time)));
    out_field("ended", span_of(out_time(out_int(doc, root, "ended_at", 0), time)));
}

static void print_receipts(const struct json_doc *doc, struct buf *scratch)
{
    const struct json_node *receipts = json_get(doc, doc->nodes, "receipts");
    const char *label = "receipts";
    for (const struct json_node *node = receipts && receipts->type == JSON_ARRAY ? json_first(doc, receipts) : NULL;
         node; node = json_next(doc, receipts, node)) {
        buf_clear(scratch);
        out_field(label, json_text(doc, node, scratch));
        label = "";
    }
}

static void print_signal(const struct json_doc *doc, struct buf *scratch)
{
    const struct json_node *signal = json_get(doc, doc->nodes, "signal");
    if (!signal) {
        out_field("bytes", SPAN("no JSON; --json has them in base64"));
        return;
    }
    buf_clear(scratch);
    diff_layout(json_raw(doc, signal), scratch);
    putchar('\n');
    out_block(buf_span(scratch));
}

static int print_raw(const struct cli *cli, const struct json_doc *doc)
{
    const struct json_node *signal = json_get(doc, doc->nodes, "signal");
    if (!signal)
        return cli_fail(cli, EXIT_FAILED, "the bytes are no JSON; --json has them in base64");
    struct span bytes = json_raw(doc, signal);
    fwrite(bytes.ptr, 1, bytes.len, stdout);
    return EXIT_OK;
}

int verb_deadletter_show(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf buf;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&buf, SCRATCH_MAX);
    buf_add_str(&buf, "/v1/deadletters");
    url_segment(&buf, span_of(cli.args[0]));
    code = session_get_json(&session, buf_cstr(&buf), "such dead letter");
    if (!code && cli.values[RAW]) {
        code = print_raw(&cli, &session.doc);
    } else if (!code && cli.values[JSON]) {
        out_line(buf_span(&session.response.body));
    } else if (!code) {
        print_fields(&session.doc, &buf);
        print_receipts(&session.doc, &buf);
        print_signal(&session.doc, &buf);
    }
    buf_done(&buf);
    session_done(&session);
    return code;
}
