/* What the files of the JSON scanner share; nobody else includes this. */
#ifndef TAI_COMMON_JSON_INTERNAL_H
#define TAI_COMMON_JSON_INTERNAL_H

#include "common/json/json.h"

/* Appends the meaning of the inside of a string that json_parse accepted. */
void json_unescape(struct span raw, struct buf *out);

/* Member names of an object unescaped, in text order. */
struct json_name {
    struct span name;
    const struct json_node *node;
};
/* Fills names (room for object->count); escaped ones are unescaped into scratch, which is emptied first.
 * Returns how many. */
size_t json_names(const struct json_doc *doc, const struct json_node *object, struct json_name *names,
                  struct buf *scratch);

/* True if no two members of object have the same name; else *ret_offset is the name that came second, the first such.
 */
bool json_names_unique(const struct json_doc *doc, const struct json_node *object, size_t *ret_offset);

/* The double nearest to a number of RFC 8259's grammar; false if there is none (1e999). Expects the C locale. */
bool json_number_value(struct span raw, double *ret);

#endif
