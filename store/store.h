/* The durable state behind jidoka and andon: the transactions those layers ask for, whatever database holds it.
 *
 * Asynchronous: a request struct is filled by the caller, lives until its `done` ran (on the caller's thread, from
 * store_dispatch), and owns an arena for what it returns. status: 0, or -errno: -ESTALE the fence did not match
 * (another owner, or this batch was already committed: look), -EEXIST or -ENOENT a row that must not or must be there
 * is or is not, -EINVAL the request breaks this contract, -ENOSPC, -EIO, -EUCLEAN (corrupt), -ESHUTDOWN. After a
 * failure other than -ESTALE nothing of the request is in the store and nothing it returned counts; "commit unknown" is
 * resolved inside by the batch number. One handle per thread. */
#ifndef TAI_STORE_STORE_H
#define TAI_STORE_STORE_H

#include "common/clock.h"
#include "common/error.h"
#include "common/mem.h"
#include "store/records.h"

struct store;
struct store_backend; /* shared: sqlite/sqlite.h */
struct store_request;
typedef void store_done(struct store_request *request, int status);

struct store_request { /* first member of every request */
    store_done *done;
    void *ctx;
    struct arena arena; /* results live here; the caller calls arena_done when finished with them */
    const char *error;  /* with a failure: what is wrong, for the log; NULL when the status says it all; as the arena */
    void *op;           /* the backend's while in flight */
};

/* Bounds of what the store takes, checked on the way in and on the way out. */
enum {
    STORE_PARTITIONS_MAX = 1024,
    STORE_SHARDS_MAX = 256,
    STORE_ID_MAX = 256, /* bytes of a tenant, entitlement or signal id, worker, chain */
    STORE_REASON_MAX = 1024,
    STORE_TEXT_MAX = 1 << 24, /* of an envelope, a signal, a receipt */
    STORE_LIMIT_MAX = 10000
};

must_check int store_open(struct store_backend *backend, struct store **ret, struct error *err);
int store_poll_fd(const struct store *store);
void store_dispatch(struct store *store);
/* Requests in flight are dropped without done; their memory must last until this returns. */
void store_close(struct store *store);

/* --- jidoka: leases -------------------------------------------------------------------------------------- */

struct lease {
    uint32_t partition;
    uint64_t epoch;
    uint64_t batch;
    uint32_t crashes;
    int64_t clock_ms; /* partition clock as last written */
    struct wall_trust wall;
    bool claimed; /* by this very request: everything cached of this partition is stale */
    uint64_t taken, requeued, ended, duplicates, waiting, acting, governors; /* counters of the partition row */
    uint64_t next_line;                                                      /* next waiting-row order number */
    uint64_t outcomes_open;            /* outcomes not yet receipted, all shards */
    uint64_t deadletters[CLASS_COUNT]; /* open */
    uint64_t missing; /* sequences at or below `confirmed` that were neither taken nor void: frames that were lost */
    bool commands;    /* some are pending */
};

/* Heartbeat: renews what this worker holds, gives back `release` cleanly, takes free or expired ones up to ⌈P/W⌉ of
 * `partitions` (none that this very request gives back). A worker that holds more than `share` gives the rest back with
 * a later heartbeat. Taking a lease that was not given back raises its `crashes`. */
struct store_lease {
    struct store_request req;
    const char *worker; /* unique per process start */
    uint32_t partitions;
    int64_t ttl_ms; /* 3000, database clock */
    const uint32_t *release;
    uint32_t release_count;
    bool leaving; /* release everything, take nothing */
    /* out */
    struct lease *leases; /* in order of partition */
    uint32_t lease_count;
    uint32_t share;       /* ⌈P/W⌉ */
    uint64_t deadletters; /* open in all partitions, whoever holds them */
};
void store_lease(struct store *store, struct store_lease *request);

/* What the owner needs after a claim: waiting rows per governor, acting rows. */
struct waiting_count {
    struct span tenant_id, entitlement_id;
    uint64_t count;
    int64_t deferred_until; /* due_ms of the one that is deferred; 0: none is */
};
struct store_load {
    struct store_request req;
    uint32_t partition;
    /* out */
    struct waiting_count *waiting;
    size_t waiting_count;
    struct signal_row *acting; /* with bytes */
    size_t acting_count;
    int64_t next_due;  /* earliest governor timer on the partition clock; INT64_MAX none */
    int64_t row_due;   /* earliest waiting row's, likewise */
    int64_t quota_due; /* earliest quota roll-over, wall */
};
void store_load(struct store *store, struct store_load *request);

