/* The offline check: signals, governors, and the counters of the partitions they belong to. */
#include "store/sqlite/check_internal.h"

#include <inttypes.h>

/* --- signals ----------------------------------------------------------------------------------------------------- */

/* Kept bytes must be those that were received, under their own envelope. */
static void kept_bytes(struct scan *scan, const struct row *row, const struct signal_row *signal)
{
    uint8_t sum[SHA256_SIZE];
    struct error err = {0};
    if (!signal->envelope.ptr != !signal->bytes.ptr)
        scan_bad(scan, row, "envelope and bytes do not go together");
    if (!signal->envelope.ptr || !signal->bytes.ptr || span_is(signal->reason, "corrupt"))
        return;
    hasher_sha256(scan->hasher, signal->bytes, sum);
    if (signal->bytes.len < STORE_TEXT_MAX && memcmp(sum, signal->sha256, sizeof(sum)) != 0)
        scan_bad(scan, row, "its bytes do not have its hash");
    else if (scan->options->envelope(signal, &err))
        scan_bad(scan, row, "its envelope: %s", err.text);
}

static void count_signal(struct tally *tally, const struct signal_row *signal)
{
    tally->waiting += signal->status == SIGNAL_WAITING;
    tally->acting += signal->status == SIGNAL_ACTING;
    tally->ended += signal->status > SIGNAL_ACTING;
    tally->kept += signal->status > SIGNAL_ACTING && signal->bytes.ptr;
    tally->line = signal->line > tally->line ? signal->line : tally->line;
}

static void one_signal(struct scan *scan, struct row *row)
{
    struct signal_row signal;
    signal_row_read(row, &signal);
    uint32_t partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    signal_read_bytes(row, &signal);
    int64_t conflict = row_int(row, 0, 1);
    if (!scan_good(scan, row))
        return;
    bool keeps =
        signal.status <= SIGNAL_ACTING || signal.status == SIGNAL_FAILED || signal.status == SIGNAL_DEADLETTERED;
    if (!scan_partition(scan, signal.identity.tenant_id, signal.identity.entitlement_id, partition))
        scan_bad(scan, row, "it does not belong to partition %u", partition);
    if (conflict)
        scan_bad(scan, row, "its key has another hash than its row");
    if (signal.due_ms && signal.status != SIGNAL_WAITING)
        scan_bad(scan, row, "it is timed, but does not wait");
    if (!keeps && signal.bytes.ptr)
        scan_bad(scan, row, "it ended %s, but still has its bytes", signal_status_names[signal.status]);
    uint32_t shard = shard_of(signal.identity.tenant_id, scan->shards);
    uint64_t last = signal.outcome_count ? signal.outcomes[signal.outcome_count - 1] : 0;
    if (last && last >= *numbers_at(scan->next, partition, shard))
        scan_bad(scan, row, "it names outcome %" PRIu64 " of shard %u, which was never written", last, shard);
    kept_bytes(scan, row, &signal);
    count_signal(&scan->tallies[partition], &signal);
}

void check_signals(struct scan *scan)
{
    scan_rows(scan, "signals",
              db_stmt(scan->conn, "SELECT " SIGNAL_COLUMNS ", partition, envelope, bytes,"
                                  " conflict <> x'' AND conflict <> sha256 FROM signals"),
              one_signal);
}

/* --- governors --------------------------------------------------------------------------------------------------- */

static bool is_acting(struct scan *scan, struct span tenant_id, struct span entitlement_id,
                      const struct governor_pending *pending)
{
    sqlite3_stmt *stmt = db_stmt(scan->conn, "SELECT status = 1 FROM signals WHERE id = ?1 AND tenant = ?2"
                                             " AND entitlement = ?3 AND redrive = ?4 AND conflict = x''");
    bind_span(stmt, 1, span_of(pending->signal_id));
    bind_span(stmt, 2, tenant_id);
    bind_span(stmt, 3, entitlement_id);
    sqlite3_bind_int64(stmt, 4, pending->redrive);
    return db_step(stmt) == 1 && sqlite3_column_int(stmt, 0) == 1;
}

static void one_governor(struct scan *scan, struct row *row)
{
    struct governor_record record;
    governor_read(row, &record);
    struct span tenant_id = row_text(row, STORE_ID_MAX), entitlement_id = row_text(row, STORE_ID_MAX);
    uint32_t partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    int64_t next_due = row_int_or(row, INT64_MIN, INT64_MAX, INT64_MAX);
    int64_t quota_due = row_int_or(row, INT64_MIN, INT64_MAX, INT64_MAX);
    bool good = scan_good(scan, row);
    const char *broken = good ? scan->options->governor(&record) : NULL;
    if (broken)
        scan_bad(scan, row, "%s", broken);
    if (good && !scan_partition(scan, tenant_id, entitlement_id, partition))
        scan_bad(scan, row, "it does not belong to partition %u", partition);
    if (good && (next_due != governor_next_due(&record) || quota_due != governor_quota_due(&record)))
        scan_bad(scan, row, "its timers are not those of its record");
    if (good && record.pending && !is_acting(scan, tenant_id, entitlement_id, record.pending))
        scan_bad(scan, row, "it waits for an action of a signal that is not acting");
    if (good)
        scan->tallies[partition].governors++;
    governor_record_done(&record);
}

