/* `tai governor show`: the record of one governor. */
#include "apps/cli/output.h"
#include "apps/cli/session.h"

enum { JSON, SERVER };

static const struct cli_option options[] = {[JSON] = CLI_JSON, [SERVER] = CLI_SERVER, {0}};

static const struct cli_verb verb = {
    .name = "governor show",
    .arguments = "TENANT ENTITLEMENT",
    .about = "Shows one governor: its state, entitlement, quota, breaker, pending action, policies.",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .forms = {&form_tenant, &form_entitlement},
};

enum { PATH_BYTES = 2048, SCRATCH_MAX = 65536 };

static void print_texts(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {{"tenant", "tenant_id"},
                                           {"entitlement", "entitlement_id"},
                                           {"sku", "sku_id"},
                                           {"state", "state"},
                                           {"entitled", "entitlement"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_field(names[i][0], out_text(doc, &doc->nodes[0], names[i][1], scratch));
}

static void print_quota(const struct json_doc *doc, struct buf *scratch)
{
    const struct json_node *root = &doc->nodes[0];
    char time[OUT_TIME];
    long long used = out_int(doc, root, "quota_used", 0);
    long long limit = out_int(doc, root, "quota_limit", -1);
    struct span period = out_text(doc, root, "quota_period", scratch);
    bool periodic = period.len && !span_is(period, "none");
    if (limit < 0)
        out_fieldf("quota", "%lld used, no limit", used);
    else
        out_fieldf("quota", "%lld of %lld used%s%.*s", used, limit, periodic ? ", per " : "",
                   periodic ? (int)period.len : 0, period.ptr);
    if (periodic)
        out_fieldf("period from", "%s", out_time(out_int(doc, root, "period_start", 0), time));
}

static void print_breaker(const struct json_doc *doc, struct buf *scratch)
{
    const struct json_node *breaker = json_get(doc, &doc->nodes[0], "breaker");
    if (!breaker)
        return;
    struct span opener = out_text(doc, breaker, "opened_by", scratch);
    long long failures = out_int(doc, breaker, "failures", 0);
    if (opener.len)
        out_fieldf("breaker", "open (by %s%.*s), %lld failures", span_is(opener, "operator") ? "the " : "its own ",
                   (int)opener.len, opener.ptr, failures);
    else
        out_fieldf("breaker", "closed, %lld failures", failures);
}

static void print_pending(const struct json_doc *doc, struct buf *scratch)
{
    static const char *const names[][2] = {
        {"  policy", "policy"}, {"  attempt", "attempt"}, {"  action id", "action_id"}, {"  signal", "signal_id"}};
    const struct json_node *pending = json_get(doc, &doc->nodes[0], "pending");
    if (!pending || pending->type != JSON_OBJECT)
        return;
    out_field("action", out_text(doc, pending, "action", scratch));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_field(names[i][0], out_text(doc, pending, names[i][1], scratch));
}

static void print_policies(const struct json_doc *doc)
{
    const struct json_node *policies = json_get(doc, &doc->nodes[0], "policy_state");
    if (!policies || policies->type != JSON_OBJECT)
        return;
    for (const struct json_node *node = json_first(doc, policies); node; node = json_next(doc, policies, node)) {
        struct span name = json_key(doc, node);
        struct span state = json_raw(doc, node);
        out_fieldf("policy", "%.*s %.*s", (int)name.len, name.ptr, (int)state.len, state.ptr);
    }
}

static void print_times(const struct json_doc *doc)
{
    static const char *const names[][2] = {
        {"last signal", "last_signal_at"}, {"created", "created_at"}, {"updated", "updated_at"}};
    char time[OUT_TIME];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out_fieldf(names[i][0], "%s", out_time(out_int(doc, &doc->nodes[0], names[i][1], 0), time));
}

static void print_governor(const struct json_doc *doc, struct buf *scratch)
{
    const struct json_node *refund = json_get(doc, &doc->nodes[0], "refund_open");
    print_texts(doc, scratch);
    if (refund && refund->type == JSON_TRUE)
        out_field("refund", SPAN("open"));
    print_quota(doc, scratch);
    print_breaker(doc, scratch);
    print_pending(doc, scratch);
    print_policies(doc);
    out_fieldf("waiting", "%lld signals", (long long)out_int(doc, &doc->nodes[0], "waiting", 0));
    out_field("partition", out_text(doc, &doc->nodes[0], "partition", scratch));
    print_times(doc);
}

int verb_governor_show(int argc, char **argv)
{
    struct cli cli;
    struct session session;
    struct buf buf;
    int code = session_begin(&session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&buf, SCRATCH_MAX);
    buf_add_str(&buf, "/v1/governors");
    url_segment(&buf, span_of(cli.args[0]));
    url_segment(&buf, span_of(cli.args[1]));
    code = session_get_json(&session, buf_cstr(&buf), "such governor");
    if (!code && cli.values[JSON])
        out_line(buf_span(&session.response.body));
    else if (!code)
        print_governor(&session.doc, &buf);
    buf_done(&buf);
    session_done(&session);
    return code;
}
