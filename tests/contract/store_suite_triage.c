/* Dead letters and operator commands. */
#include "store_suite_parts.h"

#include "store/triage.h"

enum { MANY = 40 };

/* An id that says its number. */
static void id_of(int number, char ret[UUID_TEXT + 1])
{
    snprintf(ret, UUID_TEXT + 1, "00000000-0000-5000-8000-%012d", number);
}

/* A signal that ends dead-lettered, with the entry it opens. */
static struct signal_row *add_dead(struct batch *batch, int number, const char *tenant, const char *id,
                                   enum deadletter_class class)
{
    struct signal_row *row = batch_insert(batch, tenant, "e", id, (uint8_t)number);
    struct deadletter_change *change = arena_alloc(&batch->arena, sizeof(*change));
    *change = (struct deadletter_change){.class = class, .state = GOVERNOR_HALTED};
    id_of(number, change->id);
    row->status = SIGNAL_DEADLETTERED;
    row->reason = SPAN("governor_halted");
    row->envelope = batch_text(batch, "envelope of %s\n", id);
    row->bytes = batch_text(batch, "bytes of %s", id);
    batch->signals[batch->commit.signal_count - 1].deadletter = change;
    return row;
}

static bool ask_one(struct site *site, int number, struct store_deadletter *ret)
{
    *ret = (struct store_deadletter){0};
    id_of(number, ret->id);
    CHECK_INT(CALL(site->store, deadletter, ret), 0);
    return ret->found;
}

static bool is_open(struct site *site, int number)
{
    struct store_deadletter got;
    bool found = ask_one(site, number, &got);
    arena_done(&got.req.arena);
    return found;
}

static uint64_t count_open(struct site *site, enum deadletter_class class)
{
    struct store_totals totals = {0};
    CHECK_INT(CALL(site->store, totals, &totals), 0);
    arena_done(&totals.req.arena);
    return totals.deadletters[class];
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static int add_command(struct site *site, struct command command)
{
    command.id = command.id.len ? command.id : SPAN("c1");
    command.tenant_id = command.tenant_id.len ? command.tenant_id : SPAN("t");
    command.entitlement_id = SPAN("e");
    command.operator= command.operator.len ? command.operator: SPAN("ann");
    command.args = command.args.len ? command.args : SPAN("{\"reason\":\"because\"}");
    struct store_command_add request = {.command = command, .max_pending = 3};
    request.command.created_at_ms = 777;
    int status = CALL(site->store, command_add, &request);
    arena_done(&request.req.arena);
    return status;
}

static void check_command(struct site *site, struct span id, enum command_status status, const char *reason)
{
    struct store_command request = {.id = id};
    CHECK_INT(CALL(site->store, command, &request), 0);
    CHECK(request.found);
    if (request.found) {
        CHECK_INT(request.command.status, status);
        CHECK(span_is(request.command.reason, reason));
        CHECK(span_is(request.command.operator, "ann"));
        CHECK_INT(request.command.created_at_ms, 777);
    }
    arena_done(&request.req.arena);
}

static struct command discard_of(const char *id, int number)
{
    struct command command = {.id = span_of(id), .kind = COMMAND_DISCARD, .partition = 1};
    id_of(number, command.deadletter_id);
    return command;
}

static int end_command(struct site *site, uint64_t epoch, uint64_t number, struct command_change change)
{
    struct batch *batch = batch_new(1, epoch, number);
    batch->commit.commands = &change;
    batch->commit.command_count = 1;
    int status = batch_commit(site, batch);
    batch_free(batch);
    return status;
}

static void commands(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    CHECK(!lease_of(&site, "a", 2, 1).commands);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1}), 0);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1}), 0);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_RESUME, .partition = 1}), -EEXIST);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1, .args = SPAN("{}")}), -EEXIST);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1, .operator= SPAN("bob")}),
              -EEXIST);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1, .tenant_id = SPAN("x")}),
              -EEXIST);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("other"), .kind = COMMAND_RESUME, .tenant_id = SPAN("u")}),
              0);
    struct command edited = {.id = SPAN("c2"), .kind = COMMAND_REQUEUE, .partition = 1};
    edited.envelope = SPAN("new envelope\n");
    edited.bytes = SPAN("new bytes");
    id_of(3, edited.deadletter_id);
    CHECK_INT(add_command(&site, edited), 0);
    CHECK_INT(add_command(&site, discard_of("c3", 3)), -EDQUOT);
    check_command(&site, SPAN("c1"), COMMAND_PENDING, "");
    CHECK(lease_of(&site, "a", 2, 1).commands);

    struct store_commands pending = {.partition = 1, .limit = 10};
    CHECK_INT(CALL(site.store, commands, &pending), 0);
    CHECK_INT(pending.command_count, 2);
    if (pending.command_count == 2) {
        const struct command *first = &pending.commands[0].command, *second = &pending.commands[1].command;
        CHECK(span_is(first->id, "c1") && first->kind == COMMAND_HALT && first->partition == 1);
        CHECK(span_is(first->tenant_id, "t") && span_is(first->entitlement_id, "e") && !first->deadletter_id[0]);
        CHECK(span_is(first->args, "{\"reason\":\"because\"}") && first->bytes.len == 0);
        CHECK(span_is(second->bytes, "new bytes") && span_is(second->envelope, "new envelope\n"));
        CHECK(strcmp(second->deadletter_id, edited.deadletter_id) == 0 && !pending.commands[1].deadletter);
        CHECK(first->order < second->order);
    }
    arena_done(&pending.req.arena);

    CHECK_INT(end_command(&site, epoch, 0, (struct command_change){SPAN("c1"), COMMAND_APPLIED}), 0);
    check_command(&site, SPAN("c1"), COMMAND_APPLIED, "");
    CHECK_INT(end_command(&site, epoch, 1, (struct command_change){SPAN("c1"), COMMAND_REJECTED}), -ENOENT);
    CHECK_INT(end_command(&site, epoch, 1, (struct command_change){SPAN("other"), COMMAND_APPLIED}), -ENOENT);
    CHECK_INT(end_command(&site, epoch, 1, (struct command_change){SPAN("none"), COMMAND_APPLIED}), -ENOENT);
    CHECK_INT(end_command(&site, epoch, 1, (struct command_change){SPAN("c2"), COMMAND_PENDING}), -EINVAL);
    CHECK_INT(end_command(&site, epoch, 1, (struct command_change){SPAN("c2"), COMMAND_REJECTED, SPAN("why")}), 0);
    site_reopen(&site);
    check_command(&site, SPAN("c1"), COMMAND_APPLIED, "");
    check_command(&site, SPAN("c2"), COMMAND_REJECTED, "why");
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1}), 0); /* a late repeat */
    check_command(&site, SPAN("c1"), COMMAND_APPLIED, "");
    claim_all(&site, "a", 2);
    CHECK(!lease_of(&site, "a", 2, 1).commands);
    site_close(&site);
}

