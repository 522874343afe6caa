/* Output for people: aligned columns, labelled values, readable times. Everything is cleaned of control characters. */
#ifndef TAI_APPS_CLI_OUTPUT_H
#define TAI_APPS_CLI_OUTPUT_H

#include "common/buf.h"
#include "common/json/json.h"

/* Columns as wide as their widest cell. Rows are kept until they are printed. */
struct table;
struct table *table_new(const char *const *headings); /* ends with NULL; borrowed */
void table_free(struct table *table);
void table_add(struct table *table, struct span cell); /* the next cell, row by row; an empty one shows as "-" */
bool table_print(const struct table *table);           /* false, and nothing printed, without rows */

/* "label        value"; nothing if the value is empty. */
void out_field(const char *label, struct span value);
void out_fieldf(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of members: a string as it is, other values as their JSON; empty if absent or null. Valid until scratch changes.
 */
struct span out_text(const struct json_doc *doc, const struct json_node *object, const char *name, struct buf *scratch);
/* An integer member; otherwise if it is absent or no integer. */
int64_t out_int(const struct json_doc *doc, const struct json_node *object, const char *name, int64_t otherwise);

enum { OUT_TIME = 32 };
/* "2026-11-20 14:56:00Z"; "-" for 0 and below. */
const char *out_time(int64_t wall_ms, char ret[OUT_TIME]);
/* "850 ms", "12 s", "3 min", "5 h", "2 d". */
const char *out_duration(int64_t ms, char ret[OUT_TIME]);
/* "512 B", "1.5 KiB", "20.0 MiB". */
const char *out_bytes(uint64_t bytes, char ret[OUT_TIME]);

/* Text of several lines, each cleaned; ends with a line feed. */
void out_block(struct span text);

/* Bytes and a line feed: for --json. */
void out_line(struct span line);

#endif
