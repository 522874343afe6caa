/* andon over a real store: outcomes in, receipts out; exactly once across restarts, lost replies and full disks; a
 * ledger that is not the one that was signed stops the line. */
#include "../support/andon_rig.h"
#include "../support/check.h"
#include "../support/fault_vfs.h"
#include "andon/ledger/export.h"
#include "common/db/internal.h"

#include <errno.h>

/* Turns until the checkpoint covers that many receipts; its text in ret. */
static bool checkpoint_of(struct rig *rig, uint32_t shard, uint64_t size, struct buf *ret)
{
    char target[64], line[64];
    snprintf(target, sizeof(target), "/checkpoint?shard=%u", shard);
    snprintf(line, sizeof(line), "\n%llu\n", (unsigned long long)size);
    for (int i = 0; i < 1000; i++) {
        struct rig_answer answer = rig_get(rig, target);
        bool there = answer.status == 200 && strstr(answer.body.ptr, line);
        if (there)
            buf_add_span(ret, answer.body);
        rig_answer_done(&answer);
        if (there)
            return true;
    }
    return false;
}

/* Everything that is in the store, under the checkpoint andon serves, must verify offline; and every outcome must have
 * become exactly one receipt, in the order of its partition. */
static void check_ledger(struct rig *rig, uint32_t shard, uint64_t size)
{
    struct buf text, note;
    uint64_t next[RIG_PARTITIONS] = {0};
    buf_init(&text, 64 << 20);
    buf_init(&note, 4096);
    struct rig_answer vkey = rig_get(rig, "/v1/ledger/vkey");
    CHECK_INT(vkey.status, 200);
    buf_add_str(&text, "tai-export/1\nvkey ");
    buf_add_span(&text, vkey.body);
    buf_addf(&text, "shard %u\n", shard);
    uint64_t count = 0;
    struct store_receipts page;
    do {
        rig_receipts(rig, shard, count, &page);
        for (size_t i = 0; i < page.receipt_count; i++, count++) {
            const struct receipt *receipt = &page.receipts[i];
            CHECK_INT(receipt->index, count);
            CHECK(receipt->number > next[receipt->partition]);
            if (rig->config.ledger.shards == 1)
                CHECK_INT(receipt->number, next[receipt->partition] + 1);
            next[receipt->partition] = receipt->number;
            buf_add_str(&text, "r ");
            buf_add_span(&text, receipt->body);
            buf_add_char(&text, '\n');
        }
        arena_done(&page.req.arena);
    } while (page.receipt_count);
    CHECK_INT(count, size);
    CHECK(checkpoint_of(rig, shard, size, &note));
    for (size_t i = 0; i < note.len; i++) {
        if (i == 0 || note.data[i - 1] == '\n')
            buf_add_str(&text, "c ");
        buf_add_char(&text, note.data[i]);
    }
    struct export_report report;
    struct error err = {0};
    FILE *in = fmemopen(text.data, text.len, "r");
    struct verify_keys keys = {0};
    CHECK_INT(verify_keys_add(&keys, (struct span){vkey.body.ptr, vkey.body.len - 1}, &err), 0);
    int r = export_verify(in, &(struct export_options){.keys = &keys}, &report, &err);
    verify_keys_done(&keys);
    CHECK_INT(r, 0);
    if (r)
        fprintf(stderr, "%s\n", err.text);
    CHECK_INT(report.receipts, size);
    fclose(in);
    rig_answer_done(&vkey);
    buf_done(&text);
    buf_done(&note);
}

static void begin(struct rig *rig, const char *vfs)
{
    rig_init(rig, vfs);
    rig_open(rig);
}

static void end(struct rig *rig)
{
    rig_close(rig);
    rig_remove(rig);
}

