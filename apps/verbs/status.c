/* `tai status`: both listeners, the queue, the signals, the ledger, at a glance. */
#include "apps/cli/output.h"
#include "apps/cli/session.h"
#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { INGRESS, JSON, SERVER };

static const struct cli_option options[] = {
    [INGRESS] = {"ingress", "URL", "where ingress listens (default: $TAI_INGRESS, or http://127.0.0.1:8080)"},
    [JSON] = CLI_JSON,
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "status",
    .arguments = "",
    .about = "Shows the health of ingress and andon, the queue, what became of the signals, and the ledger with its\n"
             "public key. Exit code 3 if one of them does not answer, 1 if one is failing.",
    .options = options,
};

enum { LISTENERS = 2, TEXT_MAX = 65536, METRICS_MAX = 16 << 20 };

/* The health of one listener. */
struct listener {
    const char *name;
    const char *url;
    struct response health;
    struct json_doc doc;
    bool answered; /* with JSON */
    struct error err;
};

struct status {
    const struct cli *cli;
    struct listener listeners[LISTENERS]; /* ingress, andon */
    struct response sums, metrics;
    struct json_doc doc; /* of the sums */
    bool has_sums;
    struct buf scratch;
};

/* --- asking ------------------------------------------------------------------------------------------------------ */

static bool get_object(struct client *client, const char *path, struct response *response, struct json_doc *doc,
                       struct error *err)
{
    if (client_get(client, path, response, err))
        return false;
    if (json_parse(doc, buf_span(&response->body), NULL) == 0 && doc->nodes[0].type == JSON_OBJECT)
        return true;
    error_set(err, -EBADMSG, "%s: status %d, and no JSON", client_url(client), response->status);
    return false;
}

/* 0, or EXIT_USAGE for a wrong URL. */
static int ask(struct status *s, struct listener *listener, bool is_andon)
{
    struct client *client;
    if (client_new(listener->url, "Start it with `tai run`.", &client, &listener->err))
        return cli_wrong(s->cli, "%s", listener->err.text);
    int code = is_andon ? session_authorize(s->cli, client) : CLI_GO_ON;
    if (code != CLI_GO_ON) {
        client_free(client);
        return code;
    }
    listener->answered = get_object(client, "/health", &listener->health, &listener->doc, &listener->err);
    if (listener->answered && is_andon) {
        struct error err;
        s->has_sums = get_object(client, "/v1/status", &s->sums, &s->doc, &err) && s->sums.status == 200;
        if (client_get(client, "/metrics", &s->metrics, &err) || s->metrics.status != 200)
            buf_clear(&s->metrics.body);
    }
    client_free(client);
    return 0;
}

/* --- metrics ----------------------------------------------------------------------------------------------------- */

/* The next sample of a series in the Prometheus text: its labels and value. NULL: no more. */
static const char *next_sample(const char *text, const char *name, struct span *ret_labels, double *ret_value)
{
    size_t len = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, name, len) != 0 || line[len] != '{')
            continue;
        const char *close = strchr(line, '}');
        if (!close)
            return NULL;
        *ret_labels = (struct span){line + len + 1, (size_t)(close - line) - len - 1};
        *ret_value = strtod(close + 1, NULL);
        return close + strcspn(close, "\n");
    }
    return NULL;
}

/* "1200 executed, 3 denied"; empty if nothing ended since the start. */
static void add_endings(struct status *s, struct buf *out)
{
    struct span labels;
    double value;
    for (const char *at = buf_cstr(&s->metrics.body);
         (at = next_sample(at, "tai_signals_ended_total", &labels, &value));) {
        const char *quote = memchr(labels.ptr, '"', labels.len);
        if (value <= 0 || !quote)
            continue;
        buf_addf(out, "%s%.0f %.*s", out->len ? ", " : "", value, (int)strcspn(quote + 1, "\""), quote + 1);
    }
}

/* Wall milliseconds of a shard's last checkpoint, 0 if unknown. */
static int64_t checkpoint_at(struct status *s, long long shard)
{
    struct span labels;
    double value;
    char expected[32];
    snprintf(expected, sizeof(expected), "shard=\"%lld\"", shard);
    for (const char *at = buf_cstr(&s->metrics.body);
         (at = next_sample(at, "tai_ledger_checkpoint_timestamp_seconds", &labels, &value));)
        if (span_is(labels, expected))
            return (int64_t)(value * 1000);
    return 0;
}

/* --- for people -------------------------------------------------------------------------------------------------- */

static void print_listener(struct status *s, const struct listener *listener)
{
    if (!listener->answered) {
        out_fieldf(listener->name, "no answer: %s", listener->err.text);
        return;
    }
    const struct json_node *root = &listener->doc.nodes[0];
    char health[32];
    snprintf(health, sizeof(health), "%.*s", (int)out_text(&listener->doc, root, "status", &s->scratch).len,
             out_text(&listener->doc, root, "status", &s->scratch).ptr);
    struct span why = out_text(&listener->doc, root, "output", &s->scratch);
    out_fieldf(listener->name, "%s at %s%s%.*s", health, listener->url, why.len ? ": " : "", (int)why.len, why.ptr);
}

