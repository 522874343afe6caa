/* Planted bugs in what operators' commands and dead letters become.
 *
 *   command_lost         some commands are answered 202 and not stored
 *   command_twice        some commands stay pending once carried out, and are carried out again
 *   requeue_lost         some requeues close their dead letter and do not run its signal
 *   discard_unreceipted  discards leave no receipt
 *   letter_lost          some dead letters are not put into triage */
#include "shim.h"

#include "jidoka/worker.h"
#include "store/sqlite/internal.h"

int __real_command_add_run(struct db_conn *conn, struct op *op);
int __wrap_command_add_run(struct db_conn *conn, struct op *op);
int __real_commands_write(struct db_conn *conn, struct store_commit *request);
int __wrap_commands_write(struct db_conn *conn, struct store_commit *request);
int __real_deadletters_write(struct db_conn *conn, struct store_commit *request);
int __wrap_deadletters_write(struct db_conn *conn, struct store_commit *request);
void __real_signal_step(struct batch *batch, const struct signal *signal, bool redrivable);
void __wrap_signal_step(struct batch *batch, const struct signal *signal, bool redrivable);
uint64_t __real_batch_outcome(struct batch *batch, const struct receipt_fields *fields);
uint64_t __wrap_batch_outcome(struct batch *batch, const struct receipt_fields *fields);

int __wrap_command_add_run(struct db_conn *conn, struct op *op)
{
    return shim_bug("command_lost") && shim_sometimes(10) ? 0 : __real_command_add_run(conn, op);
}

int __wrap_commands_write(struct db_conn *conn, struct store_commit *request)
{
    size_t all = request->command_count;
    if (shim_bug("command_twice") && all && shim_sometimes(4))
        request->command_count--;
    int rc = __real_commands_write(conn, request);
    request->command_count = all;
    return rc;
}

int __wrap_deadletters_write(struct db_conn *conn, struct store_commit *request)
{
    bool any = false;
    for (size_t i = 0; i < request->signal_count; i++)
        any = any || request->signals[i].deadletter;
    return shim_bug("letter_lost") && any && shim_sometimes(3) ? 0 : __real_deadletters_write(conn, request);
}

void __wrap_signal_step(struct batch *batch, const struct signal *signal, bool redrivable)
{
    if (!shim_bug("requeue_lost") || signal->redrive == 0 || !shim_sometimes(4))
        __real_signal_step(batch, signal, redrivable);
}

/* The row then names the number of the next outcome, whatever that will be. */
uint64_t __wrap_batch_outcome(struct batch *batch, const struct receipt_fields *fields)
{
    const struct receipt_operation *operation = fields->operation;
    if (!shim_bug("discard_unreceipted") || !operation || strcmp(operation->command, "discard") != 0)
        return __real_batch_outcome(batch, fields);
    const struct partition *p = batch->partition;
    return p->outcome_next[shard_of(fields->tenant_id, (uint32_t)p->jidoka->config->shards)];
}
