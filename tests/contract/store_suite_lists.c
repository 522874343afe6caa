/* Lists from either end, by time, of commands and of partitions: what comes in pages is all there is, once, in order.
 */
#include "store_suite_parts.h"

enum { LIST_ITEMS = 250 };

/* 250 outcomes of two tenants, then a receipt each: timestamps 1.. and chains of more than one block. */
static void make_listed_receipts(struct site *site, uint64_t epoch)
{
    struct ledger ledger;
    struct batch *batch = batch_new(0, epoch, 0);
    for (uint64_t n = 1; n <= LIST_ITEMS; n++)
        batch_outcome(batch, 0, n, n % 10 ? "long" : "short");
    batch_run(site, batch);
    ledger_open(&ledger, site, "andon", 0, 1);
    while (ledger_step(&ledger, site->store, 100) > 0)
        continue;
    ledger_close(&ledger);
}

/* Walks the list; how many there were. Numbers of outcomes fall with the order. */
static uint64_t walk_receipts(struct site *site, struct store_receipts filter, uint32_t limit)
{
    uint64_t count = 0, last = filter.descending ? UINT64_MAX : 0;
    for (bool more = true; more && count <= LIST_ITEMS;) {
        struct store_receipts page = filter;
        page.limit = limit;
        CHECK_INT(CALL(site->store, receipts, &page), 0);
        for (size_t i = 0; i < page.receipt_count; i++, count++) {
            uint64_t number = page.receipts[i].number;
            CHECK(filter.descending ? number < last : number > last);
            CHECK(!filter.chain.len || span_eq(page.receipts[i].chain, filter.chain));
            CHECK((int64_t)number >= filter.since_ms && (!filter.before_ms || (int64_t)number < filter.before_ms));
            last = number;
        }
        more = page.more;
        CHECK(!more || page.next);
        filter.after = page.next;
        arena_done(&page.req.arena);
    }
    return count;
}

static void lists_receipts(struct site *site)
{
    static const uint32_t limits[] = {1, 7, 100, 1000};
    for (size_t i = 0; i < 8; i++) {
        uint32_t limit = limits[i / 2];
        struct store_receipts all = {.descending = i % 2};
        CHECK_INT(walk_receipts(site, all, limit), LIST_ITEMS);
        all.since_ms = 11, all.before_ms = 31;
        CHECK_INT(walk_receipts(site, all, limit), 20);
        struct store_receipts chain = {.descending = i % 2, .chain = SPAN("long")};
        CHECK_INT(walk_receipts(site, chain, limit), LIST_ITEMS - LIST_ITEMS / 10);
        chain.before_ms = 101;
        CHECK_INT(walk_receipts(site, chain, limit), 90);
        chain.chain = SPAN("nobody");
        CHECK_INT(walk_receipts(site, chain, limit), 0);
    }
    /* A cursor at the very end, and one beyond it. */
    struct store_receipts end = {.descending = true, .chain = SPAN("long"), .after = 1};
    CHECK_INT(walk_receipts(site, end, 10), 0);
    end.after = INT64_MAX;
    CHECK_INT(walk_receipts(site, end, 1000), LIST_ITEMS - LIST_ITEMS / 10);
    struct store_receipts log = {.descending = true, .after = 1};
    CHECK_INT(walk_receipts(site, log, 10), 1);
}

