/* `tai bench`: a load of one's own on a running server, and what it makes of it. The load generator is bench/load.h;
 * here are its options, its conditions and its result in words. */
#include "apps/cli/bench_server.h"
#include "apps/cli/output.h"
#include "apps/cli/progress.h"
#include "apps/cli/session.h"
#include "apps/cli/signing_key.h"
#include "bench/load.h"
#include "common/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RATE,
    DURATION,
    REQUESTS,
    CONNECTIONS,
    BATCH,
    SIZE,
    TENANT,
    TENANTS,
    ENTITLEMENTS,
    KEY_FILE,
    KEY_ID,
    FOLLOW,
    INGRESS,
    SERVER,
    YES = SERVER + 2,
    JSON
};

static const struct cli_option options[] = {
    [RATE] = {"rate", "R", "POSTs a second at scheduled times (default: each as soon as the last is answered)", 0, true,
              1, 10000000},
    [DURATION] = {"duration", "SECONDS", "how long to send (default 5)"},
    [REQUESTS] = {"requests", "N", "stop after so many POSTs", 0, true, 1, INT64_MAX},
    [CONNECTIONS] = {"connections", "N", "connections (default 64)", 0, true, 1, 10000},
    [BATCH] = {"batch", "N", "signals in one POST (default 1)", 0, true, 1, 1000},
    [SIZE] = {"size", "BYTES", "of a signal, at least (default 300)", 0, true, 1, 65536},
    [TENANT] = {"tenant", "NAME", "name of the tenants, NAME-0, NAME-1, … (default bench)"},
    [TENANTS] = {"tenants", "N", "how many; with 1 its name is NAME (default 10)", 0, true, 1, 1000000},
    [ENTITLEMENTS] = {"entitlements", "N", "of each tenant (default 10)", 0, true, 1, 1000000},
    [KEY_FILE] = CLI_KEY_FILE,
    [KEY_ID] = CLI_KEY_ID,
    [FOLLOW] = {"follow", "N",
                "follow one signal of every N POSTs to its receipt (default: about 100 a\n"
                "                            second; 0: none)",
                0, true, 0, INT32_MAX},
    [INGRESS] = {"ingress", "URL", "where ingress listens (default: $TAI_INGRESS, or http://127.0.0.1:8080)"},
    [SERVER] = CLI_SERVER,
    [YES] = {"yes", NULL, "also where ingress is not on this machine"},
    [JSON] = CLI_JSON,
    {0},
};

static const struct cli_verb verb = {
    .name = "bench",
    .arguments = "",
    .about = "Posts signals to a running server for some seconds and tells how many were accepted and how long the\n"
             "answers took; some signals are followed to their receipt. With --rate times count from when a POST was\n"
             "to be sent, so a server that stalls cannot hide it.\n"
             "The signals are real: they make governors and receipts in that server's data set, and use its quotas.\n"
             "Exit code 1 if a signal was refused or lost sight of.",
    .notes = "Example: tai bench --rate 500 --duration 30 --batch 10",
    .options = options,
};

struct bench {
    const struct cli *cli;
    struct load_options load;
    struct load_report report;
    struct bench_server ingress, andon;
    struct progress progress;
    double duration_s;
    char token[SESSION_TOKEN_MAX];
    char secret[SIGNING_SECRET_MAX + 1];
};

/* --- options ----------------------------------------------------------------------------------------------------- */

static int read_duration(struct bench *bench)
{
    const char *text = cli_value(bench->cli, DURATION, NULL, "5");
    char *end;
    bench->duration_s = strtod(text, &end);
    if (end == text || *end || !isfinite(bench->duration_s) || bench->duration_s < 0.1 || bench->duration_s > 86400)
        return cli_wrong(bench->cli, "--duration takes seconds, 0.1 to 86400, not '%s'", text);
    return 0;
}

static int check_tenant(const struct bench *bench)
{
    static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    const char *name = bench->load.tenant;
    size_t len = strlen(name);
    if (len == 0 || len > 56 || name[0] == '_' || name[strspn(name, characters)])
        return cli_wrong(bench->cli, "--tenant takes 1 to 56 of A-Z a-z 0-9 . _ -, without a leading _");
    return 0;
}

