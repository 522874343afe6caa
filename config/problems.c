/* The list of problems a configuration has, each one line with where it stands. Capped: a hostile file cannot grow it
 * beyond PROBLEMS_MAX lines. */
#include "config/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void config_problems_done(struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->lines[i]);
    free((void *)problems->lines);
    *problems = (struct config_problems){0};
}

void origin_write(const struct origin *origin, struct buf *out)
{
    switch (origin->kind) {
    case ORIGIN_DEFAULT:
        buf_add_str(out, "default");
        break;
    case ORIGIN_FILE:
        buf_add_str(out, origin->name);
        if (origin->line > 0)
            buf_addf(out, ":%zu", origin->line);
        break;
    case ORIGIN_ENVIRONMENT:
        buf_add_str(out, origin->name);
        break;
    case ORIGIN_COMMAND_LINE:
        buf_add_str(out, "command line");
        break;
    }
}

bool problems_full(const struct config_problems *problems)
{
    return problems->count >= PROBLEMS_MAX;
}

static void add_line(struct config_problems *problems, char *take_line)
{
    mem_grow((void *)&problems->lines, &problems->cap, problems->count + 1, sizeof(*problems->lines));
    problems->lines[problems->count++] = take_line;
}

void problems_add(struct config_problems *problems, const struct origin *origin, const char *format, ...)
{
    if (problems_full(problems))
        return;
    struct buf line;
    buf_init(&line, PROBLEM_LINE_MAX);
    origin_write(origin, &line);
    buf_add_str(&line, ": ");
    char text[PROBLEM_LINE_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?'; /* one line, whatever a name in the file holds */
    }
    buf_add_str(&line, text);
    add_line(problems, buf_take(&line));
}