static void outcomes_become_receipts(void)
{
    struct rig rig;
    begin(&rig, NULL);
    rig_start(&rig);
    struct buf note;
    buf_init(&note, 4096);
    CHECK(checkpoint_of(&rig, 0, 0, &note)); /* of the empty log */
    buf_done(&note);
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_INT(rig_commit(&rig, i % RIG_PARTITIONS, 1 + i * 7), 0);
        rig_turn(&rig, 1);
    }
    CHECK(rig_until(&rig, rig.committed));
    check_ledger(&rig, 0, rig.committed);
    struct store_totals totals = rig_totals(&rig);
    CHECK_INT(totals.chains, RIG_TENANTS);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void a_wake_is_enough(void)
{
    struct rig rig;
    begin(&rig, NULL);
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 0, 1), 0);
    CHECK(rig_until(&rig, 1));
    int64_t worst = 0;
    for (int i = 0; i < 20; i++) { /* far below the second of the poll */
        int64_t began = clock_mono_ms(&clock_system);
        CHECK_INT(rig_commit(&rig, 1, 3), 0);
        CHECK(rig_until(&rig, rig.committed));
        int64_t took = clock_mono_ms(&clock_system) - began;
        worst = took > worst ? took : worst;
    }
    CHECK(worst < 500);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void a_backlog_is_worked_off(void)
{
    struct rig rig;
    begin(&rig, NULL);
    for (uint32_t i = 0; i < 12; i++)
        CHECK_INT(rig_commit(&rig, i % RIG_PARTITIONS, 450), 0);
    rig_start(&rig);
    CHECK(rig_until(&rig, rig.committed));
    check_ledger(&rig, 0, rig.committed);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void drain_leaves_nothing_open(void)
{
    struct rig rig;
    begin(&rig, NULL);
    for (int cycle = 0; cycle < 8; cycle++) {
        rig_start(&rig);
        rig_turn(&rig, cycle % 3);
        CHECK_INT(rig_commit(&rig, 0, 1500), 0);
        CHECK(rig_stop(&rig));
        struct store_totals totals = rig_totals(&rig);
        CHECK_INT(totals.outcomes_open, 0);
        CHECK_INT(totals.receipts, rig.committed);
    }
    rig_start(&rig);
    check_ledger(&rig, 0, rig.committed);
    CHECK(rig_stop(&rig));
    end(&rig);
}

/* Killed at whatever moment a few milliseconds lead to; what the store still does of its requests, it does. */
static void exactly_once_across_kills(void)
{
    struct rig rig;
    begin(&rig, NULL);
    for (uint32_t cycle = 0; cycle < 25; cycle++) {
        rig_start(&rig);
        for (uint32_t i = 0; i < 4; i++) {
            CHECK_INT(rig_commit(&rig, (cycle + i) % RIG_PARTITIONS, 1 + cycle * 13 % 300), 0);
            rig_turn(&rig, (int)(cycle * 7 + i * 3) % 6);
        }
        rig_kill(&rig);
        rig_close(&rig); /* leases of a process that died are free at once */
        rig_open(&rig);
    }
    rig_start(&rig);
    CHECK(rig_until(&rig, rig.committed));
    check_ledger(&rig, 0, rig.committed);
    CHECK(rig_stop(&rig));
    end(&rig);
}

/* --- a store that fails ---------------------------------------------------------------------------------------------
 */

enum lie { REPLY_LOST, DID_NOTHING };

static struct {
    struct store_backend backend;
    struct store_backend_ops ops;
    struct store_backend *inner;
    enum lie lie;
    unsigned lies, left;
    store_done *done;
    void *ctx;
    struct store_append *held;
    struct store_chains nothing;
} faulty;

static int faulty_open(struct store_backend *backend, struct store_link **ret, struct error *err)
{
    (void)backend;
    return faulty.inner->ops->link_open(faulty.inner, ret, err);
}

static void on_reply_lost(struct store_request *request, int status)
{
    CHECK_INT(status, 0); /* it was committed */
    request->done = faulty.done;
    request->ctx = faulty.ctx;
    request->done(request, -ESTALE);
}

static void on_nothing(struct store_request *request, int status)
{
    (void)request, (void)status;
    faulty.held->req.done(&faulty.held->req, -EIO);
}

/* Lies `left` times, then tells the truth once, and so on. */
static void faulty_append(struct store_link *link, struct store_append *request)
{
    if (faulty.left == 0) {
        faulty.left = 3;
        faulty.inner->ops->append(link, request);
        return;
    }
    faulty.left--;
    faulty.lies++;
    if (faulty.lie == REPLY_LOST) {
        faulty.done = request->req.done;
        faulty.ctx = request->req.ctx;
        request->req.done = on_reply_lost;
        faulty.inner->ops->append(link, request);
        return;
    }
    faulty.held = request;
    faulty.nothing = (struct store_chains){.req = {.done = on_nothing}};
    faulty.inner->ops->chains(link, &faulty.nothing);
}

static void start_faulty(struct rig *rig, enum lie lie)
{
    struct error err = {0};
    faulty.inner = rig->backend;
    faulty.ops = *rig->backend->ops;
    faulty.ops.link_open = faulty_open;
    faulty.ops.append = faulty_append;
    faulty.backend.ops = &faulty.ops;
    faulty.lie = lie;
    faulty.lies = 0;
    faulty.left = 3;
    rig_check(rig_try_start_on(rig, &faulty.backend, &err) == 0, "andon_new", &err);
}

static void with_lies(enum lie lie)
{
    struct rig rig;
    begin(&rig, NULL);
    start_faulty(&rig, lie);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_INT(rig_commit(&rig, i % RIG_PARTITIONS, 40), 0);
        CHECK(rig_until(&rig, rig.committed));
    }
    CHECK(faulty.lies >= 4);
    check_ledger(&rig, 0, rig.committed);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void a_lost_reply_appends_nothing_twice(void)
{
    with_lies(REPLY_LOST);
}

static void a_failing_store_is_tried_again(void)
{
    with_lies(DID_NOTHING);
}

static void a_full_disk_recovers(void)
{
    struct rig rig;
    begin(&rig, "fault");
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 0, 100), 0);
    CHECK(rig_until(&rig, 100));
    CHECK_INT(rig_commit(&rig, 0, 200), 0);
    fault_arm(&fault_write, 0, true);
    for (int i = 0; i < 100; i++)
        rig_turn(&rig, 5);
    struct rig_answer health = rig_get(&rig, "/health");
    CHECK_INT(health.status, 503);
    CHECK(strstr(health.body.ptr, "No space left") != NULL);
    rig_answer_done(&health);
    fault_arm(&fault_write, -1, false);
    CHECK(rig_until(&rig, 300));
    check_ledger(&rig, 0, 300);
    struct rig_answer ready = rig_get(&rig, "/readyz");
    CHECK_INT(ready.status, 200);
    rig_answer_done(&ready);
    CHECK(rig_stop(&rig));
    end(&rig);
}