/* Rows of three kinds in one commit: governors of three tenants, dead letters. */
static void make_listed_rows(struct site *site, uint64_t epoch)
{
    static struct deadletter_change changes[30];
    struct batch *batch = batch_new(1, epoch, 0);
    for (int i = 0; i < 30; i++) {
        char tenant[8], name[24];
        snprintf(tenant, sizeof(tenant), "t%d", i % 3);
        snprintf(name, sizeof(name), "e%02d", i);
        batch_governor(batch, tenant, name, true)->state = i % 5 ? GOVERNOR_ACTIVE : GOVERNOR_HALTED;
        struct signal_row *row = batch_insert(batch, tenant, name, "dead", 1);
        changes[i] = (struct deadletter_change){.class = CLASS_POLICY, .state = GOVERNOR_HALTED};
        snprintf(changes[i].id, sizeof(changes[i].id), "00000000-0000-5000-8000-%012d", i);
        row->status = SIGNAL_DEADLETTERED, row->changed_at_ms = 1000 + i;
        row->envelope = row->bytes = SPAN("x");
        batch->signals[batch->commit.signal_count - 1].deadletter = &changes[i];
    }
    batch->commit.taken = batch->commit.ended = 30;
    batch_run(site, batch);
}

static int walk_governors(struct site *site, struct span tenant, int state, bool descending, uint32_t limit)
{
    char after[2][24] = {"", ""}, key[48], last[48] = "";
    int count = 0;
    for (bool more = true; more && count < 100;) {
        struct store_governors page = {.tenant_id = tenant,
                                       .state = state,
                                       .descending = descending,
                                       .after_tenant = span_of(after[0]),
                                       .after_entitlement = span_of(after[1]),
                                       .limit = limit};
        CHECK_INT(CALL(site->store, governors, &page), 0);
        for (size_t i = 0; i < page.governor_count; i++, count++) {
            struct governor_item *item = &page.governors[i];
            snprintf(after[0], sizeof(after[0]), "%.*s", (int)item->tenant_id.len, item->tenant_id.ptr);
            snprintf(after[1], sizeof(after[1]), "%.*s", (int)item->entitlement_id.len, item->entitlement_id.ptr);
            snprintf(key, sizeof(key), "%s/%s", after[0], after[1]);
            CHECK(!*last || (descending ? strcmp(key, last) < 0 : strcmp(key, last) > 0));
            snprintf(last, sizeof(last), "%s", key);
            governor_record_done(&item->record);
        }
        more = page.more;
        arena_done(&page.req.arena);
    }
    return count;
}

static int walk_deadletters(struct site *site, struct store_deadletters filter, uint32_t limit)
{
    int count = 0;
    for (bool more = true; more && count < 100;) {
        struct store_deadletters page = filter;
        page.limit = limit;
        CHECK_INT(CALL(site->store, deadletters, &page), 0);
        for (size_t i = 0; i < page.deadletter_count; i++, count++) {
            uint64_t order = page.deadletters[i].order;
            CHECK(!filter.after || (filter.descending ? order < filter.after : order > filter.after));
            filter.after = order;
        }
        more = page.more;
        arena_done(&page.req.arena);
    }
    return count;
}

static void lists_rows(struct site *site)
{
    for (uint32_t limit = 1; limit < 50; limit += 13) {
        for (int descending = 0; descending < 2; descending++) {
            CHECK_INT(walk_governors(site, SPAN(""), -1, descending, limit), 30);
            CHECK_INT(walk_governors(site, SPAN("t1"), -1, descending, limit), 10);
            CHECK_INT(walk_governors(site, SPAN(""), GOVERNOR_HALTED, descending, limit), 6);
            CHECK_INT(walk_governors(site, SPAN("t0"), GOVERNOR_HALTED, descending, limit), 2);
            CHECK_INT(walk_governors(site, SPAN("t9"), -1, descending, limit), 0);
            struct store_deadletters all = {.class = -1, .descending = descending};
            CHECK_INT(walk_deadletters(site, all, limit), 30);
            all.since_ms = 1010, all.before_ms = 1015;
            CHECK_INT(walk_deadletters(site, all, limit), 5);
        }
    }
}

static void make_listed_commands(struct site *site)
{
    for (int i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof(id), "c%d", i);
        struct store_command_add add = {.command = {.id = span_of(id),
                                                    .kind = i % 2 ? COMMAND_HALT : COMMAND_RESUME,
                                                    .partition = 1,
                                                    .tenant_id = i % 4 ? SPAN("t0") : SPAN("t1"),
                                                    .entitlement_id = SPAN("e00"),
                                                    .args = SPAN("{}"),
                                                    .operator= SPAN("ann"),
                                                    .created_at_ms = 100 + i},
                                        .max_pending = 100};
        CHECK_INT(CALL(site->store, command_add, &add), 0);
        arena_done(&add.req.arena);
    }
}

