/* POST /v1/backup begins a backup, GET /v1/backup says how far it is. The work is done elsewhere (backup.h). */
#include "andon/backup.h"
#include "andon/api/triage.h"

#include <errno.h>

static const char *const state_names[BACKUP_STATE_COUNT] = {
    [BACKUP_NONE] = "none", [BACKUP_RUNNING] = "running", [BACKUP_DONE] = "done", [BACKUP_FAILED] = "failed"};

static void reply_status(const struct api *api, struct http_request *req, int code)
{
    static const size_t out_max = 4 * BACKUP_PATH_MAX + 4096;
    struct andon_backup_status status;
    struct buf out;
    api->options.backup->status(api->options.backup->ctx, &status);
    buf_init(&out, out_max);
    buf_add_char(&out, '{');
    json_add_member(&out, "state", span_of(state_names[status.state]));
    if (status.state != BACKUP_NONE) {
        json_add_member(&out, "directory", span_of(status.directory));
        json_add_member_u64(&out, "pages_done", status.pages);
        json_add_member_u64(&out, "pages_total", status.total);
        json_add_member_u64(&out, "longest_slice_us", (uint64_t)status.slice_us_max);
        json_add_member_u64(&out, "longest_slice_cpu_us", (uint64_t)status.cpu_us_max);
        api_add_i64(&out, "began_at", status.began_ms);
        if (status.ended_ms)
            api_add_i64(&out, "ended_at", status.ended_ms);
        if (status.state == BACKUP_FAILED)
            json_add_member(&out, "error", span_of(status.error));
    }
    buf_add_char(&out, '}');
    http_reply(req, code, "application/json", buf_span(&out));
    buf_done(&out);
}

static bool supported(const struct api *api, struct http_request *req)
{
    if (api->options.backup)
        return true;
    http_problem(req, 501, NULL, "this process cannot make backups");
    return false;
}

void api_backup_get(void *ctx, struct http_request *req)
{
    const struct api *api = ctx;
    if (supported(api, req))
        reply_status(api, req, 200);
}

/* The path in the body, in api->scratch; false: answered. */
static bool read_directory(struct api *api, struct http_request *req, const char **ret)
{
    const struct json_node *node = api_body_get(api, "directory");
    buf_clear(&api->scratch);
    bool good = node && node->type == JSON_STRING && json_string(&api->doc, node, &api->scratch) == 0;
    struct span path = buf_span(&api->scratch);
    good = good && path.len > 1 && path.len <= BACKUP_PATH_MAX && path.ptr[0] == '/';
    for (size_t i = 0; good && i < path.len; i++)
        good = (unsigned char)path.ptr[i] >= 0x20 && path.ptr[i] != 0x7f;
    if (!good)
        http_problem(req, 400, NULL,
                     "\"directory\" must be the absolute path of a directory to be made, of at most %d bytes",
                     BACKUP_PATH_MAX);
    else
        *ret = buf_cstr(&api->scratch);
    return good;
}

static int status_of(int code)
{
    switch (code) {
    case -EBUSY:
    case -EEXIST:
        return 409;
    case -ENOSPC:
    case -EDQUOT:
        return 507;
    case -EACCES:
    case -EPERM:
    case -EROFS:
        return 403;
    case -ESHUTDOWN:
        return 503;
    case -EINVAL:
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -ELOOP:
        return 400;
    default:
        return 500;
    }
}

void api_backup_start(void *ctx, struct http_request *req)
{
    struct api *api = ctx;
    struct error err = {0};
    const char *directory;
    if (!api_body_open(api, req) || !supported(api, req) || !read_directory(api, req, &directory))
        return;
    int r = api->options.backup->start(api->options.backup->ctx, directory, &err);
    if (r) {
        http_problem(req, status_of(r), NULL, "%s", err.text);
        return;
    }
    http_add_header(req, "Location", SPAN("/v1/backup"));
    reply_status(api, req, 202);
}
