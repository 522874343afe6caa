/* The governor: one state machine per (tenant_id, entitlement_id), as a pure step. (record, input, now) in, (record,
 * effects) out: no I/O, no clock, no log. The table is docs/governor.md's; one function moves, it refuses (abort in
 * every build) what the table does not list, and reports each move in the result. */
#ifndef TAI_JIDOKA_GOVERNOR_GOVERNOR_H
#define TAI_JIDOKA_GOVERNOR_GOVERNOR_H

#include "common/buf.h"
#include "store/records.h"

enum governor_input_kind {
    INPUT_SIGNAL,
    INPUT_ACTIVATED,
    INPUT_SUSPENDED_BY_MARKET,
    INPUT_CANCELLED,
    INPUT_REFUND_STARTED,
    INPUT_REFUND_COMPLETED,
    INPUT_SUCCEEDED,
    INPUT_FAILED,
    INPUT_BOOT_TIMEOUT,
    INPUT_QUOTA_RESET,
    INPUT_BREAKER_RESET,
    INPUT_HALT,
    INPUT_RESUME,
    INPUT_ACTIVATE,
    INPUT_RESET_QUOTA,
    INPUT_KIND_COUNT
};
extern const char *const governor_input_names[INPUT_KIND_COUNT];

struct governor_now {
    int64_t wall_ms;
    int64_t clock_ms; /* partition clock */
};

/* What the policies say. Strings are borrowed until the step returns. */
enum verdict_kind { VERDICT_ALLOW, VERDICT_ACTION, VERDICT_DENY };
struct verdict {
    enum verdict_kind kind;
    struct span policy;       /* who decided; empty: none did (allow) */
    struct span reason;       /* deny */
    struct span action;       /* name of the action to take */
    const char *policy_state; /* the new policy_state to keep with an ending or intent; NULL: unchanged. Borrowed */
    const char *alert;        /* static name of an alert a policy raises (warning), or NULL */
};
/* Called at most once a step, only where the cell says decide. Must be pure. */
typedef struct verdict governor_decide(void *ctx, const struct governor_record *record, struct governor_now now);

struct governor_input {
    enum governor_input_kind kind;
    bool critical;         /* INPUT_SIGNAL */
    int64_t event_time_ms; /* events: `time` of the signal */
    bool has_quota_limit;  /* activated / activate may carry these */
    int64_t quota_limit;   /* QUOTA_NONE: no limit */
    bool has_quota_period;
    enum quota_period quota_period;
    struct span sku_id;    /* empty: none carried */
    struct span signal_id; /* INPUT_SIGNAL: becomes pending.signal_id */
    uint32_t redrive;
    const char *action_id; /* INPUT_SUCCEEDED, INPUT_FAILED: whose result it is */
    struct span reason;    /* INPUT_FAILED: why; INPUT_HALT: the operator's text */
};

struct governor_env {
    uint32_t max_failures;     /* 5 */
    int64_t boot_timeout_ms;   /* 30,000 */
    int64_t breaker_reset_ms;  /* 60,000 */
    int64_t action_timeout_ms; /* deadline of pending: the action's time-out with all retries */
    bool auto_activate;
    int64_t quota_limit; /* default of a new record, QUOTA_NONE: none */
    enum quota_period quota_period;
    governor_decide *decide;
    /* action_id = UUIDv5(identity, action name) */
    void (*action_id)(void *ctx, struct span action, char ret[UUID_TEXT + 1]);
    /* Whether the action can be taken now, or how long it need not be asked again (0: unknown). NULL: always. */
    bool (*ready)(void *ctx, struct span action, int64_t *ret_wait_ms);
    void *ctx;
};

/* What becomes of the signal that was the input (INPUT_SIGNAL and events), or of the acting signal. */
enum disposition {
    SIGNAL_KEEPS, /* no signal is concerned */
    SIGNAL_WAITS,
    SIGNAL_IS_DEFERRED, /* decided, but its action cannot be taken now: the record is as before */
    SIGNAL_ACTS,        /* its action is to run once the intent is committed */
    SIGNAL_ENDS_EXECUTED,
    SIGNAL_ENDS_FAILED,
    SIGNAL_ENDS_DENIED,
    SIGNAL_ENDS_REFUSED,
    SIGNAL_ENDS_DEADLETTERED
};

