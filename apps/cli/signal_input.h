/* The signals of a file or of standard input: one JSON object a line, one JSON array, or one object over several lines.
 * What cannot be sent is named with its line; the rest goes on. */
#ifndef TAI_APPS_CLI_SIGNAL_INPUT_H
#define TAI_APPS_CLI_SIGNAL_INPUT_H

#include "common/error.h"
#include "common/span.h"

#include <stdint.h>

enum { SIGNAL_INPUT_LINE_MAX = 1 << 20, SIGNAL_INPUT_ARRAY_MAX = 64 << 20 };

struct signal_input_options {
    const char *path; /* NULL or "-": standard input */
    /* Given to signals without tenant_id, or NULL. */
    const char *tenant;
    /* Whether signals without an id get one, so that a repeated POST cannot make two of one. */
    bool make_ids;
};

struct signal_item {
    uint64_t line;     /* where it begins, from 1 */
    struct span bytes; /* the object, until the next call */
    size_t added;      /* bytes put in behind its brace */
    const char *bad;   /* what is wrong with the line, until the next call, or NULL */
};

struct signal_input;
must_check int signal_input_open(const struct signal_input_options *options, struct signal_input **ret,
                                 struct error *err);
void signal_input_close(struct signal_input *input);

/* 1: an item; 0: the end; -EAGAIN: nothing came for wait_ms (-1: waits for ever); another -errno: the input cannot be
 * read, or is an array that cannot be sent at all. */
must_check int signal_input_next(struct signal_input *input, int wait_ms, struct signal_item *ret, struct error *err);

uint64_t signal_input_size(const struct signal_input *input); /* bytes in all, 0 if unknown */
uint64_t signal_input_done(const struct signal_input *input); /* bytes handed out so far */

#endif
