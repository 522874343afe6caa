/* Random signals, events, copies, failing actions, store faults, clock jumps and restarts over fifty governors; then
 * everything must have ended as the invariants say, and in order. `jidoka_soak_test SEED [SIGNALS]` replays one run. */
#include "common/json/json.h"
#include "jidoka/worker.h"
#include "support/check.h"
#include "support/pipeline.h"

#include <errno.h>
#include <stdlib.h>

enum { GOVERNORS = 50, TENANTS = 7, SENT_MAX = 20000 };

struct soak {
    struct pipeline p;
    uint64_t random;
    unsigned sequence, events;
    struct {
        uint16_t governor;
        uint8_t body;
    } sent[SENT_MAX];
    unsigned restarts, faults;
};

static unsigned draw(struct soak *soak, unsigned below)
{
    soak->random = soak->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(soak->random >> 33) % below;
}

static void configure(struct soak *soak)
{
    struct jidoka_config *config = &soak->p.config;
    pipeline_init(&soak->p);
    soak->p.sqlite_queue = draw(soak, 2);
    config->partitions = 1 + draw(soak, 4);
    config->shards = 1 + draw(soak, 3);
    config->prefetch = 1 + draw(soak, 20);
    config->governor.auto_activate = draw(soak, 2);
    config->governor.quota_limit = draw(soak, 2) ? 20 + (int64_t)draw(soak, 60) : -1;
    config->governor.quota_period = CONFIG_PERIOD_HOUR;
    config->governor.max_waiting = 20 + draw(soak, 200);
    config->governor.max_failures = 1 + draw(soak, 4);
    config->max_waiting = 100 + draw(soak, 1000);
    config->governors_max = GOVERNORS - draw(soak, 4);
    soak->p.action_config.timeout_ms = 3;
    soak->p.action_config.retries = draw(soak, 2);
    soak->p.action_config.concurrency = 1 + draw(soak, 5);
    soak->p.action.random_percent = draw(soak, 40);
    soak->p.action.random = soak->random;
}

/* --- what happens ---------------------------------------------------------------------------------------------------
 */

struct texts {
    char id[16], tenant[16], entitlement[16], data[48];
};

static struct send name_signal(struct texts *texts, unsigned sequence, unsigned governor, unsigned body)
{
    snprintf(texts->id, sizeof(texts->id), "s%u", sequence);
    snprintf(texts->tenant, sizeof(texts->tenant), "t%u", governor % TENANTS);
    snprintf(texts->entitlement, sizeof(texts->entitlement), "e%u", governor);
    if (body % 3 == 0)
        snprintf(texts->data, sizeof(texts->data), "{\"cost\":%u}", 1 + body);
    else
        snprintf(texts->data, sizeof(texts->data), "%u", body);
    return (struct send){
        .id = texts->id, .tenant = texts->tenant, .entitlement = texts->entitlement, .data = texts->data};
}

static struct send any_signal(struct soak *soak, struct texts *texts)
{
    bool copy = soak->sequence && draw(soak, 10) == 0;
    unsigned sequence = copy ? draw(soak, soak->sequence) : soak->sequence++;
    if (!copy) {
        soak->sent[sequence].governor = (uint16_t)draw(soak, GOVERNORS);
        soak->sent[sequence].body = (uint8_t)draw(soak, 6);
    }
    unsigned body = soak->sent[sequence].body;
    if (copy && draw(soak, 3) == 0)
        body += 1 + draw(soak, 3); /* another body under the same identity */
    struct send send = name_signal(texts, sequence, soak->sent[sequence].governor, body);
    send.critical = sequence % 11 == 0;
    return send;
}

static struct send any_event(struct soak *soak, struct texts *texts)
{
    static const char *const types[] = {"tai.entitlement.activated",        "tai.entitlement.activated",
                                        "tai.entitlement.activated",        "tai.entitlement.suspended",
                                        "tai.entitlement.cancelled",        "tai.entitlement.refund_started",
                                        "tai.entitlement.refund_completed", "tai.entitlement.refund_completed"};
    struct send send = name_signal(texts, soak->events++, draw(soak, GOVERNORS), 1);
    texts->id[0] = 'e';
    if (draw(soak, 3) == 0)
        snprintf(texts->data, sizeof(texts->data), "{\"quota_limit\":%u}", draw(soak, 90));
    send.type = types[draw(soak, 8)];
    send.time_ms = soak->p.clock.wall_ms - (int64_t)draw(soak, 2000);
    send.powerless = draw(soak, 20) == 0;
    return send;
}

static void send_some(struct soak *soak)
{
    struct texts texts[40];
    struct send sends[40];
    unsigned count = draw(soak, 6) ? 1 + draw(soak, 8) : 1 + draw(soak, 40);
    for (unsigned i = 0; i < count; i++) {
        if (draw(soak, 12) == 0)
            sends[i] = any_event(soak, &texts[i]);
        else
            sends[i] = any_signal(soak, &texts[i]);
    }
    pipeline_send(&soak->p, sends, count);
}

