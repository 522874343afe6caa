/* What tests ask the store, each request on a handle of the test's own and answered before the call returns. */
#include "common/json/json.h"
#include "support/pipeline.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct answer {
    bool done;
};

static void on_answer(struct store_request *request, int status)
{
    struct answer *answer = request->ctx;
    answer->done = true;
    if (status < 0) {
        fprintf(stderr, "pipeline: a request of the test failed: %s\n",
                request->error ? request->error : error_text(status));
        abort();
    }
}

static void await(struct pipeline *p, const struct answer *answer)
{
    while (!answer->done) {
        struct pollfd fd = {.fd = store_poll_fd(p->reader), .events = POLLIN};
        (void)poll(&fd, 1, 1000);
        store_dispatch(p->reader);
    }
}

/* The request's answer, waited for; its arena is the caller's. */
#define ASK(p, name, request)                                                                                          \
    do {                                                                                                               \
        struct answer answer = {0};                                                                                    \
        (request)->req.done = on_answer;                                                                               \
        (request)->req.ctx = &answer;                                                                                  \
        store_##name((p)->reader, (request));                                                                          \
        await((p), &answer);                                                                                           \
    } while (0)

struct store_totals pipeline_totals(struct pipeline *p)
{
    struct store_totals totals = {0};
    ASK(p, totals, &totals);
    arena_done(&totals.req.arena);
    return totals;
}

void pipeline_lookup(struct pipeline *p, struct store_lookup *lookup)
{
    ASK(p, lookup, lookup);
}

void pipeline_signal(struct pipeline *p, struct store_signal *signal)
{
    ASK(p, signal, signal);
}

void pipeline_outcomes(struct pipeline *p, void (*each)(void *ctx, uint32_t shard, const struct outcome *outcome),
                       void *ctx)
{
    for (uint32_t shard = 0; shard < (uint32_t)p->config.shards; shard++) {
        struct store_outcomes outcomes = {.shard = shard, .limit = STORE_LIMIT_MAX};
        ASK(p, outcomes, &outcomes);
        if (outcomes.outcome_count == STORE_LIMIT_MAX) {
            fprintf(stderr, "pipeline: too many outcomes to look at\n");
            abort();
        }
        for (size_t i = 0; i < outcomes.outcome_count; i++)
            each(ctx, shard, &outcomes.outcomes[i]);
        arena_done(&outcomes.req.arena);
    }
}

struct counting {
    const char *part;
    size_t count;
};

static void count_one(void *ctx, uint32_t shard, const struct outcome *outcome)
{
    struct counting *counting = ctx;
    (void)shard;
    counting->count += memmem(outcome->text.ptr, outcome->text.len, counting->part, strlen(counting->part)) != NULL;
}

size_t pipeline_count(struct pipeline *p, const char *part)
{
    struct counting counting = {.part = part};
    pipeline_outcomes(p, count_one, &counting);
    return counting.count;
}

/* --- stories ------------------------------------------------------------------------------------------------------ */

struct telling {
    const char *tenant, *entitlement;
    struct json_doc doc;
    struct buf scratch;
    struct buf out;
};

static struct span text_of(struct telling *t, const char *name)
{
    return json_text(&t->doc, json_get(&t->doc, t->doc.nodes, name), &t->scratch);
}

static void add_word(struct telling *t, const char *name)
{
    struct span word = text_of(t, name);
    if (!word.len)
        return;
    buf_add_char(&t->out, ' ');
    buf_add_span(&t->out, word);
}

