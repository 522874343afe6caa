/* Dead letters: of every reason, requeued, edited, discarded, each once; back-pressure when there are too many. */
#include "support/check.h"
#include "support/triage.h"

#include <stdlib.h>

#define COST "{\"cost\":1}"

static void begin(struct pipeline *p)
{
    pipeline_open(p);
    pipeline_start(p);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

static uint64_t open_in(struct pipeline *p, enum deadletter_class class)
{
    return pipeline_totals(p).deadletters[class];
}

/* One of every reason there is; poison is poison_test's. */
static void test_reasons(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.auto_activate = false;
    p.config.governor.max_waiting = 1;
    p.config.governor.max_wait_ms = 20000;
    p.config.governor.max_failures = 1;
    p.action.mode = ACTION_FAILS_FOR_GOOD;
    p.action.countdown = 1;
    begin(&p);
    SEND(&p, {.id = "waits"}, {.id = "too-many"});
    SEND(&p, {.id = "waits", .data = "1"}); /* another body */
    SEND(&p, {.id = "old", .age_ms = INT64_C(7) * 24 * 3600 * 1000});
    pipeline_send_raw(&p, 0, SPAN("no frame"));
    pipeline_settle(&p);
    pipeline_advance(&p, 20000);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_ACTIVATE), "applied");
    SEND(&p, {.id = "fails", .data = COST});
    pipeline_settle(&p);
    SEND(&p, {.id = "halted"});
    pipeline_settle(&p);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
    SEND(&p, {.id = "stopped"});
    pipeline_settle(&p);
    const char *list = triage_list(&p);
    CHECK(strstr(list, "pipeline overflow too-many/0 boot"));
    CHECK(strstr(list, "tenant id_conflict waits/0 boot"));
    CHECK(strstr(list, "pipeline too_old old/0 boot"));
    CHECK(strstr(list, "pipeline unparseable "));
    CHECK(strstr(list, "tenant wait_expired waits/0 boot"));
    CHECK(strstr(list, "destination scripted fails/0 halted"));
    CHECK(strstr(list, "destination governor_halted halted/0 halted"));
    CHECK(strstr(list, "policy governor_halted stopped/0 halted"));
    CHECK_INT(open_in(&p, CLASS_TENANT), 2);
    CHECK_INT(open_in(&p, CLASS_DESTINATION), 2);
    CHECK_INT(open_in(&p, CLASS_PIPELINE), 3);
    CHECK_INT(open_in(&p, CLASS_POLICY), 1);
    end(&p);
}

/* The id of a dead letter is that of the receipt of the ending. */
static void test_ids(void)
{
    struct pipeline p;
    char receipt_id[UUID_TEXT + 1];
    pipeline_init(&p);
    begin(&p);
    SEND(&p, {.id = "first"});
    pipeline_settle(&p);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_HALT), "applied");
    SEND(&p, {.id = "s1"});
    pipeline_settle(&p);
    struct store_signal signal = {.tenant_id = SPAN("acme"), .entitlement_id = SPAN("ent"), .id = SPAN("s1")};
    pipeline_signal(&p, &signal);
    CHECK_INT(signal.row.outcome_count, 1);
    receipt_id_of(p.hasher, signal.partition_of_row, shard_of(SPAN("acme"), 2), signal.row.outcomes[0], receipt_id);
    CHECK_TEXT(triage_find(&p, "ent", "s1"), receipt_id);
    arena_done(&signal.req.arena);
    end(&p);
}

/* --- requeue ------------------------------------------------------------------------------------------------------ */

static void halted(struct pipeline *p)
{
    begin(p);
    SEND(p, {.id = "first"});
    pipeline_settle(p);
    CHECK_TEXT(GIVE(p, .kind = COMMAND_HALT), "applied");
    SEND(p, {.id = "s1"}, {.id = "s2"});
    pipeline_settle(p);
}

static void test_requeue(void)
{
    struct pipeline p;
    pipeline_init(&p);
    halted(&p);
    const char *first = triage_find(&p, "ent", "s1");
    CHECK_TEXT(triage_requeue(&p, "ent", "s1"), "applied"); /* it is still halted */
    pipeline_settle(&p);
    CHECK_TEXT(triage_list(&p), "policy governor_halted s2/0 halted; policy governor_halted s1/1 halted");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_REQUEUE, .deadletter = first),
               "rejected: the dead letter is not open: it was requeued or discarded, or there never was one");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    clock_manual_advance(&p.clock, INT64_C(13) * 12 * 3600 * 1000); /* never too old: it is accepted now */
    CHECK_TEXT(triage_requeue(&p, "ent", "s1"), "applied");
    CHECK_TEXT(triage_requeue(&p, "ent", "s2"), "applied");
    pipeline_settle(&p);
    CHECK_TEXT(triage_list(&p), "");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
    CHECK_INT(pipeline_totals(&p).requeued, 3);
    CHECK_INT(pipeline_count(&p, "\"type\":\"operator\""), 5);
    CHECK_INT(pipeline_count(&p, "\"command\":\"requeue\""), 3);
    CHECK_INT(pipeline_count(&p, "\"ending\":\"executed\""), 3);
    /* A copy of what was sent first is a copy still. */
    SEND(&p, {.id = "first"});
    pipeline_settle(&p);
    CHECK_INT(pipeline_totals(&p).duplicates, 1);
    end(&p);
}

