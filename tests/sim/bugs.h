/* The planted bugs: mistakes a broker adapter, the wrapper, the worker, the store or andon could make, put in by shims
 * of this program around the real ones. One at a time; each must be caught by the checker. */
#ifndef TAI_TESTS_SIM_BUGS_H
#define TAI_TESTS_SIM_BUGS_H

#include <stdbool.h>

#define BUGS(X)                                                                                                        \
    X(SETTLE_EARLY, "settle_early", "a frame is settled when it is delivered, not when it is committed")               \
    X(SETTLE_ABANDONED, "settle_abandoned", "what a reader held is settled when it unsubscribes")                      \
    X(SETTLE_FORGOTTEN, "settle_forgotten", "one settle in eight is not sent")                                         \
    X(CONFIRM_EARLY, "confirm_early", "a publish is answered before the queue has it")                                 \
    X(NACK_AS_ACK, "nack_as_ack", "a nack is read as an ack")                                                          \
    X(MULTIPLE_IGNORED, "multiple_ignored", "of confirms that come together only the last counts")                     \
    X(RETURN_IGNORED, "return_ignored", "an unroutable frame is returned, then acked, and only the ack is read")       \
    X(REDELIVERY_DROPPED, "redelivery_dropped", "a redelivered frame is taken for a duplicate and settled unread")     \
    X(REDELIVERY_AS_NEW, "redelivery_as_new", "a redelivered frame gets new signal ids")                               \
    X(FRAMES_SWAPPED, "frames_swapped", "two frames of a partition are delivered in the other order")                  \
    X(SIGNAL_CUT, "signal_cut", "the last signal of a full frame is left out")                                         \
    X(PARTITION_WRONG, "partition_wrong", "a frame is published to the partition beside its own")                      \
    X(SEQUENCE_REUSED, "sequence_reused", "a frame carries the sequence of the one before")                            \
    X(CONFIRMED_HIGH, "confirmed_high", "a header calls its own, still unanswered frame confirmed")                    \
    X(VOID_UNTOLD, "void_untold", "a header does not name the void sequences")                                         \
    X(TENANT_IN_FRAME, "tenant_in_frame", "a frame's signal changes its tenant on the way")                            \
    X(DEDUPE_SKIPPED, "dedupe_skipped", "the look-up answers that a known identity is unknown")                        \
    X(CONFLICT_MISSED, "conflict_missed", "another body under a known identity is taken for a duplicate")              \
    X(EPOCH_UNCHECKED, "epoch_unchecked", "a commit is not fenced by its epoch")                                       \
    X(EPOCH_KEPT, "epoch_kept", "taking a lease does not raise the epoch")                                             \
    X(BATCH_UNCHECKED, "batch_unchecked", "a commit whose reply was lost is done again")                               \
    X(OUTCOME_DROPPED, "outcome_dropped", "the last outcome of a batch is not written")                                \
    X(OUTCOME_TWICE, "outcome_twice", "the last outcome of a batch is written twice, under two numbers")               \
    X(OUTCOME_TENANT, "outcome_tenant", "an outcome is written for another tenant")                                    \
    X(ROW_LOST, "row_lost", "the new status of a waiting or acting row is not written")                                \
    X(GOVERNOR_LOST, "governor_lost", "a changed governor is not written")                                             \
    X(GOVERNOR_FORGOTTEN, "governor_forgotten", "the look-up does not find a governor, which is made anew")            \
    X(QUOTA_LOST, "quota_lost", "the quota used is written one too low")                                               \
    X(ATTEMPT_LOST, "attempt_lost", "an action's attempt number is not written before the attempt")                    \
    X(WAITING_REVERSED, "waiting_reversed", "waiting rows are released newest first")                                  \
    X(LINE_RESET, "line_reset", "order numbers of waiting rows begin again after a claim")                             \
    X(EXPIRY_IGNORED, "expiry_ignored", "waiting rows never expire")                                                   \
    X(TIMERS_LOST, "timers_lost", "timers are not loaded after a claim")                                               \
    X(CLOCK_BACK, "clock_back", "the partition clock begins at 0 after a claim")                                       \
    X(DUPLICATES_UNCOUNTED, "duplicates_uncounted", "duplicates are not counted")                                      \
    X(INTAKE_LOST, "intake_lost", "the sequences a batch took are not written")                                        \
    X(DEADLETTER_LOST, "deadletter_lost", "a dead letter is not put into triage")                                      \
    X(REQUEUE_UNCOUNTED, "requeue_uncounted", "a requeue is not counted")                                              \
    X(COMMAND_FORGOTTEN, "command_forgotten", "a command that was carried out stays pending")                          \
    X(POISON_UNSEEN, "poison_unseen", "attempts at single signals are not written before they are made")               \
    X(ACTION_EARLY, "action_early", "an action starts before its intent is committed")                                 \
    X(ACTION_ID_CHANGES, "action_id_changes", "each attempt has an idempotency key of its own")                        \
    X(ACTION_TWICE, "action_twice", "an attempt is started twice")                                                     \
    X(ACTION_BYTES, "action_bytes", "an action gets the signal of the action before")                                  \
    X(RECEIPT_ALTERED, "receipt_altered", "a byte of a receipt differs from what was hashed")                          \
    X(RECEIPT_UNLINKED, "receipt_unlinked", "a receipt does not name the hash of the one before")                      \
    X(CHECKPOINT_EARLY, "checkpoint_early", "a checkpoint is published before its receipts are committed")

enum bug {
    BUG_NONE,
#define X(id, name, text) BUG_##id,
    BUGS(X)
#undef X
        BUG_COUNT
};

/* Whether the run under way starts actions before their commit. */
bool bug_acts_early(void);

extern const char *const bug_names[BUG_COUNT];
extern const char *const bug_texts[BUG_COUNT];

#endif