static int find_server(struct bench *bench, int option, const char *url, struct bench_server *ret)
{
    struct error err;
    int rc = bench_server_find(url, ret, &err);
    if (rc == -EINVAL)
        return cli_wrong(bench->cli, "--%s: %s", options[option].name, err.text);
    return rc < 0 ? cli_fail(bench->cli, EXIT_UNREACHABLE, "%s", err.text) : 0;
}

static int find_servers(struct bench *bench)
{
    const struct cli *cli = bench->cli;
    int code = find_server(bench, INGRESS, cli_value(cli, INGRESS, "TAI_INGRESS", DEFAULT_INGRESS), &bench->ingress);
    if (!code && bench->load.follow)
        code = find_server(bench, SERVER, cli_value(cli, SERVER, "TAI_SERVER", DEFAULT_ANDON), &bench->andon);
    if (!code && !bench->ingress.loopback && !cli->values[YES])
        code = cli_wrong(cli, "%s is not on this machine; if a load on it is what you want, say --yes",
                         bench->ingress.host);
    bench->load.ingress = bench->ingress.address;
    bench->load.host = bench->ingress.host;
    bench->load.andon = bench->andon.address;
    bench->load.andon_host = bench->andon.host;
    return code;
}

/* About 100 a second; of a load without a rate every 20th POST. */
static unsigned follow_of(const struct cli *cli, double rate)
{
    enum { A_SECOND = 100, UNPACED = 20 };
    double every = rate > 0 ? rate / A_SECOND : UNPACED;
    return (unsigned)cli_number(cli, FOLLOW, every < 1 ? 1 : (int64_t)every);
}

static int prepare(struct bench *bench)
{
    const struct cli *cli = bench->cli;
    size_t secret_len = 0;
    int code = read_duration(bench);
    code = code ? code : signing_key_read(cli, bench->secret, &secret_len);
    if (code)
        return code;
    bench->load = (struct load_options){.path = "/v1/signals",
                                        .key_id = cli->values[KEY_ID],
                                        .secret = {bench->secret, secret_len},
                                        .tenant = cli_value(cli, TENANT, NULL, "bench"),
                                        .tenants = (unsigned)cli_number(cli, TENANTS, 10),
                                        .entitlements = (unsigned)cli_number(cli, ENTITLEMENTS, 10),
                                        .connections = (unsigned)cli_number(cli, CONNECTIONS, 64),
                                        .batch = (unsigned)cli_number(cli, BATCH, 1),
                                        .size = (size_t)cli_number(cli, SIZE, 300),
                                        .rate = (double)cli_number(cli, RATE, 0),
                                        .duration_s = bench->duration_s,
                                        .requests = (uint64_t)cli_number(cli, REQUESTS, 0)};
    bench->load.follow = follow_of(cli, bench->load.rate);
    code = check_tenant(bench);
    if (!code)
        code = find_servers(bench);
    if (!code && (code = session_token(cli, bench->token)) == CLI_GO_ON)
        code = 0;
    bench->load.token = *bench->token ? bench->token : NULL;
    return code;
}

/* --- result ------------------------------------------------------------------------------------------------------ */

static void add_conditions(const struct bench *bench, struct buf *out)
{
    const struct load_options *load = &bench->load;
    buf_addf(out, "%u connections, ", load->connections);
    if (load->rate > 0)
        buf_addf(out, "%.0f POSTs a second at scheduled times", load->rate);
    else
        buf_add_str(out, "each POST as soon as the last is answered");
    buf_addf(out,
             ", %u signal%s of %zu bytes a POST, %u tenant%s with %u entitlement%s each, %s, %g s; server %s, %ld"
             " cores here",
             load->batch, load->batch == 1 ? "" : "s", load->size, load->tenants, load->tenants == 1 ? "" : "s",
             load->entitlements, load->entitlements == 1 ? "" : "s",
             load->secret.len ? "signed with HMAC-SHA256" : "unsigned", bench->duration_s, load->host,
             sysconf(_SC_NPROCESSORS_ONLN));
}