/* --- a ledger that is not the one that was signed -------------------------------------------------------------------
 */

static void copy_file(const char *from, const char *to)
{
    char data[65536];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    size_t n;
    while (in && out && (n = fread(data, 1, sizeof(data), in)) > 0)
        fwrite(data, 1, n, out);
    if (!in || !out || fclose(in) || fclose(out))
        abort();
}

/* By somebody who keeps the pages' checksums right. */
static void edit_database(struct rig *rig, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;
    if (sqlite3_open_v2(rig->db_path, &db, SQLITE_OPEN_READWRITE, db_default_vfs()) ||
        sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) ||
        sqlite3_exec(db, sql, NULL, NULL, &message)) {
        fprintf(stderr, "%s: %s\n", sql, message ? message : "open failed");
        abort();
    }
    sqlite3_close(db);
}

/* Starts on what is there and expects the line to stop: no receipt, no checkpoint, not ready. */
static void expect_stopped(struct rig *rig, const char *says)
{
    uint64_t before = rig_totals(rig).receipts;
    rig_start(rig);
    CHECK_INT(rig_commit(rig, 3, 5), 0);
    for (int i = 0; i < 30; i++)
        rig_turn(rig, 10);
    CHECK_INT(rig_totals(rig).receipts, before);
    struct rig_answer checkpoint = rig_get(rig, "/checkpoint");
    CHECK_INT(checkpoint.status, 503);
    CHECK(strstr(checkpoint.body.ptr, says) != NULL);
    if (!strstr(checkpoint.body.ptr, says))
        fprintf(stderr, "%s\n", checkpoint.body.ptr);
    rig_answer_done(&checkpoint);
    struct rig_answer ready = rig_get(rig, "/readyz");
    CHECK_INT(ready.status, 503);
    rig_answer_done(&ready);
    struct rig_answer metrics = rig_get(rig, "/metrics");
    CHECK(strstr(metrics.body.ptr, "\ntai_ledger_checkpoint_refusals_total 1\n") != NULL);
    rig_answer_done(&metrics);
    CHECK(rig_stop(rig));
}

