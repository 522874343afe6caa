/* Finding the signal that ends its worker. From the second crash in a row a transaction is one signal, and an attempt
 * at it is committed before it is stepped; the commit that carries it out finishes the attempt. After a crash whatever
 * was begun and not finished is suspected. A suspect's second attempt is made alone, with nothing else under way in
 * this process: so two unfinished attempts mean that this very signal did it, and it is dead-lettered instead of tried
 * again.
 *
 * Waiting to be alone: the batch is parked. Other partitions finish what they have begun and begin nothing; when all of
 * them rest, the attempt goes on, and when its batch is over all of them run again. If its partition is dropped
 * instead, they rest until the lease is given back, which withdraws the attempt: till then it would count against the
 * suspect. */
#include "jidoka/worker.h"

#include <errno.h>

enum { SINGLE_CRASHES = 2, UNFINISHED_MAX = 2 };

struct attempt {
    struct store_commit commit;
    struct identity identity;
    void (*go_on)(struct batch *batch);
};

void attempt_done(struct batch *batch)
{
    if (batch->attempt)
        arena_done(&batch->attempt->commit.req.arena);
}

bool attempts_single(const struct partition *p)
{
    return p->crashes >= SINGLE_CRASHES;
}

/* An action that was under way each time the worker died, as often as it may be tried at all. */
bool attempts_exhausted(const struct partition *p, const struct governor_pending *pending)
{
    const struct jidoka_config *config = p->jidoka->config;
    if (!attempts_single(p))
        return false;
    for (size_t i = 0; i < config->actions_count; i++)
        if (strcmp(config->actions[i].name, pending->action) == 0)
            return pending->attempt > config->actions[i].retries;
    return false;
}

/* --- the attempt's own commit ------------------------------------------------------------------------------------- */

static void commit_attempt(struct batch *batch);

static void on_attempt(struct store_request *request, int status)
{
    struct batch *batch = request->ctx;
    struct partition *p = batch->partition;
    if (status < 0) {
        batch_commit_failed(request, status, commit_attempt);
        return;
    }
    p->batch_number++;
    p->written_us = jidoka_mono_us(p->jidoka);
    if (p->leaving)
        partition_drop(p);
    else
        batch->attempt->go_on(batch);
}

static void commit_attempt(struct batch *batch)
{
    struct partition *p = batch->partition;
    struct store_commit *commit = &batch->attempt->commit;
    *commit = (struct store_commit){.req = {.done = on_attempt, .ctx = batch, .arena = commit->req.arena},
                                    .partition = p->id,
                                    .epoch = p->epoch,
                                    .batch = p->batch_number,
                                    .clock_ms = batch->now.clock_ms,
                                    .wall = p->wall,
                                    .next_line = p->next_line,
                                    .attempt_begins = &batch->attempt->identity};
    store_commit(p->jidoka->store, commit);
}

/* --- being alone -------------------------------------------------------------------------------------------------- */

static bool others_rest(const struct partition *p)
{
    const struct jidoka *jidoka = p->jidoka;
    for (int64_t i = 0; i < jidoka->config->partitions; i++) {
        const struct partition *other = &jidoka->partitions[i];
        if (other != p && other->batch && !other->parked)
            return false;
    }
    return true;
}

/* The next that is parked is let alone, once it is. */
static void turn(struct jidoka *jidoka)
{
    for (int64_t i = 0; i < jidoka->config->partitions && !jidoka->alone; i++)
        if (jidoka->partitions[i].parked)
            jidoka->alone = &jidoka->partitions[i];
    struct partition *p = jidoka->alone;
    if (!p || !p->parked || !others_rest(p))
        return;
    p->parked = false;
    commit_attempt(p->batch);
}

bool attempts_hold(struct partition *p)
{
    struct jidoka *jidoka = p->jidoka;
    if (!jidoka->alone)
        return false;
    turn(jidoka);
    return jidoka->alone != p;
}

void attempts_left(struct partition *p)
{
    struct jidoka *jidoka = p->jidoka;
    bool was_alone = jidoka->alone == p;
    p->parked = false;
    if (was_alone)
        jidoka->alone = NULL;
    if (jidoka->stopping)
        return;
    turn(jidoka);
    for (int64_t i = 0; was_alone && i < jidoka->config->partitions; i++)
        event_active(jidoka->partitions[i].ready, EV_TIMEOUT, 0);
}

void attempts_dropped(struct partition *p)
{
    if (p->jidoka->alone == p && !p->parked)
        p->giving = true;
    else
        attempts_left(p);
}

void attempts_withdrawn(struct partition *p)
{
    if (p->jidoka->alone != p)
        return;
    p->jidoka->dropped = true; /* so that it is owned again soon */
    attempts_left(p);
}

void attempt_guard(struct batch *batch, const struct identity *identity, uint32_t attempts,
                   void (*go_on)(struct batch *batch))
{
    struct partition *p = batch->partition;
    batch->attempt = arena_alloc(&batch->arena, sizeof(*batch->attempt));
    *batch->attempt = (struct attempt){.identity = *identity, .go_on = go_on};
    batch->commit.attempt_finishes = &batch->attempt->identity;
    if (attempts >= UNFINISHED_MAX) {
        log_event(p->jidoka->options.log, LOG_ERROR, "poison", LOG_I("partition", p->id),
                  LOG_B("tenant_id", identity->tenant_id), LOG_B("entitlement_id", identity->entitlement_id),
                  LOG_B("signal_id", identity->id));
        batch->poison = true;
        go_on(batch);
    } else if (attempts == 0) {
        commit_attempt(batch);
    } else {
        p->parked = true;
        turn(p->jidoka);
    }
}
