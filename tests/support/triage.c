/* Requests go through the pipeline's reader and are answered before the call returns; ends of commands are waited for
 * with the loop running. */
#include "support/triage.h"
#include "common/mem.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct answer {
    bool done;
    int status;
};

static void on_answer(struct store_request *request, int status)
{
    struct answer *answer = request->ctx;
    answer->done = true;
    answer->status = status;
}

static int await(struct pipeline *p, const struct answer *answer)
{
    while (!answer->done) {
        struct pollfd fd = {.fd = store_poll_fd(p->reader), .events = POLLIN};
        (void)poll(&fd, 1, 1000);
        store_dispatch(p->reader);
    }
    return answer->status;
}

#define ASK(p, name, request)                                                                                          \
    __extension__({                                                                                                    \
        struct answer answer = {0};                                                                                    \
        (request)->req.done = on_answer;                                                                               \
        (request)->req.ctx = &answer;                                                                                  \
        store_##name((p)->reader, (request));                                                                          \
        await((p), &answer);                                                                                           \
    })

static const char *keep(struct pipeline *p, struct span text)
{
    return arena_copy(&p->arena, text.ptr, text.len);
}

static struct span or_default(const char *text, const char *otherwise)
{
    return span_of(text ? text : otherwise);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void add_edit(struct pipeline *p, const struct give *give, struct command *command, struct buf *envelope,
                     struct buf *bytes)
{
    buf_addf(bytes, "{\"data\":%s}", give->edited);
    struct signal signal = {.tenant_id = command->tenant_id,
                            .entitlement_id = command->entitlement_id,
                            .id = SPAN("whatever"),
                            .type = SPAN("edited"),
                            .source = SPAN("test"),
                            .may_event = true,
                            .time_ms = 1,
                            .accepted_at_ms = 1};
    signal.bytes = buf_span(bytes);
    signal.data = (struct span){signal.bytes.ptr + bytes->len - 1 - strlen(give->edited), strlen(give->edited)};
    hasher_sha256(p->hasher, signal.bytes, signal.sha256);
    frame_encode_envelope(&signal, envelope);
    command->bytes = buf_span(bytes);
    command->envelope = buf_span(envelope);
}

int triage_add(struct pipeline *p, const struct give *give, const char **ret_id)
{
    char id[UUID_TEXT + 1];
    uint8_t random[10];
    struct buf envelope, bytes;
    buf_init(&envelope, 1 << 16);
    buf_init(&bytes, 1 << 16);
    random_bytes(random, sizeof(random));
    uuid7(p->clock.wall_ms, random, id);
    struct store_command_add add = {.max_pending = 1000};
    struct command *command = &add.command;
    command->id = or_default(give->id, id);
    command->kind = give->kind;
    command->tenant_id = or_default(give->tenant, "acme");
    command->entitlement_id = or_default(give->entitlement, "ent");
    command->operator= or_default(give->operator, "tester");
    command->args = or_default(give->args, "{}");
    command->partition = hash_bucket(command->tenant_id, command->entitlement_id, (uint32_t)p->config.partitions);
    command->created_at_ms = p->clock.wall_ms;
    if (give->deadletter)
        snprintf(command->deadletter_id, sizeof(command->deadletter_id), "%s", give->deadletter);
    if (give->edited)
        add_edit(p, give, command, &envelope, &bytes);
    if (ret_id)
        *ret_id = keep(p, command->id);
    int status = ASK(p, command_add, &add);
    arena_done(&add.req.arena);
    buf_done(&envelope);
    buf_done(&bytes);
    return status;
}

const char *triage_status(struct pipeline *p, const char *id)
{
    struct store_command request = {.id = span_of(id)};
    const char *text = "unknown";
    if (ASK(p, command, &request) < 0)
        abort();
    if (request.found) {
        struct buf out;
        buf_init(&out, 4096);
        buf_add_str(&out, command_status_names[request.command.status]);
        if (request.command.reason.len) {
            buf_add_str(&out, ": ");
            buf_add_span(&out, request.command.reason);
        }
        text = keep(p, buf_span(&out));
        buf_done(&out);
    }
    arena_done(&request.req.arena);
    return text;
}

const char *triage_give(struct pipeline *p, struct give give)
{
    const char *id, *status;
    int rc = triage_add(p, &give, &id);
    if (rc < 0)
        return error_text(rc);
    int64_t deadline = clock_mono_ms(&clock_system) + PIPELINE_WAIT_MS;
    while (strcmp(status = triage_status(p, id), "pending") == 0 && clock_mono_ms(&clock_system) < deadline)
        pipeline_turn(p);
    return status;
}

/* --- dead letters ------------------------------------------------------------------------------------------------- */

static void each(struct pipeline *p, void (*look)(struct pipeline *p, void *ctx, const struct deadletter *), void *ctx)
{
    struct store_deadletters page = {.class = -1, .limit = STORE_LIMIT_MAX};
    if (ASK(p, deadletters, &page) < 0)
        abort();
    for (size_t i = 0; i < page.deadletter_count; i++)
        look(p, ctx, &page.deadletters[i]);
    arena_done(&page.req.arena);
}

struct finding {
    struct span entitlement_id, id;
    const char *found;
    bool conflict;
    struct signal redriven;
};

static void find_one(struct pipeline *p, void *ctx, const struct deadletter *deadletter)
{
    struct finding *finding = ctx;
    const struct signal_row *row = &deadletter->row;
    if (!span_eq(row->identity.entitlement_id, finding->entitlement_id) || !span_eq(row->identity.id, finding->id) ||
        (finding->found && row->conflict && !finding->conflict))
        return;
    finding->found = keep(p, span_of(deadletter->id));
    finding->conflict = row->conflict;
    finding->redriven.tenant_id = (struct span){keep(p, row->identity.tenant_id), row->identity.tenant_id.len};
    finding->redriven.redrive = row->identity.redrive + 1;
    memcpy(finding->redriven.sha256, row->sha256, SHA256_SIZE);
}

const char *triage_find(struct pipeline *p, const char *entitlement, const char *id)
{
    struct finding finding = {.entitlement_id = span_of(entitlement), .id = span_of(id)};
    each(p, find_one, &finding);
    return finding.found;
}

const char *triage_requeue(struct pipeline *p, const char *entitlement, const char *id)
{
    struct finding finding = {.entitlement_id = span_of(entitlement), .id = span_of(id)};
    each(p, find_one, &finding);
    if (!finding.found)
        return "not found";
    finding.redriven.entitlement_id = (struct span){keep(p, finding.entitlement_id), finding.entitlement_id.len};
    finding.redriven.id = (struct span){keep(p, finding.id), finding.id.len};
    const char *status = GIVE(p, .kind = COMMAND_REQUEUE, .entitlement = entitlement, .deadletter = finding.found);
    if (strcmp(status, "applied") == 0)
        pipeline_sent(p, &finding.redriven);
    return status;
}

static void list_one(struct pipeline *p, void *ctx, const struct deadletter *deadletter)
{
    struct buf *out = ctx;
    const struct signal_row *row = &deadletter->row;
    (void)p;
    buf_addf(out, "%s%s %.*s %.*s/%u %s", out->len ? "; " : "", deadletter_class_names[deadletter->class],
             (int)row->reason.len, row->reason.ptr, (int)row->identity.id.len < 20 ? (int)row->identity.id.len : 20,
             row->identity.id.ptr, row->identity.redrive,
             deadletter->state < GOVERNOR_STATE_COUNT ? governor_state_names[deadletter->state] : "-");
}

const char *triage_list(struct pipeline *p)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    each(p, list_one, &out);
    const char *text = keep(p, buf_span(&out));
    buf_done(&out);
    return text;
}
