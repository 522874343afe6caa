/* `tai top`: a live view of both listeners, on a terminal as a page, otherwise line by line. It only reads /health,
 * /metrics, /v1/status and /v1/partitions. What does not answer is said and asked again. */
#include "apps/cli/output.h"
#include "apps/cli/screen.h"
#include "apps/cli/session.h"
#include "apps/cli/top_view.h"
#include "common/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { INGRESS, INTERVAL, COUNT, LINES, JSON, SERVER };

static const struct cli_option options[] = {
    [INGRESS] = {"ingress", "URL", "where ingress listens (default: $TAI_INGRESS, or http://127.0.0.1:8080)"},
    [INTERVAL] = {"interval", "SECONDS", "between two looks (default 2)", 'i', true, 1, 3600},
    [COUNT] = {"count", "N", "end after so many (default: on a terminal when q is pressed, else never)", 'n', true, 1,
               INT32_MAX},
    [LINES] = {"lines", NULL, "line by line also on a terminal"},
    [JSON] = {"json", NULL, "print JSON, one object a look"},
    [SERVER] = CLI_SERVER,
    {0},
};

static const struct cli_verb verb = {
    .name = "top",
    .arguments = "",
    .about = "Shows live what goes in and out: rates, latencies, what is queued and waiting, governors, dead letters,\n"
             "and the partitions. On a terminal a page that q leaves; otherwise a line a look.",
    .notes = "Latencies are of what ended between two looks. Exit code 3 if the last look had no answer.",
    .options = options,
};

enum { OUT_MAX = 1 << 20 };

struct top {
    const struct cli *cli;
    struct client *clients[2]; /* ingress, andon */
    struct response response, metrics[2];
    struct top_sample samples[2];
    size_t now; /* which of them is the newer */
    int64_t interval_s, left;
};

/* --- looking ----------------------------------------------------------------------------------------------------- */

static bool get(struct top *top, int which, const char *path, struct response *ret, struct error *err)
{
    if (client_get(top->clients[which], path, ret, err))
        return false;
    if (ret->status == 200 || (ret->status == 503 && strcmp(path, "/health") == 0))
        return true;
    struct buf why;
    buf_init(&why, 4096);
    response_problem(ret, &why);
    error_set(err, -EPROTO, "%s%s: %s", client_url(top->clients[which]), path, buf_cstr(&why));
    buf_done(&why);
    return false;
}

static bool get_object(struct top *top, const char *path, struct buf *text, struct json_doc *doc, struct error *err)
{
    buf_clear(text);
    if (!get(top, 1, path, &top->response, err))
        return false;
    buf_add_span(text, buf_span(&top->response.body));
    if (json_parse(doc, buf_span(text), NULL) == 0 && doc->nodes[0].type == JSON_OBJECT)
        return true;
    error_set(err, -EPROTO, "%s%s: the answer is no JSON object. Is it an andon of this version? See --server",
              client_url(top->clients[1]), path);
    return false;
}

static bool get_health(struct top *top, int which, char ret[16], struct error *err)
{
    struct json_doc doc;
    struct buf scratch;
    bool good = get(top, which, "/health", &top->response, err);
    ret[0] = '\0';
    json_init(&doc);
    buf_init(&scratch, 64);
    if (good && json_parse(&doc, buf_span(&top->response.body), NULL) == 0) {
        struct span status = out_text(&doc, doc.nodes, "status", &scratch);
        snprintf(ret, 16, "%.*s", (int)status.len, status.ptr);
        cli_clean(ret, strlen(ret));
    }
    json_done(&doc);
    buf_done(&scratch);
    return good;
}

