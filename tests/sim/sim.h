/* The simulator's world: processes made of the real layers, over one database and one queue, in virtual time. Shared by
 * its files.
 *
 *   world_new → world_run (chaos → heal → drain → stop → check) → world_free
 *
 * Everything runs on one thread, and every choice comes from the seed: the same seed is the same run. */
#ifndef TAI_TESTS_SIM_SIM_H
#define TAI_TESTS_SIM_SIM_H

#include "andon/ledger/note.h"
#include "andon/ledger/tail.h"
#include "jidoka/jidoka.h"
#include "sim/bugs.h"
#include "sim/database.h"
#include "sim/history.h"
#include "sim/signing.h"
#include "sim/virtual_time.h"
#include "store/sqlite/sqlite.h"

enum { PROCESSES_MAX = 6, SIM_PARTITIONS_MAX = 4, SIM_SHARDS_MAX = 2, TENANTS_MAX = 3, ENTITLEMENTS_MAX = 3 };

/* What outlives a run: making it anew for each would cost more than the run. */
struct laboratory {
    struct database *database;
    struct note_key *key;
    char state_dir[64];
    int log_fd; /* what the layers log, to be searched for their own alarms */
    bool trace;
};

enum role { ROLE_PUBLISHER, ROLE_WORKER, ROLE_ANDON, ROLE_COUNT };

struct process;

/* A worker's configuration is its own, because its actions know where they run. */
struct sim_action {
    char name[16]; /* first: config.name points here, which is how an attempt finds its world */
    struct process *process;
};

struct actor { /* a thread with a loop */
    struct process *process;
    bool on;
    struct event_base *base; /* NULL: the publisher's, which has nothing but the queue */
    uint64_t seen;           /* world.activity when it last ran */
};

struct process {
    struct world *world;
    unsigned number; /* as an owner of database ports */
    bool has[ROLE_COUNT];
    bool up, doomed; /* doomed: it has met the signal that kills */
    unsigned starts;
    char name[24];
    int64_t down_until_us, stalled_until_us;
    int64_t skew_us; /* of its wall clock */
    struct clock clock;
    struct log log;
    struct metrics *metrics;
    struct actor actors[ROLE_COUNT];
    unsigned draining; /* roles that were asked to stop and have not said that they did */

    struct kanban *publisher;
    struct jidoka *jidoka;
    struct jidoka_config config;
    struct policy_config policy;
    struct action_config action_config;
    struct sim_action action;
    struct tail *tail;
    struct store *andon_store;
    struct event *andon_event;
    struct andon_metrics andon_metrics;
    struct desk *desk; /* of its operator */
};

struct faults { /* per mille of the steps of the chaos phase */
    unsigned crash, stall, clock_jump;
    unsigned action_fails, action_hangs, action_defers;
    unsigned commit_reply_lost; /* of the commits: done, but answered -EIO */
};

struct world {
    struct laboratory *lab;
    uint64_t seed;
    enum bug bug;
    struct random random;
    struct virtual_time time;
    uint64_t step;     /* logical time */
    uint64_t activity; /* rises whenever something happened anywhere */
    bool embedded;     /* one process over SQLite, as `tai run`; else many over a broker */
    bool calm;         /* no more faults */
    bool far_jumps;    /* wall clocks may jump by years, not only by days */
    struct faults faults;
    struct jidoka_config config;
    struct policy_config policy;
    struct action_config action_config;
    int64_t lease_ttl_ms;
    unsigned store_links; /* opened so far: who commits */
    struct process processes[PROCESSES_MAX];
    unsigned process_count;
    struct process *starting;              /* whose links are being opened */
    struct store_backend *sqlite, *store;  /* the real one; the layers' */
    struct kanban_backend *faulty, *queue; /* the broker; the layers' */
    struct hasher *hasher;
    struct buf scratch;

    /* workload.c */
    unsigned tenants, entitlements, signals_wanted, posts_open, numbered;
    unsigned repost, conflict, event; /* per mille of the signals */
    int64_t next_post_us;

    bool has_killer, killed; /* killed: a process also died of something else */
    struct sent *killer;     /* a signal that ends whoever tries to commit it, unless as poison */

    /* operator.c */
    unsigned command;           /* per mille of the steps */
    unsigned ordered, requeued; /* requeued: how many requeues were applied */
    struct ordered *orders;

    struct history history;

    /* what was seen on the way (evidence.c) */
    struct evidence *evidence;
    struct signing_witness witness;
    struct shim_memory *shims; /* what planted bugs remember */

    unsigned violations;
    char invariant[32]; /* the first that was broken */
    char verdict[512];
};

/* world.c */
struct world *world_new(struct laboratory *lab, uint64_t seed, enum bug bug);
bool world_run(struct world *world); /* true: every invariant holds */
void world_free(struct world *world);
void world_violation(struct world *world, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void world_trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void world_active(struct world *world)
{
    world->activity++;
}

/* setup.c */
void setup_world(struct world *world);      /* chooses everything a run is made of */
void setup_worker(struct process *process); /* its copy of the configuration */
void setup_calm(struct world *world);       /* no more faults */

/* process.c */
void process_start(struct process *process);
void process_crash(struct process *process);
void process_stop(struct process *process, enum role role); /* gracefully; draining falls when it has */
void process_end(struct process *process);                  /* frees what is left after a stop */
void actor_run(struct actor *actor);                        /* one pass of its loop */
bool actor_idle(const struct actor *actor);     /* it has run since anything happened, and nothing waits in its loop */
int64_t actor_deadline_us(struct actor *actor); /* of its next timer */
bool process_stalled(const struct process *process);

/* workload.c */
void workload_step(struct world *world); /* perhaps a post */
bool workload_over(const struct world *world);
/* Some governor's name; now and then of one that nothing was ever sent to. */
void workload_governor(struct world *world, char *ret_tenant, size_t tenant_size, char *ret_entitlement,
                       size_t entitlement_size);
/* A body of its own: bytes, data and hash. They live until the next call. */
void workload_body(struct world *world, struct signal *signal, bool event, const char *tenant);
void workload_published(void *ctx, void *token, int status);

/* action.c */
extern const struct action_type *const sim_action_types[];

/* shim_store.c, shim_queue.c: between the layers and what is real, to see everything and to plant bugs */
struct store_backend *shim_store_new(struct world *world, struct store_backend *inner);
struct kanban_backend *shim_queue_new(struct world *world, struct kanban_backend *take_inner);

/* drill.c: questions of the simulator itself, answered at once */
struct drill;
struct drill *drill_new(struct world *world);
void drill_free(struct drill *drill);
struct store *drill_store(struct drill *drill);
void drill_wait(struct drill *drill, bool *answered);

#endif
