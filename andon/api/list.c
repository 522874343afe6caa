/* What all lists have: how many, from where, in which order, of which time. Whatever is wrong is answered 400 with what
 * to write instead. */
#include "andon/api/internal.h"

#include <inttypes.h>
#include <stdlib.h>

bool api_name_parse(struct http_request *req, const char *what, struct span text, const char *const *names,
                    size_t count, int *ret)
{
    struct buf known;
    *ret = -1;
    if (text.len == 0)
        return true;
    buf_init(&known, 1024);
    for (size_t i = 0; i < count; i++) {
        if (span_is(text, names[i]))
            *ret = (int)i;
        buf_addf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    if (*ret < 0)
        http_problem(req, 400, NULL, "\"%s\" must be one of %s", what, buf_cstr(&known));
    buf_done(&known);
    return *ret >= 0;
}

bool api_param_name(struct http_request *req, const char *what, const char *const *names, size_t count, int *ret)
{
    struct span text;
    return api_param_text(req, what, false, API_ID_MAX, &text) && api_name_parse(req, what, text, names, count, ret);
}

bool api_time_parse(struct http_request *req, const char *what, struct span text, int64_t *ret)
{
    *ret = 0;
    if (text.len == 0 || time_parse_rfc3339(text, ret))
        return true;
    bool digits = text.len < 16;
    for (size_t i = 0; digits && i < text.len; i++) {
        digits = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        *ret = *ret * 10 + (text.ptr[i] - '0');
    }
    if (!digits)
        http_problem(req, 400, NULL,
                     "\"%s\" must be an RFC 3339 time, as 2026-11-20T12:00:00Z, or milliseconds since 1970", what);
    return digits;
}

static bool param_time(struct http_request *req, const char *what, int64_t *ret)
{
    struct span text;
    return api_param_text(req, what, false, API_ID_MAX, &text) && api_time_parse(req, what, text, ret);
}

bool api_range_read(struct http_request *req, struct api_range *ret)
{
    static const char *const orders[] = {"asc", "desc"};
    int order;
    if (!api_param_limit(req, &ret->limit) || !api_param_name(req, "order", orders, 2, &order) ||
        !param_time(req, "since", &ret->since_ms) || !param_time(req, "before", &ret->before_ms))
        return false;
    ret->descending = order == 1;
    return true;
}

uint32_t api_range_query(uint32_t query, const struct api_range *range)
{
    const int64_t numbers[] = {query, range->descending, range->since_ms, range->before_ms};
    return api_query_hash('l', &(const struct span){(const char *)numbers, sizeof(numbers)}, 1);
}

bool api_position_parse(struct span position, uint64_t *ret)
{
    char digits[21], *end;
    *ret = 0;
    if (position.len == 0)
        return true;
    if (position.len >= sizeof(digits) || position.ptr[0] < '0' || position.ptr[0] > '9')
        return false;
    memcpy(digits, position.ptr, position.len);
    digits[position.len] = '\0';
    *ret = strtoull(digits, &end, 10);
    return *end == '\0' && *ret <= INT64_MAX;
}

bool api_position_read(struct http_request *req, uint32_t query, struct arena *arena, uint64_t *ret)
{
    struct span position;
    if (!api_cursor_read(req, query, arena, &position))
        return false;
    if (api_position_parse(position, ret))
        return true;
    http_problem(req, 400, NULL, "\"after\" is no cursor of this list");
    return false;
}

void api_add_next(struct api_call *call, struct span position)
{
    json_add_key(&call->out, "next");
    buf_add_char(&call->out, '"');
    api_cursor_write(&call->out, call->query, position);
    buf_add_char(&call->out, '"');
}

void api_add_next_number(struct api_call *call, uint64_t position)
{
    char digits[21];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, position);
    api_add_next(call, (struct span){digits, (size_t)len});
}