static void a_rolled_back_database_stops_the_line(void)
{
    struct rig rig;
    char old[80], memory[96];
    begin(&rig, NULL);
    snprintf(old, sizeof(old), "%s/old.db", rig.dir);
    snprintf(memory, sizeof(memory), "%s/tai.test_log.checkpoint-0", rig.dir);
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 0, 10), 0);
    CHECK(rig_stop(&rig));
    rig_close(&rig);
    copy_file(rig.db_path, old);
    rig_open(&rig);
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 1, 10), 0);
    CHECK(rig_stop(&rig));
    rig_close(&rig);
    copy_file(old, rig.db_path);
    rig_open(&rig);
    expect_stopped(&rig, "the ledger holds 10 receipts, but 20 were signed");
    /* A person who knows what happened may remove the memory: everything is checked from the first receipt on. */
    CHECK_INT(unlink(memory), 0);
    rig_start(&rig);
    CHECK(rig_until(&rig, 15));
    check_ledger(&rig, 0, 15);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void changed_logs_stop_the_line(void)
{
    static const struct {
        const char *sql, *says;
        bool forget; /* the signer's memory is lost as well: the whole log is read back */
    } edits[] = {
        {"UPDATE shards SET frontier = zeroblob(length(frontier))", "signed receipts were changed", false},
        {"UPDATE receipts SET body = replace(body, 'sig-3', 'sig-9')", "signed receipts were changed", true},
        {"DELETE FROM receipts WHERE id = (SELECT id FROM receipts ORDER BY id LIMIT 1 OFFSET 3)",
         "receipt 3 is missing", true},
        {"DELETE FROM receipts WHERE id >= (SELECT id FROM receipts ORDER BY id LIMIT 1 OFFSET 12)",
         "the log ends at 12 of 13", true},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct rig rig;
        char memory[96];
        begin(&rig, NULL);
        snprintf(memory, sizeof(memory), "%s/tai.test_log.checkpoint-0", rig.dir);
        rig_start(&rig);
        CHECK_INT(rig_commit(&rig, 0, 13), 0);
        CHECK(rig_stop(&rig));
        rig_close(&rig);
        edit_database(&rig, edits[i].sql);
        if (edits[i].forget)
            CHECK_INT(unlink(memory), 0);
        rig_open(&rig);
        expect_stopped(&rig, edits[i].says);
        end(&rig);
    }
}

/* Committed, but the process died before it signed: the next one reads those receipts back and signs them. */
static void receipts_behind_the_last_checkpoint_are_read_back(void)
{
    struct rig rig;
    char memory[96], old[96];
    begin(&rig, NULL);
    snprintf(memory, sizeof(memory), "%s/tai.test_log.checkpoint-0", rig.dir);
    snprintf(old, sizeof(old), "%s/old", rig.dir);
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 0, 10), 0);
    CHECK(rig_stop(&rig));
    copy_file(memory, old);
    rig_start(&rig);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_INT(rig_commit(&rig, i, 700), 0);
    CHECK(rig_stop(&rig));
    copy_file(old, memory);
    rig_start(&rig);
    check_ledger(&rig, 0, 2110);
    CHECK(rig_stop(&rig));
    end(&rig);
}

