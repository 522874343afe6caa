/* What the shims saw on the way, below every planted bug but for what a layer believed: frames and their answers,
 * commits and their fences, actions started, checkpoints. Some of it is judged at once, the rest by the checker. */
#ifndef TAI_TESTS_SIM_EVIDENCE_H
#define TAI_TESTS_SIM_EVIDENCE_H

#include "sim/sim.h"

enum fate { FATE_UNANSWERED, FATE_CONFIRMED, FATE_VOID };

struct fate_of_frame {
    enum fate fate;
    uint32_t count;
    uint64_t confirmed; /* of its header */
    uint64_t voided[FRAME_VOID_MAX];
    uint32_t void_count;
};

struct lane_of_boot { /* the frames one publisher sent to one partition */
    struct lane_of_boot *next;
    char boot[17];
    uint32_t partition;
    struct fate_of_frame *frames; /* [sequence - 1] */
    size_t count, cap;
};

struct acked_commit { /* a commit whose owner was told that it is done */
    uint32_t partition;
    uint64_t epoch, batch; /* as that owner believed */
    int64_t clock_ms;
    unsigned owner; /* process and start */
};

struct attempt_seen {
    UT_hash_handle hh;
    unsigned committed, started;
    struct span signal_id, tenant_id, entitlement_id;
    char key[]; /* action_id, attempt */
};

struct action_seen { /* which action a signal has */
    UT_hash_handle hh;
    char action_id[UUID_TEXT + 1];
    char key[]; /* tenant, entitlement, signal */
};

struct checkpoint_seen {
    uint32_t shard;
    uint64_t size;
    uint8_t root[SHA256_SIZE];
};

struct evidence {
    struct arena arena;
    struct lane_of_boot *lanes;
    struct acked_commit *commits;
    size_t commit_count, commit_cap;
    struct attempt_seen *attempts;
    struct action_seen *actions;
    struct checkpoint_seen *checkpoints;
    size_t checkpoint_count, checkpoint_cap;
    unsigned effects; /* attempts started */
};

struct evidence *evidence_new(struct world *world);
void evidence_free(struct evidence *evidence);

struct fate_ref { /* lane NULL: none */
    struct lane_of_boot *lane;
    size_t index;
};
struct fate_ref evidence_published(struct world *world, const struct frame_header *header);
void evidence_answered(struct fate_ref ref, bool confirmed);
void evidence_commit(struct world *world, const struct acked_commit *commit);
void evidence_pending(struct world *world, const struct governor_change *change); /* committed with an acked commit */
/* Judges at once whether it may start. */
void evidence_started(struct world *world, const char *action_id, uint32_t attempt, struct span bytes);
void evidence_checkpoint(struct world *world, uint32_t shard, uint64_t size, const uint8_t root[SHA256_SIZE]);

#endif
