/* The editor works on a file of its own in TMPDIR, mode 0600, deleted afterwards. */
#include "apps/cli/signal_revision.h"
#include "apps/cli/diff.h"
#include "apps/cli/output.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, TEXT_MAX = 8 << 20 };

static int read_fd(int fd, struct buf *ret)
{
    char piece[4096];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0)
        buf_add(ret, piece, (size_t)n);
    return n < 0 ? -errno : ret->failed ? -EFBIG : 0;
}

static int read_file(const struct cli *cli, const char *path, struct buf *ret)
{
    bool input = strcmp(path, "-") == 0;
    int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : read_fd(fd, ret);
    if (!input && fd >= 0)
        close(fd);
    return rc < 0 ? cli_fail(cli, EXIT_USAGE, "%s: %s", path, error_text(rc)) : 0;
}

static int write_all(int fd, struct span text)
{
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0)
            return -errno;
        text.ptr += n;
        text.len -= (size_t)n;
    }
    return 0;
}

/* As git does it: the variable may hold options, so a shell splits it. */
static int run_editor(const char *path)
{
    const char *editor = getenv("VISUAL");
    editor = editor && *editor ? editor : getenv("EDITOR");
    editor = editor && *editor ? editor : "vi";
    char *command = NULL;
    if (asprintf(&command, "%s \"$1\"", editor) < 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, editor, path, (char *)NULL);
        _exit(127);
    }
    free(command);
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int edit(const struct cli *cli, struct span before, struct buf *ret)
{
    const char *dir = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/tai-signal.XXXXXX.json", dir && *dir ? dir : "/tmp") < 0)
        abort();
    int fd = mkostemps(path, 5, O_CLOEXEC);
    int code = fd < 0 ? -errno : write_all(fd, before);
    if (code < 0) {
        code = cli_fail(cli, EXIT_FAILED, "%s: %s", path, error_text(code));
    } else if (run_editor(path) < 0) {
        code = cli_fail(cli, EXIT_FAILED, "the editor failed (see $VISUAL, $EDITOR); nothing was done");
    } else {
        code = read_file(cli, path, ret);
    }
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    free(path);
    return code;
}

static void drop_end(struct buf *text)
{
    static const char blank[] = {' ', '\t', '\r', '\n'};
    while (text->len && memchr(blank, text->data[text->len - 1], sizeof(blank)))
        text->len--;
}

/* 0 if there is one. */
static int show_difference(const struct cli *cli, struct span before, struct span after)
{
    struct buf old, new, out;
    buf_init(&old, TEXT_MAX);
    buf_init(&new, TEXT_MAX);
    buf_init(&out, 2 * TEXT_MAX);
    diff_layout(before, &old);
    diff_layout(after, &new);
    diff_unified(buf_span(&old), buf_span(&new), &out);
    int code = 0;
    if (span_eq(before, after))
        code = cli_fail(cli, EXIT_FAILED, "the signal was not changed; nothing was done");
    else if (out.len)
        out_block(buf_span(&out));
    else
        cli_note(cli, "only white space differs");
    buf_done(&old);
    buf_done(&new);
    buf_done(&out);
    return code;
}

int signal_revision_read(struct session *session, const char *id, const char *file, struct buf *ret)
{
    const struct cli *cli = session->cli;
    struct buf path, before;
    struct json_doc doc;
    struct error err;
    buf_init(&path, PATH_BYTES);
    buf_init(&before, TEXT_MAX);
    json_init(&doc);
    buf_add_str(&path, "/v1/deadletters");
    url_segment(&path, span_of(id));
    int code = session_get_json(session, buf_cstr(&path), "such dead letter");
    const struct json_node *signal = code ? NULL : json_get(&session->doc, session->doc.nodes, "signal");
    if (!code && !signal)
        code = cli_fail(cli, EXIT_FAILED, "its bytes are no JSON: there is nothing to edit");
    if (!code)
        buf_add_span(&before, json_raw(&session->doc, signal));
    if (!code)
        code = file ? read_file(cli, file, ret) : edit(cli, buf_span(&before), ret);
    drop_end(ret);
    if (!code && json_parse(&doc, buf_span(ret), &err))
        code = cli_fail(cli, EXIT_USAGE, "the edited signal is not JSON: %s", err.text);
    if (!code)
        code = show_difference(cli, buf_span(&before), buf_span(ret));
    buf_done(&path);
    buf_done(&before);
    json_done(&doc);
    return code;
}