/* As many commands as may be pending, in all partitions; the next one is taken once one of them has ended. */
static void desk_full(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p0"), .kind = COMMAND_HALT, .partition = 0}), 0);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p1"), .kind = COMMAND_HALT, .partition = 1}), 0);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p2"), .kind = COMMAND_HALT, .partition = 1}), 0);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p3"), .kind = COMMAND_HALT, .partition = 0}), -EDQUOT);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p1"), .kind = COMMAND_HALT, .partition = 1}), 0);
    CHECK_INT(end_command(&site, epoch, 0, (struct command_change){SPAN("p1"), COMMAND_APPLIED}), 0);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p3"), .kind = COMMAND_HALT, .partition = 0}), 0);
    CHECK_INT(add_command(&site, (struct command){.id = SPAN("p4"), .kind = COMMAND_HALT, .partition = 0}), -EDQUOT);
    site_close(&site);
}

static void on_wake(void *ctx)
{
    (*(int *)ctx)++;
}

/* The listener hears of commands that were added, not of those that were refused or already there. */
static void commands_wake(const struct store_suite *suite)
{
    struct site site;
    int woken = 0, outcomes = 0;
    site_open(&site, suite, true);
    store_on_commands(site.store, on_wake, &woken);
    store_on_outcomes(site.store, on_wake, &outcomes);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_HALT, .partition = 1}), 0);
    for (int i = 0; i < 100 && !woken; i++) {
        struct pollfd fd = {.fd = store_poll_fd(site.store), .events = POLLIN};
        poll(&fd, 1, 100);
        store_dispatch(site.store);
    }
    CHECK(woken > 0);
    CHECK_INT(outcomes, 0);
    site_close(&site);
}