/* --- jidoka: look-up ------------------------------------------------------------------------------------- */

struct lookup_signal {
    struct identity identity;  /* in */
    const uint8_t *sha256;     /* in */
    bool found, same_hash;     /* out: a row exists under the identity; with that hash (as it or as its conflict) */
    bool conflict_known;       /* out: found, other bytes, and that conflict has its row already */
    bool redrivable;           /* out, redrive > 0: ending redrive-1 is deadlettered or failed */
    enum signal_status status; /* out, if found */
    uint32_t attempts;         /* out, if asked for: begun under earlier leases, not finished, nor withdrawn */
};
struct lookup_governor {
    struct span tenant_id, entitlement_id; /* in */
    bool found;                            /* out */
    struct governor_record record;         /* out; heap-owned by the caller when found: governor_record_done */
    uint64_t tenant_governors;             /* out: how many the tenant has in all partitions, if not found */
};
/* A frame of the queue of refusals: what it says has no rows by which to know it again. */
struct lookup_refusals {
    const char *boot;  /* in: intake_range.boot */
    uint64_t sequence; /* in */
    bool taken;        /* out: by a commit, of whichever owner */
};
struct store_lookup {
    struct store_request req;
    uint32_t partition;
    struct lookup_refusals *refusals;
    size_t refusal_count;
    struct lookup_signal *signals;
    size_t signal_count;
    struct lookup_governor *governors;
    size_t governor_count;
    bool attempts;            /* in: tell the attempts as well */
    uint64_t governors_total; /* out: over all partitions */
};
void store_lookup(struct store *store, struct store_lookup *request);

/* Waiting rows of one governor, oldest first, with bytes. */
struct store_waiting {
    struct store_request req;
    uint32_t partition;
    struct span tenant_id, entitlement_id;
    uint64_t after_line; /* 0: from the oldest */
    uint32_t limit;
    struct signal_row *rows; /* out */
    size_t row_count;
};
void store_waiting(struct store *store, struct store_waiting *request);

/* What is due: governors by timer, waiting rows by due_ms; at most `limit` of either. */
struct governor_key {
    struct span tenant_id, entitlement_id;
};
struct store_due {
    struct store_request req;
    uint32_t partition;
    int64_t clock_ms, wall_ms;
    uint32_t limit;
    /* out */
    struct governor_key *governors;
    size_t governor_count;
    struct signal_row *rows; /* without bytes */
    size_t row_count;
    int64_t next_due, quota_due; /* the earliest of governors that are not in this answer */
    int64_t row_due;             /* the earliest of rows, likewise */
};
void store_due(struct store *store, struct store_due *request);

/* --- jidoka: the one transaction ------------------------------------------------------------------------- */

/* insert: a new row (must not exist: -EEXIST). Otherwise status, reason, due_ms and changed_at_ms of the row with this
 * identity and `conflict` (must exist: -ENOENT) are written and the outcomes appended to its own (when more than
 * SIGNAL_OUTCOMES_MAX come together the newest replaces the last); bytes are dropped when the ending does not keep
 * them. */
struct signal_change {
    bool insert;
    struct signal_row row;
    const struct deadletter_change *deadletter; /* NULL: none is opened */
};
struct governor_change {
    struct span tenant_id, entitlement_id;
    bool insert;
    const struct governor_record *record;
};
struct command_change;
struct intake_range { /* sequences of one boot taken by this batch, or told void: first..last, contiguous */
    char boot[17];
    uint64_t first, last;
    uint64_t confirmed; /* highest `confirmed` seen in these frames */
    bool refusals;      /* of the queue of refusals: confirmed is 0, nothing is found missing there */
};

/* First statement: UPDATE partitions SET batch = batch+1, counters, clock WHERE partition, epoch, batch: one row or
 * -ESTALE. All or nothing. */
struct store_commit {
    struct store_request req;
    uint32_t partition;
    uint64_t epoch, batch; /* as held; the store's batch is batch+1 afterwards */
    int64_t clock_ms;
    struct wall_trust wall;
    bool settles; /* true once the first prefetch of frames after a claim is settled: crashes returns to 0 */
    int64_t taken, requeued, ended, duplicates, waiting, acting; /* deltas of the counters */
    uint64_t next_line;                                          /* absolute */
    struct signal_change *signals;
    size_t signal_count;
    struct governor_change *governors;
    size_t governor_count;
    struct outcome *outcomes; /* partition set by the store; number set by the caller (counted per shard from
                                 store_outcome_numbers; -EINVAL if not the next) */
    uint32_t *outcome_shards; /* shard of each outcome */
    size_t outcome_count;
    struct intake_range *intake;
    size_t intake_count;
    const struct command_change *commands; /* ends of commands (triage.h) */
    size_t command_count;
    /* Where a signal may end the process: an attempt is begun in a commit of its own and finished by the commit that
     * carries it out. NULL: none. A commit that settles forgets all attempts of its partition. However often it is
     * begun under one lease it is one attempt, and a later heartbeat of a worker withdraws those of the leases it has
     * lost or given back: what is left were begun by workers that died. */
    const struct identity *attempt_begins, *attempt_finishes;
};
void store_commit(struct store *store, struct store_commit *request);

