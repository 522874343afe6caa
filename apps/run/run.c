/* `tai run`: the embedded default. The supervisor only knows the command line; the worker loads the configuration, so
 * that a mistake in it is told once and nothing is restarted. */
#include "apps/cli/cli.h"
#include "apps/run/embedded.h"
#include "apps/run/reload.h"
#include "apps/run/supervisor.h"
#include "apps/verb.h"
#include "common/mem.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { OVERRIDES_MAX = 8, ADDRESS_MAX = 80, CALM_PERIOD_MS = 2000 };

struct run {
    const char *config_path;
    struct config_override overrides[OVERRIDES_MAX];
    size_t override_count;
    char fixed[2][ADDRESS_MAX]; /* the addresses of a restarted worker */
};

static const char usage[] =
    "Usage: tai run [--config FILE] [--data DIR] [--listen ADDR:PORT] [--andon-listen ADDR:PORT]\n"
    "\n"
    "Runs the whole pipeline on this machine over one SQLite file.\n"
    "\n"
    "  --config FILE             YAML configuration (`tai config reference` lists the options); none is needed\n"
    "  --data DIR                where everything is kept (default ./tai-data)\n"
    "  --listen ADDR:PORT        where signals are posted (default 127.0.0.1:8080; port 0 picks a free one)\n"
    "  --andon-listen ADDR:PORT  status, receipts, governors (default 127.0.0.1:8081; port 0 picks a free one)\n";

static void override(struct run *run, const char *name, const char *value)
{
    run->overrides[run->override_count++] = (struct config_override){name, value};
}

/* --- the worker -------------------------------------------------------------------------------------------------- */

/* A restarted worker listens where the first one did, also if that had picked a free port. */
static void fix_port(struct run *run, char text[ADDRESS_MAX], const char *name, const struct config_address *address,
                     uint16_t port)
{
    snprintf(text, ADDRESS_MAX, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host, port);
    override(run, name, text);
}

static int load(struct run *run, const struct worker_ready *known, struct config **ret)
{
    struct error error;
    char **env = cli_config_environ();
    int rc = config_load(run->config_path, run->overrides, run->override_count, env, ret, &error);
    if (rc == 0 && known) {
        struct config *first = *ret;
        fix_port(run, run->fixed[0], "ingress.listen", &first->ingress.listen, known->port);
        fix_port(run, run->fixed[1], "andon.listen", &first->andon.listen, known->andon_port);
        rc = config_load(run->config_path, run->overrides, run->override_count, env, ret, &error);
        config_free(first);
    }
    free((void *)env);
    if (rc < 0)
        fprintf(stderr, "tai run: %s\n", error.text);
    return rc;
}

/* What a load has needed goes back to the system when it is over: once a period has been calm after one that was not.
 */
static void trim_when_calm(int64_t *cpu_us, bool *busy)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    int64_t now_us = (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec +
                     used.ru_stime.tv_usec;
    bool calm = now_us - *cpu_us < CALM_PERIOD_MS * 1000 / 50;
    if (calm && *busy)
        malloc_trim(0);
    *busy = !calm;
    *cpu_us = now_us;
}

/* Takes the signals that came; true: SIGTERM or SIGINT was among them. */
static bool take_signals(int signals, struct reloader *reloader)
{
    struct signalfd_siginfo info;
    bool stop = false, hangup = false;
    while (read(signals, &info, sizeof(info)) == sizeof(info)) {
        hangup |= info.ssi_signo == SIGHUP;
        stop |= info.ssi_signo != SIGHUP;
    }
    if (hangup && !stop)
        reloader_run(reloader);
    return stop;
}

/* Until SIGTERM, SIGINT or the end of the supervisor. false: the supervisor is gone. */
static bool serve(int signals, int lifeline, struct reloader *reloader)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = lifeline, .events = POLLIN}};
    int64_t cpu_us = 0;
    bool busy = true;
    while (!(fds[0].revents & POLLIN) || !take_signals(signals, reloader)) {
        int ready = poll(fds, 2, CALM_PERIOD_MS);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready == 0)
            trim_when_calm(&cpu_us, &busy);
        if (fds[1].revents)
            return false;
    }
    return true;
}

