/* Error texts: formatted into the caller's struct, never allocated, always one line. Any thread. */
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The text ends up in logs and problem details that promise a single line. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20)
            *text = ' ';
}

void error_format(struct error *err, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        one_line(err->text);
    }
}

void error_format_prefix(struct error *err, const char *format, ...)
{
    if (err) {
        struct error old = *err;
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        size_t used = n < 0 ? 0 : (size_t)n;
        if (used + 2 < sizeof(err->text)) {
            memcpy(err->text + used, ": ", 2);
            size_t room = sizeof(err->text) - used - 3;
            size_t len = strnlen(old.text, room);
            memcpy(err->text + used + 2, old.text, len);
            err->text[used + 2 + len] = '\0';
        }
        one_line(err->text);
    }
}

const char *error_text(int code)
{
    const char *text = strerrordesc_np(code < 0 ? -code : code);
    return text ? text : "Unknown error";
}
