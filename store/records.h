/* Plain records that layers and the store exchange. Texts read from the store live in the request's arena. */
#ifndef TAI_STORE_RECORDS_H
#define TAI_STORE_RECORDS_H

#include "common/hash.h"
#include "common/span.h"

#include <stdint.h>

/* The identity of a signal. */
struct identity {
    struct span tenant_id;
    struct span entitlement_id;
    struct span id;
    uint32_t redrive;
};

enum signal_status {
    SIGNAL_WAITING,
    SIGNAL_ACTING,
    SIGNAL_EXECUTED, /* from here on: endings */
    SIGNAL_FAILED,
    SIGNAL_DENIED,
    SIGNAL_REFUSED,
    SIGNAL_DEADLETTERED,
    SIGNAL_STATUS_COUNT
};
extern const char *const signal_status_names[SIGNAL_STATUS_COUNT];

/* One outcome's number: with partition and shard it names one receipt. */
enum { SIGNAL_OUTCOMES_MAX = 8 };

/* Reason of a waiting row that is tried again at due_ms: what its action calls could not take it. */
#define WAITING_DEFERRED "deferred"

/* A signal row. `conflict` rows are further bodies under an identity that exists: keyed by the hash as well. */
struct signal_row {
    struct identity identity;
    bool conflict;
    uint8_t sha256[SHA256_SIZE];
    enum signal_status status;
    struct span reason;     /* of its status, empty if none */
    int64_t accepted_at_ms; /* wall */
    int64_t changed_at_ms;  /* wall, of the last status */
    uint64_t line;          /* order among the partition's waiting rows, from 1; kept while waiting or acting */
    int64_t since_ms;       /* partition clock, of the last status; set by the store */
    int64_t due_ms;         /* partition clock at which a waiting row expires or may be tried again; 0: none */
    uint32_t deferrals;     /* waiting: how often it was deferred; the reason is WAITING_DEFERRED while it is */
    /* Kept while waiting or acting and when deadlettered or failed; empty otherwise. envelope: as in the frame. */
    struct span envelope;
    struct span bytes;
    uint64_t outcomes[SIGNAL_OUTCOMES_MAX]; /* numbers of its outcomes in its shard, oldest first */
    uint32_t outcome_count;
};

enum governor_state {
    GOVERNOR_BOOT,
    GOVERNOR_ACTIVE,
    GOVERNOR_ACTION_PENDING,
    GOVERNOR_SUSPENDED,
    GOVERNOR_COMPLYING,
    GOVERNOR_DEGRADED,
    GOVERNOR_HALTED,
    GOVERNOR_TESTING,
    GOVERNOR_STATE_COUNT
};
extern const char *const governor_state_names[GOVERNOR_STATE_COUNT + 1]; /* ended by NULL */

enum entitlement {
    ENTITLEMENT_INACTIVE,
    ENTITLEMENT_ACTIVE,
    ENTITLEMENT_SUSPENDED,
    ENTITLEMENT_CANCELLED,
    ENTITLEMENT_COUNT
};
extern const char *const entitlement_names[ENTITLEMENT_COUNT];

enum quota_period { PERIOD_NONE, PERIOD_HOUR, PERIOD_DAY, PERIOD_MONTH, PERIOD_COUNT };
extern const char *const quota_period_names[PERIOD_COUNT + 1]; /* ended by NULL */

enum breaker_opener { OPENED_BY_NOBODY, OPENED_BY_BREAKER, OPENED_BY_OPERATOR };

enum { POLICY_STATE_MAX = 4096, QUOTA_NONE = -1 };

/* The action a governor waits for; set exactly in action_pending. */
struct governor_pending {
    char action_id[UUID_TEXT + 1];
    char policy[65];
    char action[65];
    uint32_t attempt;    /* committed before each request */
    int64_t deadline_ms; /* partition clock */
    bool probe;          /* the action of a signal decided in testing */
    /* identity of the acting signal (its tenant and entitlement are the governor's); at most 128 bytes */
    char signal_id[129];
    uint32_t redrive;
};

