/* fork, wait, restart. The lifeline is a pipe whose write end only the supervisor holds: however it ends, the worker's
 * read end shows end of file. */
#include "apps/run/supervisor.h"
#include "apps/verb.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RESTARTS_MAX = 5,
    RESTARTS_WINDOW_MS = 60000,
    BACKOFF_FIRST_MS = 100,
    KILL_GRACE_MS = 2000,
    STARTING_STOP_MS = 10000 /* of a worker that has not said */
};

struct supervisor {
    const struct worker_task *task;
    int64_t restarts[RESTARTS_MAX]; /* when, monotonic ms */
    unsigned restart_count;         /* since the start; restarts[] is a ring */
    struct worker_ready known;
    bool was_ready;     /* any worker ever was */
    int signals;        /* signalfd */
    sigset_t inherited; /* the mask from before */
    pid_t pid;
    int lifeline, ready; /* write end, read end */
};

static int64_t now_ms(void)
{
    return clock_mono_ms(&clock_system);
}

/* SIGTERM, SIGINT and SIGHUP stay blocked: one that comes before the worker can take it waits for it. */
static void run_child(const struct supervisor *s, int lifeline, int ready)
{
    sigset_t own;
    close(s->signals);
    sigemptyset(&own);
    sigaddset(&own, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &own, NULL);
    exit(s->task->main(s->task->ctx, lifeline, ready, s->was_ready ? &s->known : NULL));
}

static int spawn(struct supervisor *s)
{
    int lifeline[2], ready[2];
    if (pipe2(lifeline, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(ready, O_CLOEXEC) < 0) {
        int rc = -errno;
        close(lifeline[0]), close(lifeline[1]);
        return rc;
    }
    fflush(NULL);
    s->pid = fork();
    if (s->pid == 0) {
        close(lifeline[1]);
        close(ready[0]);
        run_child(s, lifeline[0], ready[1]);
    }
    int rc = s->pid < 0 ? -errno : 0;
    close(lifeline[0]);
    close(ready[1]);
    s->lifeline = lifeline[1];
    s->ready = ready[0];
    return rc;
}

static void read_ready(struct supervisor *s)
{
    struct worker_ready ready;
    if (read(s->ready, &ready, sizeof(ready)) == sizeof(ready)) {
        bool first = !s->was_ready;
        s->known = ready;
        s->was_ready = true;
        if (first)
            s->task->on_ready(s->task->ctx, &ready);
    }
    close(s->ready);
    s->ready = -1;
}

/* Waits until the worker ended; *ret_stopped: because it was asked to. Returns its wait status. */
static int watch(struct supervisor *s, bool *ret_stopped)
{
    int64_t kill_at = INT64_MAX;
    int status;
    for (;;) {
        int64_t left = kill_at == INT64_MAX ? -1 : kill_at - now_ms();
        struct pollfd fds[2] = {{.fd = s->signals, .events = POLLIN}, {.fd = s->ready, .events = POLLIN}};
        (void)poll(fds, 2, (int)(left < -1 ? 0 : left));
        struct signalfd_siginfo info;
        while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo == SIGHUP)
                kill(s->pid, SIGHUP);
            if (info.ssi_signo == SIGCHLD || info.ssi_signo == SIGHUP)
                continue;
            kill(s->pid, *ret_stopped ? SIGKILL : SIGTERM); /* the second request does not wait */
            kill_at = now_ms() + s->known.stop_ms + KILL_GRACE_MS;
            *ret_stopped = true;
        }
        if (fds[1].revents)
            read_ready(s);
        if (now_ms() >= kill_at)
            kill(s->pid, SIGKILL);
        if (waitpid(s->pid, &status, WNOHANG) == s->pid)
            return status;
    }
}

/* The pause before the next start in ms, or -1: it crashed too often. */
static int64_t restart_pause(struct supervisor *s)
{
    int64_t now = now_ms();
    unsigned recent = 0;
    for (unsigned i = 0; i < RESTARTS_MAX && i < s->restart_count; i++)
        recent += now - s->restarts[i] < RESTARTS_WINDOW_MS;
    if (recent == RESTARTS_MAX)
        return -1;
    s->restarts[s->restart_count++ % RESTARTS_MAX] = now;
    return recent ? (int64_t)BACKOFF_FIRST_MS << recent : 0;
}

static void say_crashed(int status, int64_t pause)
{
    char next[64] = "giving up after 5 restarts in 60 s";
    if (pause >= 0)
        snprintf(next, sizeof(next), "restarting in %lld ms", (long long)pause);
    if (WIFSIGNALED(status))
        fprintf(stderr, "tai: the worker was killed by signal %d (%s); %s\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)), next);
    else
        fprintf(stderr, "tai: the worker exited with code %d; %s\n", WEXITSTATUS(status), next);
}

/* Sleeps, but wakes for a request to stop. */
static bool stopped_during(struct supervisor *s, int64_t pause)
{
    struct pollfd fd = {.fd = s->signals, .events = POLLIN};
    struct signalfd_siginfo info;
    for (int64_t until = now_ms() + pause; now_ms() < until;) {
        (void)poll(&fd, 1, (int)(until - now_ms()));
        while (read(s->signals, &info, sizeof(info)) == sizeof(info))
            if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGHUP)
                return true;
    }
    return false;
}

static int keep_running(struct supervisor *s)
{
    for (;;) {
        bool stopped = false;
        int rc = spawn(s);
        if (rc < 0) {
            fprintf(stderr, "tai: cannot start the worker: %s\n", strerror(-rc));
            return EXIT_FAILED;
        }
        int status = watch(s, &stopped);
        bool ready_now = s->ready == -1;
        if (!ready_now)
            close(s->ready);
        close(s->lifeline);
        if (stopped)
            return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
        if (WIFEXITED(status) && !s->was_ready)
            return WEXITSTATUS(status);
        int64_t pause = restart_pause(s);
        say_crashed(status, pause);
        if (pause < 0)
            return EXIT_FAILED;
        if (stopped_during(s, pause))
            return EXIT_OK;
    }
}

int supervise(const struct worker_task *task)
{
    struct supervisor s = {.task = task, .known.stop_ms = STARTING_STOP_MS};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, &s.inherited);
    signal(SIGHUP, SIG_DFL); /* under nohup it is ignored, and would never be seen */
    s.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signals < 0) {
        fprintf(stderr, "tai: signalfd: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    int code = keep_running(&s);
    close(s.signals);
    sigprocmask(SIG_SETMASK, &s.inherited, NULL);
    return code;
}
