/* andon over a real SQLite store in a directory of its own, on one loop that the test turns, and an author who commits
 * outcomes the way a worker does. Failures of the rig itself abort. */
#ifndef TAI_TESTS_ANDON_RIG_H
#define TAI_TESTS_ANDON_RIG_H

#include "andon/andon.h"
#include "common/loop.h"
#include "common/mem.h"
#include "ledger_fixture.h"
#include "store/backend.h"
#include "store/sqlite/sqlite.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

enum { RIG_PARTITIONS = 4, RIG_SHARDS = 2, RIG_WAIT_MS = 20000, RIG_TENANTS = 5 };

struct rig {
    char dir[32];
    char db_path[64], key_path[64];
    const char *vfs; /* or NULL */
    unsigned starts;
    char worker[32];
    struct db *db;
    struct store_backend *backend;
    struct store *author;
    struct lease leases[RIG_PARTITIONS];
    uint64_t numbered[RIG_PARTITIONS][RIG_SHARDS]; /* outcomes so far */
    uint64_t committed;                            /* outcomes so far */
    uint64_t taken;
    struct andon_config config;
    struct log log;
    struct event_base *base;
    struct metrics *metrics;
    struct andon *andon;
    bool drained;
    bool (*accepted)(void *ctx, struct span tenant_id, struct span entitlement_id, struct span id);
};

static const char *const rig_tenants[RIG_TENANTS] = {"acme", "globex", "initech", "umbrella", ""};

static inline void rig_check(bool ok, const char *what, const struct error *err)
{
    if (ok)
        return;
    fprintf(stderr, "rig: %s: %s\n", what, err ? err->text : "failed");
    abort();
}

static inline void rig_init(struct rig *rig, const char *vfs)
{
    *rig = (struct rig){.dir = "/tmp/tai-andon.XXXXXX", .vfs = vfs};
    rig_check(mkdtemp(rig->dir) != NULL, "mkdtemp", NULL);
    snprintf(rig->db_path, sizeof(rig->db_path), "%s/tai.db", rig->dir);
    snprintf(rig->key_path, sizeof(rig->key_path), "%s/ledger.key", rig->dir);
    rig->config = (struct andon_config){
        .listen = {.text = "127.0.0.1:0", .host = "127.0.0.1", .loopback = true},
        .max_connections = 100,
        .partitions = RIG_PARTITIONS,
        .ledger = {.shards = 1, .max_lag = 1000000, .origin = "tai.test/log", .key_file = rig->key_path}};
    int sink = getenv("RIG_LOG") ? STDERR_FILENO : open("/dev/null", O_WRONLY | O_CLOEXEC);
    rig->log = (struct log){.fd = sink, .level = LOG_DEBUG, .clock = &clock_system, .component = "andon"};
}

static inline void rig_remove(struct rig *rig)
{
    DIR *all = opendir(rig->dir);
    for (struct dirent *entry; all && (entry = readdir(all));) {
        char path[400];
        snprintf(path, sizeof(path), "%s/%s", rig->dir, entry->d_name);
        unlink(path);
    }
    if (all)
        closedir(all);
    rmdir(rig->dir);
    if (rig->log.fd != STDERR_FILENO)
        close(rig->log.fd);
}

/* --- the author ----------------------------------------------------------------------------------------------------
 */

struct rig_wait {
    bool done;
    int status;
};

static inline void rig_done(struct store_request *request, int status)
{
    struct rig_wait *wait = request->ctx;
    wait->done = true;
    wait->status = status;
}

static inline int rig_await(struct store *store, struct rig_wait *wait)
{
    while (!wait->done) {
        struct pollfd fd = {.fd = store_poll_fd(store), .events = POLLIN};
        (void)poll(&fd, 1, 1000);
        store_dispatch(store);
    }
    return wait->status;
}