/* The record of governor.md; times in milliseconds: wall for period_start, *_at; partition clock for *_due. */
struct governor_record {
    enum governor_state state : 8;
    enum entitlement entitlement : 8;
    enum quota_period quota_period : 8;
    enum breaker_opener opened_by : 8;
    bool refund_open;
    uint32_t failures;
    int64_t quota_limit; /* QUOTA_NONE: no limit */
    int64_t quota_used;
    int64_t period_start;
    int64_t boot_due;                  /* boot_timeout, while in boot; 0 otherwise */
    int64_t breaker_due;               /* breaker_reset, while halted by the breaker; 0 otherwise */
    int64_t last_entitlement_event_at; /* `time` of the last applied event of its kind */
    int64_t last_refund_event_at;
    int64_t halt_alert_at;     /* wall, of the last system_halted alert; 0: none yet in this halt */
    uint32_t halt_alert_count; /* dead letters since then */
    int64_t last_signal_at;
    int64_t created_at;
    int64_t updated_at;
    struct governor_pending *pending; /* NULL unless action_pending; owned by whoever owns the record */
    char *sku_id;                     /* or NULL; owned likewise */
    char *policy_state;               /* canonical JSON object {"<policy>":{…}}, or NULL; owned likewise */
};

/* The timers of a record, derived: the next partition-clock instant (INT64_MAX: none) and the wall instant at which its
 * quota period ends (INT64_MAX: not timed, i.e. no period or quota_used = 0). */
int64_t governor_next_due(const struct governor_record *record);
int64_t governor_quota_due(const struct governor_record *record);
/* First and one-past-last instant of the UTC period that wall_ms falls in. PERIOD_NONE: 0 and INT64_MAX. Instants
 * outside the years 1 to 9999 count as the nearest inside. */
int64_t period_begin(enum quota_period period, int64_t wall_ms);
int64_t period_end(enum quota_period period, int64_t wall_ms);

/* Frees what the record owns, not the record. */
void governor_record_done(struct governor_record *record);
/* Copies, duplicating what is owned. */
void governor_record_copy(struct governor_record *ret, const struct governor_record *record);

/* Whose a dead letter is to mend. */
enum deadletter_class {
    CLASS_TENANT,      /* the publisher: id_conflict, wait_expired */
    CLASS_DESTINATION, /* what an action calls: failed actions, governor_halted by the breaker, deferral_limit */
    CLASS_PIPELINE,    /* this system: overflow, too_old, unparseable, corrupt */
    CLASS_POLICY,      /* a decision: governor_halted by an operator, halted_in_action */
    CLASS_POISON,      /* it ended the worker: poison */
    CLASS_COUNT
};
extern const char *const deadletter_class_names[CLASS_COUNT + 1]; /* ended by NULL */

/* Goes with a signal row that becomes deadlettered or failed: opens an entry of triage. */
struct deadletter_change {
    char id[UUID_TEXT + 1]; /* receipt_id of the receipt that ends the signal */
    enum deadletter_class class;
    enum governor_state state; /* the governor's when it ended; GOVERNOR_STATE_COUNT: there was none */
};

/* What a partition's owners have seen of the wall clock: how far it was ahead of the partition clock at the least, on
 * the present day of the partition clock and on the days before. All INT64_MIN: nothing yet. jidoka/wall_trust.h */
struct wall_trust {
    int64_t day, low_ms, before_ms;
};

/* A receipt to be. text: canonical JSON (RFC 8785) of every receipt field except chain, previous_hash, receipt_id and
 * seq, which andon adds. */
struct outcome {
    uint32_t partition;
    uint64_t number;       /* per (partition, shard), from 1, without gaps */
    struct span tenant_id; /* empty: the chain _system */
    struct span text;
};

/* A receipt as stored. */
struct receipt {
    uint64_t index; /* in its shard's log, from 0 */
    struct span chain;
    uint64_t seq;
    char receipt_id[UUID_TEXT + 1];
    uint32_t partition; /* of its outcome */
    uint64_t number;
    struct span body; /* exactly the hashed bytes */
    uint8_t hash[SHA256_SIZE];
    /* for filters; spans into body are fine when appending */
    struct span tenant_id, entitlement_id, signal_id, type;
    int64_t timestamp_ms;
};

/* shard = hash(tenant_id) mod shards; _system is shard 0's. */
uint32_t shard_of(struct span tenant_id, uint32_t shards);
/* receipt_id: UUIDv5 of "partition/shard/number" (decimal) in the namespace 7d6b3c9e-5f0a-4c1e-9b1d-2e8f4a6c0d35. */
void receipt_id_of(struct hasher *hasher, uint32_t partition, uint32_t shard, uint64_t number, char ret[UUID_TEXT + 1]);

#endif