/* The observed value of one of ingress's checks, -1 if unknown. */
static int64_t observed(const struct listener *listener, const char *name)
{
    if (!listener->answered)
        return -1;
    const struct json_doc *doc = &listener->doc;
    const struct json_node *checks = json_get(doc, &doc->nodes[0], "checks");
    const struct json_node *list = checks && checks->type == JSON_OBJECT ? json_get(doc, checks, name) : NULL;
    const struct json_node *check = list && list->type == JSON_ARRAY ? json_first(doc, list) : NULL;
    return check ? out_int(doc, check, "observedValue", -1) : -1;
}

static void print_signals(struct status *s)
{
    const struct json_node *signals = json_get(&s->doc, &s->doc.nodes[0], "signals");
    struct buf endings;
    int64_t depth = observed(&s->listeners[0], "kanban:depth");
    if (depth >= 0)
        out_fieldf("queue", "%" PRId64 " signals", depth);
    if (!signals || signals->type != JSON_OBJECT)
        return;
    out_fieldf("signals", "%" PRId64 " taken, %" PRId64 " duplicates", out_int(&s->doc, signals, "taken", 0),
               out_int(&s->doc, signals, "duplicates", 0));
    out_fieldf("in flight", "%" PRId64 " waiting, %" PRId64 " acting", out_int(&s->doc, signals, "waiting", 0),
               out_int(&s->doc, signals, "acting", 0));
    buf_init(&endings, 1024);
    add_endings(s, &endings);
    out_fieldf("ended", "%" PRId64 "%s%s%s", out_int(&s->doc, signals, "ended", 0),
               endings.len ? " (since the start: " : "", buf_cstr(&endings), endings.len ? ")" : "");
    buf_done(&endings);
}

/* What came in and what became of it must add up. */
static void print_conservation(int64_t gap, int64_t balance)
{
    if (gap == 0 && balance == 0)
        out_fieldf("conservation", "all that was taken is accounted for (gap 0, balance 0)");
    if (gap)
        out_fieldf("conservation", "LOST: %" PRId64 " accepted frames that never came (gap): see docs/runbook.md", gap);
    if (balance)
        out_fieldf("conservation", "WRONG: %" PRId64 " signals %s (balance): see docs/runbook.md",
                   balance > 0 ? balance : -balance,
                   balance > 0 ? "more taken than accounted for" : "more accounted for than taken");
}

static void print_triage(struct status *s)
{
    const struct json_doc *doc = &s->doc;
    const struct json_node *letters = json_get(doc, doc->nodes, "deadletters");
    const struct json_node *conservation = json_get(doc, doc->nodes, "conservation");
    struct buf text;
    if (!letters || letters->type != JSON_OBJECT)
        return;
    buf_init(&text, 1024);
    for (const struct json_node *node = json_first(doc, letters); node; node = json_next(doc, letters, node)) {
        int64_t count;
        struct span name = json_key(doc, node);
        if (!span_is(name, "open") && json_int(doc, node, 1, INT64_MAX, &count) == 0)
            buf_addf(&text, "%s%" PRId64 " %.*s", text.len ? ", " : " (", count, (int)name.len, name.ptr);
    }
    out_fieldf("dead letters", "%" PRId64 " open%s%s", out_int(doc, letters, "open", 0), buf_cstr(&text),
               text.len ? "): tai deadletter list" : "");
    buf_done(&text);
    if (!conservation || conservation->type != JSON_OBJECT)
        return;
    print_conservation(out_int(doc, conservation, "gap", 0), out_int(doc, conservation, "balance", 0));
}

static void print_governors(struct status *s)
{
    const struct json_doc *doc = &s->doc;
    const struct json_node *states = json_get(doc, &doc->nodes[0], "governors_in");
    struct buf text;
    buf_init(&text, 1024);
    for (const struct json_node *node = states && states->type == JSON_OBJECT ? json_first(doc, states) : NULL; node;
         node = json_next(doc, states, node)) {
        int64_t count;
        struct span name = json_key(doc, node);
        if (json_int(doc, node, 1, INT64_MAX, &count) == 0)
            buf_addf(&text, "%s%" PRId64 " %.*s", text.len ? ", " : "", count, (int)name.len, name.ptr);
    }
    out_fieldf("governors", "%" PRId64 "%s%s%s", out_int(doc, &doc->nodes[0], "governors", 0), text.len ? " (" : "",
               buf_cstr(&text), text.len ? ")" : "");
    buf_done(&text);
}

