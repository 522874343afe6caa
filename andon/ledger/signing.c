/* A mailbox of one slot per shard and direction between the loop and the signing thread, and two lists of receipts: to
 * be signed, and to be delivered. */
#include "andon/ledger/signing.h"

#include "andon/ledger/jws.h"

#include "common/clock.h"
#include "common/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

/* A signature and its fsync cost what some hundred receipts do: under load one covers what 20 ms committed. */
enum { NOTE_ROOM = 4096, PAUSE_US = 20000, JWS_WAITING_MAX = 64 };

struct slot {
    bool waiting; /* tree is to be signed */
    bool running;
    bool ready;      /* the result below is to be delivered */
    int64_t next_us; /* monotonic; not to be signed again before */
    struct merkle tree;
    uint64_t size;
    int code;
    struct buf note;
    struct error err;
};

struct jws_job {
    STAILQ_ENTRY(jws_job) link;
    signing_jws_done *done;
    void *ctx;
    int code;
    struct buf payload, jws;
};
STAILQ_HEAD(jws_jobs, jws_job);

struct signing {
    struct signing_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* the slots and stop */
    pthread_cond_t wake;
    bool stop;
    struct slot *slots;
    uint32_t turn; /* where the next search for work begins, so that no shard starves */
    struct jws_jobs jws_waiting, jws_signed;
    unsigned jws_count; /* in jws_waiting */
    int fd;             /* eventfd: results are ready */
    struct event *event;
};

/* The next slot to be signed, *ret_wait_us being 0, or NULL; then *ret_wait_us tells for how long, -1: until woken. */
static struct slot *next_waiting(struct signing *signing, uint32_t *ret_shard, int64_t *ret_wait_us)
{
    int64_t now_us = clock_mono_us(&clock_system);
    *ret_wait_us = -1;
    for (uint32_t i = 0; i < signing->options.shards; i++) {
        uint32_t shard = (signing->turn + i) % signing->options.shards;
        struct slot *slot = &signing->slots[shard];
        int64_t wait_us = slot->next_us - now_us;
        if (!slot->waiting || slot->ready)
            continue;
        if (wait_us <= 0) {
            signing->turn = shard + 1;
            slot->next_us = now_us + PAUSE_US;
            *ret_shard = shard;
            *ret_wait_us = 0;
            return slot;
        }
        if (*ret_wait_us < 0 || wait_us < *ret_wait_us)
            *ret_wait_us = wait_us;
    }
    return NULL;
}

/* With the lock held, given up while waiting. */
static void wait_for_work(struct signing *signing, int64_t wait_us)
{
    if (wait_us < 0) {
        pthread_cond_wait(&signing->wake, &signing->lock);
        return;
    }
    int64_t until_us = clock_mono_us(&clock_system) + wait_us;
    const struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
    pthread_cond_clockwait(&signing->wake, &signing->lock, CLOCK_MONOTONIC, &until);
}

static void announce(struct signing *signing)
{
    uint64_t one = 1;
    ssize_t ignored = write(signing->fd, &one, sizeof(one)); /* fails only when the counter is full: readable anyway */
    (void)ignored;
}

/* With the lock held, given up while signing. */
static void sign_slot(struct signing *signing, struct slot *slot, uint32_t shard)
{
    struct merkle tree = slot->tree;
    struct buf note;
    struct error err = {0};
    slot->waiting = false;
    slot->running = true;
    pthread_mutex_unlock(&signing->lock);
    buf_init(&note, NOTE_ROOM);
    int code = signer_sign(signing->options.signers[shard], &tree, &note, &err);
    pthread_mutex_lock(&signing->lock);
    slot->running = false;
    slot->ready = true;
    slot->code = code;
    slot->size = tree.size;
    slot->err = err;
    buf_done(&slot->note);
    slot->note = note;
    announce(signing);
}

/* The same. */
static void sign_receipt(struct signing *signing)
{
    struct jws_job *job = STAILQ_FIRST(&signing->jws_waiting);
    struct error err;
    STAILQ_REMOVE_HEAD(&signing->jws_waiting, link);
    signing->jws_count--;
    pthread_mutex_unlock(&signing->lock);
    job->code = jws_sign(signing->options.key, buf_span(&job->payload), &job->jws, &err);
    pthread_mutex_lock(&signing->lock);
    STAILQ_INSERT_TAIL(&signing->jws_signed, job, link);
    announce(signing);
}

static void *run(void *arg)
{
    struct signing *signing = arg;
    pthread_mutex_lock(&signing->lock);
    while (!signing->stop) {
        uint32_t shard;
        int64_t wait_us;
        struct slot *slot = next_waiting(signing, &shard, &wait_us);
        if (slot)
            sign_slot(signing, slot, shard);
        else if (!STAILQ_EMPTY(&signing->jws_waiting))
            sign_receipt(signing);
        else
            wait_for_work(signing, wait_us);
    }
    pthread_mutex_unlock(&signing->lock);
    return NULL;
}

