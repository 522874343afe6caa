/* The planted bug that sits in the worker itself. Apart from the other files, because this one sees the worker's
 * insides.
 */
#include "jidoka/worker.h"
#include "sim/bugs.h"

void __real_batch_commit(struct batch *batch);
void __wrap_batch_commit(struct batch *batch);
void __wrap_batch_commit(struct batch *batch)
{
    for (size_t i = 0; bug_acts_early() && i < batch->start_count; i++) {
        struct governor_entry *entry = batch->starts[i];
        const struct governor_pending *pending = entry->record.pending;
        if (pending && entry->acting && !entry->job)
            entry->job = runner_start(batch->partition->jidoka->runner, span_of(pending->action), pending->action_id,
                                      pending->attempt, (struct span){entry->acting->bytes, entry->acting->len}, entry);
    }
    __real_batch_commit(batch);
}
