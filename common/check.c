/* Formatting of what a verification reports. Pure but for the callbacks. */
#include "common/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 600, ROW_MAX = 300 };

static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
            *text = '?';
}

void check_problem(struct check *check, const char *table, const char *row, const char *todo, const char *format, ...)
{
    char text[TEXT_MAX], key[ROW_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)snprintf(key, sizeof(key), "%s", row);
    clean(text);
    clean(key);
    check->problem(check->ctx, &(struct check_problem){table, key, text, todo});
}

void check_note(struct check *check, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    clean(text);
    check->note(check->ctx, text);
}

void check_step(struct check *check, const char *doing, uint64_t done, uint64_t total)
{
    check->step(check->ctx, doing, done, total);
}
