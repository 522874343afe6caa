/* Counts are kept in a count-min sketch of two rows: fixed memory for any number of tenants, nothing to age. A tenant
 * is counted too high only where it shares a cell with a heavy one in both rows (about one in 10⁹ for one that floods).
 * What was put into a partition stands there in runs of one tenant, oldest first; runs leave as the depth falls. */
#include "ingress/shares.h"

#include "common/hash.h"
#include "common/mem.h"

#include <stdlib.h>

enum {
    ROWS = 2,
    CELLS = 1 << 15,       /* of a row */
    RUNS_MAX = 1 << 16,    /* of a partition; beyond them the oldest counts for nobody */
    RUNS_KEPT = 1 << 10,   /* by an empty partition */
    RATE_US = 1000 * 1000, /* how fast the queue is worked off is measured over this time or somewhat more */
};

struct run {
    uint32_t key;
    uint32_t count;
};

/* A ring of runs. */
struct waiting {
    struct run *runs;
    size_t cap; /* 0 or a power of two */
    size_t head, used;
    uint64_t signals; /* in all runs */
};

struct shares {
    struct shares_options options;
    uint32_t (*cells)[CELLS]; /* ROWS of them */
    uint32_t newest;          /* the tenant that tried last, and when */
    int64_t newest_us;
    int64_t other_us; /* when another one tried last */
    uint64_t left;    /* signals that left the queue since rate_us */
    int64_t rate_us;
    uint64_t per_s; /* as last measured */
    struct waiting waiting[];
};

struct shares *shares_new(const struct shares_options *options, int64_t now_us)
{
    struct shares *shares = xcalloc(1, sizeof(*shares) + options->partitions * sizeof(shares->waiting[0]));
    shares->options = *options;
    shares->cells = xcalloc(ROWS, sizeof(*shares->cells));
    uint64_t waiting = 0;
    for (uint32_t p = 0; p < options->partitions; p++)
        waiting += options->depth(options->ctx, p);
    /* What waits from before may be another's. */
    shares->newest_us = shares->other_us = waiting ? now_us : now_us - SHARES_OTHERS_US;
    shares->rate_us = now_us;
    shares->per_s = options->shared;
    return shares;
}

void shares_free(struct shares *shares)
{
    if (!shares)
        return;
    for (uint32_t p = 0; p < shares->options.partitions; p++)
        free(shares->waiting[p].runs);
    free(shares->cells);
    free(shares);
}

static uint32_t key_of(const struct shares *shares, struct span tenant_id)
{
    return (uint32_t)hash_quick(tenant_id, shares->options.seed);
}

static uint32_t *cell(const struct shares *shares, unsigned row, uint32_t key)
{
    return &shares->cells[row][(row ? key >> 16 : key) % CELLS];
}

static uint64_t count_of(const struct shares *shares, uint32_t key)
{
    uint32_t a = *cell(shares, 0, key), b = *cell(shares, 1, key);
    return a < b ? a : b;
}

static void count(const struct shares *shares, uint32_t key, uint32_t add, uint32_t sub)
{
    for (unsigned row = 0; row < ROWS; row++)
        *cell(shares, row, key) += add - sub;
}

/* --- what waits in a partition ------------------------------------------------------------------------------------ */

static struct run *run_at(const struct waiting *w, size_t i)
{
    return &w->runs[(w->head + i) & (w->cap - 1)];
}

static void grow(struct waiting *w)
{
    size_t cap = w->cap ? w->cap * 2 : 64;
    struct run *runs = xcalloc(cap, sizeof(*runs));
    for (size_t i = 0; i < w->used; i++)
        runs[i] = *run_at(w, i);
    free(w->runs);
    w->runs = runs;
    w->cap = cap;
    w->head = 0;
}

/* Takes the oldest signals out, at most so many and of one run; how many those were. */
static uint64_t pop(struct shares *shares, struct waiting *w, uint64_t most)
{
    struct run *run = run_at(w, 0);
    uint32_t gone = most < run->count ? (uint32_t)most : run->count;
    count(shares, run->key, 0, gone);
    run->count -= gone;
    w->signals -= gone;
    if (run->count == 0) {
        w->head = (w->head + 1) & (w->cap - 1);
        w->used--;
    }
    return gone;
}

static void push(struct shares *shares, struct waiting *w, uint32_t key, uint32_t signals)
{
    struct run *last = w->used ? run_at(w, w->used - 1) : NULL;
    w->signals += signals;
    if (last && last->key == key && last->count <= UINT32_MAX - signals) {
        last->count += signals;
        return;
    }
    if (w->used == RUNS_MAX)
        pop(shares, w, UINT64_MAX);
    if (w->used == w->cap)
        grow(w);
    *run_at(w, w->used++) = (struct run){key, signals};
}

/* Forgets what has left the partition. */
static void settle(struct shares *shares, uint32_t partition)
{
    struct waiting *w = &shares->waiting[partition];
    uint64_t depth = w->used ? shares->options.depth(shares->options.ctx, partition) : 0;
    while (w->signals > depth)
        shares->left += pop(shares, w, w->signals - depth);
    if (!w->used && w->cap > RUNS_KEPT) {
        free(w->runs);
        *w = (struct waiting){0};
    }
}

/* --- who may have more -------------------------------------------------------------------------------------------- */

/* When a tenant other than this one last tried. */
static int64_t other_tried(struct shares *shares, uint32_t key, int64_t now_us)
{
    if (key != shares->newest) {
        shares->other_us = shares->newest_us;
        shares->newest = key;
    }
    shares->newest_us = now_us;
    return shares->other_us;
}

static void settle_all(struct shares *shares, int64_t now_us)
{
    for (uint32_t p = 0; p < shares->options.partitions; p++)
        settle(shares, p);
    int64_t elapsed = now_us - shares->rate_us;
    if (elapsed < RATE_US)
        return;
    bool known = elapsed < 5 * RATE_US; /* nobody was refused for long: what left meanwhile says little */
    shares->per_s = known ? shares->left * 1000000 / (uint64_t)elapsed : shares->options.shared;
    shares->left = 0;
    shares->rate_us = now_us;
}

static int64_t retry_s(const struct shares *shares, uint64_t over)
{
    uint64_t s = shares->per_s ? over / shares->per_s + 1 : SHARES_RETRY_MAX_S;
    return s < SHARES_RETRY_MAX_S ? (int64_t)s : SHARES_RETRY_MAX_S;
}

bool shares_take(struct shares *shares, struct span tenant_id, int64_t now_us, uint64_t *ret_limit,
                 int64_t *ret_retry_s)
{
    uint32_t key = key_of(shares, tenant_id);
    bool others = now_us - other_tried(shares, key, now_us) < SHARES_OTHERS_US;
    uint64_t limit = others ? shares->options.shared : shares->options.alone;
    if (count_of(shares, key) >= limit) {
        settle_all(shares, now_us);
        uint64_t held = count_of(shares, key);
        if (held >= limit) {
            *ret_limit = limit;
            *ret_retry_s = retry_s(shares, held - limit);
            return false;
        }
    }
    count(shares, key, 1, 0);
    return true;
}

void shares_queued(struct shares *shares, uint32_t partition, struct span tenant_id, uint32_t signals)
{
    uint32_t key = key_of(shares, tenant_id);
    push(shares, &shares->waiting[partition], key, signals);
    settle(shares, partition);
}

void shares_dropped(struct shares *shares, struct span tenant_id, uint32_t signals)
{
    count(shares, key_of(shares, tenant_id), 0, signals);
}
