/* Any body through the signal table, as a signal or as a batch, signed and unsigned. What is accepted must keep the
 * table's rules, must fit a frame, and must come back from it unchanged. */
#include "ingress/signal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static void check_frame(const struct signal *signal)
{
    const struct frame_header header = {.boot = "0123456789abcdef", .sequence = 1, .count = 1};
    struct frame *frame;
    struct error err;
    struct buf out;
    buf_init(&out, 1 << 22);
    frame_encode(&header, signal, &out);
    size_t len = out.len;
    demand(frame_decode(buf_take(&out), len, &frame, &err) == 0);
    const struct signal *back = &frame->signals[0];
    demand(span_eq(back->id, signal->id) && span_eq(back->tenant_id, signal->tenant_id));
    demand(span_eq(back->entitlement_id, signal->entitlement_id) && span_eq(back->sku_id, signal->sku_id));
    demand(span_eq(back->type, signal->type) && span_eq(back->source, signal->source));
    demand(span_eq(back->data, signal->data) && span_eq(back->bytes, signal->bytes));
    demand(span_eq(back->traceparent, signal->traceparent) && back->time_ms == signal->time_ms);
    demand(back->severity == signal->severity && memcmp(back->sha256, signal->sha256, SHA256_SIZE) == 0);
    frame_free(frame);
    buf_done(&out);
}

static void check_signal(const struct signal_reader *reader, const struct json_doc *doc, const struct json_node *node,
                         struct span bytes)
{
    struct signal signal;
    struct error err = {.text = ""};
    if (signal_read(reader, doc, node, bytes, &signal, &err)) {
        demand(err.text[0] != '\0' && memchr(err.text, '\n', strlen(err.text)) == NULL);
        return;
    }
    demand(signal.id.len >= 1 && signal.id.len <= 128);
    demand(signal.tenant_id.len >= 1 && signal.tenant_id.len <= 64 && signal.tenant_id.ptr[0] != '_');
    demand(signal.entitlement_id.len >= 1 && signal.entitlement_id.len <= 128);
    demand(signal.type.len >= 1 && signal.type.len <= 128);
    demand(signal.source.len >= 1 && signal.source.len <= 256);
    demand(traceparent_valid(signal.traceparent));
    demand(signal.bytes.len <= reader->max_signal);
    check_frame(&signal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};
    struct entropy entropy = {.left = ENTROPY_POOL};
    struct arena arena = {0};
    struct json_doc doc;
    struct buf scratch;
    char traceparent[TRACEPARENT + 1];
    json_init(&doc);
    buf_init(&scratch, SIGNAL_SCRATCH);
    traceparent_adopt(text, &entropy, traceparent);
    demand(traceparent_valid(span_of(traceparent)));
    struct signal_reader reader = {
        .hasher = hasher_new(),
        .sender = {.may_event = true, .source = SPAN("unsigned")},
        .traceparent = {traceparent, TRACEPARENT},
        .now_ms = 1767225600000,
        .max_signal = 64 * 1024,
        .entropy = &entropy,
        .arena = &arena,
        .scratch = &scratch,
    };
    if (json_parse(&doc, text, NULL) == 0) {
        const struct json_node *root = &doc.nodes[0];
        check_signal(&reader, &doc, root, text);
        for (const struct json_node *n = root->type == JSON_ARRAY ? json_first(&doc, root) : NULL; n;
             n = json_next(&doc, root, n))
            check_signal(&reader, &doc, n, json_raw(&doc, n));
        reader.sender = (struct sender){.is_signed = true, .tenant_id = SPAN("acme"), .source = SPAN("key-1")};
        check_signal(&reader, &doc, root, text);
    }
    hasher_free(reader.hasher);
    json_done(&doc);
    buf_done(&scratch);
    arena_done(&arena);
    return 0;
}