static void one_tenant(struct scan *scan, struct row *row)
{
    row_borrow(row, STORE_ID_MAX);
    (void)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    uint64_t stated = row_count(row), found = row_count(row);
    if (scan_good(scan, row) && stated != found)
        scan_bad(scan, row, "it counts %" PRIu64 " governors, there are %" PRIu64, stated, found);
}

void check_governors(struct scan *scan)
{
    int64_t missing = 0;
    scan_rows(scan, "governors",
              db_stmt(scan->conn, "SELECT " GOVERNOR_COLUMNS ", tenant, entitlement, partition, next_due, quota_due"
                                  " FROM governors"),
              one_governor);
    scan_rows(scan, "tenants",
              db_stmt(scan->conn, "SELECT tenant, partition, governors, (SELECT count(*) FROM governors g"
                                  " WHERE g.tenant = t.tenant AND g.partition = t.partition) FROM tenants t"),
              one_tenant);
    scan->table = "tenants";
    if (scan_number(scan,
                    db_stmt(scan->conn, "SELECT (SELECT count(*) FROM governors) -"
                                        " (SELECT coalesce(sum(governors), 0) FROM tenants)"),
                    &missing) &&
        missing > 0)
        scan_bad_key(scan, "", "%" PRId64 " governors are of a tenant without a row", missing);
}

/* --- partitions -------------------------------------------------------------------------------------------------- */

static void one_partition(struct scan *scan, struct row *row)
{
    struct lease lease = {0};
    partition_read(row, &lease);
    if (!scan_good(scan, row))
        return;
    const struct tally *tally = &scan->tallies[lease.partition];
    if (lease.partition >= scan->partitions)
        scan_bad(scan, row, "the data set has only %u partitions", scan->partitions);
    if (lease.taken + lease.requeued != lease.ended + lease.duplicates + lease.waiting + lease.acting)
        scan_bad(scan, row,
                 "its counters do not balance: %" PRIu64 " taken and %" PRIu64 " requeued, but %" PRIu64
                 " ended, %" PRIu64 " duplicates, %" PRIu64 " waiting, %" PRIu64 " acting",
                 lease.taken, lease.requeued, lease.ended, lease.duplicates, lease.waiting, lease.acting);
    if (lease.waiting != tally->waiting || lease.acting != tally->acting || lease.governors != tally->governors)
        scan_bad(scan, row,
                 "it counts %" PRIu64 " waiting, %" PRIu64 " acting and %" PRIu64 " governors, there are %" PRIu64
                 ", %" PRIu64 " and %" PRIu64,
                 lease.waiting, lease.acting, lease.governors, tally->waiting, tally->acting, tally->governors);
    if (lease.ended < tally->ended)
        scan_bad(scan, row, "it counts %" PRIu64 " signals ended, but there are %" PRIu64, lease.ended, tally->ended);
    if (lease.next_line <= tally->line)
        scan_bad(scan, row, "its next line is %" PRIu64 ", but a signal waits in line %" PRIu64, lease.next_line,
                 tally->line);
}

static void one_range(struct scan *scan, struct row *row)
{
    int64_t partition = row_int(row, 0, INTAKE_REFUSALS);
    uint8_t boot[8];
    struct span text = row_borrow(row, 2 * sizeof(boot));
    int64_t first = row_int(row, 1, INT64_MAX), last = row_int(row, 1, INT64_MAX);
    (void)row_count(row);
    int64_t before = row_int(row, 0, INT64_MAX);
    if (!scan_good(scan, row))
        return;
    if ((partition >= scan->partitions && partition != INTAKE_REFUSALS) || !hex_decode(text, boot, sizeof(boot)) ||
        last < first)
        scan_bad(scan, row, "it cannot be a range of frames");
    else if (before && before >= first)
        scan_bad(scan, row, "it overlaps the range before it");
}

void check_partitions(struct scan *scan)
{
    int64_t count = 0;
    scan_rows(scan, "partitions", db_stmt(scan->conn, "SELECT " PARTITION_COLUMNS " FROM partitions"), one_partition);
    for (uint32_t i = 0; i < STORE_PARTITIONS_MAX; i++) {
        const struct tally *tally = &scan->tallies[i];
        count += tally->waiting || tally->acting || tally->ended || tally->governors;
    }
    int64_t rows = 0;
    scan->table = "partitions";
    if (scan_number(scan, db_stmt(scan->conn, "SELECT count(*) FROM partitions"), &rows) && rows < count)
        scan_bad_key(scan, "", "%" PRId64 " partitions hold signals or governors, but only %" PRId64 " have a row",
                     count, rows);
    scan_rows(scan, "intake",
              db_stmt(scan->conn,
                      "SELECT partition, boot, first, last, confirmed, (SELECT coalesce(max(b.last), 0) FROM intake b"
                      " WHERE b.partition = i.partition AND b.boot = i.boot AND b.first < i.first) FROM intake i"),
              one_range);
}
