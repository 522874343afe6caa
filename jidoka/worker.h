/* Inside jidoka only: what its files share. One thread; a partition has at most one batch under way.
 *
 *   unowned ──claimed──► loading ──loaded──► running ──fence lost, leaving──► unowned
 *                                              │ ▲
 *                 gather → look up → step → commit → settle   (batch.c; what it does: frames.c, followup.c)
 */
#ifndef TAI_JIDOKA_WORKER_H
#define TAI_JIDOKA_WORKER_H

#include "jidoka/deadletter_class.h"
#include "jidoka/jidoka.h"
#include "jidoka/policies/policy.h"
#include "jidoka/receipt_text.h"
#include "jidoka/runner.h"
#include "jidoka/wall_trust.h"
#include "store/triage.h"

/* What is in the tables is others' choice: the seed is where this program was loaded, which they do not know. */
#define HASH_FUNCTION(key, len, ret)                                                                                   \
    ((ret) = (unsigned)hash_quick((struct span){(const char *)(key), (len)}, (uintptr_t)governor_state_names))
#include <uthash.h>

/* A line at its default cap is released in one batch: fewer rows, and what arrives meanwhile would overflow it. */
enum { BATCH_SIGNALS_MAX = 1000, RELEASE_ROWS_MAX = 1000, DUE_ROWS_MAX = 200 };

/* The signal a governor acts on, kept until its action ended. */
struct acting {
    char *bytes;
    size_t len;
    uint8_t sha256[SHA256_SIZE];
};

/* A governor in memory: the owner of a partition caches what it has seen. */
struct governor_entry {
    UT_hash_handle hh;
    struct governor_record record;
    struct acting *acting;  /* set exactly in action_pending */
    struct action_job *job; /* the runner's, while an attempt is under way or due */
    uint32_t waiting;       /* waiting rows in the store, as of the batch under way */
    int64_t deferred_until; /* partition clock: the first of the line is not tried before; 0: it is not deferred */
    uint16_t tenant_len, entitlement_len;
    bool insert;    /* no row yet */
    bool in_batch;  /* changed by the batch under way */
    bool releasing; /* in the partition's release list */
    bool retrying;  /* there because its deferral is over */
    struct governor_entry *next_release;
    char key[]; /* tenant_id \0 entitlement_id */
};

/* Something that happened to an action: what the next results batch steps. */
struct action_result {
    struct action_result *next;
    struct governor_entry *governor;
    char action_id[UUID_TEXT + 1];
    bool succeeded;
    bool again;    /* start another attempt instead of ending */
    bool restored; /* it was under way when the last owner stopped */
    char reason[GOVERNOR_REASON_MAX];
};

struct tenant_entry {
    UT_hash_handle hh;
    uint64_t waiting;  /* rows of this tenant in the partition */
    uint64_t creating; /* 1 + number of the batch that `created` counts for */
    uint64_t created;  /* governors */
    char tenant_id[];
};

/* tenant_id \0 entitlement_id: the key of the caches. */
enum { GOVERNOR_KEY_MAX = FRAME_TENANT_MAX + 1 + FRAME_ID_MAX };
size_t governor_key_of(struct span tenant_id, struct span entitlement_id, char ret[GOVERNOR_KEY_MAX]);

/* Where a governor stands in a batch's look-up. */
struct governor_ref {
    UT_hash_handle hh;
    size_t index;
    char key[];
};

struct applied_signal;

enum partition_state { PARTITION_UNOWNED, PARTITION_LOADING, PARTITION_RUNNING };

struct partition {
    struct jidoka *jidoka;
    uint32_t id;
    enum partition_state state;
    bool leaving;      /* drop it once the request under way is done */
    bool giving;       /* beyond this worker's share, or left in an attempt: dropped, then released by a heartbeat */
    bool subscribed;   /* to its queue */
    bool commands;     /* some may be pending */
    bool parked;       /* its batch waits until all others rest (attempts.c) */
    uint32_t crashes;  /* of its owners in a row; 1: one frame a transaction; more: one signal */
    uint32_t frame_at; /* one signal a transaction: how many of the first frame are done */
    int64_t busy_us;   /* monotonic, when something was last to do */
    uint64_t epoch, batch_number;
    uint64_t next_line;
    uint64_t *outcome_next; /* per shard */
    uint64_t outcomes_open;
    uint64_t waiting, acting;
    uint64_t deadletters[CLASS_COUNT];    /* open */
    int64_t clock_base_ms, clock_base_us; /* partition clock at a monotonic instant */
    int64_t written_us;                   /* monotonic, of the last commit */
    struct wall_trust wall;
    int64_t next_due, row_due; /* partition clock, of governors and of waiting rows */
    int64_t quota_due;         /* wall */
    int64_t rest_until_us;     /* monotonic: not claimed before; 0: it does not rest */
    unsigned rests;            /* in a row, without a commit between */
    uint64_t settled_frames;   /* since the claim */
    struct governor_entry *governors;
    struct tenant_entry *tenants;
    struct governor_entry *release_head, *release_tail;
    uint32_t retrying; /* of them; their rows stay due until they have been tried */
    struct action_result *results, **results_tail;
    struct kanban_delivery **deliveries; /* ring of prefetch */
    uint32_t delivery_head, delivery_count;
    bool frames_turn; /* frames come next even if waiting rows could be released */
    struct batch *batch;
    struct event *retry; /* of a failed request */
    struct event *ready; /* active once frames arrived in this turn of the loop */
    struct store_load load;
    struct store_outcome_numbers numbers;
    struct store_lookup restore; /* governors with waiting or acting rows */
};