static inline void rig_open(struct rig *rig)
{
    struct error err = {0};
    const struct db_options options = {
        .path = rig->db_path, .schema = store_sqlite_schema, .sync = false, .vfs = rig->vfs};
    rig_check(db_open(&options, &rig->db, &err) == 0, "db_open", &err);
    rig_check(store_sqlite_new(rig->db, &rig->backend, &err) == 0, "store_sqlite_new", &err);
    rig_check(store_open(rig->backend, &rig->author, &err) == 0, "store_open", &err);
    struct rig_wait wait = {0};
    struct store_lease lease = {
        .req = {.done = rig_done, .ctx = &wait}, .worker = "author", .partitions = RIG_PARTITIONS, .ttl_ms = 600000};
    store_lease(rig->author, &lease);
    rig_check(rig_await(rig->author, &wait) == 0 && lease.lease_count == RIG_PARTITIONS, "store_lease", NULL);
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++)
        rig->leases[lease.leases[i].partition] = lease.leases[i];
    arena_done(&lease.req.arena);
}

static inline void rig_close(struct rig *rig)
{
    store_close(rig->author);
    store_backend_free(rig->backend);
    db_close(rig->db);
}

/* One commit of count outcomes in a partition; the tenants take turns. 0 or what the store said. */
static inline int rig_commit(struct rig *rig, uint32_t partition, size_t count)
{
    struct rig_wait wait = {0};
    struct store_commit commit = {.req = {.done = rig_done, .ctx = &wait},
                                  .partition = partition,
                                  .epoch = rig->leases[partition].epoch,
                                  .batch = rig->leases[partition].batch,
                                  .next_line = 1};
    struct arena *arena = &commit.req.arena;
    uint64_t numbered[RIG_SHARDS];
    memcpy(numbered, rig->numbered[partition], sizeof(numbered));
    commit.outcomes = arena_alloc(arena, count * sizeof(*commit.outcomes));
    commit.outcome_shards = arena_alloc(arena, count * sizeof(*commit.outcome_shards));
    for (size_t i = 0; i < count; i++) {
        const char *tenant = rig_tenants[(rig->committed + i) % RIG_TENANTS];
        struct buf text;
        buf_init(&text, 4096);
        ledger_outcome(&text, tenant, rig->committed + i + 1);
        uint32_t shard = shard_of(span_of(tenant), (uint32_t)rig->config.ledger.shards);
        commit.outcomes[i] = (struct outcome){.number = ++numbered[shard],
                                              .tenant_id = span_of(tenant),
                                              .text = {arena_copy(arena, text.data, text.len), text.len}};
        commit.outcome_shards[i] = shard;
        buf_done(&text);
    }
    commit.outcome_count = count;
    store_commit(rig->author, &commit);
    int status = rig_await(rig->author, &wait);
    if (status == 0) {
        rig->leases[partition].batch++;
        memcpy(rig->numbered[partition], numbered, sizeof(numbered));
        rig->committed += count;
    }
    arena_done(&commit.req.arena);
    return status;
}

/* --- andon ---------------------------------------------------------------------------------------------------------
 */

static inline int rig_try_start_on(struct rig *rig, struct store_backend *backend, struct error *err)
{
    snprintf(rig->worker, sizeof(rig->worker), "andon-%u", ++rig->starts);
    rig->base = loop_base_new();
    rig->metrics = metrics_new();
    rig->drained = false;
    const struct andon_options options = {.base = rig->base,
                                          .config = &rig->config,
                                          .store = backend,
                                          .worker = rig->worker,
                                          .state_dir = rig->dir,
                                          .accepted = rig->accepted,
                                          .clock = &clock_system,
                                          .log = &rig->log,
                                          .metrics = rig->metrics};
    int r = andon_new(&options, &rig->andon, err);
    if (r) {
        metrics_free(rig->metrics);
        event_base_free(rig->base);
    }
    return r;
}

static inline void rig_start(struct rig *rig)
{
    struct error err = {0};
    rig_check(rig_try_start_on(rig, rig->backend, &err) == 0, "andon_new", &err);
}

/* As a crash would, but that the process lives. */
static inline void rig_kill(struct rig *rig)
{
    andon_free(rig->andon);
    metrics_free(rig->metrics);
    event_base_free(rig->base);
    rig->andon = NULL;
}

