/* The JSON-lines log. A line is built in a buffer of its own and leaves with one write(2), so that threads sharing the
 * descriptor do not mix. A log that cannot be written is dropped: there is nowhere left to say so. Keeps errno. */
#include "common/log.h"

#include "common/json/json.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

static const char cut_end[] = ",\"truncated\":true}\n";

/* Well-formed UTF-8, whatever came in; no more of it than a line can hold. */
static void add_clean(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.len && !out->failed;) {
        size_t n = utf8_sequence(text.ptr + i, text.len - i);
        if (n)
            buf_add(out, text.ptr + i, n);
        else
            buf_add_str(out, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
}

static void back_to(struct buf *line, size_t len)
{
    line->len = len;
    line->failed = false;
}

/* false if the value had to be cut. */
static bool add_text(struct buf *line, const char *name, struct span text)
{
    size_t mark = line->len;
    struct buf clean;
    buf_init(&clean, LINE_MAX_BYTES);
    add_clean(&clean, text);
    bool whole = !clean.failed;
    json_add_member(line, name, buf_span(&clean));
    while (line->failed) {
        whole = false;
        back_to(line, mark);
        if (clean.len == 0)
            break;
        clean.len /= 2;
        while (clean.len && ((unsigned char)clean.data[clean.len] & 0xc0) == 0x80)
            clean.len--;
        json_add_member(line, name, buf_span(&clean));
    }
    buf_done(&clean);
    return whole;
}

static bool add_raw(struct buf *line, const char *name, struct span raw)
{
    size_t mark = line->len;
    json_add_member_raw(line, name, raw);
    if (!line->failed)
        return true;
    back_to(line, mark);
    return false;
}

static bool add_field(struct buf *line, const struct log_field *field)
{
    char digits[24];
    switch (field->type) {
    case LOG_TEXT:
        return field->text ? add_text(line, field->name, span_of(field->text))
                           : add_raw(line, field->name, SPAN("null"));
    case LOG_SPAN:
        return field->span.ptr ? add_text(line, field->name, field->span) : add_raw(line, field->name, SPAN("null"));
    case LOG_INT:
        snprintf(digits, sizeof(digits), "%lld", (long long)field->integer);
        return add_raw(line, field->name, span_of(digits));
    case LOG_END:
        break;
    }
    return true;
}

static bool add_fields(struct buf *line, const struct log_field *fields)
{
    for (; fields && fields->type != LOG_END; fields++)
        if (!add_field(line, fields))
            return false;
    return true;
}

void log_write(const struct log *log, enum log_level level, const char *event, const struct log_field *fields)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < log->level)
        return;
    int saved = errno;
    char ts[TIME_RFC3339 + 1];
    time_format_rfc3339(clock_wall_ms(log->clock), ts);
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES - (sizeof(cut_end) - 1));
    buf_add_char(&line, '{');
    json_add_member(&line, "ts", span_of(ts));
    json_add_member(&line, "level", span_of(names[level]));
    bool whole = add_text(&line, "event", span_of(event)) &&
                 (!log->component || add_text(&line, "component", span_of(log->component))) &&
                 add_fields(&line, fields);
    line.max = LINE_MAX_BYTES;
    buf_add_str(&line, whole ? "}\n" : cut_end);
    ssize_t n;
    do {
        n = write(log->fd, line.data, line.len);
    } while (n < 0 && errno == EINTR);
    buf_done(&line);
    errno = saved;
}