/* The next outcome number of each shard, for a partition; asked once after a claim. */
struct store_outcome_numbers {
    struct store_request req;
    uint32_t partition, shards;
    uint64_t *next; /* out: shards of them */
};
void store_outcome_numbers(struct store *store, struct store_outcome_numbers *request);

/* --- andon: shards --------------------------------------------------------------------------------------- */

enum { LOG_FRONTIER_MAX = 64 };

struct shard_head {
    uint32_t shard;
    uint64_t epoch, batch;
    bool claimed;
    uint64_t size;                                   /* leaves in the log */
    uint8_t frontier[LOG_FRONTIER_MAX][SHA256_SIZE]; /* roots of the perfect subtrees, largest first */
    uint32_t frontier_count;                         /* popcount of size */
    uint64_t tiled;                                  /* leaves whose tiles are stored: whole tiles, from the first on */
};
struct store_shards { /* heartbeat for shards, as store_lease */
    struct store_request req;
    const char *worker;
    uint32_t shards;
    int64_t ttl_ms;
    const uint32_t *release;
    uint32_t release_count;
    bool leaving;
    struct shard_head *heads; /* out */
    uint32_t head_count;
    uint32_t share; /* out */
};
void store_shards(struct store *store, struct store_shards *request);

/* The oldest outcomes of a shard not yet receipted, each partition's in order. */
struct store_outcomes {
    struct store_request req;
    uint32_t shard, limit;
    struct outcome *outcomes; /* out */
    size_t outcome_count;
};
void store_outcomes(struct store *store, struct store_outcomes *request);

struct chain_head {
    struct span chain;
    uint64_t seq; /* 0: no receipt yet */
    uint8_t hash[SHA256_SIZE];
};
struct store_chains {
    struct store_request req;
    uint32_t shard;
    struct chain_head *chains; /* in: chain; out: the rest */
    size_t chain_count;
};
void store_chains(struct store *store, struct store_chains *request);

/* The log's tree in tiles (https://c2sp.org/tlog-tiles): tile number n of level l holds the roots of the subtrees of
 * 256^l leaves from n * 256 on. Stored are those over the first `tiled` leaves: of level 0 whole tiles only, above it
 * what there is. */
enum { TILE_WIDTH = 256, TILE_LEVELS = 6 };

/* Hashes first to first + count of a tile. first 0: it is new; level 0: all of them. */
struct tile_part {
    uint32_t level, first, count;
    uint64_t number;
    const uint8_t (*hashes)[SHA256_SIZE];
};

/* Fenced by (shard, epoch, batch) and by the log's size, which head.size exceeds by receipt_count. Appends receipts,
 * moves chain heads and the log, deletes the outcomes they came from. Without receipts it only adds tiles. A failure to
 * read back counts as -ESTALE. */
struct store_append {
    struct store_request req;
    struct shard_head
        head; /* as it shall be; head.epoch and head.batch as held: the store's batch is batch+1 afterwards */
    const struct receipt *receipts;
    size_t receipt_count;
    const struct chain_head *chains; /* as they shall be */
    size_t chain_count;
    const struct outcome *outcomes; /* those consumed, in the order read: deleted */
    size_t outcome_count;
    const struct tile_part *tiles; /* those that head.tiled adds to what is stored, in order */
    size_t tile_count;
    /* out: read back after the COMMIT, what a checkpoint may be signed over */
    struct shard_head committed;
};
void store_append(struct store *store, struct store_append *request);

/* Wakes when outcomes may have arrived (after their COMMIT). Polling stays the caller's fallback. */
void store_on_outcomes(struct store *store, void (*wake)(void *ctx), void *ctx);

/* --- andon: queries of the API --------------------------------------------------------------------------- */