static inline void rig_turn(struct rig *rig, int ms)
{
    int64_t left_ms, end_ms = clock_mono_ms(&clock_system) + ms;
    while ((left_ms = end_ms - clock_mono_ms(&clock_system)) > 0) { /* the end set for a step may come first */
        const struct timeval pause = {left_ms / 1000, left_ms % 1000 * 1000};
        event_base_loopexit(rig->base, &pause);
        event_base_dispatch(rig->base);
    }
}

/* Until something has happened, a millisecond at most. */
static inline void rig_step(struct rig *rig)
{
    const struct timeval pause = {0, 1000};
    event_base_loopexit(rig->base, &pause);
    event_base_loop(rig->base, EVLOOP_ONCE);
}

static inline void rig_on_drained(void *ctx)
{
    struct rig *rig = ctx;
    rig->drained = true;
}

/* Drains and frees; false if it did not come to an end. */
static inline bool rig_stop(struct rig *rig)
{
    int64_t end = clock_mono_ms(&clock_system) + RIG_WAIT_MS;
    andon_drain(rig->andon, rig_on_drained, rig);
    while (!rig->drained && clock_mono_ms(&clock_system) < end)
        rig_turn(rig, 5);
    rig_kill(rig);
    return rig->drained;
}

/* --- HTTP -----------------------------------------------------------------------------------------------------------
 */

struct rig_answer {
    int status; /* 0: none came */
    struct buf all;
    struct span head, body;
};

static inline void rig_answer_done(struct rig_answer *answer)
{
    buf_done(&answer->all);
}

/* Sends the bytes on a connection of its own and turns the loop until the server closes it. */
static inline struct rig_answer rig_send(struct rig *rig, const char *request)
{
    struct rig_answer answer = {0};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(andon_port(rig->andon)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t end = clock_mono_ms(&clock_system) + RIG_WAIT_MS;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    buf_init(&answer.all, 64 << 20);
    rig_check(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
                  send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request),
              "send", NULL);
    while (clock_mono_ms(&clock_system) < end) {
        rig_step(rig);
        char *room = buf_reserve(&answer.all, 65536);
        ssize_t n = recv(fd, room, 65536, MSG_DONTWAIT);
        if (n == 0)
            break;
        answer.all.len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    const char *text = buf_cstr(&answer.all), *split = strstr(text, "\r\n\r\n");
    if (split) {
        answer.status = atoi(text + 9);
        answer.head = (struct span){text, (size_t)(split + 2 - text)};
        answer.body = (struct span){split + 4, answer.all.len - (size_t)(split + 4 - text)};
    }
    return answer;
}

static inline struct rig_answer rig_get(struct rig *rig, const char *target)
{
    char request[4096];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", target,
             andon_port(rig->andon));
    return rig_send(rig, request);
}

/* --- looking at the ledger ------------------------------------------------------------------------------------------
 */

static inline struct store_totals rig_totals(struct rig *rig)
{
    struct rig_wait wait = {0};
    struct store_totals totals = {.req = {.done = rig_done, .ctx = &wait}};
    store_totals(rig->author, &totals);
    rig_check(rig_await(rig->author, &wait) == 0, "store_totals", NULL);
    arena_done(&totals.req.arena);
    return totals;
}

/* Turns the loop until that many receipts are in the store. */
static inline bool rig_until(struct rig *rig, uint64_t receipts)
{
    int64_t end = clock_mono_ms(&clock_system) + RIG_WAIT_MS;
    while (clock_mono_ms(&clock_system) < end) {
        rig_turn(rig, 2);
        struct store_totals totals = rig_totals(rig);
        if (totals.receipts >= receipts && totals.outcomes_open == 0)
            return true;
    }
    return false;
}

/* The receipts of a shard from index on, at most 1,000; the caller ends the arena. */
static inline void rig_receipts(struct rig *rig, uint32_t shard, uint64_t after, struct store_receipts *ret)
{
    struct rig_wait wait = {0};
    *ret =
        (struct store_receipts){.req = {.done = rig_done, .ctx = &wait}, .shard = shard, .after = after, .limit = 1000};
    store_receipts(rig->author, ret);
    rig_check(rig_await(rig->author, &wait) == 0, "store_receipts", NULL);
}

#endif