enum receipt_type {
    RECEIPT_ACTION_INTENT,
    RECEIPT_ACTION_SUCCESS,
    RECEIPT_ACTION_FAILURE,
    RECEIPT_STATE_CHANGE,
    RECEIPT_REFUSAL,
    RECEIPT_DEADLETTER,
    RECEIPT_OPERATOR,
    RECEIPT_REFUSAL_SUMMARY,
    RECEIPT_TYPE_COUNT
};
extern const char *const receipt_type_names[RECEIPT_TYPE_COUNT];

struct governor_alert {
    const char *name;     /* static: quota_exceeded, circuit_open, bootstrap_timeout, system_halted, or a policy's */
    const char *severity; /* warning, critical */
    uint32_t count;       /* of what it sums; 1 otherwise */
};

enum { GOVERNOR_ALERTS_MAX = 3, GOVERNOR_REASON_MAX = 200 };

struct governor_result {
    enum governor_state state_before, state_after;
    bool changed;   /* the record differs from before and must be stored */
    bool receipted; /* receipt is to be written; body = the changed fields (governor_delta) */
    enum receipt_type receipt;
    char reason[GOVERNOR_REASON_MAX]; /* of the receipt: of the move or ending the table names, else the input's own */
    enum disposition disposition;     /* of the input's signal */
    int64_t wait_ms;                  /* deferred: for at least so long; 0: unknown */
    enum disposition acting; /* SIGNAL_KEEPS or how the signal that was acting ends (succeeded, failed, halt) */
    char acting_reason[GOVERNOR_REASON_MAX]; /* of that ending: why it failed or halted_in_action; else empty */
    char acting_id[129];                     /* its identity below this governor, when acting != SIGNAL_KEEPS */
    uint32_t acting_redrive;
    char action_id[UUID_TEXT + 1]; /* of the intent or the result; empty if none */
    char policy[65], action[65];   /* of the verdict or of the action that ended */
    bool cancel_action;            /* halt while acting: its retries stop */
    bool releases;                 /* moved into a state whose signal cell is not `waits`: waiting rows may go on */
    struct governor_alert alerts[GOVERNOR_ALERTS_MAX];
    unsigned alert_count;
};

/* A new record as of `now`: entitlement active and target() with auto_activate, else boot with its timer. Also
 * receipted (state_change, reason "created"): fills result as a step would. */
void governor_create(struct governor_record *record, const struct governor_env *env, struct governor_now now,
                     struct span sku_id, struct governor_result *ret);

/* One step. record is changed in place (it owns its strings). Result texts are copies: nothing borrowed remains. A
 * result whose action_id is not the pending one is late: receipted (action_success/failure, reason "late"), changing
 * nothing. A timer that is not due changes nothing either; due ones are stepped before signals, or a signal may still
 * be refused for the quota of a period that is over. Commands apply whatever the times of events: activate counts as an
 * event of now. */
void governor_step(struct governor_record *record, const struct governor_env *env, const struct governor_input *input,
                   struct governor_now now, struct governor_result *ret);

/* Whether a signal of that severity would wait in this state; and whether the state holds waiting signals back. */
bool governor_waits(const struct governor_record *record, bool critical);

/* target() of governor.md. */
enum governor_state governor_target(const struct governor_record *record);

/* The fields in which after differs from before (before NULL: all), as the canonical JSON object that goes into a
 * receipt's body as "governor". Without next_due, last_signal_at, updated_at and running times. */
void governor_delta(const struct governor_record *before, const struct governor_record *after, struct buf *out);
/* The inverse: applies such an object. -EINVAL if it is none. With it a record is the fold of its receipts. */
must_check int governor_apply(struct governor_record *record, struct span delta, struct error *err);

/* The invariants that hold for a record at rest (governor.md, Invariants 2, 3, 4, 6 as far as one record shows them);
 * NULL or what is broken. Checked after each step in every build. */
const char *governor_check(const struct governor_record *record);

#endif