struct store_signal {
    struct store_request req;
    struct span tenant_id, id, entitlement_id; /* in; entitlement_id may be empty: the newest of the first 100 */
    bool found;                                /* out */
    struct signal_row row; /* the highest redrive, not a conflict unless only those exist; no bytes */
    uint32_t partition_of_row;
    struct span *also_under; /* further entitlements with that id, at most 100 */
    size_t also_count;
};
void store_signal(struct store *store, struct store_signal *request);

struct store_receipt {
    struct store_request req;
    char receipt_id[UUID_TEXT + 1];
    bool found;
    uint32_t shard;
    struct receipt receipt;
};
void store_receipt(struct store *store, struct store_receipt *request);

/* Receipts in order. By chain (seq > after) when chain is given, else by shard (index >= after); descending: seq or
 * index < after, 0 from the newest. Filters may make a page shorter than limit while more remains: next says where to
 * go on, 0 if at the end. */
struct store_receipts {
    struct store_request req;
    uint32_t shard;
    struct span chain;
    bool descending;
    uint64_t after;
    uint32_t limit;                              /* 1..1000 */
    struct span entitlement_id, signal_id, type; /* filters, empty: any */
    int64_t since_ms, before_ms;                 /* since <= timestamp < before; 0: any */
    struct receipt *receipts;
    size_t receipt_count;
    uint64_t next; /* `after` of the next page */
    bool more;
};
void store_receipts(struct store *store, struct store_receipts *request);

/* Tiles by their place. -EUCLEAN if one has fewer hashes than it must have. */
struct tile_read {
    uint32_t level, need; /* in; need: hashes that must be there */
    uint64_t number;      /* in */
    uint32_t count;       /* out */
    const uint8_t (*hashes)[SHA256_SIZE];
};
struct store_tiles {
    struct store_request req;
    uint32_t shard;
    struct tile_read *tiles;
    size_t tile_count;
};
void store_tiles(struct store *store, struct store_tiles *request);

struct governor_item {
    struct span tenant_id, entitlement_id;
    uint32_t partition;
    struct governor_record record; /* heap-owned: governor_record_done */
    uint64_t waiting;
};
/* Governors in key order behind (after_tenant, after_entitlement), or before it when descending; empty: from the end of
 * the order. tenant_id restricts. One of them: limit 1 and exact. */
struct store_governors {
    struct store_request req;
    struct span tenant_id, entitlement_id;
    bool exact, descending;
    int state; /* -1 any */
    struct span after_tenant, after_entitlement;
    uint32_t limit;
    struct governor_item *governors;
    size_t governor_count;
    bool more;
};
void store_governors(struct store *store, struct store_governors *request);

/* The rows of partitions as they were committed last, in order. */
struct partition_item {
    uint32_t partition;
    struct span owner; /* empty: free, or its owner died */
    int64_t lease_ms;  /* left of it */
    uint64_t epoch, batch;
    uint32_t crashes;
    uint64_t taken, requeued, ended, duplicates, waiting, acting, governors;
    uint64_t outcomes_open, missing, deadletters, commands; /* as in struct lease; open, pending */
};
struct store_partitions {
    struct store_request req;
    bool descending;
    int64_t after; /* partition, exclusive; -1: from the first, or the last */
    uint32_t limit;
    struct partition_item *partitions;
    size_t partition_count;
    bool more;
};
void store_partitions(struct store *store, struct store_partitions *request);

/* Sums over all partitions and shards, for status and metrics. */
struct store_totals {
    struct store_request req;
    uint64_t taken, requeued, ended, duplicates, waiting, acting, governors, outcomes_open, receipts, chains;
    uint64_t governors_in[GOVERNOR_STATE_COUNT];
    uint64_t deadletters[CLASS_COUNT]; /* open */
    uint64_t missing;                  /* as in struct lease */
};
void store_totals(struct store *store, struct store_totals *request);

/* --- data set -------------------------------------------------------------------------------------------- */

/* Values fixed for a data set ("partitions", "shards"): stored on first use, compared afterwards. */
struct store_fix {
    struct store_request req;
    const char *name;
    uint64_t value;
    uint64_t stored; /* out: differs from value when the data set was made otherwise */
};
void store_fix(struct store *store, struct store_fix *request);

/* Deletes signal rows that ended more than retention_ms ago by the clock of their partition, walking the table a slice
 * at a time; those that keep bytes (open dead letters) stay. Deletes ended commands of that age as well. No wall clock
 * is asked: whatever it says, what ended less than that long ago is known. */
struct store_sweep {
    struct store_request req;
    int64_t retention_ms;
    uint32_t limit;   /* rows to look at */
    uint64_t deleted; /* out */
};
void store_sweep(struct store *store, struct store_sweep *request);

#endif
