/* `tai signal send`: reads signals, collects batches, has them posted, prints what became of them. */
#include "apps/cli/output.h"
#include "apps/cli/progress.h"
#include "apps/cli/session.h"
#include "apps/cli/signal_input.h"
#include "apps/cli/signal_post.h"
#include "apps/cli/signing_key.h"
#include "common/http/http.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TENANT, KEY_FILE, KEY_ID, RETRY_FOR, JSON, SERVER };

static const struct cli_option options[] = {
    [TENANT] = CLI_TENANT("tenant_id of the signals that name none"),
    [KEY_FILE] = CLI_KEY_FILE,
    [KEY_ID] = CLI_KEY_ID,
    [RETRY_FOR] = {"retry-for", "SECONDS",
                   "how long a busy server (429, 503) is asked again without any progress\n"
                   "                            (default 60; 0: not at all)",
                   0, true, 0, 86400},
    [JSON] = {"json", NULL, "print each signal's answer as JSON, one a line, and the sums last"},
    [SERVER] = {"server", "URL", "where ingress listens (default: $TAI_INGRESS, or http://127.0.0.1:8080)"},
    {0},
};

static const struct cli_verb verb = {
    .name = "signal send",
    .arguments = "[FILE]",
    .about = "Posts the signals of FILE, or of standard input (no FILE, or `-`): one JSON object a line, or one JSON\n"
             "array. A bad line is named and the others are sent. Exit code 1 if any was refused.",
    .notes = "Without --key-file a signal that has no id gets one here, so that trying again cannot make two of it;\n"
             "sending the file a second time makes new signals of those.\n"
             "\n"
             "Examples:\n"
             "  echo '{\"sku_id\":\"demo\",\"type\":\"usage\"}' | tai signal send --tenant acme\n"
             "  tai signal send signals.jsonl --key-file acme.key --key-id acme-1",
    .options = options,
    .max_args = 1,
};

enum { LINGER_MS = 200, RETRY_FOR_S = 60 };

struct sender {
    const struct cli *cli;
    struct client *client;
    struct signal_input *input;
    struct signal_post *post;
    struct progress progress;
    struct outgoing items[SIGNAL_POST_MAX];
    size_t count;
    struct arena bytes; /* of the items */
    size_t body_len;    /* they will make, with brackets and commas */
    uint64_t accepted, duplicate, refused;
    char signal_id[130]; /* of the last accepted one */
};

/* --- results ----------------------------------------------------------------------------------------------------- */

static void print_result(const struct signal_result *result)
{
    struct buf out;
    buf_init(&out, 1 << 17);
    buf_add_char(&out, '{');
    json_add_member_u64(&out, "line", result->line);
    json_add_member_u64(&out, "status", (uint64_t)result->status);
    if (result->signal_id.len)
        json_add_member(&out, "signal_id", result->signal_id);
    if (result->duplicate)
        json_add_member_raw(&out, "duplicate", SPAN("true"));
    if (result->problem.len)
        json_add_member_raw(&out, "problem", result->problem);
    buf_add_char(&out, '}');
    out_line(buf_span(&out));
    buf_done(&out);
}

static void on_result(void *ctx, const struct signal_result *result)
{
    struct sender *s = ctx;
    bool taken = result->status == 202;
    s->accepted += taken && !result->duplicate;
    s->duplicate += taken && result->duplicate;
    s->refused += !taken;
    if (taken)
        snprintf(s->signal_id, sizeof(s->signal_id), "%.*s", (int)result->signal_id.len, result->signal_id.ptr);
    if (s->cli->values[JSON]) {
        print_result(result);
    } else if (!taken) {
        progress_hide(&s->progress);
        cli_note(s->cli, "line %" PRIu64 " refused: %.*s", result->line, (int)result->detail.len, result->detail.ptr);
    }
}

static void on_pause(void *ctx, int64_t ms)
{
    struct sender *s = ctx;
    (void)ms;
    progress_hide(&s->progress);
}

/* What cannot even be sent is answered here as the server would. */
static void refuse_line(struct sender *s, const struct signal_item *item)
{
    struct buf problem;
    buf_init(&problem, 1 << 14);
    http_problem_json(&problem, 400, NULL, "%s", item->bad);
    struct signal_result result = {
        .line = item->line, .status = 400, .detail = span_of(item->bad), .problem = buf_span(&problem)};
    on_result(s, &result);
    buf_done(&problem);
}

