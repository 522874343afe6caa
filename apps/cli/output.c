/* Writes to standard output; main reports a write error once, at the end. */
#include "apps/cli/output.h"
#include "apps/cli/cli.h"
#include "common/clock.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

enum { COLUMNS_MAX = 16, LABEL_WIDTH = 13 };

struct table {
    const char *const *headings;
    size_t columns;
    char **cells; /* owned, cleaned */
    size_t count;
    size_t cap;
};

/* Characters, not bytes; wide ones count as one. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

struct table *table_new(const char *const *headings)
{
    struct table *table = xcalloc(1, sizeof(*table));
    table->headings = headings;
    while (headings[table->columns] && table->columns < COLUMNS_MAX)
        table->columns++;
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free((void *)table->cells);
    free(table);
}

void table_add(struct table *table, struct span cell)
{
    char *text = cell.len ? xstrndup(cell.ptr, cell.len) : xstrdup("-");
    cli_clean(text, strlen(text));
    mem_grow(&table->cells, &table->cap, table->count + 1, sizeof(*table->cells));
    table->cells[table->count++] = text;
}

/* Nothing is padded behind the last column. */
static void print_cell(const struct table *table, size_t column, const char *text, size_t width)
{
    bool last = column + 1 == table->columns;
    fputs(text, stdout);
    printf("%*s", last ? 0 : (int)(width - width_of(text) + 2), "");
    if (last)
        putchar('\n');
}

bool table_print(const struct table *table)
{
    size_t widths[COLUMNS_MAX];
    if (!table->count || !table->columns)
        return false;
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = width_of(table->headings[i]);
    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->columns; i++)
        print_cell(table, i, table->headings[i], widths[i]);
    for (size_t i = 0; i < table->count; i++)
        print_cell(table, i % table->columns, table->cells[i], widths[i % table->columns]);
    return true;
}

void out_field(const char *label, struct span value)
{
    if (!value.len)
        return;
    char *text = xstrndup(value.ptr, value.len);
    cli_clean(text, strlen(text));
    printf("%-*s %s\n", LABEL_WIDTH, label, text);
    free(text);
}

void out_fieldf(const char *label, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    out_field(label, span_of(text));
    free(text);
}

struct span out_text(const struct json_doc *doc, const struct json_node *object, const char *name, struct buf *scratch)
{
    const struct json_node *node = object->type == JSON_OBJECT ? json_get(doc, object, name) : NULL;
    if (!node || node->type == JSON_NULL)
        return (struct span){"", 0};
    buf_clear(scratch);
    return node->type == JSON_STRING ? json_text(doc, node, scratch) : json_raw(doc, node);
}

int64_t out_int(const struct json_doc *doc, const struct json_node *object, const char *name, int64_t otherwise)
{
    const struct json_node *node = object->type == JSON_OBJECT ? json_get(doc, object, name) : NULL;
    int64_t value;
    return node && json_int(doc, node, INT64_MIN, INT64_MAX, &value) == 0 ? value : otherwise;
}

const char *out_time(int64_t wall_ms, char ret[OUT_TIME])
{
    char text[TIME_RFC3339 + 1];
    if (wall_ms <= 0) {
        memcpy(ret, "-", 2);
        return ret;
    }
    time_format_rfc3339(wall_ms, text);
    snprintf(ret, OUT_TIME, "%.10s %.8sZ", text, text + 11);
    return ret;
}

const char *out_duration(int64_t ms, char ret[OUT_TIME])
{
    static const struct {
        int64_t from_ms, unit_ms;
        const char *name;
    } units[] = {{172800000, 86400000, "d"},
                 {7200000, 3600000, "h"},
                 {120000, 60000, "min"},
                 {1000, 1000, "s"},
                 {INT64_MIN, 1, "ms"}};
    size_t i = 0;
    while (ms < units[i].from_ms)
        i++;
    snprintf(ret, OUT_TIME, "%" PRId64 " %s", ms / units[i].unit_ms, units[i].name);
    return ret;
}

const char *out_bytes(uint64_t bytes, char ret[OUT_TIME])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t i = 0;
    for (; value >= 1024 && i < 4; i++)
        value /= 1024;
    snprintf(ret, OUT_TIME, i ? "%.1f %s" : "%.0f %s", value, names[i]);
    return ret;
}

void out_block(struct span text)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        char *line = xstrndup(text.ptr, len);
        cli_clean(line, len);
        fwrite(line, 1, len, stdout);
        putchar('\n');
        free(line);
        text.ptr += end ? len + 1 : len;
        text.len -= end ? len + 1 : len;
    }
}

void out_line(struct span line)
{
    fwrite(line.ptr, 1, line.len, stdout);
    putchar('\n');
}