static int block_signals(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL); /* inherited by every thread */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a full disk, not the end */
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Every connection takes a descriptor, and the usual soft limit of 1024 is far below ingress.max_connections. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* refused: idle connections are closed to make room */
}

static int exit_code_of(int rc)
{
    switch (rc) {
    case -EBUSY:
    case -EADDRINUSE:
        return EXIT_BUSY;
    case -EINVAL:
        return EXIT_USAGE;
    default:
        return EXIT_FAILED;
    }
}

static int run_worker(const struct run *run, struct config *config, int lifeline, int ready)
{
    struct log log = {.fd = STDERR_FILENO, .level = config->log.level, .clock = &clock_system};
    struct embedded *embedded;
    struct error error;
    int signals = block_signals();
    raise_descriptor_limit();
    int rc = embedded_start(config, &log, &embedded, &error);
    if (rc < 0) {
        fprintf(stderr, "tai run: %s\n", error.text);
        return exit_code_of(rc);
    }
    struct worker_ready told = {embedded_port(embedded), embedded_andon_port(embedded), config->shutdown.timeout_ms};
    (void)!write(ready, &told, sizeof(told));
    close(ready);
    log_event(&log, LOG_INFO, "ready", LOG_I("port", told.port), LOG_I("andon_port", told.andon_port));
    struct reloader reloader = {.source = {run->config_path, run->overrides, run->override_count},
                                .boot = config,
                                .embedded = embedded,
                                .log = &log};
    if (!serve(signals, lifeline, &reloader))
        _exit(EXIT_FAILED); /* as after a kill: what was accepted is on disk */
    log_event(&log, LOG_INFO, "draining");
    bool finished = embedded_stop(embedded, config->shutdown.timeout_ms);
    log_event(&log, LOG_INFO, "stopped",
              LOG_S("left", finished ? "nothing" : "queued signals, taken up at the next start"));
    reloader_done(&reloader);
    return EXIT_OK;
}

/* Under load memory is not given back to the system between two batches, only to be asked for again, page by page. */
static void keep_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 2 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

static int worker_main(void *ctx, int lifeline, int ready, const struct worker_ready *known)
{
    struct run run = *(struct run *)ctx;
    struct config *config;
    prctl(PR_SET_NAME, "tai-worker");
    keep_memory();
    int rc = load(&run, known, &config);
    if (rc < 0)
        return EXIT_USAGE;
    for (size_t i = 0; i < config->warnings_count; i++)
        fprintf(stderr, "tai run: %s\n", config->warnings[i]);
    int code = run_worker(&run, config, lifeline, ready);
    config_free(config);
    return code;
}

/* --- the supervisor's side --------------------------------------------------------------------------------------- */

static void say_ready(void *ctx, const struct worker_ready *ready)
{
    struct run run = *(struct run *)ctx;
    struct config *config;
    if (load(&run, ready, &config) < 0)
        return;
    const char *in = config->ingress.listen.text, *out = config->andon.listen.text;
    printf("tai %s is ready\n"
           "signals  http://%s/v1/signals\n"
           "andon    http://%s/\n"
           "data     %s\n",
           TAI_VERSION, in, out, config->run.data);
    if (!config->ingress.keys_count)
        printf("try it   curl -H 'Content-Type: application/json' -d "
               "'{\"tenant_id\":\"acme\",\"sku_id\":\"demo\",\"type\":"
               "\"usage\"}' http://%s/v1/signals\n",
               in);
    fflush(stdout);
    config_free(config);
}

int verb_run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"data", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'}, {"andon-listen", required_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},         {0}};
    struct run run = {0};
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return EXIT_OK;
        }
        if (c == '?' || (c != 'c' && run.override_count == OVERRIDES_MAX - 2)) {
            fprintf(stderr,
                    "tai run: %s is no option, has no value, or is given too often; `tai run --help` lists them\n",
                    argv[optind - 1]);
            return EXIT_USAGE;
        }
        if (c == 'c')
            run.config_path = optarg;
        else
            override(&run, c == 'd' ? "run.data" : c == 'l' ? "ingress.listen" : "andon.listen", optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "tai run: unexpected argument '%s'; `tai run --help` lists what it takes\n", argv[optind]);
        return EXIT_USAGE;
    }
    struct worker_task task = {.main = worker_main, .on_ready = say_ready, .ctx = &run};
    return supervise(&task);
}