static void two_processes_share_two_shards(void)
{
    struct rig first, second;
    begin(&first, NULL);
    first.config.ledger.shards = 2;
    rig_start(&first);
    rig_turn(&first, 20);
    second = first;
    second.starts = 100;
    rig_start(&second);
    for (int i = 0; i < 60; i++) { /* the second takes none until the first gives one back or dies */
        CHECK_INT(rig_commit(&first, (uint32_t)i % RIG_PARTITIONS, 20), 0);
        rig_turn(&first, 1);
        rig_turn(&second, 1);
    }
    CHECK(rig_until(&first, first.committed));
    second.committed = first.committed;
    memcpy(second.leases, first.leases, sizeof(first.leases));
    memcpy(second.numbered, first.numbered, sizeof(first.numbered));
    rig_kill(&first); /* its leases run out after 3 s */
    CHECK_INT(rig_commit(&second, 0, 50), 0);
    CHECK(rig_until(&second, second.committed));
    struct store_totals totals = rig_totals(&second);
    CHECK_INT(totals.receipts, second.committed);
    struct store_receipts page;
    uint64_t sizes[2] = {0};
    for (uint32_t shard = 0; shard < 2; shard++)
        do {
            rig_receipts(&second, shard, sizes[shard], &page);
            sizes[shard] += page.receipt_count;
            arena_done(&page.req.arena);
        } while (page.receipt_count);
    CHECK_INT(sizes[0] + sizes[1], second.committed);
    CHECK(sizes[0] > 0 && sizes[1] > 0);
    check_ledger(&second, 0, sizes[0]);
    check_ledger(&second, 1, sizes[1]);
    CHECK(rig_stop(&second));
    end(&second);
}

static void another_number_of_shards_is_refused(void)
{
    struct rig rig;
    begin(&rig, NULL);
    rig_start(&rig);
    CHECK_INT(rig_commit(&rig, 0, 3), 0);
    CHECK(rig_stop(&rig));
    rig.config.ledger.shards = 2;
    rig_start(&rig);
    rig_turn(&rig, 50);
    struct rig_answer health = rig_get(&rig, "/health");
    CHECK_INT(health.status, 503);
    CHECK(strstr(health.body.ptr, "write ledger.shards: 1") != NULL);
    rig_answer_done(&health);
    CHECK(rig_stop(&rig));
    end(&rig);
}

/* What leaves an idle process alone: CPU time of two seconds without a signal. */
static void idle_costs_nothing(void)
{
    struct rig rig;
    begin(&rig, NULL);
    rig_start(&rig);
    rig_turn(&rig, 100);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    rig_turn(&rig, 2000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    int64_t us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    printf("idle: %lld us of CPU in 2 s\n", (long long)us);
    CHECK(us < 60000); /* sanitizers included */
    CHECK(rig_stop(&rig));
    end(&rig);
}

int main(void)
{
    static const struct check_case cases[] = {
        {"outcomes become receipts", outcomes_become_receipts},
        {"a wake is enough", a_wake_is_enough},
        {"a backlog is worked off", a_backlog_is_worked_off},
        {"drain leaves nothing open", drain_leaves_nothing_open},
        {"exactly once across kills", exactly_once_across_kills},
        {"a lost reply appends nothing twice", a_lost_reply_appends_nothing_twice},
        {"a failing store is tried again", a_failing_store_is_tried_again},
        {"a full disk recovers", a_full_disk_recovers},
        {"a rolled back database stops the line", a_rolled_back_database_stops_the_line},
        {"changed logs stop the line", changed_logs_stop_the_line},
        {"receipts behind the last checkpoint are read back", receipts_behind_the_last_checkpoint_are_read_back},
        {"two processes share two shards", two_processes_share_two_shards},
        {"another number of shards is refused", another_number_of_shards_is_refused},
        {"idle costs nothing", idle_costs_nothing},
        {NULL}};
    fault_vfs_register();
    return check_main(cases);
}