static void break_something(struct soak *soak)
{
    static const int statuses[] = {-EIO, -ENOSPC};
    enum store_op op = draw(soak, OP_OF_JIDOKA);
    struct faulty_fault fault = {FAULT_BEFORE, draw(soak, 5), 1 + draw(soak, 3), statuses[draw(soak, 2)]};
    if (op == OP_COMMIT && draw(soak, 2))
        fault.kind = FAULT_AFTER;
    if (op == OP_LEASE)
        fault.repeat = 1;
    soak->faults++;
    faulty_set(soak->p.faulty, op, fault);
}

static void restart(struct soak *soak)
{
    soak->restarts++;
    if (draw(soak, 3) == 0) {
        for (unsigned i = 0; i < OP_OF_JIDOKA; i++)
            faulty_set(soak->p.faulty, i, (struct faulty_fault){0});
        CHECK(pipeline_drain(&soak->p));
    }
    pipeline_restart(&soak->p);
}

static void happen(struct soak *soak)
{
    unsigned what = draw(soak, 100);
    if (what < 70)
        send_some(soak);
    else if (what < 78)
        clock_manual_advance(&soak->p.clock, 1 + draw(soak, 20000));
    else if (what < 79)
        clock_manual_advance(&soak->p.clock, 3600000);
    else if (what < 83)
        break_something(soak);
    else if (what < 85)
        restart(soak);
    for (unsigned turns = draw(soak, 8); turns > 0; turns--)
        pipeline_turn(&soak->p);
}

/* --- afterwards -----------------------------------------------------------------------------------------------------
 */

struct ordering {
    struct json_doc doc;
    struct buf scratch;
    unsigned last[GOVERNORS];
    unsigned decided;
};

/* Signals of one governor are decided in the order they were published, unless their wait was given up or there was no
 * room to wait. */
static void check_order(void *ctx, uint32_t shard, const struct outcome *outcome)
{
    struct ordering *o = ctx;
    (void)shard;
    CHECK_INT(json_parse(&o->doc, outcome->text, NULL), 0);
    struct span id = json_text(&o->doc, json_get(&o->doc, o->doc.nodes, "signal_id"), &o->scratch);
    struct span type = json_text(&o->doc, json_get(&o->doc, o->doc.nodes, "type"), &o->scratch);
    struct span reason = json_text(&o->doc, json_get(&o->doc, o->doc.nodes, "reason"), &o->scratch);
    struct span entitlement = json_text(&o->doc, json_get(&o->doc, o->doc.nodes, "entitlement_id"), &o->scratch);
    bool result = json_get(&o->doc, o->doc.nodes, "action_id") && !span_is(type, "action_intent");
    if (!id.len || id.ptr[0] != 's' || result || span_is(reason, "id_conflict") || span_is(reason, "overflow") ||
        span_is(reason, "wait_expired"))
        return;
    unsigned sequence = (unsigned)strtoul(id.ptr + 1, NULL, 10) + 1;
    unsigned governor = (unsigned)strtoul(entitlement.ptr + 1, NULL, 10);
    if (sequence <= o->last[governor])
        fprintf(stderr, "s%u of e%u was decided behind s%u\n", sequence - 1, governor, o->last[governor] - 1);
    CHECK(sequence > o->last[governor]);
    o->last[governor] = sequence;
    o->decided++;
}

static void finish(struct soak *soak)
{
    struct pipeline *p = &soak->p;
    for (unsigned i = 0; i < OP_OF_JIDOKA; i++)
        faulty_set(p->faulty, i, (struct faulty_fault){0});
    pipeline_settle(p);
    CHECK(pipeline_check(p));
    pipeline_restart(p);
    pipeline_settle(p);
    CHECK(pipeline_check(p));
    clock_manual_advance(&p->clock, INT64_C(25) * 3600 * 1000);
    pipeline_settle(p);
    CHECK(pipeline_check(p));
    struct store_totals totals = pipeline_totals(p);
    CHECK_INT(totals.acting, 0);
    CHECK_INT(totals.waiting, 0);
    struct ordering ordering = {0};
    json_init(&ordering.doc);
    buf_init(&ordering.scratch, 1 << 16);
    pipeline_outcomes(p, check_order, &ordering);
    json_done(&ordering.doc);
    buf_done(&ordering.scratch);
    printf("# %llu taken, %llu ended, %llu duplicates, %u decided in order, %u attempts, %u restarts, %u faults\n",
           (unsigned long long)totals.taken, (unsigned long long)totals.ended, (unsigned long long)totals.duplicates,
           ordering.decided, p->action.started, soak->restarts, soak->faults);
}

static void run(uint64_t seed, unsigned signals)
{
    struct soak *soak = xcalloc(1, sizeof(*soak));
    int before = atomic_load(&check_failures);
    soak->random = seed * 2654435761u + 1;
    configure(soak);
    pipeline_open(&soak->p);
    pipeline_start(&soak->p);
    while (soak->sequence < signals)
        happen(soak);
    finish(soak);
    pipeline_done(&soak->p);
    free(soak);
    if (atomic_load(&check_failures) != before)
        fprintf(stderr, "replay: jidoka_soak_test %llu %u\n", (unsigned long long)seed, signals);
}

static void test_soak(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        run(seed, 2000);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {{"soak", test_soak}, {NULL, NULL}};
    if (argc < 2)
        return check_main(cases);
    unsigned signals = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    run(strtoull(argv[1], NULL, 10), signals < SENT_MAX / 2 ? signals : SENT_MAX / 2);
    return atomic_load(&check_failures) ? 1 : 0;
}
