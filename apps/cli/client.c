/* One libcurl handle: connections are kept between requests. The proxy of the environment is used, but not for
 * loopback. */
#include "apps/cli/client.h"
#include "common/http/http.h"
#include "common/mem.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 5000, ANSWER_MS = 30000 };

struct client {
    CURL *curl;
    char *url; /* normalized, without a slash at its end */
    char *start;
    struct buf *body; /* of the request under way */
    char error[CURL_ERROR_SIZE];
};

void response_init(struct response *response)
{
    *response = (struct response){0};
    buf_init(&response->body, CLIENT_BODY_MAX);
}

void response_done(struct response *response)
{
    buf_done(&response->body);
}

/* --- the server's address ---------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || strncmp(host, "127.", 4) == 0;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* What is wrong with the parsed address, or NULL. */
static const char *judge(CURLU *url)
{
    char *scheme = NULL;
    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    bool http = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    if (!http)
        return "it must begin with http:// or https://";
    if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
        return "it must not hold a user or a password";
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return "it must end behind the path, without '?' or '#'";
    return NULL;
}

static int set_url(struct client *client, const char *text, struct error *err)
{
    CURLU *url = curl_url();
    char *whole = NULL;
    char *host = NULL;
    char *normal = NULL;
    if (!url || asprintf(&whole, "%s%s", strstr(text, "://") ? "" : "http://", text) < 0)
        abort();
    const char *wrong = "it must be like http://127.0.0.1:8081";
    if (curl_url_set(url, CURLUPART_URL, whole, 0) == CURLUE_OK)
        wrong = judge(url);
    if (!wrong) {
        curl_url_get(url, CURLUPART_URL, &normal, 0);
        curl_url_get(url, CURLUPART_HOST, &host, 0);
        client->url = xstrdup(normal);
        for (size_t len = strlen(client->url); len && client->url[len - 1] == '/'; len--)
            client->url[len - 1] = '\0';
        if (is_loopback(host))
            curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
    }
    curl_free(host);
    curl_free(normal);
    curl_url_cleanup(url);
    free(whole);
    return wrong ? error_set(err, -EINVAL, "the address '%.200s' is wrong: %s", text, wrong) : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct client *client = ctx;
    buf_add(client->body, data, size * count);
    return client->body->failed ? 0 : size * count;
}

int client_new(const char *url, const char *start, struct client **ret, struct error *err)
{
    struct client *client = xcalloc(1, sizeof(*client));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(client->curl = curl_easy_init()))
        abort();
    client->start = xstrdup(start);
    int rc = set_url(client, url, err);
    if (rc) {
        client_free(client);
        return rc;
    }
    curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(client->curl, CURLOPT_PATH_AS_IS, 1L); /* an id may be ".." */
    curl_easy_setopt(client->curl, CURLOPT_USERAGENT, "tai/" TAI_VERSION);
    curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(client->curl, CURLOPT_ERRORBUFFER, client->error);
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, client);
    *ret = client;
    return 0;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    free(client->url);
    free(client->start);
    free(client);
}

void client_authorize(struct client *client, const char *token)
{
    curl_easy_setopt(client->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    curl_easy_setopt(client->curl, CURLOPT_XOAUTH2_BEARER, token);
}

const char *client_url(const struct client *client)
{
    return client->url;
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static int unreachable(const struct client *client, const char *why, struct error *err)
{
    return error_set(err, -ECONNREFUSED, "nothing answers at %s (%s). Is it running? %s", client->url, why,
                     client->start);
}

static int failure(const struct client *client, CURLcode code, struct error *err)
{
    const char *why = *client->error ? client->error : curl_easy_strerror(code);
    long os_errno = 0;
    double connected = 0;
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &os_errno);
        return unreachable(client, os_errno ? error_text((int)os_errno) : "cannot connect", err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return unreachable(client, why, err);
    case CURLE_OPERATION_TIMEDOUT:
        curl_easy_getinfo(client->curl, CURLINFO_CONNECT_TIME, &connected);
        if (connected <= 0)
            return unreachable(client, "no connection within 5 s", err);
        return error_set(err, -ETIMEDOUT, "%s did not answer within 30 s", client->url);
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return error_set(err, -ECONNRESET, "%s broke the connection off before it had answered", client->url);
    case CURLE_WRITE_ERROR:
        return error_set(err, -EPROTO, "the answer of %s is larger than %d MiB", client->url, CLIENT_BODY_MAX >> 20);
    default:
        return error_set(err, -EPROTO, "%s does not answer as an HTTP server: %s", client->url, why);
    }
}

static int perform(struct client *client, const char *path, struct response *ret, struct error *err)
{
    char *url = NULL;
    if (asprintf(&url, "%s%s", client->url, path) < 0)
        abort();
    buf_clear(&ret->body);
    client->body = &ret->body;
    client->error[0] = '\0';
    curl_easy_setopt(client->curl, CURLOPT_URL, url);
    CURLcode code = curl_easy_perform(client->curl);
    free(url);
    if (code != CURLE_OK)
        return failure(client, code, err);
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &retry_after);
    ret->status = (int)status;
    ret->retry_after_s = retry_after;
    return 0;
}

int client_get(struct client *client, const char *path, struct response *ret, struct error *err)
{
    curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    return perform(client, path, ret, err);
}

int client_post(struct client *client, const char *path, const char *const *headers, struct span body,
                struct response *ret, struct error *err)
{
    /* No Expect: the body is small, the server answers a refusal either way. */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    list = curl_slist_append(list, "Content-Type: application/json");
    for (; headers && *headers; headers++)
        list = curl_slist_append(list, *headers);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.ptr);
    curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    int rc = perform(client, path, ret, err);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(list);
    return rc;
}

/* --- URLs and problems ------------------------------------------------------------------------------------------- */

static void add_encoded(struct buf *url, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c);
        if (plain && c)
            buf_add_char(url, (char)c);
        else
            buf_addf(url, "%%%02X", c);
    }
}

void url_segment(struct buf *url, struct span segment)
{
    buf_add_char(url, '/');
    add_encoded(url, segment);
}

void url_query(struct buf *url, const char *name, struct span value)
{
    if (!value.len)
        return;
    buf_addf(url, "%c%s=", memchr(url->data, '?', url->len) ? '&' : '?', name);
    add_encoded(url, value);
}

void problem_text(const struct json_doc *doc, const struct json_node *problem, int status, struct buf *out)
{
    static const char *const members[] = {"detail", "title"};
    size_t before = out->len;
    for (size_t i = 0; i < 2; i++) {
        const struct json_node *node =
            problem && problem->type == JSON_OBJECT ? json_get(doc, problem, members[i]) : NULL;
        if (node && json_string(doc, node, out) == 0 && out->len > before)
            return;
    }
    buf_addf(out, "HTTP status %d (%s)", status, http_status_text(status));
}

void response_problem(const struct response *response, struct buf *out)
{
    struct json_doc doc;
    json_init(&doc);
    bool parsed = json_parse(&doc, buf_span(&response->body), NULL) == 0;
    problem_text(&doc, parsed ? &doc.nodes[0] : NULL, response->status, out);
    json_done(&doc);
}
