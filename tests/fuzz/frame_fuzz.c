/* Frames from anywhere: refused with a reason, or exactly what encoding them again gives. */
#include "common/mem.h"
#include "kanban/frame.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(const struct frame *frame, const uint8_t *data, size_t size)
{
    if (frame_check(frame->signals, frame->header.count) != 0)
        abort();
    struct buf again;
    buf_init(&again, SIZE_MAX / 2);
    frame_encode(&frame->header, frame->signals, &again);
    if (again.len != size || memcmp(again.data, data, size) != 0)
        abort();
    buf_done(&again);
}

/* The same bytes as an envelope line and what follows it. */
static void check_envelope(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline)
        return;
    size_t line = (size_t)(newline - data) + 1;
    struct signal signal;
    struct error err = {.text = ""};
    if (frame_decode_envelope((struct span){(const char *)data, line},
                              (struct span){(const char *)data + line, size - line}, &signal, &err) != 0)
        return;
    if (frame_check(&signal, 1) != 0)
        abort();
    struct buf again;
    buf_init(&again, SIZE_MAX / 2);
    frame_encode_envelope(&signal, &again);
    if (again.len != line || memcmp(again.data, data, line) != 0)
        abort();
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_envelope(data, size);
    char *copy = xmalloc(size ? size : 1);
    if (size)
        memcpy(copy, data, size);
    struct frame *frame = NULL;
    struct error err = {.text = ""};
    int status = frame_decode(copy, size, &frame, &err);
    if (status == 0)
        check_frame(frame, data, size);
    else if (status != -EBADMSG || err.text[0] == '\0')
        abort();
    frame_free(frame);
    return 0;
}
