/* What ingress refused gets each its receipt once: whatever request the worker dies at, whichever reply is lost,
 * however often a frame comes. */
#include "jidoka/worker.h"
#include "kanban/backend.h"
#include "support/check.h"
#include "support/pipeline.h"

#include <errno.h>

enum { FRAMES = 4 };

static bool all_taken(const struct pipeline *p)
{
    return kanban_backend_depth(p->queue, KANBAN_REFUSALS) == 0;
}

static struct signal record_of(const char *tenant, const char *type, const char *json)
{
    return (struct signal){.tenant_id = span_of(tenant),
                           .entitlement_id = SPAN("_refusals"),
                           .id = SPAN("_"),
                           .type = span_of(type),
                           .data = SPAN("null"),
                           .bytes = span_of(json),
                           .time_ms = 1767225600000,
                           .accepted_at_ms = 1767225600000};
}

static void send_frames(struct pipeline *p)
{
    static const char single[] = "{\"detail\":\"no \\\"type\\\"\",\"entitlement_id\":\"e\",\"key_id\":\"k\",\"reason\":"
                                 "\"invalid\",\"signal_id\":\"s\",\"signal_sha256\":\""
                                 "aa00000000000000000000000000000000000000000000000000000000000000\",\"status\":400}";
    static const char sum[] =
        "{\"count\":7,\"from\":1767225599000,\"reason\":\"unauthenticated\",\"to\":1767225600000}";
    const struct signal records[] = {record_of("acme", REFUSAL_TYPE, single),
                                     record_of("_system", REFUSAL_SUMMARY_TYPE, sum),
                                     record_of("acme", REFUSAL_TYPE, "not JSON")};
    for (int i = 0; i < FRAMES; i++)
        CHECK_INT(kanban_publish(p->publisher, KANBAN_REFUSALS, records, 3, NULL), 0);
}

static void begin(struct pipeline *p, bool sqlite_queue)
{
    pipeline_init(p);
    p->sqlite_queue = sqlite_queue;
    pipeline_open(p);
    pipeline_start(p);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_until(p, all_taken));
    SEND(p, {.id = "after"});
    pipeline_settle(p);
    struct store_totals totals = pipeline_totals(p);
    CHECK_INT(totals.taken, 1);
    CHECK_INT(totals.missing, 0);
    CHECK_INT(pipeline_count(p, "\"type\":\"refusal\""), FRAMES);
    CHECK_INT(pipeline_count(p, "\"type\":\"refusal_summary\""), FRAMES);
    CHECK_INT(
        pipeline_count(p, "{\"body\":{\"count\":7,\"from\":1767225599000,\"to\":1767225600000},\"config_sha256\":"),
        FRAMES);
    CHECK_INT(pipeline_count(p, "{\"body\":{\"detail\":\"no \\\"type\\\"\",\"key_id\":\"k\",\"status\":400},"), FRAMES);
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

static void test_receipts(void)
{
    for (int i = 0; i < 2; i++) {
        struct pipeline p;
        begin(&p, i);
        send_frames(&p);
        end(&p);
    }
}

/* The same frame again, and one that is none. */
static void test_redelivery(void)
{
    struct pipeline p;
    struct buf frame;
    begin(&p, true);
    send_frames(&p);
    CHECK(pipeline_until(&p, all_taken));
    struct signal record = record_of("other", REFUSAL_TYPE, "{\"detail\":\"\",\"reason\":\"limited\",\"status\":429}");
    const struct frame_header header = {
        .boot = "00112233445566aa", .partition = KANBAN_REFUSALS, .sequence = 9, .count = 1, .confirmed = 8};
    buf_init(&frame, 4096);
    frame_encode(&header, &record, &frame);
    for (int i = 0; i < 3; i++)
        pipeline_send_raw(&p, KANBAN_REFUSALS, buf_span(&frame));
    pipeline_send_raw(&p, KANBAN_REFUSALS, SPAN("no frame"));
    CHECK(pipeline_until(&p, all_taken));
    pipeline_restart(&p);
    pipeline_send_raw(&p, KANBAN_REFUSALS, buf_span(&frame));
    CHECK(pipeline_until(&p, all_taken));
    CHECK_INT(pipeline_count(&p, "\"reason\":\"limited\""), 1);
    CHECK_INT(pipeline_count(&p, "\"type\":\"refusal\""), FRAMES + 1);
    CHECK_INT(pipeline_totals(&p).missing, 0);
    buf_done(&frame);
    pipeline_done(&p);
}

static void test_lost_replies(void)
{
    for (unsigned countdown = 0; countdown < 4; countdown++) {
        struct pipeline p;
        begin(&p, countdown % 2);
        faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_AFTER, countdown, 1, -EIO});
        send_frames(&p);
        CHECK(pipeline_until(&p, all_taken));
        faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){0});
        end(&p);
    }
}

static void test_death_at_every_request(void)
{
    for (unsigned at = 0, died = 1; died; at++) {
        died = 0;
        for (unsigned variant = 0; variant < 4; variant++) {
            struct pipeline p;
            enum faulty_kind kind = variant & 1 ? FAULT_MUTE : FAULT_HOLD;
            begin(&p, variant & 2);
            faulty_set(p.faulty, FAULTY_ANY, (struct faulty_fault){kind, at, kind == FAULT_HOLD ? 1000 : 1, 0});
            p.on_turn = pipeline_die_when_stuck;
            send_frames(&p);
            CHECK(pipeline_until(&p, all_taken));
            died += p.on_turn == NULL;
            p.on_turn = NULL;
            faulty_set(p.faulty, FAULTY_ANY, (struct faulty_fault){0});
            end(&p);
        }
    }
}

/* A worker that is drained leaves none behind. */
static void test_drain(void)
{
    struct pipeline p;
    begin(&p, false);
    send_frames(&p);
    CHECK(pipeline_drain(&p));
    CHECK(all_taken(&p));
    pipeline_start(&p);
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"receipts", test_receipts},
                                              {"redelivery", test_redelivery},
                                              {"lost_replies", test_lost_replies},
                                              {"death_at_every_request", test_death_at_every_request},
                                              {"drain", test_drain},
                                              {NULL, NULL}};
    return check_main(cases);
}