static void tell(void *ctx, uint32_t shard, const struct outcome *outcome)
{
    struct telling *t = ctx;
    (void)shard;
    if (json_parse(&t->doc, outcome->text, NULL) < 0 || !span_is(text_of(t, "tenant_id"), t->tenant) ||
        !span_is(text_of(t, "entitlement_id"), t->entitlement))
        return;
    if (t->out.len)
        buf_add_str(&t->out, "; ");
    buf_add_span(&t->out, text_of(t, "type"));
    add_word(t, "reason");
    add_word(t, "signal_id");
    if (json_get(&t->doc, t->doc.nodes, "ending")) {
        buf_add_char(&t->out, '=');
        buf_add_span(&t->out, text_of(t, "ending"));
    }
    add_word(t, "state_before");
    if (json_get(&t->doc, t->doc.nodes, "state_after")) {
        buf_add_char(&t->out, '>');
        buf_add_span(&t->out, text_of(t, "state_after"));
    }
}

const char *pipeline_story(struct pipeline *p, const char *tenant, const char *entitlement)
{
    struct telling t = {.tenant = tenant, .entitlement = entitlement};
    json_init(&t.doc);
    buf_init(&t.scratch, 1 << 16);
    buf_init(&t.out, 1 << 20);
    pipeline_outcomes(p, tell, &t);
    const char *story = arena_copy(&p->arena, t.out.data, t.out.len);
    json_done(&t.doc);
    buf_done(&t.scratch);
    buf_done(&t.out);
    return story;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

const char *pipeline_row(struct pipeline *p, const char *tenant, const char *entitlement, const char *id)
{
    struct store_signal signal = {
        .tenant_id = span_of(tenant), .entitlement_id = span_of(entitlement), .id = span_of(id)};
    pipeline_signal(p, &signal);
    struct buf out;
    buf_init(&out, 4096);
    if (signal.found) {
        buf_add_str(&out, signal_status_names[signal.row.status]);
        if (signal.row.reason.len) {
            buf_add_char(&out, ' ');
            buf_add_span(&out, signal.row.reason);
        }
    }
    const char *text = arena_copy(&p->arena, out.data, out.len);
    buf_done(&out);
    arena_done(&signal.req.arena);
    return text;
}

/* No request of the layers reads these: a job of its own on the database thread. */
struct intake_job {
    struct db_job job;
    uint32_t partition;
    struct buf out;
    struct answer answer;
};

static int intake_run(struct db_conn *conn, struct db_job *job)
{
    struct intake_job *intake = (struct intake_job *)job;
    sqlite3_stmt *stmt = db_stmt(conn, "SELECT first, last, confirmed FROM intake WHERE partition = ?1"
                                       " ORDER BY boot, first");
    sqlite3_bind_int64(stmt, 1, intake->partition);
    int rc;
    while ((rc = db_step(stmt)) == 1)
        buf_addf(&intake->out, "%s%lld-%lld/%lld", intake->out.len ? "; " : "", sqlite3_column_int64(stmt, 0),
                 sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2));
    return rc;
}

static void intake_done(struct db_job *job, int status)
{
    (void)status;
    ((struct intake_job *)job)->answer.done = true;
}

const char *pipeline_intake(struct pipeline *p, uint32_t partition)
{
    struct db_port *port;
    struct intake_job intake = {.job = {.run = intake_run, .done = intake_done, .read = true}, .partition = partition};
    if (db_port_open(p->db, &port, NULL) < 0)
        abort();
    buf_init(&intake.out, 1 << 16);
    db_submit(port, &intake.job);
    while (!intake.answer.done)
        db_port_dispatch(port);
    db_port_close(port);
    const char *text = arena_copy(&p->arena, intake.out.data, intake.out.len);
    buf_done(&intake.out);
    return text;
}

bool pipeline_governor(struct pipeline *p, const char *tenant, const char *entitlement, struct governor_record *ret)
{
    struct lookup_governor governor = {.tenant_id = span_of(tenant), .entitlement_id = span_of(entitlement)};
    struct store_lookup lookup = {.governors = &governor, .governor_count = 1};
    ASK(p, lookup, &lookup);
    arena_done(&lookup.req.arena);
    if (governor.found)
        *ret = governor.record;
    return governor.found;
}
