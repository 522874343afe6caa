/* A signal that ends its worker, as far as one process can show it: a commit that is never answered, and a restart. The
 * real thing is tests/integration/poison.py. */
#include "jidoka/worker.h"
#include "support/check.h"
#include "support/triage.h"

#include <errno.h>

enum { PARTITIONS = 2 };

static void begin(struct pipeline *p)
{
    p->sqlite_queue = true;
    p->config.partitions = PARTITIONS;
    pipeline_open(p);
    pipeline_start(p);
    pipeline_settle(p);
    for (int i = 0; i < 2; i++) { /* crashes in a row: from now on one signal a transaction */
        pipeline_restart(p);
        pipeline_settle(p);
    }
    CHECK_INT(p->worker->partitions[0].crashes, 2);
}

static void end(struct pipeline *p)
{
    CHECK(pipeline_check(p));
    pipeline_done(p);
}

/* Dies with the commit that comes after `commits` others. */
static void die_after(struct pipeline *p, unsigned commits)
{
    faulty_set(p->faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = commits, .repeat = 1});
    while (!faulty_held(p->faulty))
        pipeline_turn(p);
    pipeline_restart(p);
}

/* The n-th commit from here is answered so; waits until the partition is owned again. */
static void answer_commit(struct pipeline *p, enum faulty_kind kind, unsigned countdown, int status)
{
    unsigned seen = faulty_seen(p->faulty, OP_COMMIT);
    faulty_set(p->faulty, OP_COMMIT,
               (struct faulty_fault){kind, .countdown = countdown, .repeat = 1, .status = status});
    while (faulty_seen(p->faulty, OP_COMMIT) <= seen + countdown)
        pipeline_turn(p);
}

/* Entitlements of one partition, and one of the other. */
static const char *entitlement_in(uint32_t partition)
{
    static const char *const names[] = {"ent", "other", "third", "fourth", "fifth"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (hash_bucket(SPAN("acme"), span_of(names[i]), PARTITIONS) == partition)
            return names[i];
    return NULL;
}

static void test_alone(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0), *there = entitlement_in(1);
    SEND(&p, {.id = "a", .entitlement = here}, {.id = "poison", .entitlement = here}, {.id = "b", .entitlement = here});
    die_after(&p, 3); /* an attempt at a, a; an attempt at poison, and its end */
    SEND(&p, {.id = "q", .entitlement = there}, {.id = "r", .entitlement = there});
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", here, "poison"), "executed"); /* once is no proof */
    CHECK_TEXT(triage_list(&p), "");
    end(&p);
}

/* Each time it comes to its end the worker dies; after the second it is put aside, and nothing else is. */
static void test_twice(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0);
    SEND(&p, {.id = "a", .entitlement = here}, {.id = "poison", .entitlement = here}, {.id = "b", .entitlement = here});
    die_after(&p, 3);
    die_after(&p, 2); /* a is known, another attempt at poison, and its end */
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", here, "a"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", here, "poison"), "deadlettered poison");
    CHECK_TEXT(pipeline_row(&p, "acme", here, "b"), "executed");
    CHECK_TEXT(triage_list(&p), "poison poison poison/0 active");
    CHECK(pipeline_check(&p));

    /* Requeued it does so again: the command that runs it is not what the worker dies of for ever. */
    const char *id;
    struct give give = {.kind = COMMAND_REQUEUE, .entitlement = here, .deadletter = triage_find(&p, here, "poison")};
    CHECK_INT(triage_add(&p, &give, &id), 0);
    die_after(&p, 1);
    die_after(&p, 1);
    pipeline_settle(&p);
    pipeline_linger(&p, 50);
    CHECK_TEXT(triage_status(&p, id), "applied");
    CHECK_TEXT(triage_list(&p), "poison poison poison/1 active");
    pipeline_done(&p);
}

/* The suspects of several partitions are tried one at a time, so that each crash has one author. */
static void test_neighbours(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0), *there = entitlement_in(1);
    SEND(&p, {.id = "poison", .entitlement = here});
    SEND(&p, {.id = "q", .entitlement = there});
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = 2, .repeat = 2});
    while (faulty_held(p.faulty) < 2) /* both attempts are begun, neither end is committed */
        pipeline_turn(&p);
    pipeline_restart(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = 1, .repeat = 2});
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    pipeline_linger(&p, 50);
    CHECK_INT(faulty_held(p.faulty), 1); /* the other one waits */
    pipeline_restart(&p);
    pipeline_settle(&p);
    bool first = strcmp(pipeline_row(&p, "acme", here, "poison"), "deadlettered poison") == 0;
    CHECK_TEXT(pipeline_row(&p, "acme", here, "poison"), first ? "deadlettered poison" : "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", there, "q"), first ? "executed" : "deadlettered poison");
    end(&p);
}

/* A suspect's second attempt, alone, has its reply lost; tried again it is refused, and the partition is dropped. The
 * worker dies next of the other suspect, which had to wait until the attempt was withdrawn. */