/* Signals keep their line: what is requeued stands behind those that wait. */
static void test_requeue_waits(void)
{
    struct pipeline p;
    pipeline_init(&p);
    halted(&p);
    SEND(&p, {.id = "refund", .type = "tai.entitlement.refund_started"});
    pipeline_settle(&p);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    SEND(&p, {.id = "s3"});
    pipeline_settle(&p);
    CHECK_TEXT(triage_requeue(&p, "ent", "s1"), "applied");
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "waiting");
    CHECK_INT(pipeline_totals(&p).waiting, 2);
    SEND(&p, {.id = "over", .type = "tai.entitlement.refund_completed"});
    pipeline_settle(&p);
    const char *story = pipeline_story(&p, "acme", "ent");
    const char *third = strstr(story, " s3=executed"), *requeued = strstr(story, " s1=executed");
    CHECK(third && requeued && third < requeued);
    end(&p);
}

static void test_edited(void)
{
    struct pipeline p;
    pipeline_init(&p);
    halted(&p);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    const char *id = triage_find(&p, "ent", "s1");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_REQUEUE, .deadletter = id, .edited = "{\"new\":1}"), "applied");
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed"); /* under its own id, whatever the envelope says */
    CHECK_INT(pipeline_count(&p, "\"edited_sha256\":\""), 1);
    CHECK_INT(pipeline_count(&p, "\"signal\":{\"accepted_at\":1700000000000,\"type\":\"edited\"}"), 1);
    pipeline_done(&p); /* pipeline_check does not know the new bytes */
}

static void test_refused(void)
{
    struct pipeline p;
    pipeline_init(&p);
    halted(&p);
    SEND(&p, {.id = "s1", .data = "1"}, {.id = "first", .data = "2"});
    pipeline_send_raw(&p, hash_bucket(SPAN("acme"), SPAN("ent"), PIPELINE_PARTITIONS), SPAN("no frame"));
    pipeline_settle(&p);
    const char *conflict = triage_find(&p, "ent", "first");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_REQUEUE, .deadletter = conflict),
               "rejected: a further body under a known id cannot be requeued, only discarded");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_DISCARD, .deadletter = conflict, .args = "{\"reason\":\"a copy\"}"), "applied");
    CHECK(!triage_find(&p, "ent", "first"));
    CHECK_INT(pipeline_count(&p, "\"reason\":\"a copy\""), 1);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "first"), "executed"); /* the one that came first stays as it is */
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_DISCARD, .deadletter = conflict),
               "rejected: the dead letter is not open: it was requeued or discarded, or there never was one");
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_DISCARD, .deadletter = "00000000-0000-5000-8000-000000000000"),
               "rejected: the dead letter is not open: it was requeued or discarded, or there never was one");
    CHECK_TEXT(triage_requeue(&p, "ent", "s1"), "applied"); /* not the conflict of s1 */
    end(&p);
}

/* Several commands for one dead letter in one batch: the first resolves it. */
static void test_together(void)
{
    struct pipeline p;
    const char *ids[3];
    pipeline_init(&p);
    p.config.partitions = 1;
    halted(&p);
    const char *id = triage_find(&p, "ent", "s1");
    CHECK(pipeline_drain(&p));
    for (int i = 0; i < 3; i++)
        CHECK_INT(triage_add(&p, &(struct give){.kind = COMMAND_DISCARD, .deadletter = id}, &ids[i]), 0);
    pipeline_start(&p);
    pipeline_settle(&p);
    pipeline_linger(&p, 50);
    CHECK_TEXT(triage_status(&p, ids[0]), "applied");
    CHECK(strncmp(triage_status(&p, ids[1]), "rejected", 8) == 0);
    CHECK(strncmp(triage_status(&p, ids[2]), "rejected", 8) == 0);
    CHECK_INT(pipeline_count(&p, "\"command\":\"discard\""), 1);
    CHECK_INT(open_in(&p, CLASS_POLICY), 1);
    end(&p);
}