static void bad_commands(const struct store_suite *suite)
{
    struct site site;
    char long_text[COMMAND_ARGS_MAX + 2];
    memset(long_text, 'x', sizeof(long_text));
    site_open(&site, suite, true);
    CHECK_INT(add_command(&site, (struct command){.id = {long_text, COMMAND_ID_MAX + 1}}), -EINVAL);
    CHECK_INT(add_command(&site, (struct command){.args = {long_text, COMMAND_ARGS_MAX + 1}}), -EINVAL);
    CHECK_INT(add_command(&site, (struct command){.operator= {long_text, COMMAND_OPERATOR_MAX + 1}}), -EINVAL);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_KIND_COUNT}), -EINVAL);
    CHECK_INT(add_command(&site, (struct command){.partition = STORE_PARTITIONS_MAX}), -EINVAL);
    CHECK_INT(add_command(&site, (struct command){.kind = COMMAND_DISCARD}), -EINVAL); /* which one? */
    struct command command = discard_of("c", 1);
    command.bytes = command.envelope = SPAN("x");
    CHECK_INT(add_command(&site, command), -EINVAL);
    command.kind = COMMAND_REQUEUE;
    command.envelope = SPAN("");
    CHECK_INT(add_command(&site, command), -EINVAL);
    memset(command.deadletter_id, 'g', UUID_TEXT);
    command.bytes = SPAN("");
    CHECK_INT(add_command(&site, command), -EINVAL);
    struct store_command none = {.id = SPAN("nobody's")};
    CHECK_INT(CALL(site.store, command, &none), 0);
    CHECK(!none.found);
    arena_done(&none.req.arena);
    site_close(&site);
}

/* --- dead letters ------------------------------------------------------------------------------------------------ */

static void check_one(struct site *site)
{
    struct store_deadletter got;
    CHECK(ask_one(site, 3, &got));
    const struct deadletter *dead = &got.deadletter;
    char expected[UUID_TEXT + 1];
    id_of(3, expected);
    if (got.found) {
        CHECK(strcmp(dead->id, expected) == 0);
        CHECK_INT(dead->class, CLASS_POLICY);
        CHECK_INT(dead->state, GOVERNOR_HALTED);
        CHECK_INT(dead->partition, 1);
        CHECK(dead->order > 0);
        CHECK(span_is(dead->row.identity.tenant_id, "t") && span_is(dead->row.identity.entitlement_id, "e") &&
              span_is(dead->row.identity.id, "s3"));
        CHECK_INT(dead->row.identity.redrive, 4);
        CHECK(dead->row.conflict && dead->row.sha256[0] == 3);
        CHECK_INT(dead->row.status, SIGNAL_DEADLETTERED);
        CHECK(span_is(dead->row.reason, "governor_halted"));
        CHECK(span_is(dead->row.envelope, "envelope of s3\n") && span_is(dead->row.bytes, "bytes of s3"));
        CHECK_INT(dead->row.changed_at_ms, 2000);
    }
    arena_done(&got.req.arena);
}

static void opened_and_closed(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(1, epoch, 0);
    add_dead(batch, 1, "t", "s1", CLASS_PIPELINE);
    add_dead(batch, 2, "t", "s2", CLASS_PIPELINE);
    struct signal_row *row = add_dead(batch, 3, "t", "s3", CLASS_POLICY);
    row->conflict = true, row->identity.redrive = 4;
    batch_wait(batch, "t", "e", "acts", 1)->status = SIGNAL_ACTING;
    batch_run(&site, batch);
    check_one(&site);
    batch = batch_new(1, epoch, 1); /* an acting one that fails */
    batch_update(batch, "t", "e", "acts", SIGNAL_FAILED)->reason = SPAN("timeout");
    struct deadletter_change failed = {.class = CLASS_DESTINATION, .state = GOVERNOR_STATE_COUNT};
    id_of(4, failed.id);
    batch->signals[0].deadletter = &failed;
    batch_run(&site, batch);
    struct store_deadletter got;
    CHECK(ask_one(&site, 4, &got));
    CHECK(got.found && span_is(got.deadletter.row.bytes, "bytes of acts") &&
          got.deadletter.state == GOVERNOR_STATE_COUNT && span_is(got.deadletter.row.reason, "timeout"));
    arena_done(&got.req.arena);
    CHECK_INT(count_open(&site, CLASS_PIPELINE), 2);
    CHECK_INT(lease_of(&site, "a", 2, 1).deadletters[CLASS_PIPELINE], 2);
    CHECK_INT(lease_of(&site, "a", 2, 0).deadletters[CLASS_PIPELINE], 0);

    /* Closing takes the command and the dead letter, both of this partition, or nothing happens. */
    CHECK_INT(add_command(&site, discard_of("c1", 3)), 0);
    struct command_change change = {SPAN("c1"), COMMAND_APPLIED};
    id_of(9, change.resolves);
    CHECK_INT(end_command(&site, epoch, 2, change), -ENOENT);
    check_command(&site, SPAN("c1"), COMMAND_PENDING, "");
    id_of(3, change.resolves);
    struct batch *elsewhere = batch_new(0, epoch, 0);
    elsewhere->commit.commands = &change;
    elsewhere->commit.command_count = 1;
    CHECK_INT(batch_commit(&site, elsewhere), -ENOENT);
    batch_free(elsewhere);
    CHECK_INT(end_command(&site, epoch, 2, change), 0);
    site_reopen(&site);
    check_command(&site, SPAN("c1"), COMMAND_APPLIED, "");
    CHECK(!is_open(&site, 3) && is_open(&site, 1) && is_open(&site, 4));
    CHECK_INT(count_open(&site, CLASS_POLICY), 0);
    CHECK_INT(count_open(&site, CLASS_DESTINATION), 1);
    site_close(&site);
}