static void out_times(const char *label, const struct histogram *times)
{
    if (times->count)
        out_fieldf(label, "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms",
                   (double)histogram_quantile(times, 0.5) / 1e3, (double)histogram_quantile(times, 0.99) / 1e3,
                   (double)histogram_quantile(times, 0.999) / 1e3, (double)times->max / 1e3);
}

/* Answers other than 202, and broken connections. */
static void add_refusals(const struct load_report *report, struct buf *out)
{
    for (int i = 0; i < LOAD_STATUS_MAX; i++) {
        if (!report->by_status[i] || i == 202)
            continue;
        buf_addf(out, out->len ? ", %" PRIu64 " × " : "%" PRIu64 " × ", report->by_status[i]);
        buf_addf(out, i ? "%d" : "broken connection", i);
    }
    if (report->requests > report->answered)
        buf_addf(out, "%s%" PRIu64 " without an answer", out->len ? ", " : "", report->requests - report->answered);
}

static void print_people(const struct bench *bench)
{
    const struct load_report *report = &bench->report;
    struct buf text;
    buf_init(&text, 8192);
    add_conditions(bench, &text);
    out_field("conditions", buf_span(&text));
    out_fieldf("accepted", "%" PRIu64 " signals of %" PRIu64 " in %.1f s, %.0f a second", report->accepted,
               report->requests * bench->load.batch, report->seconds,
               (double)report->accepted / (report->seconds > 0 ? report->seconds : 1));
    buf_clear(&text);
    add_refusals(report, &text);
    out_field("refused", buf_span(&text));
    out_times("answer after", &report->latency);
    out_times("receipt after", &report->receipt);
    if (bench->load.follow)
        out_fieldf("followed", "%" PRIu64 " signals to their receipts with %" PRIu64 " questions%s",
                   report->receipt.count, report->questions, report->lost ? "" : ", none lost sight of");
    if (report->lost)
        out_fieldf("lost sight of", "%" PRIu64 " signals: andon did not tell their receipt", report->lost);
    buf_done(&text);
}

static void print_json(const struct bench *bench)
{
    struct buf out, conditions;
    buf_init(&out, 1 << 16);
    buf_init(&conditions, 8192);
    add_conditions(bench, &conditions);
    load_write(&bench->load, &bench->report, &out);
    out.len--; /* the brace: one more member */
    json_add_member(&out, "conditions", buf_span(&conditions));
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&conditions);
    buf_done(&out);
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

static bool go_on(void *ctx, uint64_t accepted)
{
    struct bench *bench = ctx;
    sigset_t pending;
    progress_update(&bench->progress, accepted);
    sigpending(&pending);
    return !sigismember(&pending, SIGINT); /* Ctrl-C ends the load, and what was measured is told */
}

static int measure(struct bench *bench)
{
    struct error err;
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, NULL);
    bench->load.go_on = go_on;
    bench->load.ctx = bench;
    progress_begin(&bench->progress, "accepted", PROGRESS_ITEMS, 0);
    int rc = load_measure(&bench->load, &bench->report, &err);
    progress_hide(&bench->progress);
    if (rc < 0)
        return cli_fail(bench->cli, EXIT_UNREACHABLE,
                        "%s. Start it with `tai run`, or say where it is with --ingress URL or TAI_INGRESS.", err.text);
    if (bench->cli->values[JSON])
        print_json(bench);
    else
        print_people(bench);
    const struct load_report *report = &bench->report;
    return report->accepted < report->requests * bench->load.batch || report->lost ? EXIT_FAILED : EXIT_OK;
}

int verb_bench(int argc, char **argv)
{
    struct cli cli;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    struct bench *bench = xcalloc(1, sizeof(*bench));
    bench->cli = &cli;
    code = prepare(bench);
    if (!code)
        code = measure(bench);
    explicit_bzero(bench->secret, sizeof(bench->secret));
    explicit_bzero(bench->token, sizeof(bench->token));
    free(bench);
    return code;
}