/* The worker dies at each request of a requeue, before and after it was done: it happens once. */
static void test_deaths(void)
{
    static const enum store_op ops[] = {OP_COMMANDS, OP_LOOKUP, OP_COMMIT};
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < 3; i++) {
            struct pipeline p;
            const char *id;
            pipeline_init(&p);
            p.sqlite_queue = true;
            halted(&p);
            CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
            pipeline_settle(&p);
            faulty_set(p.faulty, ops[i], (struct faulty_fault){after ? FAULT_MUTE : FAULT_HOLD, .repeat = 1});
            struct give give = {.kind = COMMAND_REQUEUE, .deadletter = triage_find(&p, "ent", "s1")};
            CHECK_INT(triage_add(&p, &give, &id), 0);
            while (!faulty_held(p.faulty))
                pipeline_turn(&p);
            pipeline_restart(&p);
            pipeline_settle(&p);
            pipeline_linger(&p, 50);
            CHECK_TEXT(triage_status(&p, id), "applied");
            CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s1"), "executed");
            CHECK_INT(pipeline_totals(&p).requeued, 1);
            CHECK_INT(pipeline_count(&p, "\"command\":\"requeue\""), 1);
            CHECK_TEXT(triage_list(&p), "policy governor_halted s2/0 halted");
            pipeline_done(&p);
        }
    }
}

/* --- too many ------------------------------------------------------------------------------------------------------
 */

static double metric(struct pipeline *p, const char *line)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    metrics_write(p->metrics, METRICS_TEXT, &out);
    const char *at = strstr(buf_cstr(&out), line);
    double value = at ? strtod(at + strlen(line), NULL) : -1;
    buf_done(&out);
    return value;
}

/* Nothing is dropped: frames stay in the queue until there is room; commands are what makes it. */
static void test_full(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.sqlite_queue = true;
    p.config.deadletters_max = 4;
    halted(&p);
    SEND(&p, {.id = "s3"}, {.id = "s4"}, {.id = "s5"});
    pipeline_settle(&p);
    CHECK_INT(open_in(&p, CLASS_POLICY), 5); /* a frame that was begun is finished */
    SEND(&p, {.id = "s6"});
    SEND(&p, {.id = "t1", .entitlement = "other"});
    pipeline_linger(&p, 100);
    CHECK_INT(kanban_depth(p.publisher), 2);
    CHECK_INT(metric(&p, "\ntai_deadletters_full "), 1);
    CHECK_INT(metric(&p, "\ntai_deadletters_predicted_full_seconds "), 0);
    CHECK_INT(metric(&p, "\ntai_deadletters_open{class=\"policy\"} "), 5);
    pipeline_restart(&p);
    pipeline_linger(&p, 100);
    CHECK_INT(kanban_depth(p.publisher), 2);
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_DISCARD, .deadletter = triage_find(&p, "ent", "s1")), "applied");
    pipeline_linger(&p, 100);
    CHECK_INT(kanban_depth(p.publisher), 2); /* still four */
    CHECK_TEXT(GIVE(&p, .kind = COMMAND_RESUME), "applied");
    CHECK_TEXT(triage_requeue(&p, "ent", "s2"), "applied");
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", "ent", "s6"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", "other", "t1"), "executed");
    CHECK_INT(metric(&p, "\ntai_deadletters_full "), 0);
    CHECK_INT(metric(&p, "\ntai_deadletters_open{class=\"policy\"} "), 3);
    end(&p);
}

static void test_forecast(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.deadletters_max = 1000;
    halted(&p);
    CHECK_INT(metric(&p, "\ntai_deadletters_predicted_full_seconds "), -1); /* absent */
    for (int i = 0; i < 60; i++) {
        char id[16];
        snprintf(id, sizeof(id), "n%d", i);
        SEND(&p, {.id = id});
        pipeline_settle(&p);
        pipeline_advance(&p, 20000); /* a heartbeat each */
    }
    double seconds = metric(&p, "\ntai_deadletters_predicted_full_seconds ");
    CHECK(seconds > 0.8 * 940 * 20 && seconds < 1.3 * 940 * 20); /* one in 20 s */
    CHECK_INT(metric(&p, "\ntai_conservation_balance "), 0);
    CHECK_INT(metric(&p, "\ntai_conservation_gap_signals "), 0);
    end(&p);
}

int main(void)
{
    static const struct check_case cases[] = {{"reasons", test_reasons},
                                              {"ids", test_ids},
                                              {"requeue", test_requeue},
                                              {"requeue_waits", test_requeue_waits},
                                              {"edited", test_edited},
                                              {"refused", test_refused},
                                              {"together", test_together},
                                              {"deaths", test_deaths},
                                              {"full", test_full},
                                              {"forecast", test_forecast},
                                              {NULL, NULL}};
    return check_main(cases);
}
