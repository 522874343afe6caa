/* Every message names the server that was asked, because --server, the environment and the default are easily confused.
 */
#include "apps/cli/session.h"
#include "common/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE_MAX = 1000, PATH_BYTES = 8192, TEXT_MAX = 4096, BUSY_TRIES = 6, BUSY_PAUSE_MS = 500 };

/* What the file holds, less the white space at its end, in ret. */
static int read_token(const struct cli *cli, const char *path, char ret[SESSION_TOKEN_MAX])
{
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(ret, 1, SESSION_TOKEN_MAX - 1, file) : 0;
    bool failed = !file || ferror(file);
    int code = errno;
    if (file)
        fclose(file);
    if (failed)
        return cli_wrong(cli, "--token-file %s: %s", path, error_text(code));
    while (len && (ret[len - 1] == '\n' || ret[len - 1] == '\r' || ret[len - 1] == ' '))
        len--;
    ret[len] = '\0';
    return CLI_GO_ON;
}

int session_token(const struct cli *cli, char token[SESSION_TOKEN_MAX])
{
    static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    int row = cli_row(cli, "token-file");
    const char *path = row >= 0 ? cli->values[row] : NULL, *variable = getenv("TAI_TOKEN");
    int code = CLI_GO_ON;
    *token = '\0';
    if (!cli_has_token(cli))
        return CLI_GO_ON;
    if (path)
        code = read_token(cli, path, token);
    else
        snprintf(token, SESSION_TOKEN_MAX, "%s", variable);
    if (code == CLI_GO_ON && (!*token || token[strspn(token, characters)]))
        code = cli_wrong(cli, "%s holds no token: it is one word, as `tai key new token` prints it",
                         path ? path : "TAI_TOKEN");
    return code;
}

int session_authorize(const struct cli *cli, struct client *client)
{
    char token[SESSION_TOKEN_MAX];
    int code = session_token(cli, token);
    if (code == CLI_GO_ON && *token)
        client_authorize(client, token);
    explicit_bzero(token, sizeof(token));
    return code;
}

static int open_andon(struct session *session, const struct cli *cli)
{
    const char *server = cli_value(cli, cli_row(cli, "server"), "TAI_SERVER", DEFAULT_ANDON);
    struct error err;
    *session = (struct session){.cli = cli};
    response_init(&session->response);
    json_init(&session->doc);
    if (client_new(server, "Start it with `tai run`, or say where it is with --server URL or TAI_SERVER.",
                   &session->client, &err) == 0)
        return session_authorize(cli, session->client);
    return cli_wrong(cli, "%s", err.text);
}

int session_begin(struct session *session, struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
    int code = cli_parse(cli, verb, argc, argv);
    if (code != CLI_GO_ON)
        return code;
    code = open_andon(session, cli);
    if (code != CLI_GO_ON)
        session_done(session);
    return code;
}

void session_done(struct session *session)
{
    client_free(session->client);
    response_done(&session->response);
    json_done(&session->doc);
    *session = (struct session){0};
}

bool session_denied(const struct session *session)
{
    return session->response.status == 401 || session->response.status == 403;
}

static int refused(struct session *session, const char *what)
{
    struct buf text;
    int code = EXIT_FAILED;
    buf_init(&text, TEXT_MAX);
    response_problem(&session->response, &text);
    if (session_denied(session))
        code = cli_fail(session->cli, EXIT_DENIED, "%s: %s", client_url(session->client), buf_cstr(&text));
    else if (session->response.status != 404)
        cli_note(session->cli, "%s: %s", client_url(session->client), buf_cstr(&text));
    else if (what)
        code = cli_fail(session->cli, EXIT_NOT_FOUND, "there is no %s: %s", what, buf_cstr(&text));
    else
        cli_note(session->cli, "%s is no andon (%s): see --server", client_url(session->client), buf_cstr(&text));
    buf_done(&text);
    return code;
}

int session_get(struct session *session, const char *path, const char *what)
{
    static const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * 1000000L};
    struct error err;
    for (int tries = 0;; tries++) {
        int rc = client_get(session->client, path, &session->response, &err);
        if (rc)
            return cli_fail(session->cli, rc == -EPROTO ? EXIT_FAILED : EXIT_UNREACHABLE, "%s", err.text);
        if (session->response.status != 503 || tries == BUSY_TRIES)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return session->response.status == 200 ? 0 : refused(session, what);
}

int session_strange(struct session *session, const char *what)
{
    return cli_fail(session->cli, EXIT_FAILED, "%s: %s. Is it an andon of this version? See --server",
                    client_url(session->client), what);
}

int session_get_json(struct session *session, const char *path, const char *what)
{
    struct error err;
    int code = session_get(session, path, what);
    if (code)
        return code;
    if (json_parse(&session->doc, buf_span(&session->response.body), &err) || session->doc.nodes[0].type != JSON_OBJECT)
        return session_strange(session, "the answer is no JSON object");
    return 0;
}

/* One page: hands out at most limit items, and leaves the next page's cursor in `after`. */
static int take_page(struct session *session, const char *member, uint64_t limit, session_item *item, void *ctx,
                     struct buf *after, uint64_t *ret_taken)
{
    const struct json_doc *doc = &session->doc;
    const struct json_node *root = &doc->nodes[0];
    const struct json_node *items = json_get(doc, root, member);
    const struct json_node *next = json_get(doc, root, "next");
    if (!items || items->type != JSON_ARRAY)
        return session_strange(session, "the answer holds no list");
    uint64_t taken = 0;
    for (const struct json_node *node = json_first(doc, items); node && taken < limit;
         node = json_next(doc, items, node), taken++) {
        int code = item(ctx, doc, node);
        if (code)
            return code;
    }
    buf_clear(after);
    if (taken < items->count)
        buf_add_str(after, "more");
    else if (next && json_string(doc, next, after))
        return session_strange(session, "the list's cursor is no text");
    *ret_taken = taken;
    return 0;
}

int session_list(struct session *session, const char *path, const char *member, uint64_t limit, session_item *item,
                 void *ctx, bool *ret_more)
{
    struct buf url;
    struct buf after;
    uint64_t left = limit ? limit : UINT64_MAX;
    int code = 0;
    buf_init(&url, PATH_BYTES);
    buf_init(&after, PATH_BYTES / 4);
    do {
        char size[8];
        uint64_t taken = 0;
        snprintf(size, sizeof(size), "%u", left < PAGE_MAX ? (unsigned)left : PAGE_MAX);
        buf_clear(&url);
        buf_add_str(&url, path);
        url_query(&url, "limit", span_of(size));
        url_query(&url, "after", buf_span(&after));
        code = session_get_json(session, buf_cstr(&url), NULL);
        if (!code)
            code = take_page(session, member, left, item, ctx, &after, &taken);
        left -= taken;
    } while (!code && left && after.len);
    if (ret_more)
        *ret_more = after.len > 0;
    buf_done(&url);
    buf_done(&after);
    return code;
}