/* The same id twice, a signal that did not end badly, an id that is none. */
static void refused_openings(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(1, epoch, 0);
    add_dead(batch, 1, "t", "s1", CLASS_TENANT);
    batch_run(&site, batch);
    batch = batch_new(1, epoch, 1);
    add_dead(batch, 1, "t", "s2", CLASS_TENANT);
    CHECK_INT(batch_commit(&site, batch), -EEXIST);
    batch_free(batch);
    batch = batch_new(1, epoch, 1);
    add_dead(batch, 2, "t", "s2", CLASS_TENANT)->status = SIGNAL_EXECUTED;
    CHECK_INT(batch_commit(&site, batch), -EINVAL);
    batch_free(batch);
    CHECK(!is_open(&site, 2));
    CHECK_INT(count_open(&site, CLASS_TENANT), 1);
    struct store_deadletter odd = {.id = "not-a-uuid"};
    CHECK_INT(CALL(site.store, deadletter, &odd), 0);
    CHECK(!odd.found);
    memset(odd.id, 'a', sizeof(odd.id)); /* not even a string */
    CHECK_INT(CALL(site.store, deadletter, &odd), 0);
    CHECK(!odd.found);
    arena_done(&odd.req.arena);
    site_close(&site);
}

static size_t count_listed(struct site *site, struct store_deadletters filter, uint32_t limit)
{
    size_t count = 0;
    bool more = true;
    filter.after = 0;
    while (more && count < 1000) {
        filter.req = (struct store_request){0};
        filter.limit = limit;
        CHECK_INT(CALL(site->store, deadletters, &filter), 0);
        CHECK(filter.deadletter_count <= limit && (filter.deadletter_count || !filter.more));
        for (size_t i = 0; i < filter.deadletter_count; i++) {
            const struct deadletter *dead = &filter.deadletters[i];
            CHECK(dead->order > filter.after);
            CHECK(filter.class < 0 || (int)dead->class == filter.class);
            CHECK(dead->row.bytes.len == 0);
            filter.after = dead->order;
        }
        count += filter.deadletter_count;
        more = filter.more;
        arena_done(&filter.req.arena);
    }
    return count;
}

static void listed(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(1, epoch, 0);
    for (int i = 0; i < MANY; i++) {
        char tenant[24], id[24];
        snprintf(tenant, sizeof(tenant), "t%d", i % 4);
        snprintf(id, sizeof(id), "s%d", i);
        struct signal_row *row = add_dead(batch, i, tenant, id, (enum deadletter_class)(i % CLASS_COUNT));
        row->changed_at_ms = 1000 + i;
        if (i % 10 == 0)
            row->reason = SPAN("overflow"), row->identity.entitlement_id = SPAN("e2");
    }
    batch_run(&site, batch);
    for (uint32_t limit = 1; limit < 50; limit += 13) {
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = -1}, limit), MANY);
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = CLASS_POISON}, limit), MANY / CLASS_COUNT);
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = -1, .reason = SPAN("overflow")}, limit), 4);
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = -1, .tenant_id = SPAN("t1")}, limit), 10);
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = -1, .entitlement_id = SPAN("e2")}, limit), 4);
        CHECK_INT(count_listed(&site, (struct store_deadletters){.class = -1, .before_ms = 1007}, limit), 7);
        CHECK_INT(
            count_listed(&site, (struct store_deadletters){.class = 0, .before_ms = 1007, .tenant_id = SPAN("t0")}, 2),
            1);
    }
    struct store_deadletters bad = {.class = CLASS_COUNT, .limit = 1};
    CHECK_INT(CALL(site.store, deadletters, &bad), -EINVAL);
    site_close(&site);
}

