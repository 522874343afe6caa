/* HTTP of the command line, through libcurl: one server, one request at a time, every wait bounded. Redirects are not
 * followed. Single-threaded. */
#ifndef TAI_APPS_CLI_CLIENT_H
#define TAI_APPS_CLI_CLIENT_H

#include "apps/cli/cli.h"
#include "common/json/json.h"

enum { CLIENT_BODY_MAX = 64 << 20 };

struct client;

struct response {
    int status;
    int64_t retry_after_s; /* 0: none was named */
    struct buf body;
};

void response_init(struct response *response);
void response_done(struct response *response);

/* url: "http://127.0.0.1:8081", also without the scheme, with or without a path. -EINVAL with what is wrong with it.
 * start: how the server is started, said when nothing answers. */
must_check int client_new(const char *url, const char *start, struct client **ret, struct error *err);
void client_free(struct client *client);
/* Sends the token with every request from now on. */
void client_authorize(struct client *client, const char *token);
const char *client_url(const struct client *client); /* without a slash at its end */

/* 0 when an answer came, whatever its status. path begins with a slash. Otherwise -errno with the URL and what to do:
 * -ECONNREFUSED nothing listens or the host is unknown, so that nothing was sent; -ETIMEDOUT, -ECONNRESET no answer: it
 * may have arrived; -EPROTO what came is not HTTP or too large. */
must_check int client_get(struct client *client, const char *path, struct response *ret, struct error *err);
/* headers: "Name: value", ends with NULL; may be NULL. The body is JSON. */
must_check int client_post(struct client *client, const char *path, const char *const *headers, struct span body,
                           struct response *ret, struct error *err);

/* Percent-encoded: "/" and one path segment, and a query parameter (the first after '?'; an empty value is left out).
 */
void url_segment(struct buf *url, struct span segment);
void url_query(struct buf *url, const char *name, struct span value);

/* The detail of a problem (RFC 9457), or its title, or the status in words. Appended to out. */
void problem_text(const struct json_doc *doc, const struct json_node *problem, int status, struct buf *out);
/* The same of a whole answer, which may be anything. */
void response_problem(const struct response *response, struct buf *out);

#endif