static void test_reply_lost(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0), *there = entitlement_in(1);
    SEND(&p, {.id = "a", .entitlement = here});
    SEND(&p, {.id = "q", .entitlement = there});
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = 2, .repeat = 2});
    while (faulty_held(p.faulty) < 2) /* both attempts are begun, neither end is committed */
        pipeline_turn(&p);
    pipeline_restart(&p);
    answer_commit(&p, FAULT_AFTER, 0, -EIO);
    die_after(&p, 2); /* the attempt again, refused; the other's attempt, and its end */
    pipeline_settle(&p);
    bool first = strcmp(pipeline_row(&p, "acme", here, "a"), "executed") == 0;
    CHECK_TEXT(pipeline_row(&p, "acme", here, "a"), first ? "executed" : "deadlettered poison");
    CHECK_TEXT(pipeline_row(&p, "acme", there, "q"), first ? "deadlettered poison" : "executed");
    end(&p);
}

/* Waiting rows released one by one are attempts as well. */
static void test_released(void)
{
    struct pipeline p;
    pipeline_init(&p);
    p.config.governor.auto_activate = false;
    begin(&p);
    const char *here = entitlement_in(0);
    SEND(&p, {.id = "a", .entitlement = here}, {.id = "poison", .entitlement = here}, {.id = "b", .entitlement = here});
    pipeline_settle(&p);
    SEND(&p, {.id = "act", .entitlement = here, .type = "tai.entitlement.activated"});
    die_after(&p, 5); /* an attempt at the event, the event; a; an attempt at poison, and its end */
    die_after(&p, 1);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", here, "a"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", here, "poison"), "deadlettered poison");
    CHECK_TEXT(pipeline_row(&p, "acme", here, "b"), "executed");
    CHECK_INT(pipeline_totals(&p).waiting, 0);
    end(&p);
}

/* A worker that lives on has not died of what it had begun: neither a commit that is refused, nor one whose reply was
 * lost, nor a lease that was given back in between counts. */
static void test_innocent(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0);
    SEND(&p, {.id = "a", .entitlement = here}, {.id = "b", .entitlement = here});
    for (int i = 0; i < 3; i++)
        answer_commit(&p, FAULT_BEFORE, 1, -EINVAL); /* an attempt at a; its end is refused */
    for (int i = 0; i < 3; i++)
        answer_commit(&p, FAULT_AFTER, 0, -EIO); /* an attempt at a, done, but said not to be */
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .countdown = 1, .repeat = 1});
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    faulty_release(p.faulty);
    CHECK(pipeline_drain(&p));
    pipeline_start(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", here, "a"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", here, "b"), "executed");
    CHECK_TEXT(triage_list(&p), "");
    end(&p);
}

/* What is worked off without a crash for a second has recovered: whole batches again. */
static void test_recovered(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    pipeline_advance(&p, 999);
    CHECK_INT(p.worker->partitions[0].crashes, 2);
    pipeline_advance(&p, 2000);
    pipeline_linger(&p, 50);
    CHECK_INT(p.worker->partitions[0].crashes, 0);
    CHECK_INT(p.worker->partitions[1].crashes, 0);
    pipeline_restart(&p);
    pipeline_settle(&p);
    CHECK_INT(p.worker->partitions[0].crashes, 1);
    end(&p);
}

/* The worker leaves while a suspect waits to be alone. false: the two suspects did not meet this time. */
static bool leave_while_parked(void)
{
    struct pipeline p;
    pipeline_init(&p);
    begin(&p);
    const char *here = entitlement_in(0), *there = entitlement_in(1);
    const struct faulty_fault after_attempt = {FAULT_HOLD, .countdown = 1, .repeat = 1};
    SEND(&p, {.id = "a", .entitlement = here});
    faulty_set(p.faulty, OP_COMMIT, after_attempt);
    while (faulty_held(p.faulty) < 1)
        pipeline_turn(&p);
    SEND(&p, {.id = "q", .entitlement = there});
    faulty_set(p.faulty, OP_COMMIT, after_attempt);
    while (faulty_held(p.faulty) < 2)
        pipeline_turn(&p);
    pipeline_restart(&p);
    faulty_set(p.faulty, OP_COMMIT, (struct faulty_fault){FAULT_HOLD, .repeat = 1});
    while (!faulty_held(p.faulty))
        pipeline_turn(&p);
    bool parked = false;
    for (int i = 0; i < 30 && !parked; i++) {
        pipeline_linger(&p, 10);
        parked = p.worker->partitions[0].parked || p.worker->partitions[1].parked;
    }
    faulty_release(p.faulty);
    CHECK(pipeline_drain(&p));
    pipeline_start(&p);
    pipeline_settle(&p);
    CHECK_TEXT(pipeline_row(&p, "acme", here, "a"), "executed");
    CHECK_TEXT(pipeline_row(&p, "acme", there, "q"), "executed");
    end(&p);
    return parked;
}

static void test_leaves_while_parked(void)
{
    bool parked = false;
    for (int i = 0; i < 20 && !parked; i++)
        parked = leave_while_parked();
    CHECK(parked);
}

int main(void)
{
    static const struct check_case cases[] = {{"alone", test_alone},
                                              {"twice", test_twice},
                                              {"neighbours", test_neighbours},
                                              {"released", test_released},
                                              {"innocent", test_innocent},
                                              {"reply_lost", test_reply_lost},
                                              {"recovered", test_recovered},
                                              {"leaves_while_parked", test_leaves_while_parked},
                                              {NULL, NULL}};
    return check_main(cases);
}