enum batch_kind { BATCH_FRAMES, BATCH_RELEASE, BATCH_DUE, BATCH_RESULTS, BATCH_COMMANDS, BATCH_REFUSALS, BATCH_CLOCK };

struct batch {
    struct partition *partition;
    enum batch_kind kind;
    struct governor_now now;
    int64_t started_us;
    struct arena arena;
    struct kanban_delivery **deliveries; /* settled after the commit */
    size_t delivery_count;
    const struct signal **signals;      /* of the deliveries, one per lookup.signals */
    struct governor_ref *governor_refs; /* hash over lookup.governors */
    struct governor_entry *releasing;   /* BATCH_RELEASE: whose rows */
    struct governor_entry **starts;     /* actions to start after the commit */
    size_t start_count, start_cap;
    struct governor_entry **dirty;
    size_t dirty_count, dirty_cap;
    uint32_t endings[SIGNAL_STATUS_COUNT];     /* for the metrics, counted once committed */
    int64_t deadletters[CLASS_COUNT];          /* opened less closed */
    bool single;                               /* one signal of its frame, or one row: an attempt */
    bool poison;                               /* the signal has two unfinished attempts */
    bool retrying;                             /* BATCH_RELEASE: only the first one, which was deferred */
    struct attempt *attempt;                   /* the commit that begins it */
    const struct receipt_operation *operation; /* BATCH_COMMANDS: what is being carried out */
    size_t signal_cap, outcome_cap, intake_cap, governor_cap;
    unsigned attempts;                  /* of the commit */
    void (*again)(struct batch *batch); /* what to do after a pause: the request failed without effect */
    struct store_lookup lookup;
    struct store_waiting waiting;
    struct store_due due;
    struct store_commands commands;
    struct store_commit commit;
};

struct jidoka_metrics {
    struct metric_counter *endings[SIGNAL_STATUS_COUNT];
    struct metric_counter *duplicates, *taken, *moves, *deferrals, *batches, *commit_retries, *leases_lost, *swept,
        *corruptions;
    struct metric_gauge *leases, *waiting, *acting, *governors;
    struct metric_histogram *latency, *batch_seconds;
    struct metric_counter *commands[COMMAND_STATUS_COUNT];
    struct metric_gauge *deadletters[CLASS_COUNT], *deadletters_full, *missing, *balance;
};

/* Dead letters in all partitions, and when they will be as many as there may be. */
struct forecast {
    uint64_t open;         /* as of the last heartbeat and own commits */
    uint64_t seen;         /* at the last heartbeat */
    int64_t seen_us;       /* 0: there was none */
    double rate;           /* a second, smoothed */
    bool moved;            /* by own commits since the last heartbeat was sent: its answer may be older */
    bool full;             /* said in the log */
    _Atomic int64_t in_ms; /* until it is full; -1: not growing */
};

struct conservation { /* as last told: 0 and 0 unless something was lost or counted twice */
    int64_t missing, balance;
};

/* Frames of KANBAN_REFUSALS, oldest first, at most prefetch; the owner of partition 0 reads them. */
struct refusal_queue {
    struct kanban_delivery **deliveries;
    size_t count, cap;
    bool subscribed;
};

