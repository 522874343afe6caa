/* The contract suite over the memory and the SQLite queue, over the misbehaving one without and with its faults, and
 * what only the SQLite queue can meet: a full disk, lost rows. */
#include "../contract/kanban_suite.c"

#include "../support/db_fixture.h"
#include "../support/fault_vfs.h"
#include "kanban/faulty.h"

static struct kanban_backend *memory_set_up(void *ctx)
{
    (void)ctx;
    return kanban_memory_new(SUITE_PARTITIONS);
}

static void memory_tear_down(void *ctx, struct kanban_backend *take_backend)
{
    (void)ctx;
    kanban_backend_free(take_backend);
}

static struct kanban_backend *sqlite_new(struct fixture *f)
{
    struct kanban_backend *backend = NULL;
    struct error err = {.text = ""};
    int status = kanban_sqlite_new(f->db, SUITE_PARTITIONS, &backend, &err);
    if (status) {
        fprintf(stderr, "%d %s\n", status, err.text);
        abort();
    }
    return backend;
}

static struct kanban_backend *sqlite_set_up(void *ctx)
{
    fixture_dir(ctx);
    fixture_open(ctx, NULL);
    return sqlite_new(ctx);
}

static struct kanban_backend *sqlite_restart(void *ctx, struct kanban_backend *take_backend)
{
    kanban_backend_free(take_backend);
    fixture_close(ctx);
    fixture_open(ctx, NULL);
    return sqlite_new(ctx);
}

static void sqlite_tear_down(void *ctx, struct kanban_backend *take_backend)
{
    kanban_backend_free(take_backend);
    fixture_close(ctx);
    fixture_remove(ctx);
}

static void a_full_disk_voids_and_recovers(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, "fault");
    struct suite suite = {.backend = sqlite_new(&f)};
    struct client *client = open_plain(&suite);
    publish_range(client, 1, 0, 3);
    client_wait(client, &client->answered, 3);
    fault_arm(&fault_write, 0, true);
    for (uint64_t id = 3; id < 6; id++) {
        publish_range(client, 1, id, id + 1);
        client_wait(client, &client->answered, id + 1);
        CHECK_INT(client->last_status, -ENOSPC);
    }
    CHECK_INT(kanban_depth(client->kanban), 3);
    fault_arm(&fault_write, -1, false);
    publish_range(client, 1, 6, 7);
    client_wait(client, &client->answered, 7);
    CHECK_INT(client->last_status, 0);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_wait(client, &client->delivered, 4);
    const struct frame_header *header = &client->held[3]->frame->header;
    CHECK_INT(delivery_id(client->held[3]), 6);
    CHECK_INT(header->sequence, 7);
    CHECK_INT(header->confirmed, 6);
    CHECK_INT(header->void_count, 3);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_INT(header->voided[i], 4 + i);
    client_close(client);
    sqlite_tear_down(&f, suite.backend);
}

static void a_settle_is_tried_again(void)
{
    struct fixture f;
    fixture_dir(&f);
    fixture_open(&f, "fault");
    struct suite suite = {.backend = sqlite_new(&f)};
    struct client *client = open_plain(&suite);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    publish_range(client, 1, 0, 3);
    client_wait(client, &client->delivered, 3);
    fault_arm(&fault_write, 0, true);
    client_settle(client, 1);
    for (int i = 0; i < 500 && kanban_deadline_us(client->kanban) == INT64_MAX; i++)
        client_turn(client, 10);
    CHECK_INT(kanban_depth(client->kanban), 3);
    fault_arm(&fault_write, -1, false);
    for (int i = 0; i < 500 && kanban_depth(client->kanban) != 2; i++)
        client_turn(client, 10);
    CHECK_INT(kanban_depth(client->kanban), 2);
    client_close(client);
    suite.backend = sqlite_restart(&f, suite.backend);
    client = open_plain(&suite);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_wait(client, &client->delivered, 2);
    CHECK_INT(delivery_id(client->held[0]), 0);
    CHECK_INT(delivery_id(client->held[1]), 2);
    client_close(client);
    sqlite_tear_down(&f, suite.backend);
}

/* --- the misbehaving queue ---------------------------------------------------------------------------------------- */

enum { HOLD_US = 3000 };

struct faults {
    struct fixture f; /* of the SQLite queue within; or the memory queue is */
    bool sqlite;
    unsigned kinds; /* bits of enum faulty_kind */
    unsigned per_mille;
};

static struct kanban_backend *faulty_around(struct faults *faults, struct kanban_backend *take_inner)
{
    struct kanban_backend *faulty = kanban_faulty_new(take_inner, &clock_system, HOLD_US, 1 + faults->kinds);
    for (unsigned kind = 0; kind < FAULTY_KINDS; kind++)
        if (faults->kinds >> kind & 1)
            kanban_faulty_set(faulty, (enum faulty_kind)kind, (struct faulty_rule){.per_mille = faults->per_mille});
    return faulty;
}

static struct kanban_backend *faulty_set_up(void *ctx)
{
    struct faults *faults = ctx;
    return faulty_around(faults, faults->sqlite ? sqlite_set_up(&faults->f) : memory_set_up(NULL));
}

static struct kanban_backend *faulty_restart(void *ctx, struct kanban_backend *take_backend)
{
    struct faults *faults = ctx;
    return faulty_around(faults, sqlite_restart(&faults->f, take_backend));
}

static void faulty_tear_down(void *ctx, struct kanban_backend *take_backend)
{
    struct faults *faults = ctx;
    if (faults->sqlite)
        sqlite_tear_down(&faults->f, take_backend);
    else
        memory_tear_down(NULL, take_backend);
}