static void deliver(struct signing *signing, uint32_t shard)
{
    const struct signing_options *options = &signing->options;
    pthread_mutex_lock(&signing->lock);
    struct slot *slot = &signing->slots[shard];
    bool ready = slot->ready;
    struct buf note = slot->note;
    struct error err = slot->err;
    int code = slot->code;
    uint64_t size = slot->size;
    if (ready) {
        slot->ready = false;
        buf_init(&slot->note, NOTE_ROOM);
        if (slot->waiting)
            pthread_cond_signal(&signing->wake);
    }
    pthread_mutex_unlock(&signing->lock);
    if (!ready)
        return;
    if (code)
        options->failed(options->ctx, shard, code, &err);
    else
        options->signed_(options->ctx, shard, size, buf_span(&note));
    buf_done(&note);
}

static void job_free(struct jws_job *job)
{
    buf_done(&job->payload);
    buf_done(&job->jws);
    free(job);
}

static void free_jobs(struct jws_jobs *jobs)
{
    struct jws_job *job;
    while ((job = STAILQ_FIRST(jobs))) {
        STAILQ_REMOVE_HEAD(jobs, link);
        job_free(job);
    }
}

static void deliver_receipts(struct signing *signing)
{
    struct jws_jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
    struct jws_job *job;
    pthread_mutex_lock(&signing->lock);
    STAILQ_CONCAT(&jobs, &signing->jws_signed);
    pthread_mutex_unlock(&signing->lock);
    while ((job = STAILQ_FIRST(&jobs))) {
        STAILQ_REMOVE_HEAD(&jobs, link);
        job->done(job->ctx, job->code, buf_span(&job->jws));
        job_free(job);
    }
}

static void on_results(evutil_socket_t fd, short what, void *arg)
{
    struct signing *signing = arg;
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));
    (void)ignored;
    (void)what;
    for (uint32_t i = 0; i < signing->options.shards; i++)
        deliver(signing, i);
    deliver_receipts(signing);
}

/* Signals are the business of the thread that runs the loop. */
static int start_thread(struct signing *signing)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&signing->thread, NULL, run, signing);
    if (r == 0)
        pthread_setname_np(signing->thread, "signing");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

static void release(struct signing *signing)
{
    if (signing->event)
        event_free(signing->event);
    if (signing->fd >= 0)
        close(signing->fd);
    for (uint32_t i = 0; i < signing->options.shards; i++)
        buf_done(&signing->slots[i].note);
    free(signing->slots);
    free_jobs(&signing->jws_waiting);
    free_jobs(&signing->jws_signed);
    pthread_cond_destroy(&signing->wake);
    pthread_mutex_destroy(&signing->lock);
    free(signing);
}

int signing_new(const struct signing_options *options, struct signing **ret, struct error *err)
{
    struct signing *signing = xcalloc(1, sizeof(*signing));
    signing->options = *options;
    STAILQ_INIT(&signing->jws_waiting);
    STAILQ_INIT(&signing->jws_signed);
    signing->slots = xcalloc(options->shards, sizeof(*signing->slots));
    for (uint32_t i = 0; i < options->shards; i++)
        buf_init(&signing->slots[i].note, NOTE_ROOM);
    pthread_mutex_init(&signing->lock, NULL);
    pthread_cond_init(&signing->wake, NULL);
    signing->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = signing->fd < 0 ? -errno : 0;
    if (!r) {
        signing->event = event_new(options->base, signing->fd, EV_READ | EV_PERSIST, on_results, signing);
        r = signing->event && event_add(signing->event, NULL) == 0 ? start_thread(signing) : -ENOMEM;
    }
    if (r) {
        release(signing);
        return error_set(err, r, "cannot start the signing thread: %s", error_text(r));
    }
    *ret = signing;
    return 0;
}

void signing_free(struct signing *signing)
{
    if (!signing)
        return;
    pthread_mutex_lock(&signing->lock);
    signing->stop = true;
    pthread_cond_signal(&signing->wake);
    pthread_mutex_unlock(&signing->lock);
    pthread_join(signing->thread, NULL);
    release(signing);
}

void signing_submit(struct signing *signing, uint32_t shard, const struct merkle *tree)
{
    pthread_mutex_lock(&signing->lock);
    struct slot *slot = &signing->slots[shard];
    slot->tree = *tree;
    slot->waiting = true;
    pthread_cond_signal(&signing->wake);
    pthread_mutex_unlock(&signing->lock);
}

int signing_jws(struct signing *signing, struct span payload, signing_jws_done *done, void *ctx)
{
    struct jws_job *job = xcalloc(1, sizeof(*job));
    *job = (struct jws_job){.done = done, .ctx = ctx};
    buf_init(&job->payload, payload.len);
    buf_add_span(&job->payload, payload);
    buf_init(&job->jws, 2 * payload.len + JWS_OVERHEAD);
    pthread_mutex_lock(&signing->lock);
    bool full = signing->jws_count == JWS_WAITING_MAX;
    if (!full) {
        signing->jws_count++;
        STAILQ_INSERT_TAIL(&signing->jws_waiting, job, link);
        pthread_cond_signal(&signing->wake);
    }
    pthread_mutex_unlock(&signing->lock);
    if (full)
        job_free(job);
    return full ? -EAGAIN : 0;
}

bool signing_busy(struct signing *signing, uint32_t shard)
{
    pthread_mutex_lock(&signing->lock);
    const struct slot *slot = &signing->slots[shard];
    bool busy = slot->waiting || slot->running || slot->ready;
    pthread_mutex_unlock(&signing->lock);
    return busy;
}
