/* `tai backup`: has the running service copy its data set, waits for the end, and reads the copy back against its
 * manifest. The service makes the directory, so its path is the service's and both must be on one machine. */
#include "apps/cli/manifest.h"
#include "apps/cli/output.h"
#include "apps/cli/progress.h"
#include "apps/cli/session.h"
#include "common/db/db.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SERVER, TOKEN_FILE, JSON };

static const struct cli_option options[] = {[SERVER] = CLI_SERVER, [JSON] = CLI_JSON, {0}};

static const struct cli_verb verb = {
    .name = "backup",
    .arguments = "DIR",
    .about = "Copies everything `tai run` keeps into a new directory while it goes on serving, and checks the copy.\n"
             "DIR must not exist yet; it holds the private key of the ledger: keep it safe.",
    .notes = "To restore, copy DIR to another place and start `tai run --data` on that copy. Never run both at once.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
};

enum { PAUSE_MS = 200, TEXT_MAX = 8192 };

struct job {
    const struct cli *cli;
    struct session session;
    struct buf directory;
    struct buf scratch;
    struct progress progress;
};

static int post(struct job *job)
{
    struct session *session = &job->session;
    struct error err;
    struct buf body;
    buf_init(&body, TEXT_MAX);
    buf_add_char(&body, '{');
    json_add_member(&body, "directory", buf_span(&job->directory));
    buf_add_char(&body, '}');
    int rc = client_post(session->client, "/v1/backup", NULL, buf_span(&body), &session->response, &err);
    buf_done(&body);
    if (rc)
        return cli_fail(job->cli, rc == -EPROTO ? EXIT_FAILED : EXIT_UNREACHABLE, "%s", err.text);
    if (session->response.status == 202)
        return 0;
    response_problem(&session->response, &job->scratch);
    return cli_fail(job->cli, session_denied(session) ? EXIT_DENIED : EXIT_FAILED, "%s", buf_cstr(&job->scratch));
}

/* Until the backup has ended: 0, or an exit code. */
static int wait_for_end(struct job *job)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    const struct json_doc *doc = &job->session.doc;
    progress_begin(&job->progress, "copying", PROGRESS_BYTES, 0);
    for (;;) {
        int code = session_get_json(&job->session, "/v1/backup", NULL);
        if (code)
            return code;
        struct span state = out_text(doc, doc->nodes, "state", &job->scratch);
        struct span directory = out_text(doc, doc->nodes, "directory", &job->scratch);
        if (!span_eq(directory, buf_span(&job->directory)))
            return cli_fail(job->cli, EXIT_FAILED,
                            "the service knows nothing of this backup any more: it was restarted; what is in %s is "
                            "incomplete",
                            buf_cstr(&job->directory));
        if (span_is(state, "failed")) {
            struct span why = out_text(doc, doc->nodes, "error", &job->scratch);
            return cli_fail(job->cli, EXIT_FAILED, "%.*s", (int)why.len, why.ptr);
        }
        if (!span_is(state, "running"))
            return 0;
        job->progress.total = (uint64_t)out_int(doc, doc->nodes, "pages_total", 0) * DB_PAGE_SIZE;
        progress_update(&job->progress, (uint64_t)out_int(doc, doc->nodes, "pages_done", 0) * DB_PAGE_SIZE);
        (void)nanosleep(&pause, NULL);
    }
}

static bool show_read(void *ctx, uint64_t bytes)
{
    struct job *job = ctx;
    progress_update(&job->progress, bytes);
    return true;
}

static int verify(struct job *job)
{
    const struct manifest_watch watch = {.go_on = show_read, .ctx = job};
    struct error err;
    progress_hide(&job->progress);
    progress_begin(&job->progress, "checking", PROGRESS_BYTES, job->progress.total);
    int r = manifest_verify(buf_cstr(&job->directory), &watch, NULL, &err);
    progress_hide(&job->progress);
    if (r == -EACCES)
        return cli_fail(job->cli, EXIT_FAILED,
                        "the backup is made, but this user may not read it back: check it with sha256sum -c %s there",
                        MANIFEST_NAME);
    return r ? cli_fail(job->cli, EXIT_BAD_PROOF, "the backup is made, but: %s", err.text) : 0;
}

static void report(struct job *job)
{
    const struct json_doc *doc = &job->session.doc;
    char path[PATH_MAX + 16], size[OUT_TIME], took[OUT_TIME];
    struct stat info = {0};
    if (job->cli->values[JSON]) {
        out_line(buf_span(&job->session.response.body));
        return;
    }
    snprintf(path, sizeof(path), "%s/tai.db", buf_cstr(&job->directory));
    (void)stat(path, &info);
    int64_t ms = out_int(doc, doc->nodes, "ended_at", 0) - out_int(doc, doc->nodes, "began_at", 0);
    printf("%s: %s, complete and checked, in %s\n", buf_cstr(&job->directory), out_bytes((uint64_t)info.st_size, size),
           out_duration(ms, took));
}

static int absolute(struct job *job, const char *directory)
{
    char here[PATH_MAX];
    if (directory[0] != '/') {
        if (!getcwd(here, sizeof(here)))
            return cli_fail(job->cli, EXIT_FAILED, "the current directory: %s", error_text(-errno));
        buf_addf(&job->directory, "%s/", here);
    }
    buf_add_str(&job->directory, directory);
    while (job->directory.len > 1 && job->directory.data[job->directory.len - 1] == '/')
        job->directory.len--;
    return job->directory.failed ? cli_fail(job->cli, EXIT_USAGE, "the path is too long") : 0;
}

int verb_backup(int argc, char **argv)
{
    struct cli cli;
    struct job job = {.cli = &cli};
    int code = session_begin(&job.session, &cli, &verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    buf_init(&job.directory, PATH_MAX);
    buf_init(&job.scratch, TEXT_MAX);
    code = absolute(&job, cli.args[0]);
    if (!code)
        code = post(&job);
    if (!code)
        code = wait_for_end(&job);
    if (!code)
        code = verify(&job);
    progress_hide(&job.progress);
    if (!code)
        report(&job);
    buf_done(&job.directory);
    buf_done(&job.scratch);
    session_done(&job.session);
    return code;
}