struct jidoka {
    struct jidoka_options options;
    const struct jidoka_config *config;
    struct kanban *kanban;
    struct store *store;
    struct policy_set *policies;
    struct runner *runner;
    struct hasher *hasher;
    struct governor_env env;
    const struct signal *deciding; /* the signal governor_env's callbacks speak about */
    struct json_doc doc;           /* scratch */
    struct buf scratch;
    struct event *store_event, *kanban_event, *kanban_timer, *tick, *finish;
    struct partition *partitions;
    struct refusal_queue refusals;
    struct store_lease lease;
    uint32_t *release; /* of the heartbeat: what it gives back */
    bool lease_pending;
    unsigned lease_failures; /* in a row */
    int64_t leased_us;       /* monotonic, of the last heartbeat sent */
    bool dropped;            /* a partition, since then */
    struct store_sweep sweep;
    bool sweeping;
    int64_t sweep_after_us; /* monotonic: the last slice failed */
    bool stopping;          /* nothing is claimed or worked off any more */
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct jidoka_metrics metrics;
    struct partition *alone; /* nobody else begins anything (attempts.c) */
    struct forecast forecast;
    struct conservation conservation;
};

/* jidoka.c */
int64_t jidoka_mono_us(const struct jidoka *jidoka);
void jidoka_check_drained(struct jidoka *jidoka);

/* leases.c */
void leases_init(struct jidoka *jidoka);
void leases_heartbeat(struct jidoka *jidoka);
bool leases_due(const struct jidoka *jidoka);

/* sweep.c */
void sweep_init(struct jidoka *jidoka);
void sweep_slice(struct jidoka *jidoka);

/* partition.c */
void partition_claim(struct partition *p, const struct lease *lease);
void partition_drop(struct partition *p);  /* forgets everything: the lease is another's, or given back */
void partition_leave(struct partition *p); /* drops it once no request of it is under way */
bool partition_rested(const struct partition *p);
void partition_run(struct partition *p); /* starts the next batch if there is work and none is under way */
bool partition_idle(const struct partition *p);
bool partition_recovered(const struct partition *p); /* from the crashes of its owners */
bool partition_lagging(const struct partition *p);   /* too many outcomes without a receipt: takes no frames */
void partition_subscribe(struct partition *p);
struct governor_now partition_now(struct partition *p); /* both clocks, and notes what the wall clock says */
struct governor_entry *partition_find(struct partition *p, struct span tenant_id, struct span entitlement_id);
struct governor_entry *partition_add(struct partition *p, struct span tenant_id, struct span entitlement_id);
/* 0, or status; -EUCLEAN, with the request's error set and nothing found, if a record breaks the governor's invariants.
 */
int partition_verify(struct partition *p, struct store_lookup *lookup, int status);
/* Caches the governors a look-up found; what their records own is taken. */
void partition_cache(struct partition *p, struct store_lookup *lookup);
void partition_lookup_done(struct store_lookup *lookup); /* frees the array and what was not taken */
struct tenant_entry *partition_tenant(struct partition *p, struct span tenant_id);
void partition_release(struct partition *p, struct governor_entry *entry);
void partition_timers(struct partition *p, const struct governor_record *record);
struct span governor_tenant(const struct governor_entry *entry);
struct span governor_entitlement(const struct governor_entry *entry);
void acting_free(struct acting *acting);

/* batch.c */
struct batch *batch_new(struct partition *p, enum batch_kind kind);
void batch_commit(struct batch *batch);
void batch_over(struct batch *batch); /* frees it; what comes next begins */
/* A commit of the batch has failed: dropped, or tried again. */
void batch_commit_failed(struct store_request *request, int status, void (*again)(struct batch *batch));
void batch_free(struct batch *batch); /* abandons its deliveries */
/* After a request of the batch: true if there is nothing more to do now, because the partition is being left (dropped
 * here) or because the request failed (logged, tried again after a pause). */
bool batch_failed(struct store_request *request, int status, const char *event, void (*again)(struct batch *batch));
/* Makes room for the rows and receipts of so many signals. */
void batch_reserve(struct batch *batch, size_t signals);
struct signal_change *batch_signal(struct batch *batch, bool insert);
void batch_change(struct batch *batch, struct governor_entry *entry); /* the record shall be stored */
void batch_start(struct batch *batch, struct governor_entry *entry);  /* its action shall start */
void batch_intake(struct batch *batch, const struct frame_header *header);
/* A receipt to be; returns its number within its shard. fields->text parts are copied. */
uint64_t batch_outcome(struct batch *batch, const struct receipt_fields *fields);

/* frames.c */
void frames_begin(struct partition *p);

/* steps.c */
/* A signal without a row, unless it is dead-lettered or refused. redrivable: as looked up. */
void signal_step(struct batch *batch, const struct signal *signal, bool redrivable);
struct signal_change *signal_insert(struct batch *batch, const struct signal *signal, bool conflict); /* its new row */
/* Rows that are not over, or over without having been executed, keep what is needed to run them (again). */
void signal_keep_bytes(struct batch *batch, struct signal_change *change, const struct signal *signal);
void signal_dead_letter(struct batch *batch, struct governor_entry *entry, const struct signal *signal, bool conflict,
                        const char *reason);
