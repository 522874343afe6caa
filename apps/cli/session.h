/* One verb's conversation with andon: asks, reads JSON strictly, says what is wrong and with which exit code to end. */
#ifndef TAI_APPS_CLI_SESSION_H
#define TAI_APPS_CLI_SESSION_H

#include "apps/cli/client.h"

#define DEFAULT_ANDON   "http://127.0.0.1:8081"
#define DEFAULT_INGRESS "http://127.0.0.1:8080"

struct session {
    const struct cli *cli;
    struct client *client;
    struct response response;
    struct json_doc doc; /* of the last answer */
};

/* Reads the command line and opens the conversation with the andon it names (the verb has CLI_SERVER): CLI_GO_ON, or
 * the exit code of cli_parse, or of a URL that is none. */
must_check int session_begin(struct session *session, struct cli *cli, const struct cli_verb *verb, int argc,
                             char **argv);
void session_done(struct session *session);
enum { SESSION_TOKEN_MAX = 512 };
/* The token of --token-file or TAI_TOKEN, "" if there is none: CLI_GO_ON, or an exit code. */
must_check int session_token(const struct cli *cli, char ret[SESSION_TOKEN_MAX]);
/* Gives the client the token of --token-file or TAI_TOKEN, if there is one: CLI_GO_ON, or an exit code. */
must_check int session_authorize(const struct cli *cli, struct client *client);

/* Below: 0, or an exit code; everything that is no success was said on standard error. */

/* The answer of status 200 in session->response. 503 is waited for, a few seconds. what: the thing asked for, so that
 * 404 says "there is no …" and ends with EXIT_NOT_FOUND; NULL if 404 can only mean that this is no andon. */
must_check int session_get(struct session *session, const char *path, const char *what);
/* The same, and it must be a JSON object: session->doc. */
must_check int session_get_json(struct session *session, const char *path, const char *what);
/* Whether the last answer says that a token is missing, wrong or not enough. */
bool session_denied(const struct session *session);
/* An answer that is not what this program knows. */
int session_strange(struct session *session, const char *what);

/* A list: asks for page after page of path (which may hold a query) until limit items (0: all) were handed out. item
 * returns 0 or an exit code. ret_more: whether there would be more; may be NULL. */
typedef int session_item(void *ctx, const struct json_doc *doc, const struct json_node *item);
must_check int session_list(struct session *session, const char *path, const char *member, uint64_t limit,
                            session_item *item, void *ctx, bool *ret_more);

#endif