static void look(struct top *top)
{
    struct top_sample *sample = &top->samples[top->now = !top->now];
    struct error *err = &sample->err;
    err->text[0] = '\0';
    sample->status.count = sample->partitions.count = 0;
    bool good = get_health(top, 0, sample->health[0], err) && get_health(top, 1, sample->health[1], err);
    for (int i = 0; i < 2; i++) {
        buf_clear(&top->metrics[i].body);
        good = good && get(top, i, "/metrics", &top->metrics[i], err);
    }
    good = good && get_object(top, "/v1/status", &sample->status_text, &sample->status, err) &&
           get_object(top, "/v1/partitions?limit=1000", &sample->partitions_text, &sample->partitions, err);
    sample->at_us = clock_mono_us(&clock_system);
    if (!good)
        sample->status.count = sample->partitions.count = 0;
    top_sample_metrics(sample, buf_span(&top->metrics[0].body), buf_span(&top->metrics[1].body));
}

static const struct top_sample *newest(const struct top *top)
{
    return &top->samples[top->now];
}

static const struct top_sample *before(const struct top *top)
{
    return &top->samples[!top->now];
}

static int judge(const struct top *top)
{
    return newest(top)->err.text[0] ? EXIT_UNREACHABLE : EXIT_OK;
}

/* --- showing ----------------------------------------------------------------------------------------------------- */

static bool another(struct top *top)
{
    return top->left < 0 || --top->left > 0;
}

static int run_screen(void *ctx)
{
    struct top *top = ctx;
    struct buf out;
    int key = 0;
    int64_t next_us = 0;
    buf_init(&out, OUT_MAX);
    for (;;) {
        int64_t left_us = next_us - clock_mono_us(&clock_system);
        if (left_us <= 0) {
            look(top);
            next_us = clock_mono_us(&clock_system) + top->interval_s * 1000000;
            left_us = top->interval_s * 1000000;
        }
        buf_clear(&out);
        top_view_screen(before(top), newest(top), client_url(top->clients[1]), (double)top->interval_s, &out);
        screen_draw(buf_span(&out));
        key = screen_wait(left_us / 1000 + 1);
        if (key == 'q' || key == 'Q')
            break;
        if (clock_mono_us(&clock_system) >= next_us && !another(top))
            break;
    }
    buf_done(&out);
    return EXIT_OK;
}

static int run_lines(struct top *top)
{
    const struct timespec pause = {.tv_sec = top->interval_s};
    struct buf out;
    buf_init(&out, OUT_MAX);
    look(top); /* rates need two */
    do {
        (void)nanosleep(&pause, NULL);
        look(top);
        buf_clear(&out);
        if (top->cli->values[JSON]) {
            top_view_json(before(top), newest(top), &out);
        } else {
            top_view_line(before(top), newest(top), &out);
            cli_clean(out.data, out.len);
        }
        out_line(buf_span(&out));
    } while (fflush(stdout) == 0 && another(top));
    buf_done(&out);
    return judge(top);
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

static int open_clients(struct top *top)
{
    const char *urls[2] = {cli_value(top->cli, INGRESS, "TAI_INGRESS", DEFAULT_INGRESS),
                           cli_value(top->cli, SERVER, "TAI_SERVER", DEFAULT_ANDON)};
    for (int i = 0; i < 2; i++) {
        struct error err;
        if (client_new(urls[i], "Start it with `tai run`.", &top->clients[i], &err))
            return cli_wrong(top->cli, "%s", err.text);
    }
    return session_authorize(top->cli, top->clients[1]);
}

static void done(struct top *top)
{
    for (int i = 0; i < 2; i++) {
        client_free(top->clients[i]);
        response_done(&top->metrics[i]);
        top_sample_done(&top->samples[i]);
    }
    response_done(&top->response);
}

int verb_top(int argc, char **argv)
{
    struct cli cli;
    int code = cli_parse(&cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    struct top top = {.cli = &cli, .interval_s = cli_number(&cli, INTERVAL, 2), .left = cli_number(&cli, COUNT, -1)};
    response_init(&top.response);
    for (int i = 0; i < 2; i++) {
        response_init(&top.metrics[i]);
        top_sample_init(&top.samples[i]);
    }
    code = open_clients(&top);
    if (code == CLI_GO_ON) {
        bool page = !cli.values[LINES] && !cli.values[JSON] && screen_usable();
        code = page ? screen_run(run_screen, &top) : run_lines(&top);
    }
    done(&top);
    return code;
}