static int walk_commands(struct site *site, struct store_command_list filter, uint32_t limit)
{
    int count = 0;
    for (bool more = true; more && count < 100;) {
        struct store_command_list page = filter;
        page.limit = limit;
        CHECK_INT(CALL(site->store, command_list, &page), 0);
        for (size_t i = 0; i < page.command_count; i++, count++) {
            const struct command *command = &page.commands[i];
            CHECK(!filter.after || (filter.descending ? command->order < filter.after : command->order > filter.after));
            CHECK(filter.kind < 0 || (int)command->kind == filter.kind);
            filter.after = command->order;
        }
        more = page.more;
        arena_done(&page.req.arena);
    }
    return count;
}

static void lists_commands(struct site *site)
{
    for (uint32_t limit = 1; limit < 30; limit += 9) {
        for (int descending = 0; descending < 2; descending++) {
            struct store_command_list all = {.descending = descending, .kind = -1, .status = -1};
            CHECK_INT(walk_commands(site, all, limit), 20);
            struct store_command_list some = all;
            some.kind = COMMAND_HALT;
            CHECK_INT(walk_commands(site, some, limit), 10);
            some = all, some.status = COMMAND_APPLIED;
            CHECK_INT(walk_commands(site, some, limit), 0);
            some = all, some.tenant_id = SPAN("t1"), some.since_ms = 104, some.before_ms = 113;
            CHECK_INT(walk_commands(site, some, limit), 3);
        }
    }
    struct store_command_list bad = {.kind = COMMAND_KIND_COUNT, .status = -1, .limit = 1};
    CHECK_INT(CALL(site->store, command_list, &bad), -EINVAL);
}

static void lists_partitions(struct site *site)
{
    struct store_partitions page = {.after = -1, .limit = 3};
    CHECK_INT(CALL(site->store, partitions, &page), 0);
    CHECK_INT(page.partition_count, 3);
    CHECK(page.more);
    if (page.partition_count == 3) {
        const struct partition_item *first = &page.partitions[0], *second = &page.partitions[1];
        CHECK_INT(first->partition, 0);
        CHECK(span_is(first->owner, "a") && first->lease_ms > 0);
        CHECK_INT(first->taken, 0);
        CHECK_INT(first->outcomes_open, 0);
        CHECK_INT(second->partition, 1);
        CHECK_INT(second->taken, 30);
        CHECK_INT(second->ended, 30);
        CHECK_INT(second->governors, 30);
        CHECK_INT(second->deadletters, 30);
        CHECK_INT(second->commands, 20);
        CHECK_INT(second->missing, 0);
    }
    arena_done(&page.req.arena);
    page = (struct store_partitions){.after = -1, .limit = 1000, .descending = true};
    CHECK_INT(CALL(site->store, partitions, &page), 0);
    CHECK_INT(page.partition_count, 4);
    CHECK(!page.more && page.partition_count == 4 && page.partitions[0].partition == 3);
    arena_done(&page.req.arena);
    page = (struct store_partitions){.after = 2, .limit = 1000, .descending = true};
    CHECK_INT(CALL(site->store, partitions, &page), 0);
    CHECK_INT(page.partition_count, 2);
    arena_done(&page.req.arena);
}

static void lists(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 4);
    make_listed_receipts(&site, epoch);
    make_listed_rows(&site, epoch);
    make_listed_commands(&site);
    lists_receipts(&site);
    lists_rows(&site);
    lists_commands(&site);
    lists_partitions(&site);
    site_close(&site);
}

void suite_lists(const struct store_suite *suite)
{
    CASE("queries", lists);
}