/* Adds the governor to the look-up unless it is cached. */
void batch_look_up_governor(struct batch *batch, struct span tenant_id, struct span entitlement_id);
/* Creates one that was looked up and not found; NULL: there are too many. */
struct governor_entry *governor_new(struct batch *batch, struct span tenant_id, struct span entitlement_id,
                                    struct span sku_id);
/* What an activation carries. */
void governor_read_activation(struct jidoka *jidoka, struct governor_input *input, struct span data);

/* attempts.c */
bool attempts_single(const struct partition *p); /* one signal a transaction */
/* An action restored after crashes has been tried as often as it may be. */
bool attempts_exhausted(const struct partition *p, const struct governor_pending *pending);
/* Goes on, at once or later, with the batch's signal: after its attempt has been committed, or with batch->poison. */
void attempt_guard(struct batch *batch, const struct identity *identity, uint32_t attempts,
                   void (*go_on)(struct batch *batch));
bool attempts_hold(struct partition *p); /* another partition wants to be alone: nothing is begun */
void attempts_left(struct partition *p); /* its batch is over */
/* Dropped: if it was alone it stays so, its lease to be given back, until its attempt is withdrawn. */
void attempts_dropped(struct partition *p);
void attempts_withdrawn(struct partition *p); /* a heartbeat was answered after it was dropped: the lease is gone */
void attempt_done(struct batch *batch);

/* waiting.c: rows that wait, in line behind their governor or deferred */
void waiting_join(struct batch *batch, struct governor_entry *entry, const struct signal *signal);
void waiting_leave(struct batch *batch, struct governor_entry *entry);
/* The signal just stepped is put off, or ends: there is no room, or it was put off too often. Its change is a new row,
 * or tells the deferrals of the old one. */
void waiting_defer(struct batch *batch, struct governor_entry *entry, struct applied_signal *signal, int64_t wait_ms);
/* It was deferred, and before it could be tried its governor's own state has come to make it wait. */
void waiting_hold(struct batch *batch, struct governor_entry *entry, const struct signal_row *row);
/* A row whose time has come, as looked up without its bytes: tried again, or expired. */
void waiting_due(struct batch *batch, const struct signal_row *row);
struct signal waiting_signal(const struct signal_row *row); /* what a row without its bytes tells about its signal */
struct signal_change *waiting_row(struct batch *batch, const struct signal_row *row); /* its change */

/* commands.c */
void commands_begin(struct partition *p);
void commands_listen(struct jidoka *jidoka);

/* refusals.c */
void refusal_frames_subscribe(struct jidoka *jidoka);
void refusal_frames_arrived(struct jidoka *jidoka, struct kanban_delivery *take_delivery);
void refusal_frames_drop(struct jidoka *jidoka); /* unsubscribes, abandons what waits */
bool refusal_frames_waiting(const struct partition *p);
void refusal_frames_begin(struct partition *p);

/* triage_metrics.c */
void triage_metrics_init(struct jidoka *jidoka);
void triage_metrics_done(struct jidoka *jidoka);
bool triage_full(const struct jidoka *jidoka); /* no frames are taken: too many dead letters */
/* What a heartbeat has told. */
void triage_leases(struct jidoka *jidoka, const struct store_lease *lease);
void triage_claimed(struct partition *p, const struct lease *lease);
void triage_committed(const struct batch *batch);
void triage_dropped(struct partition *p);
/* followup.c */
void release_begin(struct partition *p, struct governor_entry *entry);
void due_begin(struct partition *p);
void results_begin(struct partition *p);
void clock_begin(struct partition *p);

/* apply.c: one governor step and all that follows from it */
struct applied_signal {
    const struct signal *signal;
    struct signal_change *change; /* its row, to be filled with status, reason and outcomes */
};
void apply_created(struct batch *batch, struct governor_entry *entry, const struct governor_result *result);
/* signal NULL: the input concerns no signal of this batch. Returns what becomes of it; SIGNAL_IS_DEFERRED: it waits. */
enum disposition apply_step(struct batch *batch, struct governor_entry *entry, const struct governor_input *input,
                            struct applied_signal *signal);
/* An ending the governor is not asked about (id_conflict, overflow, wait_expired, deferral_limit, too_old, …). entry
 * may be NULL. */
void apply_ending(struct batch *batch, struct governor_entry *entry, enum signal_status status, const char *reason,
                  struct applied_signal *signal);

#endif
