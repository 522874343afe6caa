/* The offline check: dead letters against the rows of their signals and their receipts, commands, attempts. */
#include "common/json/json.h"
#include "store/sqlite/check_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Whether the id is the receipt_id of one of the signal's outcomes. The newest replaces the last of a full list. */
static bool is_of_outcome(struct scan *scan, const struct deadletter *letter)
{
    uint32_t shard = shard_of(letter->row.identity.tenant_id, scan->shards);
    char id[UUID_TEXT + 1];
    for (uint32_t i = 0; i < letter->row.outcome_count; i++) {
        receipt_id_of(scan->hasher, letter->partition, shard, letter->row.outcomes[i], id);
        if (strcmp(id, letter->id) == 0)
            return true;
    }
    return letter->row.outcome_count == SIGNAL_OUTCOMES_MAX;
}

static void one_letter(struct scan *scan, struct row *row)
{
    struct deadletter letter;
    deadletter_read(row, &letter);
    struct span cause = row_text(row, STORE_REASON_MAX);
    int64_t ended_at = row_int(row, INT64_MIN, INT64_MAX), kept = row_int(row, 0, 1);
    if (!scan_good(scan, row))
        return;
    scan->tallies[letter.partition].letters[letter.class]++;
    if (!kept)
        scan_bad(scan, row, "the bytes of its signal are gone");
    if (!span_eq(cause, letter.row.reason) || ended_at != letter.row.changed_at_ms)
        scan_bad(scan, row, "its signal ended for another reason, or at another time");
    if (!scan_partition(scan, letter.row.identity.tenant_id, letter.row.identity.entitlement_id, letter.partition))
        scan_bad(scan, row, "it does not belong to partition %u", letter.partition);
    else if (!is_of_outcome(scan, &letter))
        scan_bad(scan, row, "no receipt of its signal has its id %s", letter.id);
}

static void one_count(struct scan *scan, struct row *row)
{
    uint32_t partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    int64_t class = row_int(row, 0, CLASS_COUNT - 1);
    uint64_t open = row_count(row);
    if (!scan_good(scan, row))
        return;
    uint64_t *found = &scan->tallies[partition].letters[class];
    if (open != *found)
        scan_bad(scan, row, "class %s: it counts %" PRIu64 " open dead letters, there are %" PRIu64,
                 deadletter_class_names[class], open, *found);
    *found = 0; /* said */
}

/* Dead letters that no counter counts, and signals that keep their bytes without being one. */
static void compare_letters(struct scan *scan, const uint64_t letters[STORE_PARTITIONS_MAX])
{
    char key[32];
    for (uint32_t i = 0; i < STORE_PARTITIONS_MAX; i++) {
        const struct tally *tally = &scan->tallies[i];
        uint64_t uncounted = 0;
        for (int class = 0; class < CLASS_COUNT; class ++)
            uncounted += tally->letters[class];
        snprintf(key, sizeof(key), "partition=%u", i);
        scan->table = "deadletter_counts";
        if (uncounted)
            scan_bad_key(scan, key, "%" PRIu64 " open dead letters are not counted", uncounted);
        scan->table = "deadletters";
        if (tally->kept != letters[i])
            scan_bad_key(scan, key,
                         "%" PRIu64 " ended signals are kept with their bytes, but %" PRIu64 " dead letters are open",
                         tally->kept, letters[i]);
    }
}

static void check_letters(struct scan *scan)
{
    uint64_t letters[STORE_PARTITIONS_MAX] = {0};
    scan_rows(scan, "deadletters",
              db_stmt(scan->conn, "SELECT " DEADLETTER_COLUMNS ", cause, ended_at, bytes IS NOT NULL" DEADLETTER_ROWS),
              one_letter);
    for (uint32_t i = 0; i < STORE_PARTITIONS_MAX; i++)
        for (int class = 0; class < CLASS_COUNT; class ++)
            letters[i] += scan->tallies[i].letters[class];
    scan_rows(scan, "deadletter_counts", db_stmt(scan->conn, "SELECT partition, class, open FROM deadletter_counts"),
              one_count);
    compare_letters(scan, letters);
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static bool is_object(struct span text)
{
    struct json_doc doc;
    json_init(&doc);
    bool object = json_parse(&doc, text, NULL) == 0 && doc.nodes->type == JSON_OBJECT;
    json_done(&doc);
    return object;
}

static void one_command(struct scan *scan, struct row *row)
{
    struct command command;
    uint8_t deadletter[16];
    struct error err = {0};
    command_read(row, &command, deadletter);
    command.envelope = row_blob_or_null(row, STORE_TEXT_MAX);
    command.bytes = row_blob_or_null(row, STORE_TEXT_MAX);
    if (!scan_good(scan, row))
        return;
    if (!scan_partition(scan, command.tenant_id, command.entitlement_id, command.partition))
        scan_bad(scan, row, "it does not belong to partition %u", command.partition);
    if (!is_object(command.args))
        scan_bad(scan, row, "its arguments are no JSON object");
    if (!command.envelope.ptr != !command.bytes.ptr ||
        (command.bytes.ptr && (command.status != COMMAND_PENDING || command.kind != COMMAND_REQUEUE))) {
        scan_bad(scan, row, "it has the bytes of a signal, which it cannot have");
    } else if (command.bytes.ptr) {
        struct signal_row signal = {
            .identity = {.tenant_id = command.tenant_id, .entitlement_id = command.entitlement_id},
            .envelope = command.envelope,
            .bytes = command.bytes};
        if (scan->options->envelope(&signal, &err))
            scan_bad(scan, row, "its edited signal: %s", err.text);
    }
}

static void one_attempt(struct scan *scan, struct row *row)
{
    struct span tenant_id = row_text(row, STORE_ID_MAX);
    row_borrow(row, STORE_ID_MAX);
    struct span entitlement_id = row_text(row, STORE_ID_MAX);
    (void)row_int(row, 0, UINT32_MAX);
    uint32_t partition = (uint32_t)row_int(row, 0, STORE_PARTITIONS_MAX - 1);
    (void)row_count(row);
    row_borrow(row, STORE_ID_MAX);
    if (scan_good(scan, row) && !scan_partition(scan, tenant_id, entitlement_id, partition))
        scan_bad(scan, row, "it does not belong to partition %u", partition);
}

void check_triage(struct scan *scan)
{
    check_letters(scan);
    scan_rows(scan, "commands", db_stmt(scan->conn, "SELECT " COMMAND_COLUMNS ", envelope, bytes FROM commands"),
              one_command);
    scan_rows(scan, "attempts",
              db_stmt(scan->conn, "SELECT tenant, id, entitlement, redrive, partition, epoch, worker FROM attempts"),
              one_attempt);
}
