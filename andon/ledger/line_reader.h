/* A text file read line by line, whatever its size, with word of how far it is. Any thread. */
#ifndef TAI_ANDON_LEDGER_LINE_READER_H
#define TAI_ANDON_LEDGER_LINE_READER_H

#include "common/buf.h"

#include <stdio.h>

enum { LINE_READER_MAX = 17 << 20, LINE_READER_BLOCK = 64 * 1024 };

struct line_reader {
    FILE *in;
    char block[LINE_READER_BLOCK];
    size_t at, end; /* of what is left in block */
    struct buf line;
    uint64_t number; /* of the line, from 1 */
    uint64_t bytes, reported;
    void (*progress)(void *ctx, uint64_t bytes); /* or NULL */
    void *ctx;
};

void line_reader_init(struct line_reader *reader, FILE *in);
void line_reader_done(struct line_reader *reader);
/* The next line without its line feed, valid until the next call: 1, 0 at the end, or -EBADMSG (too long, or cut off:
 * then *ret is what there is of it). */
must_check int line_reader_next(struct line_reader *reader, struct span *ret, struct error *err);

#endif
