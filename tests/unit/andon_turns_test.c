/* Many requests at once, while the database is held by the test: who has a share of the room, who is turned away, and
 * that nobody's requests keep the others from being answered. */
#include "support/andon_rig.h"

#include <criterion/criterion.h>
#include <semaphore.h>

enum { AT_WORK = 16, EACH = 256, MORE = 20 }; /* as in andon/api/turns.c */

static struct rig rig;
static struct token_config tokens[2];
static int fds[AT_WORK + EACH + MORE];

static struct hold {
    struct db_job job;
    sem_t begun, end;
} hold;

static int hold_run(struct db_conn *conn, struct db_job *job)
{
    (void)conn, (void)job;
    sem_post(&hold.begun);
    sem_wait(&hold.end);
    return 0;
}

static void hold_done(struct db_job *job, int status)
{
    (void)job, (void)status;
}

static void hold_database(struct db_port *port)
{
    sem_init(&hold.begun, 0, 0);
    sem_init(&hold.end, 0, 0);
    hold.job = (struct db_job){.run = hold_run, .done = hold_done, .read = true};
    db_submit(port, &hold.job);
    sem_wait(&hold.begun);
}

static void add_token(size_t i, const char *name)
{
    struct hasher *hasher = hasher_new();
    tokens[i] =
        (struct token_config){.name = name, .role = CONFIG_TOKEN_VIEWER, .tenant = name, .expires_ms = INT64_MAX};
    hasher_sha256(hasher, span_of(name), tokens[i].sha256);
    hasher_free(hasher);
}

static int ask(const char *token)
{
    char text[200];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(andon_port(rig.andon)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = snprintf(text, sizeof(text),
                       "GET /v1/governors HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n",
                       token);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && send(fd, text, (size_t)len, 0) == len);
    return fd;
}

/* 0: not answered yet. */
static int status_of(int fd)
{
    char text[16] = "";
    return recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_PEEK) > 12 ? atoi(text + 9) : 0;
}

static size_t count(size_t first, size_t end, int status)
{
    size_t found = 0;
    for (size_t i = first; i < end; i++)
        found += status_of(fds[i]) == status;
    return found;
}

static bool until(size_t first, size_t end, int status, size_t wanted)
{
    int64_t deadline = clock_mono_ms(&clock_system) + RIG_WAIT_MS;
    while (count(first, end, status) != wanted && clock_mono_ms(&clock_system) < deadline)
        rig_step(&rig);
    return count(first, end, status) == wanted;
}

static void setup(void)
{
    rig_init(&rig, NULL);
    add_token(0, "acme");
    add_token(1, "globex");
    rig.config.tokens = tokens;
    rig.config.tokens_count = 2;
    rig.config.max_connections = 1000;
    rig_open(&rig);
    rig_start(&rig);
}

static void teardown(void)
{
    rig_kill(&rig);
    rig_close(&rig);
    rig_remove(&rig);
}

TestSuite(andon_turns, .init = setup, .fini = teardown, .timeout = 100);

Test(andon_turns, one_token_does_not_take_all)
{
    enum { ALL = AT_WORK + EACH + MORE };
    struct db_port *port;
    struct error err;
    cr_assert_eq(db_port_open(rig.db, &port, &err), 0);
    hold_database(port);
    for (size_t i = 0; i < ALL; i++)
        fds[i] = ask("acme");
    cr_expect(until(0, ALL, 429, MORE), "%zu of %d are turned away", count(0, ALL, 429), MORE);
    int other = ask("globex");
    for (int i = 0; i < 20; i++)
        rig_step(&rig);
    cr_expect_eq(status_of(other), 0, "the other one's waits");
    sem_post(&hold.end);
    cr_expect(until(0, ALL, 200, ALL - MORE), "%zu are answered", count(0, ALL, 200));
    cr_expect_eq(status_of(other), 200);
    for (size_t i = 0; i < ALL; i++)
        close(fds[i]);
    close(other);
    db_port_close(port);
}

Test(andon_turns, whoever_has_gone_costs_nothing)
{
    enum { ALL = AT_WORK + EACH };
    struct db_port *port;
    struct error err;
    cr_assert_eq(db_port_open(rig.db, &port, &err), 0);
    struct db_stats before, after;
    hold_database(port);
    for (size_t i = 0; i < ALL; i++)
        fds[i] = ask("acme");
    for (int i = 0; i < 200; i++)
        rig_step(&rig);
    const struct linger reset = {.l_onoff = 1};
    for (size_t i = 0; i < ALL; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fds[i]);
    }
    for (int i = 0; i < 200; i++)
        rig_step(&rig);
    db_stats(rig.db, &before);
    sem_post(&hold.end);
    fds[0] = ask("globex");
    cr_expect(until(0, 1, 200, 1));
    db_stats(rig.db, &after);
    cr_expect_lt(after.jobs - before.jobs, EACH / 2, "%llu jobs", (unsigned long long)(after.jobs - before.jobs));
    close(fds[0]);
    db_port_close(port);
}