static uint64_t sweep_all(struct site *site)
{
    uint64_t deleted = 0;
    for (int i = 0; i < 3; i++) {
        struct store_sweep request = {.retention_ms = 1000, .limit = 100};
        CHECK_INT(CALL(site->store, sweep, &request), 0);
        deleted += request.deleted;
        arena_done(&request.req.arena);
    }
    return deleted;
}

/* Open ones stay whatever their age; once closed they go, and so do commands that have ended. */
static void retained(const struct store_suite *suite)
{
    struct site site;
    site_open(&site, suite, true);
    uint64_t epoch = claim_all(&site, "a", 2);
    struct batch *batch = batch_new(1, epoch, 0);
    add_dead(batch, 1, "t", "s1", CLASS_PIPELINE);
    add_dead(batch, 2, "t", "s2", CLASS_PIPELINE);
    batch_run(&site, batch);
    CHECK_INT(add_command(&site, discard_of("c1", 1)), 0);
    CHECK_INT(add_command(&site, discard_of("c2", 2)), 0);
    CHECK_INT(sweep_all(&site), 0);
    struct command_change change = {SPAN("c1"), COMMAND_APPLIED};
    id_of(1, change.resolves);
    CHECK_INT(end_command(&site, epoch, 1, change), 0);
    check_command(&site, SPAN("c1"), COMMAND_APPLIED, "");
    CHECK_INT(sweep_all(&site), 0);
    batch = batch_new(1, epoch, 2);
    batch->commit.clock_ms = 1001;
    batch_run(&site, batch);
    CHECK_INT(sweep_all(&site), 1);
    CHECK(is_open(&site, 2));
    check_command(&site, SPAN("c2"), COMMAND_PENDING, "");
    struct store_command gone = {.id = SPAN("c1")};
    CHECK_INT(CALL(site.store, command, &gone), 0);
    CHECK(!gone.found);
    arena_done(&gone.req.arena);
    site_close(&site);
}

/* --- damage ------------------------------------------------------------------------------------------------------ */

static int ask_deadletter(struct site *site)
{
    struct store_deadletter request = {.found = false};
    id_of(1, request.id);
    int status = CALL(site->store, deadletter, &request);
    return say(&request.req, status);
}

static int ask_deadletters(struct site *site)
{
    struct store_deadletters request = {.class = -1, .limit = 10};
    int status = CALL(site->store, deadletters, &request);
    return say(&request.req, status);
}

static int ask_command(struct site *site)
{
    struct store_command request = {.id = SPAN("c1")};
    int status = CALL(site->store, command, &request);
    return say(&request.req, status);
}

static int ask_commands(struct site *site)
{
    struct store_commands request = {.partition = 1, .limit = 10};
    int status = CALL(site->store, commands, &request);
    return say(&request.req, status);
}

static void triage_damages(const struct store_suite *suite)
{
    static int (*const asked[])(struct site * site) = {ask_deadletter, ask_deadletters, ask_command, ask_commands};
    static const struct {
        enum store_damage damage;
        bool spoils[4];
    } spoiled[] = {{DAMAGE_DEADLETTER_CLASS, {1, 1, 0, 1}},
                   {DAMAGE_DEADLETTER_ROW, {1, 1, 0, 1}},
                   {DAMAGE_COMMAND_KIND, {0, 0, 1, 1}}};
    _Static_assert(DAMAGE_DEADLETTER_CLASS + 3 == DAMAGE_COUNT, "every damage has its case");
    for (size_t i = 0; i < 3; i++) {
        struct site site;
        site_open(&site, suite, true);
        struct batch *batch = batch_new(1, claim_all(&site, "a", 2), 0);
        add_dead(batch, 1, "t", "s1", CLASS_PIPELINE);
        batch_run(&site, batch);
        CHECK_INT(add_command(&site, discard_of("c1", 1)), 0);
        for (size_t k = 0; k < 4; k++)
            CHECK_INT(asked[k](&site), 0);
        site_close(&site);
        suite->damage(suite->ctx, spoiled[i].damage);
        site_open(&site, suite, false);
        for (size_t k = 0; k < 4; k++)
            CHECK_INT(asked[k](&site), spoiled[i].spoils[k] ? -EUCLEAN : 0);
        site_close(&site);
    }
}

void suite_triage(const struct store_suite *suite)
{
    CASE("commands", commands);
    CASE("back-pressure", desk_full);
    CASE("wake-ups", commands_wake);
    CASE("bad requests", bad_commands);
    CASE("dead letters", opened_and_closed);
    CASE("dead letters", refused_openings);
    CASE("dead letters", listed);
    CASE("retention", retained);
    CASE("damage", triage_damages);
}
