/* Threads with event loops. A call is handed over under the loop's mutex and announced through an eventfd; one call at
 * a time, its caller sleeps until it returned. */
#include "common/loop.h"
#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct loop {
    struct event_base *base;
    struct event *wake;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    int fd;
    int (*call)(void *ctx);
    void *ctx;
    int result;
};

struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t raised_cond;
    bool raised;
};

struct event_base *loop_base_new(void)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (!base)
        abort();
    return base;
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
    (void)what;
    struct loop *loop = ctx;
    eventfd_t value;
    (void)eventfd_read(fd, &value);
    pthread_mutex_lock(&loop->mutex);
    int (*call)(void *) = loop->call;
    pthread_mutex_unlock(&loop->mutex);
    if (!call)
        return;
    int result = call(loop->ctx);
    pthread_mutex_lock(&loop->mutex);
    loop->result = result;
    loop->call = NULL;
    pthread_cond_signal(&loop->returned);
    pthread_mutex_unlock(&loop->mutex);
}

static void *run(void *ctx)
{
    event_base_loop(((struct loop *)ctx)->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

int loop_new(const char *name, struct loop **ret, struct error *err)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->fd < 0) {
        int rc = -errno;
        free(loop);
        return error_set(err, rc, "eventfd for thread %s: %s", name, error_text(rc));
    }
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->returned, NULL);
    loop->base = loop_base_new();
    loop->wake = event_new(loop->base, loop->fd, EV_READ | EV_PERSIST, on_wake, loop);
    event_add(loop->wake, NULL);
    int rc = -pthread_create(&loop->thread, NULL, run, loop);
    if (rc < 0)
        abort();
    pthread_setname_np(loop->thread, name);
    *ret = loop;
    return 0;
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

int loop_call(struct loop *loop, int (*call)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&loop->mutex);
    loop->ctx = ctx;
    loop->call = call;
    eventfd_write(loop->fd, 1);
    while (loop->call)
        pthread_cond_wait(&loop->returned, &loop->mutex);
    int result = loop->result;
    pthread_mutex_unlock(&loop->mutex);
    return result;
}

static int stop(void *ctx)
{
    return event_base_loopbreak(ctx);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_call(loop, stop, loop->base);
    pthread_join(loop->thread, NULL);
    event_free(loop->wake);
    event_base_free(loop->base);
    close(loop->fd);
    pthread_mutex_destroy(&loop->mutex);
    pthread_cond_destroy(&loop->returned);
    free(loop);
}

struct latch *latch_new(void)
{
    struct latch *latch = xcalloc(1, sizeof(*latch));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&latch->mutex, NULL);
    pthread_cond_init(&latch->raised_cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return latch;
}

void latch_raise(void *ctx)
{
    struct latch *latch = ctx;
    pthread_mutex_lock(&latch->mutex);
    latch->raised = true;
    pthread_cond_broadcast(&latch->raised_cond);
    pthread_mutex_unlock(&latch->mutex);
}

bool latch_wait(struct latch *latch, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&latch->mutex);
    int rc = 0;
    while (!latch->raised && rc == 0)
        rc = pthread_cond_timedwait(&latch->raised_cond, &latch->mutex, &until);
    bool raised = latch->raised;
    pthread_mutex_unlock(&latch->mutex);
    return raised;
}

void latch_free(struct latch *latch)
{
    if (!latch)
        return;
    pthread_mutex_destroy(&latch->mutex);
    pthread_cond_destroy(&latch->raised_cond);
    free(latch);
}
