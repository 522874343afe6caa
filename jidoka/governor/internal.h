/* Inside the governor only: what governor.c (table and inputs), cells.c (what its cells do),
 * decide.c (deciding) and move.c (the one moving function) share. Pure, any thread. */
#ifndef TAI_JIDOKA_GOVERNOR_INTERNAL_H
#define TAI_JIDOKA_GOVERNOR_INTERNAL_H

#include "jidoka/governor/governor.h"

/* Integers in receipts are JSON numbers, exact up to here (RFC 8785). */
enum { GOVERNOR_NUMBER_BITS = 53 };
#define GOVERNOR_NUMBER_MAX (((int64_t)1 << GOVERNOR_NUMBER_BITS) - 1)

/* A step under way. */
struct transition {
    struct governor_record *record;
    const struct governor_env *env;
    const struct governor_input *input; /* NULL while creating */
    struct governor_now now;
    struct governor_result *ret;
    bool texts_changed; /* sku_id or policy_state was replaced */
};

/* What the table is made of. */
enum governor_cell_kind {
    NONE,   /* cannot happen: changes nothing */
    WAIT,   /* the signal waits */
    DECIDE, /* the policies decide; without quota refused quota_exceeded */
    CRIT,   /* degraded: decide unless the entitlement is cancelled */
    RQUOTA, /* refused quota_exceeded */
    RDEGR,  /* refused degraded */
    DEAD,   /* dead letter governor_halted */
    STAY,   /* only the record */
    TARGET,
    TDIFF, /* target() unless that is active */
    DEGR,
    COMPLY,
    LATE, /* a result nobody waits for */
    SUCCEED,
    FAIL,
    BOOTOUT,
    TEST,
    HALT,
    HALTACT, /* halt while acting */
    RESUME,
    CELL_COUNT
};
typedef void governor_cell(struct transition *t);

/* move.c */

/* The one function that changes `state`. Aborts unless the move is one of the table's. */
void governor_move(struct transition *t, enum governor_state to);
bool governor_move_legal(enum governor_state from, enum governor_state to);
_Noreturn void governor_abort(const struct governor_record *record, const char *what);

/* decide.c */

/* Asks the policies and does what they say; refuses if there is no quota. */
void governor_decide_signal(struct transition *t);
/* A period_start beyond the current period is set back to it; quota_used is kept. */
void governor_settle_period(struct transition *t);

/* cells.c */

extern governor_cell *const governor_cells[CELL_COUNT];

void transition_alert(struct transition *t, const char *name, const char *severity, uint32_t count);
void transition_reason(struct transition *t, struct span reason);
/* The signal that is the input ends, with this receipt. */
void transition_end(struct transition *t, enum disposition disposition, enum receipt_type receipt, const char *reason);
/* Replaces *text unless it says so already. */
void transition_set_text(struct transition *t, char **text, struct span value);
/* Copies what fits without cutting a UTF-8 sequence; always NUL-terminated. */
void governor_copy_text(char *ret, size_t size, struct span text);
/* clock_ms + delay_ms without overflow, never 0 (which means no timer). */
int64_t governor_due(int64_t clock_ms, int64_t delay_ms);

#endif