static void print_shard(struct status *s, const struct json_node *shard, bool only)
{
    const struct json_doc *doc = &s->doc;
    char label[32] = "ledger";
    char age[OUT_TIME];
    char when[64] = "";
    int64_t number = out_int(doc, shard, "shard", 0);
    int64_t at = checkpoint_at(s, number);
    if (!only)
        snprintf(label, sizeof(label), "ledger %" PRId64, number);
    if (at > 0) {
        int64_t ms = clock_wall_ms(&clock_system) - at;
        snprintf(when, sizeof(when), ", signed %s ago", out_duration(ms > 0 ? ms : 0, age));
    }
    out_fieldf(label, "%" PRId64 " receipts, checkpoint over %" PRId64 "%s", out_int(doc, shard, "size", 0),
               out_int(doc, shard, "checkpoint_size", 0), when);
}

static void print_ledger(struct status *s)
{
    const struct json_doc *doc = &s->doc;
    const struct json_node *root = &doc->nodes[0];
    const struct json_node *shards = json_get(doc, root, "ledger");
    char lag[OUT_TIME];
    out_fieldf("receipts", "%" PRId64 " in %" PRId64 " chains, %" PRId64 " to be written, %s behind",
               out_int(doc, root, "receipts", 0), out_int(doc, root, "chains", 0),
               out_int(doc, root, "outcomes_open", 0), out_duration(out_int(doc, root, "lag_ms", 0), lag));
    for (const struct json_node *node = shards && shards->type == JSON_ARRAY ? json_first(doc, shards) : NULL; node;
         node = json_next(doc, shards, node))
        print_shard(s, node, shards->count == 1);
    out_field("trouble", out_text(doc, root, "trouble", &s->scratch));
    out_field("public key", out_text(doc, root, "vkey", &s->scratch));
}

/* --- for programs ------------------------------------------------------------------------------------------------ */

static void print_json(struct status *s)
{
    struct buf out;
    buf_init(&out, CLIENT_BODY_MAX);
    buf_add_char(&out, '{');
    for (size_t i = 0; i < LISTENERS; i++) {
        struct listener *listener = &s->listeners[i];
        json_add_key(&out, listener->name);
        buf_add_char(&out, '{');
        json_add_member(&out, "url", span_of(listener->url));
        if (listener->answered)
            json_add_member_raw(&out, "health", buf_span(&listener->health.body));
        else
            json_add_member(&out, "error", span_of(listener->err.text));
        buf_add_char(&out, '}');
    }
    if (s->has_sums)
        json_add_member_raw(&out, "status", buf_span(&s->sums.body));
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&out);
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

static int judge(struct status *s)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < LISTENERS; i++) {
        const struct listener *listener = &s->listeners[i];
        if (!listener->answered)
            return EXIT_UNREACHABLE;
        if (span_is(out_text(&listener->doc, &listener->doc.nodes[0], "status", &s->scratch), "fail"))
            code = EXIT_FAILED;
    }
    if (s->has_sums)
        return code;
    if (s->sums.status == 401 || s->sums.status == 403) {
        response_problem(&s->sums, &s->scratch);
        return cli_fail(s->cli, EXIT_DENIED, "%s: %s", s->listeners[1].url, buf_cstr(&s->scratch));
    }
    return cli_fail(s->cli, EXIT_FAILED, "%s has no status to tell, is it andon? See --server", s->listeners[1].url);
}

static void print_all(struct status *s)
{
    for (size_t i = 0; i < LISTENERS; i++)
        print_listener(s, &s->listeners[i]);
    if (!s->has_sums)
        return;
    print_signals(s);
    print_triage(s);
    print_governors(s);
    print_ledger(s);
}

static void init(struct status *s, const struct cli *cli)
{
    *s = (struct status){.cli = cli};
    s->listeners[0] =
        (struct listener){.name = "ingress", .url = cli_value(cli, INGRESS, "TAI_INGRESS", DEFAULT_INGRESS)};
    s->listeners[1] = (struct listener){.name = "andon", .url = cli_value(cli, SERVER, "TAI_SERVER", DEFAULT_ANDON)};
    for (size_t i = 0; i < LISTENERS; i++) {
        response_init(&s->listeners[i].health);
        json_init(&s->listeners[i].doc);
    }
    response_init(&s->sums);
    response_init(&s->metrics);
    json_init(&s->doc);
    buf_init(&s->scratch, TEXT_MAX);
}

static void done(struct status *s)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        response_done(&s->listeners[i].health);
        json_done(&s->listeners[i].doc);
    }
    response_done(&s->sums);
    response_done(&s->metrics);
    json_done(&s->doc);
    buf_done(&s->scratch);
}

int verb_status(int argc, char **argv)
{
    struct cli cli;
    struct status s;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    init(&s, &cli);
    code = 0;
    for (size_t i = 0; i < LISTENERS && !code; i++)
        code = ask(&s, &s.listeners[i], i == 1);
    if (!code) {
        if (cli.values[JSON])
            print_json(&s);
        else
            print_all(&s);
        code = judge(&s);
    }
    done(&s);
    return code;
}