/* Under a fault that strikes, every promise that it leaves; each kind alone, and all of them together. */
static int faulty_suites(void)
{
    enum {
        LATE = 1U << FAULTY_LATE | 1U << FAULTY_MULTIPLE | 1U << FAULTY_DELAY | 1U << FAULTY_STALL,
        ANY = (1U << FAULTY_KINDS) - 1
    };
    struct faults calm = {.kinds = 0}, stored = {.sqlite = true}, late = {.kinds = LATE, .per_mille = 200};
    struct faults any = {.sqlite = true, .kinds = ANY, .per_mille = 60};
    const unsigned lacks_all = SUITE_IN_TIME | SUITE_ACCEPTS | SUITE_ONCE;
    const struct kanban_suite_target targets[] = {
        {"faulty (memory)", faulty_set_up, NULL, faulty_tear_down, &calm, 0},
        {"faulty (sqlite)", faulty_set_up, faulty_restart, faulty_tear_down, &stored, 0},
        {"faulty, late", faulty_set_up, NULL, faulty_tear_down, &late, SUITE_IN_TIME},
        {"faulty, all kinds", faulty_set_up, faulty_restart, faulty_tear_down, &any, lacks_all},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
        failed += kanban_suite_run(&targets[i]);
    for (unsigned kind = 0; kind < FAULTY_KINDS; kind++) {
        struct faults one = {.kinds = 1U << kind, .per_mille = 100};
        const struct kanban_suite_target target = {faulty_kind_names[kind], faulty_set_up, NULL,
                                                   faulty_tear_down,        &one,          lacks_all};
        failed += kanban_suite_run(&target);
    }
    return failed;
}

static int delete_row(struct db_conn *conn, struct db_job *job)
{
    (void)job;
    return db_run(db_stmt(conn, "DELETE FROM kanban_frames WHERE no = 2"));
}

/* Rows are removed by a foreign hand: the frame is delivered as one that cannot be read, the lane goes on. */
static void a_lost_row_surfaces(void)
{
    struct fixture f;
    struct suite suite = {.backend = sqlite_set_up(&f)};
    struct client *client = open_plain(&suite);
    publish_range(client, 1, 0, 4);
    client_wait(client, &client->answered, 4);
    client_close(client);
    suite.backend = sqlite_restart(&f, suite.backend);
    struct step step = step_write(0);
    step.job.run = delete_row;
    CHECK_INT(step_do(f.port, &step), 0);
    client = open_plain(&suite);
    CHECK_INT(kanban_subscribe(client->kanban, 1), 0);
    client_wait(client, &client->delivered, 4);
    CHECK_INT(delivery_id(client->held[0]), 0);
    CHECK(!client->held[1]->frame && client->held[1]->raw.len == 0);
    check_ids(client, 2, 2, 2);
    client_close(client);
    sqlite_tear_down(&f, suite.backend);
}

static void fewer_partitions_are_refused(void)
{
    struct fixture f;
    struct suite suite = {.backend = sqlite_set_up(&f)};
    struct client *client = open_plain(&suite);
    publish_range(client, 3, 0, 1);
    client_wait(client, &client->answered, 1);
    client_close(client);
    kanban_backend_free(suite.backend);
    struct error err;
    struct kanban_backend *backend = NULL;
    CHECK_INT(kanban_sqlite_new(f.db, 3, &backend, &err), -EINVAL);
    CHECK(strstr(err.text, "kanban.partitions") && strstr(err.text, "partition 3"));
    CHECK_INT(kanban_sqlite_new(f.db, 16, &backend, &err), 0);
    sqlite_tear_down(&f, backend);
}

/* One reader a partition within the process. */
static void a_second_reader_is_refused(void)
{
    struct suite suite = {.backend = memory_set_up(NULL)};
    struct client *first = open_plain(&suite);
    struct client *second = open_plain(&suite);
    CHECK_INT(kanban_subscribe(first->kanban, 0), 0);
    CHECK_INT(kanban_subscribe(second->kanban, 0), -EBUSY);
    publish_range(second, 0, 0, 2);
    client_wait(first, &first->delivered, 2);
    kanban_unsubscribe(second->kanban, 0); /* not its own */
    CHECK_INT(kanban_subscribe(second->kanban, 0), -EBUSY);
    kanban_unsubscribe(first->kanban, 0);
    CHECK_INT(kanban_subscribe(second->kanban, 0), 0);
    client_wait(second, &second->delivered, 2);
    client_settle(first, 0); /* late, but committed */
    client_settle(second, 0);
    client_settle(second, 1);
    CHECK_INT(kanban_depth(second->kanban), 0);
    client_close(first);
    client_close(second);
    memory_tear_down(NULL, suite.backend);
}

int main(void)
{
    fault_vfs_register();
    struct fixture f;
    const struct kanban_suite_target targets[] = {
        {.name = "memory", .set_up = memory_set_up, .tear_down = memory_tear_down},
        {.name = "sqlite",
         .set_up = sqlite_set_up,
         .restart = sqlite_restart,
         .tear_down = sqlite_tear_down,
         .ctx = &f},
    };
    int failed = kanban_suite_run(&targets[0]) + kanban_suite_run(&targets[1]) + faulty_suites();
    int own = check_main((const struct check_case[]){
        {"a_full_disk_voids_and_recovers", a_full_disk_voids_and_recovers},
        {"a_settle_is_tried_again", a_settle_is_tried_again},
        {"a_lost_row_surfaces", a_lost_row_surfaces},
        {"fewer_partitions_are_refused", fewer_partitions_are_refused},
        {"a_second_reader_is_refused", a_second_reader_is_refused},
        {NULL, NULL},
    });
    return failed || own ? 1 : 0;
}
