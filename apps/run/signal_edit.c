/* Reading an edited signal: ingress's own reader over the new text, so that nothing passes here that could not be
 * posted. Used by andon's thread only. */
#include "apps/run/signal_edit.h"
#include "ingress/signal.h"
#include "kanban/frame.h"

#include <errno.h>
#include <stdlib.h>

struct signal_editor {
    size_t max_signal;
    const struct clock *clock;
    struct hasher *hasher;
    struct json_doc doc;
    struct entropy entropy;
    struct buf scratch;
};

struct signal_editor *signal_editor_new(const struct ingress_config *config, const struct clock *clock)
{
    struct signal_editor *editor = xcalloc(1, sizeof(*editor));
    editor->max_signal = config->max_signal;
    editor->clock = clock;
    editor->hasher = hasher_new();
    json_init(&editor->doc);
    buf_init(&editor->scratch, 1 << 16);
    return editor;
}

void signal_editor_free(struct signal_editor *editor)
{
    if (!editor)
        return;
    hasher_free(editor->hasher);
    json_done(&editor->doc);
    buf_done(&editor->scratch);
    free(editor);
}

static int check_same(const char *name, struct span edited, struct span original, struct error *err)
{
    if (span_eq(edited, original))
        return 0;
    return error_set(err, -EINVAL, "%s is \"%.*s\" and must stay \"%.*s\": it is what receipts call this signal", name,
                     (int)edited.len, edited.ptr, (int)original.len, original.ptr);
}

/* What the text does not say is as it was. */
static int read_over(struct signal_editor *editor, struct andon_edit *edit, struct signal *ret, struct error *err)
{
    const struct identity *identity = &edit->of->row.identity;
    const struct json_node *root = editor->doc.nodes;
    char traceparent[TRACEPARENT + 1];
    struct signal original;
    bool readable = frame_decode_envelope(edit->of->row.envelope, edit->of->row.bytes, &original, NULL) == 0;
    traceparent_adopt(readable ? original.traceparent : (struct span){0}, &editor->entropy, traceparent);
    const struct signal_reader reader = {
        .hasher = editor->hasher,
        .sender = {.may_event = true, .source = readable ? original.source : SPAN("operator")},
        .traceparent = {arena_copy(edit->arena, traceparent, TRACEPARENT), TRACEPARENT},
        .now_ms = readable ? original.time_ms : clock_wall_ms(editor->clock),
        .max_signal = editor->max_signal,
        .entropy = &editor->entropy,
        .arena = edit->arena,
        .scratch = &editor->scratch,
    };
    struct signal_reader own_tenant = reader;
    own_tenant.sender.tenant_id = identity->tenant_id;
    int rc = signal_read(json_get(&editor->doc, root, "tenant_id") ? &reader : &own_tenant, &editor->doc, root,
                         edit->text, ret, err);
    if (rc == 0 && !json_get(&editor->doc, root, "id"))
        ret->id = identity->id;
    return rc;
}

int signal_edit(void *ctx, struct andon_edit *edit, struct error *err)
{
    struct signal_editor *editor = ctx;
    const struct identity *identity = &edit->of->row.identity;
    struct signal signal;
    int rc = json_parse(&editor->doc, edit->text, err);
    rc = rc ? rc : read_over(editor, edit, &signal, err);
    rc = rc ? rc : check_same("id", signal.id, identity->id, err);
    rc = rc ? rc : check_same("tenant_id", signal.tenant_id, identity->tenant_id, err);
    rc = rc ? rc : check_same("entitlement_id", signal.entitlement_id, identity->entitlement_id, err);
    if (rc)
        return rc;
    signal.redrive = identity->redrive + 1;
    memcpy(edit->sha256, signal.sha256, SHA256_SIZE);
    buf_clear(&editor->scratch);
    frame_encode_envelope(&signal, &editor->scratch);
    edit->envelope =
        (struct span){arena_copy(edit->arena, editor->scratch.data, editor->scratch.len), editor->scratch.len};
    return 0;
}
