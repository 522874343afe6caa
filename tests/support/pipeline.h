/* Frames in, outcomes out: a worker over a SQLite store in a directory of its own, a queue, a clock moved by hand, and
 * what tests ask about all that. The calling thread runs the loop; the database has its own.
 *
 *   pipeline_init → change config → pipeline_open → pipeline_start → send, settle, look → pipeline_done
 *
 * What cannot be done at all (no disk, no answer within a minute) aborts with a message. */
#ifndef TAI_TESTS_SUPPORT_PIPELINE_H
#define TAI_TESTS_SUPPORT_PIPELINE_H

#include "common/db/db.h"
#include "jidoka/jidoka.h"
#include "support/failing_action.h"
#include "support/faulty_store.h"

enum { PIPELINE_PARTITIONS = 4, PIPELINE_WAIT_MS = 60000 };

struct sent_identity; /* what was published: pipeline_check expects an end or an open row for each */

struct pipeline {
    char dir[48], path[64];
    bool sqlite_queue; /* set before pipeline_open; else in memory */
    struct event_base *base;
    struct clock_manual clock;
    void (*random)(void *ret, size_t len);
    struct log log;
    struct metrics *metrics;
    struct db *db;
    struct store_backend *sqlite;
    struct faulty_store *faulty; /* what workers use */
    struct kanban_backend *queue;
    struct kanban *publisher;
    struct store *reader;
    struct jidoka_config config;
    struct action_config action_config;
    struct policy_config policy; /* cost_governance, budget 0: what has a cost needs the action */
    struct failing_action action;
    const struct action_type *const *actions; /* the scripted one unless set otherwise */
    struct jidoka *worker;
    struct hasher *hasher;
    struct sent_identity *sent;
    uint64_t published;                  /* signals, copies included */
    unsigned starts;                     /* names workers */
    void (*on_turn)(struct pipeline *p); /* called between turns of the loop, or NULL */
    struct arena arena;                  /* of answers handed out */
};

/* A signal to publish; what is not set gets a default (tenant "acme", entitlement "ent", type "usage", data null). */
struct send {
    const char *id, *tenant, *entitlement, *type, *data;
    bool critical;
    bool powerless; /* the sender may send no events */
    int64_t age_ms; /* accepted so long ago */
    int64_t time_ms;
    uint32_t redrive;
};

/* pipeline.c: life */
void pipeline_init(struct pipeline *p);
void pipeline_open(struct pipeline *p);
void pipeline_start(struct pipeline *p); /* p->worker, with a name of its own */
void pipeline_kill(struct pipeline *p);  /* p->worker is gone; what was under way is not answered */
bool pipeline_drain(struct pipeline *p); /* p->worker is drained and gone; false: not within a minute */
struct jidoka *pipeline_worker(struct pipeline *p, const char *name, int64_t ttl_ms); /* another; jidoka_free */
void pipeline_restart(struct pipeline *p); /* kills the worker, closes and opens the files, starts again */
/* An on_turn: restarts once, some turns after a request got stuck (FAULT_HOLD, FAULT_MUTE), so that what else can go on
 * does. */
void pipeline_die_when_stuck(struct pipeline *p);
void pipeline_done(struct pipeline *p); /* closes and removes everything */

/* pipeline_run.c: doing */
void pipeline_send(struct pipeline *p, const struct send *signals, size_t count); /* in frames as large as may be */
#define SEND(p, ...)                                                                                                   \
    pipeline_send((p), (const struct send[]){__VA_ARGS__},                                                             \
                  sizeof((const struct send[]){__VA_ARGS__}) / sizeof(struct send))
void pipeline_send_raw(struct pipeline *p, uint32_t partition, struct span bytes); /* a frame as it stands */
void pipeline_turn(struct pipeline *p);                                            /* a tick and a turn of the loop */
/* Runs the loop until the condition holds; false after PIPELINE_WAIT_MS. */
bool pipeline_until(struct pipeline *p, bool (*condition)(const struct pipeline *p));
void pipeline_linger(struct pipeline *p, int64_t ms);  /* turns for so long */
bool pipeline_calm(const struct pipeline *p);          /* nothing is queued or under way but actions */
bool pipeline_settled(const struct pipeline *p);       /* nor actions */
void pipeline_settle(struct pipeline *p);              /* until settled, or abort */
void pipeline_advance(struct pipeline *p, int64_t ms); /* the clock, then until calm */

/* pipeline_read.c: looking (p->arena owns texts) */
struct store_totals pipeline_totals(struct pipeline *p);
/* Calls each(ctx, outcome) for all outcomes, those of a partition and shard in order. */
void pipeline_outcomes(struct pipeline *p, void (*each)(void *ctx, uint32_t shard, const struct outcome *outcome),
                       void *ctx);
size_t pipeline_count(struct pipeline *p, const char *part); /* outcomes whose text contains part */
/* "type reason signal=ending before>after; …" of a governor, in order. */
const char *pipeline_story(struct pipeline *p, const char *tenant, const char *entitlement);
/* "status reason" of a signal's row; "" without one. */
const char *pipeline_row(struct pipeline *p, const char *tenant, const char *entitlement, const char *id);
/* The record (governor_record_done), or false. */
bool pipeline_governor(struct pipeline *p, const char *tenant, const char *entitlement, struct governor_record *ret);
void pipeline_lookup(struct pipeline *p, struct store_lookup *lookup);
void pipeline_signal(struct pipeline *p, struct store_signal *signal);
/* "first-last/confirmed; …" of the sequences taken in a partition, boot after boot, in order. */
const char *pipeline_intake(struct pipeline *p, uint32_t partition);

/* pipeline_check.c: what must hold whenever nothing is under way: counters conserve, outcomes are numbered without gaps
 * and canonical, each identity sent has exactly one ending or an open row that says so, its row names its outcomes, a
 * governor is the fold of its outcomes. Prints what does not hold. */
bool pipeline_check(struct pipeline *p);
void pipeline_sent(struct pipeline *p, const struct signal *signal);
void pipeline_sent_free(struct pipeline *p);

#endif