static void print_sums(const struct sender *s)
{
    if (s->cli->values[JSON]) {
        printf("{\"accepted\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", s->accepted,
               s->duplicate, s->refused);
        return;
    }
    printf("%" PRIu64 " accepted, %" PRIu64 " duplicate, %" PRIu64 " refused\n", s->accepted, s->duplicate, s->refused);
    if (s->accepted == 1 && s->duplicate + s->refused == 0)
        printf("See what becomes of it: tai signal show %s --tenant %s\n", s->signal_id,
               s->cli->values[TENANT] ? s->cli->values[TENANT] : "TENANT");
}

/* --- batches ----------------------------------------------------------------------------------------------------- */

static int flush(struct sender *s)
{
    if (!s->count)
        return 0;
    int code = signal_post_send(s->post, s->items, s->count);
    s->count = 0;
    s->body_len = 0;
    arena_reset(&s->bytes);
    uint64_t sum = s->accepted + s->duplicate + s->refused;
    progress_update(&s->progress, s->progress.unit == PROGRESS_BYTES ? signal_input_done(s->input) : sum);
    return code;
}

static int take(struct sender *s, const struct signal_item *item)
{
    if (item->bad) {
        refuse_line(s, item);
        return 0;
    }
    bool full = s->count == SIGNAL_POST_MAX || s->body_len + item->bytes.len + 2 > SIGNAL_POST_BYTES;
    int code = full ? flush(s) : 0;
    const char *copy = arena_copy(&s->bytes, item->bytes.ptr, item->bytes.len);
    s->items[s->count++] = (struct outgoing){item->line, {copy, item->bytes.len}, item->added, 0};
    s->body_len += item->bytes.len + 1;
    return code;
}

/* What has come is sent when nothing follows for a moment: the input may be a pipe that stays open. */
static int send_all(struct sender *s)
{
    struct signal_item item;
    struct error err;
    for (;;) {
        int rc = signal_input_next(s->input, s->count ? LINGER_MS : -1, &item, &err);
        int code = 0;
        if (rc == 1)
            code = take(s, &item);
        else if (rc == -EAGAIN)
            code = flush(s);
        else if (rc == 0)
            return flush(s);
        else if (!(code = flush(s)))
            code = cli_fail(s->cli, EXIT_FAILED, "%s", err.text);
        if (code)
            return code;
    }
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

static int open_ends(struct sender *s)
{
    const struct cli *cli = s->cli;
    const char *url = cli_value(cli, SERVER, "TAI_INGRESS", DEFAULT_INGRESS);
    const struct signal_input_options input = {.path = cli->arg_count ? cli->args[0] : NULL,
                                               .tenant = cli->values[TENANT],
                                               .make_ids = !cli->values[KEY_FILE]};
    struct error err;
    if (client_new(url, "Start it with `tai run`, or say where it is with --server URL or TAI_INGRESS.", &s->client,
                   &err))
        return cli_wrong(cli, "%s", err.text);
    if (signal_input_open(&input, &s->input, &err))
        return cli_fail(cli, EXIT_FAILED, "%s", err.text);
    if (!cli->arg_count && isatty(STDIN_FILENO))
        cli_note(cli, "reading signals, one JSON object a line; Ctrl-D ends");
    return 0;
}

static int send_input(struct sender *s, struct span secret)
{
    const struct signal_post_options post = {.cli = s->cli,
                                             .client = s->client,
                                             .secret = secret,
                                             .key_id = s->cli->values[KEY_ID],
                                             .retry_for_ms = cli_number(s->cli, RETRY_FOR, RETRY_FOR_S) * 1000,
                                             .result = on_result,
                                             .pause = on_pause,
                                             .ctx = s};
    uint64_t size = signal_input_size(s->input);
    progress_begin(&s->progress, "sending", size ? PROGRESS_BYTES : PROGRESS_ITEMS, size);
    s->post = signal_post_new(&post);
    int code = send_all(s);
    progress_hide(&s->progress);
    if (!code || s->accepted + s->duplicate + s->refused > 0)
        print_sums(s);
    return code || !s->refused ? code : EXIT_FAILED;
}

int verb_signal_send(int argc, char **argv)
{
    struct cli cli;
    char secret[SIGNING_SECRET_MAX + 1];
    size_t secret_len;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = signing_key_read(&cli, secret, &secret_len);
    if (code)
        return code;
    struct sender *s = xcalloc(1, sizeof(*s));
    s->cli = &cli;
    code = open_ends(s);
    if (!code)
        code = send_input(s, (struct span){secret, secret_len});
    explicit_bzero(secret, sizeof(secret));
    signal_post_free(s->post);
    signal_input_close(s->input);
    client_free(s->client);
    arena_done(&s->bytes);
    free(s);
    return code;
}
