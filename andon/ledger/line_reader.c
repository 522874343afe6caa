/* Lines out of blocks. */
#include "andon/ledger/line_reader.h"

#include <errno.h>
#include <inttypes.h>

enum { PROGRESS_EVERY = 1 << 20 };

void line_reader_init(struct line_reader *reader, FILE *in)
{
    reader->in = in;
    reader->at = reader->end = 0;
    reader->number = reader->bytes = reader->reported = 0;
    reader->progress = NULL;
    reader->ctx = NULL;
    buf_init(&reader->line, LINE_READER_MAX);
}

void line_reader_done(struct line_reader *reader)
{
    buf_done(&reader->line);
}

/* The next block, and word of it; false at the end of the file. */
static bool fill(struct line_reader *reader)
{
    reader->at = 0;
    reader->end = fread(reader->block, 1, LINE_READER_BLOCK, reader->in);
    reader->bytes += reader->end;
    if (reader->progress && reader->bytes - reader->reported >= PROGRESS_EVERY) {
        reader->reported = reader->bytes;
        reader->progress(reader->ctx, reader->bytes);
    }
    return reader->end > 0;
}

int line_reader_next(struct line_reader *reader, struct span *ret, struct error *err)
{
    buf_clear(&reader->line);
    for (const char *end = NULL; !end;) {
        if (reader->at == reader->end && !fill(reader))
            break;
        const char *start = reader->block + reader->at;
        size_t left = reader->end - reader->at;
        end = memchr(start, '\n', left);
        size_t len = end ? (size_t)(end - start) : left;
        buf_add(&reader->line, start, len);
        reader->at += len + (end ? 1 : 0);
        if (reader->line.failed)
            return error_set(err, -EBADMSG, "line %" PRIu64 ": longer than any receipt", reader->number + 1);
        *ret = buf_span(&reader->line);
        if (end) {
            reader->number++;
            return 1;
        }
    }
    if (ferror(reader->in))
        return error_set(err, -EBADMSG, "the file cannot be read to its end");
    if (reader->line.len)
        return error_set(err, -EBADMSG, "line %" PRIu64 ": the file is cut off here", reader->number + 1);
    return 0;
}
